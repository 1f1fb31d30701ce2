//! Planning: from desired state and a snapshot to a plan, and to the writes that would carry it out.
//!
//! Pure. The rows are made in `planner/rows.rs` and `planner/undeclared.rs` of what `diff.rs` says, what sessions would see
//! comes from `effect.rs`, what blocks from `guard.rs`; here they are put together, counted and sealed under the plan's id.
//! Never here: writing, drawing, and where manifests come from.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_engine::{Difference, Digest, Revision, Snapshot, Timestamp};

use crate::addresses::Addresses;
use crate::agents::resolver::{SystemEnvironment, World};
use crate::agents::{kinds, references};
use crate::desired::Desired;
use crate::effect;
use crate::error::{Problem, ProblemKind};
use crate::guard;
use crate::kind::Kinds;
use crate::kind_record::{self, KindRecord};
use crate::moves::{Known, Moves};
use crate::own_kind::OwnKind;
use crate::placing::{self, Findings};
use crate::plan::{
    Action, Base, Blocked, Change, FORMAT_VERSION, KindChange, Plan, PlanOptions, Reason, Source, Summary,
};
use crate::resource::{Address, Declaration, KindName, OrgId, Record, SourceName, keys};
use crate::secret::{KeyRing, SecretValues};
use crate::vault::{self, Vault};

mod allowing;
mod blocking;
mod holding;
mod kind_rows;
mod renames;
mod rows;
mod scope;
mod sources;
mod standing;
mod taking;
mod undeclared;

pub(crate) use scope::Standing;
use scope::{Notes, Part, Scope};
pub(crate) use sources::known_sources;
pub use sources::{organisations, source_name, sources};

/// What is known about the master key while planning.
#[derive(Clone, Debug)]
pub enum RingState {
    /// It is at hand.
    AtHand(Arc<KeyRing>),
    /// There is none yet; the first apply makes it.
    NotMade,
    /// It is elsewhere: the state came without its store.
    Elsewhere,
}

/// Everything that a plan depends on.
#[derive(Clone, Copy)]
pub struct PlanInput<'p> {
    /// The kinds.
    pub kinds: &'p Kinds,
    /// The state.
    pub snapshot: &'p Snapshot,
    /// The organisation.
    pub org: &'p OrgId,
    /// The source.
    pub source: &'p SourceName,
    /// What the manifests declare.
    pub desired: &'p Desired,
    /// What the caller allows.
    pub options: &'p PlanOptions,
    /// The master key.
    pub ring: &'p RingState,
    /// What opens sealed values.
    pub vault: &'p dyn Vault,
    /// The environment of the host.
    pub system: &'p SystemEnvironment,
    /// The time that expiry is compared with.
    pub now: Timestamp,
}

/// One write of an apply.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A live record, with the secret values to seal anew and the paths of those that stay or go.
    Live {
        /// Which resource.
        address: Address,
        /// The record.
        record: Record,
        /// The values to seal; empty if none changes.
        seal: SecretValues,
        /// Whether sealed values change at all, be it by removal.
        reseal: bool,
    },
    /// A live record that gets another address. All of its sealed values are sealed anew: they are bound to the address.
    Moved {
        /// The address that it had.
        from: Address,
        /// The address that it gets.
        to: Address,
        /// The record; the tags of its secrets are made when they are sealed.
        record: Record,
        /// The values that are new; the others are taken along.
        seal: SecretValues,
    },
    /// The end of a live record.
    Gone(Address),
    /// What the source declares of a resource.
    Declared(Address, Declaration),
    /// The source declares it no longer.
    Undeclared(Address),
    /// What the store knows of a kind; without a record it forgets it.
    Kind(KindName, Option<KindRecord>),
}

/// A plan with what carries it out.
#[derive(Debug)]
#[must_use = "a planned change does nothing until it is applied"]
pub struct Planned {
    /// What is shown.
    pub plan: Plan,
    /// What an apply writes, in the order of the rows.
    pub writes: Vec<Write>,
    /// Every key whose value the plan depends on: an apply requires them to be as they were.
    pub reads: BTreeSet<String>,
}

/// Makes a plan.
///
/// # Errors
/// A record that cannot be read, or a master key that is not the one the secrets to compare were sealed under.
pub fn plan(input: PlanInput<'_>) -> Result<Planned, Problem> {
    Planner::new(input, Scope::whole(&input), None)?.run().map(|(planned, _)| planned)
}

/// Makes a plan that is shown and not applied, and keeps what the next one of the source can start from.
///
/// # Errors
/// As for [`plan`].
pub(crate) fn plan_and_keep(input: PlanInput<'_>) -> Result<(Plan, Option<Standing>), Problem> {
    let (planned, notes) = Planner::new(input, Scope::whole(&input), Some(Notes::default()))?.run()?;
    Ok((planned.plan, notes.and_then(|notes| Standing::of(&input, notes))))
}

/// Makes the same plan as [`plan`], from what stood before and what differs in the store since; none if everything is to be
/// looked at. It cannot be applied: it does not know all that it depends on.
///
/// # Errors
/// As for [`plan`].
pub(crate) fn plan_from(
    input: PlanInput<'_>,
    standing: &Standing,
    since: &[Difference],
) -> Result<Option<Plan>, Problem> {
    let Some(part) = Part::new(&input, standing, since) else { return Ok(None) };
    let (planned, _) = Planner::new(input, Scope::Part(part), None)?.run()?;
    Ok(Some(planned.plan))
}

struct Planner<'p> {
    input: PlanInput<'p>,
    /// The built-in kinds, those that the store knows, and those that the manifests declare; the last one counts.
    kinds: Arc<Kinds>,
    scope: Scope<'p>,
    notes: Option<Notes>,
    moves: Moves,
    kinds_changed: Vec<KindChange>,
    unmanaged: Vec<Address>,
    changes: Vec<Change>,
    blocked: Vec<Blocked>,
    blocked_rows: BTreeSet<Address>,
    /// What is declared for blocked resources, for the plan's id.
    behind: Vec<u8>,
    unchanged: Addresses,
    adopts: Vec<Address>,
    findings: Findings,
    missing: bool,
    writes: Vec<Write>,
    reads: BTreeSet<String>,
    pending: BTreeSet<Address>,
    /// The fields that are taken from whoever set them.
    taken: BTreeSet<(Address, String)>,
}

impl<'p> Planner<'p> {
    fn new(input: PlanInput<'p>, scope: Scope<'p>, notes: Option<Notes>) -> Result<Self, Problem> {
        let mut kinds = kind_record::known(input.kinds, input.snapshot, input.org)?;
        kinds.add(input.desired.kinds.iter().map(OwnKind::spec));
        let before = |address: &Address| keys::desired(input.org, input.source, address);
        let known = Known {
            snapshot: input.snapshot,
            org: input.org,
            declared: &|address| scope.declares(address.kind.as_str(), address.name.as_str()),
            before: &|address| input.snapshot.get(&before(address)).is_some(),
        };
        let moves = Moves::settle(&input.desired.moved, &known)?;
        Ok(Self {
            input,
            kinds: Arc::new(kinds),
            scope,
            notes,
            moves,
            kinds_changed: Vec::new(),
            unmanaged: Vec::new(),
            changes: Vec::new(),
            blocked: Vec::new(),
            blocked_rows: BTreeSet::new(),
            behind: Vec::new(),
            unchanged: Addresses::default(),
            adopts: Vec::new(),
            findings: Findings::after(input.desired.diagnostics.clone()),
            missing: false,
            writes: Vec::new(),
            reads: BTreeSet::new(),
            pending: BTreeSet::new(),
            taken: BTreeSet::new(),
        })
    }

    fn run(mut self) -> Result<(Planned, Option<Notes>), Problem> {
        self.check_master_key()?;
        self.check_takes()?;
        self.declared_rows()?;
        self.removed_rows()?;
        self.unmanaged_rows();
        self.kind_rows()?;
        let notes = self.notes.take();
        Ok((self.finish()?, notes))
    }

    fn check_master_key(&mut self) -> Result<(), Problem> {
        let PlanInput { snapshot, org, vault, .. } = self.input;
        let sealed = match &self.scope {
            Scope::Whole(_) => vault::sealed(snapshot, org),
            Scope::Part(part) => {
                vault::sealed_of(org, part.sealed.iter().filter_map(|key| Some((*key, snapshot.get(key.as_str())?))))
            }
        };
        if let Some(notes) = &mut self.notes {
            notes.sealed = sealed.iter().map(|(_, key, _)| key.clone()).collect();
        }
        vault::check_opens(org, &sealed, vault)
    }

    /// What the source declared of a resource before.
    fn before(&self, address: &Address) -> Result<Option<Arc<Declaration>>, Problem> {
        let key = keys::desired(self.input.org, self.input.source, address);
        let entry = self.input.snapshot.get(&key);
        entry.map(vault::declaration).transpose().map_err(|_| damaged(&key))
    }

    fn wanted(&self, kind: &str) -> bool {
        let PlanOptions { only, rollback, .. } = self.input.options;
        // A rollback keeps secrets as they are.
        let kept = rollback.is_some() && kind == kinds::SECRET;
        !kept && (only.is_empty() || only.contains(kind))
    }

    fn finish(mut self) -> Result<Planned, Problem> {
        let PlanInput { snapshot, org, source, desired, options, vault, system, now, .. } = self.input;
        let kinds = Arc::clone(&self.kinds);
        let kinds = kinds.as_ref();
        // Rows of one kind stay together, deletes among the others, each in the order of names.
        self.changes.sort_by_cached_key(|change| (kinds.order(change.kind.as_str()), change.address.clone()));
        let world = World { snapshot, org, vault, system, now };
        self.unresolved_references(world);
        self.note_takes();
        self.note_allowed();
        self.note_renames();
        let effects = effect::foresee(world, &self.writes, &self.pending, &self.blocked_rows);
        for change in &mut self.changes {
            if options.rollback.is_some() {
                // The places are those of then.
                (change.reason, change.at) = (Reason::Rollback, None);
                change.fields.iter_mut().for_each(|field| field.at = None);
            }
            change.affects = effects.affects.get(&keys::live(org, &change.address)).cloned().unwrap_or_default();
        }
        if options.rollback.is_some() {
            // What a rollback declares may never have had a place, and the places are those of then.
            self.findings.unplaced.clear();
            self.blocked.iter_mut().for_each(|blocked| blocked.at = None);
        }
        self.reads.extend(effects.reads);
        let (summary, before) = (self.summary(), keys::desired_prefix(org, source));
        let mut breaks = guard::breaks(&effects.sessions, &options.allow_break, snapshot.revision());
        breaks.iter_mut().for_each(|breaking| breaking.at = placing::of_agent(&self.changes, &breaking.address));
        self.blocked.extend(breaks);
        self.blocked.extend(guard::deletes(guard::Deletes {
            changes: &self.changes,
            kinds,
            declared_before: snapshot
                .prefix(&before)
                .filter_map(|(key, _)| key.as_str()[before.len()..].split('/').next()),
            empty: desired.resources.is_empty(),
            rollback: options.rollback,
            told: options.allow_delete,
            rows_blocked: summary.blocked > 0,
            revision: snapshot.revision(),
        }));
        let texts = |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect();
        let mut plan = Plan {
            format_version: FORMAT_VERSION.to_owned(),
            plan_id: String::new(),
            applyable: self.blocked.is_empty() && !self.missing,
            org: org.clone(),
            base: Base { revision: snapshot.revision(), commit: snapshot.commit_id().to_string() },
            source: Source { name: source.clone(), git: desired.git.clone(), digest: desired.digest.clone() },
            rollback: options.rollback,
            summary,
            unmanaged: texts(&self.unmanaged),
            unchanged: self.unchanged,
            adopts: texts(&self.adopts),
            kinds: self.kinds_changed,
            changes: self.changes,
            blocked: self.blocked,
            sessions: effects.sessions,
            diagnostics: self.findings.list,
            unplaced: self.findings.unplaced,
        };
        plan.plan_id = plan_id(&mut plan, &self.behind);
        Ok(Planned { plan, writes: self.writes, reads: self.reads })
    }

    /// References that a session would look for in vain.
    fn unresolved_references(&mut self, world: World<'_>) {
        let desired = self.input.desired;
        let declares = |name: &str| self.scope.declares(kinds::SECRET, name);
        for declared in self.scope.looked(&desired.resources) {
            for (found, path) in references::unresolved(world, declared, &declares) {
                self.findings.tell(found, declared, &path);
            }
        }
    }

    fn summary(&self) -> Summary {
        let count = |action: Action| self.changes.iter().filter(|change| change.action == action).count() as u64;
        Summary {
            create: count(Action::Create),
            update: count(Action::Update),
            delete: count(Action::Delete),
            moved: count(Action::Move),
            blocked: self.blocked_rows.len() as u64,
            unmanaged: self.unmanaged.len() as u64,
            unchanged: self.unchanged.len() as u64,
        }
    }
}

/// Kind and name of an address.
fn parts(address: &Address) -> (&str, &str) {
    (address.kind.as_str(), address.name.as_str())
}

/// The digest of all that the plan would do and foresees. Where the manifests lie and on which revision it was made do not
/// count, so that a plan stays good while nothing that it is about changes; and of what stays as it is only how much that is.
/// `behind` is what is declared for the resources that are blocked.
fn plan_id(plan: &mut Plan, behind: &[u8]) -> String {
    let unchanged = std::mem::take(&mut plan.unchanged);
    let mut bare = plan.clone();
    plan.unchanged = unchanged;
    bare.base = Base { revision: Revision::ZERO, commit: String::new() };
    bare.source.git = None;
    bare.source.digest = String::new();
    bare.diagnostics.clear();
    bare.unplaced.clear();
    for change in &mut bare.changes {
        change.at = None;
        change.fields.iter_mut().for_each(|field| field.at = None);
    }
    bare.blocked.iter_mut().for_each(|blocked| (blocked.revision, blocked.at) = (None, None));
    let bytes = serde_json::to_vec(&bare).expect("a plan is always JSON");
    match behind {
        [] => Digest::of_parts("holdfast plan", &[&bytes]),
        behind => Digest::of_parts("holdfast plan", &[&bytes, behind]),
    }
    .to_string()
}

pub(crate) fn damaged(key: &str) -> Problem {
    Problem::new(ProblemKind::Internal, "E_DAMAGED", format!("the record `{key}` is damaged"))
        .help("run `reconcile verify`")
}
