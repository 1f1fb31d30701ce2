//! Finding the control plane: the server that the caller names, else the process that holds the store, through its socket, else the
//! store itself in this process.
//!
//! A store that is held by something that does not answer is waited for, which is told, and then given up with the holder's
//! pid. Never here: what is asked.

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_engine::{Engine, MemoryStore, OpenError, Options, SledOptions, SledStore, StoreOpenError};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{ControlPlane, Holder};
use holdfast_reconciler::{Plane, PlaneOptions};
use holdfast_server::{Client, Discovery, discover, is_followers};

use crate::clock;
use crate::error::Failure;
use crate::leave::leave;
use crate::output::Output;
use crate::remote;
use crate::setting::Setting;

/// How long a held store is tried before anything is said.
const SILENT: Duration = Duration::from_millis(300);
/// How long to rest between two tries.
const REST: Duration = Duration::from_millis(50);

/// What to do where there is no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make one.
    Make,
    /// Make none.
    Leave,
}

/// What opening a store in this process needs.
pub(crate) struct Embedded {
    /// What to do where there is no store.
    pub(crate) missing: Missing,
    /// The environment of the host, if sessions run in this process.
    pub(crate) system: SystemEnvironment,
    /// This process, if it stays.
    pub(crate) holder: Option<Holder>,
}

impl Embedded {
    /// For a command that looks or writes once.
    fn once(missing: Missing) -> Self {
        Self { missing, system: SystemEnvironment::NotKnown, holder: None }
    }
}

/// A plane to ask, wherever it is.
pub(crate) type Reached = Box<dyn ControlPlane>;

/// Finds the plane of a store that exists; none if there is no store.
pub(crate) fn existing(setting: &Setting, store: &Path, output: &Output) -> Result<Option<Reached>, Failure> {
    reach(setting, store, output, Missing::Leave)
}

/// Finds the plane of a store that must exist.
pub(crate) fn required(setting: &Setting, store: &Path, output: &Output) -> Result<Reached, Failure> {
    existing(setting, store, output)?.ok_or_else(|| no_store(store))
}

/// There is no store where one is needed.
pub(crate) fn no_store(store: &Path) -> Failure {
    Failure::new("E_NO_STORE", format!("there is no store in `{}`", store.display()))
        .help("the first `reconcile` that applies makes it; `--store` and `-C` say where it is")
}

/// The process of the server that has a store, as far as it says so; none if there is no server.
pub(crate) fn server_of(store: &Path) -> Result<Option<Option<u32>>, Failure> {
    match look(store)? {
        Discovery::Server(client) => Ok(Some(client.hello().ok().map(|hello| hello.pid))),
        Discovery::Stale | Discovery::None => Ok(None),
    }
}

/// A plane over nothing, in memory: what a dry run asks where there is no store.
pub(crate) fn nothing(setting: &Setting) -> Result<Reached, Failure> {
    let clock = clock::system();
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock: clock.clone() })
        .map_err(|error| Problem::from_error(ProblemKind::Internal, "E_STORE", &error))?;
    let system = SystemEnvironment::NotKnown;
    Ok(Box::new(Plane::new(
        engine,
        PlaneOptions { keys: setting.keys(), system, clock, elapsed: clock::elapsed(), holder: None },
    )))
}

/// Finds the plane of a store that a server must hold, because what is asked for only happens there.
pub(crate) fn served(setting: &Setting, store: &Path) -> Result<Reached, Failure> {
    if let Some(url) = &setting.global.server {
        return Ok(Box::new(remote::client(setting, url)?));
    }
    match look(store)? {
        Discovery::Server(client) => Ok(Box::new(client)),
        Discovery::Stale | Discovery::None => {
            let message =
                format!("nobody serves the store `{}`, so nothing can happen that could be told", store.display());
            let problem = Problem::new(ProblemKind::Unavailable, "E_NO_SERVER", message);
            let help = "start `reconcile serve` and try again; `reconcile history` and `reconcile diff` tell what was";
            Err(problem.help(help).into())
        }
    }
}

/// Finds the plane of a store, which is made if there is none.
pub(crate) fn or_new(setting: &Setting, store: &Path, output: &Output) -> Result<Reached, Failure> {
    let found = reach(setting, store, output, Missing::Make)?;
    found.ok_or_else(|| Failure::new("E_NO_STORE", format!("the store `{}` went away", store.display())))
}

/// Looks for the plane of a store that exists, once, while something else is done. None if somebody holds the store who does
/// not answer: [`existing`] waits for that.
pub(crate) fn ahead(setting: &Setting, store: &Path) -> Option<Result<Option<Reached>, Failure>> {
    match attempt(setting, store, Missing::Leave) {
        Ok(Attempt::Served(client)) => Some(Ok(Some(Box::new(client)))),
        Ok(Attempt::Opened(plane)) => Some(Ok(Some(Box::new(plane)))),
        Ok(Attempt::Absent) => Some(Ok(None)),
        Ok(Attempt::Held(_)) => None,
        Err(failure) => Some(Err(failure)),
    }
}

/// Looks for a server in the folder of a store.
fn look(store: &Path) -> Result<Discovery, Failure> {
    if store.is_file() {
        let message = format!("`{}` is a file, and a store is a folder", store.display());
        return Err(Failure::new("E_NOT_A_STORE", message).help("name the folder with `--store`"));
    }
    Ok(discover(store)?)
}

/// What one try to reach a store came to.
enum Attempt {
    /// A server has it.
    Served(Client),
    /// It is open in this process.
    Opened(Plane),
    /// There is none.
    Absent,
    /// Another process holds it and does not answer, as far as that is known with its pid.
    Held(Option<u32>),
}

fn attempt(setting: &Setting, store: &Path, missing: Missing) -> Result<Attempt, Failure> {
    if let Some(url) = &setting.global.server {
        tracing::debug!(server = url, "asking the server that was named");
        return Ok(Attempt::Served(remote::client(setting, url)?));
    }
    if let Discovery::Server(client) = look(store)? {
        tracing::debug!(socket = client.place(), "asking the process that holds the store");
        return Ok(Attempt::Served(client));
    }
    match open(setting, store, Embedded::once(missing)) {
        Ok(plane) => {
            tracing::debug!(store = %store.display(), "opened the store in this process");
            // This process ends soon, and taking its state apart entry by entry would only keep the caller waiting.
            leave(plane.engine().snapshot());
            Ok(Attempt::Opened(plane))
        }
        Err(Refused::Absent) => Ok(Attempt::Absent),
        Err(Refused::Failed(failure)) => Err(failure),
        Err(Refused::Locked(pid)) => Ok(Attempt::Held(pid)),
    }
}

fn reach(setting: &Setting, store: &Path, output: &Output, missing: Missing) -> Result<Option<Reached>, Failure> {
    let patience = Patience::new(setting, output);
    loop {
        match attempt(setting, store, missing)? {
            Attempt::Served(client) => return Ok(Some(Box::new(client))),
            Attempt::Opened(plane) => return Ok(Some(Box::new(plane))),
            Attempt::Absent => return Ok(None),
            // The holder may be a server that is about to listen: both ways are tried again.
            Attempt::Held(pid) => patience.wait(store, pid)?,
        }
    }
}

/// Opens the store in this process, and only here: for the process that is to hold it.
pub(crate) fn hold(setting: &Setting, store: &Path, output: &Output, holder: Holder) -> Result<Plane, Failure> {
    let patience = Patience::new(setting, output);
    loop {
        if let Discovery::Server(client) = look(store)? {
            let pid = client.status(None).ok().and_then(|status| status.holder).map(|holder| holder.pid);
            let who = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
            let message = format!("the store `{}` is served by {who} already", store.display());
            return Err(Failure::new("E_SERVED", message).help("commands find that server by themselves"));
        }
        let system = SystemEnvironment::Known(setting.environment.clone());
        let embedded = Embedded { missing: Missing::Make, system, holder: Some(holder.clone()) };
        match open(setting, store, embedded) {
            Ok(plane) => return Ok(plane),
            Err(Refused::Absent) => return Err(Failure::new("E_NO_STORE", "the store went away while it was opened")),
            Err(Refused::Failed(failure)) => return Err(failure),
            Err(Refused::Locked(pid)) => patience.wait(store, pid)?,
        }
    }
}

/// Why a store is not ours to work on.
pub(crate) enum Refused {
    /// There is none.
    Absent,
    /// Another process holds it.
    Locked(Option<u32>),
    /// It does not open.
    Failed(Failure),
}

fn open(setting: &Setting, store: &Path, embedded: Embedded) -> Result<Plane, Refused> {
    let Embedded { missing, system, holder } = embedded;
    let options = SledOptions { create: missing == Missing::Make, ..SledOptions::default() };
    let opened = SledStore::open(store, options).map_err(|error| match error {
        StoreOpenError::Absent { .. } => Refused::Absent,
        StoreOpenError::Locked { holder_pid, .. } => Refused::Locked(holder_pid),
        other => Refused::Failed(store_failure(&other)),
    })?;
    let clock = clock::system();
    let engine = Engine::open(Box::new(opened), Options { clock: clock.clone() })
        .map_err(|error| Refused::Failed(unrecovered(store, &error)))?;
    Ok(Plane::new(engine, PlaneOptions { keys: setting.keys(), system, clock, elapsed: clock::elapsed(), holder }))
}

/// What to do about a store that cannot be read back.
pub(crate) const DAMAGED_HELP: &str = "`reconcile verify` shows what is damaged, `reconcile repair` mends what it can; `reconcile restore` goes back to a backup";

/// The engine's words hold the way out already; here what, why and help stand apart.
pub(crate) fn store_failure(error: &StoreOpenError) -> Failure {
    let (code, message, help) = match error {
        StoreOpenError::NotAStore { path } if is_followers(path) => {
            // It may be started again in a moment, so who waits goes on waiting.
            let message = format!("`{}` is the folder of a follower that does not run", path.display());
            let problem = Problem::new(ProblemKind::Unavailable, "E_NOT_A_STORE", message);
            let help = "start it with `reconcile serve --follow SERVER --store FOLDER`, or ask the server that it follows";
            return problem.help(help).into();
        }
        StoreOpenError::NotAStore { path } => (
            "E_NOT_A_STORE",
            format!("`{}` is not a store: it holds other files", path.display()),
            "name an empty folder or a store with `--store`".to_owned(),
        ),
        StoreOpenError::FutureFormat { path, found, supported } => (
            "E_STORE_FORMAT",
            format!("the store `{}` has format {found}, this program reads up to {supported}", path.display()),
            "run a newer `reconcile`, or `reconcile export` with the one that wrote it and `reconcile import` with this one"
                .to_owned(),
        ),
        StoreOpenError::Damaged { path, reason } => {
            ("E_STORE_DAMAGED", format!("the store `{}` is damaged: {reason}", path.display()), DAMAGED_HELP.to_owned())
        }
        other => {
            let problem = Problem::from_error(ProblemKind::Internal, "E_STORE", other);
            return Failure::from(problem).help("check the folder's rights and the disk; `--store` names another folder");
        }
    };
    Problem::new(ProblemKind::Internal, code, message).help(help).into()
}

fn unrecovered(store: &Path, error: &OpenError) -> Failure {
    let mut problem = Problem::from_error(ProblemKind::Internal, "E_STORE_DAMAGED", error);
    if matches!(error, OpenError::Recover(_)) {
        problem.message = format!("the store `{}` cannot be recovered", store.display());
    }
    problem.help(DAMAGED_HELP).into()
}

/// How long a held store is waited for, and what is said meanwhile.
pub(crate) struct Patience<'o> {
    begun: Instant,
    limit: Duration,
    output: &'o Output,
    told: std::cell::Cell<bool>,
}

impl<'o> Patience<'o> {
    /// Begins to wait.
    pub(crate) fn new(setting: &Setting, output: &'o Output) -> Self {
        let limit = Duration::from_secs(setting.global.lock_timeout);
        Self { begun: Instant::now(), limit, output, told: std::cell::Cell::new(false) }
    }

    /// Rests a while before the next try, or gives up.
    pub(crate) fn wait(&self, store: &Path, pid: Option<u32>) -> Result<(), Failure> {
        let who = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
        let waited = self.begun.elapsed();
        if waited >= self.limit {
            let message = format!("the store `{}` is held by {who}, which does not answer commands", store.display());
            let problem = Problem::new(ProblemKind::Unavailable, "E_LOCKED", message);
            return Err(problem.help("wait until it ends, or give more time with `--lock-timeout SECONDS`").into());
        }
        if waited >= SILENT && !self.told.replace(true) {
            let limit = self.limit.as_secs();
            self.output.say(format!("waiting up to {limit} s for the store, which {who} holds"));
        }
        std::thread::sleep(REST.min(self.limit.saturating_sub(waited)));
        Ok(())
    }
}
