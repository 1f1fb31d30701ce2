//! `reconcile [DIR]`: plan, show, ask, apply.
//!
//! The apply carries the id of the plan that was shown; the plane refuses it if it would do something else by then. A store
//! is made only once somebody agreed.

use holdfast_reconciler::agents::kinds::kinds;
use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::plan::Plan;
use holdfast_reconciler::plane::{ApplyRequest, WriteOutcome, WriteReceipt};

use super::Run;
use super::plan::{Drafted, draft, missing_values, show, view};
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
    NothingToDo,
    Blocked,
    Declined,
}

/// Plans, shows, asks and applies.
pub(super) fn run(run: &Run, args: &PlanArgs) -> Result<Exit, Failure> {
    if args.exit_code {
        return Err(Failure::usage("`--exit-code` is for a plan; add `--dry-run`"));
    }
    if matches!(run.output.format, Format::Markdown | Format::Github) {
        return Err(
            Failure::usage("an apply has no such form").help("use `--format text` or `json`, or add `--dry-run`")
        );
    }
    let drafted = draft(run, args)?;
    let plan = drafted.plan.clone();
    if run.output.format == Format::Text {
        show(run, args, &plan)?;
    }
    // What is missing is told again, as an error, when the apply is refused.
    let told = |found: &&Diagnostic| found.code != MISSING_VALUE;
    run.output.diagnostics(&plan.diagnostics.iter().filter(told).cloned().collect::<Vec<_>>());
    let ended = carry_out(run, args, drafted);
    match run.output.format {
        Format::Json => document(run, &plan, ended),
        Format::Text | Format::Markdown | Format::Github => tell(run, &plan, ended?),
    }
}

fn carry_out(run: &Run, args: &PlanArgs, drafted: Drafted) -> Result<Ended, Failure> {
    let Drafted { request, plan, store, plane } = drafted;
    if plan.is_blocked() {
        return Ok(Ended::Blocked);
    }
    if !plan.applyable {
        return Err(missing_values(&plan.diagnostics));
    }
    if !plan.has_changes() {
        return Ok(Ended::NothingToDo);
    }
    let mut confirmed_deletes = 0;
    if !args.yes {
        if !agreed(run, args, &plan)? {
            return Ok(Ended::Declined);
        }
        confirmed_deletes = plan.summary.delete;
    }
    let plane = match plane {
        Some(plane) => plane,
        None => connect::or_new(&run.setting, &store, &run.output)?,
    };
    let receipt = plane.apply(&ApplyRequest {
        plan: request,
        plan_id: plan.plan_id,
        confirmed_deletes,
        author: run.setting.author(args.author.as_deref()),
        message: args.message.clone().unwrap_or_default(),
        // With it the client may repeat the request when the connection is lost in between.
        request_id: Some(uuid::Uuid::new_v4().to_string()),
    })?;
    Ok(match receipt.outcome {
        WriteOutcome::Committed | WriteOutcome::Replayed => Ended::Applied(receipt),
        WriteOutcome::Unchanged => Ended::NothingToDo,
    })
}

fn agreed(run: &Run, args: &PlanArgs, plan: &Plan) -> Result<bool, Failure> {
    if !confirm::somebody_is_there() {
        let deletes = plan.summary.delete;
        let flags = if deletes > 0 { format!("--yes --allow-delete {deletes}") } else { "--yes".to_owned() };
        return Err(Failure::new("E_NOT_CONFIRMED", "nobody is there to ask, so nothing was changed")
            .help(format!("`reconcile {flags}` applies without asking, `reconcile --dry-run` only shows")));
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

fn tell(run: &Run, plan: &Plan, ended: Ended) -> Result<Exit, Failure> {
    match &ended {
        Ended::Applied(receipt) => {
            run.output.raw(&format!("\nApplied as {} ({})\n", receipt.revision, counts(&plan.summary)))?;
        }
        Ended::NothingToDo => run.output.say(format!("nothing to apply, {} stays", plan.base.revision)),
        Ended::Blocked => run.output.insist("blocked: nothing was changed"),
        Ended::Declined => run.output.say("nothing was changed"),
    }
    Ok(ended.exit())
}

/// One document in any case: the plan with how it ended.
fn document(run: &Run, plan: &Plan, ended: Result<Ended, Failure>) -> Result<Exit, Failure> {
    let applied = match &ended {
        Ok(Ended::Applied(receipt)) => Some(receipt),
        Ok(Ended::NothingToDo | Ended::Blocked | Ended::Declined) | Err(_) => None,
    };
    let error = ended.as_ref().err().map(|failure| failure.problem.as_ref().into());
    run.output.document(&Applied { plan, applied, error })?;
    ended.map(|ended| ended.exit()).map_err(Failure::documented)
}

impl Ended {
    fn exit(&self) -> Exit {
        match self {
            Self::Applied(_) | Self::NothingToDo => Exit::Done,
            Self::Blocked => Exit::Blocked,
            Self::Declined => Exit::Failed,
        }
    }
}
