//! What a route answers when it refuses: a problem with its HTTP status, as a response. Also the refusals that only HTTP has.
//!
//! Never here: how a problem looks on the wire (`problem.rs`), and what a plane refuses.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holdfast_reconciler::error::{Problem, ProblemKind};

use crate::problem::{PROBLEM_TYPE, ProblemBody, shown, status};
use crate::protocol::PROTOCOL;

/// A problem on its way to a client.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    status: StatusCode,
}

/// Lies in the response of a refusal, so that the outermost layer can write the body with the id of the request.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The problem.
    pub(crate) problem: Box<Problem>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { status: status(problem.kind), problem: Box::new(problem) }
    }
}

impl Refusal {
    fn new(
        status: StatusCode,
        kind: ProblemKind,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { status, problem: Box::new(Problem::new(kind, code, message).help(help)) }
    }

    /// There is no such route.
    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            ProblemKind::NotFound,
            "E_NO_ROUTE",
            format!("there is no route `{}`", shown(path)),
            "see `docs/http.md` for the routes",
        )
    }

    /// The route has no such method; axum adds the header `Allow`.
    pub(crate) fn no_method(method: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ProblemKind::Invalid,
            "E_NO_METHOD",
            format!("this route does not take `{}`", shown(method)),
            "the header `Allow` names the methods that it takes",
        )
    }

    /// The client speaks another protocol.
    pub(crate) fn protocol(theirs: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            ProblemKind::Invalid,
            "E_PROTOCOL",
            format!("the client speaks protocol `{}`, this server speaks `{PROTOCOL}`", shown(theirs)),
            "use a client and a server of the same release",
        )
    }

    /// Not now, with a status of its own.
    pub(crate) fn with_status(status: StatusCode, code: &str, message: &str, help: &str) -> Self {
        Self::new(status, ProblemKind::Unavailable, code, message, help)
    }

    /// What is refused, for who has no response to put it into.
    pub(crate) fn into_problem(self) -> Problem {
        *self.problem
    }

    /// Something in the request breaks a rule.
    pub(crate) fn invalid(code: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ProblemKind::Invalid, code, message, help)
    }

    /// The body is larger than the route takes.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ProblemKind::Invalid,
            "E_TOO_LARGE",
            format!("the body is larger than the {limit} bytes that this route takes"),
            "send less at once",
        )
    }

    /// The body did not come in time.
    pub(crate) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            ProblemKind::Invalid,
            "E_TOO_SLOW",
            "the body did not arrive in time",
            "send the request again",
        )
    }

    /// The body is in an encoding that is not taken apart here; to store it as it came would store something else.
    pub(crate) fn encoded(encoding: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ProblemKind::Invalid,
            "E_CONTENT_ENCODING",
            format!("a body with `Content-Encoding: {}` is not taken", shown(encoding)),
            "send it as it is, without the header",
        )
    }

    /// The body is a part of a value; to take it for the whole would lose the rest.
    pub(crate) fn part() -> Self {
        Self::invalid(
            "E_CONTENT_RANGE",
            "the body is a part of a value, as `Content-Range` says, and only whole ones are taken",
            "send the whole value, without the header",
        )
    }

    /// The body ended before it was whole.
    pub(crate) fn broken_body() -> Self {
        Self::invalid("E_BROKEN_BODY", "the body ended before it was whole", "send the request again")
    }

    /// A precondition of the request's headers did not hold.
    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            ProblemKind::Conflict,
            "E_PRECONDITION",
            message,
            "read it again and decide on what is there now",
        )
    }

    /// Too much is going on.
    pub(crate) fn busy(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemKind::Unavailable, "E_BUSY", what, "try again in a second")
    }

    /// The plane panicked; what it said stays in the process, because it may hold anything.
    pub(crate) fn panicked() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ProblemKind::Internal,
            "E_PANIC",
            "the server failed while it answered",
            "this is a defect; the server's log has the request's id",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { problem, status } = self;
        let mut response = status.into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(status, StatusCode::UNAUTHORIZED) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE) {
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response.extensions_mut().insert(Refused { problem });
        response
    }
}

/// Writes the body of a refusal into its response.
pub(crate) fn write_body(response: &mut Response, instance: &str) {
    let Some(Refused { problem }) = response.extensions_mut().remove::<Refused>() else { return };
    let body = ProblemBody::new(*problem, response.status(), Some(instance.to_owned()));
    // A problem is made of strings and numbers only, so it always has a JSON form.
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(bytes);
}
