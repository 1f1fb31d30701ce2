//! The plan: what an apply would do and what sessions would see, as plain data that can be printed, compared, refused and
//! sent elsewhere.
//!
//! Never here: working it out (`diff.rs`, `guard.rs`, `effect.rs`, `planner.rs`), drawing it (a face does that), and secret
//! values: a plan knows them by tag only.

use std::collections::BTreeSet;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::addresses::Addresses;
use crate::desired::{Desired, GitState};
use crate::diagnostic::{Diagnostic, Position};
use crate::placing::Unplaced;
use crate::resource::{Address, KindName, OrgId, ResourceName, SourceName};
use crate::take::Take;
use crate::value::{FieldPath, Value};
use holdfast_engine::Revision;

/// The version of the plan's JSON form. A minor step adds members, a major one must be refused by readers that do not know it.
pub const FORMAT_VERSION: &str = "1.0";

/// What the caller allows or asks beyond the manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanOptions {
    /// Only these kinds; empty for all.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<String>,
    /// Exactly this many deletes are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_delete: Option<u64>,
    /// Agents whose sessions may break.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub allow_break: BTreeSet<String>,
    /// Puts back what the source declared at this revision, in the place of what the request declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Revision>,
    /// Holds the source afterwards: a loop waits for other manifests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// Fields that somebody else set live and that are overwritten if they are still what the caller saw.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub take: BTreeSet<Take>,
}

/// Asks for a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// The organisation that the caller chose; without it the manifest's, else the plane's rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The organisation to use if neither the caller nor the manifest names one, before the store's only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_org: Option<OrgId>,
    /// What the manifests declare.
    pub desired: Desired,
    /// What the caller allows.
    #[serde(default)]
    pub options: PlanOptions,
}

/// The commit that a plan was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its revision.
    pub revision: Revision,
    /// Its commit id in hex.
    pub commit: String,
}

/// Where the desired state of a plan came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The name of the source.
    pub name: SourceName,
    /// The Git state, if known.
    pub git: Option<GitState>,
    /// The digest of the manifests.
    pub digest: String,
}

/// How many rows a plan has of each sort. Rows of `blocked` are in no other count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Resources that would be created.
    pub create: u64,
    /// Resources that would be updated.
    pub update: u64,
    /// Resources that would be deleted.
    pub delete: u64,
    /// Resources that would get another address.
    pub moved: u64,
    /// Rows that cannot be applied.
    pub blocked: u64,
    /// Live resources that no source declares.
    pub unmanaged: u64,
    /// Declared resources that are as declared.
    pub unchanged: u64,
}

impl Summary {
    /// How many rows change something.
    pub fn changes(&self) -> u64 {
        self.create + self.update + self.delete + self.moved
    }
}

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is made.
    Create,
    /// Its fields change.
    Update,
    /// It is removed.
    Delete,
    /// It gets another address.
    Move,
}

/// Why it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The manifest declares it and nothing is live.
    NewInManifest,
    /// The manifest declares another value than what is live.
    ManifestChanged,
    /// A default of this version differs from the one before.
    DefaultChanged,
    /// Somebody changed a managed field, and the project reverts drift.
    DriftRepair,
    /// The manifest declared it before and does so no longer.
    RemovedFromManifest,
    /// A `[[moved]]` entry says so.
    Moved,
    /// An earlier revision is put back.
    Rollback,
    /// The caller takes over a field from another owner.
    Take,
}

/// What happens to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It was absent.
    Add,
    /// It becomes another.
    Replace,
    /// It becomes absent.
    Remove,
}

/// One changed value of a resource.
///
/// As JSON, `before` and `after` are null where there is no value, and are not there at all if the value is a secret.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FieldChange {
    /// Where the value is; the first step is the field.
    pub path: FieldPath,
    /// What happens to it.
    pub op: Op,
    /// The value before; none if it was absent or is sensitive.
    #[serde(default)]
    pub before: Option<Value>,
    /// The value after; none if it will be absent or is sensitive.
    #[serde(default)]
    pub after: Option<Value>,
    /// Whether the value is a secret.
    #[serde(default)]
    pub sensitive: bool,
    /// The tag of the secret before.
    #[serde(default)]
    pub before_tag: Option<String>,
    /// The tag of the secret after; absent while the store has no key yet or the value is not known.
    #[serde(default)]
    pub after_tag: Option<String>,
    /// Who owned the field before, if it was not this source.
    #[serde(default)]
    pub owner: Option<String>,
    /// Where the manifest declares it.
    #[serde(default)]
    pub at: Option<Position>,
}

impl Serialize for FieldChange {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { path, op, before, after, sensitive, before_tag, after_tag, owner, at } = self;
        let mut members = to.serialize_map(None)?;
        members.serialize_entry("path", path)?;
        members.serialize_entry("op", op)?;
        if !sensitive {
            members.serialize_entry("before", before)?;
            members.serialize_entry("after", after)?;
        }
        members.serialize_entry("sensitive", sensitive)?;
        if *sensitive {
            members.serialize_entry("before_tag", before_tag)?;
            members.serialize_entry("after_tag", after_tag)?;
        }
        members.serialize_entry("owner", owner)?;
        if let Some(at) = at {
            members.serialize_entry("at", at)?;
        }
        members.end()
    }
}

/// One changed resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its address.
    pub address: Address,
    /// Its organisation.
    pub org: OrgId,
    /// Its kind.
    pub kind: KindName,
    /// Its name.
    pub name: ResourceName,
    /// What happens.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The address that it had; of a move only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Which values change: per top-level field for a create, per leaf for an update, none for a delete.
    pub fields: Vec<FieldChange>,
    /// When it takes effect: `next-session`, `immediate`, `restart` or `none`.
    pub effect: String,
    /// The resources and consumers that refer to it, as addresses.
    #[serde(default)]
    pub affects: Vec<String>,
    /// Where the manifest declares the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
}

/// A kind of a project's own that the store learns, or whose definition changes or goes. It is no resource and is counted
/// nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindChange {
    /// Its name.
    pub name: KindName,
    /// What happens to its definition: it is made, updated or deleted.
    pub action: Action,
}

/// Something that keeps the plan from being applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocked {
    /// The stable code, such as `E_BREAKS`.
    pub code: String,
    /// The resource, or the agent whose session is meant.
    pub address: String,
    /// The field, if it is about one.
    pub path: Option<FieldPath>,
    /// Who owns it now.
    pub owner: Option<String>,
    /// The revision that last touched it.
    pub revision: Option<Revision>,
    /// Where the manifests declare it, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
    /// Why, in one line.
    pub message: String,
    /// Ways out, each a flag or a command to paste.
    pub remedies: Vec<String>,
}

/// The model that a session gets, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionModel {
    /// The id of the installed provider.
    pub provider: String,
    /// The model id without the provider's prefix.
    pub model: String,
}

impl std::fmt::Display for SessionModel {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.provider, self.model)
    }
}

/// What the plan means for the sessions of one agent; only agents whose result changes or fails are listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionChange {
    /// The organisation.
    pub org: OrgId,
    /// The agent.
    pub agent: String,
    /// For the sessions of users with profiles of their own: one of them. Without it the row is about sessions that only have
    /// what all share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How many users the row is about; in a row without a user, how many have a credential of their own where there is no
    /// shared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u64>,
    /// What a session gets now; null if it fails or the agent is new.
    pub before: Option<SessionModel>,
    /// What it would get; null if it would fail or the agent is removed.
    pub after: Option<SessionModel>,
    /// Why it would fail.
    pub error: Option<String>,
    /// Whether a session that works now would fail.
    pub breaks: bool,
    /// What happens to the agent itself.
    pub agent_change: AgentChange,
}

impl SessionChange {
    /// The agent, and the users if the row is about theirs: `triage`, `triage for maria`, `triage for maria and 2 more`.
    pub fn who(&self) -> String {
        match (&self.user, self.users) {
            (None, _) => self.agent.clone(),
            (Some(user), None | Some(0 | 1)) => format!("{} for {user}", self.agent),
            (Some(user), Some(users)) => format!("{} for {user} and {} more", self.agent, users - 1),
        }
    }
}

/// What happens to the agent of a changed session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentChange {
    /// It is there before and after.
    Kept,
    /// It is new.
    New,
    /// It is removed.
    Removed,
}

/// What an apply would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this form.
    pub format_version: String,
    /// The SHA-256 of everything that the plan would do and foresees, in hex; it does not cover `base`, so two plans with
    /// one id do the same.
    pub plan_id: String,
    /// Whether an apply would be accepted.
    pub applyable: bool,
    /// The organisation.
    pub org: OrgId,
    /// The commit that the plan was made on.
    pub base: Base,
    /// The source.
    pub source: Source,
    /// The revision that would be put back, if the plan is a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Revision>,
    /// How many rows there are.
    pub summary: Summary,
    /// The kinds of the project's own whose definition changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindChange>,
    /// The changed resources, in the order of kinds and then of names.
    pub changes: Vec<Change>,
    /// Live resources that no source declares.
    pub unmanaged: Vec<String>,
    /// Declared resources that are as declared.
    pub unchanged: Addresses,
    /// Unchanged resources of which the source takes ownership.
    pub adopts: Vec<String>,
    /// What keeps the plan from being applied; guards that are about the whole plan stand here too.
    pub blocked: Vec<Blocked>,
    /// What sessions would see.
    pub sessions: Vec<SessionChange>,
    /// Findings about the manifests and missing secret values.
    pub diagnostics: Vec<Diagnostic>,
    /// What those findings are about whose declaration came without its place; see [`Plan::place`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unplaced: Vec<Unplaced>,
}

impl Plan {
    /// Whether something keeps the plan from being applied that needs somebody's decision (exit code 3).
    pub fn is_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Whether an apply would commit anything.
    pub fn has_changes(&self) -> bool {
        self.summary.changes() > 0 || !self.adopts.is_empty() || !self.kinds.is_empty()
    }

    /// How many deletes an unattended apply must have been told of: a secret whose removal breaks the sessions of every
    /// agent that looks at it, each allowed by name, is not counted, because the names say more than the number.
    pub fn deletes_to_confirm(&self, allow_break: &BTreeSet<String>) -> u64 {
        let broken = |agent: &str| self.sessions.iter().any(|session| session.agent == agent && session.breaks);
        let told = |change: &&Change| {
            !change.affects.is_empty()
                && change.kind.as_str() == crate::agents::kinds::SECRET
                && change.affects.iter().all(|agent| {
                    agent.strip_prefix("agent/").is_some_and(|agent| allow_break.contains(agent) && broken(agent))
                })
        };
        let deletes = self.changes.iter().filter(|change| change.action == Action::Delete);
        deletes.filter(|change| !told(change)).count() as u64
    }
}
