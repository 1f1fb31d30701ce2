//! The control plane: everything that a face (command line, HTTP, your program) can ask, as one trait. The forms of its
//! questions and answers stand in a room for each subject.
//!
//! `Plane` (in `embedded.rs`) answers from an engine in this process, the server's client over HTTP. Every method blocks the
//! calling thread; call it from `spawn_blocking` in async code. Never here: deciding or storing anything.

mod applying;
mod compare;
mod conditions;
mod editing;
mod explaining;
mod followers;
mod history;
mod kv;
mod measures;
mod moment;
mod profiles;
mod resources;
mod scope;
mod secrets;
mod sessions;
mod store;
mod tokens;
mod transfer;
mod upkeep;

pub use crate::embedded::rfc3339;
pub use applying::{ApplyRequest, ApproveRequest, ResumeRequest, WriteOutcome, WriteReceipt};
pub use compare::{
    DiffQuery, DiffSummary, Differences, OwnerDifference, ResourceDifference, Side, ValueDifference, Versions,
};
pub use conditions::{Condition, ConditionState, not_yet, reason};
pub use editing::{Edit, EditRequest};
pub use explaining::{DeclaredBy, Origin, OriginQuery, Origins, Previous, SeenBy, SetBy};
pub use followers::{
    FOLLOWER_REMINDERS, FollowRequest, FollowerInfo, FollowerRemoval, FollowerReport, FollowerStanding, Following,
};
pub use history::{CommitChange, CommitInfo, CommitsPage, CommitsQuery};
pub use kv::{KvCompare, KvEntry, KvOp, KvTxn, KvTxnResult};
pub use measures::{Measures, SourceMeasures};
pub use moment::{Moment, MomentError};
pub use profiles::{ProfileChange, ProfileCredential, ProfileInfo, ProfileWrite, ProfilesQuery};
pub use resources::{ResourceInfo, ResourcesPage, ResourcesQuery};
pub use scope::{DESIRED, KV, LIVE, Scope};
pub use secrets::{RotatedOrg, Rotation, SecretInfo, SecretWrite};
pub use sessions::{Explanation, SessionRequest, WorkerToken};
pub use store::{Finding, Head, Held, Holder, SourceStatus, Status, Verification};
pub use tokens::{Access, NewToken, Reach, Role, TokenInfo, TokenRequest, TokenRevocation};
pub use transfer::{ImportRequest, Imported, MissingSecret};
pub use upkeep::{CompactRequest, Compacted, KeepRule, Retention, Storage};

use std::io::Write;

use holdfast_engine::Revision;

use crate::agents::context::SessionContext;
use crate::desired::SecretText;
use crate::error::{Problem, ProblemKind};
use crate::follow::FollowFeed;
use crate::plan::{Plan, PlanRequest};
use crate::resource::{Address, OrgId};
use crate::seal::Sealed;
use crate::watch::{WatchFeed, WatchRequest};

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

    /// The head, if writes are taken too: what a probe wants to know before it sends anybody here.
    ///
    /// # Errors
    /// `Unavailable` if the store can be read and takes no commits; else as [`ControlPlane::head`].
    fn ready(&self) -> Result<Revision, Problem> {
        self.head().map(|head| head.revision)
    }

    /// The head as it was at a moment.
    ///
    /// # Errors
    /// `Gone` for a moment that is compacted, `NotFound` for one that has not come yet.
    fn head_at(&self, moment: Moment) -> Result<Head, Problem>;

    /// Works out what an apply would do. Changes nothing.
    ///
    /// # Errors
    /// Malformed input, or a store that cannot be read. A plan that is blocked or lacks values is no error.
    fn plan(&self, request: &PlanRequest) -> Result<Plan, Problem>;

    /// Works out what an apply would do, with the state that this depends on, for a plan that is applied later.
    ///
    /// # Errors
    /// As for `plan`.
    fn seal(&self, request: &PlanRequest) -> Result<Sealed, Problem>;

    /// Applies what a plan showed, as one commit.
    ///
    /// # Errors
    /// `Stale` if it would do something else now, `Blocked` if a guard refuses, `Failed` if values are missing; in all
    /// three nothing was changed.
    fn apply(&self, request: &ApplyRequest) -> Result<WriteReceipt, Problem>;

    /// Lets a source go on that a rollback or an apply by hand holds. If it is not held, nothing changes.
    ///
    /// # Errors
    /// `NotFound` for a source that does not exist, `Invalid` if it is not clear which one is meant.
    fn resume(&self, request: &ResumeRequest) -> Result<WriteReceipt, Problem>;

    /// Applies a plan that a loop left to somebody, exactly as `status` lists it.
    ///
    /// # Errors
    /// `NotFound` if no such plan waits; else those of an apply.
    fn approve(&self, request: &ApproveRequest) -> Result<WriteReceipt, Problem>;

    /// Makes the loops of the plane look at their sources now. Says whether there is any.
    ///
    /// # Errors
    /// Only if the plane cannot be reached.
    fn poke(&self) -> Result<bool, Problem>;

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

    /// What differs between two revisions, in what is in force: a page of it.
    ///
    /// # Errors
    /// `Gone` or `NotFound` for a revision that is compacted or in the future.
    fn diff(&self, query: &DiffQuery) -> Result<Differences, Problem>;

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

    /// Says where the values of a live resource come from: who set each, when and why, who declares it, what it was before,
    /// and which open sessions have it.
    ///
    /// # Errors
    /// `NotFound` for a resource or field that there is not, with near matches; `Gone` for a compacted revision.
    fn origins(&self, query: &OriginQuery) -> Result<Origins, Problem>;

    /// Changes, makes or deletes one live resource, as an actor.
    ///
    /// # Errors
    /// `NotFound`, with near matches; `Conflict` if it is not as the request demands; `Invalid` for a field or value that the
    /// kind does not have; `Blocked` if a guard refuses. In all of them nothing was changed.
    fn edit(&self, request: &EditRequest) -> Result<WriteReceipt, Problem>;

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

    /// Says why a session gets what it gets, or gets nothing: every step of the resolution, whether or not it succeeds.
    ///
    /// # Errors
    /// `NotFound` for an unknown agent, with near matches.
    fn explain(&self, request: &SessionRequest) -> Result<Explanation, Problem>;

    /// Gives a token that a worker of an open session shows, for a life in milliseconds.
    ///
    /// # Errors
    /// `NotFound` as for `session`, a life out of bounds, or a master key that cannot be used.
    fn worker_token(&self, org: Option<&OrgId>, id: &str, life_ms: Option<i64>) -> Result<WorkerToken, Problem>;

    /// The context of the session that a worker token names, as it was opened. The organisation comes from the token.
    ///
    /// # Errors
    /// `Denied` if it is no token of this store, has expired, or its session is closed.
    fn session_context(&self, token: &SecretText) -> Result<SessionContext, Problem>;

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

    /// Seals everything anew under a new master key, one commit for each organisation. Interrupted, it leaves every value
    /// readable, and the next call goes on with it.
    ///
    /// # Errors
    /// Values that do not open, each named, or a key that cannot be written; nothing is changed then.
    fn rotate_secrets(&self, author: &str) -> Result<Rotation, Problem>;

    /// Sets or removes a profile of a user.
    ///
    /// # Errors
    /// `Blocked` if a session that works would fail and was not allowed by name; malformed names; a missing or wrong key.
    fn write_profile(&self, request: &ProfileWrite) -> Result<WriteReceipt, Problem>;

    /// Lists profiles without their values, in the order of users and providers.
    ///
    /// # Errors
    /// A store that cannot be read.
    fn profiles(&self, query: &ProfilesQuery) -> Result<Vec<ProfileInfo>, Problem>;

    /// Makes an access token; what its holder shows is in this answer and nowhere else.
    ///
    /// # Errors
    /// `Conflict` if the name is taken, `Invalid` for a name, life or organisations out of bounds.
    fn create_token(&self, request: &TokenRequest) -> Result<NewToken, Problem>;

    /// Lists the access tokens that are for no organisation beyond `within`, by name.
    ///
    /// # Errors
    /// A store that cannot be read.
    fn tokens(&self, within: &Reach) -> Result<Vec<TokenInfo>, Problem>;

    /// Revokes an access token: it does not count any more once this has returned.
    ///
    /// # Errors
    /// `NotFound` if there is none of that id or name within reach.
    fn revoke_token(&self, request: &TokenRevocation) -> Result<WriteReceipt, Problem>;

    /// What an access token allows now.
    ///
    /// # Errors
    /// `Denied` if it is no token of this store, was revoked or has expired, or if this plane knows no tokens.
    fn authenticate(&self, token: &SecretText) -> Result<Access, Problem> {
        let _ = token;
        Err(Problem::new(ProblemKind::Denied, "E_ACCESS_TOKEN", "this plane knows no access tokens")
            .help("ask the server that holds the store"))
    }

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

    /// Takes exported resources into the store, as one commit.
    ///
    /// # Errors
    /// `Blocked` if live resources differ and nobody said to overwrite them, or if a session that works would fail.
    fn import(&self, request: &ImportRequest) -> Result<Imported, Problem>;

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

    /// Feeds a follower: the state of its organisations, and every commit after it.
    ///
    /// # Errors
    /// A malformed token, or a plane that nobody can follow.
    fn follow(&self, request: &FollowRequest) -> Result<Box<dyn FollowFeed>, Problem> {
        let FollowRequest { reach: _, sealed: _, from: _, commit: _ } = request;
        Err(not_followed())
    }

    /// Remembers for a while where a follower is; nothing is committed.
    ///
    /// # Errors
    /// `Invalid` for a malformed report, `Unavailable` if there are too many, `E_FOLLOWER_TWIN` if two processes tell in turn under
    /// one id, or a plane that nobody can follow.
    fn follower_told(&self, report: &FollowerReport) -> Result<(), Problem> {
        let FollowerReport { owner: _, reach: _, id: _, name: _, place: _, run: _ } = report;
        Err(not_followed())
    }

    /// Forgets a follower, so that nothing waits for it; that there is none is no error. One that still follows is known again as
    /// soon as it tells where it is.
    ///
    /// # Errors
    /// A malformed id, a store that cannot be written, or a plane that nobody can follow.
    fn follower_left(&self, removal: &FollowerRemoval) -> Result<(), Problem> {
        let FollowerRemoval { owner: _, within: _, id: _ } = removal;
        Err(not_followed())
    }

    /// The store on its disk.
    ///
    /// # Errors
    /// Only if the plane cannot be reached.
    fn storage(&self) -> Result<Storage, Problem>;

    /// What is measured of the plane, with nothing of other organisations than these. Reads no state as a whole.
    ///
    /// # Errors
    /// Only if the plane cannot be reached.
    fn measures(&self, reach: &Reach) -> Result<Measures, Problem>;

    /// Gives up the commits before what is to be kept. What is in force is never touched.
    ///
    /// # Errors
    /// `NotFound` for a revision that does not exist yet; a store that cannot be written.
    fn compact(&self, request: &CompactRequest) -> Result<Compacted, Problem>;

    /// Writes a backup of the whole store, of every organisation, while commits go on. Whether `out` got all of it is known
    /// only by checking it: a backup that was cut off has no last frame.
    ///
    /// # Errors
    /// If it cannot be written.
    fn backup(&self, out: &mut (dyn Write + Send)) -> Result<(), Problem>;

    /// Reads every commit and entry and checks chain and checksums.
    ///
    /// # Errors
    /// A store that cannot be read at all; damage is an answer, not an error.
    fn verify(&self) -> Result<Verification, Problem>;
}

fn not_followed() -> Problem {
    Problem::new(
        ProblemKind::Failed,
        "E_NOT_FOLLOWED",
        "what answers here holds no store, and only what holds one can be followed",
    )
    .help("follow the server that holds the store")
}
