//! One tree for TOML and YAML: values with their places, borrowed from the text.
//!
//! Never here: which keys are allowed (`shape.rs`), and parsing (`toml.rs`).

use std::borrow::Cow;

use super::source::Spot;
use crate::value::Value;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node<'t> {
    pub(crate) spot: Spot,
    pub(crate) tree: Tree<'t>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Tree<'t> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'t, str>),
    /// A TOML date or time, as text.
    Date(String),
    List(Vec<Node<'t>>),
    Table(Vec<(Key<'t>, Node<'t>)>),
}

/// A key of a table and its place.
#[derive(Clone, Debug)]
pub(crate) struct Key<'t> {
    pub(crate) spot: Spot,
    pub(crate) text: Cow<'t, str>,
}

impl<'t> Node<'t> {
    /// The member of a table, unless it is missing or null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'t>> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The member of a table with its key, unless it is missing or null.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Key<'t>, &Node<'t>)> {
        let (key, value) = self.entries().iter().find(|(name, _)| name.text == key)?;
        (!matches!(value.tree, Tree::Null)).then_some((key, value))
    }

    /// The members of a table; none of anything else.
    pub(crate) fn entries(&self) -> &[(Key<'t>, Node<'t>)] {
        match &self.tree {
            Tree::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Node<'t>] {
        match &self.tree {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a member that is a string.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// The value of a boolean.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.tree {
            Tree::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// What messages call this type of value.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.tree {
            Tree::Null => "null",
            Tree::Boolean(_) => "a boolean",
            Tree::Integer(_) => "an integer",
            Tree::Float(_) => "a number",
            Tree::Text(_) => "a string",
            Tree::Date(_) => "a date",
            Tree::List(_) => "a list",
            Tree::Table(_) => "a table",
        }
    }

    /// The value without places; a number that JSON cannot say becomes null.
    pub(crate) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Boolean(value) => Value::Bool(*value),
            Tree::Integer(value) => Value::from(*value),
            Tree::Float(value) => Value::from(*value),
            Tree::Text(text) => Value::from(text.as_ref()),
            Tree::Date(text) => Value::from(text.as_str()),
            Tree::List(items) => items.iter().map(Node::to_value).collect(),
            Tree::Table(entries) => {
                entries.iter().map(|(key, value)| (key.text.as_ref().to_owned(), value.to_value())).collect()
            }
        }
    }

    /// The strings of a list; other items are left out, they are reported elsewhere.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, Spot)> {
        self.items().iter().filter_map(|item| Some((item.text()?, item.spot)))
    }
}
