//! One turn of one resource: reads the newest state, and does what makes the world as the state says.
//!
//! The order of the steps is what keeps effects from being lost: remember durably, act, say durably that it was done. Killed between
//! any two of them, the next turn does the rest. Never here: which resource is next, and what becomes of the outcome
//! (`actuation.rs`).

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use holdfast_engine::{Entry, ReminderError, Revision, Snapshot};

use super::order::{Kept, kept, kept_from_removal};
use super::remembered::Remembered;
use super::table::Wait;
use super::{OutsideDrift, Shared, Target};
use crate::actuator::{Actuator, ActuatorError, Errand, Wanted};
use crate::plane::{ConditionState, reason};
use crate::resource::{Address, keys};
use crate::secret::SecretValues;
use crate::vault;

/// How a turn ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing is declared and nothing is there.
    Gone,
    /// What is declared is real.
    Real,
    /// It waits for others.
    Waits(Vec<Wait>),
    /// It failed, and is tried again.
    Retry(&'static str, String),
    /// It cannot be done until something changes, such as what it waits for.
    Stalled(String, String, Vec<Wait>),
    /// Nothing here can do it.
    NoActuator,
}

/// A turn that ended.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) outcome: Outcome,
    /// The revision of the resource in the state that was read; none if it is not live.
    pub(super) wanted: Option<Revision>,
    /// The state that was read.
    pub(super) snapshot: Snapshot,
}

/// Takes the turn of a resource. Nothing panics out of it.
pub(super) fn turn(shared: &Shared, target: &Target) -> Turn {
    let snapshot = shared.sight.snapshot();
    let entry = snapshot.get(&keys::live(&target.org, &target.address)).cloned();
    let wanted = entry.as_ref().map(Entry::modified);
    let taken = contained(|| {
        let errand = begin(shared, target, &snapshot)?;
        let Some(actuator) = shared.actuators.get(&target.address.kind) else { return Err(Outcome::NoActuator) };
        let turn = Work { shared, target, snapshot: &snapshot, errand, actuator: &**actuator };
        match &entry {
            Some(entry) => turn.make(entry),
            None => turn.remove(),
        }
    });
    let outcome = match taken {
        Ok(Ok(outcome) | Err(outcome)) => outcome,
        Err(panic) => Outcome::Stalled(reason::PANICKED.to_owned(), panic, Vec::new()),
    };
    Turn { outcome, wanted, snapshot }
}

/// Takes note that this state is acted on, unless something newer was: then it is a stale view, on which nothing may be decided.
fn begin(shared: &Shared, target: &Target, snapshot: &Snapshot) -> Result<Errand, Outcome> {
    let revision = snapshot.revision();
    let attempt = shared.with(|state, now| {
        let row = state.table.row(target, ConditionState::Reconciling, now);
        let newest = row.looked.max(row.remembered.as_ref().map_or(Revision::ZERO, |known| known.revision));
        if revision < newest {
            return Err(Outcome::Retry(reason::STALE_VIEW, format!("the state at {revision} is older than {newest}")));
        }
        row.looked = revision;
        Ok(row.attempts.saturating_add(1))
    })?;
    let Target { org, address } = target.clone();
    Ok(Errand { org, address, revision, attempt, cancel: shared.cancel.clone() })
}

struct Work<'w> {
    shared: &'w Shared,
    target: &'w Target,
    snapshot: &'w Snapshot,
    errand: Errand,
    actuator: &'w dyn Actuator,
}

impl Work<'_> {
    fn remembered(&self) -> Option<Remembered> {
        self.shared.with(|state, _| state.table.get(self.target).and_then(|row| row.remembered.clone()))
    }

    /// Makes it durable that something may exist outside, and how far it came.
    fn remember(&self, remembered: Remembered) -> Result<(), Outcome> {
        remembered.write(self.shared.plane.engine(), self.target).map_err(not_remembered)?;
        self.shared.with(|state, now| state.table.remember(self.target, remembered, now));
        Ok(())
    }

    fn make(&self, entry: &Entry) -> Result<Outcome, Outcome> {
        let wanted = self.wanted(entry)?;
        let needs: BTreeSet<Address> =
            self.call(&wanted.secrets, || Ok(self.actuator.needs(&wanted)))?.into_iter().collect();
        let before = self.remembered();
        if before.as_ref().is_some_and(|known| known.made && known.revision == wanted.revision) {
            let observed = self.call(&wanted.secrets, || self.actuator.observe(&self.errand))?;
            let Some(how) = wanted.differs(&observed) else { return Ok(Outcome::Real) };
            let how = format!("somebody changed it outside: {how}");
            self.shared.with(|state, now| {
                let row = state.table.row(self.target, ConditionState::Reconciling, now);
                (row.observed, row.real_to) = (None, None);
                state.table.tell(self.target, ConditionState::Reconciling, reason::DRIFTED, &how, now);
            });
            if self.shared.on_drift == OutsideDrift::Tell {
                return Ok(Outcome::Stalled(reason::DRIFTED.to_owned(), how, Vec::new()));
            }
        }
        self.in_order(&needs)?;
        // Until it is made, what stands there may still need what it needed before.
        let mut held = needs.clone();
        held.extend(before.iter().flat_map(|known| known.needs.clone()));
        let intent = Remembered { revision: wanted.revision, made: false, needs: held };
        if before.as_ref() != Some(&intent) {
            self.remember(intent)?;
        }
        self.call(&wanted.secrets, || self.actuator.make(&self.errand, &wanted))?;
        self.remember(Remembered { revision: wanted.revision, made: true, needs })?;
        Ok(Outcome::Real)
    }

    fn remove(&self) -> Result<Outcome, Outcome> {
        if self.remembered().is_none() {
            return Ok(Outcome::Gone);
        }
        let waits = self.shared.with(|state, _| kept_from_removal(self.target, &state.table));
        if !waits.is_empty() {
            return Ok(Outcome::Waits(waits));
        }
        self.call(&SecretValues::new(), || self.actuator.remove(&self.errand))?;
        Remembered::forget(self.shared.plane.engine(), self.target).map_err(not_remembered)?;
        Ok(Outcome::Gone)
    }

    fn wanted(&self, entry: &Entry) -> Result<Wanted, Outcome> {
        let Target { org, address } = self.target.clone();
        let unreadable = |why: String| Outcome::Stalled(reason::UNREADABLE.to_owned(), why, Vec::new());
        let record = vault::record(entry).map_err(|_| unreadable("its record in the store is damaged".to_owned()))?;
        let secrets = match entry.sealed() {
            Some(_) => {
                let vault = self.shared.plane.vault().map_err(|problem| unreadable(problem.message))?;
                let opened = vault.open(&org, &address, entry);
                opened.map_err(|error| unreadable(format!("its secrets do not open: {error}")))?
            }
            None => SecretValues::new(),
        };
        let (fields, tags) = (record.fields.clone(), record.tags.clone());
        Ok(Wanted { org, address, revision: entry.modified(), fields, tags, secrets })
    }

    /// Whether everything that it needs is real.
    fn in_order(&self, needs: &BTreeSet<Address>) -> Result<(), Outcome> {
        let (shared, snapshot) = (self.shared, self.snapshot);
        let is_real = |on: &Target| shared.with(|state, _| state.table.is_real(on, snapshot));
        match kept(self.target, needs, snapshot, &|on| needs_of(shared, snapshot, on), &is_real) {
            Kept::Free => Ok(()),
            Kept::Waits(waits) => {
                let missing = waits.iter().find(|wait| matches!(wait, Wait::Missing(_))).map(Wait::target);
                let Some(Target { address, .. }) = missing else { return Err(Outcome::Waits(waits)) };
                let why = format!("it refers to `{address}`, which is not there");
                Err(Outcome::Stalled(reason::MISSING_REFERENCE.to_owned(), why, waits))
            }
            Kept::Cycle(way) => {
                let names: Vec<String> = way.iter().take(10).map(|address| format!("`{address}`")).collect();
                let why = format!("it needs itself, by way of {}", names.join(", "));
                let on = |address: &Address| Wait::NotReal(self.target.beside(address));
                let others = way.iter().filter(|address| **address != self.target.address).map(on).collect();
                Err(Outcome::Stalled(reason::CYCLE.to_owned(), why, others))
            }
        }
    }

    /// Calls the actuator. Whatever it says in its error, no secret that it was given goes on from here.
    fn call<T>(&self, secrets: &SecretValues, call: impl FnOnce() -> Result<T, ActuatorError>) -> Result<T, Outcome> {
        let clean = |text: String| {
            let values = secrets.values().map(crate::desired::SecretText::expose).filter(|value| !value.is_empty());
            values.fold(text, |text, value| text.replace(value, "***"))
        };
        match contained(call) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(ActuatorError::Transient { message })) => Err(Outcome::Retry(reason::FAILED, clean(message))),
            Ok(Err(ActuatorError::Stalled { reason, message })) => {
                Err(Outcome::Stalled(clean(reason), clean(message), Vec::new()))
            }
            Err(panic) => Err(Outcome::Stalled(reason::PANICKED.to_owned(), clean(panic), Vec::new())),
        }
    }
}

/// What a live resource with an actuator needs; nothing for one without, or that is not live.
fn needs_of(shared: &Shared, snapshot: &Snapshot, on: &Target) -> Option<BTreeSet<Address>> {
    let actuator = shared.actuators.get(&on.address.kind)?;
    let entry = snapshot.get(&keys::live(&on.org, &on.address))?;
    let record = vault::record(entry).ok()?;
    let Target { org, address } = on.clone();
    let (fields, tags, secrets) = (record.fields.clone(), record.tags.clone(), SecretValues::new());
    let wanted = Wanted { org, address, revision: entry.modified(), fields, tags, secrets };
    // One that panics here says so at its own turn.
    Some(contained(|| actuator.needs(&wanted)).unwrap_or_default().into_iter().collect())
}

fn not_remembered(error: ReminderError) -> Outcome {
    let stalled = |why: String| Outcome::Stalled(reason::NOT_REMEMBERED.to_owned(), why, Vec::new());
    match error {
        ReminderError::TooLarge { .. } => stalled("it refers to more resources than can be remembered".to_owned()),
        ReminderError::Full => stalled(error.to_string()),
        error => Outcome::Retry(reason::FAILED, error.to_string()),
    }
}

/// Runs code that is not ours; a panic of it ends there, and is given as text.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| format!("the actuator panicked: {}", text(&*panic)))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}
