//! The live state, held against what a plan printed: its changes carried out by hand on the state before must give the state
//! after, and nobody else's field may differ.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_reconciler::Plane;
use holdfast_reconciler::plan::{Action, FieldChange, Op, Plan};
use holdfast_reconciler::plane::{ControlPlane, ResourcesQuery};
use holdfast_reconciler::resource::Record;
use holdfast_reconciler::take::Take;
use holdfast_reconciler::value::{Fields, PathStep, Value, is_absent};

/// The live records by address.
pub(super) type State = BTreeMap<String, Record>;

pub(super) fn read(plane: &Plane) -> State {
    let page = plane.resources(&ResourcesQuery { limit: Some(10_000), ..ResourcesQuery::default() }).unwrap();
    assert!(page.next.is_none());
    page.resources.into_iter().map(|info| (info.address.to_string(), info.record)).collect()
}

/// What takes over every field that is in conflict.
pub(super) fn takes(plan: &Plan) -> BTreeSet<Take> {
    let conflicts = plan.blocked.iter().filter(|blocked| blocked.code == "E_CONFLICT");
    let take =
        |text: &str| text.strip_prefix("reconcile --take '").and_then(|text| text.strip_suffix('\'')?.parse().ok());
    conflicts.filter_map(|blocked| blocked.remedies.iter().find_map(|remedy| take(remedy))).collect()
}

/// Takes the rows about when secrets stop counting out of a plan: the addresses where that goes.
fn expiries(plan: &mut Plan) -> BTreeSet<String> {
    let mut gone = BTreeSet::new();
    for change in plan.changes.iter_mut().filter(|change| change.kind.as_str() == "secret") {
        let before = change.fields.len();
        change.fields.retain(|field| field.path.top() != "expires");
        if change.fields.len() < before {
            gone.insert(change.address.to_string());
        }
    }
    gone
}

pub(super) fn check(plan: &Plan, before: &State, after: &State, at: &str) {
    let told = |what: &str| format!("{at}: {what}\n{plan:#?}\nbefore {before:#?}\nafter {after:#?}");
    let mut without = plan.clone();
    let unexpiring = expiries(&mut without);
    for (address, old) in before {
        let Some(new) = after.get(address) else { continue };
        let (goes, kept) = (unexpiring.contains(address), new.expires_ms == old.expires_ms);
        let right = if goes { old.expires_ms.is_some() && new.expires_ms.is_none() } else { kept };
        assert!(right, "{}", told(&format!("when {address} stops counting")));
    }
    let plan = &without;
    let source = plan.source.name.as_str();
    let mut expected: BTreeMap<String, (Fields, BTreeMap<String, Option<String>>)> = before
        .iter()
        .map(|(address, record)| {
            let tags = record.tags.iter().map(|(path, tag)| (path.clone(), Some(tag.clone()))).collect();
            (address.clone(), (record.fields.clone(), tags))
        })
        .collect();
    let mut changed: BTreeSet<(String, String)> = BTreeSet::new();
    for change in &plan.changes {
        let address = change.address.to_string();
        changed.extend(change.fields.iter().map(|field| (address.clone(), field.path.top().to_owned())));
        match change.action {
            Action::Delete => {
                assert!(expected.remove(&address).is_some(), "{}", told("a delete of nothing"));
            }
            Action::Create => {
                assert!(!before.contains_key(&address), "{}", told("a create of what is there"));
                carry_out(expected.entry(address).or_default(), &change.fields);
            }
            Action::Update => carry_out(expected.get_mut(&address).unwrap(), &change.fields),
            Action::Move => panic!("{}", told("nothing moves here")),
        }
    }
    for (address, record) in after {
        let (fields, tags) = expected.remove(address).unwrap_or_else(|| panic!("{}", told("more than was planned")));
        assert_eq!(record.fields, fields, "{}", told(address));
        assert!(record.tags.keys().eq(tags.keys()), "{}", told(address));
        // A tag is not foreseen before the store has a key.
        let tags = tags.iter().filter_map(|(path, tag)| Some((path, tag.as_ref()?)));
        tags.for_each(|(path, tag)| assert_eq!(record.tags[path], *tag, "{}", told(address)));
        let Some(old) = before.get(address) else { continue };
        for (field, owner) in old.owners.iter().filter(|(_, owner)| *owner != source) {
            let own = changed.contains(&(address.clone(), field.clone()));
            let same = record.fields.get(field) == old.fields.get(field);
            let kept = record.owners.get(field) == Some(owner);
            // A change of hands without one of value is told too, or comes with a row that changes.
            let told_of = plan.adopts.contains(address) || !plan.unchanged.iter().any(|same| same == address);
            assert!(own || same && (kept || told_of), "{}", told(&format!("{field} of {address} was {owner}'s")));
        }
    }
    assert!(expected.is_empty(), "{}", told("less than was planned"));
    for change in &plan.changes {
        for field in change.fields.iter().filter(|field| field.op != Op::Remove) {
            let owner = &after[&change.address.to_string()].owners[field.path.top()];
            assert_eq!(owner, source, "{}", told("a changed field belongs to who changed it"));
        }
        let Some(old) = before.get(&change.address.to_string()).filter(|_| change.action == Action::Update) else {
            continue;
        };
        for field in &change.fields {
            let owner = old.owners.get(field.path.top()).filter(|owner| *owner != source);
            assert_eq!(field.owner.as_ref(), owner, "{}", told("whose it was"));
            // A position in a list with a key is the new one.
            let in_list = field.path.steps().iter().any(|step| matches!(step, PathStep::Index(_)));
            if !field.sensitive && !in_list {
                let was = field.path.get(&old.fields).filter(|value| !value.is_null());
                assert_eq!(field.before.as_ref(), was, "{}", told("what it was"));
            }
        }
    }
}

/// Every field that the source owned is as it was; secrets stay out of a rollback. Gives how many fields were compared.
pub(super) fn check_restored(source: &str, was: &State, now: &State, at: &str) -> usize {
    let mut compared = 0;
    for (address, before) in was.iter().filter(|(address, _)| !address.starts_with("secret/")) {
        let owned = before.owners.iter().filter(|(_, owner)| *owner == source);
        for (field, _) in owned {
            compared += 1;
            let after = now.get(address).and_then(|record| record.fields.get(field));
            assert_eq!(
                after,
                before.fields.get(field),
                "{at}: {field} of {address}\nbefore {before:#?}\nnow {:#?}",
                now.get(address)
            );
        }
    }
    compared
}

/// Carries the changes of one resource out as a reader of the plan would: what goes from a list first, from its end; then
/// what comes; then what changes inside.
fn carry_out((fields, tags): &mut (Fields, BTreeMap<String, Option<String>>), changes: &[FieldChange]) {
    let of_list = |change: &&FieldChange| matches!(change.path.steps().last(), Some(PathStep::Index(_)));
    let (items, rest): (Vec<&FieldChange>, Vec<&FieldChange>) = changes.iter().partition(of_list);
    let removed = items.iter().rev().filter(|change| change.op == Op::Remove);
    let added = items.iter().filter(|change| change.op == Op::Add);
    let replaced = items.iter().filter(|change| change.op == Op::Replace);
    for change in removed.chain(added).chain(replaced).copied().chain(rest) {
        if change.sensitive {
            match change.op {
                Op::Remove => drop(tags.remove(&change.path.to_string())),
                Op::Add | Op::Replace => drop(tags.insert(change.path.to_string(), change.after_tag.clone())),
            }
            continue;
        }
        let top = change.path.top();
        let field = fields.entry(top.to_owned()).or_default();
        put(field, &change.path.steps()[1..], change);
    }
    fields.retain(|_, value| !is_absent(value));
}

fn put(at: &mut Value, steps: &[PathStep], change: &FieldChange) {
    let after = change.after.clone();
    match steps {
        [] => *at = after.unwrap_or_default(),
        [PathStep::Key(name)] => {
            let members = at.as_object_mut().unwrap();
            match after {
                Some(after) => drop(members.insert(name.clone(), after)),
                None => drop(members.remove(name)),
            }
        }
        [PathStep::Index(index)] => {
            let items = at.as_array_mut().unwrap();
            match (change.op, after) {
                (Op::Remove, _) => drop(items.remove(*index)),
                (Op::Add, after) => items.insert(*index, after.unwrap_or_default()),
                (Op::Replace, after) => items[*index] = after.unwrap_or_default(),
            }
        }
        [PathStep::Key(name), rest @ ..] => put(at.get_mut(name).unwrap(), rest, change),
        [PathStep::Index(index), rest @ ..] => put(at.get_mut(*index).unwrap(), rest, change),
    }
}
