//! The question what differs between two revisions, and its answer.
//!
//! Never here: finding the differences (`control/compare.rs`), and secret values: a secret differs by its tag.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use crate::plan::{Action, FieldChange};
use crate::raw_value::RawValue;
use crate::resource::{Address, KindName, OrgId, ResourceName};

/// Asks what differs between two revisions of an organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffQuery {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// The revision to begin with; it may be the newer one.
    pub from: Revision,
    /// The revision to compare it with; the head without it.
    pub to: Option<Revision>,
    /// Which keys.
    pub scope: Scope,
    /// At most this many rows; bounded by the plane.
    pub limit: Option<usize>,
    /// Only keys after this one.
    pub after: Option<String>,
}

/// One of the two sides of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Its revision.
    pub revision: Revision,
    /// Its commit id in hex.
    pub commit: String,
    /// When it was made, in RFC 3339; absent before the first commit.
    pub time: Option<String>,
}

/// How much differs, on all pages together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffSummary {
    /// There in `to` only.
    pub create: u64,
    /// There in both, and not the same.
    pub update: u64,
    /// There in `from` only.
    pub delete: u64,
}

/// A page of what differs between two revisions. What sources declare is not compared, only what is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// The organisation.
    pub org: OrgId,
    /// The side that counts as before.
    pub from: Side,
    /// The side that counts as after.
    pub to: Side,
    /// How much differs.
    pub summary: DiffSummary,
    /// Resources, in the order of their addresses.
    pub resources: Vec<ResourceDifference>,
    /// Raw values, in the order of their keys.
    pub values: Vec<ValueDifference>,
    /// What to pass as `after` for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A resource that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceDifference {
    /// Its address.
    pub address: Address,
    /// Its kind.
    pub kind: KindName,
    /// Its name.
    pub name: ResourceName,
    /// What became of it: create, update or delete.
    pub action: Action,
    /// The values that differ: per top-level field for a create or delete, per leaf for an update.
    pub fields: Vec<FieldChange>,
    /// The owners that differ.
    pub owners: Vec<OwnerDifference>,
    /// The revisions that wrote the two states.
    pub modified: Versions,
}

/// An owner that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerDifference {
    /// The field; empty for the resource itself.
    pub field: String,
    /// Who owned it.
    pub before: Option<String>,
    /// Who owns it.
    pub after: Option<String>,
}

/// The revisions that wrote two states of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The one before; null if the key was absent.
    pub before: Option<Revision>,
    /// The one after; null if the key is absent.
    pub after: Option<Revision>,
}

/// A raw value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueDifference {
    /// Its key inside the organisation, as in `kv/a/b`.
    pub key: String,
    /// What became of it: create, update or delete.
    pub action: Action,
    /// The value before.
    pub before: Option<RawValue>,
    /// The value after.
    pub after: Option<RawValue>,
    /// The revisions that wrote the two states.
    pub modified: Versions,
}
