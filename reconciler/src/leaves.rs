//! The values in which two states of a field differ: per leaf, by path, lists by their key where the kind names one.
//!
//! Never here: owners, and who declared what (`diff.rs`).

use std::collections::BTreeSet;

use crate::kind::FieldSpec;
use crate::plan::{FieldChange, Op};
use crate::value::{FieldPath, Value, equal, equal_field, is_absent};

/// Reads the text form of a path of map members, as `secrets` and `tags` have it.
pub(crate) fn parse_path(text: &str) -> FieldPath {
    let mut parts = text.split('.');
    let top = FieldPath::field(parts.next().unwrap_or_default());
    parts.fold(top, |path, part| path.key(part))
}

/// The field that the text form of a path starts at.
pub(crate) fn top_of(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// One value that becomes another, or is made or removed.
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

/// Whether two values of a field are the same, apart from what never matters in it.
pub(crate) fn same_field(left: Option<&Value>, right: Option<&Value>, spec: &FieldSpec) -> bool {
    if spec.volatile.is_empty() {
        return equal_field(left, right);
    }
    let clean = |value: Option<&Value>| value.map(|value| without_volatile(value.clone(), spec));
    equal_field(clean(left).as_ref(), clean(right).as_ref())
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
                .flat_map(|name| leaves(&path.key(name), old.get(name), new.get(name), spec.member(name)))
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
    let Some(key) = &spec.list_key else { return positional_leaves(path, &old, &new, spec.item()) };
    let ids = |items: &[Value]| -> Vec<String> {
        items.iter().map(|item| item.get(key.as_ref()).map(Value::to_string).unwrap_or_default()).collect()
    };
    let (old_ids, new_ids) = (ids(&old), ids(&new));
    let common = |ids: &[String], other: &[String]| -> Vec<String> {
        let other: BTreeSet<&String> = other.iter().collect();
        ids.iter().filter(|id| other.contains(id)).cloned().collect()
    };
    if common(&old_ids, &new_ids) != common(&new_ids, &old_ids) {
        return vec![change(path.clone(), Some(&Value::Array(old)), Some(&Value::Array(new)))];
    }
    let removed = old_ids.iter().enumerate().filter(|(_, id)| !new_ids.contains(id));
    let removed = removed.map(|(position, _)| change(path.index(position), old.get(position), None));
    let kept = new_ids.iter().enumerate().flat_map(|(position, id)| {
        let before = old_ids.iter().position(|old_id| old_id == id).and_then(|at| old.get(at));
        leaves(&path.index(position), before, new.get(position), spec.item())
    });
    removed.chain(kept).collect()
}

fn positional_leaves(path: &FieldPath, old: &[Value], new: &[Value], item: &FieldSpec) -> Vec<FieldChange> {
    (0..old.len().max(new.len()))
        .flat_map(|position| leaves(&path.index(position), old.get(position), new.get(position), item))
        .collect()
}

fn without_volatile_members(mut item: Value, spec: &FieldSpec) -> Value {
    if let Value::Object(members) = &mut item {
        members.retain(|name, _| !spec.volatile.contains(&name.as_str()));
    }
    item
}

/// The value without the members that never matter.
pub(crate) fn without_volatile(value: Value, spec: &FieldSpec) -> Value {
    match value {
        Value::Array(items) if !spec.volatile.is_empty() => {
            Value::Array(items.into_iter().map(|item| without_volatile_members(item, spec)).collect())
        }
        value => value,
    }
}
