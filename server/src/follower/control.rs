//! The control plane of a follower: what the newest state answers is answered here, everything else by the server.
//!
//! A write that was forwarded is in force here when it returns, as far as the server's feed brings it in time. Never here: deciding
//! anything that a plane decides.

use std::collections::BTreeMap;
use std::io::Write;

use holdfast_engine::Revision;
use holdfast_reconciler::agents::context::SessionContext;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::{Plan, PlanRequest};
use holdfast_reconciler::plane::{
    Access, ApplyRequest, ApproveRequest, CommitInfo, CommitsPage, CommitsQuery, CompactRequest, Compacted,
    ControlPlane, DiffQuery, Differences, EditRequest, Explanation, FollowerRemoval, Head, ImportRequest, Imported,
    KvEntry, KvTxn, KvTxnResult, Measures, Moment, NewToken, OriginQuery, Origins, ProfileInfo, ProfileWrite,
    ProfilesQuery, Reach, ResourceInfo, ResourcesPage, ResourcesQuery, ResumeRequest, Rotation, SecretInfo,
    SecretWrite, SessionRequest, Status, Storage, TokenInfo, TokenRequest, TokenRevocation, Verification, WorkerToken,
    WriteReceipt,
};
use holdfast_reconciler::resource::{Address, OrgId};
use holdfast_reconciler::seal::Sealed;
use holdfast_reconciler::watch::{WatchFeed, WatchRequest};

use super::Follower;
use crate::client::Client;
use crate::limits::FOLLOWER_OWN_WRITE_MAX;

impl Follower {
    fn server(&self) -> &Client {
        &self.0.client
    }

    /// Waits until what a forwarded write made is in force here. If it does not come in time the write stands all the same.
    fn effective<T>(&self, answer: T, revision: Revision) -> T {
        if let Err(problem) = self.wait_for(revision, FOLLOWER_OWN_WRITE_MAX) {
            tracing::warn!(%revision, error = problem.message, "a write that was forwarded is not in force here yet");
        }
        answer
    }

    fn wrote(&self, receipt: Result<WriteReceipt, Problem>) -> Result<WriteReceipt, Problem> {
        receipt.map(|receipt| {
            let revision = receipt.revision;
            self.effective(receipt, revision)
        })
    }
}

impl ControlPlane for Follower {
    fn head(&self) -> Result<Head, Problem> {
        self.plane()?.head()
    }

    fn head_at(&self, moment: Moment) -> Result<Head, Problem> {
        self.server().head_at(moment)
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, Problem> {
        self.server().plan(request)
    }

    fn seal(&self, request: &PlanRequest) -> Result<Sealed, Problem> {
        self.server().seal(request)
    }

    fn apply(&self, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
        self.wrote(self.server().apply(request))
    }

    fn resume(&self, request: &ResumeRequest) -> Result<WriteReceipt, Problem> {
        self.wrote(self.server().resume(request))
    }

    fn approve(&self, request: &ApproveRequest) -> Result<WriteReceipt, Problem> {
        self.wrote(self.server().approve(request))
    }

    fn poke(&self) -> Result<bool, Problem> {
        self.server().poke()
    }

    fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem> {
        self.server().commits(query)
    }

    fn commit(&self, org: Option<&OrgId>, revision: Revision) -> Result<CommitInfo, Problem> {
        self.server().commit(org, revision)
    }

    fn diff(&self, query: &DiffQuery) -> Result<Differences, Problem> {
        self.server().diff(query)
    }

    fn resources(&self, query: &ResourcesQuery) -> Result<ResourcesPage, Problem> {
        match query.at {
            None => self.plane()?.resources(query),
            Some(_) => self.server().resources(query),
        }
    }

    fn resource(&self, org: Option<&OrgId>, address: &Address, at: Option<Revision>) -> Result<ResourceInfo, Problem> {
        match at {
            None => self.plane()?.resource(org, address, at),
            Some(_) => self.server().resource(org, address, at),
        }
    }

    fn origins(&self, query: &OriginQuery) -> Result<Origins, Problem> {
        self.server().origins(query)
    }

    fn edit(&self, request: &EditRequest) -> Result<WriteReceipt, Problem> {
        self.wrote(self.server().edit(request))
    }

    fn look(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        match request.at {
            None => self.plane()?.look(request),
            Some(_) => self.server().look(request),
        }
    }

    fn open_session(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        self.plane()?.open_session(request)
    }

    fn session(&self, org: Option<&OrgId>, id: &str) -> Result<SessionContext, Problem> {
        ControlPlane::session(self.plane()?, org, id)
    }

    fn close_session(&self, org: Option<&OrgId>, id: &str) -> Result<(), Problem> {
        self.plane()?.close_session(org, id)
    }

    fn explain(&self, request: &SessionRequest) -> Result<Explanation, Problem> {
        match request.at {
            None => self.plane()?.explain(request),
            Some(_) => self.server().explain(request),
        }
    }

    fn worker_token(&self, org: Option<&OrgId>, id: &str, life_ms: Option<i64>) -> Result<WorkerToken, Problem> {
        self.plane()?.worker_token(org, id, life_ms)
    }

    fn session_context(&self, token: &SecretText) -> Result<SessionContext, Problem> {
        self.plane()?.session_context(token)
    }

    fn write_secret(&self, request: &SecretWrite) -> Result<WriteReceipt, Problem> {
        self.wrote(self.server().write_secret(request))
    }

    fn secrets(&self, org: Option<&OrgId>) -> Result<Vec<SecretInfo>, Problem> {
        self.server().secrets(org)
    }

    fn rotate_secrets(&self, author: &str) -> Result<Rotation, Problem> {
        self.server().rotate_secrets(author)
    }

    fn write_profile(&self, request: &ProfileWrite) -> Result<WriteReceipt, Problem> {
        self.wrote(self.server().write_profile(request))
    }

    fn profiles(&self, query: &ProfilesQuery) -> Result<Vec<ProfileInfo>, Problem> {
        self.server().profiles(query)
    }

    fn create_token(&self, request: &TokenRequest) -> Result<NewToken, Problem> {
        let made = self.server().create_token(request)?;
        let revision = made.info.modified;
        Ok(self.effective(made, revision))
    }

    fn tokens(&self, within: &Reach) -> Result<Vec<TokenInfo>, Problem> {
        self.server().tokens(within)
    }

    /// The server sees the follower's own token, which may reach further than the one that asks here: so what that one may revoke is
    /// looked at first.
    fn revoke_token(&self, request: &TokenRevocation) -> Result<WriteReceipt, Problem> {
        let found = request.pick(self.server().tokens(&request.within)?)?;
        self.wrote(self.server().revoke_token(&TokenRevocation { token: found.id, ..request.clone() }))
    }

    /// One cannot be followed, but who works through this one may take others off at its server.
    fn follower_left(&self, removal: &FollowerRemoval) -> Result<(), Problem> {
        if removal.within == Some(Reach::All) {
            return self.server().follower_left(removal);
        }
        let message = "through a follower, others are taken off by who may so for all organisations";
        Err(Problem::new(ProblemKind::Forbidden, "E_FOREIGN_ORG", message).help("ask the server itself"))
    }

    /// By the digests that came with the state: those come to a follower of all organisations that has the role `admin`.
    fn authenticate(&self, token: &SecretText) -> Result<Access, Problem> {
        self.plane()?.authenticate(token)
    }

    fn kv_get(&self, org: Option<&OrgId>, key: &str, at: Option<Revision>) -> Result<Option<KvEntry>, Problem> {
        match at {
            None => self.plane()?.kv_get(org, key, at),
            Some(_) => self.server().kv_get(org, key, at),
        }
    }

    fn kv_txn(&self, txn: &KvTxn) -> Result<KvTxnResult, Problem> {
        let result = self.server().kv_txn(txn)?;
        let revision = result.revision;
        Ok(self.effective(result, revision))
    }

    fn import(&self, request: &ImportRequest) -> Result<Imported, Problem> {
        let imported = self.server().import(request)?;
        let revision = imported.receipt.as_ref().map_or(Revision::ZERO, |receipt| receipt.revision);
        Ok(self.effective(imported, revision))
    }

    /// The server's, with how this follower stands; what is known here where the server is away or lets this follower in no more.
    fn status(&self, org: Option<&OrgId>) -> Result<Status, Problem> {
        let status = match self.server().status(org) {
            Err(problem) if matches!(problem.kind, ProblemKind::Unavailable | ProblemKind::Denied) => {
                self.plane()?.status(org)
            }
            status => status,
        };
        Ok(Status { following: Some(self.0.shared.following()), ..status? })
    }

    fn watch(&self, request: &WatchRequest) -> Result<Box<dyn WatchFeed>, Problem> {
        self.plane()?.watch(request)
    }

    fn storage(&self) -> Result<Storage, Problem> {
        self.plane()?.storage()
    }

    /// Of the state that runs here; what is real outside the store is the server's to know.
    fn measures(&self, reach: &Reach) -> Result<Measures, Problem> {
        let observed = BTreeMap::new();
        Ok(Measures { observed, ..self.plane()?.measures(reach)? })
    }

    fn compact(&self, request: &CompactRequest) -> Result<Compacted, Problem> {
        self.server().compact(request)
    }

    fn backup(&self, out: &mut (dyn Write + Send)) -> Result<(), Problem> {
        self.server().backup(out)
    }

    fn verify(&self) -> Result<Verification, Problem> {
        self.server().verify()
    }
}
