//! Routes about access tokens. A token comes out once, in the answer that made it.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{Reach, TokenRequest, TokenRevocation};

use super::{Answer, at_revision, json};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::SMALL_BODY_BYTES_MAX;
use crate::router::{App, At};
use crate::wire::{TokenCreateBody, TokensAnswer};

/// `GET /v1/tokens`: those that are for no organisation beyond the asking token's.
pub(crate) async fn list(State(app): State<App>, ask: Ask) -> Answer {
    ask.finish()?;
    let within = ask.reach();
    let tokens = app.gate.call(Lane::Read, move |plane| plane.tokens(&within)).await?;
    json(&TokensAnswer { tokens })
}

/// `POST /v1/tokens`: makes one, of no more than the asking token may itself.
pub(crate) async fn create(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, SMALL_BODY_BYTES_MAX).await?;
    let TokenCreateBody { name, role, reach, life_ms } = body.json()?;
    let reach =
        reach.or_else(|| ask.org.clone().map(Reach::one)).or_else(|| ask.reach().only().cloned().map(Reach::one));
    let beyond = match &reach {
        Some(reach) => !ask.reach().covers(reach),
        // The plane's rule would name an organisation that is not known here.
        None => ask.reach() != Reach::All,
    };
    if beyond {
        let message = format!("a token that is for {} can make none that is for more", ask.reach());
        let problem = Problem::new(ProblemKind::Forbidden, "E_FOREIGN_ORG", message);
        return Err(problem.help("name organisations that your own token is for").into());
    }
    let request = TokenRequest { name, role, reach, life_ms, author: ask.author() };
    let made = app.gate.call(Lane::Write, move |plane| plane.create_token(&request)).await?;
    app.gate.saw(made.info.modified);
    let mut response = at_revision(json(&made)?, made.info.modified);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `DELETE /v1/tokens/{token}`: revokes the token of this id or name.
pub(crate) async fn revoke(State(app): State<App>, At(token): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let request = TokenRevocation { token, within: ask.reach(), author: ask.author() };
    let receipt = app.gate.call(Lane::Write, move |plane| plane.revoke_token(&request)).await?;
    app.gate.saw(receipt.revision);
    Ok(at_revision(json(&receipt)?, receipt.revision))
}
