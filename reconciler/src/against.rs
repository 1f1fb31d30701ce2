//! Planning against an exported state, without a store: the state becomes a snapshot, and the same planner runs on it.
//!
//! Never here: a second way to plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_engine::{Change, Clock, Engine, Key, MemoryStore, Options, Snapshot};
use serde::{Deserialize, Serialize};

use crate::agents::resolver::SystemEnvironment;
use crate::error::{Problem, ProblemKind};
use crate::kind::Kinds;
use crate::plan::{Plan, PlanRequest};
use crate::planner::{self, PlanInput, RingState};
use crate::resource::{Address, Declaration, KindName, OrgId, Record, ResourceName, SourceName, keys};
use crate::seal::{self, Seal, Sealed};
use crate::secret::KeyRing;
use crate::value::{Fields, is_absent, without_nulls};
use crate::vault::PastVault;

/// The name of the format.
const FORMAT: &str = "holdfast/state";
/// The newest version of it that this program reads.
const VERSION: u64 = 1;

/// An exported state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Always `holdfast/state`.
    pub format: String,
    /// The version of the format.
    pub version: u64,
    /// The revision that was exported.
    #[serde(default)]
    pub revision: u64,
    /// The live resources.
    pub resources: Vec<StateRow>,
}

/// One resource of an exported state. Only kind, name and fields are required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateRow {
    /// Its organisation; the plan's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Fields,
    /// Its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The owner of each field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owners: BTreeMap<String, String>,
    /// The tags of its secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Reads an exported state.
///
/// # Errors
/// Text that is not one, or one of a later version.
pub fn parse(text: &[u8]) -> Result<State, Problem> {
    let state: State = serde_json::from_slice(text).map_err(|error| {
        Problem::from_error(ProblemKind::Invalid, "E_STATE", &error).help("export a state with `reconcile export`")
    })?;
    if state.format != FORMAT || state.version != VERSION {
        let message = format!("the state has format `{}` version {}", state.format, state.version);
        let help = format!("this program reads `{FORMAT}` version {VERSION}");
        return Err(Problem::new(ProblemKind::Invalid, "E_STATE", message).help(help));
    }
    Ok(state)
}

/// Plans against an exported state. A field or resource that the plan's source owns in it counts as declared before.
///
/// # Errors
/// A state with malformed names, and what the planner finds.
pub fn plan_against(
    state: &State,
    request: &PlanRequest,
    kinds: &Kinds,
    ring: Option<Arc<KeyRing>>,
    clock: &Clock,
) -> Result<Plan, Problem> {
    seal_against(state, request, kinds, ring, clock).map(|sealed| sealed.plan)
}

/// The same with what a sealed plan needs; it holds for a store that is in just this state.
///
/// # Errors
/// As for [`plan_against`].
pub fn seal_against(
    state: &State,
    request: &PlanRequest,
    kinds: &Kinds,
    ring: Option<Arc<KeyRing>>,
    clock: &Clock,
) -> Result<Sealed, Problem> {
    let named = request.org.as_ref().or(request.desired.org.as_ref()).or(request.fallback_org.as_ref());
    let org = named.cloned().or_else(|| only_org(state)).unwrap_or_default();
    let source = source_of(state, &org, request);
    let snapshot = snapshot(state, &org, &source, clock)?;
    let tags = seal::tags(ring.as_deref(), &org, request);
    let ring = ring.map_or(RingState::Elsewhere, RingState::AtHand);
    let planned = planner::plan(PlanInput {
        kinds,
        snapshot: &snapshot,
        org: &org,
        source: &source,
        desired: &request.desired,
        options: &request.options,
        ring: &ring,
        vault: &PastVault,
        system: &SystemEnvironment::NotKnown,
        now: clock(),
    })?;
    let reads = seal::reads_digest(&snapshot, &org, &source, &planned.reads);
    let mut plan = planned.plan;
    let revision = holdfast_engine::Revision::new(state.revision);
    plan.base.revision = revision;
    Ok(Sealed { plan, seal: Seal { revision, reads, tags } })
}

fn only_org(state: &State) -> Option<OrgId> {
    let mut orgs = state.resources.iter().filter_map(|row| row.org.as_ref());
    let first = orgs.next()?;
    orgs.all(|org| org == first).then(|| first.clone())
}

/// The source's name: the manifest's, else the only owner that owns a resource of this project, else the directory's.
fn source_of(state: &State, org: &OrgId, request: &PlanRequest) -> SourceName {
    let hint = &request.desired.source;
    if let Some(name) = &hint.name {
        return name.clone();
    }
    let rows = || state.resources.iter().filter(|row| row.org.as_ref().is_none_or(|row| row == org));
    let mut owners: Vec<&String> =
        rows().filter_map(|row| row.owner.as_ref()).filter(|owner| !owner.contains(':')).collect();
    owners.sort_unstable();
    owners.dedup();
    let declared = |row: &StateRow| {
        let same = |address: &Address| address.kind.as_str() == row.kind && address.name.as_str() == row.name;
        request.desired.resources.iter().any(|declared| same(&declared.address))
    };
    match owners.as_slice() {
        [only] if rows().any(|row| row.owner.as_ref() == Some(only) && declared(row)) => {
            SourceName::new(only).unwrap_or_else(|_| hint.directory.clone())
        }
        _ => hint.directory.clone(),
    }
}

fn snapshot(state: &State, org: &OrgId, source: &SourceName, clock: &Clock) -> Result<Snapshot, Problem> {
    let invalid = |error: &dyn std::error::Error| Problem::from_error(ProblemKind::Invalid, "E_STATE", error);
    let mut changes = Vec::with_capacity(state.resources.len());
    let mut put = |key: String, value: Vec<u8>| -> Result<(), Problem> {
        let key = Key::new(key).map_err(|error| invalid(&error))?;
        changes.push(Change::Put { key, value: value.into(), sealed: None });
        Ok(())
    };
    for row in &state.resources {
        let kind = KindName::new(&row.kind).map_err(|error| invalid(&error))?;
        let address = Address::new(kind, ResourceName::new(&row.name).map_err(|error| invalid(&error))?);
        let org = row.org.as_ref().unwrap_or(org);
        let fields = row.fields.iter().filter(|(_, value)| !is_absent(value));
        let record = Record {
            fields: fields.map(|(name, value)| (name.clone(), without_nulls(value.clone()))).collect(),
            owner: row.owner.clone(),
            owners: row.owners.clone(),
            tags: row.tags.clone(),
            expires_ms: None,
        };
        if row.owner.as_deref() == Some(source.as_str()) {
            let ours = |name: &String| row.owners.get(name).is_none_or(|owner| owner == source.as_str());
            let declaration = Declaration {
                fields: record.fields.clone().into_iter().filter(|(name, _)| ours(name)).collect(),
                tags: row.tags.clone(),
                ..Declaration::default()
            };
            put(keys::desired(org, source, &address), json(&declaration)?)?;
        }
        put(keys::live(org, &address), json(&record)?)?;
    }
    let clock = Arc::clone(clock);
    let engine = Engine::open(Box::new(MemoryStore::new()), Options { clock }).map_err(|error| {
        Problem::from_error(ProblemKind::Internal, "E_STATE", &error)
            .help("this is a defect of the program, please report it")
    })?;
    Ok(engine.snapshot().overlay(changes))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| Problem::from_error(ProblemKind::Invalid, "E_STATE", &error))
}
