//! Routes that read live resources.

use axum::extract::State;
use holdfast_reconciler::plane::ResourcesQuery;

use super::{Answer, address, at_revision, json, not_modified, tagged};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::router::{App, At};

/// `GET /v1/resources`: a page, all as of one revision.
pub(crate) async fn list(State(app): State<App>, mut ask: Ask) -> Answer {
    let query = ResourcesQuery {
        org: ask.org.clone(),
        kind: ask.take("kind")?,
        prefix: ask.take("prefix")?,
        at: ask.moment(&app, "at").await?,
        limit: ask.limit()?,
        after: ask.take("after")?,
    };
    ask.finish()?;
    let page = app.gate.call(Lane::Read, move |plane| plane.resources(&query)).await?;
    Ok(at_revision(json(&page)?, page.revision))
}

/// `GET /v1/resources/{kind}/{name}`: one resource; its entity tag is the revision that touched it last.
pub(crate) async fn one(State(app): State<App>, At((kind, name)): At<(String, String)>, mut ask: Ask) -> Answer {
    let address = address(&kind, &name)?;
    let at = ask.moment(&app, "at").await?;
    ask.finish()?;
    let org = ask.org.clone();
    let resource = app.gate.call(Lane::Read, move |plane| plane.resource(org.as_ref(), &address, at)).await?;
    let response = match ask.already_has(resource.modified) {
        true => not_modified(resource.modified),
        false => tagged(json(&resource)?, resource.modified),
    };
    Ok(match at {
        Some(at) => at_revision(response, at),
        None => response,
    })
}
