//! Live edits: what an actor's change of one resource makes of its record.
//!
//! Pure. Never here: what the change means for sessions (`effect.rs`), whether it is allowed (`guard.rs`), and writing it.

use std::collections::BTreeSet;

use crate::agents::fields::{self, FieldError};
use crate::agents::shapes;
use crate::kind::{FieldSpec, KindSpec, Kinds};
use crate::own_kind::OwnType;
use crate::resource::{Address, Record};
use crate::value::{FieldPath, Fields, Value, equal_field, is_absent, without_nulls};

/// An edit that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Nobody knows the kind.
    #[error("unknown kind `{kind}`")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// A field or value that the kind does not have.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A field or value that a project's own kind does not have.
    #[error("{why}")]
    Own {
        /// What is wrong.
        why: String,
        /// How a command line says that the value is meant as text, if a text is wanted.
        as_text: Option<String>,
    },
    /// The value is a secret, which never goes this way.
    #[error("`{path}` of `{address}` is a secret")]
    Sensitive {
        /// The resource.
        address: Address,
        /// The path of the secret.
        path: String,
    },
    /// Members are given to a value that has none.
    #[error("`{path}` of `{address}` is {found}, which has no members that could be changed one by one")]
    NoMembers {
        /// The resource.
        address: Address,
        /// Where.
        path: String,
        /// What is there.
        found: &'static str,
    },
    /// The field keeps the value that it was made with.
    #[error("`{field}` of `{address}` cannot be changed")]
    Immutable {
        /// The resource.
        address: Address,
        /// The field.
        field: String,
    },
}

/// What an edit makes of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    /// The record afterwards.
    pub record: Record,
    /// The top-level fields whose value changes.
    pub changed: BTreeSet<String>,
}

/// Merges a patch into a record as RFC 7396 does, field by field, but for one thing: members never take the place of a list or of
/// a plain value, as whoever gives them means to change a part and not to lose the whole. The actor becomes the owner of each top-level field whose
/// value changes; a field that is removed keeps an owner if it had one, so that its source learns who removed it.
///
/// # Errors
/// The first field that makes no sense.
pub fn merge(
    kinds: &Kinds,
    address: &Address,
    live: Option<&Record>,
    patch: &Fields,
    actor: &str,
) -> Result<Edited, EditError> {
    let kind = address.kind.as_str();
    let spec = kinds.get(kind).ok_or_else(|| EditError::UnknownKind { kind: kind.to_owned() })?;
    let mut record = live.cloned().unwrap_or_default();
    let mut changed = BTreeSet::new();
    for (field, patch) in patch {
        let before = record.fields.get(field).cloned();
        if let Some((path, found)) = without_members(&FieldPath::field(field), before.as_ref(), patch) {
            return Err(EditError::NoMembers { address: address.clone(), path: path.to_string(), found });
        }
        let after = merged(before.clone(), patch);
        fields::check_edit(kind, field, before.as_ref(), &after)?;
        refuse_secret(spec, address, &record, field, patch)?;
        if let Some(own) = &spec.definition {
            own.check(field, &after).map_err(|why| {
                let text = own.fields.get(field).is_some_and(|known| known.value == OwnType::String);
                EditError::Own { why, as_text: fields::as_text(field, &after).filter(|_| text) }
            })?;
        }
        if equal_field(before.as_ref(), Some(&after)) {
            continue;
        }
        if spec.field(field).immutable && before.as_ref().is_some_and(|before| !is_absent(before)) {
            return Err(EditError::Immutable { address: address.clone(), field: field.clone() });
        }
        changed.insert(field.clone());
        if is_absent(&after) {
            fields::check_removal(kind, field)?;
            record.fields.remove(field);
            if let Some(owner) = record.owners.get_mut(field) {
                actor.clone_into(owner);
            }
        } else {
            record.fields.insert(field.clone(), after);
            record.owners.insert(field.clone(), actor.to_owned());
        }
    }
    if live.is_none() {
        fields::check_made(kind, &record.fields)?;
        if let Some(own) = &spec.definition {
            own.check_made(&record.fields).map_err(|why| EditError::Own { why, as_text: None })?;
        }
        record.owner = Some(actor.to_owned());
    }
    Ok(Edited { record, changed })
}

/// The first place where a patch has members for a value that has none, and what that value is.
fn without_members(at: &FieldPath, before: Option<&Value>, patch: &Value) -> Option<(FieldPath, &'static str)> {
    let before = before.filter(|before| !is_absent(before))?;
    let patch = patch.as_object()?;
    match before {
        Value::Object(members) => {
            patch.iter().find_map(|(name, patch)| without_members(&at.key(name), members.get(name), patch))
        }
        plain => Some((at.clone(), shapes::with_article(plain))),
    }
}

/// RFC 7396 for one value; null members end up absent.
fn merged(before: Option<Value>, patch: &Value) -> Value {
    match (before, patch) {
        (Some(Value::Object(mut members)), Value::Object(patch)) => {
            for (name, patch) in patch {
                match merged(members.remove(name), patch) {
                    Value::Null => {}
                    value => {
                        members.insert(name.clone(), value);
                    }
                }
            }
            Value::Object(members)
        }
        (_, patch) => without_nulls(patch.clone()),
    }
}

/// A secret is set and removed by verbs that keep it out of arguments, logs and answers.
fn refuse_secret(
    spec: &KindSpec,
    address: &Address,
    record: &Record,
    field: &str,
    patch: &Value,
) -> Result<(), EditError> {
    let sensitive = |path: String| EditError::Sensitive { address: address.clone(), path };
    if spec.field(field).sensitive {
        return Err(sensitive(field.to_owned()));
    }
    if let Some(path) = names_secret(spec.field(field), &FieldPath::field(field), patch) {
        return Err(sensitive(path));
    }
    let touched = |path: &&String| touches(patch, &FieldPath::field(field), path);
    match record.tags.keys().find(touched) {
        Some(path) => Err(sensitive(path.clone())),
        None => Ok(()),
    }
}

/// The path of a member of a patch that its kind calls a secret.
fn names_secret(spec: &FieldSpec, at: &FieldPath, patch: &Value) -> Option<String> {
    let members = patch.as_object()?;
    members.iter().find_map(|(name, patch)| {
        let (spec, at) = (spec.member(name), at.key(name));
        if spec.sensitive { Some(at.to_string()) } else { names_secret(spec, &at, patch) }
    })
}

/// Whether a patch at a path says something about a sealed path: it replaces or removes a value that the path lies in.
fn touches(patch: &Value, at: &FieldPath, sealed: &str) -> bool {
    let text = at.to_string();
    let inside = sealed == text || sealed.strip_prefix(&text).is_some_and(|rest| rest.starts_with('.'));
    match patch {
        Value::Object(members) if inside => members.iter().any(|(name, patch)| touches(patch, &at.key(name), sealed)),
        _ => inside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::kinds::kinds;
    use serde_json::json;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn fields(value: Value) -> Fields {
        serde_json::from_value(value).unwrap()
    }

    fn live() -> Record {
        let owners = [("providerModelPreferences", "team"), ("soulMd", "team")];
        Record {
            fields: fields(json!({"providerModelPreferences": {"z-ai": "a", "claude": "b"}, "soulMd": "kind"})),
            owner: Some("team".to_owned()),
            owners: owners.into_iter().map(|(field, owner)| (field.to_owned(), owner.to_owned())).collect(),
            ..Record::default()
        }
    }

    #[test]
    fn p7_an_edit_merges_and_the_actor_owns_only_what_it_changed() {
        let patch = fields(json!({"providerModelPreferences": {"z-ai": "c"}, "soulMd": "kind", "userMd": null}));
        let edited = merge(&kinds(), &address("settings/a"), Some(&live()), &patch, "ui:maria").unwrap();
        let expected = fields(json!({"providerModelPreferences": {"z-ai": "c", "claude": "b"}, "soulMd": "kind"}));
        assert_eq!(edited.record.fields, expected);
        assert_eq!(edited.record.owners["providerModelPreferences"], "ui:maria");
        assert_eq!(edited.record.owners["soulMd"], "team");
        assert_eq!(edited.changed.iter().collect::<Vec<_>>(), ["providerModelPreferences"]);
        assert_eq!(edited.record.owner.as_deref(), Some("team"));
    }

    #[test]
    fn p7_a_removed_field_keeps_the_name_of_who_removed_it() {
        let patch = fields(json!({"soulMd": null}));
        let edited = merge(&kinds(), &address("settings/a"), Some(&live()), &patch, "ui:maria").unwrap();
        assert!(!edited.record.fields.contains_key("soulMd"));
        assert_eq!(edited.record.owners["soulMd"], "ui:maria");
    }

    #[test]
    fn p7_members_never_take_the_place_of_a_value_that_has_none() {
        let live = Record {
            fields: fields(json!({"guardrails": ["a", "b"], "soulMd": "kind", "mcpServers": {"s": {"args": ["x"]}}})),
            ..Record::default()
        };
        let merged = |patch: Value| merge(&kinds(), &address("settings/a"), Some(&live), &fields(patch), "ui:maria");
        for (patch, what) in [
            (json!({"guardrails": {"0": null}}), "`guardrails` of `settings/a` is a list"),
            (json!({"soulMd": {"line": null}}), "`soulMd` of `settings/a` is a string"),
            (json!({"mcpServers": {"s": {"args": {"0": "y"}}}}), "`mcpServers.s.args` of `settings/a` is a list"),
        ] {
            let refused = merged(patch).unwrap_err().to_string();
            assert!(refused.starts_with(what), "{refused}");
        }
        // The whole is given, or there is nothing that would be lost.
        for patch in [
            json!({"guardrails": null}),
            json!({"guardrails": ["c"]}),
            json!({"mcpServers": {"s": {"args": ["y"]}, "t": {"args": ["z"]}}}),
            json!({"providerModelPreferences": {"z-ai": "x"}}),
        ] {
            assert!(merged(patch.clone()).is_ok(), "{patch}");
        }
    }

    #[test]
    fn what_is_made_has_what_a_manifest_must_declare() {
        let own: crate::own_kind::OwnKind = serde_json::from_value(json!({
            "name": "flag",
            "fields": {
                "rollout": {"type": "integer", "required": true},
                "token": {"type": "string", "required": true, "sensitive": true},
            },
        }))
        .unwrap();
        let mut kinds = kinds();
        kinds.add([own.spec()]);
        let made = |at: &str, patch: Value| merge(&kinds, &address(at), None, &fields(patch), "ui:maria");
        for (at, patch, lacking) in [
            ("agent/a", json!({"description": "x"}), "`name` of `agent` is required"),
            ("agent/a", json!({}), "`name` of `agent` is required"),
            ("watcher/a", json!({"agentId": "a", "name": "W", "prompt": "p"}), "`schedule` of `watcher` is required"),
            ("flag/a", json!({}), "`rollout` of `flag` is required"),
        ] {
            assert_eq!(made(at, patch).unwrap_err().to_string(), lacking);
        }
        for (at, patch) in
            [("agent/a", json!({"name": "A"})), ("settings/a", json!({})), ("flag/a", json!({"rollout": 3}))]
        {
            assert_eq!(made(at, patch).unwrap().record.owner.as_deref(), Some("ui:maria"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |at: &str, record: &Record, patch: Value| {
            merge(&kinds(), &address(at), Some(record), &fields(patch), "ui:maria").unwrap_err().to_string()
        };
        assert_eq!(refused("settings/a", &live(), json!({"soulMD": "x"})), "`settings` has no field `soulMD`");
        assert_eq!(refused("nothing/a", &live(), json!({"x": 1})), "unknown kind `nothing`");
        assert_eq!(
            refused("secret/provider:z-ai:apiKey", &Record::default(), json!({"value": "x"})),
            "`value` of `secret/provider:z-ai:apiKey` is a secret"
        );
        let connection = Record { fields: fields(json!({"connector": "a"})), ..Record::default() };
        assert_eq!(
            refused("connection/a", &connection, json!({"connector": "b"})),
            "`connector` of `connection/a` cannot be changed"
        );
        let platform = Record {
            fields: fields(json!({"config": {"mode": "poll"}})),
            tags: [("config.botToken".to_owned(), "3f".to_owned())].into(),
            ..Record::default()
        };
        for patch in [json!({"config": {"botToken": "x"}}), json!({"config": null})] {
            let secret = "`config.botToken` of `platform/a/b` is a secret";
            assert_eq!(refused("platform/a/b", &platform, patch), secret);
        }
        let patch = fields(json!({"config": {"mode": "push"}}));
        assert!(merge(&kinds(), &address("platform/a/b"), Some(&platform), &patch, "ui:maria").is_ok());
    }
}
