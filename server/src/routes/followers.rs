//! Routes for followers: being fed, and telling where one is. Both are about the organisations of the token that is shown, or about
//! all of them over the socket.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use holdfast_engine::Digest;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::follow::{FollowFeed, FollowItem};
use holdfast_reconciler::plane::{FollowRequest, FollowerReport, Reach, Role};
use holdfast_reconciler::resource::OrgId;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::{Answer, encode};
use crate::access::Standing;
use crate::ask::Ask;
use crate::events::ERROR;
use crate::follow_wire::{ALIVE, Fed, FollowerBody, MOVED, STATE};
use crate::gate::{Gate, Lane};
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::metrics::Gauge;
use crate::protocol::SCOPE_HEADER;
use crate::router::{App, At};
use crate::sse::Event;

/// `PUT /v1/followers/{id}`: a follower tells where it is.
pub(crate) async fn told(
    State(app): State<App>,
    At(id): At<String>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, SMALL_BODY_BYTES_MAX).await?;
    let FollowerBody { name, place } = body.json()?;
    let report = FollowerReport { owner: ask.owner(), reach: reach(&ask), id, name, place };
    app.gate.call(Lane::Read, move |plane| plane.follower_told(&report)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /v1/followers/{id}`: a follower goes.
pub(crate) async fn left(State(app): State<App>, At(id): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let owner = ask.owner();
    app.gate.call(Lane::Read, move |plane| plane.follower_left(&owner, &id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The organisations that are meant: the one that the request names, else all of the token's.
fn reach(ask: &Ask) -> Reach {
    ask.org.clone().map_or_else(|| ask.reach(), Reach::one)
}

/// `GET /v1/follow`: the state, then every commit, as server-sent events. A follower holds no thread and no queue, like a watch.
pub(crate) async fn follow(State(app): State<App>, mut ask: Ask) -> Answer {
    let from: Option<String> = ask.take("token")?;
    let sealed = ask.take::<bool>("sealed")?.unwrap_or_default();
    let commit = ask.take::<Digest>("commit")?;
    ask.finish()?;
    if sealed {
        ask.needs(Role::Admin)?;
    }
    let reach = reach(&ask);
    let scope = format!("{reach}{}", if sealed { ", sealed" } else { "" });
    let request = FollowRequest { reach, sealed, from, commit };
    let standing = ask.standing()?;
    let place = app.watches.place()?;
    let feed = app.gate.call(Lane::Read, move |plane| plane.follow(&request)).await?;
    let every = app.watches.bookmark_every();
    let fed = Feeding {
        feed,
        gate: Arc::clone(&app.gate),
        standing,
        org: ask.org,
        stopped: app.watches.stopped(),
        every,
        due: Instant::now() + every,
        ended: false,
        _place: place,
        _counted: app.metrics.watch(),
    };
    let events = stream::unfold(fed, Feeding::step);
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))];
    let mut response = (kind, Body::from_stream(events)).into_response();
    if let Ok(scope) = HeaderValue::try_from(scope) {
        response.headers_mut().insert(SCOPE_HEADER, scope);
    }
    Ok::<Response, _>(response)
}

/// A follower that is fed.
struct Feeding {
    feed: Box<dyn FollowFeed>,
    gate: Arc<Gate>,
    /// The token that it goes on by, if it came over the network.
    standing: Option<Standing>,
    org: Option<OrgId>,
    stopped: tokio::sync::watch::Receiver<()>,
    every: std::time::Duration,
    /// When the follower is told that the server lives, if nothing else is told before.
    due: Instant,
    ended: bool,
    _place: OwnedSemaphorePermit,
    _counted: Gauge,
}

impl Feeding {
    /// The next event's bytes, and the feeding after it; none after the last.
    async fn step(mut self) -> Option<(Result<Vec<u8>, Infallible>, Self)> {
        if self.ended {
            return None;
        }
        let item = tokio::select! {
            item = self.feed.next() => Some(item),
            () = sleep_until(self.due) => None,
            _ = self.stopped.changed() => return None,
        };
        self.due = Instant::now() + self.every;
        // A token may have been revoked or have expired meanwhile: nothing is told by it any more.
        let stands = match &self.standing {
            Some(standing) => standing.check(&self.gate, self.org.as_ref()).await,
            None => Ok(()),
        };
        let event = match (stands, item) {
            (Err(problem), _) | (Ok(()), Some(Err(problem))) => Err(problem),
            (Ok(()), Some(Ok(item))) => fed(item),
            (Ok(()), None) => named(Some(ALIVE), &serde_json::Map::new()),
        };
        let event = event.unwrap_or_else(|problem| {
            self.ended = true;
            Event { name: Some(ERROR.to_owned()), id: None, data: serde_json::to_vec(&problem).unwrap_or_default() }
        });
        Some((Ok(event.write()), self))
    }
}

fn fed(item: FollowItem) -> Result<Event, Problem> {
    match Fed::new(item) {
        Fed::State(event) => named(Some(STATE), &event),
        Fed::Commit(event) => named(None, &event),
        Fed::Moved(event) => named(Some(MOVED), &event),
    }
}

fn named(name: Option<&str>, data: &impl Serialize) -> Result<Event, Problem> {
    Ok(Event { name: name.map(str::to_owned), id: None, data: encode(data)? })
}
