//! Every maximum of the engine, each with its unit, checked against each other when this crate is compiled.
//!
//! Never here: a limit of manifests, HTTP or the terminal; those belong to the crates that have them.

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 << 20;
/// Largest sealed value in the side area, in bytes.
pub const SEALED_BYTES_MAX: usize = 1 << 20;
/// Most changes in one commit.
pub const COMMIT_CHANGES_MAX: usize = 100_000;
/// Largest commit, in bytes of keys, values, sealed bytes and texts.
pub const COMMIT_BYTES_MAX: usize = 64 << 20;
/// Most preconditions on one commit.
pub const COMMIT_PRECONDITIONS_MAX: usize = 100_000;
/// Longest author or source of a commit, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// Longest message of a commit, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Most annotations on one commit.
pub const ANNOTATIONS_MAX: usize = 256;
/// Longest key or value of an annotation, in bytes.
pub const ANNOTATION_BYTES_MAX: usize = 64 << 10;
/// Longest request id, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Longest note, in bytes: with its number it fits into one piece.
pub const NOTE_BYTES_MAX: usize = 4000;
/// Most notes that are kept.
pub const NOTES_MAX: u64 = 64;
/// Longest reminder, in bytes: it fits into one piece.
pub const REMINDER_BYTES_MAX: usize = 4000;
/// Most reminders that are kept.
pub const REMINDERS_MAX: u64 = 100_000;
/// Most bytes of all reminders, with their keys.
pub const REMINDERS_BYTES_MAX: u64 = 32 << 20;
/// A request id is answered with its first receipt for at least this many commits after it.
pub const REQUEST_IDS_KEPT: usize = 100_000;

/// Most transactions that wait for the writer; one more is refused with `QueueFull`.
pub const QUEUE_TXNS_MAX: usize = 16_384;
/// Most bytes that wait for the writer.
pub const QUEUE_BYTES_MAX: usize = 256 << 20;
/// Most transactions in one group: one store write and one sync.
pub const GROUP_TXNS_MAX: usize = 1024;
/// A group that follows one of several transactions waits at most so long until as many are there again.
pub const GROUP_WAIT: std::time::Duration = std::time::Duration::from_micros(100);
/// A group takes no further transaction once it has this many bytes.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// A group is judged again for so long while other writers of the store move the head under it; then it is refused with
/// `Contended`.
pub const CONTENTION_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Commits kept in memory for readers of the recent past and for watchers.
pub const RECENT_COMMITS_MAX: usize = 4096;
/// Bytes of commits, and of the values they replaced, kept in memory.
pub const RECENT_BYTES_MAX: usize = 32 << 20;
/// A page of commits read from the store ends after this many bytes.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// How many types of decoded values are kept with one version of a key; more are decoded at each read.
pub const DECODED_TYPES_MAX: usize = 4;
/// Revisions that a counter remembers to have touched its scope.
pub const TOUCHES_KEPT: usize = 16;
/// Most commits that a watch reads at a time.
pub const WATCH_PAGE_COMMITS: u64 = 256;
/// Most commits in one answer of the log.
pub const LOG_COMMITS_MAX: usize = 10_000;

/// Commits that a search of the log reads at a time.
pub const LOG_WINDOW_COMMITS: u64 = 512;

/// About how many bytes of entries lie in one frame of a backup.
pub const BACKUP_FRAME_BYTES: usize = 1 << 20;
/// Longest frame of a backup that is read.
pub const BACKUP_FRAME_BYTES_MAX: usize = 2 * (BACKUP_FRAME_BYTES + VALUE_BYTES_MAX);
/// How far the revision jumps when a backup is restored: further than the store can have gone since it was made.
pub const RESTORE_REVISION_JUMP: u64 = 1_000_000_000;

/// Largest piece of a record that the embedded store writes under one key, in bytes.
pub const CHUNK_BYTES_MAX: usize = 4096;
/// A new base is begun when the commits after the last one have at least this many bytes, and at least as many as it has.
pub const BASE_LAG_BYTES_MIN: u64 = 32 << 20;
/// About as many bytes of trailing work are done between two groups of commits, or twice what was committed if that is more.
pub const SLICE_BYTES: usize = 64 << 10;
/// About as many bytes of a compaction are written between two groups of commits.
pub const COMPACT_SLICE_BYTES: usize = 256 << 10;
/// A file that weighs this much more than twice what is in it is written anew after a compaction.
pub const RECLAIM_BYTES_MIN: u64 = 16 << 20;
/// About as many bytes of a file are written anew between two groups of commits.
pub const RECLAIM_SLICE_BYTES: usize = 1 << 20;

const _: () = assert!(VALUE_BYTES_MAX < COMMIT_BYTES_MAX, "a commit holds a value of the largest size");
const _: () = assert!(SEALED_BYTES_MAX < COMMIT_BYTES_MAX, "a commit holds a sealed value of the largest size");
const _: () = assert!(COMMIT_BYTES_MAX < QUEUE_BYTES_MAX, "a commit of the largest size can wait");
const _: () = assert!(GROUP_TXNS_MAX <= QUEUE_TXNS_MAX, "a group fits in the queue");
const _: () = assert!(GROUP_BYTES_MAX + COMMIT_BYTES_MAX < u32::MAX as usize, "the length of a group fits in a u32");
const _: () = assert!(CHUNK_BYTES_MAX * 16 < 128 << 10, "a leaf of sixteen pieces stays below the size of a blob");
const _: () = assert!(REMINDER_BYTES_MAX + 64 < CHUNK_BYTES_MAX, "a reminder fits in one piece");
const _: () = assert!(KEY_BYTES_MAX + 64 < CHUNK_BYTES_MAX, "a key fits in one piece");
const _: () = assert!(RECENT_COMMITS_MAX <= REQUEST_IDS_KEPT, "request ids outlive the commits in memory");
/// A clock that is this far behind the newest commit is told of, in milliseconds: two machines may differ by less.
pub const CLOCK_BEHIND_MS_MIN: i64 = 60 * 1000;
