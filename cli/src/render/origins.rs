//! Where the values of a resource come from, as text: all of them in short, or one with what it was before.
//!
//! Unknown is written `unknown`, never left out. Never here: a session's evidence (`session.rs`).

use holdfast_engine::Revision;
use holdfast_reconciler::plane::{DeclaredBy, Origin, Origins, Previous, SeenBy, SetBy};
use holdfast_reconciler::value::Value;

use super::conditions;
use super::ink::{Role, Text, table};
use super::row::place;
use super::text::{counted, git, short};
use super::value::{Length, inline, secret};

/// Draws every value with the commit that made it.
pub(crate) fn all(origins: &Origins, length: Length) -> Text {
    let mut text = header(origins);
    for origin in &origins.values {
        text.plain("  ").add(Role::Quiet, format!("{}: ", origin.path));
        text.plain(shown(origin.value.as_ref(), origin.tag.as_deref(), length)).end();
        let owner = origin.owner.as_deref().unwrap_or("nobody");
        text.plain("      ").add(Role::Quiet, format!("set in {}; owner {owner}", set(origins, origin))).end();
        for declared in origin.declared.iter().filter(|declared| !declared.agrees) {
            text.plain("      ").add(Role::Warning, declaration(declared)).end();
        }
    }
    if origins.values.is_empty() {
        text.add(Role::Quiet, "  it has no values").end();
    }
    sessions(&mut text, &origins.sessions);
    text
}

/// Draws one value with all that is known of it.
pub(crate) fn one(origins: &Origins, length: Length) -> Text {
    let mut text = header(origins);
    let Some(Origin { path, sensitive: _, value, tag, owner, set: by, declared, previous }) = origins.values.first()
    else {
        return text;
    };
    let now = shown(value.as_ref(), tag.as_deref(), length);
    text.plain("  ").add(Role::Strong, path.to_string()).plain(": ").plain(now).end().end();
    let mut facts = vec![("set", set(origins, &origins.values[0]))];
    facts.extend(by.iter().filter(|by| !by.message.is_empty()).map(|by| ("why", by.message.clone())));
    facts.push(("owner", owner.clone().unwrap_or("nobody".to_owned())));
    facts.extend(declared.iter().map(|declared| ("manifest", declaration(declared))));
    if declared.is_empty() {
        facts.push(("manifest", "no source declares it".to_owned()));
    }
    let facts: Vec<_> =
        facts.into_iter().map(|(name, value)| vec![(Role::Quiet, name.to_owned()), (Role::Plain, value)]).collect();
    text.append(table(&facts, 2));
    if !previous.is_empty() {
        text.end().add(Role::Strong, "Before:").end();
    }
    let rows: Vec<_> = previous
        .iter()
        .map(|Previous { value, tag, set: by }| {
            let value = shown(value.as_ref(), tag.as_deref(), length);
            let since = by.as_ref().map_or("unknown".to_owned(), |by| by.revision.to_string());
            let whom = by.as_ref().map_or("that commit is compacted".to_owned(), by_whom);
            vec![(Role::Quiet, since), (Role::Plain, value), (Role::Quiet, whom)]
        })
        .collect();
    text.append(table(&rows, 2));
    sessions(&mut text, &origins.sessions);
    text
}

fn header(origins: &Origins) -> Text {
    let Origins { org, address, revision, commit, owner, effect, condition, .. } = origins;
    let mut text = Text::new();
    text.add(Role::Strong, address.to_string());
    let owner = owner.as_deref().unwrap_or("nobody");
    text.plain(format!("   {}   org {org}   owner {owner}   effect {effect}", at(*revision, commit)));
    text.end().end();
    if let Some(found) = condition {
        text.plain("  ").add(Role::Quiet, "outside: ").end();
        conditions::condition(&mut text, found, 4);
        text.end();
    }
    text
}

fn at(revision: Revision, commit: &str) -> String {
    format!("{revision} ({})", short(commit))
}

fn shown(value: Option<&Value>, tag: Option<&str>, length: Length) -> String {
    match (value, tag) {
        (_, Some(tag)) => secret(Some(tag)),
        (Some(value), None) => inline(value, length),
        (None, None) => "(absent)".to_owned(),
    }
}

/// Which commit made a value, as far as it is known.
fn set(origins: &Origins, origin: &Origin) -> String {
    match &origin.set {
        Some(by) => format!("{} {}", at(by.revision, &by.commit), by_whom(by)),
        None if origin.value.is_none() && origin.tag.is_none() && origin.previous.is_empty() => {
            "never, as far as commits are kept".to_owned()
        }
        None => format!("{} or before; that commit is compacted", origins.modified),
    }
}

fn by_whom(by: &SetBy) -> String {
    let SetBy { revision: _, commit: _, time, author, message: _, source, git: state } = by;
    let source = source.as_ref().map(|source| format!(" from {source}")).unwrap_or_default();
    let state = state.as_ref().map(|state| format!(" @ {}", git(state))).unwrap_or_default();
    format!("{time} by {author}{source}{state}")
}

fn declaration(declared: &DeclaredBy) -> String {
    let DeclaredBy { source, at, revision, git: state, agrees } = declared;
    let at = at.as_ref().map_or("unknown place".to_owned(), place);
    let state = state.as_ref().map(|state| format!(" @ {}", git(state))).unwrap_or_default();
    let differs = if *agrees { "" } else { ", which declares another value" };
    format!("{at}{state} of {source}, as of {revision}{differs}")
}

fn sessions(text: &mut Text, sessions: &[SeenBy]) {
    if sessions.is_empty() {
        return;
    }
    text.end().add(Role::Strong, "Open sessions:").end();
    for SeenBy { agent, revision, sessions, current } in sessions {
        let what = if *current { "has it" } else { "has what was there before" };
        text.line(format!("  {} of {agent} on {revision}: {what}", counted(*sessions, "session")));
    }
}
