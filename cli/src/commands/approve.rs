//! `reconcile approve PLAN_ID`: applies a plan that a loop left to somebody.

use holdfast_reconciler::plane::ApproveRequest;

use super::Run;
use crate::args::ApproveArgs;
use crate::error::{Exit, Failure};
use crate::render::ink::Text;

/// Applies a plan that waits.
pub(super) fn run(run: &Run, args: &ApproveArgs) -> Result<Exit, Failure> {
    let (plane, org) = run.ask()?;
    let receipt = plane.approve(&ApproveRequest {
        org,
        plan: args.plan.clone(),
        author: run.setting.author(args.author.as_deref()),
        message: args.message.clone().unwrap_or_default(),
        request_id: Some(uuid::Uuid::new_v4().to_string()),
    })?;
    run.output.data(&receipt, || {
        let mut text = Text::new();
        text.line(format!("Applied as {}", receipt.revision));
        text
    })?;
    Ok(Exit::Done)
}
