//! What differs between two revisions, as an organisation sees it.
//!
//! Never here: which keys differ (the engine knows), and how a difference is shown.

use std::collections::BTreeSet;

use holdfast_engine::{Difference, Entry, Head, Revision};

use crate::embedded::{Plane, at_problem, rfc3339};
use crate::error::Problem;
use crate::kind::Kinds;
use crate::leaves::{change, parse_path};
use crate::plan::{Action, FieldChange, Op};
use crate::plane::{
    DiffQuery, DiffSummary, Differences, OwnerDifference, ResourceDifference, Side, ValueDifference, Versions,
};
use crate::planner;
use crate::raw_value::RawValue;
use crate::record_changes::record_changes;
use crate::resource::{Address, Record, keys};
use crate::vault::record;
use crate::veil::{Veil, Veiled};

/// How many rows a page holds if nobody says, and at most.
const ROWS_MAX: usize = 1_000;
/// How many bytes of raw values a page holds at most, but for a last row that is larger by itself.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// A row of the answer.
enum Row {
    Resource(ResourceDifference),
    Value(ValueDifference),
}

/// Works out one page of what differs.
pub(super) fn differences(plane: &Plane, query: &DiffQuery) -> Result<Differences, Problem> {
    let engine = plane.engine();
    let snapshot = engine.snapshot();
    let org = plane.org(query.org.as_ref(), &snapshot);
    let (from, to) = (query.from, query.to.unwrap_or(snapshot.revision()));
    let (kinds, veil) = (plane.kinds(&snapshot, &org)?, Veil::new(plane, &org)?);
    let limit = query.limit.unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX);
    let root = keys::org(&org);
    let mut answer = Differences {
        org,
        from: side(plane, from)?,
        to: side(plane, to)?,
        summary: DiffSummary::default(),
        resources: Vec::new(),
        values: Vec::new(),
        next: None,
    };
    let (mut last, mut rows, mut bytes, mut full) = (None, 0, 0, false);
    for difference in engine.diff(from, to).map_err(at_problem)? {
        let Some(key) = difference.key.as_str().strip_prefix(&root).map(str::to_owned) else { continue };
        if !query.scope.holds(&key) {
            continue;
        }
        let size = [&difference.before, &difference.after].into_iter().flatten().map(|entry| entry.value().len());
        let size: usize = size.sum();
        let Some(row) = row(&kinds, &veil, &key, &difference)? else { continue };
        count(&mut answer.summary, &row);
        if query.after.as_ref().is_some_and(|after| key <= *after) {
            continue;
        }
        full |= rows == limit || (rows > 0 && bytes + size > PAGE_BYTES_MAX);
        if full {
            answer.next = last.clone();
            continue;
        }
        (rows, bytes, last) = (rows + 1, bytes + size, Some(key));
        match row {
            Row::Resource(row) => answer.resources.push(row),
            Row::Value(row) => answer.values.push(row),
        }
    }
    Ok(answer)
}

fn side(plane: &Plane, revision: Revision) -> Result<Side, Problem> {
    let Head { revision, id, time } = plane.engine().head_at(revision).map_err(at_problem)?;
    Ok(Side { revision, commit: id.to_string(), time: (revision != Revision::ZERO).then(|| rfc3339(time)) })
}

/// The row of a key that was touched; none if the two states say the same, or if the key only notes a declaration.
fn row(kinds: &Kinds, veil: &Veil, key: &str, difference: &Difference) -> Result<Option<Row>, Problem> {
    let (before, after) = (difference.before.as_ref(), difference.after.as_ref());
    let action = match (before, after) {
        (None, None) => return Ok(None),
        (None, Some(_)) => Action::Create,
        (Some(_), Some(_)) => Action::Update,
        (Some(_), None) => Action::Delete,
    };
    let modified = Versions { before: before.map(Entry::modified), after: after.map(Entry::modified) };
    if key.starts_with(crate::plane::KV) {
        if before.map(Entry::value) == after.map(Entry::value) {
            return Ok(None);
        }
        let raw = |entry: Option<&Entry>| entry.map(|entry| RawValue::new(entry.value()));
        let (before, after) = (raw(before), raw(after));
        return Ok(Some(Row::Value(ValueDifference { key: key.to_owned(), action, before, after, modified })));
    }
    let Some(address) = key.strip_prefix(crate::plane::LIVE).and_then(|text| text.parse::<Address>().ok()) else {
        return Ok(None);
    };
    let read = |entry: Option<&Entry>| match entry.map(record).transpose() {
        Ok(record) => Ok(record.map(|record| veil.record(&address, record))),
        Err(_) => Err(planner::damaged(difference.key.as_str())),
    };
    let (before, after) = (read(before)?, read(after)?);
    let sealed = before.as_ref().zip(after.as_ref()).map_or(Vec::new(), |(before, after)| sealed_since(before, after));
    let (before, after) = (before.as_ref().map(|side| &*side.record), after.as_ref().map(|side| &*side.record));
    let mut fields = record_changes(kinds.get(address.kind.as_str()), before, after);
    fields.extend(sealed);
    fields.sort_by(|left, right| left.path.cmp(&right.path));
    let owners = owner_changes(before, after);
    if action == Action::Update && fields.is_empty() && owners.is_empty() {
        return Ok(None);
    }
    let (kind, name) = (address.kind.clone(), address.name.clone());
    Ok(Some(Row::Resource(ResourceDifference { address, kind, name, action, fields, owners, modified })))
}

/// The same secrets, in clear on one side and sealed on the other: that is a difference, though not one of values.
fn sealed_since(before: &Veiled, after: &Veiled) -> Vec<FieldChange> {
    let paths = before.in_clear.symmetric_difference(&after.in_clear);
    let tags = |path: &String| (before.record.tags.get(path).cloned(), after.record.tags.get(path).cloned());
    let same = paths.map(|path| (path, tags(path))).filter(|(_, (old, new))| old.is_some() && old == new);
    let row = |(path, (old, new)): (&String, (Option<String>, Option<String>))| FieldChange {
        op: Op::Replace,
        sensitive: true,
        before_tag: old.filter(|_| !before.in_clear.contains(path)),
        after_tag: new.filter(|_| !after.in_clear.contains(path)),
        ..change(parse_path(path), None, None)
    };
    same.map(row).collect()
}

fn count(summary: &mut DiffSummary, row: &Row) {
    let action = match row {
        Row::Resource(row) => row.action,
        Row::Value(row) => row.action,
    };
    match action {
        Action::Create => summary.create += 1,
        Action::Update | Action::Move => summary.update += 1,
        Action::Delete => summary.delete += 1,
    }
}

/// The owners that differ; those of a resource that is only on one side come with it.
fn owner_changes(before: Option<&Record>, after: Option<&Record>) -> Vec<OwnerDifference> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let whole = (before.owner != after.owner).then(|| OwnerDifference {
        field: String::new(),
        before: before.owner.clone(),
        after: after.owner.clone(),
    });
    let fields: BTreeSet<&String> = before.owners.keys().chain(after.owners.keys()).collect();
    let changed = fields.into_iter().filter(|field| before.owners.get(*field) != after.owners.get(*field));
    let changed = changed.map(|field| OwnerDifference {
        field: field.clone(),
        before: before.owners.get(field).cloned(),
        after: after.owners.get(field).cloned(),
    });
    whole.into_iter().chain(changed).collect()
}
