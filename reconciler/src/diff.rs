//! The three-way diff of one resource: what was declared before, what is declared now, what is live; per field and with its
//! owner.
//!
//! Pure: it is given records and says what should become of them. Never here: the whole plan (`planner.rs`), guards,
//! sessions, and how secrets are compared (`diff/secrets.rs`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Declared, OnDrift};
use crate::diagnostic::Position;
use crate::kept_places::nearest;
use crate::kind::{FieldSpec, KindSpec};
use crate::leaves::{change, leaves, same_field, top_of, without_volatile};
use crate::plan::{FieldChange, Op, Reason};
use crate::resource::{Declaration, Record, SourceName};
use crate::value::{FieldPath, Fields, Value, is_absent, without_nulls};
use holdfast_engine::Revision;

mod secrets;

/// How the tag of a new secret value is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewTag {
    /// It was computed.
    Known(String),
    /// There is no key yet, so nothing can be sealed yet either: the value is new.
    NoKeyYet,
    /// The key is elsewhere: the value cannot be compared.
    NotComparable,
}

/// What the diff of one resource looks at.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'d> {
    /// The kind.
    pub kind: &'d KindSpec,
    /// The source that plans.
    pub source: &'d str,
    /// What to do about drift.
    pub on_drift: OnDrift,
    /// What the source declares now.
    pub now: &'d Declared,
    /// What it declared before.
    pub before: Option<&'d Declaration>,
    /// What is live, and the revision that last touched it.
    pub live: Option<(&'d Record, Revision)>,
    /// The tag of each secret value that is known now, by path.
    pub tags: &'d BTreeMap<String, NewTag>,
    /// The fields that are to be taken from whoever set them, each if the resource was last touched in this revision.
    pub takes: &'d BTreeMap<&'d str, Revision>,
    /// What other sources declare of it, as they may of a secret.
    pub others: &'d [(SourceName, Declaration)],
}

/// What should become of a declared resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome<'d> {
    /// The values that change.
    pub fields: Vec<FieldChange>,
    /// Why, if there is a change.
    pub reason: Option<Reason>,
    /// Whether the source becomes the owner of something that stays as it is.
    pub adopts: bool,
    /// The live record afterwards; borrowed if it stays as it is.
    pub record: Cow<'d, Record>,
    /// The paths of secrets that are to be sealed anew.
    pub seals: BTreeSet<String>,
    /// The paths of secrets whose value is known nowhere.
    pub missing: BTreeSet<String>,
    /// The paths of secrets whose reference has no value now and that stay as they are sealed.
    pub kept: BTreeSet<String>,
    /// What keeps it from being applied.
    pub conflicts: Vec<Conflict>,
    /// Fields that stay as somebody else set them, with that owner.
    pub yielded: Vec<(String, String)>,
    /// The fields that are taken from whoever set them.
    pub taken: BTreeSet<String>,
}

/// A field that somebody else owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The field.
    pub path: FieldPath,
    /// Who owns it.
    pub owner: String,
    /// The revision that last touched the resource.
    pub revision: Revision,
    /// What the manifest declares, null if that is nothing; none if it is sensitive.
    pub declared: Option<Value>,
    /// What is live, null if that is nothing; none if it is sensitive.
    pub live: Option<Value>,
    /// What stands in the way.
    pub obstacle: Obstacle,
}

/// What keeps a field from being set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// An actor changed it live.
    Actor,
    /// Another source declares it.
    OtherSource,
    /// Another source declares it too, with another value.
    OtherValue,
    /// The kind says that it keeps its value.
    Immutable,
}

/// Works out what should become of a declared resource.
pub fn diff(inputs: Inputs<'_>) -> Outcome<'_> {
    let mut diff = Diff { inputs, out: Outcome::default() };
    if let Some((live, _)) = inputs.live {
        diff.out.record = Cow::Borrowed(live);
    }
    diff.claim();
    if !diff.out.conflicts.is_empty() {
        return diff.out;
    }
    for field in inputs.now.fields.keys() {
        diff.field(field);
    }
    for (path, input) in &inputs.now.secrets {
        diff.secret(path, input);
    }
    diff.removed_fields();
    diff.removed_secrets();
    diff.out.fields.sort_by(|left, right| left.path.cmp(&right.path));
    diff.out
}

struct Diff<'d> {
    inputs: Inputs<'d>,
    out: Outcome<'d>,
}

/// Who holds a field, as this source sees it.
enum Holder {
    Us,
    Nobody,
    Actor(String),
    OtherSource(String),
}

impl<'d> Diff<'d> {
    fn live(&self) -> Option<&'d Record> {
        self.inputs.live.map(|(record, _)| record)
    }

    fn holder_of(&self, owner: Option<&String>) -> Holder {
        match owner {
            None => Holder::Nobody,
            Some(owner) if owner == self.inputs.source => Holder::Us,
            Some(owner) if owner.contains(':') => Holder::Actor(owner.clone()),
            Some(owner) => Holder::OtherSource(owner.clone()),
        }
    }

    /// The actor that holds a field, if one does.
    fn actor(&self, field: &str) -> Option<String> {
        match self.holder(field) {
            Holder::Actor(owner) => Some(owner),
            Holder::Us | Holder::Nobody | Holder::OtherSource(_) => None,
        }
    }

    fn holder(&self, field: &str) -> Holder {
        self.holder_of(self.live().and_then(|live| live.owners.get(field)))
    }

    /// The resource itself: a new one or one of nobody becomes ours; one of another source is a conflict.
    fn claim(&mut self) {
        let holder = self.holder_of(self.live().and_then(|live| live.owner.as_ref()));
        match holder {
            Holder::Us => {}
            Holder::OtherSource(_) if self.co_owned() => {}
            Holder::OtherSource(owner) => self.conflict(FieldPath::default(), owner, Obstacle::OtherSource),
            Holder::Nobody | Holder::Actor(_) => {
                self.out.record.to_mut().owner = Some(self.inputs.source.to_owned());
                self.out.adopts = self.inputs.live.is_some();
            }
        }
    }

    fn field(&mut self, field: &str) {
        let (inputs, spec) = (self.inputs, self.inputs.kind.field(field));
        if inputs.live.is_some() && inputs.now.lifecycle.ignore.iter().any(|ignored| ignored == field) {
            return;
        }
        let live = self.live().and_then(|live| live.fields.get(field));
        let now = inputs.now.fields.get(field);
        let same = same_field(now, live, spec);
        match (self.holder(field), same) {
            (Holder::Us, true) => {}
            (Holder::OtherSource(owner), _) => self.conflict(FieldPath::field(field), owner, Obstacle::OtherSource),
            (Holder::Nobody | Holder::Actor(_), true) if now.is_none_or(is_absent) => {}
            (Holder::Actor(_), true) if spec.implied => {}
            (Holder::Nobody | Holder::Actor(_), true) => {
                self.out.adopts |= inputs.live.is_some();
                self.own(field);
            }
            (Holder::Actor(_), false) if self.takes(field) => self.set(field, now, live, Reason::Take),
            (Holder::Actor(owner), false) if spec.implied => self.out.yielded.push((field.to_owned(), owner)),
            (Holder::Actor(owner), false) if self.declared_before(field) => match inputs.on_drift {
                OnDrift::Block => self.conflict(FieldPath::field(field), owner, Obstacle::Actor),
                OnDrift::Keep => self.out.yielded.push((field.to_owned(), owner)),
                OnDrift::Revert => self.set(field, now, live, Reason::DriftRepair),
            },
            (Holder::Us | Holder::Nobody | Holder::Actor(_), false) => {
                self.set(field, now, live, self.changed(spec));
            }
        }
    }

    /// Whether the caller takes a field over and its resource is still as he saw it.
    fn takes(&self, field: &str) -> bool {
        let seen = self.inputs.takes.get(field);
        seen.is_some() && seen.copied() == self.inputs.live.map(|(_, modified)| modified)
    }

    /// Why a field is declared otherwise than before. No manifest can write an implied value: if everything else is declared as
    /// it was, this version of the program implies another.
    fn changed(&self, spec: &FieldSpec) -> Reason {
        let written = |declared: &'d Fields| declared.keys().filter(|field| !self.inputs.kind.field(field).implied);
        let now = &self.inputs.now.fields;
        let as_it_was = |before: &'d Declaration| {
            let mut fields = written(&before.fields).chain(written(now));
            fields.all(|field| same_field(now.get(field), before.fields.get(field), self.inputs.kind.field(field)))
        };
        match self.inputs.before.filter(|_| spec.implied) {
            Some(before) if as_it_was(before) => Reason::DefaultChanged,
            Some(_) | None => Reason::ManifestChanged,
        }
    }

    fn declared_before(&self, field: &str) -> bool {
        self.inputs.before.is_some_and(|before| before.fields.contains_key(field))
    }

    fn set(&mut self, field: &str, now: Option<&Value>, live: Option<&Value>, reason: Reason) {
        let spec = self.inputs.kind.field(field);
        let now = without_volatile(now.cloned().map(without_nulls).unwrap_or_default(), spec);
        let mut changes = match self.inputs.live {
            Some(_) => leaves(&FieldPath::field(field), live, Some(&now), spec),
            None => vec![change(FieldPath::field(field), None, Some(&now))],
        };
        if changes.iter().any(|change| is_fixed(spec, change)) {
            return self.immutable(FieldPath::field(field));
        }
        let owner = self.actor(field);
        // A value that has become a secret is told with the secrets.
        changes.retain(|change| !self.inputs.now.secrets.contains_key(&change.path.to_string()));
        for change in &mut changes {
            conceal(spec, change);
            change.owner.clone_from(&owner);
            change.at = position(self.inputs.now, &change.path);
        }
        self.out.fields.extend(changes);
        self.reason(reason);
        if reason == Reason::Take {
            self.out.taken.insert(field.to_owned());
        }
        self.own(field);
        let record = self.out.record.to_mut();
        if is_absent(&now) {
            record.fields.remove(field);
        } else {
            record.fields.insert(field.to_owned(), now);
        }
    }

    fn own(&mut self, field: &str) {
        self.out.record.to_mut().owners.insert(field.to_owned(), self.inputs.source.to_owned());
    }

    /// What overwrites somebody is worth telling even if the manifest changed too; a default is the reason only if nothing
    /// else is one.
    fn reason(&mut self, reason: Reason) {
        let weight = |reason: Option<Reason>| match reason {
            None => 0,
            Some(Reason::DefaultChanged) => 1,
            Some(Reason::DriftRepair) => 3,
            Some(Reason::Take) => 4,
            Some(_) => 2,
        };
        if weight(Some(reason)) > weight(self.out.reason) {
            self.out.reason = Some(reason);
        }
    }

    /// Fields that this source owns and declares no longer leave; those of others stay.
    fn removed_fields(&mut self) {
        let Some(live) = self.live() else { return };
        let gone: Vec<&String> = live
            .owners
            .iter()
            .filter(|(field, owner)| *owner == self.inputs.source && !self.is_declared(field))
            .map(|(field, _)| field)
            .collect();
        for field in gone {
            if self.inputs.kind.field(field).immutable && live.fields.get(field).is_some_and(|value| !is_absent(value))
            {
                self.immutable(FieldPath::field(field));
                continue;
            }
            let record = self.out.record.to_mut();
            record.owners.remove(field);
            let Some(value) = record.fields.remove(field) else { continue };
            if !is_absent(&value) {
                let mut gone = change(FieldPath::field(field), Some(&value), None);
                let spec = self.inputs.kind.field(field);
                conceal(spec, &mut gone);
                self.out.fields.push(gone);
                self.reason(self.changed(spec));
            }
        }
    }

    fn is_declared(&self, field: &str) -> bool {
        is_declared(self.inputs.now, field)
    }

    fn immutable(&mut self, path: FieldPath) {
        let owner = self.live().and_then(|live| live.owners.get(path.top()).cloned()).unwrap_or_default();
        self.conflict(path, owner, Obstacle::Immutable);
    }

    fn conflict(&mut self, path: FieldPath, owner: String, obstacle: Obstacle) {
        let secret = is_secret(self.inputs.kind.field(path.top()), &path);
        let shown = |fields: Option<&Fields>| {
            let value = || fields.and_then(|fields| path.get(fields)).cloned().unwrap_or(Value::Null);
            (!secret).then(value)
        };
        self.out.conflicts.push(Conflict {
            declared: shown(Some(&self.inputs.now.fields)),
            live: shown(self.live().map(|live| &live.fields)),
            revision: self.inputs.live.map_or(Revision::ZERO, |(_, revision)| revision),
            path,
            owner,
            obstacle,
        });
    }
}

/// Whether a change is one of a value that was there and that its kind keeps as it was made.
fn is_fixed(spec: &FieldSpec, change: &FieldChange) -> bool {
    change.before.as_ref().is_some_and(|before| !is_absent(before)) && spec.is_immutable_at(&change.path.steps()[1..])
}

/// Whether the value at a path is a secret by its kind.
fn is_secret(spec: &FieldSpec, path: &FieldPath) -> bool {
    path.steps().get(1..).is_some_and(|steps| spec.is_sensitive_at(steps))
}

/// Takes the values out of a change of what the kind calls a secret now, though it lies in clear.
fn conceal(spec: &FieldSpec, change: &mut FieldChange) {
    if is_secret(spec, &change.path) {
        (change.before, change.after, change.sensitive) = (None, None, true);
    }
}

/// Where the manifest declares a changed value; nowhere if it declares it no longer.
pub(crate) fn position_of(declared: &Declared, change: &FieldChange) -> Option<Position> {
    let is_gone = change.op == Op::Remove && (change.before_tag.is_some() || !is_declared(declared, change.path.top()));
    if is_gone { None } else { position(declared, &change.path) }
}

fn is_declared(declared: &Declared, field: &str) -> bool {
    declared.fields.contains_key(field) || declared.secrets.keys().any(|path| top_of(path) == field)
}

/// The nearest declared place of a path.
pub(crate) fn position(declared: &Declared, path: &FieldPath) -> Option<Position> {
    nearest(path, |text| declared.field_at.get(text)).or_else(|| declared.at.clone())
}
