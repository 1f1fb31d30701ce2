//! Routes for followers: being fed, and telling where one is. Both are about the organisations of the token that is shown, or about
//! all of them over the socket.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use holdfast_engine::Digest;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::follow::{FollowFeed, FollowItem};
use holdfast_reconciler::plane::{FollowRequest, FollowerRemoval, FollowerReport, Reach, Role};

use super::Answer;
use crate::ask::Ask;
use crate::follow_wire::{ALIVE, Fed, FollowerBody, MOVED, STATE};
use crate::gate::Lane;
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::protocol::SCOPE_HEADER;
use crate::router::{App, At};
use crate::sse::Event;
use crate::streaming::{self, Telling, event};

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
    let FollowerBody { name, place, run } = body.json()?;
    let report = FollowerReport { owner: ask.owner(), reach: reach(&ask), id, name, place, run };
    app.gate.call(Lane::Read, move |plane| plane.follower_told(&report)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /v1/followers/{id}`: a follower goes, or somebody who may says that it will not come back.
pub(crate) async fn left(State(app): State<App>, At(id): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    // Its own anybody may take off, those of others who administers all that they are for.
    let within = ask.needs(Role::Admin).is_ok().then(|| reach(&ask));
    let removal = FollowerRemoval { owner: ask.owner(), within, id };
    app.gate.call(Lane::Read, move |plane| plane.follower_left(&removal)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The organisations that are meant: the one that the request names, else all of the token's.
fn reach(ask: &Ask) -> Reach {
    ask.org.clone().map_or_else(|| ask.reach(), Reach::one)
}

/// `GET /v1/follow`: the state, then every commit, as server-sent events.
pub(crate) async fn follow(State(app): State<App>, mut ask: Ask) -> Answer {
    let from: Option<String> = ask.take("token")?;
    let sealed = ask.flag("sealed")?.unwrap_or_default();
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
    let mut response = streaming::answer(&app, Feeding(feed), standing, ask.org, place);
    if let Ok(scope) = HeaderValue::try_from(scope) {
        response.headers_mut().insert(SCOPE_HEADER, scope);
    }
    Ok(response)
}

/// A follower that is fed.
struct Feeding(Box<dyn FollowFeed>);

impl Telling for Feeding {
    type Item = FollowItem;
    const SIGN_IS_PLACE: bool = false;

    async fn next(&mut self) -> Result<FollowItem, Problem> {
        self.0.next().await
    }

    async fn event(&mut self, item: FollowItem) -> Result<Event, Problem> {
        match Fed::new(item) {
            Fed::State(state) => event(Some(STATE), None, &state),
            Fed::Commit(commit) => event(None, None, &commit),
            Fed::Moved(moved) => event(Some(MOVED), None, &moved),
        }
    }

    async fn sign(&mut self) -> Result<Event, Problem> {
        event(Some(ALIVE), None, &serde_json::Map::new())
    }
}
