//! `reconcile show rN`: one commit with the keys that it touched.

use super::Run;
use crate::args::ShowArgs;
use crate::error::{Exit, Failure};
use crate::render::listing;

/// Shows a commit.
pub(super) fn run(run: &Run, args: &ShowArgs) -> Result<Exit, Failure> {
    let (plane, org) = run.ask()?;
    let revision = super::revision(plane.as_ref(), args.revision)?;
    let commit = plane.commit(org.as_ref(), revision)?;
    run.output.data(&commit, || listing::commit(&commit))?;
    Ok(Exit::Done)
}
