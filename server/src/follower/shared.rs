//! What the threads of a follower share: the plane that readers have, how the follower stands, and the wait for a revision.
//!
//! Never here: connections, files, and feeding the replica.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holdfast_engine::{Clock, Engine, ResumeToken, Revision, Timestamp};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{Following, rfc3339};
use holdfast_reconciler::{Plane, Upstream};
use tokio::sync::Notify;

use super::FollowerState;
use super::report::Asks;
use crate::limits::FOLLOWER_CATCH_UP_MAX;

/// What the threads of a follower share.
pub(super) struct Shared {
    pub(super) plane: Plane,
    server: String,
    clock: Clock,
    tide: Arc<Tide>,
}

/// How far the state has come. It holds no plane, so that a plane may hold it.
struct Tide {
    engine: Engine,
    has_state: AtomicBool,
    standing: Mutex<Standing>,
    moved: Condvar,
    /// Wakes who tells the server where the follower is.
    pulse: Notify,
    asks: Asks,
}

struct Standing {
    connected: bool,
    since: Timestamp,
    error: Option<Problem>,
    resyncs: u64,
}

impl Shared {
    pub(super) fn new(plane: Plane, server: String, clock: Clock, has_state: bool, asks: Asks) -> Self {
        let standing = Standing { connected: false, since: clock(), error: None, resyncs: 0 };
        let tide = Tide {
            engine: plane.engine().clone(),
            has_state: AtomicBool::new(has_state),
            standing: Mutex::new(standing),
            moved: Condvar::new(),
            pulse: Notify::new(),
            asks,
        };
        Self { plane, server, clock, tide: Arc::new(tide) }
    }

    /// What values are fetched through.
    pub(super) fn upstream(&self) -> Arc<dyn Upstream> {
        Arc::clone(&self.tide) as Arc<dyn Upstream>
    }

    /// The plane, once there is a state.
    pub(super) fn plane(&self) -> Result<&Plane, Problem> {
        if self.tide.has_state() { Ok(&self.plane) } else { Err(self.tide.not_here("this follower has no state yet")) }
    }

    /// Where the state is; none as long as there is none.
    pub(super) fn place(&self) -> Option<ResumeToken> {
        let engine = &self.tide.engine;
        let place = || ResumeToken { identity: engine.identity(), revision: engine.head().revision };
        self.tide.has_state().then(place)
    }

    pub(super) fn state(&self) -> FollowerState {
        let standing = self.tide.lock();
        FollowerState {
            server: self.server.clone(),
            connected: standing.connected,
            since: rfc3339(standing.since),
            place: self.place(),
            error: standing.error.clone(),
            resyncs: standing.resyncs,
        }
    }

    /// The same, as the state of a store shows it.
    pub(super) fn following(&self) -> Following {
        let state = self.state();
        let revision = state.revision();
        let FollowerState { server, connected, since, error, .. } = state;
        Following { server, connected, since, revision, error: error.as_ref().map(in_line) }
    }

    pub(super) fn connected(&self) {
        let mut standing = self.tide.lock();
        (standing.connected, standing.since, standing.error) = (true, (self.clock)(), None);
        // A server that was started anew knows nobody.
        self.tide.pulse.notify_one();
    }

    pub(super) fn disconnected(&self, error: Option<Problem>) {
        let mut standing = self.tide.lock();
        if standing.connected {
            (standing.connected, standing.since) = (false, (self.clock)());
        }
        standing.error = error;
        drop(standing);
        // Who waits for a fresh value waits no longer.
        self.tide.moved.notify_all();
    }

    /// Tells who waits that the head moved; `whole` if a whole state was taken.
    pub(super) fn moved(&self, whole: bool) {
        // Under the lock, so that nobody looks before and waits after.
        let mut standing = self.tide.lock();
        standing.resyncs += u64::from(whole);
        self.tide.has_state.store(true, Ordering::Release);
        drop(standing);
        self.tide.moved.notify_all();
        self.tide.pulse.notify_one();
    }

    /// Ends when there is something new to tell the server since this ended last.
    pub(super) async fn news(&self) {
        self.tide.pulse.notified().await;
    }

    /// Waits until a revision is here.
    pub(super) fn wait_for(&self, wanted: Revision, patience: Duration) -> Result<(), Problem> {
        if self.tide.wait(wanted, patience, |_| false) {
            return Ok(());
        }
        let head = self.tide.engine.head().revision;
        let what = match self.tide.has_state() {
            true => format!("{wanted} is not here yet, the newest is {head}"),
            false => "this follower has no state yet".to_owned(),
        };
        Err(self.tide.not_here(&what))
    }
}

impl Tide {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_state(&self) -> bool {
        self.has_state.load(Ordering::Acquire)
    }

    fn is_here(&self, wanted: Revision) -> bool {
        self.has_state() && self.engine.head().revision >= wanted
    }

    /// Waits until a revision is here, the time is over or `enough` says so; says whether it is here.
    fn wait(&self, wanted: Revision, patience: Duration, enough: impl Fn(&Standing) -> bool) -> bool {
        if self.is_here(wanted) {
            return true;
        }
        let begun = Instant::now();
        let mut standing = self.lock();
        loop {
            if self.is_here(wanted) {
                return true;
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() || enough(&standing) {
                return false;
            }
            (standing, _) = self.moved.wait_timeout(standing, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn not_here(&self, what: &str) -> Problem {
        let (connected, error) = {
            let standing = self.lock();
            (standing.connected, standing.error.clone())
        };
        let mut problem = Problem::new(ProblemKind::Unavailable, "E_NOT_FOLLOWED_YET", what);
        match error {
            Some(error) => {
                problem.causes.push(error.message);
                problem.causes.extend(error.causes);
                let help = error.help.as_deref().unwrap_or("check the server");
                problem.help(format!("{help}; the follower connects again by itself"))
            }
            None if connected => problem.help("ask again in a moment"),
            None => problem.help("the follower is connecting; ask again in a moment"),
        }
    }
}

/// What went wrong and why, in one line.
pub(super) fn in_line(problem: &Problem) -> String {
    let causes = problem.causes.iter().map(String::as_str);
    std::iter::once(problem.message.as_str()).chain(causes).collect::<Vec<_>>().join(": ")
}

impl Upstream for Tide {
    fn catch_up(&self) {
        if !self.lock().connected {
            return;
        }
        let begun = Instant::now();
        // The server's head is asked for after this was called, so what was acknowledged before is part of it.
        let Some(head) = self.asks.head(FOLLOWER_CATCH_UP_MAX) else { return };
        let left = FOLLOWER_CATCH_UP_MAX.saturating_sub(begun.elapsed());
        if !self.wait(head, left, |standing| !standing.connected) {
            tracing::warn!(wanted = %head, "a value is fetched from a state that is older than the server's");
        }
    }
}
