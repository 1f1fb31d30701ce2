//! `reconcile verify`: reads the whole store and checks chain and checksums, also of a store that is too damaged to be opened.

use super::Run;
use crate::closed::{self, closed};
use crate::error::{Exit, Failure};
use crate::render::listing;

/// Verifies the store; damage is the answer and exits with 1.
pub(super) fn run(run: &Run) -> Result<Exit, Failure> {
    let found = match run.ask() {
        Ok((plane, _)) => plane.verify()?,
        Err(failure) if failure.problem.code == "E_STORE_DAMAGED" && run.setting.global.server.is_none() => {
            let store = run.setting.store(&run.setting.project(None));
            closed(&run.setting, &store, &run.output, "verify", || {
                let mut opened = closed::open(&store)?;
                closed::verify(&mut opened, &run.output).map(|report| closed::verification(&report))
            })?
        }
        Err(failure) => return Err(failure),
    };
    run.output.data(&found, || listing::verification(&found))?;
    if found.damage.is_empty() {
        return Ok(Exit::Done);
    }
    run.output
        .say("`reconcile repair` mends what can be built from the commits; `reconcile restore` goes back to a backup");
    Ok(Exit::Failed)
}
