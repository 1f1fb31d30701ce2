//! Profiles of users: written with their value, read without it.
//!
//! Never here: how it is answered.

use std::collections::BTreeSet;

use holdfast_engine::{Revision, Timestamp};
use serde::{Deserialize, Serialize};

use crate::agents::profile::ProfileType;
use crate::desired::SecretText;
use crate::resource::OrgId;

/// Asks to set or remove a profile of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileWrite {
    /// The organisation; without it the plane's rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The user.
    pub user: String,
    /// The provider, by its id or slug.
    pub provider: String,
    /// The model reference that it counts for, or `*`. A removal without it removes all that the user has for the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What to do.
    pub change: ProfileChange,
    /// Who.
    pub author: String,
    /// Agents whose sessions may break.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_break: BTreeSet<String>,
}

/// What to do with a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileChange {
    /// Sets it.
    Set {
        /// How its credential was obtained.
        #[serde(rename = "type")]
        kind: ProfileType,
        /// Where the credential is.
        credential: ProfileCredential,
        /// When it stops counting, in milliseconds since the Unix epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Timestamp>,
    },
    /// Removes it.
    Remove,
}

/// The credential of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileCredential {
    /// The value itself, to be sealed.
    Value(SecretText),
    /// The name of a shared secret that holds it.
    SecretRef(String),
}

/// Which profiles to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfilesQuery {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// Only this user's.
    pub user: Option<String>,
}

/// A profile without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileInfo {
    /// The user.
    pub user: String,
    /// The provider.
    pub provider: String,
    /// The model reference that it counts for, or `*`.
    pub model: String,
    /// How its credential was obtained.
    #[serde(rename = "type")]
    pub kind: ProfileType,
    /// The keyed tag of its value.
    pub tag: Option<String>,
    /// The shared secret that holds its value.
    pub secret_ref: Option<String>,
    /// Who set it.
    pub owner: String,
    /// When it stops counting, in RFC 3339.
    pub expires: Option<String>,
    /// The revision that last touched the user's profiles for the provider.
    pub modified: Revision,
}
