//! `reconcile history [WHAT]`: the commits, newest first.

use holdfast_engine::Revision;
use holdfast_reconciler::plane::CommitsQuery;

use super::Run;
use crate::args::HistoryArgs;
use crate::error::{Exit, Failure};
use crate::render::listing;

/// How many commits are listed if nobody says.
const LIMIT: usize = 100;

/// Lists commits.
pub(super) fn run(run: &Run, args: &HistoryArgs) -> Result<Exit, Failure> {
    // A malformed address is told before anything is opened.
    super::scope(args.what.as_deref(), None)?;
    let (plane, org) = run.ask()?;
    let (org, scope) = super::scope(args.what.as_deref(), org)?;
    let limit = args.limit.map_or(LIMIT, |limit| limit as usize);
    let page = plane.commits(&CommitsQuery { org, scope, before: None, limit: Some(limit) })?;
    run.output.data(&page, || listing::history(&page))?;
    let oldest = page.commits.last().map(|commit| commit.revision);
    if page.commits.is_empty() {
        run.output.say("no commits");
    } else if args.limit.is_none() && page.commits.len() == limit && oldest > Some(Revision::new(1)) {
        run.output.say(format!("the newest {limit} are shown; `--limit N` shows more"));
    }
    Ok(Exit::Done)
}
