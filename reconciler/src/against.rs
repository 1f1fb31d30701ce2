//! Planning against an exported state, without a store: the state becomes a snapshot, and the same planner runs on it.
//!
//! Never here: a second way to plan.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use holdfast_engine::{Change, Clock, Engine, Key, MemoryStore, Options, Revision, Snapshot};
use serde::{Deserialize, Serialize};

use crate::agents::resolver::SystemEnvironment;
use crate::error::{Problem, ProblemKind};
use crate::kind::Kinds;
use crate::plan::{Plan, PlanRequest};
use crate::plane::{ControlPlane, ResourceInfo, ResourcesQuery};
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
/// How many resources an export reads at a time.
const EXPORT_PAGE: usize = 10_000;

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
    /// When a secret stops counting, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

impl StateRow {
    /// Its address.
    ///
    /// # Errors
    /// Names the part that is malformed.
    pub fn address(&self) -> Result<Address, Problem> {
        let kind = KindName::new(&self.kind).map_err(|error| invalid(&error))?;
        Ok(Address::new(kind, ResourceName::new(&self.name).map_err(|error| invalid(&error))?))
    }
}

/// Makes the exported state of an organisation, page by page, all as of one revision: the head, or another.
///
/// # Errors
/// `Gone` or `NotFound` for a revision that is compacted or in the future.
pub fn export(plane: &dyn ControlPlane, org: Option<OrgId>, at: Option<Revision>) -> Result<State, Problem> {
    let mut query = ResourcesQuery { org, at, limit: Some(EXPORT_PAGE), ..ResourcesQuery::default() };
    let mut state = State { format: FORMAT.to_owned(), version: VERSION, revision: 0, resources: Vec::new() };
    loop {
        let page = plane.resources(&query)?;
        state.revision = page.revision.get();
        state.resources.extend(page.resources.into_iter().map(row_of));
        let Some(next) = page.next else { return Ok(state) };
        (query.at, query.after) = (Some(page.revision), Some(next));
    }
}

fn row_of(info: ResourceInfo) -> StateRow {
    let ResourceInfo { org, kind, name, record, .. } = info;
    let Record { fields, owner, owners, tags, expires_ms } = record;
    StateRow { org: Some(org), kind, name, fields, owner, owners, tags, expires_ms }
}

/// The live record that a row stands for.
pub(crate) fn record_of(row: &StateRow) -> Record {
    let fields = row.fields.iter().filter(|(_, value)| !is_absent(value));
    Record {
        fields: fields.map(|(name, value)| (name.clone(), without_nulls(value.clone()))).collect(),
        owner: row.owner.clone(),
        owners: row.owners.clone(),
        tags: row.tags.clone(),
        expires_ms: row.expires_ms,
    }
}

/// What the source that owns a row counts as having declared: what it owns of the record.
pub(crate) fn declaration_of(row: &StateRow, record: &Record, source: &SourceName) -> Declaration {
    let ours = |name: &String| row.owners.get(name).is_none_or(|owner| owner == source.as_str());
    Declaration {
        fields: record.fields.clone().into_iter().filter(|(name, _)| ours(name)).collect(),
        tags: record.tags.clone(),
        ..Declaration::default()
    }
}

/// Reads an exported state.
///
/// # Errors
/// Text that is not one, or one of a later version.
pub fn parse(text: &[u8]) -> Result<State, Problem> {
    let state: State = serde_json::from_slice(text).map_err(|error| {
        Problem::from_error(ProblemKind::Invalid, "E_STATE", &error).help("export a state with `reconcile export`")
    })?;
    check(&state)?;
    Ok(state)
}

/// Whether a state has the form that this program reads.
pub(crate) fn check(state: &State) -> Result<(), Problem> {
    if state.format != FORMAT || state.version != VERSION {
        let message = format!("the state has format `{}` version {}", state.format, state.version);
        let help = format!("this program reads `{FORMAT}` version {VERSION}");
        return Err(Problem::new(ProblemKind::Invalid, "E_STATE", message).help(help));
    }
    Ok(())
}

fn invalid(error: &dyn std::error::Error) -> Problem {
    Problem::from_error(ProblemKind::Invalid, "E_STATE", error)
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
    let revision = Revision::new(state.revision);
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
    let directory = || hint.directory.clone().unwrap_or_default();
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
            SourceName::new(only).unwrap_or_else(|_| directory())
        }
        _ => directory(),
    }
}

fn snapshot(state: &State, org: &OrgId, source: &SourceName, clock: &Clock) -> Result<Snapshot, Problem> {
    let mut changes = Vec::with_capacity(state.resources.len());
    let mut seen = HashSet::with_capacity(state.resources.len());
    let mut put = |key: String, value: Vec<u8>| -> Result<(), Problem> {
        let key = Key::new(key).map_err(|error| invalid(&error))?;
        changes.push(Change::Put { key, value: value.into(), sealed: None });
        Ok(())
    };
    for row in &state.resources {
        let address = row.address()?;
        let org = row.org.as_ref().unwrap_or(org);
        if !seen.insert((org, row.kind.as_str(), row.name.as_str())) {
            let message = format!("the state has `{address}` of organisation `{org}` twice");
            return Err(Problem::new(ProblemKind::Invalid, "E_STATE", message).help("keep one of the two rows"));
        }
        let record = record_of(row);
        if row.owner.as_deref() == Some(source.as_str()) {
            let declaration = declaration_of(row, &record, source);
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
