//! `reconcile export [--at rN]`: the live resources of an organisation as one JSON document, which `--against` and `import` read.

use holdfast_reconciler::against::export;

use super::Run;
use crate::error::{Exit, Failure};

/// Prints the state; it is a JSON document in any form of output.
pub(super) fn run(run: &Run) -> Result<Exit, Failure> {
    let (plane, org) = run.ask()?;
    let at = run.at(plane.as_ref())?;
    run.output.document(&export(plane.as_ref(), org, at)?)?;
    Ok(Exit::Done)
}
