//! Engine: the handle that everything else goes through.
//!
//! Never here: a decision about a transaction, or bytes. The handle passes work to the writer and reads what it published.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use crate::compact::Holds;
use crate::counter::Counters;
use crate::digest::Digest;
use crate::error::{OpenError, StoreError};
use crate::limits::CLOCK_BEHIND_MS_MIN;
use crate::pending::{Pending, block_on};
use crate::queue::Queue;
use crate::recent::{Applied, Recent};
use crate::revision::{Revision, Timestamp};
use crate::sealed::{SealedSet, SealedView};
use crate::snapshot::{Head, Snapshot};
use crate::store::{Identity, Requests, Store, StoreStatus};
use crate::txn::{CommitError, Receipt, Txn};
use crate::writer::{Clock, Poison, Writer};

/// What an engine is opened with.
#[derive(Clone)]
pub struct Options {
    /// Where commit times come from.
    pub clock: Clock,
}

impl Options {
    /// Options with the given clock.
    #[must_use]
    pub fn new(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

/// How far a clock is behind the newest commit, in milliseconds; 0 if it is not.
fn behind(now: Timestamp, head: Head) -> i64 {
    head.time.as_millis().saturating_sub(now.as_millis()).max(0)
}

/// A handle on an open store. Cloning is cheap; the store is closed with the last handle, or by [`Engine::close`].
#[derive(Clone)]
pub struct Engine(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the writer share.
pub(crate) struct Core {
    pub(crate) queue: Queue,
    pub(crate) clock: Clock,
    identity: ArcSwap<Identity>,
    /// Whether the state comes from somewhere else: then there is no writer, no store and no history.
    pub(crate) is_replica: bool,
    /// Counts how often a replica's state was replaced by one that does not follow from it.
    generation: AtomicU64,
    published: ArcSwap<Published>,
    recent: Mutex<Recent>,
    compacted: ArcSwap<Head>,
    pub(crate) holds: Mutex<Holds>,
    /// Held by the one compaction that may run.
    pub(crate) compacting: Mutex<()>,
    pub(crate) counters: Counters,
    /// Up to here all counters are raised.
    notified: AtomicU64,
    poison: Poison,
    store_status: Mutex<StoreStatus>,
}

/// What is in force: durable, and visible to everybody.
pub(crate) struct Published {
    pub(crate) snapshot: Snapshot,
    pub(crate) sealed: SealedSet,
}

/// Facts about an open engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// The newest commit.
    pub head: Head,
    /// Which store it is.
    pub identity: Identity,
    /// How many keys there are.
    pub keys: usize,
    /// The oldest revision whose state can be read.
    pub compacted: Revision,
    /// What makes a commit durable, in one word.
    pub durability: &'static str,
    /// How many commits a reopening would have to replay.
    pub trail_lag: u64,
    /// Bytes on the disk, if the store has some.
    pub disk_bytes: Option<u64>,
    /// Why no commits are taken, if that is so.
    pub poisoned: Option<String>,
    /// How far the clock is behind the newest commit, in milliseconds, if that is more than two machines may differ by. Until it is past
    /// it, new commits have that one's time: times never go back.
    pub clock_behind_ms: Option<i64>,
}

impl Engine {
    /// Opens the engine over a store: reads it back and starts the writer.
    ///
    /// # Errors
    /// If the store cannot be read back, or is damaged.
    pub fn open(store: Box<dyn Store>, options: Options) -> Result<Self, OpenError> {
        let store_status = Mutex::new(store.status());
        let (mut writer, recovered) = Writer::recover(store).map_err(OpenError::Recover)?;
        let (published, applied) = writer.published();
        let mut recent = Recent::default();
        applied.into_iter().for_each(|applied| recent.push(applied));
        let behind = behind((options.clock)(), recovered.head);
        if behind >= CLOCK_BEHIND_MS_MIN {
            let newest = recovered.head.revision;
            tracing::warn!(behind_ms = behind, %newest, "the clock is behind the newest commit; until it is past it, commits have its time");
        }
        let core = Arc::new(Core {
            queue: Queue::default(),
            clock: options.clock,
            identity: ArcSwap::from_pointee(recovered.identity),
            is_replica: false,
            generation: AtomicU64::new(0),
            published: ArcSwap::from_pointee(published),
            recent: Mutex::new(recent),
            compacted: ArcSwap::from_pointee(recovered.compacted),
            holds: Mutex::default(),
            compacting: Mutex::default(),
            counters: Counters::default(),
            notified: AtomicU64::new(recovered.head.revision.get()),
            poison: Poison::default(),
            store_status,
        });
        let thread = std::thread::Builder::new()
            .name("holdfast-writer".to_owned())
            .spawn({
                let core = Arc::clone(&core);
                move || writer.run(&core)
            })
            .map_err(OpenError::Thread)?;
        Ok(Self(Arc::new(Handle { core, thread: Mutex::new(Some(thread)) })))
    }

    /// Commits `txn` and waits, blocking the thread, until it is durable and visible.
    ///
    /// # Errors
    /// Why it was not committed; [`CommitError::Storage`] alone leaves that open.
    pub fn commit(&self, txn: Txn) -> Result<Receipt, CommitError> {
        self.submit(txn).wait()
    }

    /// Hands `txn` to the writer. What was handed over is committed or refused, whether somebody waits for it or not.
    pub fn submit(&self, txn: Txn) -> Pending {
        if self.core().is_replica {
            return Pending::refused(CommitError::ReadOnly);
        }
        if self.core().is_poisoned() {
            return Pending::refused(CommitError::Poisoned);
        }
        match self.core().queue.submit(txn) {
            Ok(answer) => Pending::waits(answer),
            Err(error) => Pending::refused(error),
        }
    }

    /// The newest snapshot: wait-free and O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.core().published.load().snapshot.clone()
    }

    /// The newest commit.
    #[must_use]
    pub fn head(&self) -> Head {
        self.core().published.load().snapshot.head()
    }

    /// Which store this is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        **self.core().identity.load()
    }

    /// Sealed bytes that an entry at the head names.
    #[must_use]
    pub fn sealed(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.core().published.load().sealed.get(digest).cloned()
    }

    /// The newest snapshot with the sealed bytes that its entries name; bytes that later commits drop stay in it.
    #[must_use]
    pub fn snapshot_with_sealed(&self) -> (Snapshot, SealedView) {
        let (snapshot, sealed) = self.published();
        (snapshot, SealedView::new(sealed))
    }

    /// Whether its state comes from somewhere else, so that it may lack keys, and bytes that are sealed.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        self.core().is_replica
    }

    pub(crate) fn published(&self) -> (Snapshot, SealedSet) {
        let published = self.core().published.load();
        (published.snapshot.clone(), published.sealed.clone())
    }

    /// Facts for people and probes.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let core = self.core();
        let snapshot = self.snapshot();
        let store = *core.store_status.lock().unwrap_or_else(PoisonError::into_inner);
        EngineStatus {
            head: snapshot.head(),
            identity: self.identity(),
            keys: snapshot.len(),
            compacted: if core.is_replica { snapshot.revision() } else { core.compacted().revision },
            durability: store.durability,
            trail_lag: snapshot.revision().get().saturating_sub(store.trailed.get()),
            disk_bytes: store.disk_bytes,
            poisoned: core.poison.cause().map(|error| error_text(error)),
            // A replica makes no commits.
            clock_behind_ms: (!core.is_replica)
                .then(|| behind((core.clock)(), snapshot.head()))
                .filter(|behind| *behind >= CLOCK_BEHIND_MS_MIN),
        }
    }

    /// Takes no more commits, does what still waits, and gives the store free. Snapshots stay readable. Called again, it does
    /// nothing.
    pub fn close(&self) {
        self.0.close();
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0.core
    }

    /// Has `job` run on the store's thread and waits for it, blocking; `None` if the engine is closed.
    pub(crate) fn on_store<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
    ) -> Option<T> {
        block_on(self.with_store(job))
    }

    /// As [`Engine::on_store`], without blocking the thread.
    pub(crate) async fn with_store<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
    ) -> Option<T> {
        self.on_writer(move |store, _| job(store)).await
    }

    /// Has `job` run on the store's thread, with the request ids that are kept; `None` if the engine is closed.
    pub(crate) async fn on_writer<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store, &dyn Requests) -> T + Send + 'static,
    ) -> Option<T> {
        if self.core().is_replica {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let queued = self.core().queue.job(Box::new(move |store, requests| {
            let _ = reply.send(job(store, requests));
        }));
        if queued { answer.await.ok() } else { None }
    }
}

impl Engine {
    /// An engine without a store and a writer, for a [`Replica`](crate::Replica) to feed.
    pub(crate) fn replica(identity: Identity, published: Published) -> Self {
        let head = published.snapshot.head();
        let core = Core {
            queue: Queue::default(),
            clock: Arc::new(|| Timestamp::ZERO),
            identity: ArcSwap::from_pointee(identity),
            is_replica: true,
            generation: AtomicU64::new(0),
            published: ArcSwap::from_pointee(published),
            recent: Mutex::default(),
            compacted: ArcSwap::from_pointee(head),
            holds: Mutex::default(),
            compacting: Mutex::default(),
            counters: Counters::default(),
            notified: AtomicU64::new(head.revision.get()),
            poison: Poison::default(),
            store_status: Mutex::new(StoreStatus {
                durability: "replica",
                trailed: Revision::new(u64::MAX),
                compacted: head,
                disk_bytes: None,
            }),
        };
        Self(Arc::new(Handle { core: Arc::new(core), thread: Mutex::new(None) }))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("head", &self.head().revision).finish_non_exhaustive()
    }
}

impl Handle {
    fn close(&self) {
        self.core.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the writer was reported by its hook; there is nothing left to give free.
            let _ = thread.join();
        }
        self.core.counters.close();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl Core {
    /// Makes what is durable visible, then wakes who waits for it.
    pub(crate) fn publish(&self, published: Published, applied: &[Arc<Applied>]) {
        let revision = published.snapshot.revision();
        {
            let mut recent = self.recent();
            applied.iter().for_each(|applied| recent.push(Arc::clone(applied)));
        }
        self.published.store(Arc::new(published));
        self.counters.raise(applied.iter().map(|applied| &*applied.commit));
        self.notified.store(revision.get(), Ordering::Release);
    }

    /// As [`Core::publish`] for commits of a replica, whose memory of commits is all that its watchers have.
    pub(crate) fn publish_replica(&self, published: Published, applied: &[Arc<Applied>]) {
        let revision = published.snapshot.revision();
        {
            let mut recent = self.recent();
            for applied in applied {
                if let Some(gone) = recent.push_out(Arc::clone(applied)) {
                    self.set_compacted(gone);
                }
            }
        }
        self.published.store(Arc::new(published));
        self.counters.raise(applied.iter().map(|applied| &*applied.commit));
        self.notified.store(revision.get(), Ordering::Release);
    }

    /// Publishes a state whose head moved and in which only `touched` keys differ: nothing before it is known any more, unless
    /// nothing was touched.
    pub(crate) fn publish_moved<'k>(&self, published: Published, touched: impl ExactSizeIterator<Item = &'k str>) {
        let head = published.snapshot.head();
        if touched.len() > 0 {
            let mut recent = self.recent();
            recent.clear();
            self.set_compacted(head);
        }
        self.published.store(Arc::new(published));
        self.counters.raise_keys(head.revision, touched);
        self.notified.store(head.revision.get(), Ordering::Release);
    }

    /// Publishes a state that does not follow from the one before: whoever read that one is told that it is over.
    pub(crate) fn publish_other(&self, identity: Identity, published: Published) {
        let head = published.snapshot.head();
        {
            let mut recent = self.recent();
            recent.clear();
            self.set_compacted(head);
        }
        self.identity.store(Arc::new(identity));
        self.published.store(Arc::new(published));
        self.notified.store(head.revision.get(), Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.counters.retire();
    }

    /// Changes when the state is replaced by one that does not follow from it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Up to here all counters are raised; a counter read after this shows every touch up to it.
    pub(crate) fn notified(&self) -> Revision {
        Revision::new(self.notified.load(Ordering::Acquire))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn compacted(&self) -> Head {
        **self.compacted.load()
    }

    pub(crate) fn set_compacted(&self, head: Head) {
        self.compacted.store(Arc::new(head));
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    pub(crate) fn poison(&self, error: StoreError) -> Arc<StoreError> {
        tracing::error!(error = %error_text(&error), "the store failed, no commits are taken until it is opened again");
        self.poison.set(error)
    }

    pub(crate) fn set_store_status(&self, status: StoreStatus) {
        *self.store_status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
