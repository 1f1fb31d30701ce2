//! Routes about the profiles of users. A value goes in and never comes out.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use holdfast_reconciler::plane::{ProfileChange, ProfileCredential, ProfileWrite, ProfilesQuery};

use super::{Answer, at_revision, json};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::refusal::Refusal;
use crate::router::{App, At};
use crate::wire::{ProfileBody, ProfilesAnswer};

/// `GET /v1/profiles`: users, providers, scopes and tags.
pub(crate) async fn list(State(app): State<App>, mut ask: Ask) -> Answer {
    let user = ask.user()?;
    ask.finish()?;
    let query = ProfilesQuery { org: ask.org, user };
    let profiles = app.gate.call(Lane::Read, move |plane| plane.profiles(&query)).await?;
    json(&ProfilesAnswer { profiles })
}

/// `PUT /v1/profiles/{user}/{provider}`.
pub(crate) async fn set(
    State(app): State<App>,
    At((user, provider)): At<(String, String)>,
    mut ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let model = ask.take("model")?;
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, SMALL_BODY_BYTES_MAX).await?;
    let ProfileBody { kind, value, secret_ref, expires, allow_break } = body.json()?;
    let credential = match (value, secret_ref) {
        (Some(value), None) => ProfileCredential::Value(value),
        (None, Some(name)) => ProfileCredential::SecretRef(name),
        (None, None) | (Some(_), Some(_)) => {
            let help = "send the credential itself, or the name of a shared secret that holds it";
            return Err(Refusal::invalid("E_JSON", "a profile has either `value` or `secret_ref`", help));
        }
    };
    let (author, change) = (ask.author(), ProfileChange::Set { kind, credential, expires });
    write(&app, ProfileWrite { org: ask.org, user, provider, model, change, author, allow_break }).await
}

/// `DELETE /v1/profiles/{user}/{provider}`.
pub(crate) async fn remove(State(app): State<App>, At((user, provider)): At<(String, String)>, mut ask: Ask) -> Answer {
    let (model, allow_break) = (ask.take("model")?, ask.take_words("allow_break"));
    ask.finish()?;
    ask.no_preconditions()?;
    let (author, change) = (ask.author(), ProfileChange::Remove);
    write(&app, ProfileWrite { org: ask.org, user, provider, model, change, author, allow_break }).await
}

async fn write(app: &App, write: ProfileWrite) -> Answer {
    let receipt = app.gate.call(Lane::Write, move |plane| plane.write_profile(&write)).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}
