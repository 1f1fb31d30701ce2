//! Routes about live resources: read, and edited as an actor.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use holdfast_reconciler::plane::{Edit, EditRequest, OriginQuery, ResourcesQuery};
use holdfast_reconciler::resource::Address;

use super::{Answer, address, at_revision, json, not_modified, tagged};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::EDIT_BODY_BYTES_MAX;
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
        kinds: ask.flag("kinds")?.unwrap_or(false),
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

/// `GET /v1/explain/{kind}/{name}`: where the values of a resource, or one of them, come from.
pub(crate) async fn origins(State(app): State<App>, At((kind, name)): At<(String, String)>, mut ask: Ask) -> Answer {
    let query = OriginQuery {
        org: ask.org.clone(),
        address: address(&kind, &name)?,
        field: ask.take("field")?,
        at: ask.moment(&app, "at").await?,
        limit: ask.limit()?,
    };
    ask.finish()?;
    let origins = app.gate.call(Lane::Read, move |plane| plane.origins(&query)).await?;
    Ok(at_revision(json(&origins)?, origins.revision))
}

/// `PATCH /v1/resources/{kind}/{name}`: a JSON merge patch of its fields; with `If-None-Match: *` it is made.
pub(crate) async fn patch(
    State(app): State<App>,
    At((kind, name)): At<(String, String)>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let address = address(&kind, &name)?;
    let making = ask.must_be_absent()?;
    let body = app.bodies.read(&headers, body, EDIT_BODY_BYTES_MAX).await?;
    let fields = body.json()?;
    edit(&app, ask, address, if making { Edit::Create(fields) } else { Edit::Merge(fields) }).await
}

/// `DELETE /v1/resources/{kind}/{name}`: deletes it with the resources that go with it.
pub(crate) async fn delete(State(app): State<App>, At((kind, name)): At<(String, String)>, ask: Ask) -> Answer {
    let address = address(&kind, &name)?;
    edit(&app, ask, address, Edit::Delete).await
}

async fn edit(app: &App, mut ask: Ask, address: Address, edit: Edit) -> Answer {
    let (allow_break, allow_delete) = (ask.take_words("allow_break"), ask.count("allow_delete")?);
    let message = ask.take("message")?.unwrap_or_default();
    ask.finish()?;
    let (if_modified, author) = (ask.if_match()?, ask.author());
    let (org, request_id) = (ask.org, ask.request_id);
    let request =
        EditRequest { org, address, edit, if_modified, allow_delete, allow_break, author, message, request_id };
    let receipt = app.gate.call(Lane::Write, move |plane| plane.edit(&request)).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}
