//! The newest commits in memory, with the entries that they replaced: what readers of the recent past and watchers live on.
//!
//! Never here: reading from the store. What has left the ring is read back by `history.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::commit::Commit;
use crate::entry::Entry;
use crate::limits::{RECENT_BYTES_MAX, RECENT_COMMITS_MAX};
use crate::revision::Revision;
use crate::snapshot::{Head, State};

/// A commit and, for each of its changes, the entry that it replaced.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) commit: Arc<Commit>,
    pub(crate) previous: Vec<Option<Entry>>,
}

impl Applied {
    /// Takes the commit back out of `state`.
    pub(crate) fn undo(&self, state: &mut State) {
        for (change, previous) in self.commit.changes.iter().zip(&self.previous) {
            state.undo(change.key(), previous.clone());
        }
    }

    fn bytes(&self) -> usize {
        let replaced = self.previous.iter().flatten().map(|entry| entry.value().len()).sum::<usize>();
        self.commit.bytes() + replaced
    }
}

/// A ring of the newest commits, bounded in count and bytes. Revisions in it are consecutive, except across a restore and in
/// a replica.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    ring: VecDeque<Arc<Applied>>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, applied: Arc<Applied>) {
        let _gone = self.push_out(applied);
    }

    /// Adds the newest commit; gives the newest one that left for it.
    pub(crate) fn push_out(&mut self, applied: Arc<Applied>) -> Option<Head> {
        self.bytes += applied.bytes();
        self.ring.push_back(applied);
        let mut gone = None;
        while self.ring.len() > RECENT_COMMITS_MAX || (self.bytes > RECENT_BYTES_MAX && self.ring.len() > 1) {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= oldest.bytes();
            gone = Some(oldest.commit.head());
        }
        gone
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ring.clear();
        self.bytes = 0;
    }

    /// The commits after `from` and up to `through`, oldest first, as far as the ring reaches back. If the first one is not
    /// the successor of `from`, older ones have left the ring.
    pub(crate) fn between(&self, from: Revision, through: Revision) -> Vec<Arc<Applied>> {
        let start = self.ring.partition_point(|applied| applied.commit.revision <= from);
        let end = self.ring.partition_point(|applied| applied.commit.revision <= through);
        if start >= end { Vec::new() } else { self.ring.range(start..end).cloned().collect() }
    }
}
