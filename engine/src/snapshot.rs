//! Snapshot: the immutable state at one revision.
//!
//! Never here: reading from a store, or anything that waits. A snapshot is whole and in memory.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use imbl::OrdMap;

use crate::commit::{Change, Mark};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::key::Key;
use crate::planted::planted;
use crate::revision::{Revision, Timestamp};

/// The state of the store at one revision. Cloning is O(1); it never changes, whatever is committed, and lives as long as
/// someone holds it.
#[derive(Clone)]
pub struct Snapshot(Arc<State>);

/// What a snapshot holds. Cloning shares the entries.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) entries: OrdMap<Key, Entry>,
}

/// The newest commit: its number, id and time. Before the first commit all three are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub revision: Revision,
    /// Its id.
    pub id: Digest,
    /// Its time.
    pub time: Timestamp,
}

impl Default for Head {
    fn default() -> Self {
        Self { revision: Revision::ZERO, id: Digest::ZERO, time: Timestamp::ZERO }
    }
}

impl Head {
    /// The newer of two.
    pub(crate) fn max_of(self, other: Self) -> Self {
        if other.revision > self.revision { other } else { self }
    }
}

impl Snapshot {
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(state))
    }

    /// A snapshot that no store has: of the first revision, with these entries. Of a key that stands twice the last entry
    /// counts.
    #[must_use]
    pub fn of(entries: impl IntoIterator<Item = (Key, Entry)>) -> Self {
        let head = Head { revision: Revision::ZERO.next(), ..Head::default() };
        Self::new(State { head, entries: entries.into_iter().collect() })
    }

    pub(crate) fn state(&self) -> &State {
        &self.0
    }

    /// Its revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.head.revision
    }

    /// The id of the commit that made it.
    #[must_use]
    pub fn commit_id(&self) -> Digest {
        self.0.head.id
    }

    /// The commit that made it.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0.head
    }

    /// The entry of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.entries.get(key)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// All entries in byte order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.0.entries.iter()
    }

    /// The entries whose key starts with `prefix`, in byte order.
    pub fn prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a Key, &'a Entry)> + 'a {
        self.range((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    /// The entries whose key lies in `range`, in byte order.
    pub fn range<'a>(&'a self, range: impl RangeBounds<&'a str>) -> impl Iterator<Item = (&'a Key, &'a Entry)> + 'a {
        let bounds = (range.start_bound().map(|bound| *bound), range.end_bound().map(|bound| *bound));
        let empty = match bounds {
            (Bound::Included(a), Bound::Included(b)) => a > b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Excluded(b))
            | (Bound::Excluded(a), Bound::Included(b)) => a >= b,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        };
        // The map panics on a range that ends before it starts; to a caller such a range is simply empty.
        let bounds = if empty { (Bound::Included(""), Bound::Excluded("")) } else { bounds };
        self.0.entries.range::<_, str>(bounds).take_while(move |_| !empty)
    }

    /// A hypothetical next snapshot: this one with `changes` made, numbered as the next commit would be, under the same
    /// commit id. Entries that change get the revisions and the version that a commit would give them.
    #[must_use]
    pub fn overlay(&self, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut state = (*self.0).clone();
        let revision = state.head.revision.next();
        for change in changes {
            state.apply(revision, &change);
        }
        state.head.revision = revision;
        Self::new(state)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.revision())
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}

impl State {
    /// Makes one change as part of `revision`; gives its mark and the entry that it replaced. This is the one place where
    /// created, modified and version are counted.
    pub(crate) fn apply(&mut self, revision: Revision, change: &Change) -> (Mark, Option<Entry>) {
        match change {
            Change::Put { key, value, sealed } => {
                let old = self.entries.get(key.as_str());
                let old = old.filter(|_| !planted("every-put-creates"));
                let created = old.map_or(revision, Entry::created);
                let version = old.map_or(1, |old| old.version() + 1);
                let entry = Entry::new(Arc::clone(value), *sealed, created, revision, version);
                let old = self.entries.insert(key.clone(), entry);
                let previous = old.as_ref().map_or(Revision::ZERO, Entry::modified);
                (Mark { created, version, previous }, old)
            }
            Change::Delete { key } => {
                let old = self.entries.remove(key.as_str());
                let created = old.as_ref().map_or(Revision::ZERO, Entry::created);
                let previous = old.as_ref().map_or(Revision::ZERO, Entry::modified);
                (Mark { created, version: 0, previous }, old)
            }
        }
    }

    /// Puts `old` back as it was before a change.
    pub(crate) fn undo(&mut self, key: &Key, old: Option<Entry>) {
        match old {
            Some(entry) => drop(self.entries.insert(key.clone(), entry)),
            None => drop(self.entries.remove(key.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_values_is_the_one_that_a_first_commit_of_them_would_make() {
        let (key, value) = (Key::new("a/b").unwrap(), Arc::<[u8]>::from(b"41".as_slice()));
        let made = Snapshot::of([(key.clone(), Entry::of(Arc::clone(&value)))]);
        let committed = Snapshot::new(State::default()).overlay([Change::Put { key, value, sealed: None }]);
        assert_eq!(made.revision(), committed.revision());
        assert_eq!(made.get("a/b"), committed.get("a/b"));
    }
}
