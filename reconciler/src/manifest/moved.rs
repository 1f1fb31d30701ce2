//! `[[moved]]` held against what is declared: every entry leads, in one step or along others, to a declared resource.
//!
//! Never here: what is live, and so whether an entry still has anything to do (`moves.rs` of the reconciler).

use std::collections::BTreeMap;

use super::context::Context;
use super::findings::{E_DUPLICATE, E_INVALID_VALUE, Finding};
use super::source::Spot;
use crate::desired::Moved;
use crate::resource::Address;

/// Checks the moves and gives them their positions.
pub(crate) fn settle(context: &mut Context<'_>, moved: Vec<(Moved, Spot)>) -> Vec<Moved> {
    let mut next: BTreeMap<&Address, (&Address, Spot)> = BTreeMap::new();
    let mut reached: BTreeMap<&Address, (&Address, Spot)> = BTreeMap::new();
    for (Moved { from, to, .. }, spot) in &moved {
        let twice = |message: String, first: Spot, text: &str| {
            Finding::error(E_DUPLICATE, message).at(*spot, "").at(first, text)
        };
        if let Some((_, first)) = next.get(from) {
            context.findings.report(twice(format!("`{from}` is moved twice"), *first, "moved here first"));
            continue;
        }
        if let Some((other, first)) = reached.get(to) {
            let message = format!("both `{other}` and `{from}` are moved to `{to}`");
            let finding = twice(message, *first, "the other one");
            context.findings.report(finding.help("only one of them can become it; delete the other one"));
            continue;
        }
        next.insert(from, (to, *spot));
        reached.insert(to, (from, *spot));
    }
    for (Moved { from, to, .. }, spot) in &moved {
        one(context, &next, from, to, *spot);
    }
    let at = |spot| Some(context.files.position(spot));
    moved.iter().map(|(one, spot)| Moved { at: at(*spot), ..one.clone() }).collect()
}

fn one(
    context: &mut Context<'_>,
    next: &BTreeMap<&Address, (&Address, Spot)>,
    from: &Address,
    to: &Address,
    spot: Spot,
) {
    let error = |message: String| Finding::error(E_INVALID_VALUE, message).at(spot, "");
    if from.kind != to.kind {
        let message = format!("`{from}` cannot become `{to}`: a move keeps the kind");
        return context.findings.report(error(message));
    }
    if let Some(place) = context.drafts.place_of(from) {
        let finding = error(format!("`{from}` was moved to `{to}`, but is still declared")).at(place, "declared here");
        return context.findings.report(finding.help("remove the declaration, or the move"));
    }
    // The places of the entries that follow, up to the end of the chain.
    let (mut end, mut places) = (to, Vec::new());
    while let Some((further, place)) = next.get(end) {
        if places.len() == next.len() || end == from {
            // Every entry of a circle leads into it: it is told once, at its first address.
            let circle = std::iter::successors(Some(end), |at| next.get(at).map(|(to, _)| *to)).take(next.len());
            if circle.min() == Some(from) {
                let finding = error(format!("the moves of `{from}` lead in a circle"));
                let finding = places.iter().fold(finding, |finding, place| finding.at(*place, "and on from here"));
                context.findings.report(finding.help("take one of the entries out"));
            }
            return;
        }
        places.push(*place);
        end = further;
    }
    if context.drafts.place_of(end).is_none() {
        let message = format!("`{from}` was moved to `{end}`, which is declared nowhere");
        let finding = places.iter().fold(error(message), |finding, place| finding.at(*place, "by way of this entry"));
        context.findings.report(finding.help("declare it, or remove the move"));
    }
}
