//! Writing a live value back into the manifest that declares its field, with comments and order as they were.
//!
//! An edit is only given out if the project, read again with it, declares exactly the live value; where a field comes from
//! YAML, from a merge of several places, or in a form that one edit cannot make, its place is named instead. Never here:
//! writing a file, and live state.

use std::collections::BTreeMap;

use toml_edit::{ArrayOfTables, DocumentMut, Item as TomlItem, Table, TableLike};

use super::array_edit;
use super::limits::MARKDOWN_BYTES_MAX;
use super::load::load;
use super::reference::Environment;
use super::tree::{FileTree, Item, ReadError};
use crate::agents::kinds::{AGENT, SETTINGS};
use crate::desired::{Declared, Desired};
use crate::diagnostic::Position;
use crate::resource::Address;
use crate::value::{Value, equal_field, is_absent};

/// The largest manifest that is edited.
const FILE_BYTES_MAX: u64 = super::limits::PROJECT_BYTES_MAX;

/// A file with a new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEdit {
    /// Its path in the project.
    pub path: String,
    /// What it holds now; none if it is not there.
    pub before: Option<String>,
    /// What it holds with the live value.
    pub after: String,
}

/// A live value that cannot be written back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// The manifests have errors.
    #[error("the manifests have errors")]
    Manifest,
    /// They do not declare the field.
    #[error("the manifests do not declare `{field}` of `{address}`")]
    NotDeclared {
        /// The resource.
        address: Address,
        /// The field.
        field: String,
    },
    /// One edit cannot make it.
    #[error("`{field}` of `{address}` cannot be written back by itself: {why}")]
    ByHand {
        /// The resource.
        address: Address,
        /// The field.
        field: String,
        /// Why.
        why: &'static str,
        /// Where it is declared.
        at: Option<Position>,
    },
}

/// A project beside its edits.
struct Overlay<'t> {
    tree: &'t dyn FileTree,
    edit: &'t FileEdit,
}

impl FileTree for Overlay<'_> {
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        if path == self.edit.path { Ok(self.edit.after.clone().into_bytes()) } else { self.tree.read(path, limit) }
    }

    fn list(&self, path: &str) -> Result<Vec<Item>, ReadError> {
        self.tree.list(path)
    }

    fn read_secret(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.tree.read_secret(path, limit)
    }
}

/// What an adoption works on.
#[derive(Clone, Copy)]
pub struct Adoption<'a> {
    /// The project's files.
    pub tree: &'a dyn FileTree,
    /// The name of its directory.
    pub directory: &'a str,
    /// Where references are looked up.
    pub environment: &'a Environment,
    /// What the project declares now.
    pub desired: &'a Desired,
}

impl Adoption<'_> {
    /// The edit that makes the project declare the live value of a field; none if it does already.
    ///
    /// # Errors
    /// The field is not declared, or no single edit does it.
    pub fn edit(&self, address: &Address, field: &str, live: Option<&Value>) -> Result<Option<FileEdit>, AdoptError> {
        let not_declared = || AdoptError::NotDeclared { address: address.clone(), field: field.to_owned() };
        let declared = self.desired.resources.iter().find(|declared| declared.address == *address);
        let declared = declared.ok_or_else(not_declared)?;
        let now = declared.fields.get(field).ok_or_else(not_declared)?;
        if equal_field(Some(now), live) {
            return Ok(None);
        }
        let live = live.filter(|live| !is_absent(live));
        let at = declared.field_at.get(field).or_else(|| declared.at.clone());
        let by_hand =
            |why| AdoptError::ByHand { address: address.clone(), field: field.to_owned(), why, at: at.clone() };
        let file = at.as_ref().map(|at| &*at.file).ok_or_else(|| by_hand("its place is not known"))?;
        let edit = self.draft(declared, field, live, file).map_err(by_hand)?;
        // What counts is what the loader makes of it.
        let again = load(&Overlay { tree: self.tree, edit: &edit }, self.directory, self.environment);
        let again = again.desired.ok_or_else(|| by_hand("the manifests would have errors"))?;
        let found = again.resources.iter().find(|declared| declared.address == *address);
        let same = equal_field(found.and_then(|declared| declared.fields.get(field)), live);
        let others = self.desired.resources.iter().all(|before| {
            let after = again.resources.binary_search_by(|after| after.address.cmp(&before.address));
            let after = after.ok().map(|found| &again.resources[found]);
            let unlike = |(name, value): (&String, &Value)| {
                (before.address != *address || name != field)
                    && !equal_field(after.and_then(|after| after.fields.get(name)), Some(value))
            };
            !before.fields.iter().any(unlike)
        });
        match (same, others) {
            (true, true) => Ok(Some(edit)),
            (true, false) => Err(by_hand("other resources are declared by the same place and would change too")),
            (false, _) => Err(by_hand("it is put together from several places")),
        }
    }

    fn draft(
        &self,
        declared: &Declared,
        field: &str,
        live: Option<&Value>,
        file: &str,
    ) -> Result<FileEdit, &'static str> {
        if let Some((path, text)) = file.ends_with(".md").then_some((file, live)) {
            let text = text.and_then(Value::as_str).unwrap_or_default();
            let before = self.text(path, MARKDOWN_BYTES_MAX)?;
            let after = if text.is_empty() { String::new() } else { format!("{text}\n") };
            return Ok(FileEdit { path: path.to_owned(), before: Some(before), after });
        }
        if !file.ends_with(".toml") {
            return Err("it is declared in a file that is not TOML");
        }
        let before = self.text(file, FILE_BYTES_MAX)?;
        let mut document: DocumentMut = before.parse().map_err(|_| "its file cannot be edited")?;
        let (kind, name) = (declared.address.kind.as_str(), declared.address.name.as_str());
        match kind {
            AGENT => set(document.as_table_mut(), &["agents", name, field], live)?,
            SETTINGS => settings(document.as_table_mut(), name, field, live)?,
            _ => set(document.as_table_mut(), &["resources", kind, name, field], live)?,
        }
        Ok(FileEdit { path: file.to_owned(), before: Some(before), after: document.to_string() })
    }

    fn text(&self, path: &str, limit: u64) -> Result<String, &'static str> {
        let bytes = self.tree.read(path, limit).map_err(|_| "its file cannot be read")?;
        String::from_utf8(bytes).map_err(|_| "its file is not UTF-8")
    }
}

/// The place of an agent's settings in its tables.
fn settings(root: &mut Table, agent: &str, field: &str, live: Option<&Value>) -> Result<(), &'static str> {
    let member = |name: &str| live.and_then(|live| live.get(name)).filter(|value| !is_absent(value));
    match field {
        "guardrails" => set(root, &["agents", agent, "guardrails"], live),
        "guardrailsDisabled" => set(root, &["agents", agent, "guardrails_disabled"], live),
        "preApprovedTools" => set(root, &["agents", agent, "tools", "pre_approved"], live),
        "nixConfig" => set(root, &["agents", agent, "worker", "nix_packages"], member("packages")),
        "toolsConfig" => {
            set(root, &["agents", agent, "tools", "allowed"], member("allowedTools"))?;
            set(root, &["agents", agent, "tools", "denied"], member("deniedTools"))?;
            set(root, &["agents", agent, "tools", "strict"], member("strictMode"))
        }
        "egressConfig" => {
            set(root, &["agents", agent, "egress", "extra_policy"], member("extraPolicy"))?;
            set(root, &["agents", agent, "egress", "judge_model"], member("judgeModel"))
        }
        "networkConfig" => {
            set(root, &["agents", agent, "network", "allowed"], member("allowedDomains"))?;
            set(root, &["agents", agent, "network", "denied"], member("deniedDomains"))
        }
        "providerModelPreferences" => preferences(root, agent, live),
        _ => Err("it has no place of its own in the manifest"),
    }
}

/// Each preference stands in the table of its provider.
fn preferences(root: &mut Table, agent: &str, live: Option<&Value>) -> Result<(), &'static str> {
    let agents = root.get_mut("agents").and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    let agent = agents.get_mut(agent).and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    let providers: &mut ArrayOfTables =
        agent.get_mut("providers").and_then(TomlItem::as_array_of_tables_mut).ok_or(NO_PLACE)?;
    for provider in providers.iter_mut() {
        let Some(id) = provider.get("id").and_then(TomlItem::as_str) else { continue };
        let model = live.and_then(|live| live.get(id)).cloned();
        put(provider, "model", model.as_ref())?;
    }
    Ok(())
}

const NO_PLACE: &str = "its table is not in the file as tables of their own";

/// Sets or takes out the value at a path of tables. Tables that are not there are made only for a value.
fn set(root: &mut Table, path: &[&str], value: Option<&Value>) -> Result<(), &'static str> {
    let (last, tables) = path.split_last().ok_or(NO_PLACE)?;
    let mut at: &mut dyn TableLike = root;
    for name in tables {
        if !at.contains_key(name) {
            if value.is_none() {
                return Ok(());
            }
            at.insert(name, TomlItem::Table(Table::new()));
        }
        at = at.get_mut(name).and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    }
    put(at, last, value)
}

/// Replaces a value with its surroundings kept, so that a comment behind it stays.
fn put(table: &mut dyn TableLike, name: &str, value: Option<&Value>) -> Result<(), &'static str> {
    let Some(value) = value else {
        table.remove(name);
        return Ok(());
    };
    let mut new = toml_value(value)?;
    match table.get_mut(name).and_then(TomlItem::as_value_mut) {
        Some(old) => {
            if let (Some(before), toml_edit::Value::Array(after)) = (old.as_array(), &new) {
                new = array_edit::with_items(before, after.iter().cloned().collect()).into();
            }
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            table.insert(name, TomlItem::Value(new));
        }
    }
    Ok(())
}

fn toml_value(value: &Value) -> Result<toml_edit::Value, &'static str> {
    Ok(match value {
        Value::Null => return Err("TOML has no null"),
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => return Err("TOML has no such number"),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => {
            let items: Vec<toml_edit::Value> = items.iter().map(toml_value).collect::<Result<_, _>>()?;
            toml_edit::Array::from_iter(items).into()
        }
        Value::Object(members) => {
            let members: BTreeMap<&str, toml_edit::Value> = members
                .iter()
                .map(|(name, value)| Ok((name.as_str(), toml_value(value)?)))
                .collect::<Result<_, &'static str>>()?;
            toml_edit::InlineTable::from_iter(members).into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::MemoryTree;
    use serde_json::json;

    const MANIFEST: &str = "\
[agents.triage]  # the first
name = \"Triage\"     # shown to users
dir = \"./agents/triage\"
guardrails = [\"pii\"]

[[agents.triage.providers]]
id = \"z-ai\"
model = \"glm-4.6\" # pinned
# a comment of its own
[[agents.triage.providers]]
id = \"claude\"

[kinds.flag.fields]
rollout = { type = \"integer\" }

[resources.flag.new-ui]
rollout = 20 # percent
";

    fn adopt(address: &str, field: &str, live: Value) -> Result<Option<FileEdit>, AdoptError> {
        let tree = MemoryTree::new([("lobu.toml", MANIFEST), ("agents/triage/SOUL.md", "Kind.\n")]);
        let environment = Environment::default();
        let desired = load(&tree, "p", &environment).desired.unwrap();
        let adoption = Adoption { tree: &tree, directory: "p", environment: &environment, desired: &desired };
        adoption.edit(&address.parse().unwrap(), field, Some(&live))
    }

    #[test]
    fn p7_a_live_value_goes_into_the_manifest_and_nothing_else_moves() {
        for (address, field, live, from, to) in [
            ("settings/triage", "providerModelPreferences", json!({"z-ai": "glm-4.5"}), "glm-4.6", "glm-4.5"),
            ("agent/triage", "name", json!("Sorter"), "\"Triage\"", "\"Sorter\""),
            ("settings/triage", "guardrails", json!(["pii", "tone"]), "[\"pii\"]", "[\"pii\", \"tone\"]"),
            ("flag/new-ui", "rollout", json!(50), "20", "50"),
        ] {
            let edit = adopt(address, field, live).unwrap().unwrap();
            assert_eq!(edit.after, MANIFEST.replace(from, to), "{address} {field}");
        }
        let edit = adopt("settings/triage", "soulMd", json!("Brief.")).unwrap().unwrap();
        assert_eq!((edit.path.as_str(), edit.after.as_str()), ("agents/triage/SOUL.md", "Brief.\n"));
        let cleared = adopt("settings/triage", "guardrails", json!([])).unwrap().unwrap();
        assert_eq!(cleared.after, MANIFEST.replace("guardrails = [\"pii\"]\n", ""));
        assert_eq!(adopt("agent/triage", "name", json!("Triage")), Ok(None));
    }

    #[test]
    fn what_no_edit_can_make_is_named_with_its_place() {
        let by_hand = |result| matches!(result, Err(AdoptError::ByHand { at: Some(_), .. }));
        // A model of a provider that the manifest does not have.
        assert!(by_hand(adopt("settings/triage", "providerModelPreferences", json!({"gemini": "x"}))));
        assert!(by_hand(adopt("settings/triage", "installedProviders", json!([]))));
        let error = adopt("settings/triage", "egressConfig", json!({"judgeModel": "x"})).unwrap_err();
        assert!(matches!(error, AdoptError::NotDeclared { .. }));
    }
}
