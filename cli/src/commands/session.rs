//! `reconcile session AGENT`: what a session is given, and why. It only looks.

use holdfast_reconciler::plane::SessionRequest;

use super::Run;
use crate::args::SessionArgs;
use crate::error::{Exit, Failure};
use crate::render::session;
use crate::render::value::Length;

/// Shows the context of a session.
pub(super) fn run(run: &Run, args: SessionArgs) -> Result<Exit, Failure> {
    let SessionArgs { agent, user, allow_missing, full } = args;
    let (plane, org) = run.ask()?;
    let (at, ephemeral) = (run.setting.global.at, Vec::new());
    let context = plane.look(&SessionRequest { org, agent, user, at, allow_missing, ephemeral })?;
    let length = if full { Length::Full } else { Length::Cut };
    run.output.data(&context, || session::draw(&context, length))?;
    Ok(Exit::Done)
}
