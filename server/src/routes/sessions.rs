//! Routes about sessions: look, open, read again, close.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::SessionRequest;

use super::{Answer, at_revision, json};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::refusal::Refusal;
use crate::router::{App, At};
use crate::wire::{SessionBody, TokenBody};

/// `GET /v1/agents/{agent}/session`: what a session would get; opens none.
pub(crate) async fn look(State(app): State<App>, At(agent): At<String>, mut ask: Ask) -> Answer {
    let request = SessionRequest {
        org: ask.org.clone(),
        agent,
        user: ask.user()?,
        at: ask.take("at")?,
        allow_missing: ask.flag("allow_missing")?.unwrap_or(false),
        ephemeral: Vec::new(),
    };
    ask.finish()?;
    let context = app.gate.call(Lane::Read, move |plane| plane.look(&request)).await?;
    Ok(at_revision(json(&context)?, context.revision))
}

/// `GET /v1/agents/{agent}/explain`: every step of the resolution, whether or not there is a session.
pub(crate) async fn explain(State(app): State<App>, At(agent): At<String>, mut ask: Ask) -> Answer {
    let request = SessionRequest {
        org: ask.org.clone(),
        agent,
        user: ask.user()?,
        at: ask.take("at")?,
        ..SessionRequest::default()
    };
    ask.finish()?;
    let explanation = app.gate.call(Lane::Read, move |plane| plane.explain(&request)).await?;
    Ok(at_revision(json(&explanation)?, explanation.revision))
}

/// `POST /v1/agents/{agent}/sessions`: opens a session on the newest revision.
pub(crate) async fn open(
    State(app): State<App>,
    At(agent): At<String>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, SMALL_BODY_BYTES_MAX).await?;
    let SessionBody { user, at, allow_missing } = if body.is_empty() { SessionBody::default() } else { body.json()? };
    let request = SessionRequest { org: ask.org, agent, user, at, allow_missing, ephemeral: Vec::new() };
    let context = app.gate.call(Lane::Read, move |plane| plane.open_session(&request)).await?;
    let mut response = at_revision(json(&context)?, context.revision);
    *response.status_mut() = StatusCode::CREATED;
    if let Some(id) = &context.session {
        let place = HeaderValue::try_from(format!("/v1/sessions/{id}?org={}", context.org));
        let place = place.expect("a session's id and an organisation are letters, digits and dashes");
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `GET /v1/sessions/{id}`: the context as it was opened.
pub(crate) async fn one(State(app): State<App>, At(id): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    let context = app.gate.call(Lane::Read, move |plane| plane.session(ask.org.as_ref(), &id)).await?;
    Ok(at_revision(json(&context)?, context.revision))
}

/// `POST /v1/sessions/{id}/token`: a token for the session's worker.
pub(crate) async fn token(
    State(app): State<App>,
    At(id): At<String>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, SMALL_BODY_BYTES_MAX).await?;
    let TokenBody { life_ms } = if body.is_empty() { TokenBody::default() } else { body.json()? };
    let token = app.gate.call(Lane::Read, move |plane| plane.worker_token(ask.org.as_ref(), &id, life_ms)).await?;
    let mut response = json(&token)?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `GET /v1/session-context`: the context of the session that the worker's token names. The organisation comes from it alone.
pub(crate) async fn context(State(app): State<App>, ask: Ask, headers: HeaderMap) -> Answer {
    if ask.org.is_some() {
        let help = "leave `org` out; the organisation comes from the worker's token";
        return Err(Refusal::invalid("E_QUERY", "this route has no parameter `org`", help));
    }
    ask.finish()?;
    let token = bearer(&headers)?;
    let context = app.gate.call(Lane::Read, move |plane| plane.session_context(&token)).await?;
    Ok(at_revision(json(&context)?, context.revision))
}

/// The token of the header `Authorization`.
fn bearer(headers: &HeaderMap) -> Result<SecretText, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|text| text.split_once(' ')),
        (None, _) | (Some(_), Some(_)) => None,
    };
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(SecretText::new(token.trim().to_owned())),
        Some(_) | None => {
            let problem = Problem::new(ProblemKind::Denied, "E_TOKEN", "there is no worker token");
            Err(problem.help("send it as `Authorization: Bearer hfw_..`").into())
        }
    }
}

/// `DELETE /v1/sessions/{id}`: closes it.
pub(crate) async fn close(State(app): State<App>, At(id): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    app.gate.call(Lane::Read, move |plane| plane.close_session(ask.org.as_ref(), &id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
