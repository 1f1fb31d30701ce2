//! `reconcile profile set|list|remove`: the credentials of single users.

use holdfast_reconciler::plane::{
    ProfileChange, ProfileCredential, ProfileInfo, ProfileWrite, ProfilesQuery, WriteOutcome, WriteReceipt,
};
use serde::Serialize;

use super::{Run, given};
use crate::args::{ProfileRemoveArgs, ProfileSetArgs, ProfileVerb};
use crate::connect;
use crate::error::{Exit, Failure};
use crate::project;
use crate::render::ink::Text;
use crate::render::listing;

/// The list as JSON, as the server's answer has it.
#[derive(Serialize)]
struct List {
    profiles: Vec<ProfileInfo>,
}

/// Runs the verb.
pub(super) fn run(run: &Run, verb: ProfileVerb) -> Result<Exit, Failure> {
    match verb {
        ProfileVerb::List(args) => {
            let (plane, org) = run.ask()?;
            let list = List { profiles: plane.profiles(&ProfilesQuery { org, user: args.user })? };
            run.output.data(&list, || listing::profiles(&list.profiles))?;
        }
        ProfileVerb::Set(args) => set(run, args)?,
        ProfileVerb::Remove(args) => remove(run, args)?,
    }
    Ok(Exit::Done)
}

fn set(run: &Run, args: ProfileSetArgs) -> Result<(), Failure> {
    let ProfileSetArgs { user, provider, model, kind, expires, from_secret, value, write } = args;
    let credential = match from_secret {
        Some(name) => ProfileCredential::SecretRef(name),
        None => ProfileCredential::Value(given::value(run, &value)?),
    };
    let directory = run.setting.project(None);
    let org = project::org(&run.setting, &directory, &run.output)?;
    let plane = connect::or_new(&run.setting, &run.setting.store(&directory), &run.output)?;
    let change = ProfileChange::Set { kind, credential, expires };
    let author = run.setting.author(write.author.as_deref());
    let allow_break = write.allow_break.into_iter().collect();
    let request = ProfileWrite { org, user, provider, model, change, author, allow_break };
    let receipt = plane.write_profile(&request)?;
    run.output.data(&receipt, || told("Set", &request, &receipt))
}

fn remove(run: &Run, args: ProfileRemoveArgs) -> Result<(), Failure> {
    let ProfileRemoveArgs { user, provider, model, write } = args;
    let (plane, org) = run.ask()?;
    let author = run.setting.author(write.author.as_deref());
    let allow_break = write.allow_break.into_iter().collect();
    let request = ProfileWrite { org, user, provider, model, change: ProfileChange::Remove, author, allow_break };
    let receipt = plane.write_profile(&request)?;
    run.output.data(&receipt, || told("Removed", &request, &receipt))
}

fn told(verb: &str, request: &ProfileWrite, receipt: &WriteReceipt) -> Text {
    let ProfileWrite { user, provider, .. } = request;
    let mut text = Text::new();
    match (receipt.outcome, &request.change) {
        (WriteOutcome::Committed | WriteOutcome::Replayed, _) => {
            text.line(format!("{verb} the profile of {user} for {provider} in {}", receipt.revision))
        }
        (WriteOutcome::Unchanged, ProfileChange::Remove) => {
            text.line(format!("{user} has no such profile for {provider}; {} stays", receipt.revision))
        }
        (WriteOutcome::Unchanged, ProfileChange::Set { .. }) => {
            text.line(format!("{user} has this profile for {provider} already; {} stays", receipt.revision))
        }
    };
    text
}
