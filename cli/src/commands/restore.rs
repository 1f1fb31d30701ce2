//! `reconcile restore FILE`: a store made of a backup. One that is there is replaced only when told, and its files are kept.

use std::fs::File;
use std::io::BufReader;

use holdfast_engine::{Existing, Inherited, RestoreError, Restored, SledOptions, restore_with};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::FOLLOWER_REMINDERS;

use super::Run;
use crate::args::RestoreArgs;
use crate::closed::{closed, refused};
use crate::connect::Refused;
use crate::error::{Exit, Failure};
use crate::render::keeping::{self, Made};
use crate::render::text::counted;

/// Restores a backup.
pub(super) fn run(run: &Run, args: &RestoreArgs) -> Result<Exit, Failure> {
    let setting = &run.setting;
    let file = setting.path(&args.file);
    let store = setting.store(&setting.project(None));
    let existing = if args.replace { Existing::KeepAside { reminders: FOLLOWER_REMINDERS } } else { Existing::Refuse };
    let restored = closed(setting, &store, &run.output, "restore", || {
        let opened = File::open(&file).map_err(|error| {
            Refused::Failed(Failure::io("E_RESTORE", format!("the backup `{}` cannot be read", file.display()), &error))
        })?;
        let progress = run.output.progress();
        let mut told = |done, all| {
            let _ = progress.step("restoring", done, all);
        };
        let mut input = BufReader::new(opened);
        restore_with(&mut input, &store, SledOptions::default(), existing, &mut told).map_err(failure)
    })?;
    let Restored { identity, head, keys, kept_aside, inherited } = restored;
    let told = Made {
        store: identity.store.to_string(),
        epoch: identity.epoch,
        revision: head.revision,
        keys,
        kept_aside: kept_aside.map(|path| path.display().to_string()),
    };
    run.output.data(&told, || keeping::restored(&told))?;
    match inherited {
        Inherited::Nothing | Inherited::Reminders(0) => {}
        Inherited::Reminders(known) => {
            let followers = counted(known as u64, "follower");
            run.output.say(format!(
                "{followers} of the store before may still run its state: `reconcile wait --observed` waits for them"
            ));
        }
        Inherited::Unknown { reason } => run.output.insist(format!(
            "which followers the store before had is not known, so `reconcile wait --observed` waits only for those that are \
             heard of again; restart the others: {reason}"
        )),
    }
    run.output.say("sessions need the master key that the store was sealed under; `reconcile session AGENT` tries it");
    Ok(Exit::Done)
}

fn failure(error: RestoreError) -> Refused {
    let error = match error {
        RestoreError::Open(error) => return refused(error),
        error => error,
    };
    let (kind, code, help) = match &error {
        RestoreError::Occupied { .. } => (
            ProblemKind::Failed,
            "E_STORE_EXISTS",
            "`--replace` puts the backup in its place and keeps its files aside; `--store PATH` restores elsewhere",
        ),
        RestoreError::NotABackup => (ProblemKind::Invalid, "E_RESTORE", "name a file that `reconcile backup` wrote"),
        RestoreError::FutureFormat { .. } => (ProblemKind::Invalid, "E_STORE_FORMAT", "run a newer `reconcile`"),
        RestoreError::Damaged { .. } => {
            (ProblemKind::Failed, "E_RESTORE", "take another backup; the store here was not touched")
        }
        _ => (ProblemKind::Failed, "E_RESTORE", "check the room and the rights there; the store was not touched"),
    };
    let mut problem = Problem::from_error(kind, code, &error).help(help);
    if let RestoreError::Occupied { path } = &error {
        problem.message = format!("there is a store in `{}` already", path.display());
    }
    Refused::Failed(problem.into())
}
