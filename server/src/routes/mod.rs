//! What each route does: parse, ask the plane once, answer. One file for each subject.
//!
//! Never here: deciding anything that the plane decides.

pub(crate) mod commits;
pub(crate) mod compare;
pub(crate) mod followers;
pub(crate) mod health;
pub(crate) mod kv;
pub(crate) mod plans;
pub(crate) mod profiles;
pub(crate) mod resources;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod upkeep;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::resource::{Address, KindName, NameError, ResourceName};
use serde::Serialize;

use crate::protocol::{REVISION_HEADER, etag, revision_value};
use crate::refusal::Refusal;

/// An answer or a refusal.
pub(crate) type Answer = Result<Response, Refusal>;

/// An answer in JSON.
pub(crate) fn json(body: &impl Serialize) -> Answer {
    Ok(json_bytes(encode(body)?))
}

/// An answer that is JSON already.
pub(crate) fn json_bytes(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(bytes)).into_response()
}

/// The JSON form of an answer.
pub(crate) fn encode(body: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(body).map_err(|error| Problem::from_error(ProblemKind::Internal, "E_ENCODE", &error))
}

/// Marks an answer with the revision of what it tells.
pub(crate) fn at_revision(mut response: Response, revision: Revision) -> Response {
    response.headers_mut().insert(REVISION_HEADER, revision_value(revision));
    response
}

/// Marks an answer with its entity tag.
pub(crate) fn tagged(mut response: Response, revision: Revision) -> Response {
    response.headers_mut().insert(header::ETAG, etag(revision));
    response
}

/// The answer to a client that already has it.
pub(crate) fn not_modified(revision: Revision) -> Response {
    tagged(StatusCode::NOT_MODIFIED.into_response(), revision)
}

/// The address that two parts of a path name.
pub(crate) fn address(kind: &str, name: &str) -> Result<Address, Refusal> {
    let malformed = |error: NameError| {
        Refusal::invalid("E_NAME", error.to_string(), "a resource is named `kind/name`, such as `settings/triage`")
    };
    Ok(Address::new(KindName::new(kind).map_err(malformed)?, ResourceName::new(name).map_err(malformed)?))
}
