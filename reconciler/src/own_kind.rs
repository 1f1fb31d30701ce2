//! Kinds that a project declares itself, as data: typed fields, what is sensitive or immutable, when a change takes effect.
//!
//! Never here: how a manifest spells them (`manifest/own_kinds.rs`), and the built-in kinds (`agents/kinds.rs`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{Effect, FieldSpec, KindSpec};
use crate::resource::KindName;
use crate::suggest::nearest;
use crate::value::{Fields, equal};

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
        let definition = Some(Arc::new(self.clone()));
        KindSpec { name, heading, order: ORDER, effect: self.effect, dependent: false, fields, definition }
    }

    /// Holds a value that does not come from a manifest against the field; absent values are null. The error says what is
    /// wrong.
    ///
    /// # Errors
    /// An unknown field, a required one that would be gone, or a value of another type, range or choice.
    pub fn check(&self, field: &str, value: &Value) -> Result<(), String> {
        match self.fields.get(field) {
            None => {
                let mut message = format!("`{}` has no field `{field}`", self.name);
                if let Some(near) = nearest(field, self.fields.keys().map(String::as_str)) {
                    let _ = write!(message, "; did you mean `{near}`?");
                }
                Err(message)
            }
            Some(known) if value.is_null() && known.required => {
                Err(format!("`{field}` of `{}` is required", self.name))
            }
            Some(_) if value.is_null() => Ok(()),
            Some(known) => known.check(value, field),
        }
    }

    /// Holds the fields of a resource that is being made, and that does not come from a manifest, against the kind. A secret is
    /// sealed beside the fields, so its absence here says nothing.
    ///
    /// # Errors
    /// A required field is not there.
    pub(crate) fn check_made(&self, made: &Fields) -> Result<(), String> {
        let mut open = self.fields.iter().filter(|(_, field)| !field.sensitive);
        open.try_for_each(|(name, _)| match made.get(name) {
            None => self.check(name, &Value::Null),
            Some(_) => Ok(()),
        })
    }
}

impl OwnKind {
    /// The paths that another definition of the kind calls secrets and this one has in clear.
    pub(crate) fn unseals(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        unsealed(&self.fields, &other.fields, "", &mut found);
        found
    }
}

fn unsealed(
    ours: &BTreeMap<String, OwnField>,
    others: &BTreeMap<String, OwnField>,
    within: &str,
    found: &mut Vec<String>,
) {
    let both = ours.iter().filter_map(|(name, field)| Some((name, field, others.get(name)?)));
    for (name, field, other) in both.filter(|(_, field, _)| !field.sensitive) {
        let path = format!("{within}{name}");
        match other.sensitive {
            true => found.push(path),
            false => unsealed(&field.fields, &other.fields, &format!("{path}."), found),
        }
    }
}

impl OwnField {
    fn check(&self, value: &Value, what: &str) -> Result<(), String> {
        let fits = match self.value {
            OwnType::Any => true,
            OwnType::String => value.is_string(),
            OwnType::Integer => value.is_i64() || value.is_u64(),
            OwnType::Number => value.is_number(),
            OwnType::Boolean => value.is_boolean(),
            OwnType::List => value.is_array(),
            OwnType::Table => value.is_object(),
        };
        if !fits {
            return Err(format!("`{what}` must be {}", self.value.with_article()));
        }
        let measure = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => Some(text.chars().count() as f64),
            Value::Array(items) => Some(items.len() as f64),
            Value::Null | Value::Bool(_) | Value::Object(_) => None,
        };
        if let (Some(measure), Some(min)) = (measure, self.min)
            && measure < min
        {
            return Err(format!("`{what}` is {measure}, but must be at least {min}"));
        }
        if let (Some(measure), Some(max)) = (measure, self.max)
            && measure > max
        {
            return Err(format!("`{what}` is {measure}, but must be at most {max}"));
        }
        if !self.one_of.is_empty() && !self.one_of.iter().any(|one| equal(one, value)) {
            let known: Vec<String> = self.one_of.iter().map(|one| format!("`{one}`")).collect();
            return Err(format!("`{what}` must be one of {}", known.join(", ")));
        }
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            self.items.as_ref().map_or(Ok(()), |field| field.check(item, &format!("{what}[{at}]")))?;
        }
        let members = value.as_object().filter(|_| !self.fields.is_empty());
        for (name, member) in members.into_iter().flatten().filter(|(_, member)| !member.is_null()) {
            let what = format!("{what}.{name}");
            self.fields.get(name).ok_or_else(|| format!("unknown member `{what}`"))?.check(member, &what)?;
        }
        // A secret is sealed beside the fields, so its absence here says nothing.
        let lacks = |field: &OwnField, name: &str| field.required && !field.sensitive && value.get(name).is_none();
        match self.fields.iter().find(|(name, field)| lacks(field, name)) {
            Some((name, _)) if value.is_object() => Err(format!("`{what}` lacks the required member `{name}`")),
            Some(_) | None => Ok(()),
        }
    }

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
