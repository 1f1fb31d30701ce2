//! `reconcile verify`: reads the whole store and checks chain and checksums.

use super::Run;
use crate::error::{Exit, Failure};
use crate::render::listing;

/// Verifies the store; damage is the answer and exits with 1.
pub(super) fn run(run: &Run) -> Result<Exit, Failure> {
    let (plane, _) = run.ask()?;
    let found = plane.verify()?;
    run.output.data(&found, || listing::verification(&found))?;
    Ok(if found.damage.is_empty() { Exit::Done } else { Exit::Failed })
}
