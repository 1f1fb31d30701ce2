//! Planning against an exported state, without a store: the state becomes a snapshot, and the same planner runs on it.
//!
//! Never here: a second way to plan, and what a state is (`against.rs`).

use std::sync::Arc;

use holdfast_engine::{Clock, Entry, Key, Revision, Snapshot};

use serde::Deserialize;

use crate::against::{self, State, StateRow, declaration_of, record_of};
use crate::agents::resolver::SystemEnvironment;
use crate::desired::Declared;
use crate::error::{Problem, ProblemKind};
use crate::kind::Kinds;
use crate::kind_record::KindRecord;
use crate::plan::{Plan, PlanRequest};
use crate::planner::{self, PlanInput, Planned, RingState};
use crate::resource::{OrgId, SourceName, keys};
use crate::seal::{self, Sealed};
use crate::secret::KeyRing;
use crate::vault::{PastVault, record};

/// An exported state that plans can be made on, as one organisation sees it.
#[derive(Debug)]
pub struct Ground {
    /// The organisation of the rows that name none.
    org: OrgId,
    /// The sources that own a row of the organisation, in order.
    owners: Vec<String>,
    /// The organisation of all rows that name one, if it is a single one.
    only_org: Option<OrgId>,
    revision: Revision,
    snapshot: Snapshot,
}

impl Ground {
    /// Takes a state as a request sees it.
    ///
    /// # Errors
    /// Malformed names, and a resource that stands twice.
    pub fn new(state: State, request: &PlanRequest) -> Result<Self, Problem> {
        let State { format: _, version: _, revision, kinds, resources } = state;
        Self::of(revision, &kinds, resources.into_iter().map(Row::from).collect(), named_org(request))
    }

    /// Reads a state's text while nothing is known of the manifests yet; [`Self::fits`] tells later whether they see it so.
    /// `named` is the organisation that the caller chose, if there is one.
    ///
    /// # Errors
    /// Text that is no state or one of a later version; then as for [`Self::new`].
    pub fn read(text: &[u8], named: Option<&OrgId>) -> Result<Self, Problem> {
        let Rows { format, version, revision, kinds, resources } = against::decode(text)?;
        against::check_form(&format, version)?;
        Self::of(revision, &kinds, resources, named)
    }

    fn of(revision: u64, kinds: &[KindRecord], rows: Vec<Row>, named: Option<&OrgId>) -> Result<Self, Problem> {
        let only_org = only_org(&rows);
        let org = named.or(only_org.as_ref()).cloned().unwrap_or_default();
        let (revision, owners) = (Revision::new(revision), owners(&rows, &org));
        Ok(Self { snapshot: snapshot(rows, kinds, &org)?, org, owners, only_org, revision })
    }

    /// Whether the request sees the state as it was taken.
    pub fn fits(&self, request: &PlanRequest) -> bool {
        let org = named_org(request).or(self.only_org.as_ref());
        org.map_or_else(|| self.org == OrgId::default(), |org| *org == self.org)
    }

    /// The source's name: the manifest's, else the only owner that owns a resource of this project, else the directory's.
    fn source(&self, request: &PlanRequest) -> SourceName {
        let hint = &request.desired.source;
        if let Some(name) = &hint.name {
            return name.clone();
        }
        let owns = |owner: &str, declared: &Declared| {
            let entry = self.snapshot.get(&keys::live(&self.org, &declared.address));
            entry.is_some_and(|entry| record(entry).is_ok_and(|record| record.owner.as_deref() == Some(owner)))
        };
        let owner = match self.owners.as_slice() {
            [only] if request.desired.resources.iter().any(|declared| owns(only, declared)) => {
                SourceName::new(only).ok()
            }
            _ => None,
        };
        owner.or_else(|| hint.directory.clone()).unwrap_or_default()
    }

    /// Plans.
    ///
    /// # Errors
    /// What the planner finds.
    pub fn plan(
        &self,
        request: &PlanRequest,
        kinds: &Kinds,
        ring: Option<Arc<KeyRing>>,
        clock: &Clock,
    ) -> Result<Plan, Problem> {
        self.planned(request, kinds, ring, clock).map(|(planned, _)| planned.plan)
    }

    /// Plans, with what a sealed plan needs; it holds for a store that is in just this state.
    ///
    /// # Errors
    /// What the planner finds.
    pub fn seal(
        &self,
        request: &PlanRequest,
        kinds: &Kinds,
        ring: Option<Arc<KeyRing>>,
        clock: &Clock,
    ) -> Result<Sealed, Problem> {
        let (planned, source) = self.planned(request, kinds, ring.clone(), clock)?;
        Ok(seal::seal(planned, (&self.snapshot, None), (&self.org, &source), ring.as_deref(), request))
    }

    fn planned(
        &self,
        request: &PlanRequest,
        kinds: &Kinds,
        ring: Option<Arc<KeyRing>>,
        clock: &Clock,
    ) -> Result<(Planned, SourceName), Problem> {
        let source = self.source(request);
        let ring = ring.map_or(RingState::Elsewhere, RingState::AtHand);
        let mut planned = planner::plan(PlanInput {
            kinds,
            snapshot: &self.snapshot,
            org: &self.org,
            source: &source,
            desired: &request.desired,
            options: &request.options,
            ring: &ring,
            vault: &PastVault,
            system: &SystemEnvironment::NotKnown,
            now: clock(),
        })?;
        planned.plan.base.revision = self.revision;
        Ok((planned, source))
    }
}

/// Plans against an exported state. A field or resource that the plan's source owns in it counts as declared before.
///
/// # Errors
/// A state with malformed names or a resource that stands twice, and what the planner finds.
pub fn plan_against(
    state: State,
    request: &PlanRequest,
    kinds: &Kinds,
    ring: Option<Arc<KeyRing>>,
    clock: &Clock,
) -> Result<Plan, Problem> {
    Ground::new(state, request)?.plan(request, kinds, ring, clock)
}

fn named_org(request: &PlanRequest) -> Option<&OrgId> {
    request.org.as_ref().or(request.desired.org.as_ref()).or(request.fallback_org.as_ref())
}

fn only_org(rows: &[Row]) -> Option<OrgId> {
    let mut orgs = rows.iter().filter_map(|row| row.org.as_ref());
    let first = orgs.next()?;
    orgs.all(|org| org == first).then(|| first.clone())
}

fn owners(rows: &[Row], org: &OrgId) -> Vec<String> {
    let rows = rows.iter().filter(|row| row.org.as_ref().is_none_or(|row| row == org));
    let mut owners: Vec<&String> =
        rows.filter_map(|row| row.owner.as_ref()).filter(|owner| !owner.contains(':')).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.into_iter().cloned().collect()
}

/// A state whose rows become records while it is read: as values they would take ten times the memory.
#[derive(Deserialize)]
struct Rows {
    format: String,
    version: u64,
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    kinds: Vec<KindRecord>,
    resources: Vec<Row>,
}

/// A row as a store would hold it.
#[derive(Deserialize)]
#[serde(from = "StateRow")]
struct Row {
    org: Option<OrgId>,
    kind: String,
    name: String,
    owner: Option<String>,
    record: Arc<[u8]>,
    /// What the source that owns it counts as having declared; the record itself, if that is all of it.
    declared: Option<(SourceName, Arc<[u8]>)>,
}

impl From<StateRow> for Row {
    fn from(mut row: StateRow) -> Self {
        let (org, kind, name) = (row.org.take(), std::mem::take(&mut row.kind), std::mem::take(&mut row.name));
        let record = record_of(row);
        let bytes = json(&record);
        let source = record.owner.as_ref().and_then(|owner| SourceName::new(owner).ok());
        let declared = source.map(|source| {
            let whole = record.owners.values().all(|owner| owner == source.as_str());
            let declaration = if whole { Arc::clone(&bytes) } else { json(&declaration_of(&record, &source)) };
            (source, declaration)
        });
        Self { org, kind, name, owner: record.owner, record: bytes, declared }
    }
}

fn json(value: &impl serde::Serialize) -> Arc<[u8]> {
    serde_json::to_vec(value).expect("a record is always JSON").into()
}

/// The state as it would be live, each row declared by the source that owns it. The kinds are those of the organisation.
fn snapshot(rows: Vec<Row>, kinds: &[KindRecord], org: &OrgId) -> Result<Snapshot, Problem> {
    let mut live = Vec::with_capacity(rows.len());
    let mut declared = Vec::with_capacity(rows.len());
    let key = |text: String| Key::new(text).map_err(|error| invalid(&error));
    for row in rows {
        let (address, org) = (against::address(&row.kind, &row.name)?, row.org.as_ref().unwrap_or(org));
        if let Some((source, declaration)) = row.declared {
            declared.push((key(keys::desired(org, &source, &address))?, Entry::of(declaration)));
        }
        live.push((key(keys::live(org, &address))?, Entry::of(row.record)));
    }
    live.sort_by(|(left, _), (right, _)| left.cmp(right));
    let twice = live.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0.as_str());
    if let Some((org, address)) = twice.and_then(keys::live_address) {
        let message = format!("the state has `{address}` of organisation `{org}` twice");
        return Err(Problem::new(ProblemKind::Invalid, "E_STATE", message).help("keep one of the two rows"));
    }
    let kind = |record: &KindRecord| Ok((key(keys::kind(org, &record.definition.name))?, Entry::of(json(record))));
    let kinds: Vec<(Key, Entry)> = kinds.iter().map(kind).collect::<Result<_, Problem>>()?;
    Ok(Snapshot::of(declared.into_iter().chain(kinds).chain(live)))
}

fn invalid(error: &dyn std::error::Error) -> Problem {
    Problem::from_error(ProblemKind::Invalid, "E_STATE", error)
}
