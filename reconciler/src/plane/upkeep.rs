//! What keeps a store small and safe: compaction and its policy, and facts about the store on its disk.
//!
//! Never here: how it is carried out.

use holdfast_engine::{Revision, Timestamp};
use serde::{Deserialize, Serialize};

/// What a compaction keeps: this state and everything after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepRule {
    /// The state of this revision.
    From(Revision),
    /// The newest so many commits.
    Newest(u64),
    /// The state that was in force at this time, in milliseconds since the Unix epoch.
    Since(Timestamp),
}

/// Asks to give up the commits before what is to be kept. What is in force is never touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompactRequest {
    /// What is kept.
    pub keep: KeepRule,
    /// Whether it is only worked out.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a compaction did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// The oldest revision whose state can be read.
    pub oldest: Revision,
    /// How many commits were given up.
    pub commits: u64,
    /// The held revision that kept it from giving up more.
    pub held: Option<Revision>,
    /// Bytes that the store took on its disk before; none if it is on none, or for a dry run.
    pub bytes_before: Option<u64>,
    /// Bytes that it takes now.
    pub bytes_after: Option<u64>,
    /// Whether it was only worked out.
    pub dry_run: bool,
}

/// How much of the past a server keeps by itself: whatever one of the two rules keeps. Without any rule, all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The newest so many commits.
    pub commits: Option<u64>,
    /// The commits of the last so many milliseconds.
    pub age_ms: Option<i64>,
}

impl Retention {
    /// Whether everything is kept.
    pub fn keeps_all(&self) -> bool {
        self.commits.is_none() && self.age_ms.is_none()
    }
}

/// The store on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// The oldest revision whose state can be read; 0 if nothing was ever given up.
    pub compacted: Revision,
    /// How many commits a reopening would have to replay.
    pub trail_lag: u64,
    /// Bytes that the store takes on its disk; none if it is on none.
    pub bytes: Option<u64>,
    /// How much of the past the holder keeps by itself; none if all of it.
    pub retention: Option<Retention>,
    /// How many commits are kept beyond what the holder is to keep; none if it keeps all of them, or by their age.
    #[serde(default)]
    pub compaction_lag: Option<u64>,
    /// Why no commits are taken, if that is so.
    pub poisoned: Option<String>,
}
