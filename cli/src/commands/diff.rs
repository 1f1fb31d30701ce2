//! `reconcile diff FROM TO [WHAT]`: what differs between two revisions.

use holdfast_reconciler::agents::kinds::kinds;
use holdfast_reconciler::plane::{DiffQuery, Differences};

use super::Run;
use crate::args::DiffArgs;
use crate::error::{Exit, Failure};
use crate::render::compare;
use crate::render::value::Length;

/// Compares two revisions.
pub(super) fn run(run: &Run, args: &DiffArgs) -> Result<Exit, Failure> {
    let DiffArgs { from, to, what, full, exit_code } = args;
    // A malformed address is told before anything is opened.
    super::scope(what.as_deref(), None)?;
    let (plane, org) = run.ask()?;
    let (org, scope) = super::scope(what.as_deref(), org)?;
    let from = super::revision(plane.as_ref(), *from)?;
    let to = super::revision(plane.as_ref(), *to)?;
    let mut query = DiffQuery { org, from, to: Some(to), scope, limit: None, after: None };
    let mut found = plane.diff(&query)?;
    while let Some(after) = found.next.take() {
        query.after = Some(after);
        let Differences { resources, values, next, .. } = plane.diff(&query)?;
        found.resources.extend(resources);
        found.values.extend(values);
        found.next = next;
    }
    let length = if *full { Length::Full } else { Length::Cut };
    run.output.data(&found, || compare::draw(&found, &kinds(), length))?;
    let differs = !(found.resources.is_empty() && found.values.is_empty());
    Ok(if *exit_code && differs { Exit::Changes } else { Exit::Done })
}
