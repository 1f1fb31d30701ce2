//! `GET /v1/watch`: every commit that touches an organisation's keys, once, in order, whole, as server-sent events.
//!
//! Never here: how a watch finds its commits, and how a stream of events goes on and ends (`streaming.rs`).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderValue;
use holdfast_engine::{ResumeToken, Revision};
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::watch::{WatchFeed, WatchItem, WatchRequest, WatchStart, token_revision};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::ask::Ask;
use crate::event_wire::{BookmarkEvent, CommitEvent, ResyncEvent};
use crate::gate::Lane;
use crate::limits::WATCHERS_MAX;
use crate::protocol::TOKEN_HEADER;
use crate::refusal::Refusal;
use crate::router::App;
use crate::routes::Answer;
use crate::sse::Event;
use crate::streaming::{self, Telling, event};

/// The name of the event that tells where a watch is.
pub(crate) const BOOKMARK: &str = "bookmark";
/// The name of the event that replaces everything known.
pub(crate) const RESYNC: &str = "resync";

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
    let mut response = streaming::answer(&app, Watched(feed), standing, org, place);
    if let Ok(token) = HeaderValue::try_from(token) {
        response.headers_mut().insert(TOKEN_HEADER, token);
    }
    Ok(response)
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
struct Watched(Box<dyn WatchFeed>);

impl Telling for Watched {
    type Item = WatchItem;
    const SIGN_IS_PLACE: bool = true;

    async fn next(&mut self) -> Result<WatchItem, Problem> {
        self.0.next().await
    }

    async fn event(&mut self, item: WatchItem) -> Result<Event, Problem> {
        match item {
            WatchItem::Commit(commit) => event(None, Some(id(commit.revision)), &CommitEvent::new(commit)),
            WatchItem::Resync(resync) if resync.more => event(Some(RESYNC), None, &ResyncEvent::new(resync, None)),
            WatchItem::Resync(resync) => {
                // Only the last page moves the place to resume from: half a state is none.
                let token = self.0.bookmark().await?;
                event(Some(RESYNC), Some(id(resync.revision)), &ResyncEvent::new(resync, Some(token)))
            }
        }
    }

    async fn sign(&mut self) -> Result<Event, Problem> {
        let token = self.0.bookmark().await?;
        let revision = token_revision(&token)?;
        event(Some(BOOKMARK), Some(id(revision)), &BookmarkEvent { revision, token })
    }
}

fn id(revision: Revision) -> String {
    revision.get().to_string()
}
