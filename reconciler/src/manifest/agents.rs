//! Agents: `[agents.<id>]` becomes an agent, its settings and its providers' secrets.
//!
//! Never here: which keys are allowed (`grammar.rs`).

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::context::Context;
use super::draft::Draft;
use super::findings::{
    E_DUPLICATE, E_EXCLUSIVE_KEYS, E_INVALID_REFERENCE, E_OUTSIDE_PROJECT, E_UNKNOWN_KEY, Finding, W_NO_FOLDER,
    W_UNKNOWN_PROVIDER,
};
use super::limits::MARKDOWN_BYTES_MAX;
use super::mcp;
use super::network::{Network, unique};
use super::node::{Key, Node};
use super::platforms;
use super::reference::reference;
use super::skills::{self, Skill};
use super::source::{Spot, shown};
use super::spelled;
use super::tree::{Item, ItemKind, ReadError, join, parent, resolve};
use crate::desired::SecretOrigin;
use crate::suggest::nearest;

/// The texts of an agent's folder, and the fields they become.
const TEXT_FILES: [(&str, &str); 3] = [("IDENTITY.md", "identityMd"), ("SOUL.md", "soulMd"), ("USER.md", "userMd")];

/// Declares everything of `[agents]`.
pub(crate) fn declare(context: &mut Context<'_>, agents: &Node<'_>, base: &str) {
    context.agents.extend(agents.entries().iter().map(|(id, _)| id.text.to_string()));
    for (id, node) in agents.entries() {
        let mut agent = Draft::new(&context.kinds.agent, id.text.as_ref(), id.spot);
        agent.text("name", node, "name");
        agent.text("description", node, "description");
        agent.text("owner", node, "owner");
        agent.lifecycle(node);
        context.add(agent);
        settings(context, id, node, base);
        platforms::declare(context, id, node);
        if let Some((key, list)) = node.entry("watchers")
            && !(list.items().is_empty() && list.type_name() == "a list")
        {
            let message = format!("watchers cannot be declared under `agents.{}`", shown(&id.text));
            let help = "move them into a file of the models folder, under `watchers:`, with `agent:` naming the agent";
            context.findings.report(Finding::error(E_UNKNOWN_KEY, message).at(key.spot, "").help(help));
        }
    }
}

fn settings(context: &mut Context<'_>, id: &Key<'_>, node: &Node<'_>, base: &str) {
    let mut settings = Draft::new(&context.kinds.settings, id.text.as_ref(), id.spot);
    settings.lifecycle(node);
    if let Some((key, egress)) = node.entry("egress") {
        let value = texts(egress, &[("extra_policy", "extraPolicy"), ("judge_model", "judgeModel")]);
        settings.field("egressConfig", Value::Object(value), key.spot);
    }
    tools(&mut settings, node);
    for (name, key) in [("guardrails", "guardrails"), ("guardrailsDisabled", "guardrails_disabled")] {
        if let Some((at, names)) = node.entry(key) {
            settings.field(name, json!(list(names)), at.spot);
        }
    }
    if let Some((key, guardrails)) = node.entry("guardrails_inline") {
        let one = |item: &Node<'_>| {
            let mut members = texts(item, &[("stage", "stage"), ("judge", "judge")]);
            if let Some(tools) = item.get("tools") {
                members.insert("tools".to_owned(), tools.to_value());
            }
            Value::Object(members)
        };
        settings.field("guardrailsInline", guardrails.items().iter().map(one).collect(), key.spot);
    }
    providers(context, &mut settings, id, node);
    let folder = folder(context, &mut settings, id, node, base);
    needs(context, &mut settings, id, node, folder.as_deref());
    context.add(settings);
}

/// What the agent and its skills need: network, packages, MCP servers.
fn needs(context: &mut Context<'_>, settings: &mut Draft, id: &Key<'_>, node: &Node<'_>, folder: Option<&str>) {
    let dir = node.get("dir").map(|dir| dir.spot);
    let of_project = skills::read(context, "skills", dir);
    let of_agent = match folder {
        Some(folder) => skills::read(context, &join(folder, "skills"), dir),
        None => Rc::default(),
    };
    // An agent in the project's own folder has the project's skills, once.
    let all = skills::merge(&of_project, &of_agent);
    let from_skill = |found: Option<&&Skill>| found.and_then(|skill| skill.spot).unwrap_or(id.spot);
    if let Some(first) = all.first() {
        let list: Vec<Value> = all.iter().map(|skill| skill.to_value()).collect();
        settings.field("skillsConfig", json!({ "skills": list }), first.spot.unwrap_or(id.spot));
        for (at, skill) in all.iter().enumerate() {
            settings.place(format!("skillsConfig.skills[{at}]"), skill.spot.unwrap_or(id.spot));
        }
    }
    let network = node.entry("network");
    let own = network.map(|(_, network)| Network::of_agent(network)).unwrap_or_default();
    let merged = Network::merge(own, all.iter().filter_map(|skill| skill.network.clone()));
    if network.is_some() || merged != Network::default() {
        let skill = || from_skill(all.iter().find(|skill| skill.network.is_some()));
        settings.field("networkConfig", merged.to_value(), network.map_or_else(skill, |(key, _)| key.spot));
    }
    for (name, member) in [
        ("allowed", "networkConfig.allowedDomains"),
        ("denied", "networkConfig.deniedDomains"),
        ("judge", "networkConfig.judgedDomains"),
        ("judges", "networkConfig.judges"),
    ] {
        if let Some((key, _)) = network.and_then(|(_, network)| network.entry(name)) {
            settings.place(member, key.spot);
        }
    }
    let packages = node.get("worker").and_then(|worker| worker.entry("nix_packages"));
    let mut names = packages.map(|(_, packages)| list(packages)).unwrap_or_default();
    names.extend(all.iter().filter_map(|skill| skill.packages.clone()).flatten());
    if packages.is_some() || !names.is_empty() {
        let skill = || from_skill(all.iter().find(|skill| skill.packages.is_some()));
        let value = if names.is_empty() { json!({}) } else { json!({ "packages": unique(names) }) };
        settings.field("nixConfig", value, packages.map_or_else(skill, |(key, _)| key.spot));
    }
    servers(context, settings, node, &all, id.spot);
}

fn servers(context: &mut Context<'_>, settings: &mut Draft, node: &Node<'_>, skills: &[&Skill], fallback: Spot) {
    let own = node.get("skills").and_then(|skills| skills.entry("mcp"));
    let mut servers = Map::new();
    for (id, server) in own.map(|(_, servers)| servers.entries()).unwrap_or_default() {
        let value = mcp::server(context, &id.text, server);
        servers.insert(id.text.to_string(), value);
        settings.place(format!("mcpServers.{}", id.text), id.spot);
        for table in ["headers", "env"] {
            for (name, _) in server.get(table).map(Node::entries).unwrap_or_default() {
                settings.place(format!("mcpServers.{}.{table}.{}", id.text, name.text), name.spot);
            }
        }
    }
    for skill in skills {
        for (id, server) in &skill.servers {
            if !servers.contains_key(id) {
                servers.insert(id.clone(), server.clone());
                settings.place(format!("mcpServers.{id}"), skill.spot.unwrap_or(fallback));
            }
        }
    }
    if own.is_some() || !servers.is_empty() {
        let first = skills.iter().find(|skill| !skill.servers.is_empty());
        let spot = own.map(|(key, _)| key.spot).or_else(|| first.and_then(|skill| skill.spot));
        settings.field("mcpServers", Value::Object(servers), spot.unwrap_or(fallback));
    }
}

fn tools(settings: &mut Draft, node: &Node<'_>) {
    let Some((at, tools)) = node.entry("tools") else { return };
    let mut config = Map::new();
    let mut declared = false;
    for (key, member) in [("allowed", "allowedTools"), ("denied", "deniedTools")] {
        if let Some(names) = tools.get(key) {
            declared = true;
            if !names.items().is_empty() {
                config.insert(member.to_owned(), names.to_value());
            }
        }
    }
    if let Some(strict) = tools.get("strict").and_then(Node::boolean) {
        declared = true;
        config.insert("strictMode".to_owned(), Value::from(strict));
    }
    if declared {
        settings.field("toolsConfig", Value::Object(config), at.spot);
    }
    if let Some((key, names)) = tools.entry("pre_approved") {
        settings.field("preApprovedTools", json!(list(names)), key.spot);
    }
}

fn providers(context: &mut Context<'_>, settings: &mut Draft, agent: &Key<'_>, node: &Node<'_>) {
    let Some((at, list)) = node.entry("providers") else { return };
    let mut installed = Vec::new();
    let mut preferences = Map::new();
    let mut first_preference = None;
    let mut seen: HashMap<&str, Spot> = HashMap::new();
    for provider in list.items() {
        let Some(id) = provider.get("id") else { continue };
        let Some(name) = id.text() else { continue };
        if let Some(first) = seen.get(name) {
            let message = format!("agent `{}` has the provider `{}` twice", shown(&agent.text), shown(name));
            let finding = Finding::error(E_DUPLICATE, message).at(id.spot, "declared again here");
            context.findings.report(finding.at(*first, "declared here first"));
            continue;
        }
        seen.insert(name, id.spot);
        unknown_provider(context, name, id);
        let mut entry = Map::from_iter([("providerId".to_owned(), Value::from(name))]);
        settings.place(format!("installedProviders[{}]", installed.len()), id.spot);
        if let Some((key, model)) = provider.entry("model")
            && let Some(text) = model.text().map(str::trim).filter(|text| !text.is_empty())
        {
            preferences.insert(name.to_owned(), Value::from(text));
            settings.place(format!("providerModelPreferences.{name}"), key.spot);
            first_preference.get_or_insert(key.spot);
        }
        if let Some(name) = secret_ref(context, provider) {
            entry.insert("secretRef".to_owned(), Value::from(name));
        }
        if let Some((key, value)) = provider.entry("key")
            && value.text().is_some()
        {
            context.provider_key(name, value, key.spot);
        }
        installed.push(Value::Object(entry));
    }
    if !installed.is_empty() {
        settings.field("modelSelection", json!({ "mode": "auto" }), at.spot);
    }
    settings.field("installedProviders", Value::Array(installed), at.spot);
    if let Some(spot) = first_preference {
        settings.field("providerModelPreferences", Value::Object(preferences), spot);
    }
}

fn unknown_provider(context: &mut Context<'_>, name: &str, id: &Node<'_>) {
    if context.catalogue.find(name).is_some() {
        return;
    }
    let names = context.catalogue.rows().flat_map(|row| row.names().collect::<Vec<_>>());
    let near = nearest(name, names).map(|near| format!("did you mean `{near}`? or "));
    let message = format!("the provider `{}` is not in the catalogue", shown(name));
    let help = format!(
        "{}add `[providers.{}]` with its `env` and `default_model`",
        near.unwrap_or_default(),
        spelled::key(name)
    );
    context.findings.report(Finding::warning(W_UNKNOWN_PROVIDER, message).at(id.spot, "").help(help));
}

fn secret_ref(context: &mut Context<'_>, provider: &Node<'_>) -> Option<String> {
    let (at, value) = provider.entry("secret_ref")?;
    if let Some((key, _)) = provider.entry("key") {
        let message = "a provider sets at most one of `key` and `secret_ref`";
        let finding = Finding::error(E_EXCLUSIVE_KEYS, message).at(at.spot, "");
        context.findings.report(finding.at(key.spot, "set here too"));
    }
    match reference(value.text()?) {
        Some(SecretOrigin::Env(name)) => Some(name),
        Some(SecretOrigin::File(_) | SecretOrigin::Literal | SecretOrigin::Sealed) | None => {
            context.files.hide(value.spot);
            let message = "`secret_ref` must be a reference: `$NAME`";
            let help = "sessions look the name up when they need it; to store a value with the apply, use `key`";
            context.findings.report(Finding::error(E_INVALID_REFERENCE, message).at(at.spot, "").help(help));
            None
        }
    }
}

/// Reads the texts of the agent's folder, and gives the folder's path if it has skills.
fn folder(
    context: &mut Context<'_>,
    settings: &mut Draft,
    id: &Key<'_>,
    node: &Node<'_>,
    base: &str,
) -> Option<String> {
    let dir = node.get("dir")?;
    let text = dir.text()?;
    let Some(path) = resolve(base, text) else {
        let message = format!("`agents.{}.dir` leads out of the project", shown(&id.text));
        let help = "use a relative path inside the project";
        context.findings.report(Finding::error(E_OUTSIDE_PROJECT, message).at(dir.spot, "").help(help));
        return None;
    };
    let listed = match context.is_absent(&path) {
        true => Err(ReadError::NotFound),
        false => context.tree.list(&path),
    };
    let names = match listed {
        Ok(items) => items,
        // An agent without texts needs no folder.
        Err(ReadError::NotFound) => {
            missing_folder(context, &id.text, &path, dir.spot);
            return None;
        }
        Err(error) => {
            context.unreadable(&path, &error, Some(dir.spot));
            return None;
        }
    };
    for (name, field) in TEXT_FILES {
        if names.iter().any(|item| item.name == name)
            && let Some((text, spot)) = context.text_field(&join(&path, name), MARKDOWN_BYTES_MAX, dir.spot)
        {
            settings.field(field, Value::from(text), spot);
        }
    }
    names.iter().any(|item| item.name == "skills").then_some(path)
}

/// Warns about a folder that is not there if it was probably meant to be: beside it lies one with a similar name, or
/// other agents have theirs there. A project without any texts has no folders, which is nothing to tell.
fn missing_folder(context: &mut Context<'_>, agent: &str, path: &str, spot: Spot) {
    let (mut above, mut missing) = (parent(path), path);
    let names = loop {
        let names = neighbours(context, above);
        if !names.is_empty() || above.is_empty() {
            break names;
        }
        (missing, above) = (above, parent(above));
    };
    let name = missing.rsplit('/').next().unwrap_or(missing);
    // The folder above may be there and have no folders itself.
    let near = nearest(name, names.iter().map(String::as_str)).filter(|near| *near != name);
    if near.is_none() && (above.is_empty() || missing != path) {
        return;
    }
    let message =
        format!("agent `{}` has no folder `{}`, so it has no texts and skills of its own", shown(agent), shown(path));
    let help = match near {
        Some(near) => format!("did you mean `{}`?", shown(&join(above, near))),
        None => "make the folder, or correct `dir`".to_owned(),
    };
    context.findings.report(Finding::warning(W_NO_FOLDER, message).at(spot, "").help(help));
}

/// The folders in a folder; none if it is not there. Each is looked into once.
fn neighbours(context: &mut Context<'_>, folder: &str) -> Rc<[String]> {
    if let Some(known) = context.neighbours.get(folder) {
        return Rc::clone(known);
    }
    let items = context.tree.list(folder).unwrap_or_default();
    let is_folder = |item: &Item| item.kind == ItemKind::Directory && !item.name.starts_with('.');
    let names: Rc<[String]> = items.into_iter().filter(is_folder).map(|item| item.name).collect();
    context.neighbours.insert(folder.to_owned(), Rc::clone(&names));
    names
}

/// The texts of some members, under the names of fields; empty ones are left out.
fn texts(node: &Node<'_>, names: &[(&str, &str)]) -> Map<String, Value> {
    let one = |(key, name): &(&str, &str)| {
        let text = node.text_of(key).filter(|text| !text.is_empty())?;
        Some(((*name).to_owned(), Value::from(text)))
    };
    names.iter().filter_map(one).collect()
}

/// The strings of a list, each once.
fn list(node: &Node<'_>) -> Vec<String> {
    unique(node.texts().map(|(text, _)| text.to_owned()).collect())
}
