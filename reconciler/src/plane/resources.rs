//! The live resources, one and in pages.
//!
//! Never here: how it is answered.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use crate::kind_record::KindRecord;
use crate::resource::{Address, OrgId, Record};

/// Which live resources to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourcesQuery {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only names that begin so.
    pub prefix: Option<String>,
    /// As of this revision.
    pub at: Option<Revision>,
    /// At most this many; bounded by the plane.
    pub limit: Option<usize>,
    /// Only addresses after this one.
    pub after: Option<String>,
    /// Whether the answer also has the organisation's own kinds.
    pub kinds: bool,
}

/// One live resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceInfo {
    /// Its organisation.
    pub org: OrgId,
    /// Its address.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What the store holds of it.
    #[serde(flatten)]
    pub record: Record,
    /// The revision that made it.
    pub created: Revision,
    /// The revision that last touched it.
    pub modified: Revision,
    /// How often it was written since it was made.
    pub version: u64,
}

/// A page of resources, all as of one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourcesPage {
    /// The revision.
    pub revision: Revision,
    /// In order of address.
    pub resources: Vec<ResourceInfo>,
    /// The organisation's own kinds, in order of their names, if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindRecord>,
    /// What to pass as `after` for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
