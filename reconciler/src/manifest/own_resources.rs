//! Resources of a project's own kinds: `[resources.<kind>.<name>]`, checked against the kind.
//!
//! Never here: the kinds themselves (`own_kinds.rs`).

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::check::{Path, check, may_be_secret};
use super::context::Context;
use super::draft::Draft;
use super::findings::{
    E_INVALID_NAME, E_INVALID_VALUE, E_MISSING_KEY, E_UNKNOWN_KEY, E_UNKNOWN_REFERENCE, E_WRONG_TYPE, Finding,
    W_LITERAL_SECRET,
};
use super::grammar::LIFECYCLE;
use super::node::{Key, Node, Tree};
use super::reference::reference;
use super::source::{Spot, shown};
use super::spelled;
use crate::agents::kinds::kinds;
use crate::own_kind::{OwnField, OwnKind, OwnType};
use crate::resource::{KindName, is_id};
use crate::suggest::nearest;
use crate::value::equal;

/// The key of a resource that is no field.
const LIFECYCLE_KEY: &str = "lifecycle";

/// Declares the resources of one file.
pub(crate) fn declare(context: &mut Context<'_>, list: &Node<'_>) {
    for (key, resources) in list.entries() {
        let known = KindName::new(&key.text).ok().and_then(|name| context.own_kinds.get(&name));
        let Some(kind) = known.map(|(kind, _)| kind.clone()) else {
            unknown_kind(context, key);
            continue;
        };
        for (name, node) in resources.entries() {
            resource(context, &kind, name, node);
        }
    }
}

fn unknown_kind(context: &mut Context<'_>, key: &Key<'_>) {
    let finding = if kinds().get(&key.text).is_some() {
        let message = format!("resources of the built-in kind `{}` are not declared here", key.text);
        Finding::error(E_UNKNOWN_REFERENCE, message).help("use the kind's own tables or files")
    } else {
        let message = format!("the kind `{}` is declared nowhere", shown(&key.text));
        let names = context.own_kinds.keys().map(KindName::as_str);
        let help = match nearest(&key.text, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it: `[kinds.{}]`", spelled::key(&key.text)),
        };
        Finding::error(E_UNKNOWN_REFERENCE, message).help(help)
    };
    context.findings.report(finding.at(key.spot, ""));
}

fn resource(context: &mut Context<'_>, kind: &OwnKind, name: &Key<'_>, node: &Node<'_>) {
    if !is_id(&name.text) {
        let message = format!("invalid name `{}` of a resource of kind `{}`", shown(&name.text), kind.name);
        let help = "use lower-case letters, digits and `-`, at most 63, starting with a letter or digit";
        context.findings.report(Finding::error(E_INVALID_NAME, message).at(name.spot, "").help(help));
    }
    let what = format!("resources.{}.{}", kind.name, shown(&name.text));
    let mut draft = Draft::new(&kind.name, name.text.as_ref(), name.spot);
    let Tree::Table(entries) = &node.tree else {
        let message = format!("`{what}` is {}, but must be a table", node.type_name());
        context.findings.report(Finding::error(E_WRONG_TYPE, message).at(node.spot, ""));
        return;
    };
    if let Some((key, table)) = node.entry(LIFECYCLE_KEY) {
        check(table, &LIFECYCLE, &Path::root("lifecycle", key.spot), &mut context.files, &mut context.findings);
        draft.lifecycle(node);
    }
    let mut values = Values { context, draft };
    let members = entries.iter().filter(|(key, _)| key.text != LIFECYCLE_KEY);
    let spots: HashMap<&str, Spot> = entries.iter().map(|(key, _)| (key.text.as_ref(), key.spot)).collect();
    for (key, value) in values.table(members, &kind.fields, &what, "", name.spot) {
        let spot = spots.get(key.as_str()).copied().unwrap_or(name.spot);
        values.draft.field(key, value, spot);
    }
    let Values { context, draft } = values;
    context.add(draft);
}

struct Values<'v, 'c> {
    context: &'v mut Context<'c>,
    draft: Draft,
}

impl Values<'_, '_> {
    /// The members of a table without its secrets, which go into the draft.
    fn table<'n, 't: 'n>(
        &mut self,
        members: impl Iterator<Item = &'n (Key<'t>, Node<'t>)>,
        fields: &BTreeMap<String, OwnField>,
        what: &str,
        path: &str,
        spot: Spot,
    ) -> Map<String, Value> {
        let mut values = Map::new();
        let mut missing: BTreeMap<&str, &OwnField> =
            fields.iter().filter(|(_, field)| field.required).map(|(name, field)| (name.as_str(), field)).collect();
        for (key, value) in members {
            missing.remove(key.text.as_ref());
            let Some(field) = fields.get(key.text.as_ref()) else {
                let message = format!("unknown key `{}` in `{what}`", shown(&key.text));
                let finding = Finding::error(E_UNKNOWN_KEY, message).at(key.spot, "");
                let known = || fields.keys().map(String::as_str);
                let help = match nearest(&key.text, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known keys: {}", known().collect::<Vec<_>>().join(", ")),
                };
                if may_be_secret(value) {
                    self.context.files.cut(value.spot);
                }
                self.context.findings.report(finding.help(help));
                continue;
            };
            let what = format!("{what}.{}", shown(&key.text));
            let path = if path.is_empty() { key.text.to_string() } else { format!("{path}.{}", key.text) };
            if field.sensitive {
                self.secret(value, &what, path, key.spot);
            } else if let Some(value) = self.value(value, field, &what, &path) {
                values.insert(key.text.to_string(), value);
            }
        }
        for name in missing.keys() {
            let message = format!("`{what}` lacks the required key `{name}`");
            self.context.findings.report(Finding::error(E_MISSING_KEY, message).at(spot, ""));
        }
        values
    }

    fn secret(&mut self, node: &Node<'_>, what: &str, path: String, spot: Spot) {
        let Some(text) = node.text() else {
            self.context.files.hide(node.spot);
            let message = format!("`{what}` is {}, but must be a string", node.type_name());
            self.context.findings.report(Finding::error(E_WRONG_TYPE, message).at(node.spot, ""));
            return;
        };
        if reference(text).is_none() && !text.is_empty() {
            self.context.files.hide(node.spot);
            let message = format!("`{what}` holds a secret in clear");
            let help = "put the value into an environment variable or `.env`, and write `$NAME` here";
            self.context.findings.report(Finding::warning(W_LITERAL_SECRET, message).at(node.spot, "").help(help));
        }
        let input = self.context.secret(text, spot);
        self.draft.secret(path, input, spot);
    }

    fn value(&mut self, node: &Node<'_>, field: &OwnField, what: &str, path: &str) -> Option<Value> {
        let fits = matches!(
            (field.value, &node.tree),
            (OwnType::Any, _)
                | (OwnType::String, Tree::Text(_))
                | (OwnType::Integer, Tree::Integer(_))
                | (OwnType::Number, Tree::Integer(_) | Tree::Float(_))
                | (OwnType::Boolean, Tree::Boolean(_))
                | (OwnType::List, Tree::List(_))
                | (OwnType::Table, Tree::Table(_))
        );
        if !fits {
            let message = format!("`{what}` is {}, but must be {}", node.type_name(), field.value.with_article());
            self.context.findings.report(Finding::error(E_WRONG_TYPE, message).at(node.spot, ""));
            return None;
        }
        self.range(node, field, what);
        let value = match (&node.tree, &field.items) {
            (Tree::Table(entries), _) if !field.fields.is_empty() => {
                Value::Object(self.table(entries.iter(), &field.fields, what, path, node.spot))
            }
            (Tree::List(items), Some(field)) => {
                let items = items.iter().enumerate();
                items
                    .filter_map(|(at, item)| {
                        self.value(item, field, &format!("{what}[{at}]"), &format!("{path}[{at}]"))
                    })
                    .collect()
            }
            _ => node.to_value(),
        };
        if !field.one_of.is_empty() && !field.one_of.iter().any(|one| equal(one, &value)) {
            let known = field.one_of.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
            let message = format!("`{what}` is `{}`, but must be one of {known}", shown(&value.to_string()));
            self.context.findings.report(Finding::error(E_INVALID_VALUE, message).at(node.spot, ""));
        }
        Some(value)
    }

    /// Checks a number, or the length of a string or list.
    fn range(&mut self, node: &Node<'_>, field: &OwnField, what: &str) {
        let (measure, of) = match &node.tree {
            Tree::Integer(value) => (*value as f64, ""),
            Tree::Float(value) => (*value, ""),
            Tree::Text(text) => (text.chars().count() as f64, " characters"),
            Tree::List(items) => (items.len() as f64, " items"),
            Tree::Null | Tree::Boolean(_) | Tree::Date(_) | Tree::Table(_) => return,
        };
        let bound = match (field.min, field.max) {
            (Some(min), _) if measure < min => format!("at least {min}"),
            (_, Some(max)) if measure > max => format!("at most {max}"),
            _ => return,
        };
        let is = if of.is_empty() { "is" } else { "has" };
        let must = if of.is_empty() { "must be" } else { "must have" };
        let message = format!("`{what}` {is} {measure}{of}, but {must} {bound}");
        self.context.findings.report(Finding::error(E_INVALID_VALUE, message).at(node.spot, ""));
    }
}
