//! `reconcile show rN|FILE`: one commit with the keys that it touched, or a sealed plan.

use std::path::Path;

use holdfast_reconciler::plane::Moment;

use super::{Run, plan, sealed};
use crate::args::{PlanArgs, ShowArgs};
use crate::error::{Exit, Failure};
use crate::render::listing;

/// Shows a commit or a sealed plan.
pub(super) fn run(run: &Run, args: &ShowArgs) -> Result<Exit, Failure> {
    let moment: Moment = match args.what.parse() {
        Ok(moment) => moment,
        Err(error) => {
            let path = run.setting.path(Path::new(&args.what));
            if !path.exists() {
                return Err(Failure::usage(format!("{error}, and there is no such file"))
                    .help("name a revision, as in `r41`, or the file of a sealed plan"));
            }
            let plan = sealed::read(&path)?.plan;
            plan::show(run, &PlanArgs::default(), &plan)?;
            return Ok(Exit::Done);
        }
    };
    let (plane, org) = run.ask()?;
    let revision = super::revision(plane.as_ref(), moment)?;
    let commit = plane.commit(org.as_ref(), revision)?;
    run.output.data(&commit, || listing::commit(&commit))?;
    Ok(Exit::Done)
}
