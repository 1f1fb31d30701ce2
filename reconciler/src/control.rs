//! What the plane in this process answers: the [`ControlPlane`] of [`Plane`], a room for each subject.
//!
//! Never here: planning, resolving and sealing themselves; each answer is a few steps over the rooms that do them.

mod applying;
mod compare;
mod editing;
mod explaining;
mod kv;
mod planning;
mod profiles;
mod request;
mod resources;
mod rotating;
mod sealed;
mod secrets;
mod sessions;
mod store;
mod tokens;
mod transfer;
mod upkeep;
mod writing;

pub(crate) use self::applying::apply_as_loop;
pub(crate) use self::planning::Standings;

use std::io::Write;

use holdfast_engine::Revision;

use self::resources::{PAGE_DEFAULT, PAGE_MAX};
use crate::agents::context::SessionContext;
use crate::commits;
use crate::desired::SecretText;
use crate::embedded::Plane;
use crate::error::Problem;
use crate::follow::{self, FollowFeed};
use crate::plan::{Plan, PlanRequest};
use crate::plane::{
    Access, ApplyRequest, ApproveRequest, CommitInfo, CommitsPage, CommitsQuery, CompactRequest, Compacted,
    ControlPlane, DiffQuery, Differences, EditRequest, Explanation, FollowRequest, FollowerRemoval, FollowerReport,
    Head, ImportRequest, Imported, KvEntry, KvTxn, KvTxnResult, Measures, Moment, NewToken, OriginQuery, Origins,
    ProfileInfo, ProfileWrite, ProfilesQuery, Reach, ResourceInfo, ResourcesPage, ResourcesQuery, ResumeRequest,
    Retention, Rotation, SecretInfo, SecretWrite, SessionRequest, Status, Storage, TokenInfo, TokenRequest,
    TokenRevocation, Verification, WorkerToken, WriteReceipt,
};
use crate::resource::{Address, OrgId};
use crate::seal::Sealed;
use crate::watch::{self, WatchFeed, WatchRequest};

impl ControlPlane for Plane {
    fn head(&self) -> Result<Head, Problem> {
        store::head(self)
    }

    fn ready(&self) -> Result<Revision, Problem> {
        store::ready(self)
    }

    fn head_at(&self, moment: Moment) -> Result<Head, Problem> {
        store::head_at(self, moment)
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, Problem> {
        self.shown(&self.engine().snapshot(), request).map(|(plan, _, _)| plan)
    }

    fn seal(&self, request: &PlanRequest) -> Result<Sealed, Problem> {
        sealed::seal(self, request)
    }

    fn apply(&self, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
        applying::apply(self, request)
    }

    fn resume(&self, request: &ResumeRequest) -> Result<WriteReceipt, Problem> {
        applying::resume(self, request)
    }

    fn approve(&self, request: &ApproveRequest) -> Result<WriteReceipt, Problem> {
        applying::approve(self, request)
    }

    fn poke(&self) -> Result<bool, Problem> {
        self.loops().poke();
        Ok(self.loops().any())
    }

    fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem> {
        let org = self.org(query.org.as_ref(), &self.engine().snapshot());
        let limit = query.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
        commits::page(self.engine(), &org, &query.scope, query.before, limit)
    }

    fn commit(&self, org: Option<&OrgId>, revision: Revision) -> Result<CommitInfo, Problem> {
        let org = self.org(org, &self.engine().snapshot());
        commits::one(self.engine(), &org, revision)
    }

    fn diff(&self, query: &DiffQuery) -> Result<Differences, Problem> {
        compare::differences(self, query)
    }

    fn resources(&self, query: &ResourcesQuery) -> Result<ResourcesPage, Problem> {
        resources::list(self, query)
    }

    fn resource(&self, org: Option<&OrgId>, address: &Address, at: Option<Revision>) -> Result<ResourceInfo, Problem> {
        resources::one(self, org, address, at)
    }

    fn origins(&self, query: &OriginQuery) -> Result<Origins, Problem> {
        explaining::explain(self, query)
    }

    fn edit(&self, request: &EditRequest) -> Result<WriteReceipt, Problem> {
        editing::edit(self, request)
    }

    fn look(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        sessions::look(self, request)
    }

    fn open_session(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        sessions::open(self, request)
    }

    fn session(&self, org: Option<&OrgId>, id: &str) -> Result<SessionContext, Problem> {
        sessions::get(self, org, id)
    }

    fn close_session(&self, org: Option<&OrgId>, id: &str) -> Result<(), Problem> {
        sessions::close(self, org, id)
    }

    fn explain(&self, request: &SessionRequest) -> Result<Explanation, Problem> {
        sessions::explain(self, request)
    }

    fn worker_token(&self, org: Option<&OrgId>, id: &str, life_ms: Option<i64>) -> Result<WorkerToken, Problem> {
        sessions::worker_token(self, org, id, life_ms)
    }

    fn session_context(&self, token: &SecretText) -> Result<SessionContext, Problem> {
        sessions::session_context(self, token)
    }

    fn write_secret(&self, request: &SecretWrite) -> Result<WriteReceipt, Problem> {
        secrets::write(self, request)
    }

    fn secrets(&self, org: Option<&OrgId>) -> Result<Vec<SecretInfo>, Problem> {
        secrets::list(self, org)
    }

    fn rotate_secrets(&self, author: &str) -> Result<Rotation, Problem> {
        rotating::rotate(self, author)
    }

    fn write_profile(&self, request: &ProfileWrite) -> Result<WriteReceipt, Problem> {
        profiles::write(self, request)
    }

    fn profiles(&self, query: &ProfilesQuery) -> Result<Vec<ProfileInfo>, Problem> {
        profiles::list(self, query)
    }

    fn create_token(&self, request: &TokenRequest) -> Result<NewToken, Problem> {
        tokens::create(self, request)
    }

    fn tokens(&self, within: &Reach) -> Result<Vec<TokenInfo>, Problem> {
        tokens::list(self, within)
    }

    fn revoke_token(&self, request: &TokenRevocation) -> Result<WriteReceipt, Problem> {
        tokens::revoke(self, request)
    }

    fn authenticate(&self, token: &SecretText) -> Result<Access, Problem> {
        tokens::authenticate(self, token)
    }

    fn kv_get(&self, org: Option<&OrgId>, key: &str, at: Option<Revision>) -> Result<Option<KvEntry>, Problem> {
        kv::get(self, org, key, at)
    }

    fn kv_txn(&self, txn: &KvTxn) -> Result<KvTxnResult, Problem> {
        kv::txn(self, txn)
    }

    fn import(&self, request: &ImportRequest) -> Result<Imported, Problem> {
        transfer::import(self, request)
    }

    fn status(&self, org: Option<&OrgId>) -> Result<Status, Problem> {
        store::status(self, org)
    }

    fn watch(&self, request: &WatchRequest) -> Result<Box<dyn WatchFeed>, Problem> {
        watch::begin(self, request)
    }

    fn follow(&self, request: &FollowRequest) -> Result<Box<dyn FollowFeed>, Problem> {
        follow::begin(self.engine(), request)
    }

    fn follower_told(&self, report: &FollowerReport) -> Result<(), Problem> {
        self.followers().told(report, self.both_clocks())
    }

    fn follower_left(&self, removal: &FollowerRemoval) -> Result<(), Problem> {
        self.followers().left(removal, self.both_clocks())
    }

    fn storage(&self) -> Result<Storage, Problem> {
        Ok(upkeep::storage(self))
    }

    fn measures(&self, reach: &Reach) -> Result<Measures, Problem> {
        Ok(store::measures(self, reach))
    }

    fn compact(&self, request: &CompactRequest) -> Result<Compacted, Problem> {
        upkeep::compact(self, request)
    }

    fn backup(&self, out: &mut (dyn Write + Send)) -> Result<(), Problem> {
        upkeep::backup(self, out)
    }

    fn verify(&self) -> Result<Verification, Problem> {
        store::verify(self)
    }
}

impl Plane {
    /// Gives up what no rule of the policy keeps; none if there is nothing to give up. A host calls it now and then.
    ///
    /// # Errors
    /// As [`ControlPlane::compact`].
    pub fn retain(&self, retention: Retention) -> Result<Option<Compacted>, Problem> {
        upkeep::retain(self, retention)
    }
}
