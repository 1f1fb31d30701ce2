//! The request to take exported resources into a store, and its answer.
//!
//! Never here: the form of an exported state (`against.rs`), and how it is taken in.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::WriteReceipt;
use crate::against::State;
use crate::resource::{Address, OrgId};

/// Asks to take exported resources into the store, as one commit. What the state does not name stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The organisation; without it that of the state's rows, else the plane's rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The exported state.
    pub state: State,
    /// Whether live resources that differ are overwritten; else they block.
    #[serde(default)]
    pub overwrite: bool,
    /// Whether it is only worked out.
    #[serde(default)]
    pub dry_run: bool,
    /// Agents whose sessions may break.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_break: BTreeSet<String>,
    /// Who; a server takes it from the connection if it is empty.
    #[serde(default)]
    pub author: String,
    /// Why.
    #[serde(default)]
    pub message: String,
    /// Makes a repetition answer the first receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What an import did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The organisation.
    pub org: OrgId,
    /// Resources that were made.
    pub created: Vec<Address>,
    /// Live resources that were overwritten.
    pub overwritten: Vec<Address>,
    /// How many were there already, with the same fields and owners.
    pub unchanged: u64,
    /// Secrets of the state whose value is not in this store: an export has none.
    pub secrets: Vec<MissingSecret>,
    /// The receipt; none for a dry run.
    pub receipt: Option<WriteReceipt>,
}

/// A secret whose value is to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingSecret {
    /// The resource that it belongs to.
    pub address: Address,
    /// The field.
    pub path: String,
}
