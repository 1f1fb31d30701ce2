//! Live edits: what a user interface or `reconcile set` changes of one resource, as an actor and not as a source.
//!
//! Never here: how it is answered.

use std::collections::BTreeSet;

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use crate::resource::{Address, OrgId};
use crate::value::Fields;

/// What becomes of the resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// A JSON merge patch (RFC 7396) of its fields: a null member removes, a map merges, everything else replaces.
    Merge(Fields),
    /// The same on a resource that must not exist yet.
    Create(Fields),
    /// It is deleted, with the resources that go with it.
    Delete,
}

/// Asks for a live edit of one resource. The actor becomes the owner of each top-level field that it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditRequest {
    /// The organisation; without it the plane's rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// Which resource.
    pub address: Address,
    /// What becomes of it.
    pub edit: Edit,
    /// Only if the resource was last touched at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_modified: Option<Revision>,
    /// Exactly how many resources may be deleted; without it any number that the edit needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_delete: Option<u64>,
    /// Agents whose sessions may break.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_break: BTreeSet<String>,
    /// Who; an actor such as `ui:maria`.
    pub author: String,
    /// Why.
    #[serde(default)]
    pub message: String,
    /// Makes a repetition answer the first receipt instead of editing twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
