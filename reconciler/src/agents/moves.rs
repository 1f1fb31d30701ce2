//! What belongs to a resource of the agents' domain and goes along when that gets another name.
//!
//! Never here: which resources move (`moves.rs` of the reconciler decides it for every kind).

use super::kinds::{AGENT, CONNECTION, FEED, PLATFORM, SETTINGS};
use super::platform::of_renamed_agent;
use crate::resource::{Address, ResourceName};

/// The address that a resource gets when what it belongs to moves; none if it does not belong to it.
pub(crate) fn follow(from: &Address, to: &Address, address: &Address) -> Option<Address> {
    let (old, new, name) = (from.name.as_str(), to.name.as_str(), address.name.as_str());
    let own = || name.strip_prefix(old)?.strip_prefix('/');
    let name = match (from.kind.as_str(), address.kind.as_str()) {
        (AGENT, SETTINGS) if name == old => new.to_owned(),
        (AGENT, PLATFORM) => format!("{new}/{}", of_renamed_agent(own()?, old, new)?),
        (CONNECTION, FEED) => format!("{new}/{}", own()?),
        (_, _) => return None,
    };
    Some(Address::new(address.kind.clone(), ResourceName::new(name).ok()?))
}
