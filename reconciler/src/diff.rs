//! The three-way diff of one resource: what was declared before, what is declared now, what is live; per field and with its
//! owner.
//!
//! Pure: it is given records and says what should become of them. Never here: the whole plan (`planner.rs`), guards,
//! sessions.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Declared, OnDrift, SecretInput};
use crate::diagnostic::Position;
use crate::kind::{FieldSpec, KindSpec};
use crate::plan::{FieldChange, Op, Reason};
use crate::resource::{Declaration, Record};
use crate::value::{FieldPath, Fields, PathStep, Value, equal, equal_field, is_absent, without_nulls};
use holdfast_engine::Revision;

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
}

/// What should become of a declared resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The values that change.
    pub fields: Vec<FieldChange>,
    /// Why, if there is a change.
    pub reason: Option<Reason>,
    /// Whether the source becomes the owner of something that stays as it is.
    pub adopts: bool,
    /// The live record afterwards.
    pub record: Record,
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
    /// What the manifest declares, unless it is sensitive.
    pub declared: Option<Value>,
    /// What is live, unless it is sensitive.
    pub live: Option<Value>,
    /// Whether the owner is another source, rather than an actor.
    pub other_source: bool,
}

/// Works out what should become of a declared resource.
pub fn diff(inputs: Inputs<'_>) -> Outcome {
    let mut diff = Diff { inputs, out: Outcome::default() };
    diff.out.record = inputs.live.map(|(live, _)| live.clone()).unwrap_or_default();
    diff.claim();
    if !diff.out.conflicts.is_empty() {
        return diff.out;
    }
    let declared: Vec<&String> = inputs.now.fields.keys().collect();
    for field in declared {
        diff.field(field);
    }
    let secrets: Vec<(&String, &SecretInput)> = inputs.now.secrets.iter().collect();
    for (path, input) in secrets {
        diff.secret(path, input);
    }
    diff.removed_fields();
    diff.removed_secrets();
    diff.out.fields.sort_by(|left, right| left.path.cmp(&right.path));
    diff.out
}

struct Diff<'d> {
    inputs: Inputs<'d>,
    out: Outcome,
}

/// Who holds a field, as this source sees it.
enum Holder {
    Us,
    Nobody,
    Actor(String),
    OtherSource(String),
}

impl Diff<'_> {
    fn live(&self) -> Option<&Record> {
        self.inputs.live.map(|(record, _)| record)
    }

    fn spec(&self, field: &str) -> FieldSpec {
        self.inputs.kind.field(field)
    }

    fn holder_of(&self, owner: Option<&String>) -> Holder {
        match owner {
            None => Holder::Nobody,
            Some(owner) if owner == self.inputs.source => Holder::Us,
            Some(owner) if owner.contains(':') => Holder::Actor(owner.clone()),
            Some(owner) => Holder::OtherSource(owner.clone()),
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
            Holder::OtherSource(owner) => self.conflict(FieldPath::default(), owner, true),
            Holder::Nobody | Holder::Actor(_) => {
                self.out.record.owner = Some(self.inputs.source.to_owned());
                self.out.adopts = self.inputs.live.is_some();
            }
        }
    }

    /// Two sources may hold one secret if they agree about its value.
    fn co_owned(&self) -> bool {
        let live = self.live().map(|live| &live.tags);
        let agrees = |path: &String| match (self.inputs.tags.get(path), live.and_then(|tags| tags.get(path))) {
            (Some(NewTag::Known(tag)), Some(live)) => tag == live,
            (None, Some(_)) => true,
            (_, _) => false,
        };
        self.inputs.now.fields.is_empty()
            && !self.inputs.now.secrets.is_empty()
            && self.inputs.now.secrets.keys().all(agrees)
    }

    fn field(&mut self, field: &str) {
        let spec = self.spec(field);
        let live = self.live().and_then(|live| live.fields.get(field)).cloned();
        if self.inputs.live.is_some() && self.inputs.now.lifecycle.ignore.iter().any(|ignored| ignored == field) {
            return;
        }
        let now = self.inputs.now.fields.get(field).cloned().map(without_nulls).unwrap_or_default();
        let now = without_volatile(now, &spec);
        let compare = |value: Option<&Value>| value.cloned().map(|value| without_volatile(value, &spec));
        let same = equal_field(compare(Some(&now)).as_ref(), compare(live.as_ref()).as_ref());
        match (self.holder(field), same) {
            (Holder::Us, true) => {}
            (Holder::OtherSource(owner), _) => self.conflict(FieldPath::field(field), owner, true),
            (Holder::Nobody | Holder::Actor(_), true) if is_absent(&now) => {}
            (Holder::Actor(_), true) if spec.implied => {}
            (Holder::Nobody | Holder::Actor(_), true) => {
                self.out.adopts |= self.inputs.live.is_some();
                self.own(field);
            }
            (Holder::Actor(owner), false) if spec.implied => self.out.yielded.push((field.to_owned(), owner)),
            (Holder::Actor(owner), false) if self.declared_before(field) => match self.inputs.on_drift {
                OnDrift::Block => self.conflict(FieldPath::field(field), owner, false),
                OnDrift::Keep => self.out.yielded.push((field.to_owned(), owner)),
                OnDrift::Revert => self.set(field, now, live, &spec, Reason::DriftRepair),
            },
            (Holder::Us | Holder::Nobody | Holder::Actor(_), false) => {
                self.set(field, now, live, &spec, Reason::ManifestChanged);
            }
        }
    }

    fn declared_before(&self, field: &str) -> bool {
        self.inputs.before.is_some_and(|before| before.fields.contains_key(field))
    }

    fn set(&mut self, field: &str, now: Value, live: Option<Value>, spec: &FieldSpec, reason: Reason) {
        if spec.immutable && live.as_ref().is_some_and(|live| !is_absent(live)) {
            let owner = self.live().and_then(|live| live.owners.get(field).cloned()).unwrap_or_default();
            return self.conflict(FieldPath::field(field), owner, false);
        }
        let owner = match self.holder(field) {
            Holder::Actor(owner) => Some(owner),
            Holder::Us | Holder::Nobody | Holder::OtherSource(_) => None,
        };
        let mut changes = match self.inputs.live {
            Some(_) => leaves(&FieldPath::field(field), live.as_ref(), Some(&now), spec),
            None => vec![change(FieldPath::field(field), None, Some(&now))],
        };
        for change in &mut changes {
            change.owner.clone_from(&owner);
            change.at = position(self.inputs.now, &change.path);
        }
        self.out.fields.extend(changes);
        self.reason(reason);
        self.own(field);
        if is_absent(&now) {
            self.out.record.fields.remove(field);
        } else {
            self.out.record.fields.insert(field.to_owned(), now);
        }
    }

    fn own(&mut self, field: &str) {
        self.out.record.owners.insert(field.to_owned(), self.inputs.source.to_owned());
    }

    /// A repaired drift is worth telling even if the manifest changed too.
    fn reason(&mut self, reason: Reason) {
        if self.out.reason.is_none() || reason == Reason::DriftRepair {
            self.out.reason = Some(reason);
        }
    }

    fn secret(&mut self, path: &str, input: &SecretInput) {
        let live_tag = self.live().and_then(|live| live.tags.get(path)).cloned();
        let field = parse_path(path).top().to_owned();
        let new = self.inputs.tags.get(path).cloned();
        match (&new, &live_tag) {
            (None, Some(_)) => {
                self.out.kept.insert(path.to_owned());
                return self.adopt_secret(&field);
            }
            (Some(NewTag::NotComparable), Some(_)) => return self.adopt_secret(&field),
            (Some(NewTag::Known(tag)), Some(live)) if tag == live => return self.adopt_secret(&field),
            (None, None) => {
                self.out.missing.insert(path.to_owned());
            }
            (Some(_), _) => {}
        }
        let declared_before = self.inputs.before.is_some_and(|before| before.tags.contains_key(path));
        match self.holder(&field) {
            Holder::OtherSource(owner) => return self.conflict(parse_path(path), owner, true),
            Holder::Actor(owner) if declared_before => match self.inputs.on_drift {
                OnDrift::Block => return self.conflict(parse_path(path), owner, false),
                OnDrift::Keep => return self.out.yielded.push((field, owner)),
                OnDrift::Revert => self.reason(Reason::DriftRepair),
            },
            Holder::Us | Holder::Nobody | Holder::Actor(_) => self.reason(Reason::ManifestChanged),
        }
        let after_tag = match new {
            Some(NewTag::Known(tag)) => Some(tag),
            Some(NewTag::NoKeyYet | NewTag::NotComparable) | None => None,
        };
        if input.value.is_some() {
            self.out.seals.insert(path.to_owned());
        }
        self.out.record.tags.insert(path.to_owned(), after_tag.clone().unwrap_or_default());
        self.own(&field);
        self.out.fields.push(FieldChange {
            path: parse_path(path),
            op: if live_tag.is_some() { Op::Replace } else { Op::Add },
            before: None,
            after: None,
            sensitive: true,
            before_tag: live_tag,
            after_tag,
            owner: None,
            at: position(self.inputs.now, &parse_path(path)),
        });
    }

    fn adopt_secret(&mut self, field: &str) {
        match self.holder(field) {
            Holder::Us | Holder::OtherSource(_) => {}
            Holder::Nobody | Holder::Actor(_) => {
                self.out.adopts |= self.inputs.live.is_some();
                self.own(field);
            }
        }
    }

    /// Fields that this source owns and declares no longer leave; those of others stay.
    fn removed_fields(&mut self) {
        let Some(live) = self.live() else { return };
        let gone: Vec<String> = live
            .owners
            .iter()
            .filter(|(field, owner)| *owner == self.inputs.source && !self.is_declared(field))
            .map(|(field, _)| field.clone())
            .collect();
        for field in gone {
            self.out.record.owners.remove(&field);
            let Some(value) = self.out.record.fields.remove(&field) else { continue };
            if !is_absent(&value) {
                self.out.fields.push(change(FieldPath::field(field), Some(&value), None));
                self.reason(Reason::ManifestChanged);
            }
        }
    }

    fn removed_secrets(&mut self) {
        let Some(live) = self.live() else { return };
        let gone: Vec<(String, String)> = live
            .tags
            .iter()
            .filter(|(path, _)| !self.inputs.now.secrets.contains_key(*path))
            .filter(|(path, _)| {
                live.owners.get(parse_path(path).top()).is_some_and(|owner| owner == self.inputs.source)
            })
            .map(|(path, tag)| (path.clone(), tag.clone()))
            .collect();
        for (path, tag) in gone {
            self.out.record.tags.remove(&path);
            self.out.seals.insert(path.clone());
            let removed = change(parse_path(&path), None, None);
            self.out.fields.push(FieldChange { op: Op::Remove, sensitive: true, before_tag: Some(tag), ..removed });
            self.reason(Reason::ManifestChanged);
        }
    }

    fn is_declared(&self, field: &str) -> bool {
        self.inputs.now.fields.contains_key(field)
            || self.inputs.now.secrets.keys().any(|path| parse_path(path).top() == field)
    }

    fn conflict(&mut self, path: FieldPath, owner: String, other_source: bool) {
        let shown = |fields: Option<&Fields>| fields.and_then(|fields| path.get(fields)).cloned();
        self.out.conflicts.push(Conflict {
            declared: shown(Some(&self.inputs.now.fields)),
            live: shown(self.live().map(|live| &live.fields)),
            revision: self.inputs.live.map_or(Revision::ZERO, |(_, revision)| revision),
            path,
            owner,
            other_source,
        });
    }
}

/// Reads the text form of a path of map members, as `secrets` and `tags` have it.
pub fn parse_path(text: &str) -> FieldPath {
    let mut parts = text.split('.');
    let top = FieldPath::field(parts.next().unwrap_or_default());
    parts.fold(top, |path, part| path.key(part))
}

/// The nearest declared place of a path.
pub(crate) fn position(declared: &Declared, path: &FieldPath) -> Option<Position> {
    let mut steps = path.steps();
    while !steps.is_empty() {
        let text = steps.iter().fold(None::<FieldPath>, |path, step| {
            Some(match (path, step) {
                (None, PathStep::Key(name)) => FieldPath::field(name),
                (None, PathStep::Index(_)) => FieldPath::default(),
                (Some(path), PathStep::Key(name)) => path.key(name),
                (Some(path), PathStep::Index(index)) => path.index(*index),
            })
        });
        if let Some(found) = text.and_then(|path| declared.field_at.get(&path.to_string())) {
            return Some(found.clone());
        }
        steps = &steps[..steps.len() - 1];
    }
    declared.at.clone()
}

/// A change of a value that is no secret.
pub(crate) fn change(path: FieldPath, before: Option<&Value>, after: Option<&Value>) -> FieldChange {
    let present = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    let (before, after) = (present(before), present(after));
    let op = match (&before, &after) {
        (None, _) => Op::Add,
        (Some(_), None) => Op::Remove,
        (Some(_), Some(_)) => Op::Replace,
    };
    let (before_tag, after_tag, owner, at) = (None, None, None, None);
    FieldChange { path, op, before, after, sensitive: false, before_tag, after_tag, owner, at }
}

/// The leaves in which two values differ.
pub(crate) fn leaves(
    path: &FieldPath,
    before: Option<&Value>,
    after: Option<&Value>,
    spec: &FieldSpec,
) -> Vec<FieldChange> {
    let after = after.filter(|value| path.steps().len() > 1 || !is_absent(value));
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let present = |value: Option<&'_ Value>| value.is_some_and(|value| !value.is_null());
            names
                .into_iter()
                .filter(|name| present(old.get(*name)) || present(new.get(*name)))
                .flat_map(|name| leaves(&path.key(name), old.get(name), new.get(name), &FieldSpec::default()))
                .collect()
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => list_leaves(path, old, new, spec),
        (Some(old), Some(new)) if equal(old, new) => Vec::new(),
        (before, after) => vec![change(path.clone(), before, after)],
    }
}

/// Lists whose kind names a key differ by that key, others by position. A list whose order changed is replaced as a whole.
fn list_leaves(path: &FieldPath, old: &[Value], new: &[Value], spec: &FieldSpec) -> Vec<FieldChange> {
    let old: Vec<Value> = old.iter().map(|item| without_volatile_members(item.clone(), spec)).collect();
    let new: Vec<Value> = new.iter().map(|item| without_volatile_members(item.clone(), spec)).collect();
    let Some(key) = spec.list_key else { return positional_leaves(path, &old, &new) };
    let ids = |items: &[Value]| -> Vec<String> {
        items.iter().map(|item| item.get(key).map(Value::to_string).unwrap_or_default()).collect()
    };
    let (old_ids, new_ids) = (ids(&old), ids(&new));
    let common = |ids: &[String], other: &[String]| -> Vec<String> {
        ids.iter().filter(|id| other.contains(id)).cloned().collect()
    };
    if common(&old_ids, &new_ids) != common(&new_ids, &old_ids) {
        return vec![change(path.clone(), Some(&Value::Array(old)), Some(&Value::Array(new)))];
    }
    let removed = old_ids.iter().enumerate().filter(|(_, id)| !new_ids.contains(id));
    let removed = removed.map(|(position, _)| change(path.index(position), old.get(position), None));
    let kept = new_ids.iter().enumerate().flat_map(|(position, id)| {
        let before = old_ids.iter().position(|old_id| old_id == id).and_then(|at| old.get(at));
        leaves(&path.index(position), before, new.get(position), &FieldSpec::default())
    });
    removed.chain(kept).collect()
}

fn positional_leaves(path: &FieldPath, old: &[Value], new: &[Value]) -> Vec<FieldChange> {
    (0..old.len().max(new.len()))
        .flat_map(|position| leaves(&path.index(position), old.get(position), new.get(position), &FieldSpec::default()))
        .collect()
}

fn without_volatile_members(mut item: Value, spec: &FieldSpec) -> Value {
    if let Value::Object(members) = &mut item {
        members.retain(|name, _| !spec.volatile.contains(&name.as_str()));
    }
    item
}

fn without_volatile(value: Value, spec: &FieldSpec) -> Value {
    match value {
        Value::Array(items) if !spec.volatile.is_empty() => {
            Value::Array(items.into_iter().map(|item| without_volatile_members(item, spec)).collect())
        }
        value => value,
    }
}
