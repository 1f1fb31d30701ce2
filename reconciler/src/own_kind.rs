//! Kinds that a project declares itself, as data: typed fields, what is sensitive or immutable, when a change takes effect.
//!
//! Never here: how a manifest spells them (`manifest/own_kinds.rs`), and the built-in kinds (`agents/kinds.rs`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{Effect, FieldSpec, KindSpec};
use crate::resource::KindName;

/// A kind of a project's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnKind {
    /// Its name.
    pub name: KindName,
    /// Its fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, OwnField>,
    /// When a change takes effect.
    #[serde(default)]
    pub effect: Effect,
}

/// The place of own kinds in a plan: after everything built in but secrets, which come last.
const ORDER: u32 = 120;

impl OwnKind {
    /// The kind as diffs, guards and plans see it.
    pub fn spec(&self) -> KindSpec {
        let fields = self.fields.iter().map(|(name, field)| (name.clone().into(), field.spec())).collect();
        let (name, heading) = (self.name.to_string().into(), self.name.to_string().into());
        KindSpec { name, heading, order: ORDER, effect: self.effect, dependent: false, fields }
    }
}

impl OwnField {
    fn spec(&self) -> FieldSpec {
        FieldSpec {
            sensitive: self.sensitive,
            immutable: self.immutable,
            list_key: self.list_key.clone().map(Into::into),
            members: self.fields.iter().map(|(name, field)| (name.clone(), field.spec())).collect(),
            items: self.items.as_ref().map(|items| Box::new(items.spec())),
            ..FieldSpec::default()
        }
    }
}

/// What a field of an own kind may be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnField {
    /// The type of its value.
    #[serde(rename = "type")]
    pub value: OwnType,
    /// Every resource declares it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Its value is a secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// A change of it is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
    /// For a list of tables: the member that identifies an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_key: Option<String>,
    /// The least number, or the least length of a string or list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number, or the greatest length of a string or list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The only values that are allowed; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<Value>,
    /// For a list: what its items may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<OwnField>>,
    /// For a table: its members; none for any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, OwnField>,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnType {
    /// Anything.
    #[default]
    Any,
    /// A string.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// A table.
    Table,
}

impl OwnType {
    /// The names of the types, as a manifest writes them.
    pub const NAMES: &'static [&'static str] = &["any", "string", "integer", "number", "boolean", "list", "table"];

    /// The type of a name.
    pub fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "any" => Self::Any,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "list" => Self::List,
            "table" => Self::Table,
            _ => return None,
        })
    }

    /// The type with its article, for messages.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}
