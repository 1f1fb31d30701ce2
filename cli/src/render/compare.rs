//! What differs between two revisions as text: the rows and values of a plan, with what was where a plan has what would be.
//!
//! Never here: how a value looks (`value.rs`), and which keys differ.

use holdfast_reconciler::kind::Kinds;
use holdfast_reconciler::plan::Action;
use holdfast_reconciler::plane::{Differences, OwnerDifference, ResourceDifference, Side, ValueDifference, Versions};
use holdfast_reconciler::raw_value::RawValue;

use super::ink::{Role, Text};
use super::row::mark;
use super::text::comment;
use super::value::{self, Length, one_line};

/// The heading of the keys that clients write themselves.
const VALUES: &str = "kv";

/// Draws what differs, the kinds in the order of a plan.
pub(crate) fn draw(found: &Differences, kinds: &Kinds, length: Length) -> Text {
    let Differences { org, from, to, summary, resources, values, next: _ } = found;
    let mut text = Text::new();
    text.add(Role::Strong, format!("Diff {} -> {}", from.revision, to.revision));
    text.plain(format!("   {} -> {}   org {org}", time(from), time(to))).end();
    let mut rows: Vec<&ResourceDifference> = resources.iter().collect();
    rows.sort_by_key(|row| (kinds.order(row.kind.as_str()), &row.address));
    for rows in rows.chunk_by(|left, right| left.kind == right.kind) {
        let kind = rows.first().map_or("", |row| row.kind.as_str());
        heading(&mut text, kinds.get(kind).map_or(kind, |spec| &spec.heading));
        rows.iter().for_each(|row| resource(&mut text, row, length));
    }
    if !values.is_empty() {
        heading(&mut text, VALUES);
    }
    values.iter().for_each(|row| raw(&mut text, row, length));
    let (create, update, delete) = (summary.create, summary.update, summary.delete);
    text.end().line(format!("Summary: {create} create, {update} update, {delete} delete"));
    text
}

fn time(side: &Side) -> &str {
    side.time.as_deref().unwrap_or("no commit yet")
}

fn heading(text: &mut Text, heading: &str) {
    text.end().plain("  ").add(Role::Strong, format!("{heading}:")).end();
}

fn resource(text: &mut Text, row: &ResourceDifference, length: Length) {
    let ResourceDifference { address: _, kind, name, action, fields, owners, modified } = row;
    let (sign, role) = mark(*action);
    text.plain("  ").add(role, format!("{sign} {kind} {name}"));
    let mut touched: Vec<&str> = fields.iter().map(|field| field.path.top()).collect();
    touched.dedup();
    if *action == Action::Update && !touched.is_empty() {
        text.plain(format!(" ({})", touched.join(", ")));
    }
    comment(text, &revisions(modified));
    for field in fields {
        value::field(text, *action, field, 6, length);
    }
    for owner in owners {
        draw_owner(text, owner);
    }
}

fn draw_owner(text: &mut Text, owner: &OwnerDifference) {
    let OwnerDifference { field, before, after } = owner;
    let what = if field.is_empty() { "owner".to_owned() } else { format!("owner of {field}") };
    let named = |owner: &Option<String>| owner.clone().unwrap_or("nobody".to_owned());
    text.plain("      ").add(Role::Quiet, format!("{what}: {} -> {}", named(before), named(after))).end();
}

fn raw(text: &mut Text, row: &ValueDifference, length: Length) {
    let ValueDifference { key, action, before, after, modified } = row;
    let (sign, role) = mark(*action);
    let name = key.split_once('/').map_or(key.as_str(), |(_, name)| name);
    text.plain("  ").add(role, format!("{sign} {VALUES} {name}"));
    comment(text, &revisions(modified));
    text.plain("      ");
    match (before, after) {
        (Some(before), Some(after)) => {
            text.add(Role::Delete, shown(before, length)).plain(" -> ").add(Role::Create, shown(after, length))
        }
        (Some(before), None) => text.add(Role::Delete, shown(before, length)),
        (None, Some(after)) => text.add(Role::Create, shown(after, length)),
        (None, None) => &mut *text,
    };
    text.end();
}

/// A raw value on one line.
pub(crate) fn shown(value: &RawValue, length: Length) -> String {
    match value {
        RawValue::Text(text) => one_line(&format!("{text:?}"), length),
        RawValue::Bytes { base64 } => format!("base64 {}", one_line(base64, length)),
    }
}

/// Which revisions wrote the two sides, as far as there are some.
fn revisions(modified: &Versions) -> String {
    match (modified.before, modified.after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (None, Some(after)) => format!("{after}"),
        (Some(before), None) => format!("was {before}"),
        (None, None) => String::new(),
    }
}
