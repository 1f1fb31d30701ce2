//! The route that compares two revisions.

use axum::extract::State;
use holdfast_engine::Revision;
use holdfast_reconciler::plane::DiffQuery;

use super::{Answer, at_revision, json};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::refusal::Refusal;
use crate::router::App;

/// `GET /v1/diff`: a page of what differs.
pub(crate) async fn diff(State(app): State<App>, mut ask: Ask) -> Answer {
    let from = ask.moment(&app, "from").await?.ok_or_else(|| {
        Refusal::invalid("E_QUERY", "the parameter `from` is missing", "name a revision, as in `from=r41`, or a time")
    })?;
    let to: Option<Revision> = ask.moment(&app, "to").await?;
    let (scope, limit, after) = (ask.scope()?, ask.limit()?, ask.take("after")?);
    ask.finish()?;
    let query = DiffQuery { org: ask.org.clone(), from, to, scope, limit, after };
    let found = app.gate.call(Lane::Plan, move |plane| plane.diff(&query)).await?;
    Ok(at_revision(json(&found)?, found.to.revision))
}
