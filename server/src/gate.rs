//! The way from async routes to the blocking plane: a bounded number of calls at once, each on a thread of its own, and the
//! wait for a revision.
//!
//! Never here: HTTP beyond the refusals, and deciding anything about an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{ControlPlane, Head};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{ACCESSES_MAX, MIN_REVISION_POLL, PLANS_MAX, READS_MAX, TURN_WAIT_MAX, WRITES_MAX};
use crate::refusal::Refusal;

/// Which bound a call counts against, so that long plans never keep sessions waiting and reads never keep writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A short read.
    Read,
    /// A write, which waits for the disk.
    Write,
    /// A plan or a verification, which keeps a core busy.
    Plan,
    /// A look at a token, which is over in no time and must not wait for those that are not.
    Access,
}

/// A plane behind its bounds.
pub(crate) struct Gate {
    plane: Arc<dyn ControlPlane>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    plans: Arc<Semaphore>,
    accesses: Arc<Semaphore>,
    /// How long a wait for a revision lasts.
    revision_wait: Duration,
    /// The newest revision in any answer so far; what an answer says that cannot ask for the head any more.
    newest: AtomicU64,
}

impl Gate {
    pub(crate) fn new(plane: Arc<dyn ControlPlane>, revision_wait: Duration) -> Self {
        Self {
            plane,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            plans: Arc::new(Semaphore::new(PLANS_MAX)),
            accesses: Arc::new(Semaphore::new(ACCESSES_MAX)),
            revision_wait,
            newest: AtomicU64::new(0),
        }
    }

    /// Calls the plane on a thread that may block.
    ///
    /// The call runs to its end even if the client goes away meanwhile, and keeps its place in the lane until then.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        lane: Lane,
        call: impl FnOnce(&dyn ControlPlane) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turns = match lane {
            Lane::Read => &self.reads,
            Lane::Write => &self.writes,
            Lane::Plan => &self.plans,
            Lane::Access => &self.accesses,
        };
        let turn = match timeout(TURN_WAIT_MAX, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => return Err(Refusal::busy("too many requests wait for their turn")),
        };
        let plane = Arc::clone(&self.plane);
        let task = tokio::task::spawn_blocking(move || {
            let answer = call(plane.as_ref());
            drop(turn);
            answer
        });
        match task.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Refusal::panicked()),
        }
    }

    /// The head of the store.
    pub(crate) async fn head(&self) -> Result<Head, Refusal> {
        let head = self.call(Lane::Read, |plane| plane.head()).await?;
        self.saw(head.revision);
        Ok(head)
    }

    /// Remembers that a revision exists.
    pub(crate) fn saw(&self, revision: Revision) {
        self.newest.fetch_max(revision.get(), Ordering::Relaxed);
    }

    /// The newest revision that is known without asking.
    pub(crate) fn newest(&self) -> Revision {
        Revision::new(self.newest.load(Ordering::Relaxed))
    }

    /// Waits until the head is at a revision, but not for ever.
    pub(crate) async fn wait_for(&self, wanted: Revision) -> Result<(), Refusal> {
        // The head itself counts, not what was seen: a follower may know of a revision that it does not have, and go back.
        let deadline = Instant::now() + self.revision_wait;
        loop {
            let head = self.head().await?.revision;
            if head >= wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let message = format!("the head is still {head}, not {wanted}");
                return Err(Problem::new(ProblemKind::NotFound, "E_REVISION_WAIT", message)
                    .help("ask again; if the revision was made elsewhere, check that this is the same store")
                    .into());
            }
            sleep(MIN_REVISION_POLL).await;
        }
    }

    /// Waits until no write is under way, so that a shutdown leaves none without its answer in the log.
    pub(crate) async fn writes_finished(&self) {
        let _all = self.writes.acquire_many(WRITES_MAX as u32).await;
    }
}
