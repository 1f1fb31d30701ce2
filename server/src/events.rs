//! `GET /v1/watch`: every commit that touches an organisation's keys, once, in order, whole, as server-sent events.
//!
//! A watch holds no thread and no queue: the next event is worked out when the client has taken the one before. Never here:
//! how a watch finds its commits, and how events are written (`sse.rs`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use holdfast_engine::{ResumeToken, Revision};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::watch::{WatchFeed, WatchItem, WatchRequest, WatchStart, token_revision};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::access::Standing;
use crate::ask::Ask;
use crate::event_wire::{BookmarkEvent, CommitEvent, ResyncEvent};
use crate::gate::{Gate, Lane};
use crate::limits::WATCHERS_MAX;
use crate::metrics::Gauge;
use crate::protocol::TOKEN_HEADER;
use crate::refusal::Refusal;
use crate::router::App;
use crate::routes::{Answer, encode};
use crate::sse::Event;

/// The name of the event that tells where a watch is.
pub(crate) const BOOKMARK: &str = "bookmark";
/// The name of the event that replaces everything known.
pub(crate) const RESYNC: &str = "resync";
/// The name of the event that ends a watch which cannot go on; its data is a problem's.
pub(crate) const ERROR: &str = "error";

/// What all watches share.
pub(crate) struct Watches {
    places: Arc<Semaphore>,
    bookmark_every: Duration,
    stopped: watch::Receiver<()>,
}

impl Watches {
    /// Watches end when the sender of `stopped` is gone.
    pub(crate) fn new(bookmark_every: Duration, stopped: watch::Receiver<()>) -> Self {
        Self { places: Arc::new(Semaphore::new(WATCHERS_MAX)), bookmark_every, stopped }
    }

    /// A place among all watches.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| Refusal::busy("too many watches are open"))
    }

    /// How often a client hears of a server of which it hears nothing else.
    pub(crate) fn bookmark_every(&self) -> Duration {
        self.bookmark_every
    }

    /// Changes when the server winds down.
    pub(crate) fn stopped(&self) -> watch::Receiver<()> {
        self.stopped.clone()
    }
}

/// `GET /v1/watch`: begins now, at `from` (a revision or a token), or after `Last-Event-ID`.
pub(crate) async fn watch(State(app): State<App>, mut ask: Ask) -> Answer {
    let from: Option<String> = ask.take("from")?;
    let prefix = ask.take::<String>("prefix")?.unwrap_or_default();
    ask.finish()?;
    let from = from.map(beginning).transpose()?;
    let resumed = ask.last_event.take().filter(|id| !id.is_empty()).map(beginning).transpose()?;
    let start = resumed.or(from).unwrap_or(WatchStart::Now);
    let standing = ask.standing()?;
    let org = ask.org.clone();
    let request = WatchRequest { org: ask.org, prefix, start };
    let place = app.watches.place()?;
    let mut feed = app.gate.call(Lane::Read, move |plane| plane.watch(&request)).await?;
    let token = feed.bookmark().await?;
    let (stopped, every) = (app.watches.stopped(), app.watches.bookmark_every());
    let running = Running {
        feed,
        gate: Arc::clone(&app.gate),
        standing,
        org,
        stopped,
        every,
        due: Instant::now() + every,
        ended: false,
        _place: place,
        _counted: app.metrics.watch(),
    };
    let events = stream::unfold(running, Running::step);
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))];
    let mut response = (kind, Body::from_stream(events)).into_response();
    if let Ok(token) = HeaderValue::try_from(token) {
        response.headers_mut().insert(TOKEN_HEADER, token);
    }
    Ok::<Response, Refusal>(response)
}

/// Where a text says that a watch begins. It is looked at also where another one counts: a misspelt one must not be ignored.
fn beginning(text: String) -> Result<WatchStart, Refusal> {
    if let Ok(revision) = text.parse::<Revision>() {
        return Ok(WatchStart::After(revision));
    }
    match text.parse::<ResumeToken>() {
        Ok(_) => Ok(WatchStart::Token(text)),
        Err(error) => {
            Err(Refusal::invalid("E_TOKEN", error.to_string(), "begin at a revision, as in `from=41`, or leave it out"))
        }
    }
}

/// A watch that a client reads.
struct Running {
    feed: Box<dyn WatchFeed>,
    gate: Arc<Gate>,
    /// The token that the watch goes on by, if it came over the network.
    standing: Option<Standing>,
    org: Option<OrgId>,
    stopped: watch::Receiver<()>,
    every: Duration,
    /// When the next bookmark is sent.
    due: Instant,
    ended: bool,
    _place: OwnedSemaphorePermit,
    _counted: Gauge,
}

impl Running {
    /// The next event's bytes, and the watch after it; none after the last.
    async fn step(mut self) -> Option<(Result<Vec<u8>, Infallible>, Self)> {
        if self.ended {
            return None;
        }
        let item = tokio::select! {
            item = self.feed.next() => Some(item),
            () = sleep_until(self.due) => None,
            _ = self.stopped.changed() => {
                // The last place is told, so that the client resumes there when the server is back.
                self.ended = true;
                None
            }
        };
        // A token may have been revoked or have expired while the watch was open: nothing is told by it any more.
        let stands = match &self.standing {
            Some(standing) => standing.check(&self.gate, self.org.as_ref()).await,
            None => Ok(()),
        };
        let event = match (stands, item) {
            (Err(problem), _) | (Ok(()), Some(Err(problem))) => Err(problem),
            (Ok(()), Some(Ok(item))) => self.event(item).await,
            (Ok(()), None) => self.bookmark().await,
        };
        let event = event.unwrap_or_else(|problem| {
            self.ended = true;
            Event { name: Some(ERROR.to_owned()), id: None, data: serde_json::to_vec(&problem).unwrap_or_default() }
        });
        Some((Ok(event.write()), self))
    }

    async fn event(&mut self, item: WatchItem) -> Result<Event, Problem> {
        match item {
            WatchItem::Commit(commit) => named(None, Some(commit.revision), &CommitEvent::new(commit)),
            WatchItem::Resync(resync) if resync.more => named(Some(RESYNC), None, &ResyncEvent::new(resync, None)),
            WatchItem::Resync(resync) => {
                // Only the last page moves the place to resume from: half a state is none.
                let token = self.feed.bookmark().await?;
                named(Some(RESYNC), Some(resync.revision), &ResyncEvent::new(resync, Some(token)))
            }
        }
    }

    async fn bookmark(&mut self) -> Result<Event, Problem> {
        self.due = Instant::now() + self.every;
        let token = self.feed.bookmark().await?;
        let revision = token_revision(&token)?;
        named(Some(BOOKMARK), Some(revision), &BookmarkEvent { revision, token })
    }
}

fn named(name: Option<&str>, id: Option<Revision>, data: &impl Serialize) -> Result<Event, Problem> {
    let id = id.map(|revision| revision.get().to_string());
    Ok(Event { name: name.map(str::to_owned), id, data: encode(data)? })
}
