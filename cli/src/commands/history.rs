//! `reconcile history [ADDRESS]`: the commits, newest first.

use holdfast_engine::Revision;
use holdfast_reconciler::plane::CommitsQuery;

use super::Run;
use super::get::address;
use crate::args::HistoryArgs;
use crate::error::{Exit, Failure};
use crate::render::listing;

/// How many commits are listed if nobody says.
const LIMIT: usize = 100;

/// Lists commits.
pub(super) fn run(run: &Run, args: &HistoryArgs) -> Result<Exit, Failure> {
    let (plane, org) = run.ask()?;
    let (org, address) = match &args.address {
        Some(text) => address(text, org).map(|(org, address)| (org, Some(address)))?,
        None => (org, None),
    };
    let limit = args.limit.unwrap_or(LIMIT);
    let page = plane.commits(&CommitsQuery { org, address, before: None, limit: Some(limit) })?;
    run.output.data(&page, || listing::history(&page))?;
    let oldest = page.commits.last().map(|commit| commit.revision);
    if page.commits.is_empty() {
        run.output.say("no commits");
    } else if args.limit.is_none() && page.commits.len() == limit && oldest > Some(Revision::new(1)) {
        run.output.say(format!("the newest {limit} are shown; `--limit N` shows more"));
    }
    Ok(Exit::Done)
}
