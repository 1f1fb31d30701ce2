//! Compaction: gives up the commits before a revision, never past one that somebody holds.
//!
//! Never here: what a store deletes and in which order (`store/`), or when to compact; that is the caller's policy.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use crate::engine::Engine;
use crate::error::{AtError, StoreError};
use crate::failpoint::failpoint;
use crate::pending::block_on;
use crate::planted::planted;
use crate::revision::{Revision, Timestamp};
use crate::store::{CompactTarget, Progress};

/// What a compaction keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The state at this revision and everything after it.
    From(Revision),
    /// The newest so many commits.
    Newest(u64),
    /// The state at this time and everything after it.
    Since(Timestamp),
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// The oldest revision whose state can be read now.
    pub oldest: Revision,
    /// How many commits were given up.
    pub commits: u64,
    /// The held revision that kept it from giving up more.
    pub held: Option<Revision>,
    /// Bytes that the store took on the disk before, if it is on one.
    pub disk_bytes_before: Option<u64>,
    /// Bytes that it takes now.
    pub disk_bytes: Option<u64>,
}

/// What a compaction is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactPhase {
    /// Writes the oldest state that is kept.
    Writing,
    /// Deletes what is given up, and gives its space back.
    Reclaiming,
}

/// Why nothing was compacted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The state to keep does not exist yet.
    #[error("cannot compact to {revision}, which does not exist yet: the head is {head}")]
    Future {
        /// What was asked for.
        revision: Revision,
        /// The newest there is.
        head: Revision,
    },
    /// The past could not be read.
    #[error("the state to keep cannot be read")]
    Read(#[source] AtError),
    /// The store failed.
    #[error("the store cannot be compacted")]
    Storage(#[source] Arc<StoreError>),
    /// The commits are given up, but what they took on the disk is not given back.
    #[error("the store is compacted, but its space cannot be given back now")]
    Reclaim(#[source] Arc<StoreError>),
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
}

/// The revisions that are held, and how far a running compaction goes.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    held: BTreeMap<Revision, usize>,
    planned: Revision,
}

/// Keeps the state at a revision, and all commits after it, from being compacted while it lives.
pub struct Hold {
    engine: Engine,
    revision: Revision,
}

impl Hold {
    /// The revision that is held.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.engine.core().holds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = holds.held.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                holds.held.remove(&self.revision);
            }
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl Engine {
    /// Holds `revision`: no compaction passes it until the hold is dropped.
    ///
    /// # Errors
    /// If it is compacted already, or does not exist yet.
    pub fn hold(&self, revision: Revision) -> Result<Hold, AtError> {
        let core = self.core();
        let mut holds = core.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = core.compacted().revision.max(holds.planned);
        if revision < oldest {
            return Err(AtError::Compacted { revision, oldest });
        }
        self.check_revision(revision, self.head().revision)?;
        *holds.held.entry(revision).or_default() += 1;
        drop(holds);
        Ok(Hold { engine: self.clone(), revision })
    }

    /// Gives up the commits before what is to be kept and gives their space back, in small steps between which commits go on;
    /// blocks the thread until that is done. Killed at any instant, the store has the old or the new oldest revision, and the
    /// head does not move; what was not given back is by the next compaction, also by one that has nothing to give up.
    ///
    /// # Errors
    /// If the state to keep does not exist yet, or the store fails.
    pub fn compact(&self, keep: Keep) -> Result<Compaction, CompactError> {
        self.compact_with(keep, |_, _| {})
    }

    /// As [`Engine::compact`]. `progress` is told what it is at and how many steps of that are done; how many there are is not
    /// known before.
    ///
    /// # Errors
    /// As [`Engine::compact`].
    pub fn compact_with(
        &self,
        keep: Keep,
        mut progress: impl FnMut(CompactPhase, u64),
    ) -> Result<Compaction, CompactError> {
        let core = self.core();
        let _one = core.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        let disk_bytes = || self.on_store(|store| store.status().disk_bytes).flatten();
        let disk_bytes_before = disk_bytes();
        let (oldest, commits, held) = self.give_up(keep, &mut |step| progress(CompactPhase::Writing, step))?;
        self.reclaim(&mut |step| progress(CompactPhase::Reclaiming, step))?;
        Ok(Compaction { oldest, commits, held, disk_bytes_before, disk_bytes: disk_bytes() })
    }

    /// Makes the state to keep the oldest one; gives it, how many commits were given up, and what kept it from more.
    fn give_up(
        &self,
        keep: Keep,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Revision, u64, Option<Revision>), CompactError> {
        let core = self.core();
        let before = core.compacted().revision;
        let wanted = self.oldest_to_keep(keep)?;
        let (target, held) = {
            let mut holds = core.holds.lock().unwrap_or_else(PoisonError::into_inner);
            let held = holds.held.keys().next().copied().filter(|held| *held < wanted);
            let target = held.filter(|_| !planted("compact-past-a-hold")).unwrap_or(wanted);
            holds.planned = target;
            (target, held)
        };
        if target <= before {
            return Ok((before, 0, held));
        }
        let snapshot = self.at(target).map_err(CompactError::Read)?;
        let requests = block_on(self.on_writer(|_, requests| requests.list())).ok_or(CompactError::Closed)?;
        let (head, entries) = (snapshot.head(), snapshot.state().entries.clone());
        let target = Arc::new(CompactTarget { head, entries, requests: requests.into() });
        failpoint("compact-planned");
        // Nobody begins to read what is going away.
        core.set_compacted(head);
        for step in 1.. {
            let target = Arc::clone(&target);
            match self.on_store(move |store| store.compact(&target)) {
                Some(Ok(Progress::More)) => progress(step),
                Some(Ok(Progress::Idle)) => break,
                Some(Err(error)) => return Err(CompactError::Storage(core.poison(error))),
                None => return Err(CompactError::Closed),
            }
        }
        Ok((head.revision, head.revision.get() - before.get(), held))
    }

    /// Has the store give back the space of what was given up.
    fn reclaim(&self, progress: &mut dyn FnMut(u64)) -> Result<(), CompactError> {
        for step in 1.. {
            match self.on_store(|store| store.reclaim()) {
                Some(Ok(Progress::More)) => progress(step),
                Some(Ok(Progress::Idle)) => break,
                Some(Err(error)) => return Err(CompactError::Reclaim(Arc::new(error))),
                None => return Err(CompactError::Closed),
            }
        }
        Ok(())
    }

    fn oldest_to_keep(&self, keep: Keep) -> Result<Revision, CompactError> {
        let head = self.head();
        match keep {
            Keep::From(revision) if revision > head.revision => {
                Err(CompactError::Future { revision, head: head.revision })
            }
            Keep::From(revision) => Ok(revision),
            Keep::Newest(count) => Ok(Revision::new(head.revision.get().saturating_sub(count))),
            Keep::Since(time) => self.revision_at(time).map_err(CompactError::Read),
        }
    }

    /// The newest revision that was made at `time` or before it, as far back as commits are kept. Times of commits never go
    /// back, so this is a search by halves.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn revision_at(&self, time: Timestamp) -> Result<Revision, AtError> {
        let (mut low, mut high) = (self.core().compacted().revision, self.head().revision);
        while low < high {
            let middle = Revision::new(low.get() + (high.get() - low.get()).div_ceil(2));
            if self.commit_at(middle)?.time <= time { low = middle } else { high = middle.previous() }
        }
        Ok(low)
    }
}
