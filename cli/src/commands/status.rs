//! `reconcile status`: the state of the store and of what runs on it.

use super::Run;
use crate::error::{Exit, Failure};
use crate::render::listing;

/// Shows the state.
pub(super) fn run(run: &Run) -> Result<Exit, Failure> {
    let (plane, org) = run.ask()?;
    let status = plane.status(org.as_ref())?;
    run.output.data(&status, || listing::status(&status))?;
    Ok(Exit::Done)
}
