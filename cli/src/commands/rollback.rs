//! `reconcile rollback REVISION`: an earlier revision of a source as a plan like any other.
//!
//! Never here: what a rollback puts back and what guards it; the plane decides.

use std::path::Path;

use holdfast_reconciler::desired::{Desired, SourceHint};
use holdfast_reconciler::plan::{PlanOptions, PlanRequest};
use holdfast_reconciler::resource::SourceName;

use super::apply::{Asked, Consent, look, run_drafted};
use super::plan::{Drafted, parts, present};
use super::{Run, revision};
use crate::args::RollbackArgs;
use crate::connect;
use crate::error::{Exit, Failure};
use crate::project::{self, Project};

/// Plans the rollback and shows it, or applies it too.
pub(super) fn run(run: &Run, args: &RollbackArgs) -> Result<Exit, Failure> {
    let plan = &args.plan;
    if plan.against.is_some() || !plan.only.is_empty() || plan.hold {
        return Err(Failure::usage("`rollback` takes no `--against`, `--only` and `--hold`")
            .help("it puts back all that the source declared, and always holds the source"));
    }
    let drafted = draft(run, args)?;
    if plan.dry_run {
        return present(run, plan, drafted);
    }
    let consent = Consent::of(plan)?;
    run_drafted(run, &Asked { shown: plan, consent, wait: plan.waits(), look: look(run, plan) }, drafted)
}

fn draft(run: &Run, args: &RollbackArgs) -> Result<Drafted, Failure> {
    let setting = &run.setting;
    let directory = run.directory(args.plan.directory.as_ref())?;
    let store = setting.store(&directory);
    let plane = connect::required(setting, &store, &run.output)?;
    let org = project::org(setting, &directory, &run.output)?;
    let desired = policy(run, &directory, args.source.as_ref())?;
    let options = PlanOptions {
        allow_delete: args.plan.allow_delete,
        allow_break: args.plan.allow_break.iter().cloned().collect(),
        rollback: Some(revision(&*plane, args.to)?),
        take: args.plan.take.iter().cloned().collect(),
        ..PlanOptions::default()
    };
    let request = PlanRequest { org, fallback_org: None, desired, options };
    let (plan, seal) = match args.plan.out {
        None => (plane.plan(&request)?, None),
        Some(_) => parts(plane.seal(&request)?),
    };
    Ok(Drafted { request, plan, store, plane: Some(plane), seal })
}

/// What the project says of its name, of drift and of protection, if it is the source that is meant. A manifest that is broken must
/// not stand in the way: it may be why somebody rolls back.
fn policy(run: &Run, directory: &Path, named: Option<&SourceName>) -> Result<Desired, Failure> {
    let read = Project::read(&run.setting, directory).ok().and_then(|project| project.desired);
    // The manifests of one project say nothing about another one.
    let is_meant = |of: &SourceHint| named.is_none() || named == of.name.as_ref().or(of.directory.as_ref());
    if let Some(Desired { mut source, digest, on_drift, protect, loop_policy, .. }) =
        read.filter(|desired| is_meant(&desired.source))
    {
        source.name = named.cloned().or(source.name);
        return Ok(Desired { source, digest, on_drift, protect, loop_policy, ..Desired::nothing(None) });
    }
    let name = match named {
        Some(name) => Some(name.clone()),
        None => project::name_of_broken(directory)?,
    };
    run.output.say(
        "note: no manifest of the source is read here: what it protected stays protected, and what somebody set live blocks",
    );
    Ok(Desired::nothing(name))
}
