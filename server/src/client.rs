//! The client: a control plane over the Unix socket of a server, and how one is found.
//!
//! It repeats a request only if the server cannot have seen it, if it changes nothing, or if a request id makes a repetition
//! harmless; everything else fails with a problem that says whether the write may have happened.
//!
//! Never here: connections and their failures (`transport.rs`), and deciding anything that the plane decides.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use holdfast_engine::Revision;
use holdfast_reconciler::agents::context::SessionContext;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::{Plan, PlanRequest};
use holdfast_reconciler::plane::{
    ApplyRequest, CommitInfo, CommitsPage, CommitsQuery, ControlPlane, Head, KvEntry, KvTxn, KvTxnResult, ResourceInfo,
    ResourcesPage, ResourcesQuery, SecretInfo, SecretWrite, SessionRequest, Status, Verification, WriteReceipt,
};
use holdfast_reconciler::resource::{Address, OrgId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::limits::{CLIENT_ANSWER_TIMEOUT, CLIENT_HELLO_TIMEOUT, CLIENT_RETRY_MAX, CLIENT_RETRY_REST};
use crate::problem::ProblemBody;
use crate::protocol::{AUTHOR_HEADER, CREATED_HEADER, PROTOCOL, REQUEST_ID_HEADER, REVISION_HEADER, revision_of_etag};
use crate::socket::SOCKET_NAME;
use crate::transport::{ExchangeError, Incoming, Outgoing, Transport};
use crate::wire::{Hello, SecretBodyRef, SecretsAnswer, SessionBody, TxnBody};

/// What stands encoded in a part of a path: everything but letters, digits and the four marks that mean nothing anywhere.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a store's folder says about a server.
#[derive(Debug)]
pub enum Discovery {
    /// A server answers.
    Server(Client),
    /// A server was there and is gone: its socket is left and nobody answers.
    Stale,
    /// There is no socket.
    None,
}

/// Looks for a server in a store's folder.
///
/// # Errors
/// Somebody answers with whom we cannot speak: a server of another protocol, something that is no server, one that does not
/// answer in time, or a socket of another user.
///
/// # Panics
/// On a thread that drives asynchronous tasks; see [`Client`].
pub fn discover(store_dir: impl AsRef<Path>) -> Result<Discovery, Problem> {
    let client = Client::new(store_dir.as_ref().join(SOCKET_NAME));
    match client.transport.exchange(client.get("/healthz").outgoing, CLIENT_HELLO_TIMEOUT) {
        Ok(_) => Ok(Discovery::Server(client)),
        Err(ExchangeError::Absent) => Ok(Discovery::None),
        Err(ExchangeError::Stale) => Ok(Discovery::Stale),
        Err(error) => Err(client.problem(error, Doubt::None)),
    }
}

/// A control plane in another process, over its Unix socket.
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

/// Whether a request that failed may have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It changes nothing, or it was never sent.
    None,
    /// It may have been.
    Possible,
}

/// A request with what may be done with it.
struct Call {
    outgoing: Outgoing,
    /// Whether sending it twice does no more than sending it once.
    repeatable: bool,
}

impl Client {
    /// Makes a client for the server behind a socket; nothing is connected before the first call.
    pub fn new(socket: PathBuf) -> Self {
        Self { transport: Transport::new(socket), patience: CLIENT_ANSWER_TIMEOUT }
    }

    /// Sets how long a call waits for its answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The path of the socket.
    pub fn socket(&self) -> &Path {
        self.transport.socket()
    }

    /// Asks which program serves.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn hello(&self) -> Result<Hello, Problem> {
        decode(&self.run(self.get("/healthz"))?)
    }

    fn get(&self, target: impl Into<String>) -> Call {
        Call { outgoing: outgoing(Method::GET, target.into()), repeatable: true }
    }

    /// A write that may be repeated only if it has a request id.
    fn write(&self, method: Method, target: String, author: Option<&str>, request_id: Option<&str>) -> Call {
        let mut outgoing = outgoing(method, target);
        if let Some(author) = author {
            let encoded = utf8_percent_encode(author, PART).to_string();
            put_header(&mut outgoing.headers, AUTHOR_HEADER, &encoded);
        }
        if let Some(id) = request_id {
            put_header(&mut outgoing.headers, REQUEST_ID_HEADER, id);
        }
        Call { outgoing, repeatable: request_id.is_some() }
    }

    /// Sends a request, again where that is safe, and gives the answer unless it is a problem.
    fn run(&self, call: Call) -> Result<Incoming, Problem> {
        let Call { outgoing, repeatable } = call;
        let begun = Instant::now();
        // Whether the server was there and went away, and whether it may have seen the request.
        let (mut lost, mut seen) = (false, false);
        loop {
            let error = match self.transport.exchange(outgoing.clone(), self.patience) {
                Ok(answer) => match problem_of(&answer) {
                    None => return Ok(answer),
                    Some(problem) if problem.code != "E_BUSY" || begun.elapsed() > CLIENT_RETRY_MAX => {
                        return Err(problem);
                    }
                    Some(_) => {
                        std::thread::sleep(CLIENT_RETRY_REST);
                        continue;
                    }
                },
                Err(error) => error,
            };
            seen |= !error.never_sent();
            let connection_lost = matches!(error, ExchangeError::Lost { .. });
            let again = error.server_gone() && (lost || connection_lost) && (repeatable || !seen);
            if !again || begun.elapsed() > CLIENT_RETRY_MAX {
                return Err(
                    self.problem(error, if seen && !is_read(&outgoing) { Doubt::Possible } else { Doubt::None })
                );
            }
            tracing::debug!(%error, method = %outgoing.method, "repeating a request that is safe to repeat");
            // The first repetition comes at once: most often a kept connection had been closed.
            if lost {
                std::thread::sleep(CLIENT_RETRY_REST);
            }
            lost = true;
        }
    }

    /// A failed exchange as a problem.
    fn problem(&self, error: ExchangeError, doubt: Doubt) -> Problem {
        let socket = self.socket().display();
        let (kind, code, message, help) = match &error {
            ExchangeError::Absent => (
                ProblemKind::Unavailable,
                "E_NO_SERVER",
                format!("there is no server at `{socket}`"),
                "start one with `reconcile serve`, or leave `--server` out",
            ),
            ExchangeError::Stale => (
                ProblemKind::Unavailable,
                "E_STALE_SOCKET",
                format!("a server was at `{socket}` and is gone"),
                "start it again with `reconcile serve`; it replaces the socket",
            ),
            ExchangeError::Connect(_) => (
                ProblemKind::Unavailable,
                "E_CONNECT",
                format!("cannot connect to `{socket}`"),
                "check that the socket is yours: a server's socket is for its own user",
            ),
            ExchangeError::Lost { .. } => (
                ProblemKind::Unavailable,
                "E_SERVER_LOST",
                format!("the server at `{socket}` went away before it answered"),
                "look at the server's log, then try again",
            ),
            ExchangeError::Silent(patience) => (
                ProblemKind::Unavailable,
                "E_SERVER_SILENT",
                format!("the server at `{socket}` did not answer within {} seconds", patience.as_secs()),
                "see what it does; if it hangs, stop it and start it again",
            ),
            ExchangeError::TooLarge => (
                ProblemKind::Failed,
                "E_ANSWER_TOO_LARGE",
                format!("the answer of the server at `{socket}` is too large"),
                "ask for less, with `--only` or a limit",
            ),
            ExchangeError::Foreign => (
                ProblemKind::Unavailable,
                "E_FOREIGN_SERVER",
                format!("what answers at `{socket}` is no Holdfast server"),
                "stop it, or choose another store",
            ),
            ExchangeError::Protocol(theirs) => (
                ProblemKind::Unavailable,
                "E_PROTOCOL",
                format!("the server at `{socket}` speaks protocol `{theirs}`, this program speaks `{PROTOCOL}`"),
                "use a `reconcile` of the server's release, or restart the server with this one",
            ),
        };
        let mut problem = Problem::new(kind, code, message).help(help);
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        problem.causes.extend(causes.map(ToString::to_string));
        if doubt == Doubt::Possible {
            problem.causes.push("the request had been sent: whether it was carried out is not known".to_owned());
            problem.help = Some("look at `reconcile history` before you repeat it".to_owned());
        }
        problem
    }
}

fn outgoing(method: Method, target: String) -> Outgoing {
    Outgoing { method, target, headers: HeaderMap::new(), body: Bytes::new() }
}

fn is_read(request: &Outgoing) -> bool {
    request.method == Method::GET || request.target == "/v1/plan" || request.target == "/v1/verify"
}

/// Sets a header; a value that no header can hold is left to the server's rules for a missing one.
fn put_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A target of encoded parts and parameters; parameters without a value are left out.
fn target(parts: &[&str], parameters: &[(&str, Option<String>)]) -> String {
    let mut target = String::from("/v1");
    for part in parts {
        target.push('/');
        target.extend(utf8_percent_encode(part, PART));
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { target } else { format!("{target}?{query}") }
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

/// A body in JSON, wiped from memory when the request is done.
fn encode(body: &impl Serialize) -> Result<Bytes, Problem> {
    let mut bytes = Zeroizing::new(Vec::new());
    serde_json::to_writer(&mut *bytes, body)
        .map_err(|error| Problem::from_error(ProblemKind::Internal, "E_ENCODE", &error))?;
    Ok(Bytes::from_owner(bytes))
}

fn decode<T: DeserializeOwned>(answer: &Incoming) -> Result<T, Problem> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        Problem::from_error(ProblemKind::Internal, "E_ANSWER", &error)
            .help("use a client and a server of the same release")
    })
}

/// The problem that an answer tells, if it tells one.
fn problem_of(answer: &Incoming) -> Option<Problem> {
    if answer.status.is_success() || is_failed_txn(answer) {
        return None;
    }
    match serde_json::from_slice::<ProblemBody>(&answer.body) {
        Ok(body) => Some(body.into_problem()),
        Err(_) => Some(
            Problem::new(
                ProblemKind::Internal,
                "E_ANSWER",
                format!("the server answered {} without a reason", answer.status),
            )
            .help("look at the server's log"),
        ),
    }
}

/// A transaction whose conditions did not hold is an answer and no problem.
fn is_failed_txn(answer: &Incoming) -> bool {
    let json = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    answer.status == StatusCode::PRECONDITION_FAILED && json
}

/// The request id of a write, made here if the caller has none, so that the write can be repeated safely.
fn request_id(given: Option<&String>) -> String {
    given.cloned().unwrap_or_else(|| Uuid::new_v4().to_string())
}

impl ControlPlane for Client {
    fn head(&self) -> Result<Head, Problem> {
        decode(&self.run(self.get("/v1/head"))?)
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, Problem> {
        let mut call = Call { outgoing: outgoing(Method::POST, target(&["plan"], &[])), repeatable: true };
        call.outgoing.body = encode(request)?;
        decode(&self.run(call)?)
    }

    fn apply(&self, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
        let id = request_id(request.request_id.as_ref());
        let mut call = self.write(Method::POST, target(&["apply"], &[]), None, Some(&id));
        call.outgoing.body = encode(request)?;
        decode(&self.run(call)?)
    }

    fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem> {
        let CommitsQuery { org, address, before, limit } = query;
        let parameters = [
            ("org", text(org.as_ref())),
            ("address", text(address.as_ref())),
            ("before", text(before.as_ref())),
            ("limit", text(limit.as_ref())),
        ];
        decode(&self.run(self.get(target(&["commits"], &parameters)))?)
    }

    fn commit(&self, org: Option<&OrgId>, revision: Revision) -> Result<CommitInfo, Problem> {
        let target = target(&["commits", &revision.get().to_string()], &[("org", text(org))]);
        decode(&self.run(self.get(target))?)
    }

    fn resources(&self, query: &ResourcesQuery) -> Result<ResourcesPage, Problem> {
        let ResourcesQuery { org, kind, prefix, at, limit, after } = query;
        let parameters = [
            ("org", text(org.as_ref())),
            ("kind", kind.clone()),
            ("prefix", prefix.clone()),
            ("at", text(at.as_ref())),
            ("limit", text(limit.as_ref())),
            ("after", after.clone()),
        ];
        decode(&self.run(self.get(target(&["resources"], &parameters)))?)
    }

    fn resource(&self, org: Option<&OrgId>, address: &Address, at: Option<Revision>) -> Result<ResourceInfo, Problem> {
        let parts = ["resources", address.kind.as_str(), address.name.as_str()];
        let target = target(&parts, &[("org", text(org)), ("at", text(at.as_ref()))]);
        decode(&self.run(self.get(target))?)
    }

    fn look(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        let SessionRequest { org, agent, user, at, allow_missing } = request;
        let parameters = [
            ("org", text(org.as_ref())),
            ("user", user.clone()),
            ("at", text(at.as_ref())),
            ("allow_missing", allow_missing.then(|| "true".to_owned())),
        ];
        decode(&self.run(self.get(target(&["agents", agent, "session"], &parameters)))?)
    }

    fn open_session(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        let SessionRequest { org, agent, user, at, allow_missing } = request;
        let target = target(&["agents", agent, "sessions"], &[("org", text(org.as_ref()))]);
        let mut call = self.write(Method::POST, target, None, None);
        call.outgoing.body = encode(&SessionBody { user: user.clone(), at: *at, allow_missing: *allow_missing })?;
        decode(&self.run(call)?)
    }

    fn session(&self, org: Option<&OrgId>, id: &str) -> Result<SessionContext, Problem> {
        decode(&self.run(self.get(target(&["sessions", id], &[("org", text(org))])))?)
    }

    fn close_session(&self, org: Option<&OrgId>, id: &str) -> Result<(), Problem> {
        let target = target(&["sessions", id], &[("org", text(org))]);
        self.run(self.write(Method::DELETE, target, None, None)).map(drop)
    }

    fn write_secret(&self, request: &SecretWrite) -> Result<WriteReceipt, Problem> {
        let SecretWrite { org, name, value, expires, author, allow_break } = request;
        let org = ("org", text(org.as_ref()));
        let call = match value {
            Some(value) => {
                let target = target(&["secrets", name], &[org]);
                let mut call = self.write(Method::PUT, target, Some(author), None);
                call.outgoing.body = encode(&SecretBodyRef { value, expires: *expires, allow_break })?;
                call
            }
            None => {
                let words = allow_break.iter().map(String::as_str).collect::<Vec<_>>().join(",");
                let target = target(&["secrets", name], &[org, ("allow_break", (!words.is_empty()).then_some(words))]);
                self.write(Method::DELETE, target, Some(author), None)
            }
        };
        decode(&self.run(call)?)
    }

    fn secrets(&self, org: Option<&OrgId>) -> Result<Vec<SecretInfo>, Problem> {
        let answer: SecretsAnswer = decode(&self.run(self.get(target(&["secrets"], &[("org", text(org))])))?)?;
        Ok(answer.secrets)
    }

    fn kv_get(&self, org: Option<&OrgId>, key: &str, at: Option<Revision>) -> Result<Option<KvEntry>, Problem> {
        let target = target(&["kv", key], &[("org", text(org)), ("at", text(at.as_ref()))]);
        let answer = match self.run(self.get(target)) {
            Err(problem) if problem.code == "E_NO_KEY" => return Ok(None),
            answer => answer?,
        };
        let number = |name: HeaderName| answer.headers.get(name)?.to_str().ok();
        let entry = number(header::ETAG)
            .and_then(revision_of_etag)
            .zip(number(CREATED_HEADER).and_then(|text| text.parse().ok()))
            .zip(number(REVISION_HEADER).and_then(|text| text.parse().ok()));
        match entry {
            Some(((modified, created), head)) => {
                Ok(Some(KvEntry { value: answer.body.to_vec(), created, modified, head }))
            }
            None => Err(Problem::new(ProblemKind::Internal, "E_ANSWER", "the server's answer has no revisions")
                .help("use a client and a server of the same release")),
        }
    }

    fn kv_txn(&self, txn: &KvTxn) -> Result<KvTxnResult, Problem> {
        let KvTxn { org, compare, ops, author, request_id: given } = txn;
        let id = request_id(given.as_ref());
        let target = target(&["txn"], &[("org", text(org.as_ref()))]);
        let mut call = self.write(Method::POST, target, Some(author), Some(&id));
        call.outgoing.body = encode(&TxnBody::new(compare, ops))?;
        decode(&self.run(call)?)
    }

    fn status(&self, org: Option<&OrgId>) -> Result<Status, Problem> {
        decode(&self.run(self.get(target(&["status"], &[("org", text(org))])))?)
    }

    fn verify(&self) -> Result<Verification, Problem> {
        let call = Call { outgoing: outgoing(Method::POST, target(&["verify"], &[])), repeatable: true };
        decode(&self.run(call)?)
    }
}
