//! The history as one organisation sees it.
//!
//! Never here: what a commit's values say.

use std::collections::BTreeMap;

use holdfast_engine::{Change, Commit, Engine, Revision};

use crate::apply::{self, annotation};
use crate::desired::GitState;
use crate::embedded::{at_problem, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::plane::{CommitChange, CommitInfo, CommitsPage, Scope};
use crate::resource::{OrgId, keys};

/// How many commits are looked at for the newest apply of each source, and how many at a time.
const APPLIES_LOOKED_MAX: usize = 1_024;
const APPLIES_PAGE: usize = 32;

/// Newest first, at most `limit`, those before a revision that touch what is meant of the organisation.
pub(crate) fn page(
    engine: &Engine,
    org: &OrgId,
    scope: &Scope,
    before: Option<Revision>,
    limit: usize,
) -> Result<CommitsPage, Problem> {
    let end = before.unwrap_or(engine.head().revision.next());
    let key = format!("{}{}", keys::org(org), scope.prefix());
    let commits = match scope {
        Scope::Key(_) => {
            let key = apply::key(key)?;
            let versions = engine.key_log(&key, end.previous(), limit).map_err(at_problem)?;
            versions.into_iter().map(|version| version.commit).collect()
        }
        Scope::All | Scope::Prefix(_) => engine.log(..end, &key, limit).map_err(at_problem)?,
    };
    Ok(CommitsPage { commits: commits.iter().map(|commit| info(commit)).collect() })
}

/// One commit, with what it touched of the organisation.
pub(crate) fn one(engine: &Engine, org: &OrgId, revision: Revision) -> Result<CommitInfo, Problem> {
    if revision == Revision::ZERO {
        let problem = Problem::new(ProblemKind::Invalid, "E_REVISION", "`r0` is the state before the first commit");
        return Err(problem.help("the first commit is `r1`"));
    }
    let commit = engine.commit_at(revision).map_err(at_problem)?;
    if !touches(&commit, org) {
        let message = format!("{revision} touches nothing of organisation `{org}`");
        return Err(Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", message));
    }
    let prefix = keys::org(org);
    let change = |change: &Change| {
        let key = change.key().as_str().strip_prefix(&prefix)?.to_owned();
        let op = if matches!(change, Change::Put { .. }) { "put" } else { "delete" };
        Some(CommitChange { key, op: op.to_owned() })
    };
    Ok(CommitInfo { changes: commit.changes.iter().filter_map(change).collect(), ..info(&commit) })
}

/// The Git state that a commit applied.
pub(crate) fn git_of(engine: &Engine, revision: Revision) -> Option<GitState> {
    engine.commit_at(revision).ok().and_then(|commit| git(&commit))
}

/// Raises what is known of the newest apply of each source to what the commits say: one may change nothing that is declared.
/// Looks no further back than at [`APPLIES_LOOKED_MAX`] commits; what was declared last is known anyway.
pub(crate) fn newest_applies(
    engine: &Engine,
    org: &OrgId,
    head: Revision,
    mut known: BTreeMap<&str, &mut Option<Revision>>,
) {
    let mut last = head;
    for _ in 0..APPLIES_LOOKED_MAX / APPLIES_PAGE {
        known.retain(|_, newest| newest.is_none_or(|newest| newest < last));
        if known.is_empty() || last == Revision::ZERO {
            return;
        }
        // A store without a history knows no more.
        let Ok(commits) = engine.commits(..=last, APPLIES_PAGE) else { return };
        for commit in &commits {
            let of = commit.annotations.get(annotation::ORG).map(String::as_str) == Some(org.as_str())
                && commit.annotations.contains_key(annotation::PLAN);
            if let Some(newest) = commit.source.as_deref().filter(|_| of).and_then(|source| known.remove(source)) {
                *newest = (*newest).max(Some(commit.revision));
            }
        }
        let Some(oldest) = commits.last() else { return };
        last = oldest.revision.previous();
    }
}

fn touches(commit: &Commit, org: &OrgId) -> bool {
    commit.changes.iter().any(|change| keys::org_of(change.key().as_str()) == Some(org.as_str()))
}

pub(crate) fn git(commit: &Commit) -> Option<GitState> {
    let id = commit.annotations.get(annotation::GIT_COMMIT)?.clone();
    let dirty = commit.annotations.get(annotation::GIT_DIRTY).is_some_and(|dirty| dirty == "true");
    Some(GitState { commit: id, dirty })
}

fn info(commit: &Commit) -> CommitInfo {
    CommitInfo {
        revision: commit.revision,
        commit: commit.id.to_string(),
        parent: commit.parent.to_string(),
        time: rfc3339(commit.time),
        author: commit.author.clone(),
        message: commit.message.clone(),
        source: commit.source.clone(),
        git: git(commit),
        plan: commit.annotations.get(annotation::PLAN).cloned(),
        summary: commit.annotations.get(annotation::SUMMARY).and_then(|text| serde_json::from_str(text).ok()),
        rollback: commit.annotations.get(annotation::ROLLBACK).and_then(|to| to.parse().ok()),
        changes: Vec::new(),
    }
}
