//! The client: a control plane over the Unix socket of a server or over the network.
//!
//! Never here: how a request is sent and when it is repeated (`call.rs`, `transport.rs`), and deciding anything that the plane
//! decides.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, Method, header};
use holdfast_engine::{BackupError, Revision};
use holdfast_reconciler::agents::context::SessionContext;
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::{Plan, PlanRequest};
use holdfast_reconciler::plane::{
    ApplyRequest, ApproveRequest, CommitInfo, CommitsPage, CommitsQuery, CompactRequest, Compacted, ControlPlane,
    DiffQuery, Differences, Edit, EditRequest, Explanation, FollowerRemoval, Head, ImportRequest, Imported, KvEntry,
    KvTxn, KvTxnResult, Measures, Moment, NewToken, OriginQuery, Origins, ProfileChange, ProfileCredential,
    ProfileInfo, ProfileWrite, ProfilesQuery, Reach, ResourceInfo, ResourcesPage, ResourcesQuery, ResumeRequest,
    Rotation, Scope, SecretInfo, SecretWrite, SessionRequest, Status, Storage, TokenInfo, TokenRequest,
    TokenRevocation, Verification, WorkerToken, WriteReceipt,
};
use holdfast_reconciler::resource::{Address, OrgId};
use holdfast_reconciler::seal::Sealed;
use holdfast_reconciler::watch::{WatchFeed, WatchRequest};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::call::{Call, decode, target, text};
use crate::declaring::WithoutPlaces;
use crate::endpoint::{Endpoint, Remote};
use crate::limits::{
    CLIENT_ANSWER_TIMEOUT, CLIENT_HELLO_TIMEOUT, CLIENT_PIECE_TIMEOUT, EDIT_BODY_BYTES_MAX, PLAN_BODY_BYTES_MAX,
    SMALL_BODY_BYTES_MAX, TXN_BODY_BYTES_MAX,
};
use crate::protocol::{CREATED_HEADER, REVISION_HEADER, VERSION_HEADER, revision_of_etag};
use crate::tls::TlsTrust;
use crate::transport::{ExchangeError, Incoming, Transport};
use crate::watching::Watching;
use crate::wire::{
    Hello, PokeAnswer, ProfileBodyRef, ProfilesAnswer, Ready, SecretBodyRef, SecretsAnswer, SessionBody, TokenBody,
    TokenCreateBody, TokensAnswer, TxnBody,
};

/// A control plane in another process, over its Unix socket or over the network.
///
/// Every method blocks the calling thread and drives a small runtime of its own, so it may be used in any thread that may
/// block, by many at once, and on the threads of `spawn_blocking`.
///
/// # Panics
/// On a thread that drives asynchronous tasks, as tokio's `block_on` does: call it from `spawn_blocking` there.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    patience: Duration,
}

impl Client {
    /// Makes a client for the server behind a socket; nothing is connected before the first call.
    pub fn new(socket: PathBuf) -> Self {
        Self { transport: Transport::new(Endpoint::Socket(socket)), patience: CLIENT_ANSWER_TIMEOUT }
    }

    /// Makes a client for a server on the network, as `https://HOST:PORT`, that shows an access token; nothing is connected before
    /// the first call. `trust` says whose certificates are taken.
    ///
    /// # Errors
    /// The address is none, or would send the token to another machine in clear.
    pub fn remote(url: &str, token: Option<&SecretText>, trust: Option<&TlsTrust>) -> Result<Self, Problem> {
        let endpoint = Endpoint::Network(Box::new(Remote::new(url, token, trust)?));
        Ok(Self { transport: Transport::new(endpoint), patience: CLIENT_ANSWER_TIMEOUT })
    }

    /// Sets how long a call waits for its answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where the server is, for people: the path of its socket, or its address.
    pub fn place(&self) -> String {
        self.transport.endpoint().to_string()
    }

    /// Where the server is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// Asks once whether anybody is there.
    pub(crate) fn greet(&self) -> Result<Incoming, ExchangeError> {
        Call::read("/healthz").once(&self.transport, CLIENT_HELLO_TIMEOUT)
    }

    /// Asks which program serves.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn hello(&self) -> Result<Hello, Problem> {
        self.ask(Call::read("/healthz"))
    }

    fn run(&self, call: Call) -> Result<Incoming, Problem> {
        call.send(&self.transport, self.patience)
    }

    fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, Problem> {
        decode(&self.run(call)?)
    }
}

/// The request id of a write, made here if the caller has none, so that the write can be repeated safely.
fn request_id(given: Option<&String>) -> String {
    given.cloned().unwrap_or_else(|| Uuid::new_v4().to_string())
}

/// A parameter that lists words; none if there are none.
fn words(words: &BTreeSet<String>) -> Option<String> {
    (!words.is_empty()).then(|| words.iter().map(String::as_str).collect::<Vec<_>>().join(","))
}

/// The parameter that says which keys are meant.
fn scope_parameter(scope: &Scope) -> (&'static str, Option<String>) {
    match scope {
        Scope::All => ("prefix", None),
        Scope::Key(key) => ("key", Some(key.clone())),
        Scope::Prefix(prefix) => ("prefix", Some(prefix.clone())),
    }
}

/// The raw value of an answer, with what its headers say of it.
fn kv_entry(answer: &Incoming) -> Option<KvEntry> {
    let text = |name: HeaderName| answer.headers.get(name)?.to_str().ok();
    Some(KvEntry {
        value: answer.body.to_vec(),
        created: text(CREATED_HEADER)?.parse().ok()?,
        modified: text(header::ETAG).and_then(revision_of_etag)?,
        version: text(VERSION_HEADER)?.parse().ok()?,
        head: text(REVISION_HEADER)?.parse().ok()?,
    })
}

impl ControlPlane for Client {
    fn head(&self) -> Result<Head, Problem> {
        self.ask(Call::read("/v1/head"))
    }

    fn ready(&self) -> Result<Revision, Problem> {
        self.ask(Call::read("/readyz")).map(|Ready { status: _, revision }| revision)
    }

    fn head_at(&self, moment: Moment) -> Result<Head, Problem> {
        self.ask(Call::read(target(&["head"], &[("at", text(Some(&moment)))])))
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, Problem> {
        let call = Call::compute(target(&["plan"], &[])).body(&WithoutPlaces(request), PLAN_BODY_BYTES_MAX)?;
        let mut plan: Plan = self.ask(call)?;
        plan.place(&request.desired);
        Ok(plan)
    }

    fn seal(&self, request: &PlanRequest) -> Result<Sealed, Problem> {
        self.ask(Call::compute(target(&["seal"], &[])).body(request, PLAN_BODY_BYTES_MAX)?)
    }

    fn apply(&self, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
        let id = request_id(request.request_id.as_ref());
        self.ask(Call::write(Method::POST, target(&["apply"], &[])).request_id(&id).body(request, PLAN_BODY_BYTES_MAX)?)
    }

    fn resume(&self, request: &ResumeRequest) -> Result<WriteReceipt, Problem> {
        let id = request_id(request.request_id.as_ref());
        self.ask(
            Call::write(Method::POST, target(&["resume"], &[])).request_id(&id).body(request, EDIT_BODY_BYTES_MAX)?,
        )
    }

    fn approve(&self, request: &ApproveRequest) -> Result<WriteReceipt, Problem> {
        let id = request_id(request.request_id.as_ref());
        self.ask(
            Call::write(Method::POST, target(&["approve"], &[])).request_id(&id).body(request, EDIT_BODY_BYTES_MAX)?,
        )
    }

    fn poke(&self) -> Result<bool, Problem> {
        self.ask::<PokeAnswer>(Call::compute(target(&["poke"], &[]))).map(|answer| answer.loops)
    }

    fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem> {
        let CommitsQuery { org, scope, before, limit } = query;
        let parameters = [
            ("org", text(org.as_ref())),
            scope_parameter(scope),
            ("before", text(before.as_ref())),
            ("limit", text(limit.as_ref())),
        ];
        self.ask(Call::read(target(&["commits"], &parameters)))
    }

    fn commit(&self, org: Option<&OrgId>, revision: Revision) -> Result<CommitInfo, Problem> {
        let target = target(&["commits", &revision.get().to_string()], &[("org", text(org))]);
        self.ask(Call::read(target))
    }

    fn diff(&self, query: &DiffQuery) -> Result<Differences, Problem> {
        let DiffQuery { org, from, to, scope, limit, after } = query;
        let parameters = [
            ("org", text(org.as_ref())),
            ("from", text(Some(from))),
            ("to", text(to.as_ref())),
            scope_parameter(scope),
            ("limit", text(limit.as_ref())),
            ("after", after.clone()),
        ];
        self.ask(Call::read(target(&["diff"], &parameters)))
    }

    fn resources(&self, query: &ResourcesQuery) -> Result<ResourcesPage, Problem> {
        let ResourcesQuery { org, kind, prefix, at, limit, after, kinds } = query;
        let parameters = [
            ("org", text(org.as_ref())),
            ("kind", kind.clone()),
            ("prefix", prefix.clone()),
            ("at", text(at.as_ref())),
            ("limit", text(limit.as_ref())),
            ("after", after.clone()),
            ("kinds", kinds.then(|| "true".to_owned())),
        ];
        self.ask(Call::read(target(&["resources"], &parameters)))
    }

    fn resource(&self, org: Option<&OrgId>, address: &Address, at: Option<Revision>) -> Result<ResourceInfo, Problem> {
        let parts = ["resources", address.kind.as_str(), address.name.as_str()];
        let target = target(&parts, &[("org", text(org)), ("at", text(at.as_ref()))]);
        self.ask(Call::read(target))
    }

    fn edit(&self, request: &EditRequest) -> Result<WriteReceipt, Problem> {
        let EditRequest {
            org,
            address,
            edit,
            if_modified,
            allow_delete,
            allow_break,
            author,
            message,
            request_id: given,
        } = request;
        let names = allow_break.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let parameters = [
            ("org", text(org.as_ref())),
            ("allow_break", (!names.is_empty()).then_some(names)),
            ("allow_delete", text(allow_delete.as_ref())),
            ("message", (!message.is_empty()).then(|| message.clone())),
        ];
        let target = target(&["resources", address.kind.as_str(), address.name.as_str()], &parameters);
        let call = match edit {
            Edit::Merge(fields) => Call::write(Method::PATCH, target).body(fields, EDIT_BODY_BYTES_MAX)?,
            Edit::Create(fields) => Call::write(Method::PATCH, target).if_absent().body(fields, EDIT_BODY_BYTES_MAX)?,
            Edit::Delete => Call::write(Method::DELETE, target),
        };
        let call = match if_modified {
            Some(revision) => call.if_modified(*revision),
            None => call,
        };
        self.ask(call.author(author).request_id(&request_id(given.as_ref())))
    }

    fn origins(&self, query: &OriginQuery) -> Result<Origins, Problem> {
        let OriginQuery { org, address, field, at, limit } = query;
        let parameters = [
            ("org", text(org.as_ref())),
            ("field", field.clone()),
            ("at", text(at.as_ref())),
            ("limit", text(limit.as_ref())),
        ];
        self.ask(Call::read(target(&["explain", address.kind.as_str(), address.name.as_str()], &parameters)))
    }

    fn look(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        let SessionRequest { org, agent, user, at, allow_missing, ephemeral: _ } = request;
        let parameters = [
            ("org", text(org.as_ref())),
            ("user", user.clone()),
            ("at", text(at.as_ref())),
            ("allow_missing", allow_missing.then(|| "true".to_owned())),
        ];
        self.ask(Call::read(target(&["agents", agent, "session"], &parameters)))
    }

    fn open_session(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        let SessionRequest { org, agent, user, at, allow_missing, ephemeral: _ } = request;
        let target = target(&["agents", agent, "sessions"], &[("org", text(org.as_ref()))]);
        let body = SessionBody { user: user.clone(), at: *at, allow_missing: *allow_missing };
        self.ask(Call::write(Method::POST, target).body(&body, SMALL_BODY_BYTES_MAX)?)
    }

    fn session(&self, org: Option<&OrgId>, id: &str) -> Result<SessionContext, Problem> {
        self.ask(Call::read(target(&["sessions", id], &[("org", text(org))])))
    }

    fn close_session(&self, org: Option<&OrgId>, id: &str) -> Result<(), Problem> {
        let target = target(&["sessions", id], &[("org", text(org))]);
        self.run(Call::write(Method::DELETE, target)).map(drop)
    }

    fn explain(&self, request: &SessionRequest) -> Result<Explanation, Problem> {
        let SessionRequest { org, agent, user, at, allow_missing: _, ephemeral: _ } = request;
        let parameters = [("org", text(org.as_ref())), ("user", user.clone()), ("at", text(at.as_ref()))];
        self.ask(Call::read(target(&["agents", agent, "explain"], &parameters)))
    }

    fn worker_token(&self, org: Option<&OrgId>, id: &str, life_ms: Option<i64>) -> Result<WorkerToken, Problem> {
        let target = target(&["sessions", id, "token"], &[("org", text(org))]);
        self.ask(Call::write(Method::POST, target).body(&TokenBody { life_ms }, SMALL_BODY_BYTES_MAX)?)
    }

    fn session_context(&self, token: &SecretText) -> Result<SessionContext, Problem> {
        self.ask(Call::read(target(&["session-context"], &[])).bearer(token))
    }

    fn write_secret(&self, request: &SecretWrite) -> Result<WriteReceipt, Problem> {
        let SecretWrite { org, name, value, expires, author, allow_break } = request;
        let org = ("org", text(org.as_ref()));
        let call = match value {
            Some(value) => {
                let target = target(&["secrets", name], &[org]);
                let body = SecretBodyRef { value, expires: *expires, allow_break };
                Call::write(Method::PUT, target).body(&body, SMALL_BODY_BYTES_MAX)?
            }
            None => {
                Call::write(Method::DELETE, target(&["secrets", name], &[org, ("allow_break", words(allow_break))]))
            }
        };
        self.ask(call.author(author))
    }

    fn secrets(&self, org: Option<&OrgId>) -> Result<Vec<SecretInfo>, Problem> {
        let answer: SecretsAnswer = self.ask(Call::read(target(&["secrets"], &[("org", text(org))])))?;
        Ok(answer.secrets)
    }

    fn rotate_secrets(&self, author: &str) -> Result<Rotation, Problem> {
        self.ask(Call::write(Method::POST, target(&["keys", "rotate"], &[])).author(author))
    }

    fn write_profile(&self, request: &ProfileWrite) -> Result<WriteReceipt, Problem> {
        let ProfileWrite { org, user, provider, model, change, author, allow_break } = request;
        let (parts, org) = (["profiles", user, provider], ("org", text(org.as_ref())));
        let call = match change {
            ProfileChange::Set { kind, credential, expires } => {
                let (value, secret_ref) = match credential {
                    ProfileCredential::Value(value) => (Some(value), None),
                    ProfileCredential::SecretRef(name) => (None, Some(name.as_str())),
                };
                let body = ProfileBodyRef { kind: *kind, value, secret_ref, expires: *expires, allow_break };
                let target = target(&parts, &[org, ("model", model.clone())]);
                Call::write(Method::PUT, target).body(&body, SMALL_BODY_BYTES_MAX)?
            }
            ProfileChange::Remove => {
                let parameters = [org, ("model", model.clone()), ("allow_break", words(allow_break))];
                Call::write(Method::DELETE, target(&parts, &parameters))
            }
        };
        self.ask(call.author(author))
    }

    fn profiles(&self, query: &ProfilesQuery) -> Result<Vec<ProfileInfo>, Problem> {
        let ProfilesQuery { org, user } = query;
        let parameters = [("org", text(org.as_ref())), ("user", user.clone())];
        let answer: ProfilesAnswer = self.ask(Call::read(target(&["profiles"], &parameters)))?;
        Ok(answer.profiles)
    }

    fn create_token(&self, request: &TokenRequest) -> Result<NewToken, Problem> {
        let TokenRequest { name, role, reach, life_ms, author } = request.clone();
        let body = TokenCreateBody { name, role, reach, life_ms };
        let call = Call::write(Method::POST, target(&["tokens"], &[])).author(author.as_str());
        self.ask(call.body(&body, SMALL_BODY_BYTES_MAX)?)
    }

    fn tokens(&self, within: &Reach) -> Result<Vec<TokenInfo>, Problem> {
        let TokensAnswer { mut tokens } = self.ask(Call::read(target(&["tokens"], &[])))?;
        tokens.retain(|token| within.covers(&token.reach));
        Ok(tokens)
    }

    fn revoke_token(&self, request: &TokenRevocation) -> Result<WriteReceipt, Problem> {
        // How far the caller may reach is the server's to say.
        let TokenRevocation { token, within: _, author } = request;
        self.ask(Call::write(Method::DELETE, target(&["tokens", token], &[])).author(author))
    }

    fn follower_left(&self, removal: &FollowerRemoval) -> Result<(), Problem> {
        // Who asks, and how far that one may reach, is the server's to say.
        let FollowerRemoval { owner: _, within: _, id } = removal;
        self.run(Call::write(Method::DELETE, target(&["followers", id], &[]))).map(drop)
    }

    fn kv_get(&self, org: Option<&OrgId>, key: &str, at: Option<Revision>) -> Result<Option<KvEntry>, Problem> {
        let target = target(&["kv", key], &[("org", text(org)), ("at", text(at.as_ref()))]);
        let answer = match self.run(Call::read(target)) {
            Err(problem) if problem.code == "E_NO_KEY" => return Ok(None),
            answer => answer?,
        };
        kv_entry(&answer)
            .ok_or_else(|| {
                Problem::new(ProblemKind::Internal, "E_ANSWER", "the server's answer has no revisions")
                    .help("use a client and a server of the same release")
            })
            .map(Some)
    }

    fn kv_txn(&self, txn: &KvTxn) -> Result<KvTxnResult, Problem> {
        let KvTxn { org, compare, ops, author, request_id: given } = txn;
        let id = request_id(given.as_ref());
        let target = target(&["txn"], &[("org", text(org.as_ref()))]);
        let call = Call::write(Method::POST, target).author(author).request_id(&id);
        self.ask(call.body(&TxnBody::new(compare, ops), TXN_BODY_BYTES_MAX)?)
    }

    fn import(&self, request: &ImportRequest) -> Result<Imported, Problem> {
        let id = request_id(request.request_id.as_ref());
        self.ask(
            Call::write(Method::POST, target(&["import"], &[])).request_id(&id).body(request, PLAN_BODY_BYTES_MAX)?,
        )
    }

    fn status(&self, org: Option<&OrgId>) -> Result<Status, Problem> {
        self.ask(Call::read(target(&["status"], &[("org", text(org))])))
    }

    fn storage(&self) -> Result<Storage, Problem> {
        self.status(None).map(|status| status.storage)
    }

    /// What the status of the store's only organisation tells of it; the counts are the server's own affair (`/metrics`).
    fn measures(&self, reach: &Reach) -> Result<Measures, Problem> {
        let status = self.status(reach.only())?;
        Ok(Measures {
            head: status.head.revision,
            storage: status.storage,
            sessions: status.open_sessions.values().sum(),
            observed: BTreeMap::from([(status.org, status.observed)]),
            sources: Vec::new(),
        })
    }

    fn compact(&self, request: &CompactRequest) -> Result<Compacted, Problem> {
        self.ask(Call::compute(target(&["compact"], &[])).body(request, SMALL_BODY_BYTES_MAX)?)
    }

    fn backup(&self, out: &mut (dyn Write + Send)) -> Result<(), Problem> {
        let sink = |piece: &[u8]| out.write_all(piece);
        match Call::read(target(&["backup"], &[])).stream(&self.transport, CLIENT_PIECE_TIMEOUT, sink)? {
            Ok(()) => Ok(()),
            Err(error) => Err(Problem::from_error(ProblemKind::Failed, "E_BACKUP", &BackupError::Write(error))
                .help("check the room and the rights where it is written, and try again")),
        }
    }

    fn verify(&self) -> Result<Verification, Problem> {
        self.ask(Call::compute(target(&["verify"], &[])))
    }

    /// The feed is driven by the tokio runtime of whoever asks it for the next item, and resumes by itself when the
    /// connection ends.
    fn watch(&self, request: &WatchRequest) -> Result<Box<dyn WatchFeed>, Problem> {
        Ok(Box::new(Watching::new(self.transport.endpoint().clone(), request.clone())))
    }
}
