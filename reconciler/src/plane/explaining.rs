//! Why a live resource is as it is: each value with who set it, when and why, who declares it, and which sessions have it.
//!
//! Never here: how it is answered, and why a session gets what it gets (`sessions.rs`).

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use crate::desired::GitState;
use crate::diagnostic::Position;
use crate::resource::{Address, OrgId};
use crate::value::{FieldPath, Value};

/// Which resource, or which value of it, to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginQuery {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// The resource.
    pub address: Address,
    /// The way to one value, as in `providerModelPreferences.z-ai`; without it every field.
    pub field: Option<String>,
    /// As of this revision.
    pub at: Option<Revision>,
    /// At most this many previous values of each; bounded by the plane.
    pub limit: Option<usize>,
}

/// Why a resource is as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origins {
    /// The organisation.
    pub org: OrgId,
    /// The resource.
    pub address: Address,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The revision that everything was read at.
    pub revision: Revision,
    /// The commit id of that revision.
    pub commit: String,
    /// The source that declares the resource, or the actor that made it.
    pub owner: Option<String>,
    /// The revision that made it.
    pub created: Revision,
    /// The revision that last touched it.
    pub modified: Revision,
    /// When a change of it takes effect: `next-session`, `immediate`, `restart` or `none`.
    pub effect: String,
    /// How it stands outside the store, if it has an actuator; only as of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// The values in the order of their paths.
    pub values: Vec<Origin>,
    /// The open sessions that look at the resource, oldest revision first; those that a program has open in its own process
    /// without an id are not among them.
    pub sessions: Vec<SeenBy>,
}

/// Why one value is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Where it is; the first step is the field.
    pub path: FieldPath,
    /// Whether it is a secret.
    pub sensitive: bool,
    /// What it is; none if it is absent or a secret.
    pub value: Option<Value>,
    /// The tag of the secret.
    pub tag: Option<String>,
    /// Who owns the field; none if nobody does.
    pub owner: Option<String>,
    /// The commit that made it what it is; none if that commit is not kept any more.
    pub set: Option<SetBy>,
    /// The sources that declare the field.
    pub declared: Vec<DeclaredBy>,
    /// What it was before, newest first.
    pub previous: Vec<Previous>,
}

/// The commit that made a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBy {
    /// Its revision.
    pub revision: Revision,
    /// Its id in hex.
    pub commit: String,
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
}

/// A source that declares a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeclaredBy {
    /// The source.
    pub source: String,
    /// Where its manifest declares the value, or else what it lies in, as of the commit.
    pub at: Option<Position>,
    /// The revision that noted the declaration.
    pub revision: Revision,
    /// The Git state of that revision.
    pub git: Option<GitState>,
    /// Whether it declares what is live.
    pub agrees: bool,
}

/// A value that was there before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    /// What it was; none if it was absent or is a secret.
    pub value: Option<Value>,
    /// The tag of the secret.
    pub tag: Option<String>,
    /// The commit that made it so; none if that commit is not kept any more.
    pub set: Option<SetBy>,
}

/// Open sessions of one agent that started on one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenBy {
    /// The agent.
    pub agent: String,
    /// The revision.
    pub revision: Revision,
    /// How many there are.
    pub sessions: u64,
    /// Whether they have what is live.
    pub current: bool,
}
