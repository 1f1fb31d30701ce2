//! Skills: folders with `SKILL.md` and single Markdown files, of the project and of each agent.
//!
//! Never here: how a skill's needs are merged into an agent's settings (`agents.rs`).

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::check::{Path, check};
use super::context::Context;
use super::findings::{E_FRONT_MATTER, Finding};
use super::grammar_yaml::SKILL;
use super::limits::MARKDOWN_BYTES_MAX;
use super::mcp;
use super::network::{Network, domains, judged, judges, normalise};
use super::node::Node;
use super::source::{SourceFile, Spot};
use super::tree::{ItemKind, ReadError, join};
use super::yaml;

/// A skill and what it needs.
#[derive(Debug, Default)]
pub(crate) struct Skill {
    pub(crate) name: String,
    pub(crate) content: String,
    pub(crate) description: Option<String>,
    pub(crate) packages: Option<Vec<String>>,
    pub(crate) network: Option<Network>,
    /// MCP servers by id, in order.
    pub(crate) servers: Vec<(String, Value)>,
    /// Where it is written.
    pub(crate) spot: Option<Spot>,
}

impl Skill {
    /// The skill as an item of the field `skillsConfig`.
    pub(crate) fn to_value(&self) -> Value {
        let mut members = Map::from_iter([
            ("repo".to_owned(), Value::from(format!("local/{}", self.name))),
            ("name".to_owned(), Value::from(self.name.as_str())),
            ("content".to_owned(), Value::from(self.content.as_str())),
            ("enabled".to_owned(), Value::from(true)),
        ]);
        if let Some(description) = &self.description {
            members.insert("description".to_owned(), Value::from(description.as_str()));
        }
        if let Some(packages) = &self.packages {
            members.insert("nixPackages".to_owned(), json!(packages));
        }
        if let Some(network) = &self.network {
            members.insert("networkConfig".to_owned(), network.to_value());
        }
        if !self.servers.is_empty() {
            let one = |(id, server): &(String, Value)| {
                let mut server = server.as_object().cloned().unwrap_or_default();
                server.insert("id".to_owned(), Value::from(id.as_str()));
                Value::Object(server)
            };
            members.insert("mcpServers".to_owned(), self.servers.iter().map(one).collect());
        }
        Value::Object(members)
    }
}

/// Reads the skills of a folder, in order of the names in it; a missing folder has none.
pub(crate) fn read(context: &mut Context<'_>, folder: &str, from: Option<Spot>) -> Rc<[Skill]> {
    if let Some(known) = context.skills.get(folder) {
        return Rc::clone(known);
    }
    let mut skills = Vec::new();
    match context.tree.list(folder) {
        Ok(items) => {
            for item in items {
                let path = join(folder, &item.name);
                skills.extend(match (item.kind, item.name.strip_suffix(".md")) {
                    (ItemKind::Directory, _) => directory(context, &path, &item.name, from),
                    // What is named like a skill and cannot be read is told, not left out.
                    (ItemKind::File | ItemKind::Other, Some(stem)) => single(context, &path, stem, from),
                    (ItemKind::File | ItemKind::Other, None) => None,
                });
            }
        }
        Err(ReadError::NotFound) => {}
        Err(error) => context.unreadable(folder, &error, from),
    }
    let skills: Rc<[Skill]> = skills.into();
    context.skills.insert(folder.to_owned(), Rc::clone(&skills));
    skills
}

/// Merges the skills of a project with those of an agent: a later one of a name replaces the content and keeps the place.
pub(crate) fn merge<'s>(project: &'s [Skill], agent: &'s [Skill]) -> Vec<&'s Skill> {
    let mut all: Vec<&Skill> = Vec::with_capacity(project.len() + agent.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(project.len() + agent.len());
    for skill in project.iter().chain(agent) {
        match places.get(skill.name.as_str()) {
            Some(place) => all[*place] = skill,
            None => {
                places.insert(&skill.name, all.len());
                all.push(skill);
            }
        }
    }
    all
}

fn single(context: &mut Context<'_>, path: &str, stem: &str, from: Option<Spot>) -> Option<Skill> {
    let (file, source) = context.read(path, MARKDOWN_BYTES_MAX, from)?;
    let content = plain(&source.text).trim();
    let spot = Some(Spot { file, start: 0, end: 0 });
    (!content.is_empty()).then(|| Skill {
        name: stem.to_owned(),
        content: content.to_owned(),
        spot,
        ..Skill::default()
    })
}

fn directory(context: &mut Context<'_>, path: &str, name: &str, from: Option<Spot>) -> Option<Skill> {
    let path = join(path, "SKILL.md");
    let bytes = match context.bytes(&path, MARKDOWN_BYTES_MAX) {
        Ok(bytes) => bytes,
        // A folder of something else.
        Err(ReadError::NotFound) => return None,
        Err(error) => {
            context.unreadable(&path, &error, from);
            return None;
        }
    };
    let (file, source) = context.decode(&path, bytes)?;
    let (front, content) = split(context, file, &source)?;
    let mut skill = Skill {
        name: name.to_owned(),
        content: content.trim().to_owned(),
        spot: Some(Spot { file, start: 0, end: 0 }),
        ..Skill::default()
    };
    match front {
        Some(front) => fill(context, &mut skill, front)?,
        None if skill.content.is_empty() => return None,
        None => {}
    }
    Some(skill)
}

/// Reads the front matter; `None` after it could not be read.
fn fill(context: &mut Context<'_>, skill: &mut Skill, front: yaml::Text<'_>) -> Option<()> {
    let start = Spot { file: front.file, start: 0, end: 3 };
    let documents = yaml::parse(front, &context.files, &mut context.findings)?;
    let Some(node) = documents.first() else { return Some(()) };
    if documents.len() > 1 || node.type_name() != "a table" {
        let message = format!("the front matter is {}, but must be one table", node.type_name());
        context.findings.report(Finding::error(E_FRONT_MATTER, message).at(node.spot, ""));
        return None;
    }
    check(node, &SKILL, &Path::root("", start), &mut context.files, &mut context.findings);
    if let Some(name) = node.text_of("name") {
        skill.name = name.to_owned();
    }
    skill.description = node.text_of("description").filter(|text| !text.is_empty()).map(str::to_owned);
    let packages = node.get("nixPackages").map(|list| list.texts().map(|(text, _)| text.to_owned()).collect());
    skill.packages = packages.filter(|packages: &Vec<String>| !packages.is_empty());
    let network = network(node);
    skill.network = (network != Network::default()).then_some(network);
    for (id, server) in node.get("mcpServers").map(Node::entries).unwrap_or_default() {
        let value = mcp::server(context, &id.text, server);
        skill.servers.push((id.text.to_string(), value));
    }
    Some(())
}

fn network(node: &Node<'_>) -> Network {
    let network = node.get("network");
    let member = |key| network.and_then(|network| network.get(key));
    Network {
        allowed: domains(member("allow")),
        denied: domains(member("deny")),
        judged: judged(member("judge"), normalise),
        judges: judges(node.get("judges")),
    }
}

/// Splits a text into its front matter and the rest; `None` after an opened front matter that is not closed.
fn split<'t>(
    context: &mut Context<'_>,
    file: u32,
    source: &'t SourceFile,
) -> Option<(Option<yaml::Text<'t>>, &'t str)> {
    let text = plain(&source.text);
    let skipped = source.text.len() - text.len();
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else { return Some((None, text)) };
    let mut at = first.len();
    for line in lines {
        if line.trim_end() == "---" {
            let front = yaml::Text { file, offset: skipped + first.len(), text: &text[first.len()..at] };
            return Some((Some(front), &text[at + line.len()..]));
        }
        at += line.len();
    }
    let spot = Spot { file, start: skipped as u32, end: skipped as u32 + 3 };
    let message = "the front matter is opened here and never closed";
    let help = "close it with a line `---`";
    context.findings.report(Finding::error(E_FRONT_MATTER, message).at(spot, "").help(help));
    None
}

fn plain(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
