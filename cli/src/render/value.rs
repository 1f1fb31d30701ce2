//! Values in a plan: one line as JSON, several lines as a unified diff, a secret by its tag.
//!
//! Never here: which values changed (the plan says it), and the rows that they belong to.

use holdfast_reconciler::plan::{Action, FieldChange};
use holdfast_reconciler::value::Value;
use similar::{ChangeTag, TextDiff};

use super::ink::{Role, Text};

/// Longer values are cut here, in characters.
const WIDTH_MAX: usize = 120;
/// How much of what two long values have in common is shown before they differ, in characters.
const ALIKE_SHOWN: usize = 20;
/// How many lines around a change are shown.
const CONTEXT_LINES: usize = 3;
/// Longer diffs are cut here, in lines.
const DIFF_LINES_MAX: usize = 60;
/// How much of a secret's tag is shown; the JSON form has all of it.
const TAG_SHOWN: usize = 6;
/// What stands for a value that is not there.
const ABSENT: &str = "(absent)";

/// How much of a value is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Length {
    /// Long values are cut and their length is told.
    #[default]
    Cut,
    /// Everything.
    Full,
}

/// Adds the line, or the lines, of one changed value.
pub(crate) fn field(text: &mut Text, action: Action, field: &FieldChange, indent: usize, length: Length) {
    let path = field.path.to_string();
    text.plain(" ".repeat(indent)).plain(&path).plain(":");
    if field.sensitive {
        secrets(text, action, field);
    } else if let Some((before, after)) = lines_to_compare(action, field, length) {
        taken(text, field);
        text.end();
        return diff(text, before, after, indent + 2, length, CONTEXT_LINES);
    } else {
        match (action, &field.before, &field.after) {
            (Action::Create, _, after) => one(text, Role::Create, after.as_ref(), length),
            (Action::Update | Action::Delete | Action::Move, Some(before), Some(after)) => {
                let (before, after) = both(&before.to_string(), &after.to_string(), length);
                text.plain(" ").add(Role::Delete, before).plain(" -> ").add(Role::Create, after);
            }
            (Action::Update | Action::Delete | Action::Move, before, after) => {
                one(text, Role::Delete, before.as_ref(), length);
                text.plain(" ->");
                one(text, Role::Create, after.as_ref(), length);
            }
        }
    }
    taken(text, field);
    text.end();
}

/// The changed lines of a file. The lines around them are not shown: they may hold a secret.
pub(crate) fn file_change(text: &mut Text, path: &str, before: &str, after: &str) {
    text.add(Role::Strong, path).end();
    diff(text, before, after, 2, Length::Full, 0);
}

/// A secret by its tag, which tells equal values from different ones and nothing else.
pub(crate) fn secret(tag: Option<&str>) -> String {
    match tag {
        Some(tag) => format!("(secret {})", tag.chars().take(TAG_SHOWN).collect::<String>()),
        None => "(secret)".to_owned(),
    }
}

/// A value as JSON on one line, cut unless all of it is wanted.
pub(crate) fn inline(value: &Value, length: Length) -> String {
    one_line(&value.to_string(), length)
}

/// A text that is cut unless all of it is wanted.
pub(crate) fn one_line(line: &str, length: Length) -> String {
    let characters = line.chars().count();
    if length == Length::Full || characters <= WIDTH_MAX {
        return line.to_owned();
    }
    format!("{}... ({characters} characters)", line.chars().take(WIDTH_MAX).collect::<String>())
}

/// Two values beside each other. If they are cut and begin alike, both begin a little before they differ.
fn both(before: &str, after: &str, length: Length) -> (String, String) {
    let alike = before.chars().zip(after.chars()).take_while(|(left, right)| left == right).count();
    let skipped = alike.saturating_sub(ALIKE_SHOWN);
    if length == Length::Full || alike <= WIDTH_MAX / 2 {
        return (one_line(before, length), one_line(after, length));
    }
    let from_there = |line: &str| {
        let characters = line.chars().count();
        if characters <= WIDTH_MAX {
            return line.to_owned();
        }
        let shown: String = line.chars().skip(skipped).take(WIDTH_MAX).collect();
        let cut = if characters - skipped > WIDTH_MAX { "..." } else { "" };
        format!("...{shown}{cut} ({characters} characters)")
    };
    (from_there(before), from_there(after))
}

fn one(text: &mut Text, role: Role, value: Option<&Value>, length: Length) {
    match value {
        Some(value) => text.plain(" ").add(role, inline(value, length)),
        None => text.plain(" ").add(Role::Quiet, ABSENT),
    };
}

fn secrets(text: &mut Text, action: Action, field: &FieldChange) {
    use holdfast_reconciler::plan::Op;
    let (before, after) = (secret(field.before_tag.as_deref()), secret(field.after_tag.as_deref()));
    match (action, field.op) {
        (Action::Create, _) => text.plain(" ").add(Role::Create, after),
        (_, Op::Add) => text.plain(" ").add(Role::Quiet, ABSENT).plain(" -> ").add(Role::Create, after),
        (_, Op::Remove) => text.plain(" ").add(Role::Delete, before).plain(" -> ").add(Role::Quiet, ABSENT),
        (_, Op::Replace) => text.plain(" ").add(Role::Delete, before).plain(" -> ").add(Role::Create, after),
    };
}

fn taken(text: &mut Text, field: &FieldChange) {
    if let Some(owner) = &field.owner {
        text.pad(0, 3).add(Role::Quiet, format!("taken over from {owner}"));
    }
}

/// The two texts of a change that reads best line by line. What is new is shown so only in full, since it would be long.
fn lines_to_compare<'f>(action: Action, field: &'f FieldChange, length: Length) -> Option<(&'f str, &'f str)> {
    let text = |value: &'f Option<Value>| match value {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => None,
        None => Some(""),
    };
    let (before, after) = (text(&field.before)?, text(&field.after)?);
    let lines = before.contains('\n') || after.contains('\n');
    let wanted = length == Length::Full || (action == Action::Update && !before.is_empty());
    (lines && wanted).then_some((before, after))
}

/// A unified diff. Each line begins with a bar, so that no value can pass for a row of the plan.
fn diff(text: &mut Text, before: &str, after: &str, indent: usize, length: Length, context: usize) {
    let diff = TextDiff::from_lines(before, after);
    let mut lines: Vec<(Role, String)> = Vec::new();
    for hunk in diff.unified_diff().context_radius(context).iter_hunks() {
        lines.push((Role::Quiet, hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let (sign, role) = match change.tag() {
                ChangeTag::Delete => ('-', Role::Delete),
                ChangeTag::Insert => ('+', Role::Create),
                ChangeTag::Equal => (' ', Role::Plain),
            };
            let line = change.value();
            lines.push((role, format!("{sign}{}", one_line(line.strip_suffix('\n').unwrap_or(line), length))));
            if change.missing_newline() {
                lines.push((Role::Quiet, "(no line break at the end)".to_owned()));
            }
        }
    }
    let shown = if length == Length::Full { lines.len() } else { lines.len().min(DIFF_LINES_MAX) };
    let margin = " ".repeat(indent);
    for (role, line) in &lines[..shown] {
        text.plain(&margin).add(Role::Quiet, "| ").add(*role, line).end();
    }
    if shown < lines.len() {
        let rest = lines.len() - shown;
        text.plain(&margin).add(Role::Quiet, format!("| ... {rest} more lines, shown with `--full`")).end();
    }
}
