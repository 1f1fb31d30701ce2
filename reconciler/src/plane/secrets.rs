//! Shared secrets: written with their value, read without it.
//!
//! Never here: how it is answered.

use std::collections::BTreeSet;

use holdfast_engine::{Revision, Timestamp};
use serde::{Deserialize, Serialize};

use crate::desired::SecretText;
use crate::resource::OrgId;

/// Asks to set or remove a shared secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretWrite {
    /// The organisation; without it the plane's rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// Its name, such as `provider:z-ai:apiKey`.
    pub name: String,
    /// The value; none removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<SecretText>,
    /// When it stops counting, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Who.
    pub author: String,
    /// Agents whose sessions may break.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_break: BTreeSet<String>,
}

/// How a rotation of the master key ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The id of the key that seals now; none if there is no key yet, because nothing was ever sealed.
    pub key: Option<String>,
    /// Whether the key was there already: a rotation that had been interrupted, or one that another store had begun.
    pub resumed: bool,
    /// What was sealed anew, in one commit for each organisation.
    pub organisations: Vec<RotatedOrg>,
}

/// What a rotation sealed anew in one organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedOrg {
    /// The organisation.
    pub org: OrgId,
    /// The commit.
    pub revision: Revision,
    /// How many records with sealed values.
    pub records: u64,
}

/// A shared secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// Its keyed tag.
    pub tag: Option<String>,
    /// Who owns it.
    pub owner: Option<String>,
    /// When it stops counting, in RFC 3339.
    pub expires: Option<String>,
    /// The revision that last touched it.
    pub modified: Revision,
}
