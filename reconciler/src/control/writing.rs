//! What every write shares: attempts, receipts, the guard of sessions, and what a refused commit is called.
//!
//! Never here: the writes themselves.

use std::collections::BTreeSet;

use holdfast_engine::{CommitError, Outcome, Receipt, Revision, Snapshot};

use crate::agents::resolver::World;
use crate::effect::{self, Effects};
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::guard::{self, Protection};
use crate::plan::Blocked;
use crate::plane::{WriteOutcome, WriteReceipt};
use crate::planner::{self, Write};
use crate::resource::{Address, OrgId, keys};
use crate::vault;

/// How often a write is worked out anew because a record that it read was changed meanwhile.
pub(super) const WRITE_ATTEMPTS: u32 = 16;

/// The guard of P13 for writes that are not a plan; gives the prediction.
pub(super) fn guard_sessions(
    plane: &Plane,
    snapshot: &Snapshot,
    org: &OrgId,
    writes: &[Write],
    pending: &BTreeSet<Address>,
    allow_break: &BTreeSet<String>,
) -> Result<Effects, Problem> {
    let vault = plane.vault()?;
    let world = World { snapshot, org, vault: &vault, system: plane.system(), now: plane.now() };
    let effects = effect::foresee(world, writes, pending, &BTreeSet::new());
    let blocked = guard::breaks(&effects.sessions, allow_break, snapshot.revision());
    if blocked.is_empty() { Ok(effects) } else { Err(blocked_problem(blocked)) }
}

/// What keeps a live resource from being deleted by an actor: what any source declares of it.
pub(super) fn protected(snapshot: &Snapshot, org: &OrgId, address: &Address, modified: Revision) -> Option<Blocked> {
    planner::sources(snapshot, org).iter().find_map(|source| {
        let entry = snapshot.get(&keys::desired(org, source, address))?;
        let declared = vault::declaration(entry).ok()?;
        let by = match (declared.protect, declared.lifecycle.prevent_delete) {
            (true, _) => "protect",
            (false, true) => "prevent_delete",
            (false, false) => return None,
        };
        Some(guard::protected(address, modified, Protection::Declared { source: source.as_str(), by }))
    })
}

pub(super) fn blocked_problem(blocked: Vec<Blocked>) -> Problem {
    let reasons: Vec<&str> = blocked.iter().map(|blocked| blocked.message.as_str()).collect();
    let remedies: Vec<&str> = blocked.iter().flat_map(|blocked| blocked.remedies.iter().map(String::as_str)).collect();
    let problem = Problem::new(ProblemKind::Blocked, "E_BLOCKED", format!("blocked: {}", reasons.join("; ")));
    Problem { blocked: blocked.clone(), ..problem }.help(remedies.join(", or "))
}

pub(super) fn contended() -> Problem {
    let message = format!("records that the write depends on changed {WRITE_ATTEMPTS} times in a row");
    Problem::new(ProblemKind::Unavailable, "E_CONTENDED", message).help("try again")
}

/// An actor's name always has a `:`, so that it can never be taken for a source.
pub(super) fn actor(author: &str) -> String {
    if author.contains(':') { author.to_owned() } else { format!("cli:{author}") }
}

pub(super) fn unchanged(snapshot: &Snapshot) -> WriteReceipt {
    let (revision, commit) = (snapshot.revision(), snapshot.commit_id().to_string());
    WriteReceipt { revision, commit, outcome: WriteOutcome::Unchanged }
}

pub(super) fn answer(receipt: Receipt) -> WriteReceipt {
    let Receipt { revision, id, outcome } = receipt;
    let outcome = match outcome {
        Outcome::Committed => WriteOutcome::Committed,
        Outcome::Replayed => WriteOutcome::Replayed,
        Outcome::Unchanged => WriteOutcome::Unchanged,
    };
    WriteReceipt { revision, commit: id.to_string(), outcome }
}

/// The receipt; none if a condition did not hold, so that the caller works the write out anew.
pub(super) fn settled(result: Result<Receipt, CommitError>) -> Result<Option<Receipt>, Problem> {
    match result {
        Ok(receipt) => Ok(Some(receipt)),
        Err(CommitError::Conflict { .. }) => Ok(None),
        Err(error) => Err(commit_problem(&error)),
    }
}

pub(super) fn commit_problem(error: &CommitError) -> Problem {
    let (kind, code, help) = match error {
        CommitError::Conflict { .. } => (ProblemKind::Conflict, "E_CONFLICT", "read again and retry"),
        CommitError::DuplicateKey { .. } => (ProblemKind::Invalid, "E_DUPLICATE_KEY", "name each key once"),
        CommitError::TooLarge { .. } => (ProblemKind::Invalid, "E_TOO_LARGE", "split it into several"),
        CommitError::QueueFull | CommitError::Contended { .. } => (ProblemKind::Unavailable, "E_BUSY", "try again"),
        CommitError::Storage(_) | CommitError::Poisoned => {
            (ProblemKind::Internal, "E_STORE", "check the disk, then open the store again")
        }
        CommitError::Closed => (ProblemKind::Unavailable, "E_CLOSED", "start the server again"),
        _ => (ProblemKind::Internal, "E_STORE", "run `reconcile verify`"),
    };
    Problem::from_error(kind, code, error).help(help)
}
