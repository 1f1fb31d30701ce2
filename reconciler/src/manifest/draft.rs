//! Resources while they are collected: fields with their places, each address once.
//!
//! Never here: what the fields of a kind are.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::findings::{E_DUPLICATE, E_INVALID_NAME, Finding, Findings};
use super::node::Node;
use super::source::{Files, Finder, Spot, shown};
use crate::desired::{Declared, Lifecycle, SecretInput};
use crate::places::{Place, Places};
use crate::resource::{Address, KindName, NameError, ResourceName};
use crate::value::{Fields, Value};

/// A resource whose places are still ranges of bytes.
#[derive(Debug)]
pub(crate) struct Draft {
    kind: KindName,
    name: Result<ResourceName, NameError>,
    spot: Spot,
    fields: Fields,
    secrets: BTreeMap<String, SecretInput>,
    places: Vec<(Cow<'static, str>, Spot)>,
    lifecycle: Lifecycle,
    /// Where each field that is not enforced is named, in the order of `lifecycle.ignore`.
    ignored_at: Vec<Spot>,
    on_duplicate: &'static str,
}

impl Draft {
    /// Starts a resource that is declared at `spot`. A bad name is reported when the draft is added.
    pub(crate) fn new(kind: &KindName, name: impl AsRef<str>, spot: Spot) -> Self {
        Self {
            kind: kind.clone(),
            name: ResourceName::new(name),
            spot,
            fields: Fields::new(),
            secrets: BTreeMap::new(),
            places: Vec::with_capacity(8),
            lifecycle: Lifecycle::default(),
            ignored_at: Vec::new(),
            on_duplicate: "remove or rename one of the two",
        }
    }

    /// Declares a field.
    pub(crate) fn field(&mut self, name: impl Into<Cow<'static, str>>, value: Value, spot: Spot) {
        let name = name.into();
        self.fields.insert(name.as_ref().to_owned(), value);
        self.places.push((name, spot));
    }

    /// Declares a field with the text of a member, if the manifest has it.
    pub(crate) fn text(&mut self, name: &'static str, node: &Node<'_>, key: &str) {
        if let Some((at, value)) = node.entry(key)
            && let Some(text) = value.text()
        {
            self.field(name, Value::from(text), at.spot);
        }
    }

    /// Declares a field with any member, if the manifest has it.
    pub(crate) fn value(&mut self, name: &'static str, node: &Node<'_>, key: &str) {
        if let Some((at, value)) = node.entry(key) {
            self.field(name, value.to_value(), at.spot);
        }
    }

    /// The fields so far.
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Declares a sensitive value.
    pub(crate) fn secret(&mut self, path: impl Into<String>, input: SecretInput, spot: Spot) {
        let path = path.into();
        self.places.push((path.clone().into(), spot));
        self.secrets.insert(path, input);
    }

    /// Says what to do when the address is declared twice.
    pub(crate) fn on_duplicate(&mut self, help: &'static str) {
        self.on_duplicate = help;
    }

    /// Says where a nested value is declared.
    pub(crate) fn place(&mut self, path: impl Into<Cow<'static, str>>, spot: Spot) {
        self.places.push((path.into(), spot));
    }

    /// Reads `lifecycle` of the table that declares the resource.
    pub(crate) fn lifecycle(&mut self, node: &Node<'_>) {
        if let Some(table) = node.get("lifecycle") {
            self.lifecycle.prevent_delete = table.get("prevent_delete").and_then(Node::boolean).unwrap_or(false);
            let ignored = table.get("ignore").into_iter().flat_map(Node::texts);
            (self.lifecycle.ignore, self.ignored_at) = ignored.map(|(text, spot)| (text.to_owned(), spot)).unzip();
        }
    }
}

/// All resources so far, by kind: manifests mostly list one kind in order already, and sorting that costs next to nothing.
#[derive(Debug, Default)]
pub(crate) struct Drafts(BTreeMap<KindName, Vec<(ResourceName, Draft)>>);

impl Drafts {
    /// Adds a resource.
    pub(crate) fn add(&mut self, draft: Draft, findings: &mut Findings) {
        match &draft.name {
            Ok(name) => match self.0.get_mut(&draft.kind) {
                Some(list) => list.push((name.clone(), draft)),
                None => drop(self.0.insert(draft.kind.clone(), vec![(name.clone(), draft)])),
            },
            // The shape of a name has a rule of its own, which says more.
            Err(_) if findings.has_error_at(draft.spot) => {}
            Err(error) => findings.report(Finding::error(E_INVALID_NAME, error.to_string()).at(draft.spot, "")),
        }
    }

    /// Puts the resources into the order of their addresses; an address that stands twice is an error that shows both places.
    pub(crate) fn settle(&mut self, findings: &mut Findings) {
        // An agent that stands twice has its settings twice too: one place is told once.
        let mut told = HashSet::new();
        for (kind, list) in &mut self.0 {
            // Stable, so that the first one of an address stays the first one.
            list.sort_by(|(left, _), (right, _)| left.cmp(right));
            for pair in list.windows(2) {
                let [(first_name, first), (name, draft)] = pair else { continue };
                if first_name == name && told.insert((first.spot, draft.spot)) {
                    let message = format!("`{}` is declared twice", shown(&format!("{kind}/{name}")));
                    let finding = Finding::error(E_DUPLICATE, message).at(draft.spot, "declared again here");
                    findings.report(finding.at(first.spot, "declared here first").help(draft.on_duplicate));
                }
            }
        }
    }

    /// Where an address is declared, after [`Self::settle`].
    pub(crate) fn place_of(&self, address: &Address) -> Option<Spot> {
        let list = self.0.get(&address.kind)?;
        let at = list.binary_search_by(|(name, _)| name.cmp(&address.name)).ok()?;
        Some(list[at].1.spot)
    }

    /// What `lifecycle` leaves unenforced: the kind of the resource, the field, and where it is named.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = (&KindName, &str, Spot)> {
        let drafts = self.0.iter().flat_map(|(kind, list)| list.iter().map(move |(_, draft)| (kind, draft)));
        drafts.flat_map(|(kind, draft)| {
            let named = draft.lifecycle.ignore.iter().zip(&draft.ignored_at);
            named.map(move |(field, spot)| (kind, field.as_str(), *spot))
        })
    }

    /// The resources with places that people can read.
    pub(crate) fn finish(self, files: &Files) -> Vec<Arc<Declared>> {
        let (names, mut finder) = (files.names(), files.finder());
        let mut all = Vec::with_capacity(self.0.values().map(Vec::len).sum());
        for (kind, list) in self.0 {
            all.extend(list.into_iter().map(|(name, draft)| declared(&kind, name, draft, &names, &mut finder)));
        }
        all
    }
}

fn declared(
    kind: &KindName,
    name: ResourceName,
    draft: Draft,
    names: &Arc<[Arc<str>]>,
    finder: &mut Finder<'_>,
) -> Arc<Declared> {
    let Draft { kind: _, name: _, spot, fields, secrets, places, lifecycle, ignored_at: _, on_duplicate: _ } = draft;
    let at = Some(finder.position(spot));
    let place = |(path, spot): (Cow<'static, str>, Spot)| {
        let (line, column) = finder.line_and_column(spot);
        Place { path, file: spot.file, line, column }
    };
    let field_at = Places::new(names, places.into_iter().map(place).collect());
    let address = Address::new(kind.clone(), name);
    Arc::new(Declared { address, fields, secrets, at, field_at, lifecycle })
}
