//! The queue before the writer: bounded, fair, first come first served; and the reads that wait for the store's thread.
//!
//! Never here: judging or writing a transaction.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::limits::{GROUP_BYTES_MAX, GROUP_TXNS_MAX, GROUP_WAIT, QUEUE_BYTES_MAX, QUEUE_TXNS_MAX};
use crate::planted::planted;
use crate::store::{Requests, Store};
use crate::txn::{CommitError, Receipt, Txn};

/// Something to be done with the store on its own thread, where the request ids are at hand too.
pub(crate) type Job = Box<dyn FnOnce(&mut dyn Store, &dyn Requests) + Send>;

/// A transaction that waits, and where its answer goes.
pub(crate) struct Waiting {
    pub(crate) txn: Txn,
    pub(crate) reply: oneshot::Sender<Result<Receipt, CommitError>>,
    bytes: usize,
}

/// What the writer does next.
pub(crate) enum Work {
    /// Commits these together.
    Group(Vec<Waiting>),
    /// Reads for somebody.
    Job(Job),
    /// Looks whether another writer moved the head.
    Moved,
    /// Nobody waits: does what trails.
    Idle,
    /// Ends.
    Close,
}

#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    jobs: VecDeque<Job>,
    moved: bool,
    closed: bool,
    job_is_next: bool,
    /// How many transactions the last group had: so many writers are likely to come back together.
    last_group: usize,
    /// The writer sleeps until so many transactions wait.
    wanted: usize,
}

impl Queue {
    /// Puts a transaction in the queue.
    pub(crate) fn submit(&self, txn: Txn) -> Result<oneshot::Receiver<Result<Receipt, CommitError>>, CommitError> {
        let bytes = txn.bytes();
        let (reply, answer) = oneshot::channel();
        let enough = {
            let mut inner = self.inner();
            if inner.closed {
                return Err(CommitError::Closed);
            }
            // An empty queue takes anything: what is too large for a commit is refused by name later.
            let full = inner.waiting.len() >= QUEUE_TXNS_MAX || inner.bytes.saturating_add(bytes) > QUEUE_BYTES_MAX;
            if full && !inner.waiting.is_empty() {
                return Err(CommitError::QueueFull);
            }
            inner.bytes += bytes;
            let waiting = Waiting { txn, reply, bytes };
            if planted("last-come-first-served") {
                inner.waiting.push_front(waiting);
            } else {
                inner.waiting.push_back(waiting);
            }
            inner.waiting.len() >= inner.wanted || inner.bytes >= GROUP_BYTES_MAX
        };
        if enough {
            self.arrived.notify_one();
        }
        Ok(answer)
    }

    /// Has `job` run on the store's thread; false if that has ended.
    pub(crate) fn job(&self, job: Job) -> bool {
        {
            let mut inner = self.inner();
            if inner.closed {
                return false;
            }
            inner.jobs.push_back(job);
        }
        self.arrived.notify_one();
        true
    }

    /// Tells that the head may have been moved by somebody else.
    pub(crate) fn moved(&self) {
        self.inner().moved = true;
        self.arrived.notify_one();
    }

    /// Takes nothing more; what waits is still done.
    pub(crate) fn close(&self) {
        self.inner().closed = true;
        self.arrived.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// Empties the queue for good: nobody will answer what waits.
    pub(crate) fn abandon(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        let (waiting, jobs) = (std::mem::take(&mut inner.waiting), std::mem::take(&mut inner.jobs));
        drop(inner);
        // Dropping the reply channels tells their callers.
        drop((waiting, jobs));
    }

    /// Waits for something to do; with `idle_work` it does not wait. Groups and jobs take turns, so that neither starves.
    pub(crate) fn next(&self, idle_work: bool) -> Work {
        let mut inner = self.inner();
        loop {
            if std::mem::take(&mut inner.moved) {
                return Work::Moved;
            }
            let job_first = inner.job_is_next || inner.waiting.is_empty();
            if job_first && let Some(job) = inner.jobs.pop_front() {
                inner.job_is_next = false;
                return Work::Job(job);
            }
            if !inner.waiting.is_empty() {
                inner = self.linger(inner);
                inner.job_is_next = true;
                return Work::Group(inner.take_group());
            }
            if inner.closed {
                return Work::Close;
            }
            if idle_work {
                return Work::Idle;
            }
            inner.wanted = 1;
            inner = self.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits a moment for the writers of the last group to come back, so that they share one sync. One writer alone never
    /// waits.
    fn linger<'a>(&self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let deadline = Instant::now() + GROUP_WAIT;
        while inner.waiting.len() < inner.last_group && inner.bytes < GROUP_BYTES_MAX && !inner.closed {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            inner.wanted = inner.last_group;
            let (again, _) = self.arrived.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner);
            inner = again;
        }
        inner.wanted = 1;
        inner
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No critical section can panic half way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take_group(&mut self) -> Vec<Waiting> {
        let mut bytes = 0;
        let mut count = 0;
        for waiting in self.waiting.iter().take(GROUP_TXNS_MAX) {
            if count > 0 && bytes + waiting.bytes > GROUP_BYTES_MAX {
                break;
            }
            bytes += waiting.bytes;
            count += 1;
        }
        self.bytes -= bytes;
        self.last_group = count;
        self.waiting.drain(..count).collect()
    }
}
