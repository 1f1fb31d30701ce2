//! The past: the log of commits, and the state at any revision that is kept.
//!
//! Never here: watching the future (`watch.rs`).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::ops::RangeBounds;
use std::sync::Arc;

use crate::commit::Commit;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::{AtError, StoreError};
use crate::key::Key;
use crate::limits::{LOG_COMMITS_MAX, PAGE_BYTES_MAX};
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
            state = self.read_back(state, floor, revision)?;
        }
        state.head = self.head_at(revision)?;
        Ok(Snapshot::new(state))
    }

    /// The commits whose revision lies in `range`, newest first, at most `limit` and at most
    /// [`LOG_COMMITS_MAX`] of them.
    ///
    /// # Errors
    /// If the store cannot be read. A range that reaches below the oldest commit kept simply ends there.
    pub fn commits(&self, range: impl RangeBounds<Revision>, limit: usize) -> Result<Vec<Arc<Commit>>, AtError> {
        let head = self.head().revision;
        let limit = limit.min(LOG_COMMITS_MAX);
        let first = match range.start_bound() {
            Bound::Included(&revision) => revision,
            Bound::Excluded(&revision) => revision.next(),
            Bound::Unbounded => Revision::ZERO,
        }
        .max(self.core().compacted().revision.next());
        let last = match range.end_bound() {
            Bound::Included(&revision) => revision,
            Bound::Excluded(&revision) if revision == Revision::ZERO => return Ok(Vec::new()),
            Bound::Excluded(&revision) => revision.previous(),
            Bound::Unbounded => head,
        }
        .min(head);
        if first > last || limit == 0 {
            return Ok(Vec::new());
        }
        let reach = u64::try_from(limit).unwrap_or(u64::MAX);
        let from = first.max(Revision::new(last.get().saturating_sub(reach - 1)));
        let mut commits = self.ascending(from, last)?;
        commits.reverse();
        Ok(commits)
    }

    /// The commit of `revision`.
    ///
    /// # Errors
    /// If it is compacted, does not exist yet, or cannot be read.
    pub fn commit_at(&self, revision: Revision) -> Result<Arc<Commit>, AtError> {
        let head = self.head().revision;
        let oldest = self.core().compacted().revision.next();
        if revision < oldest {
            return Err(AtError::Compacted { revision, oldest });
        }
        if revision > head {
            return Err(AtError::Future { revision, head });
        }
        self.ascending(revision, revision)?
            .pop()
            .ok_or_else(|| AtError::Storage(Arc::new(StoreError::Missing { revision })))
    }

    fn head_at(&self, revision: Revision) -> Result<Head, AtError> {
        let compacted = self.core().compacted();
        if revision == compacted.revision {
            Ok(compacted)
        } else {
            self.commit_at(revision).map(|commit| commit.head())
        }
    }

    fn check_revision(&self, revision: Revision, head: Revision) -> Result<(), AtError> {
        let oldest = self.core().compacted().revision;
        if revision < oldest {
            return Err(AtError::Compacted { revision, oldest });
        }
        if revision > head {
            return Err(AtError::Future { revision, head });
        }
        Ok(())
    }

    /// The commits from `from` through `last`, oldest first: from memory as far as it reaches, the older ones from the
    /// store, page by page.
    pub(crate) fn ascending(&self, from: Revision, last: Revision) -> Result<Vec<Arc<Commit>>, AtError> {
        let recent = self.core().recent().between(from.previous(), last);
        let newer = recent.first().map_or(last.next(), |applied| applied.commit.revision);
        let mut commits = Vec::new();
        let mut next = from;
        while next < newer {
            let page = self.read(move |store| store.commits(next, newer.previous(), PAGE_BYTES_MAX))?;
            let Some(end) = page.last() else { break };
            next = end.revision.next();
            commits.extend(page);
        }
        commits.extend(recent.iter().map(|applied| Arc::clone(&applied.commit)));
        Ok(commits)
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
                    if !replaced.contains_key(change.key().as_str()) {
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

    /// Has `job` run on the store's thread.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AtError> {
        match self.on_store(job) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(AtError::Storage(Arc::new(error))),
            None => Err(AtError::Closed),
        }
    }
}

fn versions(store: &mut dyn Store, modified: Revision, keys: Vec<Key>) -> Result<Vec<(Key, Entry)>, StoreError> {
    keys.into_iter().map(|key| store.version(&key, modified).map(|entry| (key, entry))).collect()
}
