//! The log: commits by range, by prefix, and the life of one key.
//!
//! Never here: what differs between two revisions (`diff.rs`).

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::commit::{Change, Commit, Mark};
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::{AtError, StoreError};
use crate::key::Key;
use crate::limits::{LOG_COMMITS_MAX, LOG_WINDOW_COMMITS, PAGE_BYTES_MAX};
use crate::revision::Revision;

/// One step in the life of a key.
#[derive(Debug, Clone)]
pub struct KeyVersion {
    /// The commit that made it.
    pub commit: Arc<Commit>,
    /// What the key became; `None` if it was deleted.
    pub entry: Option<Entry>,
}

impl Engine {
    /// The commits whose revision lies in `range`, newest first, at most `limit` and at most
    /// [`LOG_COMMITS_MAX`] of them.
    ///
    /// # Errors
    /// If the store cannot be read. A range that reaches below the oldest commit kept simply ends there.
    pub fn commits(&self, range: impl RangeBounds<Revision>, limit: usize) -> Result<Vec<Arc<Commit>>, AtError> {
        self.has_history()?;
        let limit = limit.min(LOG_COMMITS_MAX);
        let Some((first, last)) = self.bounds(range).filter(|_| limit > 0) else { return Ok(Vec::new()) };
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
        self.has_history()?;
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

    /// The commits of `range` that touch a key with `prefix`, newest first, at most `limit` of them. Looks at every commit of
    /// the range until it has them.
    ///
    /// # Errors
    /// As [`Engine::commits`].
    pub fn log(
        &self,
        range: impl RangeBounds<Revision>,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<Arc<Commit>>, AtError> {
        self.has_history()?;
        let mut found = Vec::new();
        let Some((first, mut last)) = self.bounds(range) else { return Ok(found) };
        let limit = limit.min(LOG_COMMITS_MAX);
        while last >= first && found.len() < limit {
            let window = self.window(first, last)?;
            let touches =
                |commit: &Arc<Commit>| commit.changes.iter().any(|change| change.key().as_str().starts_with(prefix));
            let wanted = limit - found.len();
            last = window.first().map_or(first, |oldest| oldest.revision).previous();
            found.extend(window.into_iter().rev().filter(touches).take(wanted));
        }
        Ok(found)
    }

    /// The versions of `key` up to `through`, newest first, at most `limit` of them, as far back as commits are kept. Costs
    /// the number of versions; across a time in which the key was absent it looks at every commit.
    ///
    /// # Errors
    /// As [`Engine::commits`].
    pub fn key_log(&self, key: &Key, through: Revision, limit: usize) -> Result<Vec<KeyVersion>, AtError> {
        self.has_history()?;
        let mut versions = Vec::new();
        let Some((first, mut last)) = self.bounds(..=through) else { return Ok(versions) };
        let limit = limit.min(LOG_COMMITS_MAX);
        let snapshot = self.snapshot();
        let newest = snapshot.get(key.as_str()).map(Entry::modified);
        let mut next = newest.filter(|modified| *modified <= last);
        while versions.len() < limit && last >= first {
            let commit = match next {
                Some(revision) if revision < first => break,
                Some(revision) => self.commit_at(revision)?,
                None => {
                    let window = self.window(first, last)?;
                    last = window.first().map_or(first, |oldest| oldest.revision).previous();
                    let touches = |commit: &&Arc<Commit>| commit.place_of(key).is_some();
                    match window.iter().rev().find(touches) {
                        Some(commit) => Arc::clone(commit),
                        None => continue,
                    }
                }
            };
            let Some(at) = commit.place_of(key) else {
                let missing = StoreError::Missing { revision: commit.revision };
                return Err(AtError::Storage(Arc::new(missing)));
            };
            let Mark { previous, .. } = commit.marks()[at];
            next = (previous != Revision::ZERO).then_some(previous);
            last = commit.revision.previous();
            versions.push(KeyVersion { entry: commit.entry_at(at), commit });
        }
        Ok(versions)
    }

    /// The newest commits from `first` through `last`, oldest first, at most a window of them.
    fn window(&self, first: Revision, last: Revision) -> Result<Vec<Arc<Commit>>, AtError> {
        let from = Revision::new(last.get().saturating_sub(LOG_WINDOW_COMMITS - 1));
        self.ascending(from.max(first), last)
    }

    /// The first and last revision of a range whose commits are kept.
    fn bounds(&self, range: impl RangeBounds<Revision>) -> Option<(Revision, Revision)> {
        let head = self.head().revision;
        let first = match range.start_bound() {
            Bound::Included(&revision) => revision,
            Bound::Excluded(&revision) if revision >= head => return None,
            Bound::Excluded(&revision) => revision.next(),
            Bound::Unbounded => Revision::ZERO,
        };
        let last = match range.end_bound() {
            Bound::Included(&revision) => revision,
            Bound::Excluded(&revision) if revision == Revision::ZERO => return None,
            Bound::Excluded(&revision) => revision.previous(),
            Bound::Unbounded => head,
        };
        let first = first.max(self.core().compacted().revision.next());
        let last = last.min(head);
        (first <= last).then_some((first, last))
    }

    /// The commits from `from` through `last`, oldest first: from memory as far as it reaches, the older ones from the
    /// store, page by page.
    pub(crate) fn ascending(&self, from: Revision, last: Revision) -> Result<Vec<Arc<Commit>>, AtError> {
        let recent = self.core().recent().between(from.previous(), last);
        let newer = recent.first().map_or(last.next(), |applied| applied.commit.revision);
        let mut commits = Vec::new();
        let mut next = from;
        while next < newer {
            let page = self
                .read(move |store| store.commits(next, newer.previous(), PAGE_BYTES_MAX))
                .map_err(|error| self.reason(next.previous(), error))?;
            let Some(end) = page.last() else { break };
            next = end.revision.next();
            commits.extend(page);
        }
        commits.extend(recent.iter().map(|applied| Arc::clone(&applied.commit)));
        Ok(commits)
    }
}

impl Commit {
    /// Where the change of `key` stands.
    pub(crate) fn place_of(&self, key: &Key) -> Option<usize> {
        self.changes.iter().position(|change| change.key() == key)
    }

    /// The entry that the change at `at` made.
    pub(crate) fn entry_at(&self, at: usize) -> Option<Entry> {
        match &self.changes[at] {
            Change::Put { key: _, value, sealed } => {
                let Mark { created, version, previous: _ } = self.marks[at];
                Some(Entry::new(Arc::clone(value), *sealed, created, self.revision, version))
            }
            Change::Delete { key: _ } => None,
        }
    }
}
