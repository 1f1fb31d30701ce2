//! Writing a live value back into the manifest that declares its field, with comments, order and line ends as they were.
//!
//! An edit is only given out if the project, read again with it, declares exactly the live value; where a field comes from
//! YAML, from a merge of several places, or in a form that one edit cannot make, its place is named instead. Never here:
//! writing a file, and live state.

use toml_edit::{ArrayOfTables, DocumentMut, Item as TomlItem, Table, TableLike};

use super::limits::MARKDOWN_BYTES_MAX;
use super::load::load;
use super::reference::Environment;
use super::tree::{FileTree, Item, ReadError};
use super::value_edit::{Live, NO_PLACE, Pen};
use super::{line_ends, value_edit};
use crate::agents::kinds::{AGENT, PLATFORM, SETTINGS};
use crate::agents::platform::stable_id;
use crate::desired::{Declared, Desired};
use crate::diagnostic::Position;
use crate::kind::{FieldSpec, KindSpec};
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
            // A secret has no live value that could be written, so its line stays.
            let secrets = after.map_or(before.secrets.is_empty(), |after| after.secrets == before.secrets);
            secrets && !before.fields.iter().any(unlike)
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
            let after = line_ends::with_text(&before, text);
            return Ok(FileEdit { path: path.to_owned(), before: Some(before), after });
        }
        if !file.ends_with(".toml") {
            return Err("it is declared in a file that is not TOML");
        }
        let before = self.text(file, FILE_BYTES_MAX)?;
        let mut document: DocumentMut = before.parse().map_err(|_| "its file cannot be edited")?;
        let (kind, name) = (declared.address.kind.as_str(), declared.address.name.as_str());
        let own = self.desired.kinds.iter().find(|own| own.name.as_str() == kind).map(|own| own.spec());
        let known = FieldSpec::default();
        let spec = own.as_ref().map_or(&known, |own: &KindSpec| own.field(field));
        let normal = document.to_string();
        let (root, pen) = (document.as_table_mut(), Pen::like(&before));
        let value = Live { now: declared.fields.get(field), live, spec };
        match kind {
            AGENT => set(pen, root, &["agents", name, field], value)?,
            SETTINGS => settings(pen, root, name, field, live)?,
            PLATFORM => platform(pen, root, name, field, value)?,
            _ if own.is_none() => return Err("it has no place of its own in the manifest"),
            _ => set(pen, root, &["resources", kind, name, field], value)?,
        }
        let after = line_ends::kept(&before, &normal, &document.to_string()).ok_or("its file cannot be edited")?;
        Ok(FileEdit { path: file.to_owned(), before: Some(before), after })
    }

    fn text(&self, path: &str, limit: u64) -> Result<String, &'static str> {
        let bytes = self.tree.read(path, limit).map_err(|_| "its file cannot be read")?;
        String::from_utf8(bytes).map_err(|_| "its file is not UTF-8")
    }
}

/// The place of an agent's settings in its tables.
fn settings(pen: Pen, root: &mut Table, agent: &str, field: &str, live: Option<&Value>) -> Result<(), &'static str> {
    let member = |name: &str| live.and_then(|live| live.get(name)).filter(|value| !is_absent(value));
    let mut set = |path: &[&str], live| {
        let path: Vec<&str> = ["agents", agent].into_iter().chain(path.iter().copied()).collect();
        self::set(pen, root, &path, Live { now: None, live, spec: &FieldSpec::default() })
    };
    match field {
        "guardrails" => set(&["guardrails"], live),
        "guardrailsDisabled" => set(&["guardrails_disabled"], live),
        "preApprovedTools" => set(&["tools", "pre_approved"], live),
        "nixConfig" => set(&["worker", "nix_packages"], member("packages")),
        "toolsConfig" => {
            set(&["tools", "allowed"], member("allowedTools"))?;
            set(&["tools", "denied"], member("deniedTools"))?;
            set(&["tools", "strict"], member("strictMode"))
        }
        "egressConfig" => {
            set(&["egress", "extra_policy"], member("extraPolicy"))?;
            set(&["egress", "judge_model"], member("judgeModel"))
        }
        "networkConfig" => {
            set(&["network", "allowed"], member("allowedDomains"))?;
            set(&["network", "denied"], member("deniedDomains"))
        }
        "providerModelPreferences" => preferences(pen, root, agent, live),
        _ => Err("it has no place of its own in the manifest"),
    }
}

/// A platform is found by what its id is made of.
fn platform(pen: Pen, root: &mut Table, name: &str, field: &str, value: Live<'_>) -> Result<(), &'static str> {
    let (agent, id) = name.split_once('/').ok_or(NO_PLACE)?;
    let agents = root.get_mut("agents").and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    let of_agent = agents.get_mut(agent).and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    let platforms = of_agent.get_mut("platforms").and_then(TomlItem::as_array_of_tables_mut).ok_or(NO_PLACE)?;
    let is_meant = |platform: &&mut Table| {
        let text = |name: &str| platform.get(name).and_then(TomlItem::as_str);
        text("type").is_some_and(|kind| stable_id(agent, kind, text("name")) == id)
    };
    value_edit::put(pen, platforms.iter_mut().find(is_meant).ok_or(NO_PLACE)?, field, value)
}

/// Each preference stands in the table of its provider.
fn preferences(pen: Pen, root: &mut Table, agent: &str, live: Option<&Value>) -> Result<(), &'static str> {
    let agents = root.get_mut("agents").and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    let agent = agents.get_mut(agent).and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    let providers: &mut ArrayOfTables =
        agent.get_mut("providers").and_then(TomlItem::as_array_of_tables_mut).ok_or(NO_PLACE)?;
    for provider in providers.iter_mut() {
        let Some(id) = provider.get("id").and_then(TomlItem::as_str) else { continue };
        let model = live.and_then(|live| live.get(id)).cloned();
        let model = Live { now: None, live: model.as_ref(), spec: &FieldSpec::default() };
        value_edit::put(pen, provider, "model", model)?;
    }
    Ok(())
}

/// Sets or takes out the value at a path of tables. Tables that are not there are made only for a value.
fn set(pen: Pen, root: &mut Table, path: &[&str], value: Live<'_>) -> Result<(), &'static str> {
    let (last, tables) = path.split_last().ok_or(NO_PLACE)?;
    let mut at: &mut dyn TableLike = root;
    for name in tables {
        if !at.contains_key(name) {
            if value.live.is_none() {
                return Ok(());
            }
            at.insert(name, TomlItem::Table(Table::new()));
        }
        at = at.get_mut(name).and_then(TomlItem::as_table_like_mut).ok_or(NO_PLACE)?;
    }
    value_edit::put(pen, at, last, value)
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
        adopt_in(MANIFEST, address, field, live)
    }

    fn adopt_in(manifest: &str, address: &str, field: &str, live: Value) -> Result<Option<FileEdit>, AdoptError> {
        let tree = MemoryTree::new([("lobu.toml", manifest), ("agents/triage/SOUL.md", "Kind.\n")]);
        let environment = Environment::default();
        let loaded = load(&tree, "p", &environment);
        let desired = loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
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
    fn p7_a_platform_is_edited_where_it_is_declared() {
        let manifest = "\
[agents.a]
name = \"A\"
dir = \"a\"

# the first
[[agents.a.platforms]]
type = \"slack\"
config = { botToken = \"$BOT\", mode = \"poll\" } # kept
channels = [\"T1/C1\"]

[[agents.a.platforms]]
type = \"slack\"
name = \"ops\"
config = { botToken = \"$OPS\" }
channels = [\"T2/C2\"] # of ops
";
        for (address, field, live, from, to) in [
            ("platform/a/a-slack-ops", "channels", json!(["T3/C3"]), "[\"T2/C2\"] #", "[\"T3/C3\"] #"),
            ("platform/a/a-slack", "channels", json!(["T1/C1", "T4/C4"]), "[\"T1/C1\"]", "[\"T1/C1\", \"T4/C4\"]"),
            ("platform/a/a-slack", "config", json!({"mode": "push"}), "\"poll\"", "\"push\""),
        ] {
            let edit = adopt_in(manifest, address, field, live).unwrap().unwrap();
            assert_eq!(edit.after, manifest.replace(from, to), "{address} {field}");
        }
    }

    #[test]
    fn a_file_keeps_its_line_ends_and_its_mark() {
        let agents = "[agents.a]\ndir = \"a\"\nname = \"A\"\ndescription=\"d\" # c\n\n[agents.b]\ndir = \"b\"\nname = \"B\"\n\
            description = \"\"\"one\ntwo\"\"\"\n";
        let [windows, marked] = [agents.replace('\n', "\r\n"), format!("\u{feff}{agents}")];
        for (manifest, address, live, from, to) in [
            (&windows, "agent/a", "e", "\"d\"", "\"e\""),
            (&marked, "agent/a", "e", "\"d\"", "\"e\""),
            // What is between the quotes is the value, so no line end of it follows the file.
            (&windows, "agent/a", "e\nf", "\"d\"", "\"e\\nf\""),
            (&windows, "agent/b", "one\r\nsix", "\"\"\"one\r\ntwo", "\"\"\"\r\none\r\nsix"),
        ] {
            let edit = adopt_in(manifest, address, "description", json!(live)).unwrap().unwrap();
            assert_eq!(edit.after, manifest.replace(from, to), "{address} {live:?}");
        }
    }

    const OWN: &str = "\
[kinds.flag.fields]
m = { type = \"table\" }
t = { type = \"table\", fields.key = { type = \"string\", sensitive = true }, fields.on = { type = \"boolean\" } }
r = { type = \"list\", key = \"id\" }

# owner is Bob
[resources.flag.f.m] # note
# do not raise
\"a.b\" = 1 # never above 3
c = 0x10 # as in the handbook

# blocks
[[resources.flag.f.r]] # first
id = \"x\"
size = 1 # small

# of the second
[[resources.flag.f.r]]
id = \"y\"
size = 2
[resources.flag.f.r.more]
deep = true # so

[resources.flag.g]
t = { key = \"$KEY\", on = true } # kept
r = [
  { id = \"x\", size = 1 }, # one
  # next
  { id = \"y\", size = 2 }, # two
]
";

    #[test]
    fn a_table_and_a_list_of_tables_are_edited_member_by_member() {
        let second = "\n# of the second\n[[resources.flag.f.r]]\nid = \"y\"\nsize = 2\n[resources.flag.f.r.more]\ndeep = true # so\n";
        let first = "# blocks\n[[resources.flag.f.r]] # first\nid = \"x\"\nsize = 1 # small\n";
        let first_with_line = format!("{first}\n");
        let one = "  { id = \"x\", size = 1 }, # one\n";
        let three = "\n[[resources.flag.f.r]]\nid = \"z\"\nsize = 3\n";
        let y = json!({"id": "y", "size": 2, "more": {"deep": true}});
        for (address, field, live, from, to) in [
            ("flag/f", "m", json!({"a.b": 2, "c": 16}), "= 1 # never", "= 2 # never".to_owned()),
            ("flag/f", "m", json!({"a.b": 1}), "c = 0x10 # as in the handbook\n", String::new()),
            ("flag/f", "m", json!({"a.b": 1, "c": 16, "d": "x"}), "handbook\n", "handbook\nd = \"x\"\n".to_owned()),
            ("flag/f", "r", json!([{"id": "x", "size": 5}, y]), "= 1 # small", "= 5 # small".to_owned()),
            ("flag/f", "r", json!([{"id": "x", "size": 1}]), second, String::new()),
            ("flag/f", "r", json!([y]), &*first_with_line, String::new()),
            (
                "flag/f",
                "r",
                json!([{"id": "x", "size": 1}, y, {"id": "z", "size": 3}]),
                second,
                format!("{second}{three}"),
            ),
            (
                "flag/f",
                "r",
                json!([{"id": "x", "size": 1}, {"id": "z", "size": 3}, y]),
                first,
                format!("{first}{three}"),
            ),
            ("flag/g", "t", json!({"on": false}), "on = true", "on = false".to_owned()),
            ("flag/g", "r", json!([{"id": "y", "size": 2}]), one, String::new()),
            (
                "flag/g",
                "r",
                json!([{"id": "x", "size": 1}, {"id": "y", "size": 7}]),
                "size = 2 }, # two",
                "size = 7 }, # two".to_owned(),
            ),
        ] {
            let edit = adopt_in(OWN, address, field, live.clone()).unwrap().unwrap();
            assert_eq!(edit.after, OWN.replacen(from, &to, 1), "{address} {field} {live}");
        }
        // The other order: each block goes with its comments and its tables.
        let edit = adopt_in(OWN, "flag/f", "r", json!([y, {"id": "x", "size": 1}])).unwrap().unwrap();
        let (both, other) = (format!("\n{first}{second}"), format!("{second}\n{first}"));
        assert_eq!(edit.after, OWN.replacen(&both, &other, 1), "the other order");
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
