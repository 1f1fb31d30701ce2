//! JSON Schema of the grammars, made of the same shapes that the loader checks, so that editors agree with it.
//!
//! Never here: the shapes themselves.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::grammar::MANIFEST;
use super::grammar_yaml::{AUTH_PROFILE, CONNECTION, CONNECTOR, MODELS, SKILL};
use super::shape::{Rule, Shape, Table};

/// A grammar that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// `lobu.toml` and `holdfast.toml`.
    Manifest,
    /// A document of a models file.
    Models,
    /// A document of the connectors folder.
    Connectors,
    /// The front matter of `SKILL.md`.
    Skill,
}

/// The schema of a grammar, in JSON Schema 2020-12.
pub fn schema(grammar: Grammar) -> Value {
    let mut writer = Writer::default();
    let (title, body) = match grammar {
        Grammar::Manifest => ("Holdfast manifest", writer.shape(&MANIFEST)),
        Grammar::Models => ("Holdfast models", writer.shape(&MODELS)),
        Grammar::Skill => ("Holdfast skill", writer.shape(&SKILL)),
        Grammar::Connectors => {
            let types = [&CONNECTION, &AUTH_PROFILE, &CONNECTOR].map(|shape| writer.shape(shape));
            ("Holdfast connectors", json!({ "anyOf": types }))
        }
    };
    let mut schema = Map::from_iter([
        ("$schema".to_owned(), Value::from("https://json-schema.org/draft/2020-12/schema")),
        ("title".to_owned(), Value::from(title)),
    ]);
    if let Value::Object(body) = body {
        schema.extend(body);
    }
    if !writer.definitions.is_empty() {
        let definitions = writer.definitions.into_iter().map(|(name, value)| (name.to_owned(), value));
        schema.insert("$defs".to_owned(), Value::Object(definitions.collect()));
    }
    Value::Object(schema)
}

/// Writes shapes; those that contain themselves become definitions.
#[derive(Default)]
struct Writer {
    definitions: BTreeMap<&'static str, Value>,
}

impl Writer {
    fn shape(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Any => json!({}),
            Shape::Text(rule) => text(*rule),
            Shape::Secret => {
                json!({ "type": "string", "description": "a reference: `$NAME`, `env:NAME` or `file:PATH`" })
            }
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Integer { min, max } => {
                let mut schema = json!({ "type": "integer", "minimum": min });
                if *max < i64::MAX {
                    schema["maximum"] = json!(max);
                }
                schema
            }
            Shape::Number { min } if min.is_finite() => json!({ "type": "number", "minimum": min }),
            Shape::Number { .. } => json!({ "type": "number" }),
            Shape::List(item) => json!({ "type": "array", "items": self.shape(item) }),
            Shape::Map { key, value } => {
                let mut schema = json!({ "type": "object", "additionalProperties": self.shape(value) });
                if !matches!(key, Rule::Free) {
                    let mut names = text(*key);
                    if let Some(names) = names.as_object_mut() {
                        names.remove("type");
                    }
                    schema["propertyNames"] = names;
                }
                schema
            }
            Shape::Table(table) => self.table(table),
            Shape::Either(one, other) => json!({ "anyOf": [self.shape(one), self.shape(other)] }),
            Shape::Named(name, shape) => {
                if !self.definitions.contains_key(name) {
                    self.definitions.insert(name, Value::Null);
                    let definition = self.shape(shape);
                    self.definitions.insert(name, definition);
                }
                json!({ "$ref": format!("#/$defs/{name}") })
            }
        }
    }

    fn table(&mut self, table: &Table) -> Value {
        let mut properties = Map::new();
        for entry in table.keys {
            let mut schema = self.shape(entry.shape);
            schema["description"] = Value::from(entry.doc);
            properties.insert(entry.name.to_owned(), schema);
        }
        let required: Vec<&str> = table.keys.iter().filter(|entry| entry.required).map(|entry| entry.name).collect();
        let mut schema = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if table.open.is_none() {
            schema["additionalProperties"] = Value::from(false);
        }
        schema
    }
}

fn text(rule: Rule) -> Value {
    match rule {
        Rule::Free => json!({ "type": "string" }),
        Rule::NonEmpty => json!({ "type": "string", "minLength": 1 }),
        Rule::Choice(words) => json!({ "type": "string", "enum": words }),
        Rule::Form { pattern, .. } => json!({ "type": "string", "pattern": pattern }),
    }
}
