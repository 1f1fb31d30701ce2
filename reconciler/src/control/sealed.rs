//! A sealed plan beside the store of now: whether it is about this store, whether it was applied, whether it still holds.
//!
//! Never here: what the file of one holds (`seal.rs`), and the apply (`applying.rs`).

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use holdfast_engine::{AtError, Commit, Revision, Snapshot};

use crate::apply::annotation;
use crate::embedded::{Plane, at_problem};
use crate::error::{Problem, ProblemKind};
use crate::naming;
use crate::plan::{Plan, PlanRequest};
use crate::plane::{ApplyRequest, WriteOutcome, WriteReceipt};
use crate::planner::Planned;
use crate::resource::{OrgId, SourceName, keys};
use crate::seal::{self, Seal, Sealed, foreseen, foreseen_otherwise, reads_digest, tags};
use crate::secret::KeyRing;

/// How many commits are looked at to say what came after a sealed plan was made.
const LOG_COMMITS_MAX: usize = 10_000;
/// How many of them are named.
const LINES_MAX: usize = 20;
/// How many of the things that a commit touched are named.
const NAMES_MAX: usize = 5;

const NEW_PLAN: &str = "make a new plan and look at it";
const GIVE_KEY: &str =
    "give the master key that it was made with (HOLDFAST_KEY or HOLDFAST_KEY_FILE), or make a new plan";

/// A plan with the state that it depends on.
pub(super) fn seal(plane: &Plane, request: &PlanRequest) -> Result<Sealed, Problem> {
    let snapshot = plane.engine().snapshot();
    let (planned, org, source) = plane.planned(&snapshot, request)?;
    let store = plane.engine().identity().store.to_string();
    let ring = plane.ring()?;
    Ok(seal::seal(planned, (&snapshot, Some(store)), (&org, &source), ring.as_deref(), request))
}

/// Refuses a plan that was made on another store than this. Equal revisions say nothing: each store counts its own.
///
/// What is left to the state that the plan depends on is a revision that is compacted, or older than the backup that the store was
/// restored from: of a store with the same id, equal revisions of a record are equal records.
pub(super) fn check_store(plane: &Plane, seal: &Seal) -> Result<(), Problem> {
    let Seal { revision, .. } = seal;
    let here = plane.engine().identity().store.to_string();
    let other = |cause: String| {
        let problem = Problem::new(ProblemKind::Failed, "E_OTHER_STORE", "the sealed plan was made on another store");
        let help =
            "apply it where it was made (`-C`, `--store` or `--server` names the store), or make a new plan here";
        Err(Problem { causes: vec![cause], ..problem }.help(help))
    };
    if let Some(store) = seal.store.as_ref().filter(|store| **store != here) {
        return other(format!("it was made on the store {store}, and this one is {here}"));
    }
    let Some(commit) = seal.commit.as_ref().filter(|_| *revision > Revision::ZERO) else { return Ok(()) };
    match plane.engine().head_at(*revision) {
        Ok(head) if head.id.to_string() == *commit => Ok(()),
        Ok(head) => {
            let (then, now) = (short(commit), short(&head.id.to_string()).to_owned());
            other(format!("its {revision} is the commit {then}, and {revision} of this store is {now}"))
        }
        Err(AtError::Future { head, .. }) => other(format!("it was made on {revision}, and this store is at {head}")),
        Err(AtError::Compacted { .. } | AtError::NoHistory { .. }) => Ok(()),
        Err(error) => Err(at_problem(error)),
    }
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// All revisions after one that a client names, which may be one that no store ever reaches.
fn after(revision: Revision) -> (Bound<Revision>, Bound<Revision>) {
    (Bound::Excluded(revision), Bound::Unbounded)
}

/// The receipt of the last commit that applied a sealed plan, if there is one since it was made.
///
/// # Errors
/// A rollback took it back: it is not in force, and nobody must be told that it is done.
pub(super) fn applied_since(plane: &Plane, request: &ApplyRequest) -> Result<Option<WriteReceipt>, Problem> {
    let Some(seal) = &request.sealed else { return Ok(None) };
    let commits = match plane.engine().commits(after(seal.revision), LOG_COMMITS_MAX) {
        Ok(commits) => commits,
        // It cannot be known any more; the comparison of the state decides.
        Err(AtError::Compacted { .. }) => return Ok(None),
        Err(error) => return Err(at_problem(error)),
    };
    let ours = |commit: &Arc<Commit>| commit.annotations.get(annotation::PLAN) == Some(&request.plan_id);
    let Some(place) = commits.iter().position(ours) else { return Ok(None) };
    let (later, applied) = (&commits[..place], &commits[place]);
    let of = |commit: &Commit| (commit.annotations.get(annotation::ORG).cloned(), commit.source.clone());
    let back = |commit: &Arc<Commit>| -> Option<(Revision, Revision)> {
        let to = commit.annotations.get(annotation::ROLLBACK)?.parse().ok()?;
        (of(commit) == of(applied)).then_some((commit.revision, to))
    };
    // The newest rollback says where the source was put last.
    if let Some((by, to)) = later.iter().find_map(back)
        && to < applied.revision
    {
        let message = format!("already applied as {}, and taken back by the rollback {by} to {to}", applied.revision);
        return Err(Problem::new(ProblemKind::Stale, "E_STALE", message).help(NEW_PLAN));
    }
    let (revision, commit) = (applied.revision, applied.id.to_string());
    Ok(Some(WriteReceipt { revision, commit, outcome: WriteOutcome::Replayed }))
}

/// A sealed plan beside the state of now.
pub(super) struct Past<'p> {
    pub(super) plane: &'p Plane,
    pub(super) snapshot: &'p Snapshot,
    pub(super) org: &'p OrgId,
    pub(super) source: &'p SourceName,
    pub(super) seal: &'p Seal,
}

impl Past<'_> {
    /// Refuses the plan unless an apply would do what it shows, with the values that it was made with.
    pub(super) fn check(&self, request: &ApplyRequest, planned: &Planned) -> Result<(), Problem> {
        self.check_values(&request.plan)?;
        let as_it_was = self.seal.reads == reads_digest(self.snapshot, self.org, self.source, &planned.reads);
        if as_it_was && planned.plan.plan_id == request.plan_id {
            return Ok(());
        }
        let commits = self.between(&planned.reads);
        let foreseen = if as_it_was { self.foreseen(&planned.plan) } else { Vec::new() };
        let (why, causes) = if !foreseen.is_empty() || (as_it_was && commits.is_empty()) {
            ("an apply would do something else", self.otherwise(foreseen, commits))
        } else {
            ("what it depends on is not as it was", commits)
        };
        let (then, head) = (self.seal.revision, self.snapshot.revision());
        let message = format!("the sealed plan is stale: it was made on {then}, and on {head} {why}");
        let problem = Problem::new(ProblemKind::Stale, "E_STALE", message).help(NEW_PLAN);
        Err(Problem { causes, ..problem })
    }

    /// What is foreseen otherwise. A plan of an earlier build does not say what it foresaw.
    fn foreseen(&self, plan: &Plan) -> Vec<String> {
        let then = self.seal.foreseen.as_ref();
        then.map_or_else(Vec::new, |then| foreseen_otherwise(then, &foreseen(plan)))
    }

    /// Why an apply would do something else though every record that the plan read is as it was.
    fn otherwise(&self, mut causes: Vec<String>, commits: Vec<String>) -> Vec<String> {
        causes.truncate(LINES_MAX);
        if commits.is_empty() {
            let others = "the store is as it was; the environment of sessions, the time or the program is another";
            causes.push(others.to_owned());
        }
        causes.extend(commits);
        causes
    }

    /// A value that is not the one that was planned must not be applied under the plan's name.
    fn check_values(&self, request: &PlanRequest) -> Result<(), Problem> {
        if self.seal.tags.is_empty() {
            return Ok(());
        }
        let ring = self.ring()?;
        let now = tags(ring.as_ref(), self.org, request);
        for (address, tags) in &self.seal.tags {
            for (path, then) in tags {
                let now = now.get(address).and_then(|tags| tags.get(path));
                let Some(now) = now else {
                    let message = format!("`{path}` of `{address}` has no value here, nothing was applied");
                    return Err(Problem::new(ProblemKind::Failed, "E_MISSING_VALUE", message)
                        .help("the value that was planned is read again when the plan is applied"));
                };
                if now != then {
                    return Err(self.another_value(&format!("`{path}` of `{address}`")));
                }
            }
        }
        Ok(())
    }

    fn another_value(&self, what: &str) -> Problem {
        let doubt = if self.seal.key.is_none() { ", or was planned under another master key" } else { "" };
        let message = format!("{what} has another value than when it was planned{doubt}");
        Problem::new(ProblemKind::Stale, "E_STALE", message).help("give the value that was planned, or make a new plan")
    }

    /// The ring with the key that the plan's values were tagged with; none if there was no key, and is none.
    fn ring(&self) -> Result<Option<KeyRing>, Problem> {
        let other = |message: String| Problem::new(ProblemKind::Failed, "E_MASTER_KEY", message).help(GIVE_KEY);
        let ring = self.plane.ring()?;
        let tagged = self.seal.tags.values().flat_map(|tags| tags.values()).any(Option::is_some);
        match (&self.seal.key, ring) {
            (_, None) if !tagged => Ok(None),
            (Some(key), None) => {
                Err(other(format!("the plan was made under the master key {key}, and there is none here")))
            }
            (None, None) => Err(other("the plan was made under a master key, and there is none here".to_owned())),
            (_, Some(_)) if !tagged => {
                let message = "the plan was made where there was no master key, and here is one";
                Err(Problem::new(ProblemKind::Stale, "E_STALE", message).help("make a new plan with the master key"))
            }
            // A plan of an earlier build does not say which key it was.
            (None, Some(ring)) => Ok(ring.sealing_with(ring.newest())),
            (Some(key), Some(ring)) => {
                let known = key.parse().ok().and_then(|key| ring.sealing_with(key));
                let none = || {
                    let here = ring.newest();
                    other(format!("the plan was made under the master key {key}, and the one at hand is {here}"))
                };
                known.map(Some).ok_or_else(none)
            }
        }
    }

    /// The commits since the plan was made that touched something it depends on, one line each; if none did, those that
    /// touched any resource of the organisation, because what the plan looked over has changed.
    fn between(&self, reads: &BTreeSet<String>) -> Vec<String> {
        let Ok(commits) = self.plane.engine().commits(after(self.seal.revision), LOG_COMMITS_MAX) else {
            return vec![format!("the commits since {} are compacted", self.seal.revision)];
        };
        let (live, declared) = (keys::live_prefix(self.org), keys::desired_prefix(self.org, self.source));
        let address = |key: &str| key.strip_prefix(&live).or_else(|| key.strip_prefix(&declared)).map(str::to_owned);
        let lines = |counts: &dyn Fn(&str) -> bool| -> Vec<String> {
            let told = |commit: &Arc<Commit>| {
                let keys = commit.changes.iter().map(|change| change.key().as_str()).filter(|key| counts(key));
                let names: BTreeSet<String> = keys.filter_map(address).collect();
                (!names.is_empty())
                    .then(|| format!("{} by {}: {}", commit.revision, commit.author, naming::some(&names, NAMES_MAX)))
            };
            commits.iter().rev().filter_map(told).take(LINES_MAX).collect()
        };
        let near = lines(&|key| reads.contains(key) || key.starts_with(&declared));
        if near.is_empty() { lines(&|key| key.starts_with(&live)) } else { near }
    }
}
