//! The commits, as one organisation sees them.
//!
//! Never here: how it is answered.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use crate::desired::GitState;
use crate::plan::Summary;
use crate::resource::OrgId;

/// Which commits to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitsQuery {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// Only commits that touch these keys.
    pub scope: Scope,
    /// Only commits before this revision.
    pub before: Option<Revision>,
    /// At most this many; bounded by the plane.
    pub limit: Option<usize>,
}

/// One commit, as one organisation sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Its revision.
    pub revision: Revision,
    /// Its id in hex.
    pub commit: String,
    /// The id of the one before.
    pub parent: String,
    /// When, in RFC 3339.
    pub time: String,
    /// Who.
    pub author: String,
    /// Why.
    pub message: String,
    /// The source that was applied.
    pub source: Option<String>,
    /// The Git state that was applied.
    pub git: Option<GitState>,
    /// The id of the plan that was applied.
    pub plan: Option<String>,
    /// How many rows the plan had.
    pub summary: Option<Summary>,
    /// The revision that was put back, if the commit is a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Revision>,
    /// Which addresses and keys the commit touched; only when one commit is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<CommitChange>,
}

/// One key that a commit touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitChange {
    /// The key inside the organisation, such as `live/settings/triage` or `kv/a/b`.
    pub key: String,
    /// `put` or `delete`.
    pub op: String,
}

/// A page of commits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsPage {
    /// Newest first.
    pub commits: Vec<CommitInfo>,
}
