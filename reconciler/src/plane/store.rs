//! The store itself: its head, its state, its soundness.
//!
//! Never here: how it is answered.

use std::collections::BTreeMap;

use holdfast_engine::{Damage, Revision, VerifyReport};
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::followers::{FollowerInfo, Following};
use super::upkeep::Storage;
use crate::attempts::Attempt;
use crate::controller::LoopStatus;
use crate::desired::GitState;
use crate::resource::{KindName, OrgId};

/// The head of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The newest revision; 0 before the first commit.
    pub revision: Revision,
    /// Its commit id in hex.
    pub commit: String,
    /// Its time in RFC 3339; absent before the first commit.
    pub time: Option<String>,
    /// The store's id.
    pub store: String,
    /// How often the store was restored from a backup, plus 1.
    pub epoch: u64,
}

/// The state of the store and of what runs on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The organisation that was asked about.
    pub org: OrgId,
    /// The head.
    pub head: Head,
    /// How many resources of each kind are live.
    pub resources: BTreeMap<String, u64>,
    /// The sources that declare something, with the commit each was last applied in.
    pub sources: Vec<SourceStatus>,
    /// Applies that were refused or failed, newest first; a bounded number is kept.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// The loops that run, with how each source stands.
    #[serde(default)]
    pub loops: Vec<LoopStatus>,
    /// The kinds that have an actuator in the program that holds the store.
    #[serde(default)]
    pub actuators: Vec<KindName>,
    /// The newest revision of which everything with an actuator is real; null if that is not known.
    #[serde(default)]
    pub observed: Option<Revision>,
    /// How many resources with an actuator are ready.
    #[serde(default)]
    pub conditions_ready: u64,
    /// The resources with an actuator that are not ready, the stalled ones first; not all of very many.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// How many more of them there are.
    #[serde(default)]
    pub conditions_omitted: u64,
    /// The followers that told where they are, by name.
    #[serde(default)]
    pub followers: Vec<FollowerInfo>,
    /// Of a follower that was asked, how it stands to its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<Following>,
    /// The process that holds the store; none if nothing but this command does.
    pub holder: Option<Holder>,
    /// How many sessions are open, by revision.
    pub open_sessions: BTreeMap<u64, u64>,
    /// How many watches of the organisation are open.
    #[serde(default)]
    pub watchers: u64,
    /// How a commit is made durable.
    pub durability: String,
    /// How many keys the store holds of the organisation.
    pub keys: u64,
    /// How far the clock is behind the newest commit, in milliseconds, if that is more than a minute: until it is past it, new commits
    /// have that one's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind_ms: Option<i64>,
    /// The store on its disk.
    pub storage: Storage,
}

/// What a source has in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub source: String,
    /// How many resources it declares.
    pub resources: u64,
    /// The newest commit that applied it.
    pub committed: Option<Revision>,
    /// The Git state of that commit.
    pub git: Option<GitState>,
    /// What keeps a loop from applying it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// Why a source is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The revision that set the hold.
    pub since: Revision,
    /// The revision that was put back; null after an apply by hand.
    pub rollback: Option<Revision>,
    /// Who holds it.
    pub author: String,
}

/// A process that holds a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The head that was verified up to.
    pub revision: Revision,
    /// How many commits were read and found to follow from one another.
    pub commits: u64,
    /// How many current entries were compared with the commits.
    pub entries: u64,
    /// What is damaged; empty if all is well.
    pub damage: Vec<String>,
    /// The same for programs: what, at which revision, of which key. At most a thousand.
    pub findings: Vec<Finding>,
}

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was found.
    pub what: String,
    /// The commit that it concerns.
    pub revision: Option<Revision>,
    /// The key of the store that it concerns, its organisation included.
    pub key: Option<String>,
}

impl Verification {
    /// What the engine's report says.
    pub fn of(report: &VerifyReport) -> Self {
        let mut damage: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        if report.findings_omitted > 0 {
            damage.push(format!("{} more findings", report.findings_omitted));
        }
        let finding = |Damage { what, revision, key }: &Damage| Finding {
            what: what.clone(),
            revision: *revision,
            key: key.as_ref().map(ToString::to_string),
        };
        let findings = report.findings.iter().map(finding).collect();
        Self { revision: report.head.revision, commits: report.commits, entries: report.keys, damage, findings }
    }
}
