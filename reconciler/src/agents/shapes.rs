//! The shapes of values: what a field of the agents' domain may hold, down to the members that mean something to a session.
//!
//! A closed table has the members that are named and no others; an open one holds what consumers of their own put there too.
//! Never here: which field has which shape (`fields.rs`).

use crate::suggest;
use crate::value::{FieldPath, Value};

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Text,
    OneOf(&'static [&'static str]),
    Number,
    Boolean,
    List(&'static Shape),
    Map(&'static Shape),
    Table(&'static Members),
    Any,
}

/// The members of a table.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) known: &'static [(&'static str, Shape)],
    pub(super) required: &'static [&'static str],
    pub(super) open: bool,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Unknown { path: String, near: Vec<String>, known: Vec<&'static str> },
    Shape { path: String, wanted: String, found: &'static str },
    Lacks { path: String, member: &'static str },
}

/// Whether members that a closed table does not have, and words that are none of the known ones, are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// They are.
    Strict,
    /// They are taken as they come.
    Lenient,
}

impl Shape {
    /// Holds a value against the shape; nothing fits everywhere.
    pub(super) fn check(self, value: &Value, at: &FieldPath, strictness: Strictness) -> Result<(), Wrong> {
        let fits = match (self, value) {
            (_, Value::Null) | (Self::Any, _) => return Ok(()),
            (Self::Text, value) => value.is_string(),
            // Another version has other words.
            (Self::OneOf(_), Value::String(_)) if strictness == Strictness::Lenient => true,
            (Self::OneOf(texts), value) => value.as_str().is_some_and(|text| texts.contains(&text)),
            (Self::Number, value) => value.is_number(),
            (Self::Boolean, value) => value.is_boolean(),
            (Self::List(shape), Value::Array(items)) => {
                let mut items = items.iter().enumerate();
                return items.try_for_each(|(place, item)| shape.check(item, &at.index(place), strictness));
            }
            (Self::Map(shape), Value::Object(entries)) => {
                return entries.iter().try_for_each(|(name, value)| shape.check(value, &at.key(name), strictness));
            }
            (Self::Table(table), Value::Object(entries)) => return table.check(entries, at, strictness),
            (Self::List(_) | Self::Map(_) | Self::Table(_), _) => false,
        };
        let found = || match (self, value) {
            (Self::OneOf(_), Value::String(_)) => "another text",
            (_, value) => with_article(value),
        };
        if fits {
            Ok(())
        } else {
            Err(Wrong::Shape { path: at.to_string(), wanted: self.with_article(), found: found() })
        }
    }

    fn with_article(self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::OneOf(texts) => format!("`{}`", texts.join("` or `")),
            Self::Number => "a number".to_owned(),
            Self::Boolean => "a boolean".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) | Self::Table(_) => "a table".to_owned(),
            Self::Any => "anything".to_owned(),
        }
    }
}

impl Members {
    fn check(
        &self,
        entries: &serde_json::Map<String, Value>,
        at: &FieldPath,
        strictness: Strictness,
    ) -> Result<(), Wrong> {
        for (name, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
            match self.known.iter().find(|(known, _)| known == name) {
                Some((_, shape)) => shape.check(value, &at.key(name), strictness)?,
                None if self.open || strictness == Strictness::Lenient => {}
                None => {
                    let known: Vec<&'static str> = self.known.iter().map(|(known, _)| *known).collect();
                    let near = suggest::near(name, known.iter().copied()).into_iter().map(str::to_owned).collect();
                    return Err(Wrong::Unknown { path: at.key(name).to_string(), near, known });
                }
            }
        }
        let lacks = |member: &&&'static str| entries.get(**member).is_none_or(Value::is_null);
        match self.required.iter().find(lacks) {
            Some(member) => Err(Wrong::Lacks { path: at.to_string(), member }),
            None => Ok(()),
        }
    }
}

/// What a value is, with its article.
pub(crate) fn with_article(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
