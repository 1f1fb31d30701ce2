//! Which organisations and sources a store knows, and under which name a project plans.
//!
//! Never here: what a source declares.

use std::sync::Arc;

use holdfast_engine::Snapshot;

use crate::desired::{Declared, Desired};
use crate::resource::{OrgId, SourceName, keys};

/// Works out under which name the source plans: the name that the manifest gives, else the organisation's only source if
/// this project declares a resource of it, else the directory's.
pub fn source_name(snapshot: &Snapshot, org: &OrgId, desired: &Desired) -> SourceName {
    if let Some(name) = &desired.source.name {
        return name.clone();
    }
    let directory = || desired.source.directory.clone().unwrap_or_default();
    let mut sources = sources(snapshot, org).into_iter();
    match (sources.next(), sources.next()) {
        (Some(only), None) => {
            let ours = |declared: &Arc<Declared>| snapshot.get(&keys::desired(org, &only, &declared.address)).is_some();
            if desired.resources.iter().any(ours) { only } else { directory() }
        }
        (_, _) => directory(),
    }
}

/// The sources that declare something in an organisation, in order.
pub fn sources(snapshot: &Snapshot, org: &OrgId) -> Vec<SourceName> {
    children(snapshot, &keys::desired_all(org)).filter_map(|name| SourceName::new(name).ok()).collect()
}

/// The sources that declare something, or are held: a rollback to before its first apply leaves a source with nothing.
pub(crate) fn known_sources(snapshot: &Snapshot, org: &OrgId) -> Vec<SourceName> {
    let prefix = keys::holds_prefix(org);
    let held = snapshot.prefix(&prefix).filter_map(|(key, _)| SourceName::new(&key.as_str()[prefix.len()..]).ok());
    let mut known: Vec<SourceName> = held.chain(sources(snapshot, org)).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// The organisations that have anything in the store, in order.
pub fn organisations(snapshot: &Snapshot) -> Vec<OrgId> {
    children(snapshot, "org/").filter_map(|name| OrgId::new(name).ok()).collect()
}

/// The distinct first segments below a prefix: one seek for each, however many keys lie below them.
fn children<'s>(snapshot: &'s Snapshot, prefix: &'s str) -> impl Iterator<Item = String> + 's {
    let mut from = prefix.to_owned();
    std::iter::from_fn(move || {
        let (key, _) = snapshot.range(from.as_str()..).next()?;
        let (child, _) = key.as_str().strip_prefix(prefix)?.split_once('/')?;
        let child = child.to_owned();
        // `0` follows `/` in byte order, so this is the first key after all of the child's.
        from = format!("{prefix}{child}0");
        Some(child)
    })
}
