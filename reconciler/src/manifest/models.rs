//! Models: entity types, relationship types and watchers, from the YAML files of a folder.
//!
//! Never here: which keys are allowed (`grammar_yaml.rs`).

use holdfast_engine::Digest;

use super::check::{Path, check};
use super::context::Context;
use super::draft::Draft;
use super::findings::{E_FILE, E_INVALID_VALUE, E_MISSING_KEY, E_SCHEDULE, E_UNKNOWN_REFERENCE, Finding};
use super::grammar_yaml::MODELS;
use super::limits::{FOLDER_DEPTH_MAX, PROJECT_BYTES_MAX, SCRIPT_BYTES_MAX};
use super::node::Node;
use super::schedule;
use super::source::{Spot, shown};
use super::spelled;
use super::tree::{ItemKind, ReadError, join, parent};
use super::yaml;
use crate::suggest::nearest;
use crate::value::Value;

/// Declares everything of a folder of models; a missing folder has nothing.
pub(crate) fn declare(context: &mut Context<'_>, folder: &str, from: Option<Spot>) {
    let mut files = Vec::new();
    walk(context, folder, 0, from, &mut files);
    for path in files {
        let Some((file, source)) = context.read(&path, PROJECT_BYTES_MAX, from) else { continue };
        let text = yaml::Text { file, offset: 0, text: &source.text };
        let Some(documents) = yaml::parse(text, &context.files, &mut context.findings) else { continue };
        for document in &documents {
            model(context, document, &path);
        }
    }
}

/// Collects the YAML files below a folder.
fn walk(context: &mut Context<'_>, folder: &str, depth: usize, from: Option<Spot>, files: &mut Vec<String>) {
    let items = match context.tree.list(folder) {
        Ok(items) => items,
        Err(ReadError::NotFound) => return,
        Err(error) => return context.unreadable(folder, &error, from),
    };
    if depth > FOLDER_DEPTH_MAX {
        let message = format!("`{}` is nested more than {FOLDER_DEPTH_MAX} folders deep", shown(folder));
        context.findings.report(Finding::error(E_FILE, message).in_file(folder, ""));
        return;
    }
    for item in items {
        let path = join(folder, &item.name);
        match item.kind {
            ItemKind::Directory => walk(context, &path, depth + 1, from, files),
            ItemKind::File | ItemKind::Other if is_yaml(&item.name) => files.push(path),
            ItemKind::File | ItemKind::Other => {}
        }
    }
}

/// Whether a name is one of a YAML file.
pub(crate) fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

fn model(context: &mut Context<'_>, document: &Node<'_>, path: &str) {
    let start = Spot { end: document.spot.start + 1, ..document.spot };
    check(document, &MODELS, &Path::root("", start), &mut context.files, &mut context.findings);
    if !["entities", "relationships", "watchers"].iter().any(|key| document.get(key).is_some()) {
        let message = "the document declares none of `entities`, `relationships`, `watchers`";
        context.findings.report(Finding::error(E_MISSING_KEY, message).at(start, ""));
    }
    let list = |key| document.get(key).map(Node::items).unwrap_or_default();
    for entity in list("entities") {
        let kind = context.kinds.entity_type.clone();
        let Some(mut draft) = named(&kind, entity) else { continue };
        if let Some(schema) = entity.get("metadata_schema") {
            draft.value("required", schema, "required");
            draft.value("properties", schema, "properties");
        }
        context.add(draft);
    }
    for relationship in list("relationships") {
        let kind = context.kinds.relationship_type.clone();
        let Some(mut draft) = named(&kind, relationship) else { continue };
        draft.value("rules", relationship, "rules");
        context.add(draft);
    }
    for node in list("watchers") {
        watcher(context, node, path);
    }
}

/// Starts a resource with `slug`, `name` and `description`.
fn named(kind: &crate::resource::KindName, node: &Node<'_>) -> Option<Draft> {
    let slug = node.get("slug")?;
    let mut draft = Draft::new(kind, slug.text()?, slug.spot);
    draft.text("name", node, "name");
    draft.text("description", node, "description");
    draft.lifecycle(node);
    Some(draft)
}

/// Fields of a watcher whose value is taken as it is.
const WATCHER_FIELDS: [(&str, &str); 16] = [
    ("schedule", "schedule"),
    ("prompt", "prompt"),
    ("agentId", "agent"),
    ("extractionSchema", "extraction_schema"),
    ("keyingConfig", "keying_config"),
    ("reactionsGuidance", "reactions_guidance"),
    ("deviceWorkerId", "device_worker_id"),
    ("schedulerClientId", "scheduler_client_id"),
    ("agentKind", "agent_kind"),
    ("condensationPrompt", "condensation_prompt"),
    ("notificationChannel", "notification_channel"),
    ("notificationPriority", "notification_priority"),
    ("minCooldownSeconds", "min_cooldown_seconds"),
    ("condensationWindowCount", "condensation_window_count"),
    ("tags", "tags"),
    ("classifiers", "classifiers"),
];

fn watcher(context: &mut Context<'_>, node: &Node<'_>, path: &str) {
    let kind = context.kinds.watcher.clone();
    let Some(mut draft) = named(&kind, node) else { return };
    for (field, key) in WATCHER_FIELDS.into_iter().chain([("sources", "sources"), ("jsonTemplate", "json_template")]) {
        draft.value(field, node, key);
    }
    let what = format!("watcher `{}`", shown(node.text_of("slug").unwrap_or_default()));
    if let Some(schedule) = node.get("schedule") {
        check_schedule(context, &what, schedule);
    }
    if let Some(agent) = node.get("agent") {
        known_agent(context, &what, agent);
    }
    if let Some(script) = node.get("reaction_script")
        && let Some(digest) = reaction(context, &what, script, path)
    {
        draft.field("reactionScript", Value::from(digest), script.spot);
    }
    context.add(draft);
}

/// Reports a schedule that is none, or too frequent.
pub(crate) fn check_schedule(context: &mut Context<'_>, what: &str, schedule: &Node<'_>) {
    let Some(text) = schedule.text().filter(|text| !text.trim().is_empty()) else { return };
    if let Some(fault) = schedule::fault(text) {
        let message = format!("the schedule `{}` of {what} {fault}", shown(text));
        let help = "write minute, hour, day, month and weekday, such as `0 9 * * 1`";
        context.findings.report(Finding::error(E_SCHEDULE, message).at(schedule.spot, "").help(help));
    }
}

fn known_agent(context: &mut Context<'_>, what: &str, agent: &Node<'_>) {
    let Some(name) = agent.text().filter(|name| !context.agents.contains(*name)) else { return };
    let message = format!("{what} names the agent `{}`, which no manifest declares", shown(name));
    let finding = Finding::error(E_UNKNOWN_REFERENCE, message).at(agent.spot, "");
    let finding = match nearest(name, context.agents.iter().map(String::as_str)) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help(format!("declare `[agents.{}]`, or name another agent", spelled::key(name))),
    };
    context.findings.report(finding);
}

/// The digest of a reaction script.
fn reaction(context: &mut Context<'_>, what: &str, script: &Node<'_>, path: &str) -> Option<String> {
    let text = script.text()?;
    let fault = if !text.ends_with(".ts") {
        "must end in `.ts`"
    } else if text.starts_with('/') || text.contains('\\') {
        "must be a relative path with `/` between its parts"
    } else if text.split('/').any(|part| part == "..") {
        "must not contain `..`"
    } else {
        return digest(context, script, text, path, SCRIPT_BYTES_MAX);
    };
    let message = format!("`reaction_script` of {what} {fault}, but is `{}`", shown(text));
    let help = "name a file below the folder of this one; its source cannot stand here";
    context.findings.report(Finding::error(E_INVALID_VALUE, message).at(script.spot, "").help(help));
    None
}

/// The digest of a file that a manifest names, relative to the manifest's folder.
pub(crate) fn digest(context: &mut Context<'_>, node: &Node<'_>, text: &str, path: &str, limit: u64) -> Option<String> {
    let Some(target) = super::tree::resolve(parent(path), text) else {
        context.unreadable(text, &ReadError::Outside, Some(node.spot));
        return None;
    };
    match context.bytes(&target, limit) {
        Ok(bytes) => Some(format!("sha256:{}", Digest::of(&bytes))),
        Err(error) => {
            context.unreadable(&target, &error, Some(node.spot));
            None
        }
    }
}
