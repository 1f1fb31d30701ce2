//! Store: what the engine asks of the storage below it, an ordered and durable log of commits with a state to start from.
//!
//! Never here: revisions being given out, preconditions, snapshots. A store writes what it is told, or says that somebody
//! else was faster.

mod base;
mod check;
mod contain;
pub(crate) mod embedded;
mod folder;
mod layout;
mod leftovers;
pub(crate) mod memory;
pub(crate) mod opening;
mod reclaim;
mod records;
mod recovery;
mod reminding;
pub(crate) mod replace;
mod sled;
pub(crate) mod sync;
#[cfg(all(feature = "failpoints", debug_assertions))]
pub(crate) mod tamper;

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use uuid::Uuid;

use crate::commit::{Commit, RequestId};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::error::{Damage, StoreError};
use crate::key::Key;
use crate::notes::Note;
use crate::reminders::Reminder;
use crate::revision::Revision;
use crate::snapshot::Head;

/// An ordered, durable log of commits.
///
/// One thread calls it. Every method may block on the disk or the network; those that read answer in bounded pages, so that
/// a reader of the past never keeps a commit waiting for long.
pub trait Store: Send {
    /// Reads back what is stored: a base state, and what is needed to go on from there. Whatever it tells is durable when it
    /// returns. Called once, first.
    ///
    /// # Errors
    /// If the store cannot be read, or is damaged.
    fn recover(&mut self) -> Result<Recovered, StoreError>;

    /// Writes a group of commits, all or none, and makes it durable before it returns.
    ///
    /// # Errors
    /// [`AppendError::HeadMoved`] if the head is not `expected`: nothing was written. [`AppendError::Failed`] if it is not
    /// known whether the group is kept.
    fn append(&mut self, group: Append<'_>) -> Result<(), AppendError>;

    /// The newest commit, as the store knows it now.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn head(&mut self) -> Result<Head, StoreError>;

    /// Commits in ascending order, from `from` on and not past `through`: whole ones, at least one, and no more than pass
    /// `bytes_max`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if `from` is not there.
    fn commits(&mut self, from: Revision, through: Revision, bytes_max: usize) -> Result<Vec<Arc<Commit>>, StoreError>;

    /// The version of `key` that `modified` wrote; also of compacted revisions, as long as the state of a revision that is
    /// kept needs it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is not there.
    fn version(&mut self, key: &Key, modified: Revision) -> Result<Entry, StoreError>;

    /// Sealed bytes under their digest.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn sealed(&mut self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// Writes a note over the one whose place it takes, and makes it durable before it returns.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn write_note(&mut self, note: &Note) -> Result<(), StoreError>;

    /// The notes that can be read, in any order.
    ///
    /// # Errors
    /// If the store cannot be read at all.
    fn notes(&mut self) -> Result<Vec<Note>, StoreError>;

    /// Writes a reminder over the one under the same key, and makes it durable before it returns.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn write_reminder(&mut self, key: &Key, bytes: &[u8]) -> Result<(), StoreError>;

    /// Removes the reminder under a key, if there is one, and makes that durable before it returns.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn remove_reminder(&mut self, key: &Key) -> Result<(), StoreError>;

    /// The reminders that can be read, in any order.
    ///
    /// # Errors
    /// If the store cannot be read at all.
    fn reminders(&mut self) -> Result<Vec<Reminder>, StoreError>;

    /// How much all reminders weigh.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn reminder_weight(&mut self) -> Result<ReminderWeight, StoreError>;

    /// Does one bounded slice of the work that trails the commits, given the state that is in force.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn trail(&mut self, _state: &Trail<'_>) -> Result<Progress, StoreError> {
        Ok(Progress::Idle)
    }

    /// The state at the compacted revision, where the commits that are kept begin.
    ///
    /// # Errors
    /// If it cannot be read.
    fn floor(&mut self) -> Result<OrdMap<Key, Entry>, StoreError>;

    /// Does one bounded step of making `target` the oldest commit whose state can be read. When it says that it is idle, that
    /// is durable; what is deleted for it trails.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn compact(&mut self, target: &CompactTarget) -> Result<Progress, StoreError>;

    /// Does one bounded step of giving back the space of what compactions deleted. After an error the store may go on, or fail
    /// at its next call; nothing that is stored is lost.
    ///
    /// # Errors
    /// If the space cannot be given back.
    fn reclaim(&mut self) -> Result<Progress, StoreError> {
        Ok(Progress::Idle)
    }

    /// Checks a bounded part of what is stored, from `from` on.
    ///
    /// # Errors
    /// If the store cannot be read at all; damage is a finding, no error.
    fn check(&mut self, from: CheckCursor) -> Result<CheckPage, StoreError>;

    /// For stores that others write too: `wake` is called whenever the head may have moved.
    fn follow(&mut self, _wake: Arc<dyn Fn() + Send + Sync>) {}

    /// Facts for `status`.
    fn status(&self) -> StoreStatus;

    /// Finishes what trails, makes everything durable and gives the store free. Called once, last.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn close(&mut self, _state: &Trail<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What [`Store::append`] is given.
#[derive(Debug)]
pub struct Append<'a> {
    /// The head that the commits were judged against.
    pub expected: Head,
    /// The commits, with consecutive revisions.
    pub commits: &'a [Arc<Commit>],
    /// Sealed bytes that come with them.
    pub sealed: &'a [(Digest, Arc<[u8]>)],
    /// Digests that no entry names any more once they are made.
    pub dropped: &'a [Digest],
}

/// Why a group was not written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer was faster; nothing was written.
    #[error("the head moved to {}", head.revision)]
    HeadMoved {
        /// The head now.
        head: Head,
    },
    /// The store failed; whether the group is kept is not known.
    #[error("the store failed")]
    Failed(#[from] StoreError),
}

/// Which store this is. A restored backup starts a new epoch, so that no cache and no resume token can mistake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Given at random when the store was made.
    pub store: Uuid,
    /// Counts restores, from 1.
    pub epoch: u64,
}

/// What [`Store::recover`] found.
#[derive(Debug)]
pub struct Recovered {
    /// Which store it is.
    pub identity: Identity,
    /// The oldest commit whose state can be read; commits up to it are gone.
    pub compacted: Head,
    /// The commit that the entries below belong to; the commits after it, up to `head`, are to be read and applied.
    pub base: Head,
    /// The state at `base`.
    pub entries: OrdMap<Key, Entry>,
    /// The request ids of the commits up to `base`, at least of the last [`crate::limits::REQUEST_IDS_KEPT`].
    pub requests: Vec<Request>,
    /// The newest commit.
    pub head: Head,
    /// All sealed bytes that are stored.
    pub sealed: BTreeMap<Digest, Arc<[u8]>>,
}

/// A request id and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The id.
    pub id: RequestId,
    /// The revision that it became.
    pub revision: Revision,
    /// The id of that commit.
    pub commit: Digest,
}

/// What [`Store::trail`] works from.
#[derive(Debug)]
pub struct Trail<'a> {
    /// The newest commit that is durable.
    pub head: Head,
    /// The state at `head`.
    pub entries: &'a OrdMap<Key, Entry>,
    /// The request ids that are kept, oldest first.
    pub requests: &'a dyn Requests,
}

/// What [`Store::compact`] makes the oldest state.
#[derive(Debug, Clone)]
pub struct CompactTarget {
    /// The commit.
    pub head: Head,
    /// The state that it made.
    pub entries: OrdMap<Key, Entry>,
    /// The request ids that are kept.
    pub requests: Arc<[Request]>,
}

/// The request ids that are kept.
pub trait Requests: std::fmt::Debug {
    /// All of them, oldest first.
    fn list(&self) -> Vec<Request>;
}

/// How much reminders weigh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReminderWeight {
    /// How many there are.
    pub count: u64,
    /// Their bytes, with those of their keys.
    pub bytes: u64,
}

/// Whether work that trails is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More is left.
    More,
    /// Nothing is left for now.
    Idle,
}

/// How far a check has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckCursor {
    /// Nothing is checked yet.
    Start,
    /// The place where a store goes on, in its own form.
    At(Vec<u8>),
}

/// One page of a check.
#[derive(Debug)]
pub struct CheckPage {
    /// What is wrong.
    pub findings: Vec<Damage>,
    /// Records looked at.
    pub records: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<CheckCursor>,
}

/// Facts about a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStatus {
    /// What makes a commit durable, in one word.
    pub durability: &'static str,
    /// The revision up to which a reopening need not replay commits.
    pub trailed: Revision,
    /// The oldest commit whose state can be read.
    pub compacted: Head,
    /// Bytes on the disk, if the store has some.
    pub disk_bytes: Option<u64>,
}
