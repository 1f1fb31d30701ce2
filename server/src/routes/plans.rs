//! Routes that plan and apply.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::PlanRequest;
use holdfast_reconciler::plane::{ApproveRequest, ControlPlane, ImportRequest, ResumeRequest};
use holdfast_reconciler::resource::OrgId;

use super::{Answer, at_revision, encode, json, json_bytes};
use crate::ask::Ask;
use crate::body::from_json;
use crate::gate::Lane;
use crate::limits::{EDIT_BODY_BYTES_MAX, PLAN_BODY_BYTES_MAX};
use crate::problem::json_problem;
use crate::router::App;
use crate::wire::{ApplyBody, PokeAnswer, RollbackBody};

/// `POST /v1/plan`: works out a plan; changes nothing.
pub(crate) async fn plan(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    work_out(app, ask, headers, body, |plane, request| {
        let plan = plane.plan(request)?;
        Ok((plan.base.revision, encode(&plan)?))
    })
    .await
}

/// `POST /v1/seal`: works out a plan with the state that it depends on, to be applied later; changes nothing.
pub(crate) async fn seal(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    work_out(app, ask, headers, body, |plane, request| {
        let sealed = plane.seal(request)?;
        Ok((sealed.plan.base.revision, encode(&sealed)?))
    })
    .await
}

async fn work_out(
    app: App,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
    planned: impl FnOnce(&dyn ControlPlane, &PlanRequest) -> Result<(Revision, Vec<u8>), Problem> + Send + 'static,
) -> Answer {
    ask.finish()?;
    let body = app.bodies.read(&headers, body, PLAN_BODY_BYTES_MAX).await?;
    // A large request takes long to parse and its answer long to write: both happen where blocking is allowed. The body is
    // kept to the end, because its share of the budget stands for what was parsed out of it too.
    let requests = Arc::clone(&app.requests);
    let call = move |plane: &dyn ControlPlane| {
        let mut request = requests.read(&body, ask.org.as_ref()).map_err(|error| json_problem("JSON body", &error))?;
        request.org = settled(&ask, &request)?;
        Ok((planned(plane, &request)?, (request, body)))
    };
    let ((revision, plan), rest) = app.gate.call(Lane::Plan, call).await?;
    // The answer does not wait until a large request is taken apart.
    drop(tokio::task::spawn_blocking(move || drop(rest)));
    Ok(at_revision(json_bytes(plan), revision))
}

/// `POST /v1/apply`: applies what a plan showed, as one commit.
pub(crate) async fn apply(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, PLAN_BODY_BYTES_MAX).await?;
    let call = move |plane: &dyn ControlPlane| {
        let mut request = parse::<ApplyBody>(&body)?.into_request(|said| ask.author_or(said));
        request.plan.org = settled(&ask, &request.plan)?;
        request.request_id = one("request id", "E_REQUEST_ID", ask.request_id, request.request_id)?;
        plane.apply(&request)
    };
    let receipt = app.gate.call(Lane::Write, call).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}

/// `POST /v1/rollback`: puts back what a source declared at an earlier revision, as one commit, with the guards that plans
/// have. With a plan id, as `POST /v1/plan` gives it for the same rollback, it does exactly that or nothing.
pub(crate) async fn rollback(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, EDIT_BODY_BYTES_MAX).await?;
    let call = move |plane: &dyn ControlPlane| {
        let author = ask.author();
        let mut request = parse::<RollbackBody>(&body)?.into_request(author);
        request.plan.org = settled(&ask, &request.plan)?;
        request.request_id = one("request id", "E_REQUEST_ID", ask.request_id, request.request_id)?;
        plane.apply(&request)
    };
    let receipt = app.gate.call(Lane::Write, call).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}

/// `POST /v1/resume`: takes the hold of a source away.
pub(crate) async fn resume(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, EDIT_BODY_BYTES_MAX).await?;
    let mut request: ResumeRequest = if body.is_empty() { ResumeRequest::default() } else { body.json()? };
    request.author = ask.author_or(Some(request.author));
    request.org = ask.settle(request.org, None)?;
    request.request_id = one("request id", "E_REQUEST_ID", ask.request_id, request.request_id)?;
    let receipt = app.gate.call(Lane::Write, move |plane| plane.resume(&request)).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}

/// `POST /v1/approve`: applies a plan that a loop left to somebody.
pub(crate) async fn approve(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, EDIT_BODY_BYTES_MAX).await?;
    let mut request: ApproveRequest = body.json()?;
    request.author = ask.author_or(Some(request.author));
    request.org = ask.settle(request.org, None)?;
    request.request_id = one("request id", "E_REQUEST_ID", ask.request_id, request.request_id)?;
    let receipt = app.gate.call(Lane::Write, move |plane| plane.approve(&request)).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}

/// `POST /v1/poke`: makes the loops look at their sources now, as a webhook of a Git host asks.
pub(crate) async fn poke(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let loops = app.gate.call(Lane::Read, |plane| plane.poke()).await?;
    json(&PokeAnswer { loops })
}

/// `POST /v1/import`: takes exported resources in, as one commit.
pub(crate) async fn import(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, PLAN_BODY_BYTES_MAX).await?;
    let call = move |plane: &dyn ControlPlane| {
        let mut request: ImportRequest = parse(&body)?;
        request.author = ask.author_or(Some(request.author));
        request.org = ask.settle(request.org, None)?;
        request.request_id = one("request id", "E_REQUEST_ID", ask.request_id, request.request_id)?;
        plane.import(&request)
    };
    let imported = app.gate.call(Lane::Write, call).await?;
    let revision = imported.receipt.as_ref().map(|receipt| receipt.revision);
    let response = json(&imported)?;
    Ok(match revision {
        Some(revision) => {
            app.gate.saw(revision);
            at_revision(response, revision)
        }
        None => response,
    })
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    from_json(body).map_err(|error| json_problem("JSON body", &error))
}

/// The organisation that a plan is for: what the request says, else the project, else what the client falls back to.
fn settled(ask: &Ask, request: &PlanRequest) -> Result<Option<OrgId>, Problem> {
    let otherwise = request.desired.org.as_ref().or(request.fallback_org.as_ref());
    ask.settle(request.org.clone(), otherwise)
}

fn one<T: PartialEq>(what: &str, code: &str, outer: Option<T>, inner: Option<T>) -> Result<Option<T>, Problem> {
    match (outer, inner) {
        (Some(outer), Some(inner)) if outer != inner => {
            let message = format!("the request and its body name two different values for the {what}");
            Err(Problem::new(ProblemKind::Invalid, code, message).help("name it once"))
        }
        (outer, inner) => Ok(outer.or(inner)),
    }
}
