//! `reconcile secret set|list|remove`: shared secrets. A value never stands in an argument, where every user of the machine
//! could read it.

use holdfast_engine::Timestamp;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::plane::{SecretInfo, SecretWrite, WriteOutcome, WriteReceipt};

use serde::Serialize;

use super::{Run, given};
use crate::args::{SecretVerb, WriteArgs};
use crate::connect;
use crate::error::{Exit, Failure};
use crate::project;
use crate::render::ink::Text;
use crate::render::listing;

/// The list as JSON, as the server's answer has it.
#[derive(Serialize)]
struct List {
    secrets: Vec<SecretInfo>,
}

/// Runs the verb.
pub(super) fn run(run: &Run, verb: SecretVerb) -> Result<Exit, Failure> {
    match verb {
        SecretVerb::List(_) => {
            let (plane, org) = run.ask()?;
            let list = List { secrets: plane.secrets(org.as_ref())? };
            run.output.data(&list, || listing::secrets(&list.secrets))?;
        }
        SecretVerb::Set(args) => {
            let value = given::value(run, &args.value)?;
            write(run, args.name, Some((value, args.expires)), args.write)?;
        }
        SecretVerb::Remove(args) => write(run, args.name, None, args.write)?,
        SecretVerb::Rotate(args) => {
            let (plane, _) = run.ask()?;
            let rotation = plane.rotate_secrets(&run.setting.author(args.author.as_deref()))?;
            run.output.data(&rotation, || listing::rotation(&rotation))?;
            if rotation.key.is_some() {
                run.output
                    .say("old keys stay beside the new one, for backups and other stores; keep a copy of the keys");
            }
        }
    }
    Ok(Exit::Done)
}

fn write(
    run: &Run,
    name: String,
    value: Option<(SecretText, Option<Timestamp>)>,
    args: WriteArgs,
) -> Result<(), Failure> {
    let directory = run.setting.project(None);
    let org = project::org(&run.setting, &directory, &run.output)?;
    let store = run.setting.store(&directory);
    let plane = match &value {
        Some(_) => connect::or_new(&run.setting, &store, &run.output)?,
        None => connect::required(&run.setting, &store, &run.output)?,
    };
    let verb = if value.is_some() { "Set" } else { "Removed" };
    let (value, expires) = value.unzip();
    let receipt = plane.write_secret(&SecretWrite {
        org,
        name: name.clone(),
        value,
        expires: expires.flatten(),
        author: run.setting.author(args.author.as_deref()),
        allow_break: args.allow_break.into_iter().collect(),
    })?;
    run.output.data(&receipt, || told(verb, &name, &receipt))
}

fn told(verb: &str, name: &str, receipt: &WriteReceipt) -> Text {
    let mut text = Text::new();
    match receipt.outcome {
        WriteOutcome::Committed | WriteOutcome::Replayed => text.line(format!("{verb} {name} in {}", receipt.revision)),
        WriteOutcome::Unchanged => text.line(format!("there is no secret {name}; {} stays", receipt.revision)),
    };
    text
}
