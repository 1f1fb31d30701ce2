//! Routes about the store as a whole: alive, ready, head, status, verification.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use holdfast_reconciler::plane::{Moment, Reach};

use super::{Answer, at_revision, json, tagged};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::router::App;
use crate::wire::Ready;

/// `GET /healthz`: the process answers; it says nothing about the store.
pub(crate) async fn healthz(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    json(app.hello.as_ref())
}

/// `GET /readyz`: the store can be read and written.
pub(crate) async fn readyz(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let revision = app.gate.call(Lane::Read, |plane| plane.ready()).await?;
    app.gate.saw(revision);
    Ok(at_revision(json(&Ready { status: "ready".to_owned(), revision })?, revision))
}

/// `GET /metrics`: counts of the server for Prometheus, and of the sources of the organisations that the token is for.
pub(crate) async fn metrics(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let reach = ask.reach();
    let all_orgs = reach == Reach::All;
    let measures = app.gate.call(Lane::Read, move |plane| plane.measures(&reach)).await?;
    let head = measures.head;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))];
    Ok(at_revision((kind, app.metrics.text(&measures, all_orgs)).into_response(), head))
}

/// `GET /v1/head`: the newest commit, or with `at` the one that was the newest then.
pub(crate) async fn head(State(app): State<App>, mut ask: Ask) -> Answer {
    let at: Option<Moment> = ask.take("at")?;
    ask.finish()?;
    if let Some(at) = at {
        let head = app.gate.call(Lane::Read, move |plane| plane.head_at(at)).await?;
        return Ok(tagged(at_revision(json(&head)?, head.revision), head.revision));
    }
    let head = app.gate.head().await?;
    if ask.already_has(head.revision) {
        return Ok(at_revision(super::not_modified(head.revision), head.revision));
    }
    Ok(tagged(at_revision(json(&head)?, head.revision), head.revision))
}

/// `GET /v1/status`.
pub(crate) async fn status(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let status = app.gate.call(Lane::Read, move |plane| plane.status(ask.org.as_ref())).await?;
    let revision = status.head.revision;
    Ok(at_revision(json(&status)?, revision).into_response())
}

/// `POST /v1/verify`.
pub(crate) async fn verify(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let found = app.gate.call(Lane::Plan, |plane| plane.verify()).await?;
    Ok(at_revision(json(&found)?, found.revision))
}
