//! What a process measures of its plane, for whoever graphs and alerts on it: cheap to take, and bounded by what runs.
//!
//! Never here: the text form for a collector, and anything that reads the whole state.

use std::collections::BTreeMap;

use holdfast_engine::Revision;
use serde::{Deserialize, Serialize};

use super::Storage;
use crate::controller::LoopState;
use crate::resource::{OrgId, SourceName};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// The newest revision.
    pub head: Revision,
    /// The store on its disk.
    pub storage: Storage,
    /// How many sessions are open.
    pub sessions: u64,
    /// Where effects are made, for each organisation the newest revision of which all of them are real; null if that is not known.
    pub observed: BTreeMap<OrgId, Option<Revision>>,
    /// The sources that loops apply.
    pub sources: Vec<SourceMeasures>,
}

/// What is measured of a source that a loop applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceMeasures {
    /// The organisation.
    pub org: OrgId,
    /// The source.
    pub source: SourceName,
    /// How it stands.
    pub state: LoopState,
    /// The Git commit that was looked at last, if it is one.
    pub desired: Option<String>,
    /// The revision at which what it says was in force last; none if it was not since the process started.
    pub committed: Option<Revision>,
    /// How many turns of the loop ended in which way.
    pub turns: BTreeMap<String, u64>,
    /// When it was last in force, in milliseconds since 1970.
    pub last_success_ms: Option<i64>,
}
