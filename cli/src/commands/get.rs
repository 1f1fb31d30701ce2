//! `reconcile get ADDRESS`: one live resource with its owners, or a raw value.

use holdfast_reconciler::plane::KV;
use holdfast_reconciler::raw_value::RawValue;
use holdfast_reconciler::resource::{Address, OrgId};

use super::Run;
use crate::args::GetArgs;
use crate::error::{Exit, Failure};
use crate::render::listing;
use crate::render::value::Length;

/// Shows a resource or a raw value.
pub(super) fn run(run: &Run, args: &GetArgs) -> Result<Exit, Failure> {
    // A malformed address is told before anything is opened.
    address(&args.address, None)?;
    let length = if args.full { Length::Full } else { Length::Cut };
    let (plane, org) = run.ask()?;
    let (org, address) = address(&args.address, org)?;
    let at = run.at(plane.as_ref())?;
    if format!("{}/", address.kind) == KV {
        let entry = plane.kv_get(org.as_ref(), address.name.as_str(), at)?;
        let Some(entry) = entry else {
            return Err(Failure::new("E_NO_KEY", format!("there is no key `{address}`"))
                .help("keys are exact; `reconcile history kv/` shows what was written"));
        };
        let key = address.to_string();
        let (created, modified, version) = (entry.created, entry.modified, entry.version);
        let found = listing::Raw { key, value: RawValue::new(&entry.value), created, modified, version };
        run.output.data(&found, || listing::raw(&found, length))?;
        return Ok(Exit::Done);
    }
    let info = plane.resource(org.as_ref(), &address, at)?;
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
