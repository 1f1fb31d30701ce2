//! How resources with an actuator stand outside the store: conditions, which are looked at and never committed.
//!
//! Never here: how they come about (`actuation.rs`), and text for people beyond one line.

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use super::Status;
use crate::resource::Address;

/// How a resource stands outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionState {
    /// It was not looked at since the program was started.
    #[default]
    Unknown,
    /// What is declared is being made real, or waits for its turn.
    Reconciling,
    /// What is declared is real.
    Ready,
    /// It cannot be made real until somebody changes something.
    Stalled,
}

impl ConditionState {
    /// The word that JSON and text use.
    pub fn as_text(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reconciling => "reconciling",
            Self::Ready => "ready",
            Self::Stalled => "stalled",
        }
    }
}

/// How one resource stands outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The resource; it may be deleted in the store and not yet removed outside.
    pub address: Address,
    /// How it stands.
    pub state: ConditionState,
    /// Why, in one word for programs.
    pub reason: String,
    /// Why, in one line for people; empty if there is nothing to say.
    pub message: String,
    /// The revision of the resource that is to be real; none if it is to be removed.
    pub wanted: Option<Revision>,
    /// The revision of the resource that is real, as far as that is known.
    pub observed: Option<Revision>,
    /// Since when it stands so, in RFC 3339.
    pub since: String,
    /// How often it was tried since something last succeeded.
    pub attempts: u32,
    /// When it is tried again, in RFC 3339, if that is known.
    pub next_try: Option<String>,
}

/// What of a revision is not real yet, in one line each; nothing if all of it is, and every follower that is known runs it.
pub fn not_yet(status: &Status, revision: Revision) -> Vec<String> {
    if status.head.revision < revision {
        return vec![format!("the head is {}", status.head.revision)];
    }
    let mut waits = Vec::new();
    if status.observed.is_none_or(|observed| observed < revision) {
        let open = status.conditions.iter().filter(|condition| !condition.is_real_at(revision));
        waits.extend(open.map(Condition::line));
        if status.conditions_omitted > 0 {
            waits.push(format!("{} more resources are not ready", status.conditions_omitted));
        }
        if waits.is_empty() {
            waits.push("it is not known what is real outside the store".to_owned());
        }
    }
    waits.extend(status.followers.iter().filter_map(|follower| follower.lags(revision)));
    waits
}

impl Condition {
    /// Whether what the resource was at a revision, or later, is known to be real.
    pub fn is_real_at(&self, revision: Revision) -> bool {
        let made = self.observed.is_some_and(|observed| observed >= revision);
        self.state == ConditionState::Ready || made && self.reason != reason::DRIFTED
    }

    /// One line: what it is, how it stands and why.
    pub fn line(&self) -> String {
        let Self { address, state, reason, message, .. } = self;
        let why = if message.is_empty() { reason } else { message };
        format!("`{address}` is {}: {why}", state.as_text())
    }
}

/// The reasons that the controller gives; an actuator that stalls has words of its own.
pub mod reason {
    /// It waits for its turn.
    pub const QUEUED: &str = "queued";
    /// It is real.
    pub const MADE: &str = "made";
    /// It was not looked at yet.
    pub const NOT_LOOKED_AT: &str = "not_looked_at";
    /// The last try failed; there will be another.
    pub const FAILED: &str = "failed";
    /// What it needs is not real yet, or what needs it is not gone yet.
    pub const WAITS: &str = "waits";
    /// What it needs is not live.
    pub const MISSING_REFERENCE: &str = "missing_reference";
    /// It needs itself, by way of others.
    pub const CYCLE: &str = "cycle";
    /// Somebody changed outside what was made.
    pub const DRIFTED: &str = "drifted";
    /// The actuator panicked.
    pub const PANICKED: &str = "panicked";
    /// The store does not take the reminder of what may exist outside, so nothing is made.
    pub const NOT_REMEMBERED: &str = "not_remembered";
    /// Its record or its secrets cannot be read.
    pub const UNREADABLE: &str = "unreadable";
    /// The state that is seen is older than what was acted on.
    pub const STALE_VIEW: &str = "stale_view";
    /// This program has no actuator for it, another one had.
    pub const NO_ACTUATOR: &str = "no_actuator";
}
