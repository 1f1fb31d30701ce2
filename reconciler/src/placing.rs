//! The places in a plan: where the manifests declare what its rows and findings are about.
//!
//! Nothing that a plan decides depends on a place, and the places of a large project are more than all that it declares. So whoever
//! asks for a plan elsewhere may keep them back and put them into the answer. Never here: what the rows and findings say.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::agents::kinds;
use crate::desired::{Declared, Desired};
use crate::diagnostic::{Diagnostic, Label, Position};
use crate::diff;
use crate::guard;
use crate::leaves::parse_path;
use crate::plan::{Action, Change, Plan};
use crate::resource::Address;

/// A finding of a plan about a declaration that came without its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unplaced {
    /// The position of the finding among the plan's.
    pub diagnostic: usize,
    /// The resource that it is about.
    pub address: Address,
    /// The text form of the path that it is about.
    pub path: String,
}

impl Plan {
    /// Puts in the places that a request for this plan was made without. A plan that has its places stays as it is, and what has none in
    /// `desired` either is left to whoever made that without places.
    pub fn place(&mut self, desired: &Desired) {
        // A rollback is about the manifests of then.
        if self.rollback.is_some() {
            return;
        }
        let declared = |address: &Address| -> Option<&Arc<Declared>> {
            let at = desired.resources.binary_search_by(|declared| declared.address.cmp(address)).ok()?;
            Some(&desired.resources[at])
        };
        for change in &mut self.changes {
            // What is deleted stands in no manifest; its place is that of its last declaration, which the store keeps.
            let Some(declared) = declared(&change.address).filter(|_| change.action != Action::Delete) else {
                continue;
            };
            change.at = change.at.take().or_else(|| declared.at.clone());
            for field in &mut change.fields {
                field.at = field.at.take().or_else(|| diff::position_of(declared, field));
            }
        }
        for blocked in &mut self.blocked {
            let declared = |text: &str| declared(&text.parse().ok()?);
            blocked.at = blocked.at.take().or_else(|| match (&blocked.path, declared(&blocked.address)) {
                _ if blocked.code == guard::BREAKS => of_agent(&self.changes, &blocked.address),
                (Some(path), Some(declared)) => diff::position(declared, path),
                (None, Some(declared)) => declared.at.clone(),
                (_, None) => None,
            });
        }
        self.unplaced.retain(|Unplaced { diagnostic, address, path }| {
            let at = declared(address).and_then(|declared| place_of(declared, path));
            let (Some(at), Some(found)) = (at, self.diagnostics.get_mut(*diagnostic)) else { return true };
            *found = found.clone().label(bare_label(at));
            false
        });
    }
}

/// Where the change of an agent, or of its settings, is declared.
pub(crate) fn of_agent(changes: &[Change], agent: &str) -> Option<Position> {
    let name = agent.split_once('/')?.1;
    let own = |change: &&Change| {
        let kind = change.kind.as_str();
        change.action != Action::Delete
            && (kind == kinds::SETTINGS || kind == kinds::AGENT)
            && change.name.as_str() == name
    };
    let change = changes.iter().filter(own).max_by_key(|change| change.kind.as_str() == kinds::SETTINGS)?;
    change.fields.iter().find_map(|field| field.at.clone()).or_else(|| change.at.clone())
}

/// The findings of a planner, each with its place or with what it is about.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) list: Vec<Diagnostic>,
    pub(crate) unplaced: Vec<Unplaced>,
}

impl Findings {
    /// Begins with what the manifests are told of already.
    pub(crate) fn after(list: Vec<Diagnostic>) -> Self {
        Self { list, unplaced: Vec::new() }
    }

    /// Adds a finding about a part of a declaration.
    pub(crate) fn tell(&mut self, found: Diagnostic, declared: &Declared, path: &str) {
        let at = place_of(declared, path);
        self.list.push(match at {
            Some(at) => found.label(bare_label(at)),
            None => {
                let (diagnostic, address) = (self.list.len(), declared.address.clone());
                self.unplaced.push(Unplaced { diagnostic, address, path: path.to_owned() });
                found
            }
        });
    }
}

/// The nearest declared place of a path in its text form.
fn place_of(declared: &Declared, path: &str) -> Option<Position> {
    declared.field_at.get(path).or_else(|| diff::position(declared, &parse_path(path)))
}

/// A place without the line that stands there, which may hold a secret.
fn bare_label(at: Position) -> Label {
    Label { at, length: 1, source_line: String::new(), text: String::new(), primary: true }
}
