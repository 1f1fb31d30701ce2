//! Routes about shared secrets. A value goes in and never comes out.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use holdfast_reconciler::plane::SecretWrite;

use super::{Answer, at_revision, json};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::router::{App, At};
use crate::wire::{SecretBody, SecretsAnswer};

/// `GET /v1/secrets`: names, tags and owners.
pub(crate) async fn list(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let secrets = app.gate.call(Lane::Read, move |plane| plane.secrets(ask.org.as_ref())).await?;
    json(&SecretsAnswer { secrets })
}

/// `PUT /v1/secrets/{name}`.
pub(crate) async fn set(
    State(app): State<App>,
    At(name): At<String>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, SMALL_BODY_BYTES_MAX).await?;
    let SecretBody { value, expires, allow_break } = body.json()?;
    let author = ask.author();
    write(&app, SecretWrite { org: ask.org, name, value: Some(value), expires, author, allow_break }).await
}

/// `DELETE /v1/secrets/{name}`.
pub(crate) async fn remove(State(app): State<App>, At(name): At<String>, mut ask: Ask) -> Answer {
    let allow_break = ask.take_words("allow_break");
    ask.finish()?;
    ask.no_preconditions()?;
    let author = ask.author();
    write(&app, SecretWrite { org: ask.org, name, value: None, expires: None, author, allow_break }).await
}

/// `POST /v1/keys/rotate`: seals everything anew under a new master key.
pub(crate) async fn rotate(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let author = ask.author();
    let rotation = app.gate.call(Lane::Write, move |plane| plane.rotate_secrets(&author)).await?;
    json(&rotation)
}

async fn write(app: &App, write: SecretWrite) -> Answer {
    let receipt = app.gate.call(Lane::Write, move |plane| plane.write_secret(&write)).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}
