//! `reconcile get ADDRESS`: one live resource with its owners.

use holdfast_reconciler::resource::{Address, OrgId};

use super::Run;
use crate::args::GetArgs;
use crate::error::{Exit, Failure};
use crate::render::listing;
use crate::render::value::Length;

/// Shows a resource.
pub(super) fn run(run: &Run, args: &GetArgs) -> Result<Exit, Failure> {
    // A malformed address is told before anything is opened.
    address(&args.address, None)?;
    let (plane, org) = run.ask()?;
    let (org, address) = address(&args.address, org)?;
    let info = plane.resource(org.as_ref(), &address, run.setting.at_revision()?)?;
    let length = if args.full { Length::Full } else { Length::Cut };
    run.output.data(&info, || listing::resource(&info, length))?;
    Ok(Exit::Done)
}

/// Reads an address; an organisation in front of it wins over the command's.
pub(super) fn address(text: &str, org: Option<OrgId>) -> Result<(Option<OrgId>, Address), Failure> {
    let (named, address) = Address::parse_with_org(text).map_err(|error| {
        Failure::usage(error.to_string()).help("an address is a kind and a name, as in `settings/triage`")
    })?;
    Ok((named.or(org), address))
}
