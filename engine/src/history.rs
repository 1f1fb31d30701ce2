//! The past: the state at any revision that is kept.
//!
//! Never here: the log (`log.rs`), what differs (`diff.rs`), watching what comes (`watch.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::commit::Commit;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::{AtError, StoreError};
use crate::key::Key;
use crate::limits::PAGE_BYTES_MAX;
use crate::planted::planted;
use crate::revision::Revision;
use crate::snapshot::{Head, Snapshot, State};
use crate::store::Store;

impl Engine {
    /// The state at `revision`: the head's is O(1), a recent one costs the changes made since, an old one reads these from
    /// the store, blocking the thread.
    ///
    /// # Errors
    /// If the revision is compacted, or does not exist yet, or cannot be read.
    pub fn at(&self, revision: Revision) -> Result<Snapshot, AtError> {
        let head = self.snapshot();
        self.check_revision(revision, head.revision())?;
        if revision == head.revision() {
            return Ok(head);
        }
        let recent = self.core().recent().between(revision, head.revision());
        let mut state = head.state().clone();
        for applied in recent.iter().rev() {
            applied.undo(&mut state);
        }
        let floor = recent.first().map_or(head.revision(), |applied| applied.commit.revision.previous());
        if floor > revision {
            state = self.read_back(state, floor, revision).map_err(|error| self.reason(revision, error))?;
        }
        state.head = self.head_at(revision)?;
        Ok(Snapshot::new(state))
    }

    /// The commit that made `revision`, in short.
    ///
    /// # Errors
    /// As [`Engine::at`].
    pub fn head_at(&self, revision: Revision) -> Result<Head, AtError> {
        let head = self.head();
        self.check_revision(revision, head.revision)?;
        if revision == head.revision {
            return Ok(head);
        }
        let compacted = self.core().compacted();
        if revision == compacted.revision {
            Ok(compacted)
        } else {
            self.commit_at(revision).map(|commit| commit.head())
        }
    }

    pub(crate) fn check_revision(&self, revision: Revision, head: Revision) -> Result<(), AtError> {
        if self.core().is_replica && revision < head {
            return Err(AtError::NoHistory { head });
        }
        let oldest = self.core().compacted().revision;
        if revision < oldest {
            return Err(AtError::Compacted { revision, oldest });
        }
        if revision > head {
            return Err(AtError::Future { revision, head });
        }
        Ok(())
    }

    /// Turns the state at `floor` into the state at `revision` by what the commits between them replaced.
    fn read_back(&self, mut state: State, floor: Revision, revision: Revision) -> Result<State, AtError> {
        // For each key that was touched, the version that the oldest of these commits replaced.
        let mut replaced: BTreeMap<Key, Revision> = BTreeMap::new();
        let mut next = revision.next();
        while next <= floor {
            let page = self.read(move |store| store.commits(next, floor, PAGE_BYTES_MAX))?;
            let Some(end) = page.last() else { break };
            next = end.revision.next();
            for commit in &page {
                for (change, mark) in commit.changes.iter().zip(commit.marks()) {
                    if !replaced.contains_key(change.key().as_str()) || planted("past-takes-the-newest") {
                        replaced.insert(change.key().clone(), mark.previous);
                    }
                }
            }
        }
        let mut wanted: BTreeMap<Revision, Vec<Key>> = BTreeMap::new();
        for (key, previous) in replaced {
            if previous == Revision::ZERO {
                state.undo(&key, None)
            } else {
                wanted.entry(previous).or_default().push(key)
            }
        }
        for (modified, keys) in wanted {
            let versions = self.read(move |store| versions(store, modified, keys))?;
            for (key, entry) in versions {
                state.undo(&key, Some(entry));
            }
        }
        Ok(state)
    }

    /// One page of the commits from `from` through `through`, without blocking.
    pub(crate) async fn page(&self, from: Revision, through: Revision) -> Result<Vec<Arc<Commit>>, AtError> {
        if self.core().is_replica {
            return self.replica_page(from, through);
        }
        let oldest = self.core().compacted().revision.next();
        if from < oldest {
            return Err(AtError::Compacted { revision: from, oldest });
        }
        let recent = self.core().recent().between(from.previous(), through);
        match recent.first() {
            Some(first) if first.commit.revision == from => {
                Ok(recent.iter().map(|applied| Arc::clone(&applied.commit)).collect())
            }
            _ => {
                let page = self.read_async(move |store| store.commits(from, through, PAGE_BYTES_MAX)).await;
                page.map_err(|error| self.reason(from.previous(), error))
            }
        }
    }

    /// The commits of a range that reached a replica; those that did not touched nothing that it holds.
    fn replica_page(&self, from: Revision, through: Revision) -> Result<Vec<Arc<Commit>>, AtError> {
        let recent = self.core().recent();
        // Under the lock: what leaves the memory of commits is told before the lock is free again.
        let oldest = self.core().compacted().revision.next();
        if from < oldest {
            return Err(AtError::Compacted { revision: from, oldest });
        }
        Ok(recent.between(from.previous(), through).iter().map(|applied| Arc::clone(&applied.commit)).collect())
    }

    /// The version of `key` that `modified` wrote, without blocking.
    pub(crate) async fn version(&self, key: &Key, modified: Revision) -> Result<Entry, AtError> {
        let recent = self.core().recent().between(modified.previous(), modified);
        if let Some(entry) = recent.first().and_then(|applied| applied.commit.entry(key)) {
            return Ok(entry);
        }
        let key = key.clone();
        self.read_async(move |store| store.version(&key, modified)).await
    }

    async fn read_async<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AtError> {
        self.has_history()?;
        match self.with_store(job).await {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(AtError::Storage(Arc::new(error))),
            None => Err(AtError::Closed),
        }
    }

    /// A replica has none.
    pub(crate) fn has_history(&self) -> Result<(), AtError> {
        if self.core().is_replica { Err(AtError::NoHistory { head: self.head().revision }) } else { Ok(()) }
    }

    /// Has `job` run on the store's thread.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AtError> {
        self.has_history()?;
        match self.on_store(job) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(AtError::Storage(Arc::new(error))),
            None => Err(AtError::Closed),
        }
    }

    /// An error while `revision` was read: if it was compacted meanwhile, that is the reason.
    pub(crate) fn reason(&self, revision: Revision, error: AtError) -> AtError {
        let oldest = self.core().compacted().revision;
        match error {
            AtError::Storage(_) if revision < oldest => AtError::Compacted { revision, oldest },
            error => error,
        }
    }
}

pub(crate) fn versions(
    store: &mut dyn Store,
    modified: Revision,
    keys: Vec<Key>,
) -> Result<Vec<(Key, Entry)>, StoreError> {
    keys.into_iter().map(|key| store.version(&key, modified).map(|entry| (key, entry))).collect()
}
