//! `reconcile explain ADDRESS [FIELD]` and `explain session AGENT`: where a value comes from, and every step of a decision,
//! whether or not it comes to an end. Both only look.
//!
//! Never here: working it out; the plane does.

use holdfast_reconciler::plane::{OriginQuery, SessionRequest};

use super::Run;
use super::get::address;
use crate::args::{ExplainArgs, ExplainVerb};
use crate::error::{Exit, Failure};
use crate::render::value::Length;
use crate::render::{origins, session};

/// Shows the chain of evidence. That a session would fail is an answer and no error.
pub(super) fn run(run: &Run, args: ExplainArgs) -> Result<Exit, Failure> {
    let ExplainArgs { address, field, full, verb } = args;
    let length = if full { Length::Full } else { Length::Cut };
    match (verb, address) {
        (Some(ExplainVerb::Session(args)), _) => {
            let (plane, org) = run.ask()?;
            let (agent, user, at) = (args.agent, args.user, run.setting.global.at);
            let explanation = plane.explain(&SessionRequest { org, agent, user, at, ..SessionRequest::default() })?;
            run.output.data(&explanation, || session::explanation(&explanation))?;
            Ok(Exit::Done)
        }
        (None, Some(address)) => values(run, &address, field, length),
        (None, None) => Err(Failure::usage("nothing to explain").help("name a resource, as in `settings/triage`")),
    }
}

fn values(run: &Run, text: &str, field: Option<String>, length: Length) -> Result<Exit, Failure> {
    // A malformed address is told before anything is opened.
    address(text, None)?;
    let (plane, org) = run.ask()?;
    let (org, address) = address(text, org)?;
    let at = run.at(plane.as_ref())?;
    let one = field.is_some();
    let found = plane.origins(&OriginQuery { org, address, field, at, limit: None })?;
    run.output.data(&found, || if one { origins::one(&found, length) } else { origins::all(&found, length) })?;
    Ok(Exit::Done)
}
