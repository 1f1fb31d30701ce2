//! Routes about sessions: look, open, read again, close.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use holdfast_reconciler::plane::SessionRequest;

use super::{Answer, at_revision, json};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::router::{App, At};
use crate::wire::SessionBody;

/// `GET /v1/agents/{agent}/session`: what a session would get; opens none.
pub(crate) async fn look(State(app): State<App>, At(agent): At<String>, mut ask: Ask) -> Answer {
    let request = SessionRequest {
        org: ask.org.clone(),
        agent,
        user: ask.take("user")?,
        at: ask.take("at")?,
        allow_missing: ask.take("allow_missing")?.unwrap_or(false),
        ephemeral: Vec::new(),
    };
    ask.finish()?;
    let context = app.gate.call(Lane::Read, move |plane| plane.look(&request)).await?;
    Ok(at_revision(json(&context)?, context.revision))
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

/// `DELETE /v1/sessions/{id}`: closes it.
pub(crate) async fn close(State(app): State<App>, At(id): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    app.gate.call(Lane::Read, move |plane| plane.close_session(ask.org.as_ref(), &id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
