//! Kinds of the project's own: `[kinds.<name>]` read into types.
//!
//! Never here: resources of these kinds (`own_resources.rs`).

use std::collections::BTreeMap;

use super::context::Context;
use super::findings::{E_DUPLICATE, E_INVALID_NAME, E_INVALID_VALUE, E_UNKNOWN_KEY, Finding};
use super::node::{Node, Tree};
use super::source::{Spot, shown};
use crate::agents::kinds::kinds;
use crate::kind::Effect;
use crate::own_kind::{OwnField, OwnKind, OwnType};
use crate::resource::KindName;
use crate::suggest::nearest;

/// Reads the kinds of one file.
pub(crate) fn declare(context: &mut Context<'_>, list: &Node<'_>) {
    for (key, node) in list.entries() {
        let Ok(name) = KindName::new(&key.text) else { continue };
        if kinds().get(name.as_str()).is_some() {
            let message = format!("`{name}` is a built-in kind");
            let help = "give your kind another name";
            context.findings.report(Finding::error(E_INVALID_NAME, message).at(key.spot, "").help(help));
            continue;
        }
        if let Some((_, first)) = context.own_kinds.get(&name) {
            let finding = Finding::error(E_DUPLICATE, format!("the kind `{name}` is declared twice"));
            context.findings.report(finding.at(key.spot, "declared again here").at(*first, "declared here first"));
            continue;
        }
        let mut fields: BTreeMap<String, OwnField> = BTreeMap::new();
        for (name, field) in node.get("fields").map(Node::entries).unwrap_or_default() {
            fields.insert(name.text.to_string(), read(context, field, Lies::InTables));
        }
        marked(context, node, "immutable", &mut fields, |field| field.immutable = true);
        marked(context, node, "sensitive", &mut fields, |field| field.sensitive = true);
        for (field, key) in node.get("list_keys").map(Node::entries).unwrap_or_default() {
            match (fields.get_mut(field.text.as_ref()), key.text()) {
                (Some(known), Some(key)) => known.list_key = Some(key.to_owned()),
                (None, _) => unknown(context, &field.text, field.spot, &fields),
                (Some(_), None) => {}
            }
        }
        let effect = match node.text_of("effect") {
            Some("immediate") => Effect::Immediate,
            Some("restart") => Effect::Restart,
            Some("none") => Effect::None,
            Some(_) | None => Effect::NextSession,
        };
        context.own_kinds.insert(name.clone(), (OwnKind { name, fields, effect }, key.spot));
    }
}

fn marked(
    context: &mut Context<'_>,
    node: &Node<'_>,
    key: &str,
    fields: &mut BTreeMap<String, OwnField>,
    mark: impl Fn(&mut OwnField),
) {
    for (name, spot) in node.get(key).into_iter().flat_map(Node::texts) {
        match fields.get_mut(name) {
            Some(field) => mark(field),
            None => unknown(context, name, spot, fields),
        }
    }
}

fn unknown(context: &mut Context<'_>, name: &str, spot: Spot, fields: &BTreeMap<String, OwnField>) {
    let finding = Finding::error(E_UNKNOWN_KEY, format!("the kind has no field `{}`", shown(name))).at(spot, "");
    context.findings.report(match nearest(name, fields.keys().map(String::as_str)) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding,
    });
}

/// Where a field lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// In the resource, or in tables only.
    InTables,
    /// In an item of a list, at any depth.
    InAList,
}

fn read(context: &mut Context<'_>, node: &Node<'_>, lies: Lies) -> OwnField {
    let flag = |key| node.get(key).and_then(Node::boolean).unwrap_or(false);
    let number = |key| match node.get(key).map(|node| &node.tree) {
        Some(Tree::Integer(value)) => Some(*value as f64),
        Some(Tree::Float(value)) => Some(*value),
        _ => None,
    };
    let mut fields = BTreeMap::new();
    for (name, field) in node.get("fields").map(Node::entries).unwrap_or_default() {
        fields.insert(name.text.to_string(), read(context, field, lies));
    }
    let field = OwnField {
        value: node.text_of("type").and_then(OwnType::from_text).unwrap_or_default(),
        required: flag("required"),
        sensitive: flag("sensitive"),
        immutable: flag("immutable"),
        list_key: node.text_of("key").map(str::to_owned),
        min: number("min"),
        max: number("max"),
        one_of: node.get("enum").map(|list| list.items().iter().map(Node::to_value).collect()).unwrap_or_default(),
        items: node.get("items").map(|items| Box::new(read(context, items, Lies::InAList))),
        fields,
    };
    if field.sensitive && field.value != OwnType::String {
        let message = "only a string can be sensitive";
        context.findings.report(Finding::error(E_INVALID_VALUE, message).at(node.spot, ""));
    }
    if field.sensitive && lies == Lies::InAList {
        let message = "a field inside of a list cannot be sensitive";
        let help = "items of a list are told apart by their place, a sealed value by its name: use a table with a member for each";
        context.findings.report(Finding::error(E_INVALID_VALUE, message).at(node.spot, "").help(help));
    }
    if let (Some(min), Some(max)) = (field.min, field.max)
        && min > max
    {
        let message = format!("`min` is {min} and `max` is {max}: nothing lies between them");
        context.findings.report(Finding::error(E_INVALID_VALUE, message).at(node.spot, ""));
    }
    field
}
