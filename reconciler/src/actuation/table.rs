//! The table: how every resource with an actuator stands, what is remembered of it, and who waits for whom. In memory only: after
//! a restart nothing of it is known until it is looked at.
//!
//! Never here: calling an actuator, and when something is looked at.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::{Revision, Snapshot, Timestamp};

use super::Target;
use super::remembered::Remembered;
use crate::plane::{ConditionState, reason};
use crate::resource::{Address, keys};

/// The longest message of a condition, in characters.
const MESSAGE_CHARS_MAX: usize = 500;
/// The longest reason of a condition, in characters.
const REASON_CHARS_MAX: usize = 60;

/// One resource.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) state: ConditionState,
    pub(super) reason: String,
    pub(super) message: String,
    /// The revision of the resource that was looked at last; none if it was not live.
    pub(super) wanted: Option<Revision>,
    /// The revision of the resource that is real.
    pub(super) observed: Option<Revision>,
    /// The newest revision of the store up to which everything of the resource is known to have been real.
    pub(super) real_to: Option<Revision>,
    /// The newest revision of the store that was acted on for it: an older view says nothing any more.
    pub(super) looked: Revision,
    pub(super) since: Timestamp,
    pub(super) attempts: u32,
    pub(super) next_try: Option<Timestamp>,
    pub(super) remembered: Option<Remembered>,
}

/// What keeps a resource from its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// This one, which it needs, is not live.
    Missing(Target),
    /// This one, which it needs, is not real.
    NotReal(Target),
    /// This one, which needs it, is not gone.
    NeededBy(Target),
}

impl Wait {
    pub(super) fn on(&self) -> &Target {
        match self {
            Self::Missing(target) | Self::NotReal(target) | Self::NeededBy(target) => target,
        }
    }

    pub(super) fn target(&self) -> Target {
        self.on().clone()
    }

    /// Whether it still keeps `who` waiting.
    fn holds(&self, who: &Target, table: &Table, snapshot: &Snapshot) -> bool {
        match self {
            Self::Missing(on) => snapshot.get(&keys::live(&on.org, &on.address)).is_none(),
            Self::NotReal(on) => !table.is_real(on, snapshot),
            Self::NeededBy(on) => table.needs(on, &who.address),
        }
    }
}

/// All resources with an actuator, or of which something may exist outside.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<Target, Row>,
    /// Who, by what is remembered, needs the resource.
    needed_by: BTreeMap<Target, BTreeSet<Target>>,
    /// Who waits for the resource.
    waiting: BTreeMap<Target, BTreeSet<Target>>,
    /// Every touch up to this revision of the store is in the rows, as far as hints tell.
    pub(super) seen: Revision,
}

impl Table {
    pub(super) fn get(&self, target: &Target) -> Option<&Row> {
        self.rows.get(target)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&Target, &Row)> {
        self.rows.iter()
    }

    /// The row of a resource; a new one stands as `state` says.
    pub(super) fn row(&mut self, target: &Target, state: ConditionState, now: Timestamp) -> &mut Row {
        self.rows.entry(target.clone()).or_insert_with(|| Row {
            state,
            reason: if state == ConditionState::Unknown { reason::NOT_LOOKED_AT } else { reason::QUEUED }.to_owned(),
            message: String::new(),
            wanted: None,
            observed: None,
            real_to: None,
            looked: Revision::ZERO,
            since: now,
            attempts: 0,
            next_try: None,
            remembered: None,
        })
    }

    /// Says how a resource stands now; the time is that of the change.
    pub(super) fn tell(&mut self, target: &Target, state: ConditionState, reason: &str, message: &str, now: Timestamp) {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let row = self.row(target, state, now);
        if row.state != state || row.reason != reason {
            row.since = now;
            let Target { org, address } = target;
            tracing::info!(%org, %address, state = state.as_text(), reason, message, "a resource stands differently outside");
        }
        (row.state, row.reason, row.message) = (state, reason, message);
    }

    /// Says that a resource was touched, at a revision if that is known.
    pub(super) fn touched(&mut self, target: &Target, at: Option<Revision>, now: Timestamp) {
        // Whatever was touched before everything up to `seen` was looked through is known.
        let real_to = at.filter(|at| *at > self.seen).map(|_| self.seen);
        let known = self.rows.get(target).map(|row| row.state);
        match known {
            None => self.row(target, ConditionState::Reconciling, now).real_to = real_to,
            Some(ConditionState::Ready) => {
                self.row(target, ConditionState::Reconciling, now).real_to = real_to;
                self.tell(target, ConditionState::Reconciling, reason::QUEUED, "", now);
            }
            Some(ConditionState::Unknown | ConditionState::Reconciling | ConditionState::Stalled) => {}
        }
    }

    /// Keeps what is remembered of a resource, so that it is known who needs whom.
    pub(super) fn remember(&mut self, target: &Target, remembered: Remembered, now: Timestamp) {
        self.unlink(target);
        for address in &remembered.needs {
            self.needed_by.entry(target.beside(address)).or_default().insert(target.clone());
        }
        self.row(target, ConditionState::Unknown, now).remembered = Some(remembered);
    }

    /// Forgets a resource: it is neither live nor outside.
    pub(super) fn drop_row(&mut self, target: &Target) {
        self.unlink(target);
        self.rows.remove(target);
    }

    fn unlink(&mut self, target: &Target) {
        let Some(remembered) = self.rows.get(target).and_then(|row| row.remembered.as_ref()) else { return };
        for address in &remembered.needs {
            let on = target.beside(address);
            if let Some(by) = self.needed_by.get_mut(&on) {
                by.remove(target);
                if by.is_empty() {
                    self.needed_by.remove(&on);
                }
            }
        }
    }

    /// Those that must be gone outside, or no longer need it, before a resource may be removed.
    pub(super) fn needing(&self, target: &Target) -> Vec<Target> {
        self.needed_by(target).filter(|by| *by != target).cloned().collect()
    }

    /// Who needs a resource, by what is remembered.
    pub(super) fn needed_by(&self, target: &Target) -> impl Iterator<Item = &Target> {
        self.needed_by.get(target).into_iter().flatten()
    }

    /// Whether what is remembered of `who` needs a resource.
    fn needs(&self, who: &Target, address: &Address) -> bool {
        let remembered = self.rows.get(who).and_then(|row| row.remembered.as_ref());
        remembered.is_some_and(|remembered| remembered.needs.contains(address))
    }

    /// Whether what is declared in a snapshot of a resource is real.
    pub(super) fn is_real(&self, target: &Target, snapshot: &Snapshot) -> bool {
        let live = snapshot.get(&keys::live(&target.org, &target.address));
        let real = |row: &Row| row.state == ConditionState::Ready && row.wanted == live.map(|entry| entry.modified());
        self.rows.get(target).is_some_and(real)
    }

    /// Has `who` woken when one of `waits` is over; says whether one is over already.
    pub(super) fn wait(&mut self, who: &Target, waits: &[Wait], snapshot: &Snapshot) -> bool {
        for wait in waits {
            self.waiting.entry(wait.on().clone()).or_default().insert(who.clone());
        }
        waits.iter().any(|wait| !wait.holds(who, self, snapshot))
    }

    /// Takes those who wait for a resource.
    pub(super) fn take_waiting(&mut self, target: &Target) -> BTreeSet<Target> {
        self.waiting.remove(target).unwrap_or_default()
    }

    /// Whether anybody waits for a resource.
    pub(super) fn is_awaited(&self, target: &Target) -> bool {
        self.waiting.contains_key(target)
    }
}
