//! `reconcile resume`: lets a source go on that is held.

use holdfast_reconciler::plane::{ResumeRequest, WriteOutcome};

use super::Run;
use crate::args::ResumeArgs;
use crate::error::{Exit, Failure};
use crate::render::ink::Text;

/// Takes the hold of a source away.
pub(super) fn run(run: &Run, args: &ResumeArgs) -> Result<Exit, Failure> {
    let (plane, org) = run.ask()?;
    let receipt = plane.resume(&ResumeRequest {
        org,
        source: args.source.clone(),
        author: run.setting.author(args.author.as_deref()),
        message: args.message.clone().unwrap_or_default(),
        request_id: Some(uuid::Uuid::new_v4().to_string()),
    })?;
    run.output.data(&receipt, || {
        let mut text = Text::new();
        text.line(match receipt.outcome {
            WriteOutcome::Unchanged => "nothing is held".to_owned(),
            WriteOutcome::Committed | WriteOutcome::Replayed => format!("Resumed in {}", receipt.revision),
        });
        text
    })?;
    Ok(Exit::Done)
}
