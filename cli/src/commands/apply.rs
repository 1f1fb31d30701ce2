//! `reconcile [DIR]`: plan, show, ask, apply. What is shown, asked and told is the same for a sealed plan.
//!
//! The apply carries the id of the plan that was shown; the plane refuses it if it would do something else by then. A store
//! is made only once somebody agreed.

use std::path::Path;
use std::time::Duration;

use holdfast_engine::Revision;
use holdfast_reconciler::agents::kinds::kinds;
use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::plan::Plan;
use holdfast_reconciler::plane::{ApplyRequest, CommitsQuery, ControlPlane, Scope, WriteOutcome, WriteReceipt};
use holdfast_reconciler::seal::Seal;

use super::Run;
use super::plan::{Drafted, draft, missing_values, show, view};
use super::waiting::Waiting;
use crate::args::{Format, PlanArgs};
use crate::confirm::{self, Answer};
use crate::connect;
use crate::error::{Exit, Failure};
use crate::render::json::Applied;
use crate::render::text::{self, MISSING_VALUE, PlanView, Values, counts};
use crate::render::value::Length;

/// How an apply ended that did not fail.
enum Ended {
    Applied(WriteReceipt),
    Before(WriteReceipt),
    NothingToDo,
    Blocked,
    Declined,
}

/// What the caller agreed to beforehand, and says about the apply.
#[derive(Clone, Copy)]
pub(super) struct Consent<'a> {
    /// Nobody is asked.
    pub(super) yes: bool,
    /// So many deletes are confirmed.
    pub(super) allow_delete: Option<u64>,
    /// Who applies.
    pub(super) author: Option<&'a str>,
    /// Why.
    pub(super) message: Option<&'a str>,
}

impl<'a> Consent<'a> {
    /// As the flags say.
    pub(super) fn of(args: &'a PlanArgs) -> Result<Self, Failure> {
        if args.exit_code {
            return Err(Failure::usage("`--exit-code` is for a plan; add `--dry-run`"));
        }
        if args.out.is_some() {
            return Err(Failure::usage("`--out` is for a plan; add `--dry-run`"));
        }
        let (author, message) = (args.author.as_deref(), args.message.as_deref());
        Ok(Self { yes: args.yes, allow_delete: None, author, message })
    }
}

/// What is asked of an apply: what of the plan is shown, and what was agreed to.
pub(super) struct Asked<'a> {
    /// The flags that say what is shown.
    pub(super) shown: &'a PlanArgs,
    /// What was agreed to.
    pub(super) consent: Consent<'a>,
    /// How long to wait until what was applied is real.
    pub(super) wait: Option<Duration>,
    /// The command that shows the same and applies nothing.
    pub(super) look: String,
}

/// Plans, shows, asks and applies.
pub(super) fn run(run: &Run, args: &PlanArgs) -> Result<Exit, Failure> {
    let consent = Consent::of(args)?;
    check_format(run)?;
    let drafted = draft(run, args)?;
    run_drafted(run, &Asked { shown: args, consent, wait: args.waits(), look: look(run, args) }, drafted)
}

/// The command that shows the plan and nothing else; what waits for an apply does not go with it.
pub(super) fn look(run: &Run, args: &PlanArgs) -> String {
    if args.wait { "reconcile --dry-run".to_owned() } else { run.setting.again("--dry-run") }
}

fn check_format(run: &Run) -> Result<(), Failure> {
    if matches!(run.output.format, Format::Markdown | Format::Github) {
        return Err(
            Failure::usage("an apply has no such form").help("use `--format text` or `json`, or add `--dry-run`")
        );
    }
    Ok(())
}

/// Shows a plan, asks and applies it.
pub(super) fn run_drafted(run: &Run, asked: &Asked<'_>, drafted: Drafted) -> Result<Exit, Failure> {
    check_format(run)?;
    let plan = drafted.plan.clone();
    if run.output.format == Format::Text {
        show(run, asked.shown, &plan)?;
    }
    // What is missing is told again, as an error, when the apply is refused.
    let told = |found: &&Diagnostic| found.code != MISSING_VALUE;
    run.output.diagnostics(&plan.diagnostics.iter().filter(told).cloned().collect::<Vec<_>>());
    let store = drafted.store.clone();
    let ended = carry_out(run, asked, drafted);
    let wait = |ended: &Ended| match (asked.wait, ended.revision(&plan)) {
        (Some(timeout), Some(revision)) => observed(run, &store, &plan, revision, timeout),
        (_, _) => Ok(()),
    };
    match run.output.format {
        Format::Json => document(run, &plan, ended, wait),
        Format::Text | Format::Markdown | Format::Github => {
            let ended = ended?;
            let exit = tell(run, &plan, &ended)?;
            wait(&ended).map(|()| exit)
        }
    }
}

/// Waits until what a revision holds is real outside the store too.
fn observed(run: &Run, store: &Path, plan: &Plan, revision: Revision, timeout: Duration) -> Result<(), Failure> {
    let waited = Waiting { run, store, org: Some(&plan.org), timeout }.observed(revision);
    let status = waited.map_err(|mut late| {
        // Whoever reads only the error must not apply again.
        late.problem.message = format!("{revision} is applied; {}", late.problem.message);
        late
    })?;
    run.output.say(match (status.actuators.is_empty(), status.followers.is_empty()) {
        (true, true) => format!("{revision} is in force; nothing outside the store depends on it, as far as is known"),
        (false, true) => format!("{revision} is real outside the store too"),
        (true, false) => format!("{revision} is in force, and every follower runs it"),
        (false, false) => format!("{revision} is real outside the store too, and every follower runs it"),
    });
    Ok(())
}

fn carry_out(run: &Run, asked: &Asked<'_>, drafted: Drafted) -> Result<Ended, Failure> {
    let Drafted { request, plan, store, plane, seal } = drafted;
    let Consent { yes, allow_delete, author, message } = asked.consent;
    let mut confirmed_deletes = allow_delete.unwrap_or_default();
    let blocked = plan.is_blocked();
    let refused = blocked || !plan.applyable;
    if !refused && !plan.has_changes() {
        return Ok(Ended::NothingToDo);
    }
    let applied = match (&plane, &seal) {
        (Some(plane), Some(seal)) if !refused && !yes => applied_already(&**plane, &plan, seal)?,
        (_, _) => false,
    };
    if !refused && !yes && !applied {
        if !agreed(run, asked, &plan)? {
            return Ok(Ended::Declined);
        }
        confirmed_deletes = plan.summary.delete;
    }
    let plane = match plane {
        Some(plane) => plane,
        None if blocked => return Ok(Ended::Blocked),
        None if refused => return Err(missing_values(&plan.diagnostics)),
        None => connect::or_new(&run.setting, &store, &run.output)?,
    };
    let applied = plane.apply(&ApplyRequest {
        plan: request,
        plan_id: plan.plan_id.clone(),
        confirmed_deletes,
        author: run.setting.author(author),
        message: message.unwrap_or_default().to_owned(),
        sealed: seal,
        // With it the client may repeat the request when the connection is lost in between.
        request_id: Some(uuid::Uuid::new_v4().to_string()),
    });
    // The plane refuses it too, and remembers the attempt; what was shown says more.
    if blocked {
        return Ok(Ended::Blocked);
    }
    if refused {
        return Err(missing_values(&plan.diagnostics));
    }
    let receipt = applied?;
    Ok(match receipt.outcome {
        WriteOutcome::Committed => Ended::Applied(receipt),
        WriteOutcome::Replayed => Ended::Before(receipt),
        WriteOutcome::Unchanged => Ended::NothingToDo,
    })
}

/// Whether a sealed plan was applied: then there is nothing to be asked, and the plane says how it stands. What was applied is
/// never applied again, because the records that it was made on are not as they were.
fn applied_already(plane: &dyn ControlPlane, plan: &Plan, seal: &Seal) -> Result<bool, Failure> {
    let mut before = None;
    loop {
        let query = CommitsQuery { org: Some(plan.org.clone()), scope: Scope::All, before, limit: None };
        let page = plane.commits(&query)?;
        let mut since = page.commits.iter().take_while(|commit| commit.revision > seal.revision);
        if since.any(|commit| commit.plan.as_ref() == Some(&plan.plan_id)) {
            return Ok(true);
        }
        match page.commits.last() {
            Some(oldest) if oldest.revision > seal.revision => before = Some(oldest.revision),
            Some(_) | None => return Ok(false),
        }
    }
}

fn agreed(run: &Run, asked: &Asked<'_>, plan: &Plan) -> Result<bool, Failure> {
    let args = asked.shown;
    if !confirm::somebody_is_there() {
        let deletes = plan.summary.delete;
        let told = args.allow_delete.or(asked.consent.allow_delete).is_some();
        let flags = match deletes {
            1.. if !told => format!("--yes --allow-delete {deletes}"),
            _ => "--yes".to_owned(),
        };
        let help = format!("`{}` applies without asking, `{}` only shows", run.setting.again(&flags), asked.look);
        return Err(Failure::new("E_NOT_CONFIRMED", "nobody is there to ask, so nothing was changed").help(help));
    }
    if run.output.format == Format::Json {
        run.output.show(&text::plan(plan, &kinds(), view(args)));
    }
    loop {
        match confirm::ask(&run.output, &format!("Apply {}?", counts(&plan.summary)))? {
            Answer::Yes => return Ok(true),
            Answer::No => return Ok(false),
            Answer::Details => {
                let all = PlanView { length: Length::Full, values: Values::Shown, ..view(args) };
                run.output.show(&text::plan(plan, &kinds(), all));
            }
        }
    }
}

fn tell(run: &Run, plan: &Plan, ended: &Ended) -> Result<Exit, Failure> {
    match ended {
        Ended::Applied(receipt) => {
            run.output.raw(&format!("\nApplied as {} ({})\n", receipt.revision, counts(&plan.summary)))?;
            if plan.rollback.is_some() {
                let source = &plan.source.name;
                run.output
                    .say(format!("`{source}` is held: a loop waits for other manifests, or for `reconcile resume`"));
            }
        }
        Ended::Before(receipt) => run.output.raw(&format!("\nAlready applied as {}\n", receipt.revision))?,
        Ended::NothingToDo => run.output.say(format!("nothing to apply, {} stays", plan.base.revision)),
        Ended::Blocked => run.output.insist("blocked: nothing was changed"),
        Ended::Declined => run.output.say("nothing was changed"),
    }
    Ok(ended.exit())
}

/// One document in any case: the plan with how it ended. What is waited for and does not come is its error, beside the receipt.
fn document(
    run: &Run,
    plan: &Plan,
    ended: Result<Ended, Failure>,
    wait: impl FnOnce(&Ended) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let late = ended.as_ref().map_or(Ok(()), wait).err();
    let applied = match &ended {
        Ok(Ended::Applied(receipt) | Ended::Before(receipt)) => Some(receipt),
        Ok(Ended::NothingToDo | Ended::Blocked | Ended::Declined) | Err(_) => None,
    };
    let error = ended.as_ref().err().or(late.as_ref()).map(|failure| failure.problem.as_ref().into());
    run.output.document(&Applied { plan, applied, error })?;
    let exit = ended.map(|ended| ended.exit()).map_err(Failure::documented)?;
    late.map_or(Ok(exit), |failure| Err(failure.documented()))
}

impl Ended {
    /// The revision that is in force now because of it; none if somebody said no.
    fn revision(&self, plan: &Plan) -> Option<Revision> {
        match self {
            Self::Applied(receipt) | Self::Before(receipt) => Some(receipt.revision),
            Self::NothingToDo => Some(plan.base.revision),
            Self::Blocked | Self::Declined => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Applied(_) | Self::Before(_) | Self::NothingToDo => Exit::Done,
            Self::Blocked => Exit::Blocked,
            Self::Declined => Exit::Failed,
        }
    }
}
