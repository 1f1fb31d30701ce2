//! Connectors: definitions, auth profiles, connections and their feeds, from the files of a folder.
//!
//! Never here: which keys are allowed (`grammar_yaml.rs`).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::Digest;

use super::check::{Path, check};
use super::context::Context;
use super::draft::Draft;
use super::findings::{E_EXCLUSIVE_KEYS, E_INVALID_VALUE, E_MISSING_KEY, Finding};
use super::grammar_yaml::{AUTH_PROFILE, CONNECTION, CONNECTOR, CONNECTORS};
use super::limits::{DEFINITION_BYTES_MAX, PROJECT_BYTES_MAX};
use super::models::{check_schedule, digest, is_yaml};
use super::node::{Node, Tree};
use super::source::{Spot, shown};
use super::tree::{ItemKind, ReadError, join, parent, resolve};
use super::yaml;
use crate::value::Value;

/// How the file of a local definition ends.
const DEFINITION: &str = ".connector.ts";

/// What documents say about each other.
#[derive(Default)]
struct References {
    /// Local definitions that a document names, so that they are not declared by their stem too.
    named: BTreeSet<String>,
    /// Auth profiles by slug: connector, kind, place.
    profiles: BTreeMap<String, (String, String, Spot)>,
    uses: Vec<Use>,
}

/// A connection's use of an auth profile.
struct Use {
    connection: String,
    connector: String,
    app: bool,
    profile: String,
    spot: Spot,
}

/// Declares everything of a connectors folder; a missing folder has nothing.
pub(crate) fn declare(context: &mut Context<'_>, folder: &str, from: Option<Spot>) {
    let items = match context.tree.list(folder) {
        Ok(items) => items,
        Err(ReadError::NotFound) => return,
        Err(error) => return context.unreadable(folder, &error, from),
    };
    let mut references = References::default();
    for item in items.iter().filter(|item| item.kind != ItemKind::Directory && is_yaml(&item.name)) {
        let path = join(folder, &item.name);
        let Some((file, source)) = context.read(&path, PROJECT_BYTES_MAX, from) else { continue };
        let text = yaml::Text { file, offset: 0, text: &source.text };
        let Some(documents) = yaml::parse(text, &context.files, &mut context.findings) else { continue };
        for document in &documents {
            self::document(context, document, &path, &mut references);
        }
    }
    for item in items.iter().filter(|item| item.kind != ItemKind::Directory) {
        let path = join(folder, &item.name);
        if let Some(stem) = item.name.strip_suffix(DEFINITION)
            && !references.named.contains(&path)
        {
            local(context, &path, stem, from);
        }
    }
    check_uses(context, &references);
}

fn document(context: &mut Context<'_>, node: &Node<'_>, path: &str, references: &mut References) {
    let start = Spot { end: node.spot.start + 1, ..node.spot };
    let root = Path::root("", start);
    let kind = node.text_of("type");
    let shape = match kind {
        Some("connection") => &CONNECTION,
        Some("auth_profile") => &AUTH_PROFILE,
        Some("connector") => &CONNECTOR,
        Some(_) | None => &CONNECTORS,
    };
    check(node, shape, &root, &mut context.files, &mut context.findings);
    match kind {
        Some("connection") => connection(context, node, references),
        Some("auth_profile") => auth_profile(context, node, references),
        Some("connector") => connector(context, node, path, references),
        Some(_) | None => {}
    }
}

fn connection(context: &mut Context<'_>, node: &Node<'_>, references: &mut References) {
    let Some(slug) = node.get("slug") else { return };
    let Some(name) = slug.text() else { return };
    let mut draft = Draft::new(&context.kinds.connection, name, slug.spot);
    for (field, key) in [
        ("connector", "connector"),
        ("name", "name"),
        ("auth", "auth"),
        ("appAuth", "app_auth"),
        ("deviceWorkerId", "device_worker_id"),
        ("config", "config"),
    ] {
        draft.value(field, node, key);
    }
    draft.lifecycle(node);
    context.add(draft);
    for (key, app) in [("auth", false), ("app_auth", true)] {
        if let Some(profile) = node.get(key)
            && let Some(text) = profile.text()
        {
            references.uses.push(Use {
                connection: name.to_owned(),
                connector: node.text_of("connector").unwrap_or_default().to_owned(),
                app,
                profile: text.to_owned(),
                spot: profile.spot,
            });
        }
    }
    for feed in node.get("feeds").map(Node::items).unwrap_or_default() {
        let Some(key) = feed.get("feed") else { continue };
        let Some(text) = key.text() else { continue };
        let mut draft = Draft::new(&context.kinds.feed, format!("{name}/{text}"), key.spot);
        for field in ["name", "schedule", "config"] {
            draft.value(field, feed, field);
        }
        draft.lifecycle(feed);
        context.add(draft);
        if let Some(schedule) = feed.get("schedule") {
            check_schedule(context, &format!("feed `{}` of connection `{}`", shown(text), shown(name)), schedule);
        }
    }
}

fn auth_profile(context: &mut Context<'_>, node: &Node<'_>, references: &mut References) {
    let Some(slug) = node.get("slug") else { return };
    let Some(name) = slug.text() else { return };
    let mut draft = Draft::new(&context.kinds.auth_profile, name, slug.spot);
    for field in ["connector", "kind", "name"] {
        draft.text(field, node, field);
    }
    draft.lifecycle(node);
    let kind = node.text_of("kind").unwrap_or_default();
    if let Some((at, credentials)) = node.entry("credentials") {
        if matches!(kind, "oauth_account" | "browser_session") && !credentials.entries().is_empty() {
            for (_, value) in credentials.entries() {
                context.files.hide(value.spot);
            }
            let message = format!("`credentials` cannot stand in a profile of kind `{kind}`");
            let help = "such a profile is logged in to by a person; remove the credentials";
            context.findings.report(Finding::error(E_INVALID_VALUE, message).at(at.spot, "").help(help));
        }
        draft.field("credentials", Value::Object(serde_json::Map::new()), at.spot);
        for (name, value) in credentials.entries() {
            let Some(text) = value.text() else { continue };
            let input = context.secret(text, name.spot);
            draft.secret(format!("credentials.{}", name.text), input, name.spot);
        }
    }
    context.add(draft);
    let connector = node.text_of("connector").unwrap_or_default();
    references.profiles.insert(name.to_owned(), (connector.to_owned(), kind.to_owned(), slug.spot));
}

fn connector(context: &mut Context<'_>, node: &Node<'_>, path: &str, references: &mut References) {
    let Some(key) = node.get("key") else { return };
    let Some(name) = key.text() else { return };
    let mut draft = Draft::new(&context.kinds.connector_definition, name, key.spot);
    draft.lifecycle(node);
    match (node.entry("source_path"), node.entry("source_url")) {
        (Some((first, _)), Some((second, _))) => {
            let message = format!("connector `{}` sets both `source_path` and `source_url`", shown(name));
            let finding = Finding::error(E_EXCLUSIVE_KEYS, message).at(second.spot, "").at(first.spot, "set here too");
            context.findings.report(finding.help("keep one of the two"));
        }
        (None, None) => {
            let message = format!("connector `{}` sets neither `source_path` nor `source_url`", shown(name));
            context.findings.report(Finding::error(E_MISSING_KEY, message).at(key.spot, ""));
        }
        (Some((at, value)), None) => {
            if let Some(text) = value.text()
                && let Some(digest) = digest(context, value, text, path, DEFINITION_BYTES_MAX)
            {
                draft.field("sourceDigest", Value::from(digest), at.spot);
                references.named.extend(resolve(parent(path), text));
            }
        }
        (None, Some((at, value))) => {
            if let Tree::Text(url) = &value.tree {
                draft.field("sourceUrl", Value::from(url.as_ref()), at.spot);
            }
        }
    }
    context.add(draft);
}

/// A local definition that no document names: its key is the stem of its file.
fn local(context: &mut Context<'_>, path: &str, stem: &str, from: Option<Spot>) {
    match context.bytes(path, DEFINITION_BYTES_MAX) {
        Ok(bytes) => {
            let (file, _) = context.files.add(path.to_owned(), String::new());
            let spot = Spot { file, start: 0, end: 0 };
            let mut draft = Draft::new(&context.kinds.connector_definition, stem, spot);
            draft.field("sourceDigest", Value::from(format!("sha256:{}", Digest::of(&bytes))), spot);
            context.add(draft);
        }
        Err(error) => context.unreadable(path, &error, from),
    }
}

/// A profile that the project declares must fit the connection that uses it; others may exist in the store.
fn check_uses(context: &mut Context<'_>, references: &References) {
    for one in &references.uses {
        let Some((connector, kind, spot)) = references.profiles.get(&one.profile) else { continue };
        let (connection, profile) = (shown(&one.connection), shown(&one.profile));
        let fault = if *connector != one.connector {
            format!("is for the connector `{}`, not `{}`", shown(connector), shown(&one.connector))
        } else if one.app && kind != "oauth_app" {
            format!("is of kind `{kind}`, but `app_auth` needs `oauth_app`")
        } else if !one.app && kind == "oauth_app" {
            "is of kind `oauth_app`, which `auth` cannot use".to_owned()
        } else {
            continue;
        };
        let message = format!("the auth profile `{profile}` of connection `{connection}` {fault}");
        let finding = Finding::error(E_INVALID_VALUE, message).at(one.spot, "used here");
        context.findings.report(finding.at(*spot, "declared here"));
    }
}
