//! The control plane: everything that a face (command line, HTTP, your program) can ask, as one trait, with the forms of
//! its questions and answers.
//!
//! `Plane` (in `embedded.rs`) answers from an engine in this process, the server's client over HTTP. Every method blocks the
//! calling thread; call it from `spawn_blocking` in async code. Never here: deciding or storing anything.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::agents::context::SessionContext;
use crate::desired::GitState;
use crate::desired::SecretText;
use crate::error::{Problem, ProblemKind};
use crate::plan::{Plan, PlanRequest, Summary};
use crate::resource::{Address, OrgId, Record};
use crate::watch::{WatchFeed, WatchRequest};
use holdfast_engine::{Revision, Timestamp};

/// The head of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The newest revision; 0 before the first commit.
    pub revision: Revision,
    /// Its commit id in hex.
    pub commit: String,
    /// Its time in RFC 3339; absent before the first commit.
    pub time: Option<String>,
    /// The store's id.
    pub store: String,
    /// How often the store was restored from a backup, plus 1.
    pub epoch: u64,
}

/// Asks to apply what a plan showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The same request that the plan answered.
    pub plan: PlanRequest,
    /// The id of the plan that was shown. If what would happen now has another id, the apply is refused as stale.
    pub plan_id: String,
    /// How many deletes somebody confirmed; it must be the plan's number.
    #[serde(default)]
    pub confirmed_deletes: u64,
    /// Who applies.
    pub author: String,
    /// Why.
    pub message: String,
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
    /// The request had been carried out before.
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

/// Which commits to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommitsQuery {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// Only commits that touch this address.
    pub address: Option<Address>,
    /// Only commits before this revision.
    pub before: Option<Revision>,
    /// At most this many; bounded by the plane.
    pub limit: Option<usize>,
}

/// One commit, as one organisation sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Its revision.
    pub revision: Revision,
    /// Its id in hex.
    pub commit: String,
    /// The id of the one before.
    pub parent: String,
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
    /// The id of the plan that was applied.
    pub plan: Option<String>,
    /// How many rows the plan had.
    pub summary: Option<Summary>,
    /// Which addresses and keys the commit touched; only when one commit is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<CommitChange>,
}

/// One key that a commit touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitChange {
    /// The key inside the organisation, such as `live/settings/triage` or `kv/a/b`.
    pub key: String,
    /// `put` or `delete`.
    pub op: String,
}

/// A page of commits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsPage {
    /// Newest first.
    pub commits: Vec<CommitInfo>,
}

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
    /// What to pass as `after` for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Asks for a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionRequest {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// The agent.
    pub agent: String,
    /// The user.
    pub user: Option<String>,
    /// As of this revision; only for looking.
    pub at: Option<Revision>,
    /// Answer also if no credential is usable, for hosts that add keys elsewhere.
    pub allow_missing: bool,
}

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

/// A raw value that a client wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// The bytes.
    pub value: Vec<u8>,
    /// The revision that made it.
    pub created: Revision,
    /// The revision that last touched it.
    pub modified: Revision,
    /// The head when it was read.
    pub head: Revision,
}

/// One condition of a raw transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvCompare {
    /// The head is this revision.
    Head(Revision),
    /// The key does not exist.
    Absent(String),
    /// The key was last touched at this revision.
    Modified(String, Revision),
}

/// One operation of a raw transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvOp {
    /// Writes a value.
    Put(String, Vec<u8>),
    /// Removes a key.
    Delete(String),
}

/// A raw transaction: all operations or none, if all conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvTxn {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// The conditions.
    pub compare: Vec<KvCompare>,
    /// The operations.
    pub ops: Vec<KvOp>,
    /// Who.
    pub author: String,
    /// Makes a repetition answer the first receipt.
    pub request_id: Option<String>,
}

/// How a raw transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvTxnResult {
    /// Whether the conditions held.
    pub succeeded: bool,
    /// The revision of the commit, else the head.
    pub revision: Revision,
}

/// The state of the store and of what runs on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The organisation that was asked about.
    pub org: OrgId,
    /// The head.
    pub head: Head,
    /// How many resources of each kind are live.
    pub resources: BTreeMap<String, u64>,
    /// The sources that declare something, with the commit each was last applied in.
    pub sources: Vec<SourceStatus>,
    /// The process that holds the store; none if nothing but this command does.
    pub holder: Option<Holder>,
    /// How many sessions are open, by revision.
    pub open_sessions: BTreeMap<u64, u64>,
    /// How a commit is made durable.
    pub durability: String,
    /// How many keys the store holds of the organisation.
    pub keys: u64,
}

/// What a source has in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub source: String,
    /// How many resources it declares.
    pub resources: u64,
    /// The newest commit that applied it.
    pub committed: Option<Revision>,
    /// The Git state of that commit.
    pub git: Option<GitState>,
}

/// A process that holds a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The head that was verified up to.
    pub revision: Revision,
    /// How many commits were read and found to follow from one another.
    pub commits: u64,
    /// How many current entries were compared with the commits.
    pub entries: u64,
    /// What is damaged; empty if all is well.
    pub damage: Vec<String>,
}

/// Everything that a face can ask.
///
/// Reads name an organisation or leave it to the rule: the store's only one, else `default`. Nothing of another
/// organisation is ever in an answer, revision numbers apart. A write is durable when it returns. A caller that goes away
/// does not undo it; repeat it with the same request id to learn how it ended.
pub trait ControlPlane: Send + Sync {
    /// The head of the store.
    ///
    /// # Errors
    /// Only if the plane cannot be reached.
    fn head(&self) -> Result<Head, Problem>;

    /// Works out what an apply would do. Changes nothing.
    ///
    /// # Errors
    /// Malformed input, or a store that cannot be read. A plan that is blocked or lacks values is no error.
    fn plan(&self, request: &PlanRequest) -> Result<Plan, Problem>;

    /// Applies what a plan showed, as one commit.
    ///
    /// # Errors
    /// `Stale` if it would do something else now, `Blocked` if a guard refuses, `Failed` if values are missing; in all
    /// three nothing was changed.
    fn apply(&self, request: &ApplyRequest) -> Result<WriteReceipt, Problem>;

    /// Lists commits, newest first.
    ///
    /// # Errors
    /// A store that cannot be read.
    fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem>;

    /// One commit with the keys that it touched.
    ///
    /// # Errors
    /// `NotFound` for a revision that does not exist or touched nothing of the organisation, `Gone` for a compacted one.
    fn commit(&self, org: Option<&OrgId>, revision: Revision) -> Result<CommitInfo, Problem>;

    /// Lists live resources.
    ///
    /// # Errors
    /// `Gone` or `NotFound` for a revision that is compacted or in the future.
    fn resources(&self, query: &ResourcesQuery) -> Result<ResourcesPage, Problem>;

    /// One live resource.
    ///
    /// # Errors
    /// `NotFound`, with near matches; `Gone` for a compacted revision.
    fn resource(&self, org: Option<&OrgId>, address: &Address, at: Option<Revision>) -> Result<ResourceInfo, Problem>;

    /// Resolves a session without opening one.
    ///
    /// # Errors
    /// The resolution's, with the evidence of each step.
    fn look(&self, request: &SessionRequest) -> Result<SessionContext, Problem>;

    /// Opens a session on the newest revision. It is listed until it is closed or expires.
    ///
    /// # Errors
    /// The resolution's, with the evidence of each step.
    fn open_session(&self, request: &SessionRequest) -> Result<SessionContext, Problem>;

    /// The context of an open session, as it was opened.
    ///
    /// # Errors
    /// `NotFound` if it is closed, expired or of another organisation.
    fn session(&self, org: Option<&OrgId>, id: &str) -> Result<SessionContext, Problem>;

    /// Closes a session.
    ///
    /// # Errors
    /// `NotFound` as for `session`.
    fn close_session(&self, org: Option<&OrgId>, id: &str) -> Result<(), Problem>;

    /// Sets or removes a shared secret.
    ///
    /// # Errors
    /// `Blocked` if a session that works would fail and was not allowed by name; a missing or wrong key.
    fn write_secret(&self, request: &SecretWrite) -> Result<WriteReceipt, Problem>;

    /// Lists shared secrets without their values.
    ///
    /// # Errors
    /// A store that cannot be read.
    fn secrets(&self, org: Option<&OrgId>) -> Result<Vec<SecretInfo>, Problem>;

    /// Reads a raw value.
    ///
    /// # Errors
    /// A malformed key, or a revision that is compacted or in the future.
    fn kv_get(&self, org: Option<&OrgId>, key: &str, at: Option<Revision>) -> Result<Option<KvEntry>, Problem>;

    /// Runs a raw transaction.
    ///
    /// # Errors
    /// Malformed keys, too much at once, or a store that cannot be written. A failed condition is an answer, not an error.
    fn kv_txn(&self, txn: &KvTxn) -> Result<KvTxnResult, Problem>;

    /// The state of the store and of what runs on it.
    ///
    /// # Errors
    /// A store that cannot be read.
    fn status(&self, org: Option<&OrgId>) -> Result<Status, Problem>;

    /// Follows an organisation from now on, or from a revision or token.
    ///
    /// # Errors
    /// A malformed token, a revision in the future, or a plane that offers no watches.
    fn watch(&self, request: &WatchRequest) -> Result<Box<dyn WatchFeed>, Problem> {
        let WatchRequest { org: _, prefix: _, start: _ } = request;
        Err(Problem::new(ProblemKind::Failed, "E_NO_WATCH", "this plane offers no watches")
            .help("ask the server itself"))
    }

    /// Reads every commit and entry and checks chain and checksums.
    ///
    /// # Errors
    /// A store that cannot be read at all; damage is an answer, not an error.
    fn verify(&self) -> Result<Verification, Problem>;
}
