//! What differs between two revisions, in time of the changes between them.
//!
//! Never here: how a difference is shown, or differences within a value.

use std::collections::BTreeMap;

use crate::commit::Mark;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::AtError;
use crate::history::versions;
use crate::key::Key;
use crate::limits::PAGE_BYTES_MAX;
use crate::revision::Revision;

/// A key that differs between two revisions. An equal value that was put again differs in its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Key,
    /// Its entry at the first revision.
    pub before: Option<Entry>,
    /// Its entry at the second revision.
    pub after: Option<Entry>,
}

/// What a key was before the oldest change that touches it.
enum Before {
    Known(Option<Entry>),
    Version(Revision),
}

impl Engine {
    /// The keys that differ between the states at `from` and `to`, in byte order. Costs the changes made between them,
    /// whatever the size of the store; `from` may be the newer one.
    ///
    /// # Errors
    /// If one of the revisions is compacted, or does not exist yet, or cannot be read.
    pub fn diff(&self, from: Revision, to: Revision) -> Result<Vec<Difference>, AtError> {
        let head = self.head().revision;
        self.check_revision(from, head)?;
        self.check_revision(to, head)?;
        let mut differences = self.forward_diff(from.min(to), from.max(to))?;
        if from > to {
            for difference in &mut differences {
                std::mem::swap(&mut difference.before, &mut difference.after);
            }
        }
        Ok(differences)
    }

    fn forward_diff(&self, low: Revision, high: Revision) -> Result<Vec<Difference>, AtError> {
        let recent = self.core().recent().between(low, high);
        let newer = recent.first().map_or(high.next(), |applied| applied.commit.revision);
        let mut touched: BTreeMap<Key, (Before, Option<Entry>)> = BTreeMap::new();
        let mut note = |key: &Key, before: Before, after: Option<Entry>| {
            touched.entry(key.clone()).and_modify(|known| known.1.clone_from(&after)).or_insert((before, after));
        };
        let mut next = low.next();
        while next < newer {
            let page = self
                .read(move |store| store.commits(next, newer.previous(), PAGE_BYTES_MAX))
                .map_err(|error| self.reason(low, error))?;
            let Some(end) = page.last() else { break };
            next = end.revision.next();
            for commit in &page {
                for (at, (change, mark)) in commit.changes.iter().zip(commit.marks()).enumerate() {
                    let Mark { previous, .. } = *mark;
                    let before =
                        if previous == Revision::ZERO { Before::Known(None) } else { Before::Version(previous) };
                    note(change.key(), before, commit.entry_at(at));
                }
            }
        }
        for applied in &recent {
            for (at, (change, previous)) in applied.commit.changes.iter().zip(&applied.previous).enumerate() {
                note(change.key(), Before::Known(previous.clone()), applied.commit.entry_at(at));
            }
        }
        self.resolve(touched)
    }

    /// Reads the versions that are only known by their revision, each commit once.
    fn resolve(&self, touched: BTreeMap<Key, (Before, Option<Entry>)>) -> Result<Vec<Difference>, AtError> {
        let mut wanted: BTreeMap<Revision, Vec<Key>> = BTreeMap::new();
        let mut differences = BTreeMap::new();
        for (key, (before, after)) in touched {
            let before = match before {
                Before::Known(entry) => entry,
                Before::Version(revision) => {
                    wanted.entry(revision).or_default().push(key.clone());
                    None
                }
            };
            differences.insert(key.clone(), Difference { key, before, after });
        }
        for (modified, keys) in wanted {
            for (key, entry) in self.read(move |store| versions(store, modified, keys))? {
                if let Some(difference) = differences.get_mut(&key) {
                    difference.before = Some(entry);
                }
            }
        }
        Ok(differences.into_values().filter(|difference| difference.before != difference.after).collect())
    }
}
