//! The controller of effects outside the store: has actuators make real what is committed, and remove what is deleted.
//!
//! Level-triggered: hints and timers only say at which resource to look; what is to be done follows from the newest state, from what
//! is remembered beside the commits, and from what the actuator observes. So a restart, a lost hint and a hint that came twice take
//! the same path. Its words: a resource's turn (`work.rs`) ends in a condition (`table.rs`); when the next turn is due says the
//! queue (`queue.rs`). Never here: planning, committing anything, and effects themselves.

mod order;
mod queue;
mod remembered;
mod sight;
mod table;
mod told;
mod work;

pub use self::sight::{EngineSight, Sight, Stop, Wake, Wakes};
pub(crate) use self::told::{Told, idle};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_engine::{Entry, Revision, Timestamp};

use self::queue::Queue;
use self::remembered::Remembered;
use self::table::Table;
use self::work::{Outcome, Turn, turn};
use crate::actuator::{Actuator, Cancel};
use crate::backoff::Backoff;
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::naming;
use crate::plane::{ConditionState, reason};
use crate::planner;
use crate::resource::{Address, KindName, OrgId, keys};

/// Most workers.
const WORKERS_MAX: usize = 64;

/// What is done about something that was made and that somebody changed outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutsideDrift {
    /// It is made as declared again.
    #[default]
    Repair,
    /// It is left as it is, and told as a condition.
    Tell,
}

/// How effects are made.
pub struct ActuateOptions {
    /// How many calls of actuators run at a time; from 1 to 64.
    pub workers: usize,
    /// How often everything is looked at again, whether it changed or not.
    pub resync: Duration,
    /// How long to wait after failures.
    pub backoff: Backoff,
    /// What is done about drift outside.
    pub on_drift: OutsideDrift,
    /// Randomness for the waits; it need not be secret.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// What is seen of the store; the plane's engine unless a program has something else.
    pub sight: Option<Arc<dyn Sight>>,
}

impl Default for ActuateOptions {
    fn default() -> Self {
        Self {
            workers: 4,
            resync: Duration::from_secs(300),
            backoff: Backoff::default(),
            on_drift: OutsideDrift::default(),
            random: Arc::new(|| getrandom::u64().unwrap_or_default()),
            sight: None,
        }
    }
}

impl fmt::Debug for ActuateOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, resync, backoff, on_drift, random: _, sight: _ } = self;
        let mut shown = out.debug_struct("ActuateOptions");
        shown.field("workers", workers).field("resync", resync).field("backoff", backoff).field("on_drift", on_drift);
        shown.finish_non_exhaustive()
    }
}

/// One resource of one organisation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) org: OrgId,
    pub(crate) address: Address,
}

impl Target {
    /// Another resource of the same organisation.
    fn beside(&self, address: &Address) -> Self {
        Self { org: self.org.clone(), address: address.clone() }
    }

    fn of_key(key: &str) -> Option<Self> {
        let (org, address) = keys::live_address(key)?;
        Some(Self { org: OrgId::new(org).ok()?, address: address.parse().ok()? })
    }
}

/// Effects in the making. Dropping it stops them: no further call begins, and those that run are waited for.
#[must_use = "effects are made for as long as this lives"]
pub struct Actuation {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Actuation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Actuation").field("kinds", &self.shared.actuators.keys()).finish_non_exhaustive()
    }
}

/// What the workers, the watcher and `status` share.
pub(crate) struct Shared {
    plane: Plane,
    actuators: BTreeMap<KindName, Arc<dyn Actuator>>,
    sight: Arc<dyn Sight>,
    on_drift: OutsideDrift,
    backoff: Backoff,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
    resync_ms: u64,
    cancel: Cancel,
    stop: Stop,
    begun: Instant,
    state: Mutex<State>,
    due: Condvar,
}

struct State {
    queue: Queue<Target>,
    table: Table,
    /// When everything is looked at again.
    resync_at: u64,
}

impl Plane {
    /// Has actuators make the live resources of their kinds real, from now on until the answer is dropped.
    ///
    /// # Errors
    /// `Conflict` if two serve the same kind or the plane has actuators already; `Internal` if what was remembered of earlier effects
    /// cannot be read, or no thread can be started.
    pub fn actuate(&self, actuators: Vec<Arc<dyn Actuator>>, options: ActuateOptions) -> Result<Actuation, Problem> {
        let ActuateOptions { workers, resync, backoff, on_drift, random, sight } = options;
        let mut served = BTreeMap::new();
        for actuator in actuators {
            let kind = actuator.kind().clone();
            if served.insert(kind.clone(), actuator).is_some() {
                let message = format!("there are two actuators for `{kind}`");
                return Err(Problem::new(ProblemKind::Conflict, "E_ACTUATOR", message).help("give one for each kind"));
            }
        }
        let failed = |error: &dyn std::error::Error| {
            Problem::from_error(ProblemKind::Internal, "E_ACTUATOR", error).help("run `reconcile verify`")
        };
        let remembered = Remembered::all(self.engine()).map_err(|error| failed(&error))?;
        let resync_ms = u64::try_from(resync.as_millis()).unwrap_or(u64::MAX).max(1);
        let state = State { queue: Queue::new(), table: Table::default(), resync_at: resync_ms };
        let shared = Arc::new(Shared {
            plane: self.clone(),
            actuators: served,
            sight: sight.unwrap_or_else(|| Arc::new(EngineSight(self.engine().clone()))),
            on_drift,
            backoff,
            random,
            resync_ms,
            cancel: Cancel::default(),
            stop: Stop::default(),
            begun: Instant::now(),
            state: Mutex::new(state),
            due: Condvar::new(),
        });
        self.takes_actuation(&shared)?;
        let mut actuation = Actuation { shared: Arc::clone(&shared), threads: Vec::new() };
        let seen = shared.begin(remembered);
        let mut wakes = shared.sight.wakes(seen);
        let watcher = Arc::clone(&shared);
        let watch = move || {
            while let Some(wake) = wakes.next(&watcher.stop) {
                watcher.hint(wake);
            }
        };
        actuation.spawn("holdfast-effects".to_owned(), watch).map_err(|error| failed(&error))?;
        for number in 0..workers.clamp(1, WORKERS_MAX) {
            let worker = Arc::clone(&shared);
            actuation.spawn(format!("holdfast-act-{number}"), move || worker.run()).map_err(|error| failed(&error))?;
        }
        Ok(actuation)
    }
}

impl Actuation {
    /// Looks at everything now, as a resync does.
    pub fn resync(&self) {
        self.shared.list();
    }

    /// Whether everything up to the newest revision was looked at, and no call runs or is due. What failed and waits for its next
    /// try does not count.
    pub fn is_idle(&self) -> bool {
        let (head, now) = (self.shared.plane.engine().head().revision, self.shared.millis());
        self.shared.with(|state, _| state.table.seen >= head && state.queue.is_quiet(now))
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }
}

impl Drop for Actuation {
    fn drop(&mut self) {
        self.shared.cancel.set();
        self.shared.stop.set();
        // Under the lock, so that no worker is between its look at the flag and its wait.
        self.shared.with(|_, _| self.shared.due.notify_all());
        for thread in self.threads.drain(..) {
            // A panic of it was reported by its hook.
            let _ = thread.join();
        }
        self.shared.plane.ends_actuation(&self.shared);
    }
}

/// What a worker does next.
enum Task {
    Everything,
    One(Target),
}

impl Shared {
    /// The state, with the time now.
    fn with<T>(&self, act: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.plane.now();
        // Every critical section leaves the data whole, so a panic elsewhere does not spoil it.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn serves(&self, target: &Target) -> bool {
        self.actuators.contains_key(&target.address.kind)
    }

    /// Takes in what is live and what is remembered, none of it looked at yet; gives the revision that was read.
    fn begin(&self, remembered: Vec<(Target, Remembered)>) -> Revision {
        self.with(|state, now| {
            for (target, known) in remembered {
                state.table.remember(&target, known, now);
                if !self.serves(&target) {
                    let why = "it was made outside by an actuator that this program does not have";
                    state.table.tell(&target, ConditionState::Unknown, reason::NO_ACTUATOR, why, now);
                }
            }
        });
        self.look_at_all(ConditionState::Unknown)
    }

    /// Looks at everything again.
    fn list(&self) {
        self.look_at_all(ConditionState::Reconciling);
    }

    /// Has everything looked at that is live or may exist outside; what is found for the first time stands as `new` says.
    fn look_at_all(&self, new: ConditionState) -> Revision {
        let snapshot = self.sight.snapshot();
        let live: BTreeMap<Target, Revision> = planner::organisations(&snapshot)
            .iter()
            .flat_map(|org| self.actuators.keys().map(move |kind| format!("{}{kind}/", keys::live_prefix(org))))
            .flat_map(|prefix| {
                let found = snapshot.prefix(&prefix).map(|(key, entry)| (key.clone(), entry.modified()));
                found.collect::<Vec<_>>()
            })
            .filter_map(|(key, modified)| Some((Target::of_key(key.as_str())?, modified)))
            .collect();
        let at = self.millis();
        self.with(|state, now| {
            let State { queue, table, .. } = state;
            for (target, modified) in &live {
                match table.get(target) {
                    None if new == ConditionState::Unknown => drop(table.row(target, new, now)),
                    Some(row) if row.wanted == Some(*modified) => {}
                    Some(_) | None => table.touched(target, Some(*modified), now),
                }
            }
            let known: Vec<Target> = table.rows().map(|(target, _)| target.clone()).collect();
            for target in known.iter().filter(|target| self.serves(target)) {
                if !live.contains_key(target) {
                    table.touched(target, None, now);
                }
                queue.add_absent(target, at);
            }
            table.seen = table.seen.max(snapshot.revision());
        });
        self.due.notify_all();
        snapshot.revision()
    }

    /// Has what a hint names looked at.
    fn hint(&self, wake: Wake) {
        let Wake::Keys(revision, keys) = wake else { return self.list() };
        let at = self.millis();
        self.with(|state, now| {
            let State { queue, table, .. } = state;
            for target in keys.iter().filter_map(|key| Target::of_key(key)) {
                if self.serves(&target) {
                    table.touched(&target, Some(revision), now);
                    table.row(&target, ConditionState::Reconciling, now).attempts = 0;
                    queue.add(&target, at);
                }
                if table.is_awaited(&target) {
                    table.take_waiting(&target).iter().for_each(|who| queue.add(who, at));
                }
            }
            table.seen = table.seen.max(revision);
        });
        self.due.notify_all();
    }

    /// Takes turns until it is told to stop.
    fn run(&self) {
        while let Some(task) = self.next() {
            match task {
                Task::Everything => self.list(),
                Task::One(target) => {
                    let ended = turn(self, &target);
                    self.settle(&target, ended);
                }
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.stop.is_set() {
                return None;
            }
            let now = self.millis();
            if state.resync_at <= now {
                state.resync_at = now.saturating_add(self.resync_ms);
                return Some(Task::Everything);
            }
            if let Some(target) = state.queue.take(now) {
                return Some(Task::One(target));
            }
            let until = state.queue.next().map_or(state.resync_at, |next| next.min(state.resync_at));
            let wait = Duration::from_millis(until.saturating_sub(now).max(1));
            state = self.due.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes a condition of how a turn ended, and says when the next one is due.
    fn settle(&self, target: &Target, ended: Turn) {
        let Turn { outcome, wanted, snapshot } = ended;
        let newest = self.sight.snapshot();
        let live = newest.get(&keys::live(&target.org, &target.address)).map(Entry::modified);
        let (at, moved) = (self.millis(), live != wanted);
        self.with(|state, now| {
            let State { queue, table, resync_at } = state;
            let resync = later(now, resync_at.saturating_sub(at));
            table.row(target, ConditionState::Reconciling, now).wanted = wanted;
            let again = match outcome {
                Outcome::Gone => {
                    table.drop_row(target);
                    if moved {
                        table.row(target, ConditionState::Reconciling, now).real_to = Some(snapshot.revision());
                    }
                    moved.then_some(at)
                }
                Outcome::Real => {
                    let row = table.row(target, ConditionState::Reconciling, now);
                    (row.observed, row.real_to) = (wanted, Some(snapshot.revision()));
                    (row.attempts, row.next_try) = (0, None);
                    let (state, reason) = match moved {
                        true => (ConditionState::Reconciling, reason::QUEUED),
                        false => (ConditionState::Ready, reason::MADE),
                    };
                    table.tell(target, state, reason, "", now);
                    moved.then_some(at)
                }
                Outcome::Waits(waits) => {
                    table.row(target, ConditionState::Reconciling, now).next_try = None;
                    table.tell(target, ConditionState::Reconciling, reason::WAITS, &waits_for(&waits), now);
                    (table.wait(target, &waits, &newest) || moved).then_some(at)
                }
                Outcome::Retry(reason, message) => {
                    let row = table.row(target, ConditionState::Reconciling, now);
                    row.attempts = row.attempts.saturating_add(1);
                    let wait = self.backoff.wait(row.attempts, (self.random)());
                    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    row.next_try = Some(later(now, wait));
                    table.tell(target, ConditionState::Reconciling, reason, &message, now);
                    Some(at.saturating_add(wait))
                }
                Outcome::Stalled(reason, message, waits) => {
                    let row = table.row(target, ConditionState::Reconciling, now);
                    row.attempts = row.attempts.saturating_add(1);
                    row.next_try = Some(resync);
                    table.tell(target, ConditionState::Stalled, &reason, &message, now);
                    (table.wait(target, &waits, &newest) || moved).then_some(at)
                }
                Outcome::NoActuator => None,
            };
            queue.done(target, again);
            if table.get(target).is_none_or(|row| row.state == ConditionState::Ready) {
                table.take_waiting(target).iter().for_each(|who| queue.add(who, at));
            }
        });
        self.due.notify_all();
    }
}

fn later(now: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)))
}

/// What somebody waits for, in one line.
fn waits_for(waits: &[table::Wait]) -> String {
    let names = naming::some(waits.iter().map(|wait| format!("`{}`", wait.on().address)), 3);
    match waits.first() {
        Some(table::Wait::NeededBy(_)) => format!("it is removed after {names}"),
        Some(_) | None => format!("it is made after {names}"),
    }
}
