//! Guards of a manifest that guard nothing: a pattern of `protect` that no resource can have, a field in `lifecycle.ignore` that
//! its resource does not have.
//!
//! Both are warnings: a kind may be known to the store alone, and a project that was valid stays so. A name that no manifest
//! declares is right in `protect`, for what was declared is what it guards. Never here: what a guard does; plans know.

use std::collections::BTreeMap;

use super::context::Context;
use super::findings::{Finding, W_IGNORE_NOTHING, W_PROTECT_NOTHING};
use super::node::Node;
use super::source::{Spot, shown};
use crate::agents::fields;
use crate::agents::kinds::kinds;
use crate::resource::KindName;
use crate::suggest::nearest;

/// Warns of them, once everything is declared.
pub(crate) fn check(context: &mut Context<'_>, main: &Node<'_>) {
    let protect = main.get("project").and_then(|project| project.get("protect"));
    if let Some(protect) = protect {
        let built_in = kinds();
        let own = context.own_kinds.keys().map(KindName::as_str);
        let known: Vec<&str> = built_in.in_order().into_iter().map(|kind| &*kind.name).chain(own).collect();
        let formed = protect.texts().filter(|(_, spot)| !context.findings.has_error_at(*spot));
        let findings = formed.filter_map(|(pattern, spot)| protects_nothing(pattern, spot, &known));
        for finding in findings.collect::<Vec<_>>() {
            context.findings.report(finding);
        }
    }
    ignored(context);
}

/// What is wrong with a pattern that has the form of one; the rest is the grammar's to say.
fn protects_nothing(pattern: &str, spot: Spot, known: &[&str]) -> Option<Finding> {
    let finding = |why: String, help: String| {
        let message = format!("`{}` in `protect` protects nothing: {why}", shown(pattern));
        Some(Finding::warning(W_PROTECT_NOTHING, message).at(spot, "").help(help))
    };
    let (kind, name) = pattern.split_once('/')?;
    if !known.contains(&kind) {
        let help = match nearest(kind, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}/{}`?", shown(name)),
            None => format!("known kinds: {}", known.join(", ")),
        };
        return finding(format!("there is no kind `{}` here", shown(kind)), help);
    }
    match name.strip_suffix('*').unwrap_or(name).contains('*') {
        true => finding("a `*` stands for any rest at its end only".to_owned(), "name the resources".to_owned()),
        false => None,
    }
}

/// A table may declare resources of several kinds, as an agent's does: a field of one of them is enough.
fn ignored(context: &mut Context<'_>) {
    let mut named: BTreeMap<(Spot, &str), Vec<&KindName>> = BTreeMap::new();
    for (kind, field, spot) in context.drafts.ignored() {
        named.entry((spot, field)).or_default().push(kind);
    }
    let mut nothing = Vec::new();
    for ((spot, field), kinds) in named {
        let Some(known) = kinds.iter().map(|kind| fields_of(context, kind)).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let known = known.concat();
        if known.contains(&field) {
            continue;
        }
        let kinds = kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or ");
        let message = format!("`{}` in `ignore` leaves nothing out: there is no such field of {kinds}", shown(field));
        let top = field.split(['.', '[']).next().filter(|top| known.contains(top));
        let help = match top.or_else(|| nearest(field, known.iter().copied())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its fields are {}", known.join(", ")),
        };
        nothing.push(Finding::warning(W_IGNORE_NOTHING, message).at(spot, "").help(help));
    }
    for finding in nothing {
        context.findings.report(finding);
    }
}

/// The names of a kind's fields, if they are known here.
fn fields_of<'k>(context: &'k Context<'_>, kind: &KindName) -> Option<Vec<&'k str>> {
    match context.own_kinds.get(kind) {
        Some((own, _)) => Some(own.fields.keys().map(String::as_str).collect()),
        None => fields::names(kind.as_str()).map(Iterator::collect),
    }
}
