//! What the store knows of a project's own kinds: one record for each kind of an organisation, beside the live resources.
//!
//! A kind is no resource: it has no row, no owner of fields and no place in a count. Its record outlives the manifest as long
//! as a resource of it is live. Never here: how a manifest declares a kind, and what changes when it does (`planner`).

use std::collections::BTreeSet;

use holdfast_engine::Snapshot;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::kind::Kinds;
use crate::own_kind::OwnKind;
use crate::planner::damaged;
use crate::resource::{KindName, OrgId, keys};

/// What the store holds of a kind, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindRecord {
    /// The kind.
    pub definition: OwnKind,
    /// The sources that declare it, all alike; none if only live resources keep it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sources: BTreeSet<String>,
}

/// The records of an organisation's kinds, in order of their names.
pub(crate) fn records(snapshot: &Snapshot, org: &OrgId) -> Result<Vec<(KindName, KindRecord)>, Problem> {
    let prefix = keys::kinds_prefix(org);
    let record = |(key, entry): (&holdfast_engine::Key, &holdfast_engine::Entry)| {
        let name = KindName::new(&key.as_str()[prefix.len()..]).ok();
        match (name, serde_json::from_slice(entry.value())) {
            (Some(name), Ok(record)) => Ok((name, record)),
            (_, _) => Err(damaged(key.as_str())),
        }
    };
    snapshot.prefix(&prefix).map(record).collect()
}

/// The built-in kinds with those of the organisation.
///
/// # Errors
/// A record that cannot be read.
pub fn known(builtin: &Kinds, snapshot: &Snapshot, org: &OrgId) -> Result<Kinds, Problem> {
    let mut kinds = builtin.clone();
    kinds.add(records(snapshot, org)?.iter().map(|(_, record)| record.definition.spec()));
    Ok(kinds)
}
