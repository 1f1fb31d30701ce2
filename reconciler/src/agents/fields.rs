//! Which fields the kinds of the agents' domain have, and of which shape: what a live edit and a resource that a client sends
//! are held to.
//!
//! Never here: what a manifest calls a field (`manifest/` does, and says more about a wrong one), and what a value means.

use crate::agents::kinds::{
    AGENT, AUTH_PROFILE, CONNECTION, CONNECTOR_DEFINITION, ENTITY_TYPE, FEED, PLATFORM, RELATIONSHIP_TYPE, SECRET,
    SECRET_VALUE, SETTINGS, WATCHER,
};
use crate::suggest;
use crate::value::{Value, is_absent};

/// The shape of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    Number,
    List,
    Map,
    Any,
}

/// The fields of one kind.
type Table = &'static [(&'static str, Shape)];

/// A field that a kind does not have, or a value of another shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The kind has no such field.
    #[error("`{kind}` has no field `{field}`")]
    Unknown {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// Fields that it may be meant for.
        near: Vec<String>,
    },
    /// The value has another shape than the field.
    #[error("`{field}` of `{kind}` is {wanted}, not {found}")]
    Shape {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// What the field is.
        wanted: &'static str,
        /// What the value is.
        found: &'static str,
        /// How a command line says that the value is meant as text, if a text is wanted.
        as_text: Option<String>,
    },
}

impl FieldError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Unknown { near, .. } if !near.is_empty() => format!("did you mean `{}`?", near.join("` or `")),
            Self::Unknown { kind, .. } => match table(kind) {
                Some(table) => {
                    let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
                    format!("its fields are {}", names.join(", "))
                }
                None => "see the kind's definition in the manifest".to_owned(),
            },
            Self::Shape { as_text: Some(text), .. } => help_as_text(text),
            Self::Shape { wanted, .. } => format!("give {wanted}"),
        }
    }
}

/// Holds a value of a built-in kind's field against the table. An absent value is right for every field that there is; a
/// kind that is not built in is not this file's to judge.
///
/// # Errors
/// The field is unknown or the value has another shape.
pub fn check(kind: &str, field: &str, value: &Value) -> Result<(), FieldError> {
    let Some(table) = table(kind) else { return Ok(()) };
    let Some((_, shape)) = table.iter().find(|(name, _)| *name == field) else {
        let near = suggest::near(field, table.iter().map(|(name, _)| *name)).into_iter().map(str::to_owned).collect();
        return Err(FieldError::Unknown { kind: kind.to_owned(), field: field.to_owned(), near });
    };
    if is_absent(value) || shape.holds(value) {
        return Ok(());
    }
    let (wanted, found) = (shape.with_article(), with_article(value));
    let as_text = as_text(field, value).filter(|_| *shape == Shape::Text);
    Err(FieldError::Shape { kind: kind.to_owned(), field: field.to_owned(), wanted, found, as_text })
}

/// How a command line says that a field is the text which a boolean or number looks like.
pub(crate) fn as_text(field: &str, value: &Value) -> Option<String> {
    matches!(value, Value::Bool(_) | Value::Number(_)).then(|| format!("{field}='\"{value}\"'"))
}

/// What to do about a value that had to be text.
pub(crate) fn help_as_text(text: &str) -> String {
    format!("give a string; on a command line, `{text}`")
}

/// The names of a built-in kind's fields; none for a kind that is not this file's to judge.
pub fn names(kind: &str) -> Option<impl Iterator<Item = &'static str>> {
    table(kind).map(|table| table.iter().map(|(name, _)| *name))
}

impl Shape {
    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
            Self::Any => true,
        }
    }

    fn with_article(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::List => "a list",
            Self::Map => "a table",
            Self::Any => "anything",
        }
    }
}

fn with_article(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn table(kind: &str) -> Option<Table> {
    TABLES.iter().find(|(name, _)| *name == kind).map(|(_, table)| *table)
}

/// The built-in kinds but for `provider`, whose fields are the catalogue's business.
const TABLES: &[(&str, Table)] = &[
    (AGENT, &[("name", Shape::Text), ("description", Shape::Text), ("owner", Shape::Text)]),
    (
        SETTINGS,
        &[
            ("networkConfig", Shape::Map),
            ("egressConfig", Shape::Map),
            ("nixConfig", Shape::Map),
            ("mcpServers", Shape::Map),
            ("skillsConfig", Shape::Map),
            ("toolsConfig", Shape::Map),
            ("guardrails", Shape::List),
            ("guardrailsInline", Shape::List),
            ("guardrailsDisabled", Shape::List),
            ("preApprovedTools", Shape::List),
            ("providerModelPreferences", Shape::Map),
            ("installedProviders", Shape::List),
            ("modelSelection", Shape::Map),
            ("soulMd", Shape::Text),
            ("userMd", Shape::Text),
            ("identityMd", Shape::Text),
        ],
    ),
    (PLATFORM, &[("type", Shape::Text), ("config", Shape::Map), ("channels", Shape::List)]),
    (
        ENTITY_TYPE,
        &[("name", Shape::Text), ("description", Shape::Text), ("required", Shape::List), ("properties", Shape::Map)],
    ),
    (RELATIONSHIP_TYPE, &[("name", Shape::Text), ("description", Shape::Text), ("rules", Shape::List)]),
    (
        WATCHER,
        &[
            ("agentId", Shape::Text),
            ("name", Shape::Text),
            ("description", Shape::Text),
            ("schedule", Shape::Text),
            ("prompt", Shape::Text),
            ("extractionSchema", Shape::Map),
            ("keyingConfig", Shape::Map),
            ("sources", Shape::List),
            ("reactionsGuidance", Shape::Text),
            ("deviceWorkerId", Shape::Text),
            ("schedulerClientId", Shape::Text),
            ("agentKind", Shape::Text),
            ("condensationPrompt", Shape::Text),
            ("notificationChannel", Shape::Text),
            ("notificationPriority", Shape::Text),
            ("minCooldownSeconds", Shape::Number),
            ("condensationWindowCount", Shape::Number),
            ("tags", Shape::List),
            ("classifiers", Shape::List),
            ("jsonTemplate", Shape::Any),
            ("reactionScript", Shape::Text),
        ],
    ),
    (CONNECTOR_DEFINITION, &[("sourceDigest", Shape::Text), ("sourceUrl", Shape::Text)]),
    (
        AUTH_PROFILE,
        &[("connector", Shape::Text), ("kind", Shape::Text), ("name", Shape::Text), ("credentials", Shape::Map)],
    ),
    (
        CONNECTION,
        &[
            ("connector", Shape::Text),
            ("name", Shape::Text),
            ("auth", Shape::Text),
            ("appAuth", Shape::Text),
            ("deviceWorkerId", Shape::Text),
            ("config", Shape::Map),
        ],
    ),
    (FEED, &[("name", Shape::Text), ("schedule", Shape::Text), ("config", Shape::Map)]),
    (SECRET, &[(SECRET_VALUE, Shape::Text)]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_is_known_and_has_its_shape_or_the_error_says_what_is_meant() {
        assert_eq!(check(SETTINGS, "providerModelPreferences", &json!({"z-ai": "glm-4.5"})), Ok(()));
        assert_eq!(check(SETTINGS, "guardrails", &json!(null)), Ok(()));
        assert_eq!(check("feature-flag", "anything", &json!(1)), Ok(()));
        let unknown = check(SETTINGS, "providerModelPreference", &json!({})).unwrap_err();
        assert!(unknown.help().contains("`providerModelPreferences`"), "{}", unknown.help());
        let shape = check(AGENT, "name", &json!(4)).unwrap_err();
        assert_eq!(shape.to_string(), "`name` of `agent` is a string, not a number");
        assert!(shape.help().contains("`name='\"4\"'`"), "{}", shape.help());
    }
}
