//! A stream of server-sent events as an answer: one event after the other as the client takes them, a sign of life in between, and an
//! end when the server winds down, the token does not count any more, or nothing can follow.
//!
//! It holds no thread and no queue: the next event is worked out when the client has taken the one before. Never here: what events
//! say, where they come from, and their bytes (`sse.rs`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::resource::OrgId;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use crate::access::Standing;
use crate::gate::Gate;
use crate::metrics::Gauge;
use crate::router::App;
use crate::routes::encode;
use crate::sse::Event;

/// The name of the event that ends a stream which cannot go on; its data is a problem's.
pub(crate) const ERROR: &str = "error";

/// What a stream tells.
pub(crate) trait Telling: Send + Sized + 'static {
    /// What is waited for.
    type Item: Send;
    /// Whether a sign of life tells where the client is: then it comes at its time between other events too, and once more at the
    /// end. Else it comes only where nothing else did.
    const SIGN_IS_PLACE: bool;

    /// The next item. May be cancelled.
    fn next(&mut self) -> impl Future<Output = Result<Self::Item, Problem>> + Send;

    /// The event of an item.
    fn event(&mut self, item: Self::Item) -> impl Future<Output = Result<Event, Problem>> + Send;

    /// The event of a sign of life.
    fn sign(&mut self) -> impl Future<Output = Result<Event, Problem>> + Send;
}

/// A stream that a client reads.
struct Streaming<T> {
    telling: T,
    gate: Arc<Gate>,
    /// The token that it goes on by, if it came over the network.
    standing: Option<Standing>,
    org: Option<OrgId>,
    stopped: watch::Receiver<()>,
    every: Duration,
    /// When the next sign of life is sent.
    due: Instant,
    ended: bool,
    _place: OwnedSemaphorePermit,
    _counted: Gauge,
}

/// Answers with what is told, for as long as the token of the request counts for the organisation. `place` is its place among all.
pub(crate) fn answer<T: Telling>(
    app: &App,
    telling: T,
    standing: Option<Standing>,
    org: Option<OrgId>,
    place: OwnedSemaphorePermit,
) -> Response {
    let every = app.watches.bookmark_every();
    let streaming = Streaming {
        telling,
        gate: Arc::clone(&app.gate),
        standing,
        org,
        stopped: app.watches.stopped(),
        every,
        due: Instant::now() + every,
        ended: false,
        _place: place,
        _counted: app.metrics.watch(),
    };
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))];
    (kind, Body::from_stream(stream::unfold(streaming, Streaming::step))).into_response()
}

impl<T: Telling> Streaming<T> {
    /// The next event's bytes, and the stream after it; none after the last.
    async fn step(mut self) -> Option<(Result<Vec<u8>, Infallible>, Self)> {
        if self.ended {
            return None;
        }
        let item = tokio::select! {
            item = self.telling.next() => Some(item),
            () = sleep_until(self.due) => None,
            _ = self.stopped.changed() => {
                if !T::SIGN_IS_PLACE {
                    return None;
                }
                // The last place is told, so that the client resumes there when the server is back.
                self.ended = true;
                None
            }
        };
        if item.is_none() || !T::SIGN_IS_PLACE {
            self.due = Instant::now() + self.every;
        }
        // A token may have been revoked or have expired while the stream was open: nothing is told by it any more.
        let stands = match &self.standing {
            Some(standing) => standing.check(&self.gate, self.org.as_ref()).await,
            None => Ok(()),
        };
        let event = match (stands, item) {
            (Err(problem), _) | (Ok(()), Some(Err(problem))) => Err(problem),
            (Ok(()), Some(Ok(item))) => self.telling.event(item).await,
            (Ok(()), None) => self.telling.sign().await,
        };
        let event = event.unwrap_or_else(|problem| {
            self.ended = true;
            Event { name: Some(ERROR.to_owned()), id: None, data: serde_json::to_vec(&problem).unwrap_or_default() }
        });
        Some((Ok(event.write()), self))
    }
}

/// An event with its data as JSON.
pub(crate) fn event(name: Option<&str>, id: Option<String>, data: &impl Serialize) -> Result<Event, Problem> {
    Ok(Event { name: name.map(str::to_owned), id, data: encode(data)? })
}
