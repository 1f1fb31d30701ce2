//! The client's end of being fed: one connection, and the items that come over it.
//!
//! Never here: what is done with an item, and connecting again.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use holdfast_engine::{Digest, ResumeToken};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::follow::FollowItem;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::call::{failure, problem_of, target, text};
use crate::endpoint::Endpoint;
use crate::follow_wire::{Fed, MOVED, STATE};
use crate::limits::{CLIENT_EVENT_BYTES_MAX, CLIENT_HELLO_TIMEOUT, CLIENT_WATCH_SILENCE_MAX};
use crate::protocol::SCOPE_HEADER;
use crate::sse::{Event, Reader};
use crate::streaming::ERROR;
use crate::transport::{self, ExchangeError, Outgoing};

/// Where a follower is: a token, and the id of the commit there.
pub(super) type Place = (ResumeToken, Digest);

/// A connection that a follower is fed over.
pub(super) struct Feed {
    endpoint: Endpoint,
    body: Incoming,
    reader: Reader,
    /// What the server gives, in its words: for which organisations, and whether with what is sealed.
    pub(super) scope: String,
}

impl Feed {
    /// Connects, and asks to be fed from a place on.
    pub(super) async fn begin(endpoint: &Endpoint, from: Option<Place>, sealed: bool) -> Result<Self, Problem> {
        let parameters = [
            ("token", text(from.as_ref().map(|(token, _)| token))),
            ("commit", text(from.as_ref().map(|(_, commit)| commit))),
            ("sealed", sealed.then(|| "true".to_owned())),
        ];
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let target = target(&["follow"], &parameters);
        let outgoing = Outgoing { method: Method::GET, target, headers, body: Bytes::new() };
        let begun = timeout(CLIENT_HELLO_TIMEOUT, async {
            let mut sender = transport::connect(endpoint).await?;
            transport::send(&mut sender, outgoing).await
        });
        let lost = |error: ExchangeError| failure(endpoint, &error, false);
        let response = begun.await.unwrap_or(Err(ExchangeError::Silent(CLIENT_HELLO_TIMEOUT))).map_err(lost)?;
        if !response.status().is_success() {
            let answer = transport::read_whole(response).await.map_err(lost)?;
            return Err(problem_of(&answer).unwrap_or_else(unreadable));
        }
        let reader = Reader::new(CLIENT_EVENT_BYTES_MAX);
        let scope = response.headers().get(SCOPE_HEADER).and_then(|scope| scope.to_str().ok()).unwrap_or_default();
        Ok(Self { endpoint: endpoint.clone(), scope: scope.to_owned(), body: response.into_body(), reader })
    }

    /// The items of the next piece that comes; none is no end, only a sign of life. May be cancelled between two pieces.
    pub(super) async fn next(&mut self) -> Result<Vec<FollowItem>, Problem> {
        let lost = |source| failure(&self.endpoint, &ExchangeError::Lost { sent: true, source }, false);
        let frame = match timeout(CLIENT_WATCH_SILENCE_MAX, self.body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(lost(Some(error))),
            Ok(None) => return Err(lost(None)),
            Err(_) => return Err(failure(&self.endpoint, &ExchangeError::Silent(CLIENT_WATCH_SILENCE_MAX), false)),
        };
        let Ok(data) = frame.into_data() else { return Ok(Vec::new()) };
        let events = self.reader.feed(&data).map_err(|_| unreadable())?;
        events.iter().filter_map(|event| item(event).transpose()).collect()
    }
}

/// What an event says; none for a sign of life, or for an event of a later version.
fn item(event: &Event) -> Result<Option<FollowItem>, Problem> {
    let fed = match event.name.as_deref() {
        None | Some("message") => Fed::Commit(decode(event)?),
        Some(STATE) => Fed::State(decode(event)?),
        Some(MOVED) => Fed::Moved(decode(event)?),
        Some(ERROR) => return Err(decode(event)?),
        Some(_) => return Ok(None),
    };
    fed.into_item().ok_or_else(unreadable).map(Some)
}

fn decode<T: DeserializeOwned>(event: &Event) -> Result<T, Problem> {
    serde_json::from_slice(&event.data).map_err(|_| unreadable())
}

fn unreadable() -> Problem {
    Problem::new(ProblemKind::Internal, "E_ANSWER", "the server sent an event that cannot be read")
        .help("use a follower and a server of the same release")
}
