//! What the controller sees of the store: the newest state, and a hint of what to look at.
//!
//! The hints are hints only: they may be late, come together, or be lost, and then the resync finds what they would have told. The
//! state may be an older one too; the controller never acts on one that is older than what it has acted on. Never here: acting.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use holdfast_engine::{Engine, Revision, Snapshot, Watch, WatchEvent, WatchFrom, WatchOptions};

/// What stands before the keys of all organisations.
pub(super) const ORGS: &str = "org/";

/// What the controller sees of the store. A program that follows a store elsewhere may give its own.
pub trait Sight: Send + Sync {
    /// The newest state.
    fn snapshot(&self) -> Snapshot;

    /// Begins to tell which keys changed after a revision.
    fn wakes(&self, after: Revision) -> Box<dyn Wakes>;
}

/// Tells which keys changed.
pub trait Wakes: Send {
    /// The next hint; blocks until there is one. Nothing once it is to stop, or if no more will come.
    fn next(&mut self, stop: &Stop) -> Option<Wake>;
}

/// A hint of what to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// These keys were touched, up to a revision.
    Keys(Revision, Vec<String>),
    /// Anything may have been touched.
    Everything,
}

/// Ends the wait for a hint.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Mutex<Stopping>>);

#[derive(Debug, Default)]
struct Stopping {
    stopped: bool,
    waiting: Option<Waker>,
}

impl Stop {
    /// Whether it is to end.
    pub fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stopped
    }

    pub(super) fn set(&self) {
        let waiting = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.stopped = true;
            inner.waiting.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Future for Stop {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.stopped {
            return Poll::Ready(());
        }
        inner.waiting = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The engine of this process as it is: the newest snapshot, and its watch as a cursor.
#[derive(Clone, Debug)]
pub struct EngineSight(pub Engine);

impl Sight for EngineSight {
    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    fn wakes(&self, after: Revision) -> Box<dyn Wakes> {
        let options =
            WatchOptions { prefix: ORGS.to_owned(), from: WatchFrom::After(after), ..WatchOptions::default() };
        Box::new(EngineWakes(self.0.watch(options).ok()))
    }
}

struct EngineWakes(Option<Watch>);

impl Wakes for EngineWakes {
    fn next(&mut self, stop: &Stop) -> Option<Wake> {
        match self.0.as_mut()?.wait(stop.clone()) {
            Ok(Some(WatchEvent::Commit(watched))) => {
                let keys = watched.changes.iter().map(|change| change.change.key().to_string()).collect();
                Some(Wake::Keys(watched.commit.revision, keys))
            }
            Ok(Some(WatchEvent::Resync { .. })) => Some(Wake::Everything),
            Ok(None) => None,
            Err(error) => {
                // The resync still finds everything.
                tracing::warn!(%error, "the controller of effects is no longer told what changes");
                None
            }
        }
    }
}
