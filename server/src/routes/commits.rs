//! Routes that read history.

use axum::extract::State;
use holdfast_engine::Revision;
use holdfast_reconciler::plane::CommitsQuery;

use super::{Answer, json, tagged};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::refusal::Refusal;
use crate::router::{App, At};

/// `GET /v1/commits`: newest first.
pub(crate) async fn list(State(app): State<App>, mut ask: Ask) -> Answer {
    let query =
        CommitsQuery { org: ask.org.clone(), scope: ask.scope()?, before: ask.take("before")?, limit: ask.limit()? };
    ask.finish()?;
    json(&app.gate.call(Lane::Read, move |plane| plane.commits(&query)).await?)
}

/// `GET /v1/commits/{revision}`: one commit with the keys that it touched.
pub(crate) async fn one(State(app): State<App>, At(revision): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    let revision: Revision = revision.parse().map_err(|error: holdfast_engine::RevisionError| {
        Refusal::invalid("E_REVISION", error.to_string(), "write `41` or `r41`")
    })?;
    let commit = app.gate.call(Lane::Read, move |plane| plane.commit(ask.org.as_ref(), revision)).await?;
    Ok(tagged(json(&commit)?, revision))
}
