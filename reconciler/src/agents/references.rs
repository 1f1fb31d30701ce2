//! Late references: `$NAME` texts in settings that a session resolves when it needs them, through an org secret of that name,
//! then the environment of the host.
//!
//! Never here: references that are read while planning (the manifest loader does that).

use std::collections::BTreeSet;

use super::credential::{Place, SystemEnvironment, Trace, World, referenced};
use super::evidence::{Outcome, Step};
use super::kinds::{SECRET, SETTINGS};
use crate::desired::Declared;
use crate::diagnostic::Diagnostic;
use crate::pasted::quoted;
use crate::resource::{Record, keys};
use crate::value::{Fields, Value};

/// The tables of an MCP server whose texts may be references.
const REFERENCE_TABLES: [&str; 3] = ["headers", "env", "oauth"];

/// What a declared resource refers to and what resolves nowhere, with the field that it stands in.
///
/// `declares` tells the names of org secrets that the plan would make; they count as there.
pub(crate) fn unresolved(
    world: World<'_>,
    declared: &Declared,
    declares: &dyn Fn(&str) -> bool,
) -> Vec<(Diagnostic, String)> {
    let missing = |(_, name): &(String, &str)| {
        let key = format!("{}{SECRET}/{name}", keys::live_prefix(world.org));
        let variable = match world.system {
            SystemEnvironment::Known(variables) => variables.get(*name).is_some_and(|value| !value.is_empty()),
            SystemEnvironment::NotKnown => false,
        };
        !variable && !declares(name) && world.snapshot.get(&key).is_none()
    };
    let told = |(path, name): (String, &str)| {
        let help = format!(
            "set it with `reconcile secret set {}`, or in the environment of the program that opens sessions",
            quoted(name)
        );
        let message = format!("`${name}` in `{path}` of `{}` is no org secret", declared.address);
        let found = match world.system {
            SystemEnvironment::Known(_) => {
                Diagnostic::warning("W_UNRESOLVED_REFERENCE", format!("{message} and in no variable of the host"))
            }
            SystemEnvironment::NotKnown => {
                let message = format!("{message}; the environment of the host is not known here");
                Diagnostic::note("N_UNKNOWN_REFERENCE", message)
            }
        };
        (found.help(help), path)
    };
    references(declared).into_iter().filter(missing).map(told).collect()
}

/// Whether a declared resource refers to anything.
pub(crate) fn any(declared: &Declared) -> bool {
    !references(declared).is_empty()
}

/// Notes for each reference of an MCP server whether it resolves: a session without it still opens, and its worker lacks it.
pub(super) fn trace(world: World<'_>, settings: &Record, trace: &mut Trace) {
    for (path, name) in in_servers(&settings.fields) {
        let ((outcome, detail), _) = referenced(world, name, trace);
        trace.note(Step::Reference, None, format!("${name} in {path}"), outcome, detail);
    }
}

/// The names that the MCP servers of some settings refer to.
pub(crate) fn names(fields: &Fields) -> BTreeSet<&str> {
    in_servers(fields).map(|(_, name)| name).collect()
}

/// Where the value of a reference is, if it resolves.
pub(crate) fn place(world: World<'_>, name: &str) -> Option<Place> {
    match referenced(world, name, &mut Trace::default()) {
        ((Outcome::Found, _), place) => Some(place),
        (_, _) => None,
    }
}

/// The references of one declared resource, each with the path that it stands at.
fn references(declared: &Declared) -> Vec<(String, &str)> {
    if declared.address.kind.as_str() != SETTINGS {
        return Vec::new();
    }
    let providers = declared.fields.get("installedProviders").and_then(Value::as_array).into_iter().flatten();
    let in_providers = providers.enumerate().filter_map(|(position, provider)| {
        Some((format!("installedProviders[{position}].secretRef"), provider.get("secretRef")?.as_str()?))
    });
    in_servers(&declared.fields).chain(in_providers).collect()
}

fn in_servers(fields: &Fields) -> impl Iterator<Item = (String, &str)> {
    let servers = fields.get("mcpServers").and_then(Value::as_object).into_iter().flatten();
    servers.flat_map(|(id, server)| {
        let tables = REFERENCE_TABLES.iter().filter_map(|table| Some((*table, server.get(*table)?.as_object()?)));
        tables.flat_map(move |(table, members)| {
            members.iter().filter_map(move |(member, value)| {
                let name = name_of(value.as_str()?)?;
                Some((format!("mcpServers.{id}.{table}.{member}"), name))
            })
        })
    })
}

/// The name in a text that is a reference as a whole.
fn name_of(text: &str) -> Option<&str> {
    let name = text.trim().strip_prefix('$')?;
    let part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (name.starts_with(|first: char| first.is_ascii_uppercase()) && name.bytes().all(part)).then_some(name)
}
