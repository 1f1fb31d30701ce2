//! The client's side of a watch: it reads events, and resumes by itself where it was when the connection ends.
//!
//! Never here: how events stand in a stream (`sse.rs`), and what a watch shows.

use std::collections::VecDeque;

use axum::http::{HeaderMap, Method, header};
use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::watch::{WatchFeed, WatchItem, WatchMark, WatchNext, WatchRequest, WatchStart};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::call::{failure, problem_of, target, text};
use crate::endpoint::Endpoint;
use crate::event_wire::{BookmarkEvent, CommitEvent, ResyncEvent};
use crate::events::{BOOKMARK, RESYNC};
use crate::limits::{
    CLIENT_EVENT_BYTES_MAX, CLIENT_HELLO_TIMEOUT, CLIENT_RETRY_MAX, CLIENT_RETRY_REST, CLIENT_WATCH_SILENCE_MAX,
};
use crate::protocol::TOKEN_HEADER;
use crate::sse::{Event, Reader};
use crate::streaming::ERROR;
use crate::transport::{self, ExchangeError, Outgoing};

/// A watch over a socket. It is driven by the tokio runtime of whoever asks it for the next item.
pub(crate) struct Watching {
    endpoint: Endpoint,
    request: WatchRequest,
    open: Option<Open>,
    /// Read and not given out yet.
    ready: VecDeque<(WatchItem, Option<String>)>,
    /// Everything up to here has been given out.
    token: Option<String>,
}

/// A connection that events come from.
struct Open {
    body: Incoming,
    reader: Reader,
}

impl Watching {
    pub(crate) fn new(endpoint: Endpoint, request: WatchRequest) -> Self {
        Self { endpoint, request, open: None, ready: VecDeque::new(), token: None }
    }

    /// Connects where the watch is, again and again while the server is away, but not for ever.
    async fn connect(&mut self) -> Result<&mut Open, Problem> {
        if self.open.is_none() {
            let begun = Instant::now();
            let mut attempt = self.begin().await;
            // A watch that has been somewhere waits for its server; a new one tells at once that there is none.
            while let Err(Attempt::Gone(error)) = &attempt {
                if self.token.is_none() || begun.elapsed() > CLIENT_RETRY_MAX {
                    return Err(failure(&self.endpoint, error, false));
                }
                sleep(CLIENT_RETRY_REST).await;
                attempt = self.begin().await;
            }
            match attempt {
                Ok((open, token)) => {
                    self.open = Some(open);
                    self.token = self.token.take().or(token);
                }
                Err(Attempt::Refused(problem)) => return Err(*problem),
                Err(Attempt::Gone(error)) => return Err(failure(&self.endpoint, &error, false)),
            }
        }
        Ok(self.open.as_mut().expect("it was just opened"))
    }

    /// Sends the request once.
    async fn begin(&self) -> Result<(Open, Option<String>), Attempt> {
        let WatchRequest { org, prefix, start } = &self.request;
        let from = match (&self.token, start) {
            (Some(token), _) | (None, WatchStart::Token(token)) => Some(token.clone()),
            (None, WatchStart::After(revision)) => Some(revision.get().to_string()),
            (None, WatchStart::Now) => None,
        };
        let prefix = (!prefix.is_empty()).then(|| prefix.clone());
        let parameters = [("org", text(org.as_ref())), ("prefix", prefix), ("from", from)];
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("text/event-stream"));
        let target = target(&["watch"], &parameters);
        let outgoing = Outgoing { method: Method::GET, target, headers, body: axum::body::Bytes::new() };
        let begun = async {
            let mut sender = transport::connect(&self.endpoint).await?;
            transport::send(&mut sender, outgoing).await
        };
        let begun = timeout(CLIENT_HELLO_TIMEOUT, begun).await;
        let response = begun.unwrap_or(Err(ExchangeError::Silent(CLIENT_HELLO_TIMEOUT))).map_err(Attempt::Gone)?;
        if !response.status().is_success() {
            let answer = transport::read_whole(response).await.map_err(Attempt::Gone)?;
            let problem = problem_of(&answer).unwrap_or_else(unreadable);
            return Err(Attempt::Refused(Box::new(problem)));
        }
        let token = response.headers().get(TOKEN_HEADER).and_then(|token| token.to_str().ok()).map(str::to_owned);
        Ok((Open { body: response.into_body(), reader: Reader::new(CLIENT_EVENT_BYTES_MAX) }, token))
    }

    /// The next item.
    async fn item(&mut self) -> Result<WatchItem, Problem> {
        loop {
            if let Some((item, token)) = self.ready.pop_front() {
                self.token = token.or(self.token.take());
                return Ok(item);
            }
            let open = self.connect().await?;
            let piece = timeout(CLIENT_WATCH_SILENCE_MAX, open.body.frame()).await;
            let Ok(Some(Ok(frame))) = piece else {
                // The server went away, or is silent for longer than it ever is: resume.
                self.open = None;
                self.ready.clear();
                continue;
            };
            let events = match frame.into_data() {
                Ok(data) => open.reader.feed(&data).map_err(|_| unreadable())?,
                Err(_) => continue,
            };
            let mut latest = self.token.clone();
            for event in events {
                self.take(event, &mut latest)?;
            }
        }
    }

    /// Takes an event; `latest` is the token after everything that was read.
    fn take(&mut self, event: Event, latest: &mut Option<String>) -> Result<(), Problem> {
        match event.name.as_deref() {
            None | Some("message") => {
                let commit = decode::<CommitEvent>(&event)?.into_commit().ok_or_else(unreadable)?;
                *latest = latest.take().map(|token| moved(&token, commit.revision));
                self.ready.push_back((WatchItem::Commit(commit), latest.clone()));
            }
            Some(RESYNC) => {
                let mut resync = decode::<ResyncEvent>(&event)?;
                if let Some(token) = resync.token.take() {
                    *latest = Some(token);
                }
                let token = latest.clone();
                let resync = resync.into_resync().ok_or_else(unreadable)?;
                let token = if resync.more { None } else { token };
                self.ready.push_back((WatchItem::Resync(resync), token));
            }
            Some(BOOKMARK) => {
                *latest = Some(decode::<BookmarkEvent>(&event)?.token);
                if self.ready.is_empty() {
                    self.token.clone_from(latest);
                }
            }
            Some(ERROR) => return Err(decode(&event)?),
            // An event of a later version.
            Some(_) => {}
        }
        Ok(())
    }
}

/// Why a watch did not begin.
enum Attempt {
    /// The server is away.
    Gone(ExchangeError),
    /// The server refused.
    Refused(Box<Problem>),
}

/// The same place in the same store, at another revision.
fn moved(token: &str, revision: Revision) -> String {
    let place = token.rsplit_once(':').map_or(token, |(place, _)| place);
    format!("{place}:{}", revision.get())
}

fn decode<T: DeserializeOwned>(event: &Event) -> Result<T, Problem> {
    serde_json::from_slice(&event.data).map_err(|_| unreadable())
}

fn unreadable() -> Problem {
    Problem::new(ProblemKind::Internal, "E_ANSWER", "the server sent an event that cannot be read")
        .help("use a client and a server of the same release")
}

impl WatchFeed for Watching {
    fn next(&mut self) -> WatchNext<'_> {
        Box::pin(self.item())
    }

    fn bookmark(&mut self) -> WatchMark<'_> {
        Box::pin(async {
            if self.token.is_none() {
                self.connect().await?;
            }
            self.token.clone().ok_or_else(unreadable)
        })
    }
}
