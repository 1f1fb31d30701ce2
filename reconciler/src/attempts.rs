//! The attempt log: applies that were refused or failed, kept as notes of the engine, so that `status` shows them until they
//! are done with.
//!
//! Bounded in count and bytes; an attempt is no commit. Never here: secrets, which no problem's text has.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use crate::desired::GitState;
use crate::embedded::{Plane, rfc3339};
use crate::error::Problem;
use crate::plane::ApplyRequest;
use crate::resource::{OrgId, SourceName};

/// The longest text of an attempt, in characters.
const TEXT_CHARS_MAX: usize = 500;
/// The longest author and Git commit, in characters.
const NAME_CHARS_MAX: usize = 120;

/// An apply that was refused or failed; nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When, in RFC 3339.
    pub time: String,
    /// The organisation.
    pub org: OrgId,
    /// The source.
    pub source: SourceName,
    /// Who applied.
    pub author: String,
    /// The newest revision then.
    pub base: Revision,
    /// The id of the plan that was shown.
    pub plan: String,
    /// The Git state that was to be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitState>,
    /// The digest of the manifests; empty for a rollback, which is about none.
    pub digest: String,
    /// The revision that was to be put back, if it was a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Revision>,
    /// The stable code of the refusal.
    pub code: String,
    /// Why, in one line.
    pub message: String,
}

/// Keeps an attempt. That it cannot be kept must not hide why it failed, so this is only logged.
pub(crate) fn record(plane: &Plane, request: &ApplyRequest, problem: &Problem) {
    let snapshot = plane.engine().snapshot();
    let desired = &request.plan.desired;
    // A request that is about no source that there is was no attempt on one.
    let Ok((org, source, _)) = plane.subject(&snapshot, &request.plan) else { return };
    let attempt = Attempt {
        time: rfc3339(plane.now()),
        org,
        source,
        author: cut(&request.author, NAME_CHARS_MAX),
        base: snapshot.revision(),
        plan: cut(&request.plan_id, NAME_CHARS_MAX),
        git: desired.git.as_ref().map(|git| GitState { commit: cut(&git.commit, NAME_CHARS_MAX), dirty: git.dirty }),
        digest: cut(&desired.digest, NAME_CHARS_MAX),
        rollback: request.plan.options.rollback,
        code: problem.blocked.first().map_or(&problem.code, |blocked| &blocked.code).clone(),
        message: cut(&problem.message, TEXT_CHARS_MAX),
    };
    let bytes = serde_json::to_vec(&attempt).expect("an attempt is always JSON");
    if let Err(error) = plane.engine().note(&bytes) {
        tracing::warn!(%error, "a refused apply is not in the attempt log");
    }
}

/// The attempts of an organisation that are kept, newest first.
pub(crate) fn list(plane: &Plane, org: &OrgId) -> Vec<Attempt> {
    let notes = plane.engine().notes().unwrap_or_default();
    let attempts = notes.iter().rev().filter_map(|note| serde_json::from_slice::<Attempt>(&note.bytes).ok());
    attempts.filter(|attempt| attempt.org == *org).collect()
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}
