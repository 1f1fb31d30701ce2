//! Applying a plan: worked out anew, compared with what was shown, committed on condition.
//!
//! Never here: planning itself (`planner.rs`).

use holdfast_engine::{Outcome, RequestId, Txn};

use super::writing::{
    WRITE_ATTEMPTS, answer, blocked_problem, commit_problem, contended, request_id, settled, unchanged,
};
use crate::apply::{self, Authorship};
use crate::diagnostic::{Diagnostic, Severity};
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::plan::Plan;
use crate::plane::{ApplyRequest, WriteReceipt};
use crate::planner::Planned;

pub(super) fn apply(plane: &Plane, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
    let request_id = request_id(request.request_id.as_deref())?;
    if let Some(receipt) = replayed(plane, request_id.as_ref())? {
        return Ok(receipt);
    }
    let _one_at_a_time = plane.applying();
    for _ in 0..WRITE_ATTEMPTS {
        let snapshot = plane.engine().snapshot();
        let (Planned { plan, writes, reads }, org, source) = plane.planned(&snapshot, &request.plan)?;
        check_applicable(request, &plan)?;
        if writes.is_empty() {
            return Ok(unchanged(&snapshot));
        }
        let (author, message) = (request.author.clone(), request.message.clone());
        let authorship = Authorship { author, message, request_id: request_id.clone() };
        let txn = plane.transaction(&snapshot, &org, Some(&source), writes, &reads, authorship)?;
        if let Some(receipt) = settled(plane.engine().commit(apply::describe(txn, &plan)))? {
            tracing::info!(%org, %source, revision = %receipt.revision, plan = &plan.plan_id[..8], "applied");
            return Ok(answer(receipt));
        }
    }
    Err(contended())
}

/// The receipt of a request that was carried out before: an empty transaction with its id commits nothing.
pub(super) fn replayed(plane: &Plane, id: Option<&RequestId>) -> Result<Option<WriteReceipt>, Problem> {
    let Some(id) = id else { return Ok(None) };
    let receipt = plane.engine().commit(Txn::new().request_id(id.clone())).map_err(|error| commit_problem(&error))?;
    Ok((receipt.outcome == Outcome::Replayed).then(|| answer(receipt)))
}

fn check_applicable(request: &ApplyRequest, plan: &Plan) -> Result<(), Problem> {
    if plan.plan_id != request.plan_id {
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
    let needed = plan.deletes_to_confirm(&request.plan.options.allow_break);
    let told = [Some(request.confirmed_deletes), request.plan.options.allow_delete];
    let wrong = request.plan.options.allow_delete.is_some_and(|told| told != plan.summary.delete);
    if wrong || (needed > 0 && !told.contains(&Some(plan.summary.delete))) {
        let deletes = plan.summary.delete;
        let problem = Problem::new(
            ProblemKind::Blocked,
            "E_DELETES",
            format!("the plan deletes {deletes} resource(s) and nobody confirmed that number"),
        );
        return Err(problem.help(format!("confirm at the prompt, or give `--allow-delete {deletes}`")));
    }
    Ok(())
}
