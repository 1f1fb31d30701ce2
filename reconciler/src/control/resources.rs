//! The live resources, one and in pages.
//!
//! Never here: writing.

use holdfast_engine::{Entry, Revision};

use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::kind_record;
use crate::plane::{ResourceInfo, ResourcesPage, ResourcesQuery};
use crate::planner;
use crate::resource::{Address, OrgId, Record, keys};
use crate::suggest;
use crate::vault::record;
use crate::veil::Veil;

/// How many resources a page holds if nobody says.
pub(super) const PAGE_DEFAULT: usize = 500;
/// How many resources or commits a page holds at most.
pub(super) const PAGE_MAX: usize = 10_000;
/// How many bytes of resources a page holds at most, but for a single one that is larger by itself.
const PAGE_BYTES_MAX: usize = 16 << 20;

pub(super) fn list(plane: &Plane, query: &ResourcesQuery) -> Result<ResourcesPage, Problem> {
    let snapshot = plane.snapshot_at(query.at)?;
    let org = plane.org(query.org.as_ref(), &snapshot);
    let live = keys::live_prefix(&org);
    let wanted = match (&query.kind, &query.prefix) {
        (Some(kind), prefix) => format!("{live}{kind}/{}", prefix.as_deref().unwrap_or_default()),
        (None, _) => live.clone(),
    };
    let named = |address: &Address| {
        query.kind.is_some() || query.prefix.as_ref().is_none_or(|prefix| address.to_string().starts_with(prefix))
    };
    let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let after = query.after.as_ref().map(|after| format!("{live}{after}"));
    let from = after.as_ref().filter(|after| **after > wanted).unwrap_or(&wanted);
    let veil = Veil::new(plane, &org)?;
    let mut resources = Vec::new();
    let (mut bytes, mut next) = (0, None);
    for (key, entry) in snapshot.range(from.as_str()..).take_while(|(key, _)| key.as_str().starts_with(&wanted)) {
        let Ok(address) = key.as_str()[live.len()..].parse::<Address>() else { continue };
        if after.as_deref() == Some(key.as_str()) || !named(&address) {
            continue;
        }
        let size = entry.value().len();
        if resources.len() == limit || (!resources.is_empty() && bytes + size > PAGE_BYTES_MAX) {
            next = resources.last().map(|last: &ResourceInfo| last.address.to_string());
            break;
        }
        bytes += size;
        resources.push(resource_info(&veil, &org, address, entry)?);
    }
    let kinds = if query.kinds { kind_record::records(&snapshot, &org)? } else { Vec::new() };
    let kinds = kinds.into_iter().map(|(_, record)| record).collect();
    Ok(ResourcesPage { revision: snapshot.revision(), resources, kinds, next })
}

pub(super) fn one(
    plane: &Plane,
    org: Option<&OrgId>,
    address: &Address,
    at: Option<Revision>,
) -> Result<ResourceInfo, Problem> {
    let snapshot = plane.snapshot_at(at)?;
    let org = plane.org(org, &snapshot);
    if let Some(entry) = snapshot.get(&keys::live(&org, address)) {
        return resource_info(&Veil::new(plane, &org)?, &org, address.clone(), entry);
    }
    let live = keys::live_prefix(&org);
    let text = address.to_string();
    let near = suggest::near(&text, snapshot.prefix(&live).map(|(key, _)| &key.as_str()[live.len()..]));
    let help = match near.as_slice() {
        [] => "`reconcile status` counts what there is".to_owned(),
        near => format!("did you mean `{}`?", near.join("` or `")),
    };
    let message = format!("no resource `{address}` in organisation `{org}` at {}", snapshot.revision());
    Err(Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", message).help(help))
}

fn resource_info(veil: &Veil, org: &OrgId, address: Address, entry: &Entry) -> Result<ResourceInfo, Problem> {
    let record = record(entry).map_err(|_| planner::damaged(&keys::live(org, &address)))?;
    let record = veil.record(&address, record).record;
    Ok(ResourceInfo {
        org: org.clone(),
        kind: address.kind.to_string(),
        name: address.name.to_string(),
        address,
        record: Record::clone(&record),
        created: entry.created(),
        modified: entry.modified(),
        version: entry.version(),
    })
}
