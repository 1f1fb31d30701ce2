//! Followers: processes elsewhere that keep a state of their own, fed from here; what they ask for, and what they tell of themselves.
//!
//! Never here: how their state is fed (`follow.rs`), and how they are remembered (`followers.rs`).

use std::fmt;

use holdfast_engine::{Digest, Revision};
use serde::{Deserialize, Serialize};

use super::tokens::Reach;
use crate::error::{Problem, ProblemKind};

/// What stands before the keys of the reminders by which a store knows its followers. They go on following when a backup takes the
/// store's place, so whoever restores one has these taken over.
pub const FOLLOWER_REMINDERS: &str = "follower/";

/// Asks to be fed the state of some organisations, and every commit after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowRequest {
    /// The organisations; of another one nothing is given, its revision numbers apart.
    pub reach: Reach,
    /// Whether sealed bytes are given too, and with all organisations the digests of access tokens. Nothing of it opens without
    /// the master key.
    pub sealed: bool,
    /// Where the follower is: a resume token. Without one, or where nothing can be resumed, the whole state comes first.
    pub from: Option<String>,
    /// The id of the commit at that place. If it is another one here, nothing follows from it.
    pub commit: Option<Digest>,
}

/// What a follower tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerReport {
    /// Who vouches for it: the id of an access token, or nothing for the socket. Two owners never share a follower.
    pub owner: String,
    /// What it is for: the organisations that its status is shown to.
    pub reach: Reach,
    /// Its id, which it keeps when it is started again.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Where it is: a resume token; none as long as it has no state.
    pub place: Option<String>,
    /// What tells this start of it from another, if it says so: two that run at once under one id, as after its folder was copied,
    /// would pass for one.
    pub run: Option<String>,
}

/// How long a name may be, in characters.
const NAME_CHARS_MAX: usize = 64;

impl FollowerReport {
    /// Refuses a name that cannot be shown.
    ///
    /// # Errors
    /// `Invalid` for one that is empty, long, or has control characters.
    pub fn check_name(name: &str) -> Result<(), Problem> {
        if !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control) {
            return Ok(());
        }
        let help = format!("use 1 to {NAME_CHARS_MAX} characters, none of them a control character");
        Err(Problem::new(ProblemKind::Invalid, "E_NAME", "the name of the follower is malformed").help(help))
    }
}

/// Takes a follower off the list of those that are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerRemoval {
    /// Who asks, as in [`FollowerReport::owner`]: one's own followers may always be taken off.
    pub owner: String,
    /// Those of anybody may be taken off too, if they are for nothing beyond this.
    pub within: Option<Reach>,
    /// The id.
    pub id: String,
}

/// How a follower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowerStanding {
    /// It tells where it is.
    Following,
    /// It was not heard of for a while: it may be gone, or be cut off and still open sessions.
    Silent,
    /// It was known before this process began, and was not heard of since.
    Awaited,
}

impl fmt::Display for FollowerStanding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Following => "following",
            Self::Silent => "silent",
            Self::Awaited => "awaited",
        })
    }
}

/// A follower, as the state of the store shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The name of the access token that it shows; null for one that comes over the socket.
    pub token: Option<String>,
    /// The revision that it runs; null if that is not known, as before its first state or after this store was restored.
    pub revision: Option<Revision>,
    /// Since when it is at that revision, in RFC 3339; of one that is awaited, since when.
    pub since: String,
    /// When it was heard of last, in RFC 3339; null if that was before this process began.
    pub seen: Option<String>,
    /// How it stands.
    pub state: FollowerStanding,
}

impl FollowerInfo {
    /// What keeps it from running a revision, in one line; none if it does.
    pub fn lags(&self, wanted: Revision) -> Option<String> {
        let Self { id: _, name, token: _, revision, since, seen, state } = self;
        if revision.is_some_and(|revision| revision >= wanted) {
            return None;
        }
        let runs = revision.map_or("an unknown revision".to_owned(), |revision| revision.to_string());
        let seen = seen.as_deref().unwrap_or("an unknown time");
        Some(match state {
            FollowerStanding::Following => format!("follower `{name}` runs {runs}, as it told at {seen}"),
            FollowerStanding::Silent => format!("follower `{name}` ran {runs} when it was heard of last, at {seen}"),
            FollowerStanding::Awaited => {
                format!("follower `{name}` was not heard of since the process that holds the store began, at {since}")
            }
        })
    }

    /// Whether it may never come: what waits for it should say how to go on without it.
    pub fn is_missing(&self) -> bool {
        match self.state {
            FollowerStanding::Following => false,
            FollowerStanding::Silent | FollowerStanding::Awaited => true,
        }
    }
}

/// How a process that follows stands to what it follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Where the server is: its address, or the path of its socket.
    pub server: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is, or is not, in RFC 3339.
    pub since: String,
    /// The revision that it runs; null as long as it has no state.
    pub revision: Option<Revision>,
    /// Why it is not connected, as far as that is known.
    pub error: Option<String>,
}
