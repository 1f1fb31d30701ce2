//! The loops that run over a plane: how each source stands, which plan waits, and who is to be woken.
//!
//! Never here: what a loop does (`controller.rs`).

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::controller::{Entry, LoopState, LoopStatus};
use crate::desired::LoopApply;
use crate::plan::{Plan, PlanRequest};
use crate::plane::{Reach, SourceMeasures};
use crate::resource::{OrgId, SourceName};

/// The loop that drives a source.
#[derive(Debug)]
pub(crate) struct Driver {
    /// Whether it applies what it plans.
    pub(crate) apply: LoopApply,
    /// The id of its plan that somebody may approve, if one waits.
    pub(crate) waiting: Option<String>,
}

/// The loops of a plane.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    inner: Mutex<Inner>,
    poked: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<usize, Entry>,
    next: usize,
    /// Counts the pokes.
    pokes: u64,
    stopped: bool,
}

impl Loops {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every critical section leaves the data whole, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, entry: Entry) -> usize {
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.entries.insert(number, entry);
        number
    }

    pub(crate) fn remove(&self, number: usize) {
        self.inner().entries.remove(&number);
    }

    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.inner().entries.get_mut(&number) {
            change(entry);
        }
    }

    pub(crate) fn state(&self, number: usize) -> LoopState {
        self.inner().entries.get(&number).map_or(LoopState::Away, |entry| entry.status.state)
    }

    /// The loops that are about an organisation, or about none that is known yet.
    pub(crate) fn list(&self, org: &OrgId) -> Vec<LoopStatus> {
        let inner = self.inner();
        let of = inner.entries.values().filter(|entry| entry.org.as_ref().is_none_or(|known| known == org));
        of.map(|entry| entry.status.clone()).collect()
    }

    /// What is measured of the sources of these organisations.
    pub(crate) fn measures(&self, reach: &Reach) -> Vec<SourceMeasures> {
        let inner = self.inner();
        let measured = |entry: &Entry| {
            let Entry { org, status, apply: _, waiting: _, tally } = entry;
            Some(SourceMeasures {
                org: org.clone().filter(|org| reach.allows(org))?,
                source: status.source.clone()?,
                state: status.state,
                desired: status.git.as_ref().map(|git| git.commit.clone()),
                committed: tally.in_force.map(|(revision, _)| revision),
                turns: tally.turns.iter().map(|(result, count)| ((*result).to_owned(), *count)).collect(),
                last_success_ms: tally.in_force.map(|(_, time)| time.as_millis()),
            })
        };
        inner.entries.values().filter_map(measured).collect()
    }

    /// Whether a loop drives a source.
    pub(crate) fn drives(&self, org: &OrgId, source: &SourceName) -> bool {
        self.driver(org, source).is_some()
    }

    /// The loop that drives a source.
    pub(crate) fn driver(&self, org: &OrgId, source: &SourceName) -> Option<Driver> {
        let inner = self.inner();
        let of = |entry: &&Entry| entry.org.as_ref() == Some(org) && entry.status.source.as_ref() == Some(source);
        inner.entries.values().find(of).map(|entry| {
            // Whatever keeps a plan from being applied keeps an approval from it too.
            let waiting = entry.waiting.as_ref().filter(|(_, plan)| plan.applyable);
            Driver { apply: entry.apply, waiting: waiting.map(|(_, plan)| plan.plan_id.clone()) }
        })
    }

    /// The plans of an organisation that wait and whose id begins so.
    pub(crate) fn waiting(&self, org: &OrgId, id: &str) -> Vec<(PlanRequest, Plan)> {
        let inner = self.inner();
        let of = inner.entries.values().filter(|entry| entry.org.as_ref() == Some(org));
        of.filter_map(|entry| entry.waiting.clone()).filter(|(_, plan)| plan.plan_id.starts_with(id)).collect()
    }

    pub(crate) fn any(&self) -> bool {
        !self.inner().entries.is_empty()
    }

    /// Makes every loop take a turn now.
    pub(crate) fn poke(&self) {
        self.inner().pokes += 1;
        self.poked.notify_all();
    }

    /// Makes every loop end.
    pub(crate) fn stop(&self) {
        self.inner().stopped = true;
        self.poked.notify_all();
    }

    /// Waits for a poke that came after `seen`, at most so long. Gives the count of pokes; none if the loop is to end.
    pub(crate) fn wait(&self, seen: u64, at_most: Duration) -> Option<u64> {
        let idle = |inner: &mut Inner| !inner.stopped && inner.pokes == seen;
        let waited = self.poked.wait_timeout_while(self.inner(), at_most, idle);
        let inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        (!inner.stopped).then_some(inner.pokes)
    }
}
