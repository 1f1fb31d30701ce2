//! Requests of the client: how they are built and encoded, when one is repeated, and what a failure means to the caller.
//!
//! A request is repeated only if the server cannot have seen it, if it changes nothing, or if a request id makes a repetition
//! harmless; everything else fails with a problem that says whether the write may have happened.
//!
//! Never here: connections (`transport.rs`), and which request asks what (`client.rs`).

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use holdfast_engine::Revision;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::endpoint::{Endpoint, authorization};
use crate::limits::{CLIENT_RETRY_MAX, CLIENT_RETRY_REST};
use crate::problem::ProblemBody;
use crate::protocol::{AUTHOR_HEADER, PROTOCOL, REQUEST_ID_HEADER, etag};
use crate::socket::{is_closed_off, server_pid};
use crate::transport::{ExchangeError, Incoming, Outgoing, Streamed, Transport};
use crate::validity::WrongTime;

/// What stands encoded in a part of a path: everything but letters, digits and the four marks that mean nothing anywhere.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The code of a server that did nothing because it was busy.
const BUSY: &str = "E_BUSY";

/// A request with what may be done with it.
#[derive(Debug)]
pub(crate) struct Call {
    outgoing: Outgoing,
    /// Whether it changes anything.
    writes: bool,
    /// Whether sending it twice does no more than sending it once.
    repeatable: bool,
}

impl Call {
    /// A request that reads.
    pub(crate) fn read(target: impl Into<String>) -> Self {
        Self { outgoing: outgoing(Method::GET, target.into()), writes: false, repeatable: true }
    }

    /// A request that works something out and changes nothing.
    pub(crate) fn compute(target: impl Into<String>) -> Self {
        Self { outgoing: outgoing(Method::POST, target.into()), writes: false, repeatable: true }
    }

    /// A request that writes.
    pub(crate) fn write(method: Method, target: impl Into<String>) -> Self {
        Self { outgoing: outgoing(method, target.into()), writes: true, repeatable: false }
    }

    /// Says who writes.
    pub(crate) fn author(mut self, author: &str) -> Self {
        put_header(&mut self.outgoing.headers, AUTHOR_HEADER, &utf8_percent_encode(author, PART).to_string());
        self
    }

    /// Demands that nothing is there yet.
    pub(crate) fn if_absent(mut self) -> Self {
        put_header(&mut self.outgoing.headers, header::IF_NONE_MATCH, "*");
        self
    }

    /// Demands the revision that touched it last.
    pub(crate) fn if_modified(mut self, revision: Revision) -> Self {
        self.outgoing.headers.insert(header::IF_MATCH, etag(revision));
        self
    }

    /// Shows a token. No log and no error holds the headers of a request.
    pub(crate) fn bearer(mut self, token: &SecretText) -> Self {
        if let Ok(value) = authorization(token) {
            self.outgoing.headers.insert(header::AUTHORIZATION, value);
        }
        self
    }

    /// Gives a write its id, which makes a repetition harmless.
    pub(crate) fn request_id(mut self, id: &str) -> Self {
        put_header(&mut self.outgoing.headers, REQUEST_ID_HEADER, id);
        self.repeatable = true;
        self
    }

    /// Gives the request a body in JSON, wiped from memory when the request is done. One that the server would refuse as too
    /// large is not sent: the server would close the connection on it.
    pub(crate) fn body(mut self, body: &impl Serialize, limit: usize) -> Result<Self, Problem> {
        let mut bytes = Zeroizing::new(Vec::new());
        serde_json::to_writer(&mut *bytes, body)
            .map_err(|error| Problem::from_error(ProblemKind::Internal, "E_ENCODE", &error))?;
        if bytes.len() > limit {
            let message = format!("the request has {} bytes, a server takes {limit}", bytes.len());
            return Err(Problem::new(ProblemKind::Invalid, "E_TOO_LARGE", message).help("send less at once"));
        }
        self.outgoing.body = Bytes::from_owner(bytes);
        Ok(self)
    }

    /// Sends the request once.
    pub(crate) fn once(self, transport: &Transport, patience: Duration) -> Result<Incoming, ExchangeError> {
        transport.exchange(self.outgoing, patience)
    }

    /// Sends the request once and hands each piece of a good answer to `sink`, as it comes; inside, how the sink ended.
    pub(crate) fn stream(
        self,
        transport: &Transport,
        patience: Duration,
        sink: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>, Problem> {
        match transport.stream(self.outgoing, patience, sink) {
            Ok(Streamed::Whole) => Ok(Ok(())),
            Ok(Streamed::Stopped(error)) => Ok(Err(error)),
            Ok(Streamed::Refused(answer)) => Err(problem_of(&answer).unwrap_or_else(|| {
                Problem::new(ProblemKind::Internal, "E_ANSWER", format!("the server answered {}", answer.status))
                    .help("use a client and a server of the same release")
            })),
            Err(error) => Err(failure(transport.endpoint(), &error, false)),
        }
    }

    /// Sends the request, again where that is safe, and gives the answer unless it is a problem.
    pub(crate) fn send(self, transport: &Transport, patience: Duration) -> Result<Incoming, Problem> {
        let Self { outgoing, writes, repeatable } = self;
        let begun = Instant::now();
        let in_time = || begun.elapsed() < CLIENT_RETRY_MAX;
        // Whether the server was there and went away, and whether it may have seen the request.
        let (mut lost, mut seen) = (false, false);
        loop {
            let error = match transport.exchange(outgoing.clone(), patience) {
                Ok(answer) => match problem_of(&answer) {
                    None => return Ok(answer),
                    Some(problem) if problem.code == BUSY && in_time() => {
                        std::thread::sleep(CLIENT_RETRY_REST);
                        continue;
                    }
                    Some(problem) => return Err(problem),
                },
                Err(error) => error,
            };
            seen |= !error.never_sent();
            let connection_lost = matches!(error, ExchangeError::Lost { .. });
            let again = error.server_gone() && (lost || connection_lost) && (repeatable || !seen);
            if !again || !in_time() {
                return Err(failure(transport.endpoint(), &error, writes && seen));
            }
            tracing::debug!(%error, method = %outgoing.method, "repeating a request that is safe to repeat");
            // The first repetition comes at once: most often a kept connection had been closed.
            if lost {
                std::thread::sleep(CLIENT_RETRY_REST);
            }
            lost = true;
        }
    }
}

/// Whether the server's certificate does not count now, as the clock here says.
fn is_about_time(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<WrongTime>())
}

/// A failed exchange as a problem; `in_doubt` says that it was a write which may have been carried out.
pub(crate) fn failure(endpoint: &Endpoint, error: &ExchangeError, in_doubt: bool) -> Problem {
    let pid = endpoint.socket().and_then(server_pid);
    let over_network = endpoint.socket().is_none();
    let socket = endpoint;
    let (kind, code, message, help) = match error {
        ExchangeError::Absent | ExchangeError::Stale if over_network => (
            ProblemKind::Unavailable,
            "E_NO_SERVER",
            format!("nobody answers at `{socket}`"),
            "check the address, and that `reconcile serve --listen` runs there",
        ),
        ExchangeError::Connect(error) if over_network && is_about_time(error) => (
            ProblemKind::Unavailable,
            "E_CONNECT",
            format!("cannot connect to `{socket}`"),
            "check this machine's clock; if it is right, the server needs another certificate",
        ),
        ExchangeError::Connect(_) if over_network => (
            ProblemKind::Unavailable,
            "E_CONNECT",
            format!("cannot connect to `{socket}`"),
            "check the address; for `https` also that the server's certificate is one that you trust (`SSL_CERT_FILE`)",
        ),
        ExchangeError::Absent => (
            ProblemKind::Unavailable,
            "E_NO_SERVER",
            format!("there is no server at `{socket}`"),
            "start one there with `reconcile serve`",
        ),
        ExchangeError::Stale => (
            ProblemKind::Unavailable,
            "E_STALE_SOCKET",
            format!("a server was at `{socket}` and is gone"),
            "start it again with `reconcile serve`; it replaces the socket",
        ),
        ExchangeError::Connect(_) if endpoint.socket().is_some_and(is_closed_off) => (
            ProblemKind::Unavailable,
            "E_CONNECT",
            format!("the folder of `{socket}` cannot be entered"),
            "it is another user's: run this as that user, or ask a server of that store with `--server`",
        ),
        ExchangeError::Connect(_) => (
            ProblemKind::Unavailable,
            "E_CONNECT",
            format!("cannot connect to `{socket}`"),
            "check that the socket is yours: a server's socket is for its own user",
        ),
        ExchangeError::Lost { source: Some(error), .. } if over_network && error.is_parse() => (
            ProblemKind::Unavailable,
            "E_FOREIGN_SERVER",
            format!("what answers at `{socket}` speaks no HTTP there"),
            "check the address and its port; that of a server with a certificate begins with `https://`",
        ),
        ExchangeError::Lost { .. } => (
            ProblemKind::Unavailable,
            "E_SERVER_LOST",
            format!("the server at `{socket}` went away before it answered"),
            "look at the server's log, then try again",
        ),
        ExchangeError::Silent(patience) => {
            let (who, help) = match pid {
                Some(pid) => (
                    format!("the server at `{socket}` (process {pid})"),
                    format!("see what it does; if it hangs, stop it with `kill {pid}` and start it again"),
                ),
                None => (
                    format!("the server at `{socket}`"),
                    "see what it does; if it hangs, stop it and start it again".to_owned(),
                ),
            };
            let message = format!("{who} did not answer within {} seconds", patience.as_secs());
            let problem = Problem::new(ProblemKind::Unavailable, "E_SERVER_SILENT", message).help(help);
            return if in_doubt { doubted(problem) } else { problem };
        }
        ExchangeError::TooLarge => (
            ProblemKind::Failed,
            "E_ANSWER_TOO_LARGE",
            format!("the answer of the server at `{socket}` is too large"),
            "ask for less, with `--only` or a limit",
        ),
        ExchangeError::Foreign if over_network => (
            ProblemKind::Unavailable,
            "E_FOREIGN_SERVER",
            format!("what answers at `{socket}` is no Holdfast server"),
            "check the address; a server with a certificate is asked by `https`, one without by `http`",
        ),
        ExchangeError::Foreign => (
            ProblemKind::Unavailable,
            "E_FOREIGN_SERVER",
            format!("what answers at `{socket}` is no Holdfast server"),
            "stop it, or choose another store",
        ),
        ExchangeError::Protocol(theirs) => (
            ProblemKind::Unavailable,
            "E_PROTOCOL",
            format!("the server at `{socket}` speaks protocol `{theirs}`, this program speaks `{PROTOCOL}`"),
            "use a `reconcile` of the server's release, or restart the server with this one",
        ),
    };
    let mut problem = Problem::new(kind, code, message).help(help);
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    problem.causes.extend(causes.map(ToString::to_string));
    if in_doubt { doubted(problem) } else { problem }
}

/// Says that nobody knows whether a write was carried out.
fn doubted(mut problem: Problem) -> Problem {
    problem.causes.push("the request had been sent: whether it was carried out is not known".to_owned());
    problem.help = Some("look at `reconcile history` before you repeat it".to_owned());
    problem
}

fn outgoing(method: Method, target: String) -> Outgoing {
    Outgoing { method, target, headers: HeaderMap::new(), body: Bytes::new() }
}

/// Sets a header; a value that no header can hold is left to the server's rules for a missing one.
fn put_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A target of encoded parts and parameters; parameters without a value are left out.
pub(crate) fn target(parts: &[&str], parameters: &[(&str, Option<String>)]) -> String {
    let mut target = String::from("/v1");
    for part in parts {
        target.push('/');
        target.extend(utf8_percent_encode(part, PART));
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { target } else { format!("{target}?{query}") }
}

/// The text of a parameter.
pub(crate) fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

/// Reads the body of an answer.
pub(crate) fn decode<T: DeserializeOwned>(answer: &Incoming) -> Result<T, Problem> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        Problem::from_error(ProblemKind::Internal, "E_ANSWER", &error)
            .help("use a client and a server of the same release")
    })
}

/// The problem that an answer tells, if it tells one.
pub(crate) fn problem_of(answer: &Incoming) -> Option<Problem> {
    if answer.status.is_success() || is_failed_txn(answer) {
        return None;
    }
    match serde_json::from_slice::<ProblemBody>(&answer.body) {
        Ok(body) => Some(body.into_problem()),
        Err(_) => Some(
            Problem::new(
                ProblemKind::Internal,
                "E_ANSWER",
                format!("the server answered {} without a reason", answer.status),
            )
            .help("look at the server's log"),
        ),
    }
}

/// A transaction whose conditions did not hold is an answer and no problem.
fn is_failed_txn(answer: &Incoming) -> bool {
    let json = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    answer.status == StatusCode::PRECONDITION_FAILED && json
}
