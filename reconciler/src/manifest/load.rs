//! The load itself: find the manifest, read it and what it includes, check it, declare its resources, and give back
//! everything that is wrong.
//!
//! Never here: what a table means (`agents.rs`, `project.rs` and their peers), and a disk.

use std::sync::Arc;

use super::agents;
use super::check::{Path, check};
use super::context::Context;
use super::findings::{E_NO_MANIFEST, E_TWO_MANIFESTS, Finding};
use super::grammar::MANIFEST;
use super::guards;
use super::include;
use super::limits::PROJECT_BYTES_MAX;
use super::moved;
use super::node::Node;
use super::own_kinds;
use super::own_resources;
use super::project::{self, Header};
use super::reference::Environment;
use super::source::{SourceFile, Spot};
use super::toml;
use super::tree::{FileTree, ReadError, parent};
use crate::desired::{Desired, SourceHint};
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
    let mut header = manifest(&mut context).unwrap_or_default();
    context.drafts.settle(&mut context.findings);
    let moved = moved::settle(&mut context, std::mem::take(&mut header.moved));
    let errors = context.findings.has_errors();
    let Context { files, findings, drafts, fingerprint, own_kinds, .. } = context;
    let resources = if errors { Vec::new() } else { drafts.finish(&files) };
    let diagnostics = findings.finish(&files);
    let desired = (!errors).then(|| Desired {
        source: SourceHint { name: header.name, directory: Some(source_name(directory_name)) },
        org: header.org,
        git: None,
        digest: fingerprint.finish(),
        on_drift: header.on_drift,
        protect: header.protect,
        loop_policy: header.loop_policy,
        moved,
        kinds: own_kinds.into_values().map(|(kind, _)| kind).collect(),
        resources,
        diagnostics: diagnostics.clone(),
    });
    Loaded { desired, diagnostics }
}

/// One manifest file as a tree.
struct Unit<'t> {
    root: Node<'t>,
    /// The folder that its paths are relative to.
    base: String,
}

fn manifest(context: &mut Context<'_>) -> Option<Header> {
    let (file, source) = find(context)?;
    let main = unit(context, file, &source)?;
    let mut header = project::header(&main.root);
    let patterns = main.root.get("project").and_then(|project| project.get("include"));
    let more: Vec<(u32, Arc<SourceFile>)> = match patterns {
        Some(patterns) => include::files(context, patterns, &source.name)
            .iter()
            .filter_map(|path| context.read(path, PROJECT_BYTES_MAX, Some(patterns.spot)))
            .collect(),
        None => Vec::new(),
    };
    let mut units = vec![main];
    for (file, source) in &more {
        if let Some(unit) = unit(context, *file, source) {
            project::included(context, &unit.root, &header);
            units.push(unit);
        }
    }
    declare(context, &units, &mut header);
    guards::check(context, &units[0].root);
    Some(header)
}

/// Declares everything; what others refer to comes first.
fn declare(context: &mut Context<'_>, units: &[Unit<'_>], header: &mut Header) {
    let tables = |key| units.iter().filter_map(move |unit| Some((unit.root.get(key)?, unit.base.as_str())));
    for (list, _) in tables("kinds") {
        own_kinds::declare(context, list);
    }
    for (list, _) in tables("providers") {
        project::providers(context, list);
    }
    for (list, base) in tables("agents") {
        agents::declare(context, list, base);
    }
    for (list, _) in tables("resources") {
        own_resources::declare(context, list);
    }
    for (list, _) in tables("moved") {
        project::moved(list, &mut header.moved);
    }
    for unit in units {
        project::memory(context, &unit.root, &unit.base);
    }
}

fn unit<'t>(context: &mut Context<'_>, file: u32, source: &'t SourceFile) -> Option<Unit<'t>> {
    let root = toml::parse(&source.text, file, &context.files, &mut context.findings)?;
    let whole = Path::root("", Spot { file, start: 0, end: 0 });
    check(&root, &MANIFEST, &whole, &mut context.files, &mut context.findings);
    Some(Unit { root, base: parent(&source.name).to_owned() })
}

/// What a project's main manifest says about one thing, without a look at anything else of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InHeader<T> {
    /// What it says, or nothing if it says nothing.
    Known(Option<T>),
    /// There is no manifest.
    NoManifest,
    /// The manifest cannot be read as far as this.
    Unreadable,
}

/// Reads `[memory] org` of the main manifest, for commands that plan nothing. Unlike [`load`] it reads one file and checks
/// nothing: `reconcile check` does.
pub fn org(tree: &dyn FileTree) -> InHeader<OrgId> {
    in_header(tree, |header| header.org)
}

/// Reads `[project] name` of the main manifest, as [`org`] does.
pub fn declared_name(tree: &dyn FileTree) -> InHeader<SourceName> {
    in_header(tree, |header| header.name)
}

fn in_header<T>(tree: &dyn FileTree, of: impl FnOnce(project::Header) -> Option<T>) -> InHeader<T> {
    let environment = Environment::default();
    let mut context = Context::new(tree, &environment);
    let Some((file, source)) = find(&mut context) else {
        let none = context.findings.finish(&context.files).iter().all(|found| found.code == E_NO_MANIFEST);
        return if none { InHeader::NoManifest } else { InHeader::Unreadable };
    };
    match toml::parse(&source.text, file, &context.files, &mut context.findings) {
        Some(root) => InHeader::Known(of(project::header(&root))),
        None => InHeader::Unreadable,
    }
}

fn find(context: &mut Context<'_>) -> Option<(u32, Arc<SourceFile>)> {
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
        let help = "they are one grammar; keep one, and name further files in `[project] include`";
        context.findings.report(finding.help(help));
        return None;
    }
    match found.pop() {
        Some((name, bytes)) => context.decode(name, bytes),
        None => {
            let message = "there is no manifest here: neither `lobu.toml` nor `holdfast.toml`";
            let help = "go to the project's folder, or write a manifest with `reconcile init`";
            context.findings.report(Finding::error(E_NO_MANIFEST, message).help(help));
            None
        }
    }
}

/// A source name made of a directory's name: lower case, anything else becomes a hyphen.
pub fn source_name(directory: &str) -> SourceName {
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
