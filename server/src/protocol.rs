//! What client and server agree on before they understand each other: the protocol's version and the names of headers.
//!
//! Never here: routes, bodies, and reading or writing a connection.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use holdfast_engine::Revision;

/// The version of the protocol that this crate speaks. It grows when a program of the version before would misread an answer.
pub const PROTOCOL: &str = "1";

/// Carries the protocol's version, both ways. A request without it is taken as one that somebody wrote by hand.
pub const PROTOCOL_HEADER: HeaderName = HeaderName::from_static("holdfast-protocol");
/// Carries the revision of the state that an answer tells or made.
pub const REVISION_HEADER: HeaderName = HeaderName::from_static("holdfast-revision");
/// Carries the revision that made a raw value.
pub const CREATED_HEADER: HeaderName = HeaderName::from_static("holdfast-created");
/// Carries how often a raw value was written since it was made.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("holdfast-version");
/// Carries the token that a watch begins at.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("holdfast-token");
/// Carries what a follower is given: for which organisations, and whether with what is sealed.
pub const SCOPE_HEADER: HeaderName = HeaderName::from_static("holdfast-scope");
/// Carries where a client that was cut off had come to in a watch.
pub(crate) const LAST_EVENT_HEADER: HeaderName = HeaderName::from_static("last-event-id");
/// Carries who writes, percent-encoded.
pub const AUTHOR_HEADER: HeaderName = HeaderName::from_static("holdfast-author");
/// Carries the request id of a write.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// What the other side's headers say about the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// The version that we speak.
    Ours,
    /// Nothing.
    Unsaid,
    /// Another version, made safe to print.
    Other(String),
}

/// Reads the protocol's version from headers.
pub(crate) fn spoken(headers: &HeaderMap) -> Spoken {
    match headers.get(&PROTOCOL_HEADER) {
        None => Spoken::Unsaid,
        Some(value) if value.as_bytes() == PROTOCOL.as_bytes() => Spoken::Ours,
        Some(value) => Spoken::Other(String::from_utf8_lossy(value.as_bytes()).chars().take(20).collect()),
    }
}

/// A revision as a header's value.
pub(crate) fn revision_value(revision: Revision) -> HeaderValue {
    HeaderValue::from(revision.get())
}

/// The entity tag of something that a revision touched last: the revision in quotes.
pub(crate) fn etag(revision: Revision) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", revision.get())).expect("digits and quotes are legal in a header")
}

/// Reads an entity tag that [`etag`] wrote.
pub(crate) fn revision_of_etag(tag: &str) -> Option<Revision> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}
