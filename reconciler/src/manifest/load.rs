//! The load itself: find the manifest, read it, check it, declare its resources, and give back everything that is wrong.
//!
//! Never here: what a table means (`agents.rs` and its peers), and a disk.

use super::agents;
use super::check::{Path, check};
use super::connectors;
use super::context::Context;
use super::findings::{E_NO_MANIFEST, E_TWO_MANIFESTS, Finding};
use super::grammar::MANIFEST;
use super::limits::PROJECT_BYTES_MAX;
use super::models;
use super::node::Node;
use super::reference::Environment;
use super::source::{SourceFile, Spot};
use super::toml;
use super::tree::{FileTree, ReadError, resolve};
use crate::desired::{Desired, OnDrift, SourceHint};
use crate::diagnostic::Diagnostic;
use crate::resource::{OrgId, SourceName};

/// The names that a manifest can have.
const NAMES: [&str; 2] = ["lobu.toml", "holdfast.toml"];

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the manifests declare; `None` if anything is an error.
    pub desired: Option<Desired>,
    /// Everything that is wrong or worth knowing, in the order of its places.
    pub diagnostics: Vec<Diagnostic>,
}

/// Loads the project whose files `tree` holds. `directory_name` names the source of a project that has no name of its own.
///
/// All errors of all files come in one run. References are looked up in `environment`; one that is not set is no error here,
/// since its value may be in the store already.
pub fn load(tree: &dyn FileTree, directory_name: &str, environment: &Environment) -> Loaded {
    let mut context = Context::new(tree, environment);
    let header = manifest(&mut context).unwrap_or_default();
    context.drafts.settle(&mut context.findings);
    let errors = context.findings.has_errors();
    let Context { files, findings, drafts, fingerprint, .. } = context;
    let resources = if errors { Vec::new() } else { drafts.finish(&files) };
    let diagnostics = findings.finish(&files);
    let desired = (!errors).then(|| Desired {
        source: SourceHint { name: header.name, directory: source_name(directory_name) },
        org: header.org,
        git: None,
        digest: fingerprint.finish(),
        on_drift: header.on_drift,
        protect: header.protect,
        resources,
        diagnostics: diagnostics.clone(),
    });
    Loaded { desired, diagnostics }
}

/// What the manifest says about the project as a whole.
#[derive(Default)]
struct Header {
    name: Option<SourceName>,
    org: Option<OrgId>,
    on_drift: OnDrift,
    protect: Vec<String>,
}

fn manifest(context: &mut Context<'_>) -> Option<Header> {
    let (file, source) = find(context)?;
    Some(declare(context, file, &source))
}

fn find(context: &mut Context<'_>) -> Option<(u32, std::sync::Arc<SourceFile>)> {
    let mut found = Vec::new();
    for name in NAMES {
        match context.bytes(name, PROJECT_BYTES_MAX) {
            Ok(bytes) => found.push((name, bytes)),
            Err(ReadError::NotFound) => {}
            Err(error) => {
                context.unreadable(name, &error, None);
                return None;
            }
        }
    }
    if found.len() > 1 {
        let message = "the project has both `lobu.toml` and `holdfast.toml`";
        let finding = Finding::error(E_TWO_MANIFESTS, message).in_file(NAMES[1], "").in_file(NAMES[0], "");
        context
            .findings
            .report(finding.help("they are one grammar; keep one, and name further files in `[project] include`"));
        return None;
    }
    match found.pop() {
        Some((name, bytes)) => context.decode(name, bytes),
        None => {
            let message = "there is no manifest here: neither `lobu.toml` nor `holdfast.toml`";
            let help = "`reconcile init` writes one";
            context.findings.report(Finding::error(E_NO_MANIFEST, message).help(help));
            None
        }
    }
}

fn declare(context: &mut Context<'_>, file: u32, source: &SourceFile) -> Header {
    let Some(root) = toml::parse(&source.text, file, &context.files, &mut context.findings) else {
        return Header::default();
    };
    let whole = Path::root("", Spot { file, start: 0, end: 0 });
    check(&root, &MANIFEST, &whole, &mut context.files, &mut context.findings);
    if let Some(list) = root.get("agents") {
        agents::declare(context, list, "");
    }
    memory(context, &root);
    header(&root)
}

/// Declares what `[memory]` points to: a table that is not there points to nothing.
fn memory(context: &mut Context<'_>, root: &Node<'_>) {
    let Some(memory) = root.get("memory").filter(|memory| enabled(memory)) else { return };
    type Declare = fn(&mut Context<'_>, &str, Option<Spot>);
    let parts: [(&str, &str, Declare); 2] =
        [("models", "./models", models::declare), ("connectors", "./connectors", connectors::declare)];
    for (key, default, declare) in parts {
        let node = memory.get(key);
        let text = node.and_then(Node::text).unwrap_or(default);
        let spot = node.map(|node| node.spot);
        match resolve("", text) {
            Some(folder) => declare(context, &folder, spot),
            None => context.unreadable(text, &ReadError::Outside, spot),
        }
    }
}

fn enabled(memory: &Node<'_>) -> bool {
    memory.get("enabled").and_then(Node::boolean) != Some(false)
}

fn header(root: &Node<'_>) -> Header {
    let memory = root.get("memory").filter(|memory| enabled(memory));
    let project = root.get("project");
    let text = |key| project.and_then(|project| project.text_of(key));
    Header {
        name: text("name").and_then(|name| SourceName::new(name).ok()),
        org: memory.and_then(|memory| memory.text_of("org")).and_then(|org| OrgId::new(org).ok()),
        on_drift: match text("on_drift") {
            Some("revert") => OnDrift::Revert,
            Some("keep") => OnDrift::Keep,
            Some(_) | None => OnDrift::Block,
        },
        protect: project
            .and_then(|project| project.get("protect"))
            .map(|list| list.texts().map(|(text, _)| text.to_owned()).collect())
            .unwrap_or_default(),
    }
}

/// A source name made of a directory's name: lower case, anything else becomes a hyphen.
fn source_name(directory: &str) -> SourceName {
    let mut name = String::new();
    for char in directory.chars().flat_map(char::to_lowercase).take(63) {
        match char {
            'a'..='z' | '0'..='9' => name.push(char),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    SourceName::new(name.trim_end_matches('-'))
        .or_else(|_| SourceName::new("project"))
        .expect("`project` is a valid source name")
}
