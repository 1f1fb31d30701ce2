//! Which fields the kinds of the agents' domain have, and of which shape: what a live edit and a resource that a client sends
//! are held to.
//!
//! Never here: what a manifest calls a field (`manifest/` does, and says more about a wrong one), and what a value means.

use super::shapes::{Members, Shape, Strictness, Wrong};
use crate::agents::kinds::{
    AGENT, AUTH_PROFILE, CONNECTION, CONNECTOR_DEFINITION, ENTITY_TYPE, FEED, PLATFORM, RELATIONSHIP_TYPE, SECRET,
    SECRET_VALUE, SETTINGS, WATCHER,
};
use crate::suggest;
use crate::value::{self, FieldPath, Value, is_absent};

/// The fields of one kind.
type Fields = &'static [(&'static str, Shape)];

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
        /// All that there are.
        known: Vec<&'static str>,
    },
    /// The value has another shape than the field.
    #[error("`{field}` of `{kind}` is {wanted}, not {found}")]
    Shape {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// What the field is.
        wanted: String,
        /// What the value is.
        found: &'static str,
        /// How a command line says that the value is meant as text, if a text is wanted.
        as_text: Option<String>,
    },
    /// A field or a member that must be there would be gone.
    #[error("`{field}` of `{kind}` is required")]
    Required {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
    },
}

impl FieldError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Unknown { near, .. } if !near.is_empty() => format!("did you mean `{}`?", near.join("` or `")),
            Self::Unknown { field, known, .. } => match field.rsplit_once('.') {
                Some((within, _)) => format!("`{within}` has {}", known.join(", ")),
                None => format!("its fields are {}", known.join(", ")),
            },
            Self::Shape { as_text: Some(text), .. } => help_as_text(text),
            Self::Shape { wanted, .. } => format!("give {wanted}"),
            Self::Required { .. } => "a manifest must declare it; give it a value".to_owned(),
        }
    }
}

/// Holds a value of a built-in kind's field against the table. An absent value is right for every field that there is; a
/// kind that is not built in is not this file's to judge.
///
/// # Errors
/// The field or a member is unknown, or a value has another shape.
pub fn check(kind: &str, field: &str, value: &Value) -> Result<(), FieldError> {
    let Some(table) = table(kind) else { return Ok(()) };
    match table.iter().find(|(name, _)| *name == field) {
        Some((_, shape)) => fits(kind, field, *shape, value, Strictness::Strict),
        None => {
            let known: Vec<&'static str> = table.iter().map(|(name, _)| *name).collect();
            let near = suggest::near(field, known.iter().copied()).into_iter().map(str::to_owned).collect();
            Err(FieldError::Unknown { kind: kind.to_owned(), field: field.to_owned(), near, known })
        }
    }
}

/// Holds a changed value against the table. What was wrong before in the same way may stay: it came from elsewhere, and this edit
/// did not make it.
///
/// # Errors
/// As for [`check`].
pub(crate) fn check_edit(kind: &str, field: &str, before: Option<&Value>, after: &Value) -> Result<(), FieldError> {
    let known = table(kind).is_none_or(|table| table.iter().any(|(name, _)| *name == field));
    check(kind, field, after).or_else(|error| match before {
        Some(before) if known && check(kind, field, before) == Err(error.clone()) => Ok(()),
        Some(_) | None => Err(error),
    })
}

/// Whether a field may be taken out of a resource that has it.
///
/// # Errors
/// A manifest must declare it.
pub(crate) fn check_removal(kind: &str, field: &str) -> Result<(), FieldError> {
    if REQUIRED.iter().any(|(name, fields)| *name == kind && fields.contains(&field)) {
        return Err(FieldError::Required { kind: kind.to_owned(), field: field.to_owned() });
    }
    Ok(())
}

/// Holds the fields of a resource that is being made against the table.
///
/// # Errors
/// One that a manifest must declare is not there.
pub(crate) fn check_made(kind: &str, made: &value::Fields) -> Result<(), FieldError> {
    let required = REQUIRED.iter().filter(|(name, _)| *name == kind).flat_map(|(_, fields)| *fields);
    let mut lacking = required.filter(|field| made.get(**field).is_none_or(is_absent));
    lacking.next().map_or(Ok(()), |field| check_removal(kind, field))
}

/// Holds a value that comes from another store against the table. Fields and members that it does not name are those of other
/// consumers, or of another version.
///
/// # Errors
/// A value has another shape.
pub(crate) fn check_foreign(kind: &str, field: &str, value: &Value) -> Result<(), FieldError> {
    let shape = table(kind).and_then(|table| table.iter().find(|(name, _)| *name == field));
    shape.map_or(Ok(()), |(_, shape)| fits(kind, field, *shape, value, Strictness::Lenient))
}

fn fits(kind: &str, field: &str, shape: Shape, value: &Value, strictness: Strictness) -> Result<(), FieldError> {
    if is_absent(value) {
        return Ok(());
    }
    let kind = kind.to_owned();
    let as_text = as_text(field, value).filter(|_| matches!(shape, Shape::Text));
    shape.check(value, &FieldPath::field(field), strictness).map_err(|wrong| match wrong {
        Wrong::Unknown { path, near, known } => FieldError::Unknown { kind, field: path, near, known },
        Wrong::Shape { path, wanted, found } => FieldError::Shape { kind, field: path, wanted, found, as_text },
        Wrong::Lacks { path, member } => FieldError::Required { kind, field: format!("{path}.{member}") },
    })
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

fn table(kind: &str) -> Option<Fields> {
    TABLES.iter().find(|(name, _)| *name == kind).map(|(_, table)| *table)
}

/// What a manifest must declare of a resource.
const REQUIRED: &[(&str, &[&str])] = &[
    (AGENT, &["name"]),
    (PLATFORM, &["type"]),
    (ENTITY_TYPE, &["name"]),
    (RELATIONSHIP_TYPE, &["name"]),
    (WATCHER, &["agentId", "name", "schedule", "prompt"]),
    (AUTH_PROFILE, &["connector", "kind"]),
    (CONNECTION, &["connector"]),
];

const TEXTS: Shape = Shape::List(&Shape::Text);
const TEXT_MAP: Shape = Shape::Map(&Shape::Text);
const LIST: Shape = Shape::List(&Shape::Any);
const MAP: Shape = Shape::Map(&Shape::Any);

const fn closed(known: &'static [(&'static str, Shape)]) -> Members {
    Members { known, required: &[], open: false }
}

const fn open(known: &'static [(&'static str, Shape)], required: &'static [&'static str]) -> Members {
    Members { known, required, open: true }
}

static JUDGED: Members =
    Members { known: &[("domain", Shape::Text), ("judge", Shape::Text)], required: &["domain"], open: false };

static NETWORK: Members = closed(&[
    ("allowedDomains", TEXTS),
    ("deniedDomains", TEXTS),
    ("judgedDomains", Shape::List(&Shape::Table(&JUDGED))),
    ("judges", TEXT_MAP),
]);

static EGRESS: Members = closed(&[("extraPolicy", Shape::Text), ("judgeModel", Shape::Text)]);

static NIX: Members = closed(&[("packages", TEXTS)]);

static TOOLS: Members = closed(&[("allowedTools", TEXTS), ("deniedTools", TEXTS), ("strictMode", Shape::Boolean)]);

static SELECTION: Members = closed(&[("mode", Shape::OneOf(&["auto", "pinned"])), ("pinnedModel", Shape::Text)]);

static GUARDRAIL: Members =
    open(&[("stage", Shape::Text), ("judge", Shape::Text), ("tools", TEXTS)], &["stage", "judge"]);

/// Consumers keep more of a provider, such as when it was installed.
static INSTALLED: Members = open(&[("providerId", Shape::Text), ("secretRef", Shape::Text)], &["providerId"]);

/// Consumers know more members of a server than a manifest can write.
static SERVER: Members = open(
    &[
        ("type", Shape::Text),
        ("url", Shape::Text),
        ("command", Shape::Text),
        ("args", TEXTS),
        ("headers", TEXT_MAP),
        ("env", TEXT_MAP),
        ("authScope", Shape::Text),
        ("oauth", Shape::Table(&OAUTH)),
    ],
    &[],
);

static OAUTH: Members = open(
    &[
        ("authUrl", Shape::Text),
        ("tokenUrl", Shape::Text),
        ("clientId", Shape::Text),
        ("clientSecret", Shape::Text),
        ("scopes", TEXTS),
        ("tokenEndpointAuthMethod", Shape::Text),
    ],
    &[],
);

static SKILLS: Members = open(&[("skills", Shape::List(&Shape::Table(&SKILL)))], &[]);

static SKILL: Members = open(
    &[
        ("repo", Shape::Text),
        ("name", Shape::Text),
        ("content", Shape::Text),
        ("description", Shape::Text),
        ("enabled", Shape::Boolean),
        ("nixPackages", TEXTS),
    ],
    &[],
);

/// The built-in kinds but for `provider`, whose fields are the catalogue's business.
const TABLES: &[(&str, Fields)] = &[
    (AGENT, &[("name", Shape::Text), ("description", Shape::Text), ("owner", Shape::Text)]),
    (
        SETTINGS,
        &[
            ("networkConfig", Shape::Table(&NETWORK)),
            ("egressConfig", Shape::Table(&EGRESS)),
            ("nixConfig", Shape::Table(&NIX)),
            ("mcpServers", Shape::Map(&Shape::Table(&SERVER))),
            ("skillsConfig", Shape::Table(&SKILLS)),
            ("toolsConfig", Shape::Table(&TOOLS)),
            ("guardrails", TEXTS),
            ("guardrailsInline", Shape::List(&Shape::Table(&GUARDRAIL))),
            ("guardrailsDisabled", TEXTS),
            ("preApprovedTools", TEXTS),
            ("providerModelPreferences", TEXT_MAP),
            ("installedProviders", Shape::List(&Shape::Table(&INSTALLED))),
            ("modelSelection", Shape::Table(&SELECTION)),
            ("soulMd", Shape::Text),
            ("userMd", Shape::Text),
            ("identityMd", Shape::Text),
        ],
    ),
    (PLATFORM, &[("type", Shape::Text), ("config", MAP), ("channels", LIST)]),
    (ENTITY_TYPE, &[("name", Shape::Text), ("description", Shape::Text), ("required", LIST), ("properties", MAP)]),
    (RELATIONSHIP_TYPE, &[("name", Shape::Text), ("description", Shape::Text), ("rules", LIST)]),
    (
        WATCHER,
        &[
            ("agentId", Shape::Text),
            ("name", Shape::Text),
            ("description", Shape::Text),
            ("schedule", Shape::Text),
            ("prompt", Shape::Text),
            ("extractionSchema", MAP),
            ("keyingConfig", MAP),
            ("sources", LIST),
            ("reactionsGuidance", Shape::Text),
            ("deviceWorkerId", Shape::Text),
            ("schedulerClientId", Shape::Text),
            ("agentKind", Shape::Text),
            ("condensationPrompt", Shape::Text),
            ("notificationChannel", Shape::Text),
            ("notificationPriority", Shape::Text),
            ("minCooldownSeconds", Shape::Number),
            ("condensationWindowCount", Shape::Number),
            ("tags", LIST),
            ("classifiers", LIST),
            ("jsonTemplate", Shape::Any),
            ("reactionScript", Shape::Text),
        ],
    ),
    (CONNECTOR_DEFINITION, &[("sourceDigest", Shape::Text), ("sourceUrl", Shape::Text)]),
    (AUTH_PROFILE, &[("connector", Shape::Text), ("kind", Shape::Text), ("name", Shape::Text), ("credentials", MAP)]),
    (
        CONNECTION,
        &[
            ("connector", Shape::Text),
            ("name", Shape::Text),
            ("auth", Shape::Text),
            ("appAuth", Shape::Text),
            ("deviceWorkerId", Shape::Text),
            ("config", MAP),
        ],
    ),
    (FEED, &[("name", Shape::Text), ("schedule", Shape::Text), ("config", MAP)]),
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

    #[test]
    fn members_are_held_to_what_a_manifest_could_have_written() {
        let wrong = |field: &str, value: Value| check(SETTINGS, field, &value).unwrap_err().to_string();
        for (field, value, said) in [
            (
                "providerModelPreferences",
                json!({"z-ai": {"x": 1}}),
                "`providerModelPreferences.z-ai` of `settings` is a string, not a table",
            ),
            (
                "networkConfig",
                json!({"allowedDomains": 5}),
                "`networkConfig.allowedDomains` of `settings` is a list, not a number",
            ),
            ("networkConfig", json!({"foo": 5}), "`settings` has no field `networkConfig.foo`"),
            ("mcpServers", json!({"m": 7}), "`mcpServers.m` of `settings` is a table, not a number"),
            (
                "modelSelection",
                json!({"mode": "zzz"}),
                "`modelSelection.mode` of `settings` is `auto` or `pinned`, not another text",
            ),
            (
                "installedProviders",
                json!([{"providerId": "z-ai"}, {"provider": "openai"}]),
                "`installedProviders[1].providerId` of `settings` is required",
            ),
            (
                "networkConfig",
                json!({"judgedDomains": [{"judge": "x"}]}),
                "`networkConfig.judgedDomains[0].domain` of `settings` is required",
            ),
        ] {
            assert_eq!(wrong(field, value), said);
        }
        let unknown = check(SETTINGS, "networkConfig", &json!({"allowedDomain": []})).unwrap_err();
        assert_eq!(unknown.help(), "did you mean `allowedDomains`?");
        for (field, value) in [
            ("installedProviders", json!([{"providerId": "z-ai", "installedAt": 1_700_000_000, "config": {}}])),
            ("mcpServers", json!({"m": {"url": "u", "perms": ["x"], "headers": null}})),
            ("skillsConfig", json!({"skills": [{"repo": "a/b", "enabled": true, "icon": 5}]})),
            ("modelSelection", json!({"mode": "pinned", "pinnedModel": "z-ai/glm-5"})),
        ] {
            assert_eq!(check(SETTINGS, field, &value), Ok(()), "{field}");
        }
    }

    #[test]
    fn an_edit_answers_for_what_it_changes_and_an_import_for_what_is_known() {
        let foreign = json!({"allowedDomains": ["a"], "proxy": "p"});
        let edited = json!({"allowedDomains": ["b"], "proxy": "p"});
        assert_eq!(check_edit(SETTINGS, "networkConfig", Some(&foreign), &edited), Ok(()));
        assert!(check_edit(SETTINGS, "networkConfig", Some(&json!({})), &edited).is_err());
        assert!(check_edit(SETTINGS, "soulMD", Some(&json!("x")), &json!("y")).is_err());
        assert_eq!(check_removal(AGENT, "name").unwrap_err().to_string(), "`name` of `agent` is required");
        assert_eq!(check_removal(AGENT, "description"), Ok(()));
        assert_eq!(check_foreign(SETTINGS, "networkConfig", &foreign), Ok(()));
        assert_eq!(check_foreign(SETTINGS, "model", &json!("z-ai/glm-4.6")), Ok(()));
        assert!(check_foreign(SETTINGS, "networkConfig", &json!({"allowedDomains": 5})).is_err());
    }
}
