//! Sealed plans as files: written by `--dry-run --out`, read by `apply FILE` and `show FILE`.
//!
//! Never here: what a sealed plan holds and when it is stale; the reconciler says both.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use holdfast_engine::Revision;
use holdfast_reconciler::desired::Declared;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::manifest::{Folder, environment, reread};
use holdfast_reconciler::plan::PlanRequest;
use holdfast_reconciler::seal::{Seal, Sealed, SealedPlan, SealedPlanError};

use super::Run;
use super::apply::{Asked, Consent, run_drafted};
use super::plan::Drafted;
use crate::again::again;
use crate::args::{ApplyArgs, PlanArgs};
use crate::connect;
use crate::error::{Exit, Failure};

/// The largest sealed plan that is read.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Writes a sealed plan; the file is whole or not there.
pub(super) fn write(path: &Path, sealed: Sealed, request: &PlanRequest) -> Result<(), Failure> {
    let file = SealedPlan::new(sealed, request.clone()).map_err(|error| {
        let problem = Problem::from_error(ProblemKind::Failed, "E_PLAN_FILE", &error);
        Failure::from(problem)
            .help("write a reference such as `$NAME` into the manifest; a file must not hold the secret")
    })?;
    let failed = |error: &std::io::Error| {
        Failure::io("E_PLAN_FILE", format!("cannot write the plan `{}`", path.display()), error)
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut out| {
        out.write_all(&file.to_json())?;
        out.sync_all()
    });
    let moved = written.and_then(|()| std::fs::rename(&beside, path));
    moved.map_err(|error| {
        // What was written so far is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
        failed(&error)
    })
}

/// Reads a sealed plan.
pub(super) fn read(path: &Path) -> Result<SealedPlan, Failure> {
    let what = format!("the plan `{}`", path.display());
    let failed = |error: &std::io::Error| Failure::io("E_PLAN_FILE", format!("cannot read {what}"), error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::new("E_PLAN_FILE", format!("{what} has over {FILE_BYTES_MAX} bytes")));
    }
    SealedPlan::parse(&bytes).map_err(|error| {
        let help = match &error {
            SealedPlanError::Form(_) => "`reconcile --dry-run --out FILE` writes one",
            SealedPlanError::Version { .. } => "apply it with the program that wrote it, or make it anew",
            SealedPlanError::Changed | SealedPlanError::Literal { .. } => "make the plan anew; it cannot be edited",
        };
        let mut problem = Problem::new(ProblemKind::Invalid, "E_PLAN_FILE", format!("cannot use {what}"));
        problem.causes.push(error.to_string());
        problem.help(help).into()
    })
}

/// Applies a sealed plan.
pub(super) fn apply(run: &Run, args: &ApplyArgs) -> Result<Exit, Failure> {
    let SealedPlan { plan, seal, mut request, .. } = read(&run.setting.path(&args.file))?;
    let directory = run.setting.project(None);
    read_values(run, &directory, &mut request)?;
    check_values(&seal, &request)?;
    let store = run.setting.store(&directory);
    let plane = connect::existing(&run.setting, &store, &run.output)?;
    if plane.is_none() && (seal.revision > Revision::ZERO || seal.store.is_some()) {
        return Err(connect::no_store(&store));
    }
    if seal.revision == Revision::ZERO && run.setting.global.server.is_none() {
        // Such a plan fits any store that is empty, so where it goes depends on where this is called.
        run.output.say(format!("the plan begins a store, here `{}`", store.display()));
    }
    let drafted = Drafted { request, plan, store, plane, seal: Some(seal) };
    let consent = Consent {
        yes: args.yes,
        allow_delete: args.allow_delete,
        author: args.author.as_deref(),
        message: args.message.as_deref(),
    };
    let look = again(&[OsString::new(), "show".into(), args.file.clone().into()], "").trim_end().to_owned();
    run_drafted(run, &Asked { shown: &PlanArgs::default(), consent, wait: args.waits(), look }, drafted)
}

/// Reads the secret values again, by the references that the plan has.
fn read_values(run: &Run, directory: &Path, request: &mut PlanRequest) -> Result<(), Failure> {
    let folder = Folder::open(directory).map_err(|error| {
        Failure::io("E_PROJECT", format!("cannot open the project `{}`", directory.display()), &error)
    })?;
    let (variables, diagnostics) = environment(&folder, run.setting.environment.clone());
    run.output.diagnostics(&diagnostics);
    reread(&mut request.desired, &folder, &variables);
    Ok(())
}

/// Refuses a plan that was made with values of which some are not here, before anybody is asked.
fn check_values(seal: &Seal, request: &PlanRequest) -> Result<(), Failure> {
    let planned = |declared: &Declared, path: &String| {
        seal.tags.get(&declared.address).is_some_and(|tags| tags.contains_key(path))
    };
    let missing = request.desired.resources.iter().flat_map(|declared| {
        let secrets = declared.secrets.iter();
        let secrets = secrets.filter(move |(path, secret)| secret.value.is_none() && planned(declared, path));
        secrets.map(|(_, secret)| format!("`{}`", secret.origin))
    });
    let mut missing: Vec<String> = missing.collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("{} had a value when the plan was made and has none here", missing.join(", "));
    Err(Failure::new("E_MISSING_VALUE", message).help("set it and run again; nothing was changed"))
}
