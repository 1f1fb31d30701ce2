//! Compares a tree with its shape and reports everything that does not fit, each at its place.
//!
//! Never here: which shapes there are, and rules that look at more than one value.

use std::fmt;

use super::findings::{
    E_INVALID_NAME, E_INVALID_VALUE, E_MISSING_KEY, E_UNKNOWN_KEY, E_WRONG_TYPE, Finding, Findings, W_LITERAL_SECRET,
};
use super::node::{Key, Node, Tree};
use super::reference::{reference, resembles_reference};
use super::shape::{Entry, Rule, Shape, Table};
use super::source::{Files, Spot, shown};
use crate::suggest::nearest;

/// The way from a document to a value, kept on the stack and written only when something is wrong.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
    /// Where messages about a missing member point to.
    spot: Spot,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root(&'p str),
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    /// The document itself, under the name that messages use; empty for none.
    pub(crate) fn root(name: &'p str, spot: Spot) -> Self {
        Self { parent: None, step: Step::Root(name), spot }
    }

    fn key(&'p self, key: &'p Key<'_>) -> Self {
        Self { parent: Some(self), step: Step::Key(&key.text), spot: key.spot }
    }

    fn index(&'p self, index: usize, spot: Spot) -> Self {
        Self { parent: Some(self), step: Step::Index(index), spot }
    }

    fn is_root(&self) -> bool {
        self.parent.is_none()
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.parent.filter(|parent| !matches!(parent.step, Step::Root("")));
        if let Some(parent) = parent {
            parent.fmt(out)?;
        }
        match self.step {
            Step::Root(name) => out.write_str(name),
            Step::Index(index) => write!(out, "[{index}]"),
            Step::Key(key) => write!(out, "{}{}", if parent.is_some() { "." } else { "" }, shown(key)),
        }
    }
}

/// Reports everything about a value that does not fit its shape.
pub(crate) fn check(node: &Node<'_>, shape: &Shape, path: &Path<'_>, files: &mut Files, findings: &mut Findings) {
    Check { files, findings }.value(node, shape, path);
}

struct Check<'c> {
    files: &'c mut Files,
    findings: &'c mut Findings,
}

impl Check<'_> {
    fn value(&mut self, node: &Node<'_>, shape: &Shape, path: &Path<'_>) {
        match (shape, &node.tree) {
            (Shape::Named(_, shape), _) => self.value(node, shape, path),
            (Shape::Any, _) | (Shape::Boolean, Tree::Boolean(_)) => {}
            (Shape::Text(rule), Tree::Text(text)) => self.text(text, *rule, node.spot, path),
            (Shape::Secret, Tree::Text(text)) => self.secret(text, node.spot, path),
            (Shape::Integer { min, max }, Tree::Integer(value)) if (min..=max).contains(&value) => {}
            (Shape::Integer { min, max }, Tree::Integer(value)) => {
                let range = match (*min, *max) {
                    (min, i64::MAX) => format!("at least {min}"),
                    (min, max) if min == max => format!("{min}"),
                    (min, max) => format!("from {min} to {max}"),
                };
                let message = format!("`{path}` is {value}, but must be {range}");
                self.findings.report(Finding::error(E_INVALID_VALUE, message).at(node.spot, ""));
            }
            (Shape::Number { min }, Tree::Integer(_) | Tree::Float(_)) => {
                let value = match node.tree {
                    Tree::Integer(value) => value as f64,
                    Tree::Float(value) => value,
                    _ => *min,
                };
                if value < *min {
                    let message = format!("`{path}` is {value}, but must be at least {min}");
                    self.findings.report(Finding::error(E_INVALID_VALUE, message).at(node.spot, ""));
                }
            }
            (Shape::List(shape), Tree::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, shape, &path.index(index, item.spot));
                }
            }
            (Shape::Map { key, value }, Tree::Table(entries)) => self.map(entries, *key, value, path),
            (Shape::Table(table), Tree::Table(entries)) => self.table(entries, table, path),
            (Shape::Either(text, _), Tree::Text(_)) => self.value(node, text, path),
            (Shape::Either(_, other @ (Shape::Table(_) | Shape::Map { .. })), Tree::Table(_))
            | (Shape::Either(_, other @ Shape::Integer { .. }), Tree::Integer(_))
            | (Shape::Either(_, other @ Shape::List(_)), Tree::List(_)) => self.value(node, other, path),
            _ => self.wrong_type(node, shape, path),
        }
    }

    fn wrong_type(&mut self, node: &Node<'_>, shape: &Shape, path: &Path<'_>) {
        let message = format!("`{path}` is {}, but must be {}", node.type_name(), type_name(shape));
        let finding = Finding::error(E_WRONG_TYPE, message);
        if matches!(shape, Shape::Secret | Shape::Map { value: Shape::Secret, .. }) {
            self.files.hide(node.spot);
        }
        self.findings.report(finding.at(node.spot, ""));
    }

    fn text(&mut self, text: &str, rule: Rule, spot: Spot, path: &Path<'_>) {
        let finding = match rule {
            Rule::Free => return,
            Rule::NonEmpty if !text.trim().is_empty() => return,
            Rule::NonEmpty => Finding::error(E_INVALID_VALUE, format!("`{path}` is empty")),
            Rule::Choice(words) if words.contains(&text) => return,
            Rule::Choice(words) => {
                let known = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
                let message = format!("`{path}` is `{}`, but must be one of {known}", shown(text));
                let finding = Finding::error(E_INVALID_VALUE, message);
                match nearest(text, words.iter().copied()) {
                    Some(word) => finding.help(format!("did you mean `{word}`?")),
                    None => finding,
                }
            }
            Rule::Form { test, .. } if test(text) => return,
            Rule::Form { says, .. } => {
                Finding::error(E_INVALID_VALUE, format!("`{path}` is `{}`, but must {says}", shown(text)))
            }
        };
        self.findings.report(finding.at(spot, ""));
    }

    fn secret(&mut self, text: &str, spot: Spot, path: &Path<'_>) {
        if reference(text).is_some() || text.trim().is_empty() {
            return;
        }
        self.files.hide(spot);
        let help = if resembles_reference(text) {
            "a reference is `$NAME` with capital letters, digits and `_`, or `env:NAME`, or `file:PATH`"
        } else {
            "put the value into an environment variable or `.env`, and write `$NAME` here"
        };
        let message = format!("`{path}` holds a secret in clear");
        self.findings.report(Finding::warning(W_LITERAL_SECRET, message).at(spot, "").help(help));
    }

    fn map(&mut self, entries: &[(Key<'_>, Node<'_>)], rule: Rule, shape: &Shape, path: &Path<'_>) {
        for (key, value) in entries {
            let valid = match rule {
                Rule::Free => true,
                Rule::NonEmpty => !key.text.trim().is_empty(),
                Rule::Choice(words) => words.contains(&key.text.as_ref()),
                Rule::Form { test, .. } => test(&key.text),
            };
            if !valid {
                let must = match rule {
                    Rule::Form { says, .. } => says,
                    Rule::Free | Rule::NonEmpty | Rule::Choice(_) => "not be empty",
                };
                let message = format!("invalid name `{}` in `{path}`: it must {must}", shown(&key.text));
                self.findings.report(Finding::error(E_INVALID_NAME, message).at(key.spot, ""));
            }
            if !matches!(value.tree, Tree::Null) {
                self.value(value, shape, &path.key(key));
            }
        }
    }

    fn table(&mut self, entries: &[(Key<'_>, Node<'_>)], table: &Table, path: &Path<'_>) {
        let mut found = 0_u64;
        for (key, value) in entries {
            match table.keys.iter().position(|entry| entry.name == key.text) {
                Some(_) if matches!(value.tree, Tree::Null) => {}
                Some(at) => {
                    found |= 1 << at;
                    self.value(value, table.keys[at].shape, &path.key(key));
                }
                None if table.open.is_some_and(|open| open(&key.text)) => {}
                None => self.unknown(key, value, table, path),
            }
        }
        for (at, entry) in table.keys.iter().enumerate().filter(|(_, entry)| entry.required) {
            if found & (1 << at) == 0 {
                let message = match path.is_root() {
                    true => format!("the required key `{}` is missing", entry.name),
                    false => format!("`{path}` lacks the required key `{}`", entry.name),
                };
                let help = format!("`{}`: {}", entry.name, entry.doc);
                self.findings.report(Finding::error(E_MISSING_KEY, message).at(path.spot, "").help(help));
            }
        }
    }

    fn unknown(&mut self, key: &Key<'_>, value: &Node<'_>, table: &Table, path: &Path<'_>) {
        let message = match path.is_root() {
            true => format!("unknown key `{}`", shown(&key.text)),
            false => format!("unknown key `{}` in `{path}`", shown(&key.text)),
        };
        let names = || table.keys.iter().map(|entry| entry.name);
        let near = nearest(&key.text, names());
        let help = match near {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known keys: {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
        };
        // A misspelt key may stand before a secret, unless it is clear what was meant.
        let is_secret = |entry: &Entry| matches!(entry.shape, Shape::Secret);
        let meant = near.and_then(|name| table.keys.iter().find(|entry| entry.name == name));
        let secret = table.keys.iter().any(is_secret) && meant.is_none_or(is_secret);
        if secret && may_be_secret(value) {
            self.files.cut(value.spot);
        }
        let spot = match value.tree {
            Tree::Table(_) | Tree::List(_) if key.spot.end == key.spot.start => value.spot,
            _ => key.spot,
        };
        self.findings.report(Finding::error(E_UNKNOWN_KEY, message).at(spot, "").help(help));
    }
}

/// Whether a secret may stand in a value whose key means nothing; a number or a boolean is none.
pub(crate) fn may_be_secret(value: &Node<'_>) -> bool {
    match &value.tree {
        Tree::Text(text) => reference(text).is_none(),
        Tree::List(_) | Tree::Table(_) => true,
        Tree::Null | Tree::Boolean(_) | Tree::Integer(_) | Tree::Float(_) | Tree::Date(_) => false,
    }
}

fn type_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any => "anything",
        Shape::Named(_, shape) => type_name(shape),
        Shape::Text(_) | Shape::Secret => "a string",
        Shape::Boolean => "a boolean",
        Shape::Integer { .. } => "an integer",
        Shape::Number { .. } => "a number",
        Shape::List(_) => "a list",
        Shape::Map { .. } | Shape::Table(_) => "a table",
        Shape::Either(_, other) => match other {
            Shape::List(_) => "a string or a list",
            Shape::Map { .. } | Shape::Table(_) => "a string or a table",
            Shape::Integer { .. } => "a string or an integer",
            _ => "a string",
        },
    }
}
