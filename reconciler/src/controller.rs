//! The loop: takes what a source says, plans it, and applies it as far as the project's policy allows and nothing blocks.
//!
//! Level-triggered: each turn looks at the whole source and at what is in force, so a turn that is missed costs nothing. A
//! wrong manifest, a source that is away and a plan that waits leave the last good revision in force, and `status` says so until it is
//! mended (P6). Never here: reading manifests (`source.rs`), planning, and when a turn is due.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_engine::{Revision, Timestamp};
use serde::{Deserialize, Serialize};

use crate::control::apply_as_loop;
use crate::desired::{Desired, GitState, LoopApply, LoopDeletes, LoopPolicy, OnDrift};
use crate::diagnostic::Diagnostic;
use crate::embedded::{Plane, rfc3339};
use crate::error::Problem;
use crate::hold::{self, Hold};
use crate::plan::{Action, Change, Plan, PlanOptions, PlanRequest, Reason, Summary};
use crate::plane::{ApplyRequest, ControlPlane, ResumeRequest};
use crate::resource::{OrgId, SourceName};
use crate::source::{Declared, ManifestSource, Seen};

/// How many errors of a broken manifest are kept for `status`.
const ERRORS_MAX: usize = 20;
/// After a failed apply so many turns are left out at most before it is tried again with nothing changed.
const TURNS_LEFT_OUT_MAX: u32 = 64;

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopState {
    /// What it says is in force.
    InForce,
    /// Its plan waits for somebody: the policy does not allow it, a guard blocks it, or values are missing.
    Waiting,
    /// Somebody holds it.
    Held,
    /// Its manifests have errors.
    Broken,
    /// It cannot be read.
    Away,
    /// Its apply failed; it is tried again.
    Failed,
    /// It was not looked at yet.
    Unknown,
}

impl LoopState {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::InForce, Self::Waiting, Self::Held, Self::Broken, Self::Away, Self::Failed, Self::Unknown];

    /// The word that JSON uses.
    pub fn as_text(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Away => "away",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of a loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoopStatus {
    /// The source; none before its first good state.
    pub source: Option<SourceName>,
    /// What it is: a folder or a Git repository.
    pub from: String,
    /// How it stands.
    pub state: LoopState,
    /// Since when it stands so, in RFC 3339.
    pub since: String,
    /// Why, in one line; empty if there is nothing to say.
    pub message: String,
    /// The Git state that was looked at last.
    pub git: Option<GitState>,
    /// The id of the plan that waits.
    pub plan: Option<String>,
    /// What that plan would do.
    pub summary: Option<Summary>,
    /// The errors of broken manifests; not all of very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

/// A loop as the plane knows it: its status, and the plan that waits.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) org: Option<OrgId>,
    pub(crate) status: LoopStatus,
    /// What the project said last about what the loop applies by itself.
    pub(crate) apply: LoopApply,
    /// The plan that waits, with what it answered.
    pub(crate) waiting: Option<(PlanRequest, Plan)>,
    pub(crate) tally: Tally,
}

/// What is counted of a loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// How many turns ended in which way.
    pub(crate) turns: BTreeMap<&'static str, u64>,
    /// The revision at which what the source says was in force last, and when that was.
    pub(crate) in_force: Option<(Revision, Timestamp)>,
}

/// What was asked in a turn that ended in a failure, and how many turns to leave out.
struct Failure {
    plan_id: String,
    left_out: u32,
    next: u32,
}

/// A loop over one source. It runs for as long as somebody calls [`Loop::turn`]; what it drives cannot be applied by hand
/// meanwhile.
pub struct Loop {
    plane: Plane,
    source: Box<dyn ManifestSource>,
    org: Option<OrgId>,
    fallback_org: Option<OrgId>,
    author: String,
    /// What the last turn looked at, so that nothing is planned twice.
    last: Option<(Seen, Revision)>,
    failure: Option<Failure>,
    number: usize,
    /// How often it applied something.
    applied: u64,
}

impl Loop {
    /// A loop that applies `source` as `author` where the source does not know one.
    pub fn new(
        plane: Plane,
        source: Box<dyn ManifestSource>,
        org: Option<OrgId>,
        fallback_org: Option<OrgId>,
        author: String,
    ) -> Self {
        let status = LoopStatus {
            source: None,
            from: source.describe(),
            state: LoopState::Unknown,
            since: rfc3339(plane.now()),
            message: "not looked at yet".to_owned(),
            git: None,
            plan: None,
            summary: None,
            diagnostics: Vec::new(),
        };
        let (apply, tally) = (LoopApply::default(), Tally::default());
        let entry = Entry { org: org.clone(), status, apply, waiting: None, tally };
        let number = plane.loops().add(entry);
        Self { plane, source, org, fallback_org, author, last: None, failure: None, number, applied: 0 }
    }

    /// Looks at the source and does what is to be done. Gives how the source stands afterwards.
    pub fn turn(&mut self) -> LoopState {
        let before = self.applied;
        let state = self.take_turn();
        let result = if self.applied > before { "applied" } else { state.as_text() };
        let now = self.plane.now();
        let head = self.plane.engine().head().revision;
        self.plane.loops().change(self.number, |entry| {
            *entry.tally.turns.entry(result).or_default() += 1;
            if state == LoopState::InForce {
                entry.tally.in_force = Some((head, now));
            }
        });
        state
    }

    fn take_turn(&mut self) -> LoopState {
        let mut seen = self.source.look();
        // Read before planning: whatever is committed meanwhile, by this turn or by others, makes the next turn look again.
        let head = self.plane.engine().head().revision;
        let same = self.last.as_ref().is_some_and(|(last, revision)| *last == seen && *revision == head);
        if same && self.failure.as_mut().is_none_or(Failure::leaves_out) {
            return self.state();
        }
        // What is declared as it was is kept once, and told to be the same without a look at it.
        if let (Seen::Declared(now), Some((Seen::Declared(before), _))) = (&mut seen, &self.last) {
            now.desired.share(&before.desired);
        }
        let before = self.last.replace((seen.clone(), head));
        match seen {
            Seen::Away { why } => self.tell(LoopState::Away, why, |_| {}),
            Seen::Broken { git, diagnostics } => self.broken(git, diagnostics),
            Seen::Declared(declared) => self.declared(*declared, before.as_ref()),
        }
        self.state()
    }

    fn broken(&mut self, git: Option<GitState>, diagnostics: Vec<Diagnostic>) {
        let mut errors: Vec<Diagnostic> = diagnostics.into_iter().filter(Diagnostic::is_error).collect();
        let count = errors.len();
        let message = errors.first().map_or(String::new(), |first| first.message.clone());
        let message = if count > 1 { format!("{message} (and {} more)", count - 1) } else { message };
        errors.truncate(ERRORS_MAX);
        self.tell(LoopState::Broken, message, |status| (status.git, status.diagnostics) = (git, errors));
    }

    fn declared(&mut self, declared: Declared, before: Option<&(Seen, Revision)>) {
        let Declared { desired, author, message } = declared;
        let git = desired.git.clone();
        let policy = desired.loop_policy;
        let request = PlanRequest {
            org: self.org.clone(),
            fallback_org: self.fallback_org.clone(),
            desired,
            options: PlanOptions::default(),
        };
        let snapshot = self.plane.engine().snapshot();
        let planned = self.plane.shown(&snapshot, &request);
        let (plan, org, source) = match planned {
            Ok(planned) => planned,
            Err(problem) => return self.failed(&problem, "", git),
        };
        self.plane.loops().change(self.number, |entry| {
            entry.org = Some(org.clone());
            entry.status.source = Some(source.clone());
            entry.apply = policy.apply;
        });
        let hold = match hold::read(&snapshot, &org, &source) {
            Ok(hold) => hold,
            Err(problem) => return self.failed(&problem, "", git),
        };
        if let Some((since, hold)) = &hold
            && holds((*since, hold), &request.desired, before)
        {
            let message = format!("held since {since} by {}; `reconcile resume {source}` lets it go on", hold.author);
            return self.tell(LoopState::Held, message, |status| status.git = git);
        }
        if !plan.has_changes() && !plan.is_blocked() {
            if hold.is_some() {
                let (org, source) = (Some(org), Some(source));
                let resume = ResumeRequest { org, source, author: self.author.clone(), ..ResumeRequest::default() };
                if let Err(problem) = self.plane.resume(&resume) {
                    return self.failed(&problem, "", git);
                }
            }
            return self.tell(LoopState::InForce, String::new(), |status| status.git = git);
        }
        if let Some(why) = waits(&plan, policy, request.desired.on_drift) {
            let (id, summary) = (plan.plan_id.clone(), plan.summary);
            self.tell(LoopState::Waiting, why, |status| {
                (status.git, status.plan, status.summary) = (git, Some(id), Some(summary));
            });
            self.plane.loops().change(self.number, |entry| entry.waiting = Some((request, plan)));
            return;
        }
        let asked = ApplyRequest {
            confirmed_deletes: plan.summary.delete,
            plan: request,
            plan_id: plan.plan_id.clone(),
            author: author.unwrap_or_else(|| self.author.clone()),
            message: message.unwrap_or_default(),
            sealed: None,
            request_id: None,
        };
        match apply_as_loop(&self.plane, &asked) {
            Ok(receipt) => {
                self.applied += 1;
                self.tell(LoopState::InForce, String::new(), |status| status.git = git);
                tracing::info!(%org, %source, revision = %receipt.revision, "the loop applied");
            }
            Err(problem) => self.failed(&problem, &plan.plan_id, git),
        }
    }

    fn failed(&mut self, problem: &Problem, plan_id: &str, git: Option<GitState>) {
        let next = match &self.failure {
            Some(failure) if failure.plan_id == plan_id => (failure.next * 2).min(TURNS_LEFT_OUT_MAX),
            Some(_) | None => 1,
        };
        self.tell(LoopState::Failed, problem.message.clone(), |status| status.git = git);
        self.failure = Some(Failure { plan_id: plan_id.to_owned(), left_out: 0, next });
    }

    /// Says how the source stands now; the time is that of the change.
    fn tell(&mut self, state: LoopState, message: String, more: impl FnOnce(&mut LoopStatus)) {
        self.failure = None;
        let now = rfc3339(self.plane.now());
        let state_is_bad = matches!(state, LoopState::Broken | LoopState::Away | LoopState::Failed);
        self.plane.loops().change(self.number, |entry| {
            let LoopStatus { source, from, since, state: was, message: said, .. } = &entry.status;
            let changed = *was != state || *said != message;
            if changed {
                let state = state.as_text();
                match state_is_bad {
                    true => tracing::warn!(from, state, message, "the loop's source stands differently"),
                    false => tracing::info!(from, state, message, "the loop's source stands differently"),
                }
            }
            let mut status = LoopStatus {
                source: source.clone(),
                from: from.clone(),
                state,
                since: if changed { now } else { since.clone() },
                message,
                git: None,
                plan: None,
                summary: None,
                diagnostics: Vec::new(),
            };
            more(&mut status);
            (entry.status, entry.waiting) = (status, None);
        });
    }

    fn state(&self) -> LoopState {
        self.plane.loops().state(self.number)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.plane.loops().remove(self.number);
    }
}

impl Failure {
    /// Counts a turn; says whether it is left out.
    fn leaves_out(&mut self) -> bool {
        self.left_out += 1;
        self.left_out < self.next
    }
}

/// Whether a hold is about these manifests. What the loop has in its hands when the hold is set is held too, whether it was
/// applied or not.
fn holds((since, hold): (Revision, &Hold), desired: &Desired, before: Option<&(Seen, Revision)>) -> bool {
    let same_as_before = match before {
        Some((Seen::Declared(before), head)) if since > *head => {
            before.desired.digest == desired.digest && before.desired.git == desired.git
        }
        Some(_) | None => false,
    };
    match (&hold.git, &desired.git) {
        (Some(held), Some(now)) if !held.dirty && !now.dirty => same_as_before || held.commit == now.commit,
        _ => same_as_before || hold.digest.as_ref() == Some(&desired.digest),
    }
}

/// Why a plan is not for the loop to apply.
fn waits(plan: &Plan, policy: LoopPolicy, on_drift: OnDrift) -> Option<String> {
    let id = plan.plan_id.get(..8).unwrap_or(&plan.plan_id);
    if let Some(blocked) = plan.blocked.first() {
        return Some(blocked.message.clone());
    }
    if !plan.applyable {
        let missing = plan.diagnostics.iter().find(|found| found.code == "W_MISSING_VALUE");
        return Some(missing.map_or("secret values are missing".to_owned(), |found| found.message.clone()));
    }
    if policy.apply == LoopApply::Manual {
        return Some(format!("the project's `loop` applies nothing by itself; `reconcile approve {id}`"));
    }
    let made_again = |change: &&Change| change.action == Action::Create && change.reason == Reason::DriftRepair;
    if on_drift == OnDrift::Block
        && let Some(change) = plan.changes.iter().find(made_again)
    {
        let address = &change.address;
        return Some(format!("`{address}` was deleted live; `reconcile approve {id}` makes it again"));
    }
    match policy.deletes {
        LoopDeletes::Count(most) if plan.summary.delete > u64::from(most) => {
            Some(format!("it deletes {}, the loop may delete {most}; `reconcile approve {id}`", plan.summary.delete))
        }
        LoopDeletes::Count(_) | LoopDeletes::All => None,
    }
}

/// Takes turns until [`Plane::stop_loops`] is called: one at once, then one whenever the plane is poked or the source says that
/// something may have happened, and one after each `interval`. Blocks the thread.
pub fn run(mut this: Loop, interval: std::time::Duration) {
    let plane = this.plane.clone();
    let woken = plane.clone();
    this.source.wake_by(Arc::new(move || woken.loops().poke()));
    let mut pokes = 0;
    loop {
        this.turn();
        match plane.loops().wait(pokes, interval) {
            Some(now) => pokes = now,
            None => return,
        }
    }
}
