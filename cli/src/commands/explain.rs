//! `reconcile explain session AGENT`: every step of a decision, whether or not it comes to an end. It only looks.

use holdfast_reconciler::plane::SessionRequest;

use super::Run;
use crate::args::ExplainVerb;
use crate::error::{Exit, Failure};
use crate::render::session;

/// Shows the chain of evidence. That a session would fail is an answer and no error.
pub(super) fn run(run: &Run, verb: ExplainVerb) -> Result<Exit, Failure> {
    let ExplainVerb::Session(args) = verb;
    let (plane, org) = run.ask()?;
    let (agent, user, at) = (args.agent, args.user, run.setting.global.at);
    let explanation = plane.explain(&SessionRequest { org, agent, user, at, ..SessionRequest::default() })?;
    run.output.data(&explanation, || session::explanation(&explanation))?;
    Ok(Exit::Done)
}
