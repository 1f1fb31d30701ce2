//! The side area in memory: sealed bytes under their digest, each with the number of head entries that name it.
//!
//! Never here: opening what is sealed. The engine has no key.

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;

use crate::digest::Digest;
use crate::entry::Entry;

/// Sealed bytes that head entries name. Cloning is O(1).
#[derive(Clone, Default)]
pub(crate) struct SealedSet(OrdMap<Digest, Slot>);

/// The sealed bytes of one snapshot.
#[derive(Clone)]
pub struct SealedView(SealedSet);

impl SealedView {
    pub(crate) fn new(sealed: SealedSet) -> Self {
        Self(sealed)
    }

    /// The bytes under a digest, if an entry of the snapshot names it and they are there.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.0.get(digest).cloned()
    }
}

impl fmt::Debug for SealedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedView").field("digests", &self.0.0.len()).finish()
    }
}

#[derive(Clone)]
struct Slot {
    bytes: Option<Arc<[u8]>>,
    named: u32,
}

impl SealedSet {
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Arc<[u8]>> {
        self.0.get(digest).and_then(|slot| slot.bytes.as_ref())
    }

    /// Puts bytes under their digest; says whether they were not there yet.
    pub(crate) fn offer(&mut self, digest: Digest, bytes: &Arc<[u8]>) -> bool {
        let slot = self.0.entry(digest).or_insert(Slot { bytes: None, named: 0 });
        let new = slot.bytes.is_none();
        slot.bytes.get_or_insert_with(|| Arc::clone(bytes));
        new
    }

    pub(crate) fn name(&mut self, digest: &Digest) {
        self.0.entry(*digest).or_insert(Slot { bytes: None, named: 0 }).named += 1;
    }

    /// Counts one name less. A slot without names stays until [`SealedSet::sweep`], because a later commit of the same group
    /// may name it again.
    pub(crate) fn unname(&mut self, digest: &Digest) {
        if let Some(slot) = self.0.get_mut(digest) {
            slot.named = slot.named.saturating_sub(1);
        }
    }

    /// Counts the names of a state that was read back.
    pub(crate) fn name_all<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        entries.filter_map(Entry::sealed).for_each(|digest| self.name(&digest));
    }

    /// Drops those of `candidates` that nothing names and gives their digests.
    pub(crate) fn sweep(&mut self, candidates: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
        let mut dropped = Vec::new();
        for digest in candidates {
            if self.0.get(&digest).is_some_and(|slot| slot.named == 0) {
                self.0.remove(&digest);
                dropped.push(digest);
            }
        }
        dropped
    }

    /// The digests that lack their bytes.
    pub(crate) fn lacking(&self) -> impl Iterator<Item = Digest> + '_ {
        self.0.iter().filter(|(_, slot)| slot.bytes.is_none()).map(|(digest, _)| *digest)
    }

    /// All bytes that are there.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.0.values().filter_map(|slot| slot.bytes.as_ref())
    }

    /// All digests.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.0.keys().copied().collect()
    }
}
