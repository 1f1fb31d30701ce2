//! Compaction, its policy, backups, and the store on its disk.
//!
//! Never here: when a policy is carried out; the host's loop decides.

use std::io::Write;
use std::ops::ControlFlow;

use holdfast_engine::{BackupError, CompactError, Compaction, Keep, Revision, Timestamp};

use crate::embedded::{Plane, at_problem};
use crate::error::{Problem, ProblemKind};
use crate::plane::{CompactRequest, Compacted, KeepRule, Retention, Storage};

pub(super) fn storage(plane: &Plane) -> Storage {
    let status = plane.engine().status();
    let retention = plane.retention().filter(|retention| !retention.keeps_all());
    let kept = status.head.revision.get().saturating_sub(status.compacted.get());
    let to_keep = retention.filter(|retention| retention.age_ms.is_none()).and_then(|retention| retention.commits);
    Storage {
        compacted: status.compacted,
        trail_lag: status.trail_lag,
        bytes: status.disk_bytes,
        retention,
        compaction_lag: to_keep.map(|to_keep| kept.saturating_sub(to_keep)),
        poisoned: status.poisoned,
    }
}

pub(super) fn compact(plane: &Plane, request: &CompactRequest) -> Result<Compacted, Problem> {
    let keep = match request.keep {
        KeepRule::From(revision) => Keep::From(revision),
        KeepRule::Newest(count) => Keep::Newest(count),
        KeepRule::Since(time) => Keep::Since(time),
    };
    if request.dry_run {
        return foreseen(plane, request.keep);
    }
    let done = plane.engine().compact(keep).map_err(|error| compact_problem(&error))?;
    let Compaction { oldest, commits, held, disk_bytes_before, disk_bytes } = done;
    tracing::info!(%oldest, commits, "compacted");
    let (bytes_before, bytes_after) = (disk_bytes_before, disk_bytes);
    Ok(Compacted { oldest, commits, held, bytes_before, bytes_after, dry_run: false })
}

fn foreseen(plane: &Plane, keep: KeepRule) -> Result<Compacted, Problem> {
    let engine = plane.engine();
    let (head, before) = (engine.head().revision, engine.status().compacted);
    let wanted = match keep {
        KeepRule::From(revision) if revision > head => {
            return Err(compact_problem(&CompactError::Future { revision, head }));
        }
        KeepRule::From(revision) => revision,
        KeepRule::Newest(count) => Revision::new(head.get().saturating_sub(count)),
        KeepRule::Since(time) => engine.revision_at(time).map_err(at_problem)?,
    };
    let oldest = wanted.max(before);
    let commits = oldest.get() - before.get();
    Ok(Compacted { oldest, commits, held: None, bytes_before: None, bytes_after: None, dry_run: true })
}

/// Gives up what no rule of the policy keeps, if there is such.
pub(super) fn retain(plane: &Plane, retention: Retention) -> Result<Option<Compacted>, Problem> {
    let Retention { commits, age_ms } = retention;
    let engine = plane.engine();
    let head = engine.head().revision;
    let by_count = commits.map(|count| Revision::new(head.get().saturating_sub(count)));
    let since = age_ms.map(|age| Timestamp::from_millis(plane.now().as_millis().saturating_sub(age)));
    let by_age = since.map(|since| engine.revision_at(since)).transpose().map_err(at_problem)?;
    // Whatever one of the two rules keeps is kept.
    let Some(from) = by_count.into_iter().chain(by_age).min() else { return Ok(None) };
    if from <= engine.status().compacted {
        return Ok(None);
    }
    compact(plane, &CompactRequest { keep: KeepRule::From(from), dry_run: false }).map(Some)
}

pub(super) fn backup(plane: &Plane, mut out: &mut dyn Write) -> Result<(), Problem> {
    let made = plane.engine().backup(&mut out, |_, _| ControlFlow::Continue(()));
    let report = made.map_err(|error| backup_problem(&error))?;
    tracing::info!(revision = %report.head.revision, keys = report.keys, bytes = report.bytes, "backed up");
    Ok(())
}

fn compact_problem(error: &CompactError) -> Problem {
    let (kind, code, help) = match error {
        CompactError::Future { .. } => {
            (ProblemKind::NotFound, "E_FUTURE", "the newest revision is shown by `reconcile status`")
        }
        CompactError::Closed => (ProblemKind::Unavailable, "E_CLOSED", "start the server again"),
        CompactError::Reclaim(_) => {
            (ProblemKind::Internal, "E_STORE", "compact again; the next compaction gives it back")
        }
        _ => (ProblemKind::Internal, "E_STORE", "run `reconcile verify`"),
    };
    Problem::from_error(kind, code, error).help(help)
}

fn backup_problem(error: &BackupError) -> Problem {
    let (kind, code, help) = match error {
        BackupError::Closed => (ProblemKind::Unavailable, "E_CLOSED", "start the server again"),
        _ => (ProblemKind::Failed, "E_BACKUP", "check the room and the rights where it is written, and try again"),
    };
    Problem::from_error(kind, code, error).help(help)
}
