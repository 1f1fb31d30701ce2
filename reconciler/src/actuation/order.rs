//! Order: what of the resources that one needs is not real yet, and whether it comes back to itself.
//!
//! Never here: waiting for it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::Snapshot;

use super::Target;
use super::table::{Table, Wait};
use crate::resource::{Address, keys};

/// Most resources that are followed to find a way back; a longer way is taken for none, and the resources wait.
const FOLLOWED_MAX: usize = 10_000;

/// What keeps a resource from being made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing.
    Free,
    /// What it needs is not there, or not real yet.
    Waits(Vec<Wait>),
    /// It needs itself, by way of these.
    Cycle(Vec<Address>),
}

/// What keeps `target`, which needs `needs`, from being made. `needs_of` says what a live resource with an actuator needs, and nothing
/// for one without; `is_real` whether what is declared of it is real.
pub(super) fn kept(
    target: &Target,
    needs: &BTreeSet<Address>,
    snapshot: &Snapshot,
    needs_of: &dyn Fn(&Target) -> Option<BTreeSet<Address>>,
    is_real: &dyn Fn(&Target) -> bool,
) -> Kept {
    if needs.contains(&target.address) {
        return Kept::Cycle(vec![target.address.clone()]);
    }
    let mut waits = Vec::new();
    for on in needs.iter().map(|address| target.beside(address)) {
        if snapshot.get(&keys::live(&on.org, &on.address)).is_none() {
            waits.push(Wait::Missing(on));
        } else if needs_of(&on).is_some() && !is_real(&on) {
            waits.push(Wait::NotReal(on));
        }
    }
    let open: Vec<Target> = waits.iter().filter(|wait| matches!(wait, Wait::NotReal(_))).map(Wait::target).collect();
    match way_back(target, open, needs_of) {
        Some(way) => Kept::Cycle(way),
        None if waits.is_empty() => Kept::Free,
        None => Kept::Waits(waits),
    }
}

/// The way from `open` back to `target`, if there is one.
fn way_back(
    target: &Target,
    mut open: Vec<Target>,
    needs_of: &dyn Fn(&Target) -> Option<BTreeSet<Address>>,
) -> Option<Vec<Address>> {
    // From where each was reached first.
    let mut from: BTreeMap<Target, Option<Target>> = open.iter().map(|on| (on.clone(), None)).collect();
    while let Some(at) = open.pop() {
        for address in needs_of(&at).unwrap_or_default() {
            let on = at.beside(&address);
            if on == *target {
                let mut way = vec![address];
                let mut step = Some(at);
                while let Some(at) = step {
                    step = from.get(&at).cloned().flatten();
                    way.push(at.address);
                }
                way.reverse();
                return Some(way);
            }
            if from.len() < FOLLOWED_MAX && !from.contains_key(&on) {
                from.insert(on.clone(), Some(at.clone()));
                open.push(on);
            }
        }
    }
    None
}

/// What keeps `target` from being removed: those that need it, unless they wait for `target` themselves, which no order can help.
pub(super) fn kept_from_removal(target: &Target, table: &Table) -> Vec<Wait> {
    let first = table.needing(target);
    let (mut seen, mut open) = (BTreeSet::new(), first.clone());
    while let Some(by) = open.pop() {
        if by == *target {
            return Vec::new();
        }
        if seen.len() < FOLLOWED_MAX && seen.insert(by.clone()) {
            open.extend(table.needed_by(&by).cloned());
        }
    }
    first.into_iter().map(Wait::NeededBy).collect()
}
