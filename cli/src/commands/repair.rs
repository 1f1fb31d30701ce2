//! `reconcile repair`: has the state of a damaged store built anew from its commits; its files are kept aside first.

use holdfast_engine::{RepairError, SledOptions, repair};
use holdfast_reconciler::error::{Problem, ProblemKind};

use super::Run;
use crate::closed::{self, closed, discard_same, keep_aside, refused};
use crate::connect::{DAMAGED_HELP, Refused};
use crate::error::{Exit, Failure};
use crate::render::keeping::{self, Repaired};

/// Repairs the store; what cannot be mended is the answer and exits with 1.
pub(super) fn run(run: &Run) -> Result<Exit, Failure> {
    let setting = &run.setting;
    let store = setting.store(&setting.project(None));
    let repaired = closed(setting, &store, &run.output, "repair", || {
        let aside = keep_aside(&store)?;
        let progress = run.output.progress();
        let report = repair(&store, SledOptions::default, |done, all| progress.step("repairing", done, all));
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                discard_same(&store, &aside);
                return Err(failure(error));
            }
        };
        let untouched = report.before.is_sound() && std::fs::remove_dir_all(&aside).is_ok();
        let kept_aside = (!untouched && !discard_same(&store, &aside)).then(|| aside.display().to_string());
        Ok(Repaired {
            before: closed::verification(&report.before),
            bases_dropped: report.bases_dropped as u64,
            reminders_dropped: report.reminders_dropped as u64,
            after: closed::verification(&report.after),
            kept_aside,
        })
    })?;
    let mended = repaired.after.damage.is_empty();
    run.output.data(&repaired, || keeping::repaired(&repaired))?;
    if !mended {
        run.output
            .insist("its commits are damaged, which nothing here can mend: `reconcile restore` goes back to a backup");
    }
    Ok(if mended { Exit::Done } else { Exit::Failed })
}

fn failure(error: RepairError) -> Refused {
    match error {
        RepairError::Open(error) => refused(error),
        error => {
            let problem = Problem::from_error(ProblemKind::Internal, "E_STORE_DAMAGED", &error);
            Refused::Failed(problem.help(DAMAGED_HELP).into())
        }
    }
}
