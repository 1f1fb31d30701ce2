//! Planning: from desired state and a snapshot to a plan, and to the writes that would carry it out.
//!
//! Pure. The rows come from `diff.rs`, what sessions would see from `effect.rs`, what blocks from `guard.rs`; here they are
//! put together, counted and sealed under the plan's id. Never here: writing, drawing, and where manifests come from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_engine::{Digest, Snapshot};

use crate::agents::resolver::{SystemEnvironment, World};
use crate::agents::{kinds, references};
use crate::desired::{Declared, Desired};
use crate::diagnostic::{Diagnostic, Label, Position};
use crate::diff::{self, Conflict, NewTag};
use crate::effect;
use crate::error::{Problem, ProblemKind};
use crate::guard;
use crate::kind::{Effect, KindSpec, Kinds};
use crate::plan::{Action, Base, Blocked, Change, FORMAT_VERSION, Plan, PlanOptions, Reason, Source, Summary};
use crate::resource::{Address, Declaration, OrgId, Record, SourceName, keys};
use crate::secret::{KeyRing, SecretValues};
use crate::vault::{self, Vault, record};
use holdfast_engine::{Revision, Timestamp};

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
    /// The end of a live record.
    Gone(Address),
    /// What the source declares of a resource.
    Declared(Address, Declaration),
    /// The source declares it no longer.
    Undeclared(Address),
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
    if let Some(moved) = input.desired.moved.first() {
        // Without it the move would be a delete and a create, which is what the entry is there to prevent.
        let message = format!("cannot plan the move of `{}` to `{}`", moved.from, moved.to);
        let problem = Problem::new(ProblemKind::Invalid, "E_MOVED", message);
        return Err(problem.help("this version reads `[[moved]]` and does not carry it out yet; take the entry out"));
    }
    let mut planner = Planner::new(input)?;
    vault::check_master_key(input.snapshot, input.org, input.vault)?;
    planner.declared_rows()?;
    planner.removed_rows();
    planner.unmanaged_rows();
    planner.finish()
}

/// Works out under which name the source plans: the name that the manifest gives, else the organisation's only source if
/// this project declares a resource of it, else the directory's.
pub fn source_name(snapshot: &Snapshot, org: &OrgId, desired: &Desired) -> SourceName {
    if let Some(name) = &desired.source.name {
        return name.clone();
    }
    let mut sources = sources(snapshot, org).into_iter();
    match (sources.next(), sources.next()) {
        (Some(only), None) => {
            let ours = |declared: &Declared| snapshot.get(&keys::desired(org, &only, &declared.address)).is_some();
            if desired.resources.iter().any(ours) { only } else { desired.source.directory.clone() }
        }
        (_, _) => desired.source.directory.clone(),
    }
}

/// The sources that declare something in an organisation, in order.
pub fn sources(snapshot: &Snapshot, org: &OrgId) -> Vec<SourceName> {
    children(snapshot, &keys::desired_all(org)).filter_map(|name| SourceName::new(name).ok()).collect()
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

struct Planner<'p> {
    input: PlanInput<'p>,
    before: BTreeMap<Address, Arc<Declaration>>,
    unmanaged: Vec<Address>,
    changes: Vec<Change>,
    blocked: Vec<Blocked>,
    blocked_rows: BTreeSet<Address>,
    unchanged: Vec<Address>,
    adopts: Vec<Address>,
    diagnostics: Vec<Diagnostic>,
    missing: bool,
    writes: Vec<Write>,
    reads: BTreeSet<String>,
    pending: BTreeSet<Address>,
}

impl<'p> Planner<'p> {
    fn new(input: PlanInput<'p>) -> Result<Self, Problem> {
        let prefix = keys::desired_prefix(input.org, input.source);
        let mut before = BTreeMap::new();
        for (key, entry) in input.snapshot.prefix(&prefix) {
            let address: Option<Address> = key.as_str()[prefix.len()..].parse().ok();
            let declaration = entry.decoded(|bytes| serde_json::from_slice::<Declaration>(bytes));
            let (Some(address), Ok(declaration)) = (address, declaration) else {
                return Err(damaged(key.as_str()));
            };
            before.insert(address, declaration);
        }
        Ok(Self {
            input,
            before,
            unmanaged: Vec::new(),
            changes: Vec::new(),
            blocked: Vec::new(),
            blocked_rows: BTreeSet::new(),
            unchanged: Vec::new(),
            adopts: Vec::new(),
            diagnostics: input.desired.diagnostics.clone(),
            missing: false,
            writes: Vec::new(),
            reads: BTreeSet::new(),
            pending: BTreeSet::new(),
        })
    }

    fn wanted(&self, kind: &str) -> bool {
        self.input.options.only.is_empty() || self.input.options.only.contains(kind)
    }

    fn declared_rows(&mut self) -> Result<(), Problem> {
        let desired = self.input.desired;
        let mut rows: Vec<&Declared> = desired.resources.iter().collect();
        rows.sort_by_cached_key(|row| (self.input.kinds.order(row.address.kind.as_str()), row.address.clone()));
        for declared in rows {
            if self.wanted(declared.address.kind.as_str()) {
                self.declared_row(declared)?;
            }
        }
        Ok(())
    }

    fn declared_row(&mut self, declared: &Declared) -> Result<(), Problem> {
        let address = &declared.address;
        let key = keys::live(self.input.org, address);
        let entry = self.input.snapshot.get(&key);
        let live = match entry.map(|entry| (record(entry), entry.modified())) {
            None => None,
            Some((Ok(record), modified)) => Some((record, modified)),
            Some((Err(_), _)) => return Err(damaged(&key)),
        };
        let Some(kind) = self.input.kinds.get(address.kind.as_str()) else {
            let problem =
                Problem::new(ProblemKind::Invalid, "E_UNKNOWN_KIND", format!("cannot plan `{address}`: unknown kind"));
            return Err(
                problem.help("kinds of one's own are checked by this version and not yet planned; leave them out")
            );
        };
        let tags = self.new_tags(declared);
        let before = self.before.get(address).cloned();
        let outcome = diff::diff(diff::Inputs {
            kind,
            source: self.input.source.as_str(),
            on_drift: self.input.desired.on_drift,
            now: declared,
            before: before.as_deref(),
            live: live.as_ref().map(|(record, modified)| (record.as_ref(), *modified)),
            tags: &tags,
        });
        self.reads.insert(key);
        self.note(declared, &outcome);
        if !outcome.conflicts.is_empty() {
            let conflicts = outcome.conflicts.iter().map(|conflict| self.blocked_by(address, kind, conflict));
            self.blocked.extend(conflicts.collect::<Vec<_>>());
            self.blocked_rows.insert(address.clone());
            return Ok(());
        }
        let declaration = declaration(declared, &outcome.record);
        let declares_anew = before.as_deref().is_none_or(|before| !before.same(&declaration));
        let created = live.is_none();
        if created || !outcome.fields.is_empty() {
            let action = if created { Action::Create } else { Action::Update };
            let reason =
                if created { Reason::NewInManifest } else { outcome.reason.unwrap_or(Reason::ManifestChanged) };
            self.changes.push(Change {
                fields: outcome.fields,
                at: declared.at.clone(),
                ..self.change(address, kind.effect, action, reason)
            });
        } else {
            self.unchanged.push(address.clone());
            if outcome.adopts || declares_anew {
                self.adopts.push(address.clone());
            }
        }
        if created || live.as_ref().is_some_and(|(live, _)| **live != outcome.record) || !outcome.seals.is_empty() {
            let value = |path: &String| Some((path.clone(), declared.secrets.get(path)?.value.clone()?));
            let seal: SecretValues = outcome.seals.iter().filter_map(value).collect();
            if !seal.is_empty() || !outcome.missing.is_empty() {
                self.pending.insert(address.clone());
            }
            let reseal = !outcome.seals.is_empty();
            self.writes.push(Write::Live { address: address.clone(), record: outcome.record, seal, reseal });
        }
        if declares_anew {
            self.writes.push(Write::Declared(address.clone(), declaration));
        }
        Ok(())
    }

    fn change(&self, address: &Address, effect: Effect, action: Action, reason: Reason) -> Change {
        Change {
            address: address.clone(),
            org: self.input.org.clone(),
            kind: address.kind.clone(),
            name: address.name.clone(),
            action,
            reason,
            fields: Vec::new(),
            effect: effect.as_text().to_owned(),
            affects: Vec::new(),
            at: None,
        }
    }

    fn new_tags(&self, declared: &Declared) -> BTreeMap<String, NewTag> {
        let known = declared.secrets.iter().filter_map(|(path, secret)| Some((path, secret.value.as_ref()?)));
        known
            .map(|(path, value)| {
                let tag = match self.input.ring {
                    RingState::AtHand(ring) => NewTag::Known(ring.tag(self.input.org, &declared.address, path, value)),
                    RingState::NotMade => NewTag::NoKeyYet,
                    RingState::Elsewhere => NewTag::NotComparable,
                };
                (path.clone(), tag)
            })
            .collect()
    }

    /// Findings that are about values: what is missing, what stays as it is sealed, what yields to somebody else.
    fn note(&mut self, declared: &Declared, outcome: &diff::Outcome) {
        let place = |path: &str| declared.field_at.get(path).or(declared.at.as_ref()).cloned().map(bare_label);
        let mut say = |diagnostic: Diagnostic, path: &str| {
            self.diagnostics.push(match place(path) {
                Some(label) => diagnostic.label(label),
                None => diagnostic,
            });
        };
        for path in &outcome.missing {
            let Some(secret) = declared.secrets.get(path) else { continue };
            let message = format!("`{}` has no value, and `{}` is sealed nowhere", secret.origin, declared.address);
            let help = format!("set `{}` and run again; an apply is refused until then", secret.origin);
            say(Diagnostic::warning("W_MISSING_VALUE", message).help(help), path);
            self.missing = true;
        }
        for path in &outcome.kept {
            let Some(secret) = declared.secrets.get(path) else { continue };
            let message =
                format!("`{}` has no value here; `{}` stays as it is sealed", secret.origin, declared.address);
            say(Diagnostic::note("N_KEPT_VALUE", message), path);
        }
        for (field, owner) in &outcome.yielded {
            let message = format!("`{}` of `{}` stays as `{owner}` set it", field, declared.address);
            say(Diagnostic::note("N_DRIFT_KEPT", message), field);
        }
    }

    fn blocked_by(&self, address: &Address, kind: &KindSpec, conflict: &Conflict) -> Blocked {
        let Conflict { path, owner, revision, declared, live, other_source } = conflict;
        let field = path.top();
        if kind.field(field).immutable {
            return Blocked {
                code: "E_IMMUTABLE".to_owned(),
                address: address.to_string(),
                path: Some(path.clone()),
                owner: None,
                revision: Some(*revision),
                message: format!("`{field}` of `{address}` cannot be changed"),
                remedies: vec![format!("remove `{address}`, apply, and declare it anew")],
            };
        }
        let shown =
            |value: &Option<crate::value::Value>| value.as_ref().map_or("(secret)".to_owned(), ToString::to_string);
        let (code, message) = match (other_source, field) {
            (true, "") => ("E_OTHER_SOURCE", format!("`{address}` is declared by source `{owner}`")),
            (true, _) => ("E_OTHER_SOURCE", format!("`{field}` of `{address}` is declared by source `{owner}`")),
            (false, _) => {
                let values = format!("manifest: {}, live: {}", shown(declared), shown(live));
                ("E_CONFLICT", format!("`{field}` of `{address}` was set by `{owner}` in {revision} ({values})"))
            }
        };
        let remedies = if *other_source {
            vec![format!("delete it from one of the two projects")]
        } else {
            vec![
                format!("reconcile adopt {address} {field}"),
                format!("reconcile --take '{address} {field}={revision}'"),
                format!("delete `{field}` from the manifest"),
            ]
        };
        Blocked {
            code: code.to_owned(),
            address: address.to_string(),
            path: Some(path.clone()).filter(|path| !path.steps().is_empty()),
            owner: Some(owner.clone()),
            revision: Some(*revision),
            message,
            remedies,
        }
    }

    /// Resources that the source declared before and does no longer.
    fn removed_rows(&mut self) {
        let declared: BTreeSet<&Address> =
            self.input.desired.resources.iter().map(|declared| &declared.address).collect();
        let mut gone: Vec<Address> =
            self.before.keys().filter(|address| !declared.contains(address)).cloned().collect();
        gone.retain(|address| self.wanted(address.kind.as_str()));
        gone.sort_by_cached_key(|address| (self.input.kinds.order(address.kind.as_str()), address.clone()));
        for address in gone {
            self.writes.push(Write::Undeclared(address.clone()));
            let key = keys::live(self.input.org, &address);
            let live = self.input.snapshot.get(&key).and_then(|entry| Some((record(entry).ok()?, entry.modified())));
            self.reads.insert(key);
            let Some((live, modified)) = live else { continue };
            if live.owner.as_deref() != Some(self.input.source.as_str()) {
                continue;
            }
            if let Some(heir) = self.other_declarer(&address) {
                self.hand_over(&address, &live, &heir);
                continue;
            }
            let protected = self.before.get(&address).is_some_and(|before| before.lifecycle.prevent_delete);
            if let Some(blocked) = guard::protected(&address, modified, protected, &self.input.desired.protect) {
                self.blocked.push(blocked);
                self.blocked_rows.insert(address);
                continue;
            }
            let effect = self.input.kinds.get(address.kind.as_str()).map_or(Effect::default(), |kind| kind.effect);
            let at = self.before.get(&address).and_then(|before| before.at.clone());
            let change = self.change(&address, effect, Action::Delete, Reason::RemovedFromManifest);
            self.changes.push(Change { at, ..change });
            self.writes.push(Write::Gone(address));
        }
    }

    /// Another source that declares the same resource, as two may do with a secret.
    fn other_declarer(&self, address: &Address) -> Option<SourceName> {
        let declares =
            |source: &SourceName| self.input.snapshot.get(&keys::desired(self.input.org, source, address)).is_some();
        sources(self.input.snapshot, self.input.org)
            .into_iter()
            .find(|source| source != self.input.source && declares(source))
    }

    fn hand_over(&mut self, address: &Address, live: &Record, heir: &SourceName) {
        let ours = |owner: &String| owner == self.input.source.as_str();
        let mut record = live.clone();
        record.owner = Some(heir.to_string());
        for owner in record.owners.values_mut().filter(|owner| ours(owner)) {
            *owner = heir.to_string();
        }
        self.writes.push(Write::Live { address: address.clone(), record, seal: SecretValues::new(), reseal: false });
        self.adopts.push(address.clone());
    }

    /// Live resources of no source.
    fn unmanaged_rows(&mut self) {
        let declared: BTreeSet<&Address> =
            self.input.desired.resources.iter().map(|declared| &declared.address).collect();
        let prefix = keys::live_prefix(self.input.org);
        for (key, entry) in self.input.snapshot.prefix(&prefix) {
            let Ok(address) = key.as_str()[prefix.len()..].parse::<Address>() else { continue };
            if declared.contains(&address) || !self.wanted(address.kind.as_str()) {
                continue;
            }
            let managed =
                record(entry).is_ok_and(|record| record.owner.as_ref().is_some_and(|owner| !owner.contains(':')));
            if !managed {
                self.unmanaged.push(address);
            }
        }
        let kinds = self.input.kinds;
        self.unmanaged.sort_by_cached_key(|address| (kinds.order(address.kind.as_str()), address.clone()));
    }

    fn finish(mut self) -> Result<Planned, Problem> {
        let PlanInput { snapshot, org, source, desired, options, vault, system, now, kinds, .. } = self.input;
        // Rows of one kind stay together, deletes among the others, each in the order of names.
        self.changes.sort_by_cached_key(|change| (kinds.order(change.kind.as_str()), change.address.clone()));
        let world = World { snapshot, org, vault, system, now };
        self.unresolved_references(world);
        let effects = effect::foresee(world, &self.writes, &self.pending);
        for change in &mut self.changes {
            change.affects = effects.affects.get(&keys::live(org, &change.address)).cloned().unwrap_or_default();
        }
        self.reads.extend(effects.reads);
        let summary = self.summary();
        self.blocked.extend(guard::breaks(&effects.sessions, &options.allow_break, snapshot.revision()));
        self.blocked.extend(guard::deletes(guard::Deletes {
            changes: &self.changes,
            kinds,
            declared_before: self.before.keys(),
            empty: desired.resources.is_empty(),
            allowed: options.allow_delete == Some(summary.delete),
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
            summary,
            unmanaged: texts(&self.unmanaged),
            unchanged: texts(&self.unchanged),
            adopts: texts(&self.adopts),
            changes: self.changes,
            blocked: self.blocked,
            sessions: effects.sessions,
            diagnostics: self.diagnostics,
        };
        plan.plan_id = plan_id(&plan);
        Ok(Planned { plan, writes: self.writes, reads: self.reads })
    }

    /// References that a session would look for in vain.
    fn unresolved_references(&mut self, world: World<'_>) {
        let desired = self.input.desired;
        let of_plan = desired.resources.iter().filter(|declared| declared.address.kind.as_str() == kinds::SECRET);
        let secrets: BTreeSet<&str> = of_plan.map(|declared| declared.address.name.as_str()).collect();
        for declared in &desired.resources {
            for (found, path) in references::unresolved(world, declared, &secrets) {
                let at = diff::position(declared, &diff::parse_path(&path));
                self.diagnostics.push(match at {
                    Some(at) => found.label(bare_label(at)),
                    None => found,
                });
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

/// A place without the line that stands there, which may hold a secret.
fn bare_label(at: Position) -> Label {
    Label { at, length: 1, source_line: String::new(), text: String::new(), primary: true }
}

/// What the store keeps of a declaration; the tags are those of the record that results.
fn declaration(declared: &Declared, record: &Record) -> Declaration {
    let tag = |path: &String| record.tags.get(path).cloned().unwrap_or_default();
    Declaration {
        fields: declared
            .fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        tags: declared.secrets.keys().map(|path| (path.clone(), tag(path))).collect(),
        lifecycle: declared.lifecycle.clone(),
        at: declared.at.clone(),
    }
}

/// The digest of all that the plan would do and foresees. Where the manifests lie and on which revision it was made do not
/// count, so that a plan stays good while nothing that it is about changes.
fn plan_id(plan: &Plan) -> String {
    let mut bare = plan.clone();
    bare.base = Base { revision: Revision::ZERO, commit: String::new() };
    bare.source.git = None;
    bare.source.digest = String::new();
    bare.diagnostics.clear();
    for change in &mut bare.changes {
        change.at = None;
        change.fields.iter_mut().for_each(|field| field.at = None);
    }
    bare.blocked.iter_mut().for_each(|blocked| blocked.revision = None);
    let bytes = serde_json::to_vec(&bare).expect("a plan is always JSON");
    Digest::of_parts("holdfast plan", &[&bytes]).to_string()
}

pub(crate) fn damaged(key: &str) -> Problem {
    Problem::new(ProblemKind::Internal, "E_DAMAGED", format!("the record `{key}` is damaged"))
        .help("run `reconcile verify`")
}
