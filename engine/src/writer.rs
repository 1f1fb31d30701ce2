//! The writer: one thread that takes what waits, has it judged, written and made durable, and only then publishes,
//! notifies and acknowledges it, in this order (P3).
//!
//! Never here: judging a transaction (`stage.rs`), bytes or files (`store/`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::engine::{Core, Published};
use crate::entry::Entry;
use crate::error::{Damage, StoreError};
use crate::failpoint::failpoint;
use crate::limits::{CONTENTION_MAX, PAGE_BYTES_MAX};
use crate::planted::planted;
use crate::queue::{Waiting, Work};
use crate::recent::Applied;
use crate::requests::RequestLog;
use crate::revision::{Revision, Timestamp};
use crate::sealed::SealedSet;
use crate::snapshot::{Head, Snapshot, State};
use crate::stage::{Stage, apply};
use crate::store::{Append, AppendError, Progress, Recovered, Store, Trail};
use crate::txn::{CommitError, Receipt};

/// The writer's own view: what is durable.
pub(crate) struct Writer {
    store: Box<dyn Store>,
    state: State,
    sealed: SealedSet,
    requests: RequestLog,
    recovered: Vec<Arc<Applied>>,
}

impl Writer {
    /// Builds the state of a store that was just opened: its base, and the commits after it.
    pub(crate) fn recover(mut store: Box<dyn Store>) -> Result<(Self, Recovered), StoreError> {
        let mut recovered = store.recover()?;
        let mut sealed = SealedSet::default();
        for (digest, bytes) in &recovered.sealed {
            sealed.offer(*digest, bytes);
        }
        let entries = std::mem::take(&mut recovered.entries);
        sealed.name_all(entries.values());
        let mut requests = RequestLog::default();
        std::mem::take(&mut recovered.requests).into_iter().for_each(|request| requests.insert(request));
        let state = State { head: recovered.base, entries };
        let mut writer = Self { store, state, sealed, requests, recovered: Vec::new() };
        let mut recent = crate::recent::Recent::default();
        writer.read_up_to(recovered.head, &mut |applied| recent.push(applied))?;
        let digests = writer.sealed.digests();
        writer.sealed.sweep(digests);
        if writer.state.head.id != recovered.head.id {
            return Err(Damage::new("the newest commit is not the one that the store names")
                .at(recovered.head.revision)
                .into());
        }
        writer.recovered = recent.between(Revision::ZERO, Revision::new(u64::MAX));
        Ok((writer, recovered))
    }

    /// What a new engine starts with.
    pub(crate) fn published(&mut self) -> (Published, Vec<Arc<Applied>>) {
        let published = Published { snapshot: Snapshot::new(self.state.clone()), sealed: self.sealed.clone() };
        (published, std::mem::take(&mut self.recovered))
    }

    /// The thread's whole life.
    pub(crate) fn run(mut self, core: &Arc<Core>) {
        let wake = Arc::downgrade(core);
        self.store.follow(Arc::new(move || {
            if let Some(core) = wake.upgrade() {
                core.queue.moved();
            }
        }));
        // What others committed since the store was read back woke nobody.
        core.queue.moved();
        // If this thread dies, nobody must wait for it.
        let _guard = Abandon(core);
        let mut trailing = Progress::More;
        loop {
            match core.queue.next(trailing == Progress::More) {
                Work::Group(group) => {
                    self.commit(core, group);
                    trailing = self.trail(core);
                }
                Work::Job(job) => job(&mut *self.store, &self.requests),
                Work::Moved => self.follow(core),
                Work::Idle => trailing = self.trail(core),
                Work::Close => break,
            }
            core.set_store_status(self.store.status());
        }
        if !core.is_poisoned() {
            let trail = Trail { head: self.state.head, entries: &self.state.entries, requests: &self.requests };
            if let Err(error) = self.store.close(&trail) {
                core.poison(error);
            }
        }
    }

    fn commit(&mut self, core: &Core, mut group: Vec<Waiting>) {
        if planted("cancelled-is-dropped") {
            group.retain(|waiting| !waiting.reply.is_closed());
        }
        if core.is_poisoned() {
            group.into_iter().for_each(|waiting| answer(waiting, Err(CommitError::Poisoned)));
            return;
        }
        let began = Instant::now();
        let mut attempts = 0;
        while attempts == 0 || began.elapsed() < CONTENTION_MAX {
            match self.try_commit(core, &mut group) {
                Ok(results) => {
                    group.into_iter().zip(results).for_each(|(waiting, result)| answer(waiting, result));
                    failpoint("commit-acknowledged");
                    return;
                }
                Err(AppendError::HeadMoved { head: _ }) => self.follow(core),
                Err(AppendError::Failed(error)) => {
                    let error = core.poison(error);
                    for waiting in group {
                        answer(waiting, Err(CommitError::Storage(Arc::clone(&error))));
                    }
                    return;
                }
            }
            if core.is_poisoned() {
                group.into_iter().for_each(|waiting| answer(waiting, Err(CommitError::Poisoned)));
                return;
            }
            attempts += 1;
            std::thread::sleep(pause(attempts));
        }
        for waiting in group {
            answer(waiting, Err(CommitError::Contended { attempts }));
        }
    }

    /// Judges a group, writes it, makes it durable and publishes it; the receipts are for the caller to hand out.
    fn try_commit(
        &mut self,
        core: &Core,
        group: &mut Vec<Waiting>,
    ) -> Result<Vec<Result<Receipt, CommitError>>, AppendError> {
        failpoint("commit-taken");
        let now = (core.clock)();
        let mut stage = Stage::new(self.state.clone(), self.sealed.clone(), &self.requests);
        let results: Vec<_> = group.iter().map(|waiting| stage.admit(&waiting.txn, now)).collect();
        if stage.applied.is_empty() {
            return Ok(results);
        }
        failpoint("commit-judged");
        let dropped = stage.sealed.sweep(replaced_seals(&stage.applied));
        let commits: Vec<_> = stage.applied.iter().map(|applied| Arc::clone(&applied.commit)).collect();
        let append =
            Append { expected: self.state.head, commits: &commits, sealed: &stage.new_sealed, dropped: &dropped };
        if planted("visible-before-durable") {
            let published = Published { snapshot: Snapshot::new(stage.state.clone()), sealed: stage.sealed.clone() };
            core.publish(published, &[]);
        }
        self.store.append(append)?;
        // From here on the group is on the disk.
        let Stage { state, sealed, applied, .. } = stage;
        (self.state, self.sealed) = (state, sealed);
        if planted("acknowledge-before-publishing") {
            group.drain(..).zip(&results).for_each(|(waiting, result)| answer(waiting, result.clone()));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        self.publish(core, &applied);
        failpoint("commit-published");
        Ok(results)
    }

    fn publish(&mut self, core: &Core, applied: &[Arc<Applied>]) {
        applied.iter().for_each(|applied| self.requests.record(&applied.commit));
        let published = Published { snapshot: Snapshot::new(self.state.clone()), sealed: self.sealed.clone() };
        core.publish(published, applied);
    }

    /// Takes over what other writers committed.
    fn follow(&mut self, core: &Core) {
        let mut applied = Vec::new();
        let outcome = self.store.head().and_then(|head| self.read_up_to(head, &mut |one| applied.push(one)));
        if !applied.is_empty() {
            let dropped = self.sealed.sweep(replaced_seals(&applied));
            drop(dropped);
            self.publish(core, &applied);
        }
        if let Err(error) = outcome {
            core.poison(error);
        }
    }

    /// Reads the commits after the state's head and applies them, page by page.
    fn read_up_to(&mut self, head: Head, each: &mut dyn FnMut(Arc<Applied>)) -> Result<(), StoreError> {
        while self.state.head.revision < head.revision {
            let page = self.store.commits(self.state.head.revision.next(), head.revision, PAGE_BYTES_MAX)?;
            for commit in page {
                if commit.parent != self.state.head.id {
                    return Err(Damage::new("a commit does not follow the one before it").at(commit.revision).into());
                }
                let applied = apply(&mut self.state, &mut self.sealed, Arc::unwrap_or_clone(commit));
                self.requests.record(&applied.commit);
                each(applied);
            }
        }
        let lacking: Vec<_> = self.sealed.lacking().collect();
        for digest in lacking {
            if let Some(bytes) = self.store.sealed(&digest)? {
                self.sealed.offer(digest, &bytes);
            }
        }
        Ok(())
    }

    /// Does a slice of what trails: after each group too, so that it keeps up with a queue that is never empty.
    fn trail(&mut self, core: &Core) -> Progress {
        if core.is_poisoned() {
            return Progress::Idle;
        }
        let trail = Trail { head: self.state.head, entries: &self.state.entries, requests: &self.requests };
        self.store.trail(&trail).unwrap_or_else(|error| {
            core.poison(error);
            Progress::Idle
        })
    }
}

/// How long a writer rests after others moved the head that often under it: evenly drawn from everything up to a ceiling that
/// doubles from 50 us to 12.8 ms. Two that go on in step would meet again and again, and the slower of them would always lose.
fn pause(attempts: u32) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Duration::from_micros(random % (50 << (attempts - 1).min(8)))
}

fn replaced_seals(applied: &[Arc<Applied>]) -> Vec<crate::digest::Digest> {
    applied.iter().flat_map(|applied| applied.previous.iter().flatten().filter_map(Entry::sealed)).collect()
}

fn answer(waiting: Waiting, result: Result<Receipt, CommitError>) {
    // A caller that went away has its commit all the same.
    let _ = waiting.reply.send(result);
}

struct Abandon<'a>(&'a Core);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

/// Set once, by the first failure of the store.
#[derive(Default)]
pub(crate) struct Poison {
    poisoned: AtomicBool,
    cause: std::sync::OnceLock<Arc<StoreError>>,
}

impl Poison {
    pub(crate) fn set(&self, error: StoreError) -> Arc<StoreError> {
        let error = Arc::new(error);
        let _ = self.cause.set(Arc::clone(&error));
        self.poisoned.store(true, Ordering::Release);
        error
    }

    pub(crate) fn is_set(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(crate) fn cause(&self) -> Option<&Arc<StoreError>> {
        self.cause.get()
    }
}

/// A clock that the engine is given.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
