//! Revisions, snapshots and watches over a durable store.
//!
//! A store is one sequence of commits. A commit changes any number of keys at once and gets the next revision; it is
//! acknowledged, and visible, only once it is durable. A snapshot is the immutable state at one revision and costs nothing
//! to take.
//!
//! ```
//! use holdfast_engine::{Engine, Key, MemoryStore, Options, Timestamp, Txn};
//!
//! let engine = Engine::open(Box::new(MemoryStore::new()), Options::new(|| Timestamp::ZERO))?;
//! let receipt = engine.commit(Txn::new().author("me").put(Key::new("greeting")?, *b"hello"))?;
//! let snapshot = engine.snapshot();
//! assert_eq!(snapshot.revision(), receipt.revision);
//! assert_eq!(**snapshot.get("greeting").expect("just put").value(), *b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The data's way: [`Txn`] -> `queue` -> `stage` (judges) -> [`Store`] (writes and syncs) -> [`Snapshot`] (published) ->
//! [`Receipt`]. Never in this crate: manifests, HTTP, a terminal, the environment or the clock.

mod backup;
mod codec;
mod commit;
mod compact;
mod counter;
mod diff;
mod digest;
mod engine;
mod entry;
mod error;
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
mod failpoint;
#[cfg(all(feature = "failpoints", debug_assertions))]
pub mod failpoint;
mod history;
mod key;
pub mod limits;
mod log;
mod notes;
mod pending;
mod planted;
mod queue;
mod recent;
mod reminders;
mod repair;
mod replica;
mod requests;
mod restore;
mod revision;
mod sealed;
mod snapshot;
mod stage;
pub mod store;
mod txn;
mod verify;
mod watch;
mod writer;

pub use backup::{BackupError, BackupReport, check_backup};
pub use commit::{Change, Commit, Mark, RequestId, RequestIdError};
pub use compact::{CompactError, CompactPhase, Compaction, Hold, Keep};
pub use counter::Counter;
pub use diff::Difference;
pub use digest::{Digest, DigestError};
pub use engine::{Engine, EngineStatus, Options};
pub use entry::Entry;
pub use error::{AtError, Damage, OpenError, StoreError};
pub use key::{Key, KeyError};
pub use log::KeyVersion;
pub use notes::{Note, NoteError};
pub use pending::Pending;
pub use reminders::{Reminder, ReminderError};
pub use repair::{RepairError, RepairReport, repair};
pub use replica::{
    CheckpointError, Replica, ReplicaChange, ReplicaCommit, ReplicaEntry, ReplicaError, ReplicaState, read_checkpoint,
    write_checkpoint,
};
pub use restore::{Existing, Inherited, RestoreError, Restored, restore, restore_with};
pub use revision::{Revision, RevisionError, Timestamp};
pub use sealed::SealedView;
pub use snapshot::{Head, Snapshot};
pub use store::embedded::SledStore;
pub use store::memory::MemoryStore;
pub use store::opening::{SledOptions, StoreOpenError};
pub use store::sync::{DiskSyncer, Syncer};
pub use store::{Identity, Store};
pub use txn::{CommitError, Outcome, Precondition, Receipt, Txn};
pub use verify::{VerifyReport, verify_store};
pub use watch::{
    Previous, ResumeToken, ResumeTokenError, ResyncReason, Watch, WatchError, WatchEvent, WatchFrom, WatchOps,
    WatchOptions, WatchedChange, WatchedCommit,
};
pub use writer::Clock;
