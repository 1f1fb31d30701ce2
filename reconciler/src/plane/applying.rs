//! What an apply asks and how a write is answered.
//!
//! Never here: how it is answered.

use crate::plan::PlanRequest;
use crate::resource::{OrgId, SourceName};
use crate::seal::Seal;
use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

/// Asks to apply what a plan showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The same request that the plan answered.
    pub plan: PlanRequest,
    /// The id of the plan that was shown. If what would happen now has another id, the apply is refused as stale. A rollback may
    /// leave it empty: it then does what it would do now.
    pub plan_id: String,
    /// How many deletes somebody confirmed; it must be the plan's number.
    #[serde(default)]
    pub confirmed_deletes: u64,
    /// Who applies.
    pub author: String,
    /// Why.
    pub message: String,
    /// The state that a sealed plan was made on: the apply is refused as stale if it is not as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Seal>,
    /// Makes a repetition answer the first receipt instead of applying twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOutcome {
    /// A commit was made.
    Committed,
    /// There was nothing to change; no commit was made.
    Unchanged,
    /// The request, or the sealed plan, had been carried out before.
    Replayed,
}

/// The answer to a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReceipt {
    /// The revision that holds it.
    pub revision: Revision,
    /// Its commit id in hex.
    pub commit: String,
    /// How it ended.
    pub outcome: WriteOutcome,
}

/// Asks to let a source go on that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// The organisation; without it the plane's rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The source; without it the organisation's only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    /// Who.
    #[serde(default)]
    pub author: String,
    /// Why.
    #[serde(default)]
    pub message: String,
    /// Makes a repetition answer the first receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Asks to apply a plan that a loop left to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// The organisation; without it the plane's rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The id of the plan, or its first characters.
    pub plan: String,
    /// Who.
    #[serde(default)]
    pub author: String,
    /// Why.
    #[serde(default)]
    pub message: String,
    /// Makes a repetition answer the first receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
