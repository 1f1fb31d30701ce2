//! Applying a plan: worked out anew, compared with what was shown, committed on condition.
//!
//! Never here: planning itself (`planner.rs`), and whether a sealed plan still holds (`sealed.rs`).

use holdfast_engine::{Precondition, RequestId, Txn};

use super::request::{apply_id, replayed, request_id};
use super::sealed::{Past, applied_since, check_store};
use super::writing::{WRITE_ATTEMPTS, actor, answer, blocked_problem, contended, settled, unchanged};
use crate::apply::{self, Authorship, annotation};
use crate::attempts;
use crate::desired::LoopApply;
use crate::diagnostic::{Diagnostic, Severity};
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::guard;
use crate::hold::{self, Hold};
use crate::loops::Driver;
use crate::plan::{Plan, PlanOptions};
use crate::plane::{ApplyRequest, ApproveRequest, ResumeRequest, WriteReceipt};
use crate::planner::{self, Planned};
use crate::resource::{OrgId, SourceName, keys};
use crate::rollback;

/// How much of a plan id must be given.
const PLAN_ID_CHARS_MIN: usize = 4;

pub(super) fn apply(plane: &Plane, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
    recorded(plane, request, By::Hand, apply_id(request)?.as_ref())
}

/// As [`apply`], for a loop and for who approves what it planned.
pub(crate) fn apply_as_loop(plane: &Plane, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
    recorded(plane, request, By::Loop, apply_id(request)?.as_ref())
}

/// Who applies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Hand,
    Loop,
}

fn recorded(plane: &Plane, request: &ApplyRequest, by: By, id: Option<&RequestId>) -> Result<WriteReceipt, Problem> {
    let applied = carry_out(plane, request, by, id);
    if let Err(problem) = &applied {
        attempts::record(plane, request, problem);
    }
    applied
}

fn carry_out(plane: &Plane, request: &ApplyRequest, by: By, id: Option<&RequestId>) -> Result<WriteReceipt, Problem> {
    if let Some(receipt) = replayed(plane, id)? {
        return Ok(receipt);
    }
    if let Some(seal) = &request.sealed {
        check_store(plane, seal)?;
    }
    let _one_at_a_time = plane.applying();
    for _ in 0..WRITE_ATTEMPTS {
        let snapshot = plane.engine().snapshot();
        if let Some(receipt) = applied_since(plane, request)? {
            return Ok(receipt);
        }
        let (planned, org, source) = plane.planned(&snapshot, &request.plan)?;
        check_driver(plane, request, by, &org, &source)?;
        if let Some(seal) = &request.sealed {
            let past = Past { plane, snapshot: &snapshot, org: &org, source: &source, seal };
            past.check(request, &planned)?;
        }
        let Planned { plan, writes, reads } = planned;
        check_applicable(request, &plan)?;
        if writes.is_empty() || (is_unseen(request) && !plan.has_changes()) {
            return Ok(unchanged(&snapshot));
        }
        let options = &request.plan.options;
        let message = match options.rollback {
            Some(to) if request.message.is_empty() => rollback::message(to),
            Some(_) | None => request.message.clone(),
        };
        let author = request.author.clone();
        let authorship = Authorship { author, message, request_id: id.cloned() };
        let txn = plane.transaction(&snapshot, &org, Some(&source), writes, &reads, authorship)?;
        let held = apply::key(keys::hold(&org, &source))?;
        let txn = match options.rollback.is_some() || options.hold {
            true => {
                let hold =
                    Hold::of(plane.engine(), &snapshot, &org, &source, &actor(&request.author), options.rollback);
                txn.put(held, apply::json(&hold))
            }
            // An apply is a decision: what it applies is no longer to be waited for.
            false if snapshot.get(held.as_str()).is_some() => txn.delete(held),
            false => txn,
        };
        if let Some(receipt) = settled(plane.engine().commit(apply::describe(txn, &plan)))? {
            tracing::info!(%org, %source, revision = %receipt.revision, plan = &plan.plan_id[..8], "applied");
            if by == By::Hand && plane.loops().drives(&org, &source) {
                // What its loop found before is no longer how the source stands.
                plane.loops().poke();
            }
            return Ok(answer(receipt));
        }
    }
    Err(contended())
}

/// What is applied by hand would not be what a loop takes from its source, so an apply by hand must say that it holds the source.
fn check_driver(
    plane: &Plane,
    request: &ApplyRequest,
    by: By,
    org: &OrgId,
    source: &SourceName,
) -> Result<(), Problem> {
    let PlanOptions { hold, rollback, .. } = request.plan.options;
    if by == By::Loop || hold || rollback.is_some() {
        return Ok(());
    }
    let Some(Driver { apply, waiting }) = plane.loops().driver(org, source) else { return Ok(()) };
    let message = match apply {
        LoopApply::Auto => format!("a loop of the server applies `{source}`, and would undo what is applied by hand"),
        LoopApply::Manual => {
            format!("a loop of the server plans `{source}`, and what it plans waits for somebody's approval")
        }
    };
    let read = match (waiting, apply) {
        (Some(plan), _) => {
            format!("`reconcile approve {}` applies what the loop planned", plan.get(..8).unwrap_or(&plan))
        }
        (None, LoopApply::Auto) => "change what the loop reads".to_owned(),
        (None, LoopApply::Manual) => "change what the loop reads and approve its plan".to_owned(),
    };
    let help = format!("{read}, or add `--hold`: yours is applied, and the loop waits until what it reads changes");
    Err(Problem::new(ProblemKind::Blocked, "E_DRIVEN", message).help(help))
}

/// Applies the plan that a loop left to somebody.
pub(super) fn approve(plane: &Plane, request: &ApproveRequest) -> Result<WriteReceipt, Problem> {
    let id = request_id("approve", request.request_id.as_deref(), request)?;
    if let Some(receipt) = replayed(plane, id.as_ref())? {
        return Ok(receipt);
    }
    let org = plane.org(request.org.as_ref(), &plane.engine().snapshot());
    let mut waiting = plane.loops().waiting(&org, &request.plan).into_iter();
    let none = || {
        let message = format!("no plan `{}` waits", request.plan);
        Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", message).help("`reconcile status` lists those that do")
    };
    let (asked, plan) = waiting.next().filter(|_| request.plan.len() >= PLAN_ID_CHARS_MIN).ok_or_else(none)?;
    if waiting.next().is_some() {
        let message = format!("several plans begin with `{}`", request.plan);
        return Err(Problem::new(ProblemKind::Invalid, "E_PLAN_ID", message).help("give more of the id"));
    }
    let approved = ApplyRequest {
        plan: asked,
        plan_id: plan.plan_id,
        confirmed_deletes: plan.summary.delete,
        author: request.author.clone(),
        message: request.message.clone(),
        sealed: None,
        request_id: None,
    };
    let applied = recorded(plane, &approved, By::Loop, id.as_ref());
    plane.loops().poke();
    applied
}

/// Takes the hold of a source away.
pub(super) fn resume(plane: &Plane, request: &ResumeRequest) -> Result<WriteReceipt, Problem> {
    let id = request_id("resume", request.request_id.as_deref(), request)?;
    if let Some(receipt) = replayed(plane, id.as_ref())? {
        return Ok(receipt);
    }
    for _ in 0..WRITE_ATTEMPTS {
        let snapshot = plane.engine().snapshot();
        let org = plane.org(request.org.as_ref(), &snapshot);
        let source =
            rollback::one_source(&planner::known_sources(&snapshot, &org), &org, request.source.as_ref(), None)?;
        let Some((since, _)) = hold::read(&snapshot, &org, &source)? else { return Ok(unchanged(&snapshot)) };
        let message = match request.message.as_str() {
            "" => format!("resume {source}"),
            message => message.to_owned(),
        };
        let key = apply::key(keys::hold(&org, &source))?;
        let mut txn = Txn::new().author(actor(&request.author)).message(message).source(source.as_str());
        txn = txn.annotate(annotation::ORG, org.as_str());
        if let Some(id) = id.clone() {
            txn = txn.request_id(id);
        }
        let txn = txn.require(Precondition::Modified(key.clone(), since)).delete(key);
        if let Some(receipt) = settled(plane.engine().commit(txn))? {
            tracing::info!(%org, %source, revision = %receipt.revision, "resumed");
            plane.loops().poke();
            return Ok(answer(receipt));
        }
    }
    Err(contended())
}

/// Whether it is a rollback whose plan nobody looked at: it does what it would do now.
fn is_unseen(request: &ApplyRequest) -> bool {
    request.plan.options.rollback.is_some() && request.plan_id.is_empty()
}

fn check_applicable(request: &ApplyRequest, plan: &Plan) -> Result<(), Problem> {
    if plan.plan_id != request.plan_id && !is_unseen(request) {
        let shown = request.plan_id.get(..8).unwrap_or(&request.plan_id);
        let message = format!(
            "the plan `{shown}` is stale: on {} an apply would do something else (plan `{}`)",
            plan.base.revision,
            &plan.plan_id[..8]
        );
        return Err(Problem::new(ProblemKind::Stale, "E_STALE", message).help("look at a new plan and apply that"));
    }
    if plan.is_blocked() {
        return Err(blocked_problem(plan.blocked.clone()));
    }
    if !plan.applyable {
        let missing = plan.diagnostics.iter().filter(|found| found.code == "W_MISSING_VALUE").cloned();
        let missing: Vec<_> = missing
            .map(|found| Diagnostic {
                severity: Severity::Error,
                code: "E_MISSING_VALUE".to_owned(),
                help: None,
                ..found
            })
            .collect();
        let message = format!("{} secret value(s) are missing, nothing was applied", missing.len());
        let problem = Problem::new(ProblemKind::Failed, "E_MISSING_VALUE", message);
        return Err(Problem { diagnostics: missing, ..problem }.help("set the variables that are named and run again"));
    }
    check_deletes(request, plan)
}

/// A number that was given has to be the plan's: with the apply itself, else with the plan, which was blocked if it was another.
fn check_deletes(request: &ApplyRequest, plan: &Plan) -> Result<(), Problem> {
    let deletes = plan.summary.delete;
    let needed = plan.deletes_to_confirm(&request.plan.options.allow_break);
    let told = Some(request.confirmed_deletes).filter(|told| *told > 0).or(request.plan.options.allow_delete);
    if told == Some(deletes) || (needed == 0 && request.confirmed_deletes == 0) {
        return Ok(());
    }
    let message = guard::confirmed(deletes, told);
    let problem = Problem::new(ProblemKind::Blocked, "E_DELETES", message);
    Err(problem.help(format!("confirm at the prompt, or give `--allow-delete {deletes}`")))
}
