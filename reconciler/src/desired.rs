//! Desired state: what the manifests of one project declare, with the place of everything.
//!
//! Never here: how manifests are read (`manifest/`), and what is live (`diff.rs` brings the two together).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::diagnostic::{Diagnostic, Position};
use crate::moves;
use crate::own_kind::OwnKind;
use crate::places::Places;
use crate::resource::{Address, OrgId, SourceName};
use crate::value::Fields;

/// A secret value on its way into the store: wiped from memory when dropped and never shown by `Debug`.
///
/// It serialises in clear, because a plan request carries it over the trusted socket; nothing that is printed, logged or
/// stored contains this type.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the value.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself; call it only where the value is sealed, tagged or handed to its consumer.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// Where a manifest says that a sensitive value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "from", content = "name")]
pub enum SecretOrigin {
    /// An environment variable: `$NAME` or `env:NAME`.
    Env(String),
    /// A file, relative to the manifest: `file:PATH`.
    File(String),
    /// Written into the manifest itself.
    Literal,
    /// What the store has sealed; no manifest says more.
    Sealed,
}

impl fmt::Display for SecretOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(out, "${name}"),
            Self::File(path) => write!(out, "file:{path}"),
            Self::Literal => out.write_str("a literal"),
            Self::Sealed => out.write_str("the sealed value"),
        }
    }
}

/// A sensitive value of a declared resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretInput {
    /// Where it comes from.
    pub origin: SecretOrigin,
    /// The value, if its origin has one that is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<SecretText>,
}

/// What a manifest asks of one resource beyond its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// A plan that would delete the resource is blocked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prevent_delete: bool,
    /// Fields that are declared but not enforced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

impl Lifecycle {
    /// Whether the manifest asks nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One resource as the manifests declare it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// Which resource.
    pub address: Address,
    /// Its declared fields without sensitive values. An empty value is declared too: it clears a live one.
    pub fields: Fields,
    /// Its sensitive values, by the text form of their path (`value`, `config.botToken`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretInput>,
    /// Where the resource is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
    /// Where each field, or a nested path in text form, is declared; the nearest enclosing one counts.
    #[serde(default, skip_serializing_if = "Places::is_empty")]
    pub field_at: Places,
    /// What the manifest asks beyond the fields.
    #[serde(default)]
    pub lifecycle: Lifecycle,
}

impl Declared {
    /// Whether two declarations say the same, wherever they stand.
    pub fn same(&self, other: &Self) -> bool {
        let Self { address, fields, secrets, at: _, field_at: _, lifecycle } = self;
        *address == other.address
            && *fields == other.fields
            && *secrets == other.secrets
            && *lifecycle == other.lifecycle
    }
}

/// What to do about a managed field that somebody else changed live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrift {
    /// The change is blocked until somebody decides.
    #[default]
    Block,
    /// The declared value is put back.
    Revert,
    /// The live value stays and is reported.
    Keep,
}

/// What a loop (`serve --watch`, `serve --git`) may do without being told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopPolicy {
    /// Whether it applies plans that nothing blocks.
    pub apply: LoopApply,
    /// How many resources one commit of it may delete.
    pub deletes: LoopDeletes,
}

/// Whether a loop applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoopApply {
    /// By itself.
    Auto,
    /// Only when somebody approves.
    #[default]
    Manual,
}

/// How many resources one commit of a loop may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoopDeletes {
    /// At most so many.
    Count(u32),
    /// As many as the plan has.
    All,
}

impl Default for LoopDeletes {
    fn default() -> Self {
        Self::Count(0)
    }
}

/// A resource that got another address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The address that it had.
    pub from: Address,
    /// The address that it has now.
    pub to: Address,
    /// Where the manifest says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
}

/// The state of the Git work tree that the manifests came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitState {
    /// The commit checked out, in hex.
    pub commit: String,
    /// Whether tracked files differ from it.
    pub dirty: bool,
}

/// How the manifests name their source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHint {
    /// `[project] name`, if the manifest has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SourceName>,
    /// The name made from the project's directory, for a project without a name; none if no directory is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<SourceName>,
}

impl Desired {
    /// Nothing at all, of a source that is named or left to be found: what a rollback sends where no manifests were read, which the
    /// missing digest tells.
    pub fn nothing(source: Option<SourceName>) -> Self {
        Self {
            source: SourceHint { name: source, directory: None },
            org: None,
            git: None,
            digest: String::new(),
            on_drift: OnDrift::default(),
            protect: Vec::new(),
            loop_policy: LoopPolicy::default(),
            moved: Vec::new(),
            kinds: Vec::new(),
            resources: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// The addresses under which a declared resource may still be live, as `[[moved]]` says it.
    pub fn former_addresses(&self, address: &Address) -> Vec<Address> {
        moves::former(&self.moved, address)
    }

    /// Takes over from an earlier reading of the same manifests what is the same in both, so that it is kept once and a plan
    /// can tell without a look at it.
    pub fn share(&mut self, earlier: &Self) {
        let mut known = earlier.resources.iter().peekable();
        for declared in &mut self.resources {
            while known.next_if(|known| known.address < declared.address).is_some() {}
            if let Some(same) = known.next_if(|known| known.address == declared.address && *known == declared) {
                *declared = Arc::clone(same);
            }
        }
    }
}

/// Everything that the manifests of one project declare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The source, as far as the manifests tell.
    pub source: SourceHint,
    /// `[memory] org`, if the manifest has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The Git state of the project, if it is in a work tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitState>,
    /// The SHA-256 of all manifest files with their names, in hex.
    pub digest: String,
    /// What to do about drift.
    #[serde(default)]
    pub on_drift: OnDrift,
    /// Addresses that no plan may delete; a trailing `*` matches any rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protect: Vec<String>,
    /// What a loop may do without being told.
    #[serde(default)]
    pub loop_policy: LoopPolicy,
    /// Resources that got another address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
    /// The project's own kinds, in order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<OwnKind>,
    /// The resources in order of their addresses; an address stands once.
    pub resources: Vec<Arc<Declared>>,
    /// Warnings and notes about the manifests; with an error there is no `Desired`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}
