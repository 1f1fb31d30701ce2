//! The follower: a control plane in a process elsewhere that keeps a state of its own, fed by a server over its socket or the network.
//!
//! Sessions and reads of the newest state are answered here, at in-process speed, by the same resolver; everything else is
//! forwarded to the server. The state lies in a folder too, so that a restart goes on where the process was. What a follower
//! decides and gives up is in `docs/decisions/followers.md`. Never here: reading or resolving anything in another way than the
//! plane in the server's process does.

mod control;
mod disk;
pub use disk::is_followers;
mod feed;
mod line;
mod report;
mod run;
mod shared;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_engine::{Clock, Replica, ResumeToken, Revision};
use holdfast_reconciler::agents::resolver::SystemEnvironment;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::keyfile::KeySource;
use holdfast_reconciler::plane::{FollowerReport, Holder, SessionRequest};
use holdfast_reconciler::resource::OrgId;
use holdfast_reconciler::session::Session;
use holdfast_reconciler::{Plane, PlaneOptions};
use tokio::runtime::Builder;
use tokio::sync::watch;

use self::disk::Folder;
use self::report::Asks;
use self::shared::Shared;
use crate::client::Client;

/// What a follower needs to know.
pub struct FollowerOptions {
    /// The server: [`Client::new`] for its socket, [`Client::remote`] for an address with an access token. Followed is what the
    /// token is for; on the socket that is everything.
    pub server: Client,
    /// A folder of its own, where its state lies between two starts. It is made if it is not there.
    pub folder: PathBuf,
    /// Its name, as `status` of the server shows it; its id if there is none.
    pub name: Option<String>,
    /// Where the master key is, which opens credentials. Without it sessions are resolved, and no value is given out.
    pub keys: KeySource,
    /// The environment of the host, as for a plane.
    pub system: SystemEnvironment,
    /// The clock.
    pub clock: Clock,
    /// This process, if its socket is mounted.
    pub holder: Option<Holder>,
}

/// How a follower stands.
#[derive(Clone, Debug, PartialEq)]
pub struct FollowerState {
    /// Where its server is.
    pub server: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is, or is not, in RFC 3339.
    pub since: String,
    /// Where it is; none as long as it has no state.
    pub place: Option<ResumeToken>,
    /// Why it is not connected, or why it lost the connection last.
    pub error: Option<Problem>,
    /// How many whole states it took since it was started: one at the first start, and one for each that did not follow.
    pub resyncs: u64,
}

impl FollowerState {
    /// The revision that it runs; none as long as it has no state.
    pub fn revision(&self) -> Option<Revision> {
        self.place.map(|place| place.revision)
    }
}

/// A running follower. Clones share it; when the last is dropped it stops by itself, as after [`Follower::shutdown`], which also
/// waits for that.
///
/// It is a [`ControlPlane`](holdfast_reconciler::plane::ControlPlane): give it to [`mount`](crate::mount()) and `reconcile` finds it.
///
/// # Panics
/// Like those of [`Client`], methods that may ask the server must not be called on a thread that drives asynchronous tasks. Sessions
/// may be opened on any thread.
#[derive(Clone)]
pub struct Follower(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    client: Client,
    stop: Mutex<Option<watch::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Follower").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Follower {
    /// Starts to follow. Returns at once: the state of the last start, if there is one, is in force already, and the server may be
    /// away. [`Follower::ready`] waits for a first state.
    ///
    /// # Errors
    /// The folder cannot be used, another follower has it, or the name is malformed.
    pub fn start(options: FollowerOptions) -> Result<Self, Problem> {
        let FollowerOptions { server, folder, name, keys, system, clock, holder } = options;
        name.as_deref().map_or(Ok(()), FollowerReport::check_name)?;
        let folder = Folder::take(&folder)?;
        let begin = folder.read();
        let has_state = begin.is_some();
        let replica = begin.map_or_else(Replica::new, Replica::of);
        // What it measures is how long followers are silent, and nobody follows a follower.
        let elapsed = Arc::new(|| Duration::ZERO);
        let options = PlaneOptions { keys, system, clock: Arc::clone(&clock), elapsed, holder };
        let plane = Plane::new(replica.engine().clone(), options);
        let (asks, asked) = Asks::new();
        let shared = Arc::new(Shared::new(plane, server.place(), clock, has_state, asks));
        shared.plane.follows(shared.upstream());
        let (stop, stopped) = watch::channel(());
        let endpoint = server.endpoint().clone();
        let id = folder.id().to_owned();
        let (name, whole) = (name.unwrap_or(id), false);
        let work = run::Work { shared: Arc::clone(&shared), replica, folder, endpoint, name, whole };
        let failed = |error: std::io::Error| {
            Problem::from_error(ProblemKind::Failed, "E_FOLLOW", &error).help("check the limits of the process")
        };
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
        let thread = std::thread::Builder::new().name("holdfast-follower".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work.run(asked, stopped))).map_err(failed)?;
        let (stop, thread) = (Mutex::new(Some(stop)), Mutex::new(Some(thread)));
        Ok(Self(Arc::new(Handle { shared, client: server, stop, thread })))
    }

    /// Opens a session of an agent on the newest state that is here.
    ///
    /// # Errors
    /// The resolution's, with the evidence of each step; `Unavailable` as long as there is no state.
    pub fn session(&self, org: &OrgId, agent: &str, user: Option<&str>) -> Result<Session, Problem> {
        self.plane()?.session(org, agent, user)
    }

    /// The same on a state that is at least of a revision, such as the one that an apply answered: waits for it, blocking, for
    /// as long as `patience` says.
    ///
    /// # Errors
    /// As [`Follower::session`]; `Unavailable` if the revision does not come in time.
    pub fn session_at_least(
        &self,
        revision: Revision,
        org: &OrgId,
        agent: &str,
        user: Option<&str>,
        patience: Duration,
    ) -> Result<Session, Problem> {
        self.wait_for(revision, patience)?;
        self.session(org, agent, user)
    }

    /// Opens a session as a request says, on the newest state that is here.
    ///
    /// # Errors
    /// As [`Follower::session`].
    pub fn open(&self, request: &SessionRequest) -> Result<Session, Problem> {
        self.plane()?.open(request)
    }

    /// Waits, blocking, until a revision or a later one is here.
    ///
    /// # Errors
    /// `Unavailable` if it does not come in time, with why.
    pub fn wait_for(&self, revision: Revision, patience: Duration) -> Result<(), Problem> {
        self.0.shared.wait_for(revision, patience)
    }

    /// Waits, blocking, until there is a state.
    ///
    /// # Errors
    /// `Unavailable` if none comes in time, with why.
    pub fn ready(&self, patience: Duration) -> Result<(), Problem> {
        self.wait_for(Revision::ZERO, patience)
    }

    /// How it stands.
    pub fn state(&self) -> FollowerState {
        self.0.shared.state()
    }

    /// The plane over the state that is here, for what a plane can beyond sessions: resolvers of your own, watches, counters. It
    /// takes no writes.
    ///
    /// # Errors
    /// `Unavailable` as long as there is no state.
    pub fn plane(&self) -> Result<&Plane, Problem> {
        self.0.shared.plane()
    }

    /// Stops to follow, writes the state into the folder and tells the server that this follower goes; waits for all of it,
    /// blocking. Sessions go on with what they have.
    pub fn shutdown(&self) {
        self.0.stop();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of it was reported by its hook.
            let _ = thread.join();
        }
    }
}

impl Handle {
    fn stop(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
