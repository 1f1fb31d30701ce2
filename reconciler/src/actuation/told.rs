//! What is told of effects: the conditions of an organisation, held against the state in force, so that what was committed an instant
//! ago is not told as real before it is.
//!
//! Never here: changing anything.

use std::collections::BTreeSet;

use holdfast_engine::{Revision, Snapshot};

use super::remembered::Remembered;
use super::table::{Row, Table};
use super::{Shared, Target};
use crate::embedded::{Plane, rfc3339};
use crate::plane::{Condition, ConditionState, reason};
use crate::resource::{Address, KindName, OrgId, keys};

/// Most conditions that are told at once.
const TOLD_MAX: usize = 1_000;

/// How the resources of an organisation stand outside.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The kinds with an actuator.
    pub(crate) kinds: Vec<KindName>,
    /// Those that are not ready, the stalled ones first; not all of very many.
    pub(crate) conditions: Vec<Condition>,
    /// How many are left out.
    pub(crate) omitted: u64,
    /// How many are ready.
    pub(crate) ready: u64,
    /// The newest revision of which everything is real.
    pub(crate) observed: Option<Revision>,
}

/// What is told where nothing makes effects: all of a state is real, unless another program made something of it.
pub(crate) fn idle(plane: &Plane, snapshot: &Snapshot, org: &OrgId) -> Told {
    let nothing = Remembered::is_any(plane.engine(), org).is_ok_and(|any| !any);
    Told { observed: nothing.then(|| snapshot.revision()), ..Told::default() }
}

impl Shared {
    /// How the resources of an organisation stand, held against a snapshot.
    pub(crate) fn told(&self, snapshot: &Snapshot, org: &OrgId) -> Told {
        let prefix = |kind: &KindName| format!("{}{kind}/", keys::live_prefix(org));
        let live: Vec<(Target, Revision)> = self
            .actuators
            .keys()
            .flat_map(|kind| {
                snapshot.prefix(&prefix(kind)).map(|(key, entry)| (key.clone(), entry.modified())).collect::<Vec<_>>()
            })
            .filter_map(|(key, modified)| Some((Target::of_key(key.as_str())?, modified)))
            .collect();
        self.with(|state, _| {
            let table = &state.table;
            let mut told = Told { kinds: self.actuators.keys().cloned().collect(), ..Told::default() };
            let mut real_to = Some(snapshot.revision());
            let names: BTreeSet<&Target> = live.iter().map(|(target, _)| target).collect();
            let gone = table.rows().filter(|(target, _)| target.org == *org && !names.contains(target));
            let all = live.iter().map(|(target, modified)| (target, table.get(target), Some(*modified)));
            for (target, row, live) in all.chain(gone.map(|(target, row)| (target, Some(row), None))) {
                let (condition, real) = condition(&target.address, row, live, table);
                if condition.state == ConditionState::Ready {
                    told.ready += 1;
                    continue;
                }
                real_to = real_to.zip(real).map(|(all, one)| all.min(one));
                told.conditions.push(condition);
            }
            told.conditions.sort_by(|left, right| {
                let stalled = |condition: &Condition| condition.state != ConditionState::Stalled;
                (stalled(left), &left.address).cmp(&(stalled(right), &right.address))
            });
            told.omitted = told.conditions.len().saturating_sub(TOLD_MAX) as u64;
            told.conditions.truncate(TOLD_MAX);
            told.observed = real_to;
            told
        })
    }

    /// How one resource stands, if it has an actuator or anything outside.
    pub(crate) fn condition(&self, snapshot: &Snapshot, org: &OrgId, address: &Address) -> Option<Condition> {
        let target = Target { org: org.clone(), address: address.clone() };
        let live = snapshot.get(&keys::live(org, address)).map(holdfast_engine::Entry::modified);
        self.with(|state, _| {
            let row = state.table.get(&target);
            let known = row.is_some() || live.is_some() && self.serves(&target);
            known.then(|| condition(address, row, live, &state.table).0)
        })
    }
}

/// The condition of a resource that is live at a revision or not at all, and up to which revision all of it is known to be real.
fn condition(
    address: &Address,
    row: Option<&Row>,
    live: Option<Revision>,
    table: &Table,
) -> (Condition, Option<Revision>) {
    let mut told = Condition {
        address: address.clone(),
        state: ConditionState::Reconciling,
        reason: reason::QUEUED.to_owned(),
        message: String::new(),
        wanted: live,
        observed: None,
        since: "unknown".to_owned(),
        attempts: 0,
        next_try: None,
    };
    // Nobody has looked at what was committed after everything up to `seen` was looked through.
    let unseen = live.is_none_or(|live| live > table.seen).then_some(table.seen);
    let Some(row) = row else { return (told, unseen) };
    told.since = rfc3339(row.since);
    told.observed = row.observed;
    if row.state == ConditionState::Ready && row.wanted != live {
        return (told, unseen);
    }
    (told.state, told.attempts) = (row.state, row.attempts);
    told.reason.clone_from(&row.reason);
    told.message.clone_from(&row.message);
    told.next_try = row.next_try.map(rfc3339);
    (told, row.real_to)
}
