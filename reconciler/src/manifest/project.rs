//! What a manifest says about the project as a whole: `[project]`, `[memory]`, `[providers]`, `[[moved]]`.
//!
//! Never here: agents and resources.

use super::connectors;
use super::context::Context;
use super::draft::Draft;
use super::findings::{E_INVALID_VALUE, E_UNKNOWN_KEY, Finding};
use super::models;
use super::node::{Node, Tree};
use super::source::Spot;
use super::tree::{ReadError, resolve};
use crate::desired::{LoopApply, LoopDeletes, LoopPolicy, Moved, OnDrift};
use crate::resource::{Address, OrgId, SourceName};

/// The project as a whole.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) name: Option<SourceName>,
    pub(crate) org: Option<OrgId>,
    pub(crate) on_drift: OnDrift,
    pub(crate) protect: Vec<String>,
    pub(crate) loop_policy: LoopPolicy,
    pub(crate) moved: Vec<(Moved, Spot)>,
}

/// Reads the main manifest's header.
pub(crate) fn header(root: &Node<'_>) -> Header {
    let project = root.get("project");
    let text = |key| project.and_then(|project| project.text_of(key));
    Header {
        name: text("name").and_then(|name| SourceName::new(name).ok()),
        org: root.get("memory").filter(|memory| enabled(memory)).and_then(org),
        on_drift: match text("on_drift") {
            Some("revert") => OnDrift::Revert,
            Some("keep") => OnDrift::Keep,
            Some(_) | None => OnDrift::Block,
        },
        protect: project
            .and_then(|project| project.get("protect"))
            .map(|list| list.texts().map(|(text, _)| text.to_owned()).collect())
            .unwrap_or_default(),
        loop_policy: project.and_then(|project| project.get("loop")).map(loop_policy).unwrap_or_default(),
        moved: Vec::new(),
    }
}

fn loop_policy(node: &Node<'_>) -> LoopPolicy {
    LoopPolicy {
        apply: match node.text_of("apply") {
            Some("auto") => LoopApply::Auto,
            Some(_) | None => LoopApply::Manual,
        },
        deletes: match node.get("deletes").map(|node| &node.tree) {
            Some(Tree::Text(_)) => LoopDeletes::All,
            Some(Tree::Integer(count)) => LoopDeletes::Count(u32::try_from(*count).unwrap_or(0)),
            _ => LoopDeletes::default(),
        },
    }
}

fn org(memory: &Node<'_>) -> Option<OrgId> {
    OrgId::new(memory.text_of("org")?).ok()
}

fn enabled(memory: &Node<'_>) -> bool {
    memory.get("enabled").and_then(Node::boolean) != Some(false)
}

/// Refuses what only the main manifest may say.
pub(crate) fn included(context: &mut Context<'_>, root: &Node<'_>, header: &Header) {
    if let Some((key, _)) = root.entry("project") {
        let message = "`[project]` can stand in the main manifest only";
        context.findings.report(Finding::error(E_UNKNOWN_KEY, message).at(key.spot, ""));
    }
    if let Some(memory) = root.get("memory")
        && let Some(org) = memory.get("org")
        && header.org.as_ref().map(OrgId::as_str) != org.text()
    {
        let message = "an included manifest belongs to the organisation of the main manifest";
        let help = "remove `org` here, or set it in the main manifest";
        context.findings.report(Finding::error(E_INVALID_VALUE, message).at(org.spot, "").help(help));
    }
}

/// Declares what `[memory]` points to, relative to the manifest's folder: a table that is not there points to nothing.
pub(crate) fn memory(context: &mut Context<'_>, root: &Node<'_>, base: &str) {
    let Some(memory) = root.get("memory").filter(|memory| enabled(memory)) else { return };
    type Declare = fn(&mut Context<'_>, &str, Option<Spot>);
    let parts: [(&str, &str, Declare); 2] =
        [("models", "./models", models::declare), ("connectors", "./connectors", connectors::declare)];
    for (key, default, declare) in parts {
        let node = memory.get(key);
        let text = node.and_then(Node::text).unwrap_or(default);
        let spot = node.map(|node| node.spot);
        match resolve(base, text) {
            Some(folder) => declare(context, &folder, spot),
            None => context.unreadable(text, &ReadError::Outside, spot),
        }
    }
}

/// Declares `[providers]` and adds its rows to the catalogue that the agents are checked against.
pub(crate) fn providers(context: &mut Context<'_>, list: &Node<'_>) {
    for (id, node) in list.entries() {
        let mut draft = Draft::new(&context.kinds.provider, id.text.as_ref(), id.spot);
        let fields = [
            ("slug", "slug"),
            ("env", "env"),
            ("defaultModel", "default_model"),
            ("registry", "registry"),
            ("baseUrlEnv", "base_url_env"),
        ];
        for (field, key) in fields {
            draft.text(field, node, key);
        }
        draft.lifecycle(node);
        context.catalogue.declare(&id.text, draft.fields());
        context.add(draft);
    }
}

/// Reads `[[moved]]` of one file.
pub(crate) fn moved(list: &Node<'_>, all: &mut Vec<(Moved, Spot)>) {
    for item in list.items() {
        let address = |key| item.text_of(key).and_then(|text| text.parse::<Address>().ok());
        if let (Some(from), Some(to)) = (address("from"), address("to")) {
            all.push((Moved { from, to, at: None }, item.spot));
        }
    }
}
