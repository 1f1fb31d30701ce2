//! `reconcile token create|list|revoke`: what clients on the network show. A token is printed once, by the command that makes it.

use holdfast_reconciler::plane::{Reach, TokenInfo, TokenRequest, TokenRevocation};
use serde::Serialize;

use super::Run;
use crate::args::{TokenCreateArgs, TokenVerb};
use crate::connect;
use crate::error::{Exit, Failure};
use crate::project;
use crate::render::ink::Text;
use crate::render::listing;

/// The list as JSON, as the server's answer has it.
#[derive(Serialize)]
struct List {
    tokens: Vec<TokenInfo>,
}

/// Runs the verb.
pub(super) fn run(run: &Run, verb: TokenVerb) -> Result<Exit, Failure> {
    match verb {
        TokenVerb::List(_) => {
            let (plane, _) = run.ask()?;
            let list = List { tokens: plane.tokens(&Reach::All)? };
            run.output.data(&list, || listing::tokens(&list.tokens))?;
        }
        TokenVerb::Create(args) => create(run, args)?,
        TokenVerb::Revoke(args) => {
            let (plane, _) = run.ask()?;
            let author = run.setting.author(args.author.as_deref());
            let request = TokenRevocation { token: args.token.clone(), within: Reach::All, author };
            let receipt = plane.revoke_token(&request)?;
            let mut told = Text::new();
            told.line(format!("Revoked the token {} in {}", args.token, receipt.revision));
            run.output.data(&receipt, || told)?;
        }
    }
    Ok(Exit::Done)
}

fn create(run: &Run, args: TokenCreateArgs) -> Result<(), Failure> {
    let TokenCreateArgs { name, role, orgs, all_orgs, expires_in, author } = args;
    let directory = run.setting.project(None);
    let org = project::org(&run.setting, &directory, &run.output)?;
    let reach = match (all_orgs, orgs.is_empty()) {
        (true, _) => Some(Reach::All),
        (false, false) => Some(Reach::Orgs(orgs.into_iter().collect())),
        (false, true) => org.map(Reach::one),
    };
    let plane = connect::or_new(&run.setting, &run.setting.store(&directory), &run.output)?;
    let author = run.setting.author(author.as_deref());
    let made = plane.create_token(&TokenRequest { name, role, reach, life_ms: Some(expires_in.millis), author })?;
    let mut shown = Text::new();
    shown.line(made.token.expose());
    run.output.data(&made, || shown)?;
    let TokenInfo { name, role, reach, expires, .. } = &made.info;
    run.output.say(format!("made the token {name}: {role} for {reach}, until {expires}; it is shown this once"));
    Ok(())
}
