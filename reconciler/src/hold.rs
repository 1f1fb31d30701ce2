//! Holds: a source that a loop must not apply, because somebody rolled it back or applied something else by hand.
//!
//! A hold lasts until manifests arrive that are not those that were held, or until somebody resumes. Never here: the loop.

use holdfast_engine::{Engine, Revision, Snapshot};
use serde::{Deserialize, Serialize};

use crate::apply::annotation;
use crate::commits;
use crate::desired::GitState;
use crate::error::Problem;
use crate::planner::damaged;
use crate::resource::{OrgId, SourceName, keys};

/// What the store holds of a hold, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The revision that was put back; none after an apply by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Revision>,
    /// Who holds it.
    pub author: String,
    /// The Git state that is held: a loop goes on with another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitState>,
    /// The digest of the manifests that are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Hold {
    /// Holds what the source applied last.
    pub(crate) fn of(
        engine: &Engine,
        snapshot: &Snapshot,
        org: &OrgId,
        source: &SourceName,
        author: &str,
        rollback: Option<Revision>,
    ) -> Self {
        // A second rollback holds the same manifests as the first.
        if let Ok(Some((_, Self { git, digest, .. }))) = read(snapshot, org, source) {
            return Self { rollback, author: author.to_owned(), git, digest };
        }
        let applied = committed(snapshot, org, source);
        let commit = applied.and_then(|revision| engine.commit_at(revision).ok());
        let digest = commit.as_ref().and_then(|commit| commit.annotations.get(annotation::DIGEST).cloned());
        Self { rollback, author: author.to_owned(), git: commit.as_deref().and_then(commits::git), digest }
    }
}

/// The newest revision that wrote what a source declares.
pub(crate) fn committed(snapshot: &Snapshot, org: &OrgId, source: &SourceName) -> Option<Revision> {
    snapshot.prefix(&keys::desired_prefix(org, source)).map(|(_, entry)| entry.modified()).max()
}

/// The hold of a source, with the revision that set it.
///
/// # Errors
/// A record that cannot be read.
pub(crate) fn read(snapshot: &Snapshot, org: &OrgId, source: &SourceName) -> Result<Option<(Revision, Hold)>, Problem> {
    let key = keys::hold(org, source);
    let Some(entry) = snapshot.get(&key) else { return Ok(None) };
    let hold = serde_json::from_slice(entry.value()).map_err(|_| damaged(&key))?;
    Ok(Some((entry.modified(), hold)))
}
