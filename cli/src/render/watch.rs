//! What a watch gives as text: a line for each commit, and one for each of its changes.
//!
//! Never here: waiting for anything, and the JSON form, which is the one of the server's events.

use holdfast_reconciler::plane::KV;
use holdfast_reconciler::raw_value::RawValue;
use holdfast_reconciler::watch::{WatchChange, WatchCommit, WatchItem, WatchResync};

use super::compare::shown;
use super::ink::{Role, Text};
use super::value::Length;

/// Draws one item.
pub(crate) fn item(item: &WatchItem) -> Text {
    match item {
        WatchItem::Commit(commit) => draw_commit(commit),
        WatchItem::Resync(resync) => draw_resync(resync),
    }
}

fn draw_commit(commit: &WatchCommit) -> Text {
    let WatchCommit { revision, commit: _, time, author, message, changes } = commit;
    let mut text = Text::new();
    text.add(Role::Strong, revision.to_string()).plain("  ").add(Role::Quiet, time).plain("  ").plain(author);
    if !message.is_empty() {
        text.plain("  ").plain(message);
    }
    text.end();
    for change in changes {
        let WatchChange { key, value, previous } = change;
        let (mark, role) = match (value, previous) {
            (Some(_), None) => ('+', Role::Create),
            (Some(_), Some(_)) => ('~', Role::Update),
            (None, _) => ('-', Role::Delete),
        };
        text.plain("  ").add(role, format!("{mark} {key}"));
        if let Some(value) = value.as_ref().filter(|_| key.starts_with(KV)) {
            text.plain(": ").plain(shown(&RawValue::new(value), Length::Cut));
        }
        text.end();
    }
    text
}

fn draw_resync(resync: &WatchResync) -> Text {
    let WatchResync { revision, reason, first, entries, more: _ } = resync;
    let mut text = Text::new();
    if *first {
        text.add(Role::Warning, "resync")
            .plain(format!("  {revision}  {reason}: what follows replaces all that was known"));
        text.end();
    }
    for entry in entries {
        text.plain("  = ").plain(&entry.key).plain("  ").add(Role::Quiet, entry.modified.to_string()).end();
    }
    text
}
