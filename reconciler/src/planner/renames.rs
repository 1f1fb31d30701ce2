//! Resources that look renamed: one goes, and one of its kind with the same content comes. Nobody guesses; a note says how to tell.
//!
//! Never here: moves that a manifest does tell (`moves.rs`).

use std::collections::BTreeMap;

use super::{PlanInput, Planner};
use crate::agents::kinds;
use crate::diagnostic::Diagnostic;
use crate::manifest::spelled;
use crate::plan::{Action, Change};
use crate::resource::{Address, ResourceName, keys};
use crate::value::{Fields, is_absent};
use crate::vault::record;

/// What is called by another name has another one.
const NAME: &str = "name";

impl Planner<'_> {
    /// Notes each pair that can only be meant as one: nothing else that comes or goes has that content.
    pub(super) fn note_renames(&mut self) {
        let is_one = |change: &&Change, action: Action| {
            change.action == action && self.kinds.get(change.kind.as_str()).is_some_and(|kind| !kind.dependent)
        };
        let of = |action: Action| self.changes.iter().filter(move |change| is_one(change, action));
        let rolls_back = self.input.options.rollback.is_some();
        if rolls_back || of(Action::Delete).next().is_none() || of(Action::Create).next().is_none() {
            return;
        }
        let mut alike: BTreeMap<(&str, String), [Vec<&Change>; 2]> = BTreeMap::new();
        for (side, action) in [Action::Delete, Action::Create].into_iter().enumerate() {
            for change in of(action) {
                let Some(content) = self.content(change) else { continue };
                alike.entry((change.kind.as_str(), content)).or_default()[side].push(change);
            }
        }
        let notes: Vec<(Diagnostic, Address)> = alike
            .into_values()
            .filter_map(|[gone, come]| match (gone.as_slice(), come.as_slice()) {
                ([from], [to]) => Some((note(from, to), to.address.clone())),
                (_, _) => None,
            })
            .collect();
        for (note, to) in notes {
            let resources = &self.input.desired.resources;
            match resources.binary_search_by(|declared| declared.address.cmp(&to)) {
                Ok(at) => self.findings.tell(note, &resources[at], ""),
                Err(_) => self.findings.list.push(note),
            }
        }
    }

    /// What a resource says beside its name; of an agent with its settings. None if that is nothing.
    fn content(&self, change: &Change) -> Option<String> {
        let mut parts = vec![self.fields(&change.address, change)];
        if change.kind.as_str() == kinds::AGENT {
            let settings = Address::new(kinds::settings_kind(), ResourceName::new(change.name.as_str()).ok()?);
            let of_settings = self.changes.iter().find(|other| other.address == settings);
            parts.push(of_settings.map(|other| self.fields(&settings, other)).unwrap_or_default());
        }
        parts[0].remove(NAME);
        let says_something = parts.iter().any(|fields| !fields.is_empty());
        says_something.then(|| serde_json::to_string(&parts).ok()).flatten()
    }

    /// The fields that go or come, without secrets.
    fn fields(&self, address: &Address, change: &Change) -> Fields {
        let PlanInput { snapshot, org, .. } = self.input;
        if change.action == Action::Delete {
            let live = snapshot.get(&keys::live(org, address)).and_then(|entry| record(entry).ok());
            return live.map(|live| live.fields.clone()).unwrap_or_default();
        }
        let clear = change.fields.iter().filter(|field| !field.sensitive);
        let fields = clear.filter_map(|field| Some((field.path.top().to_owned(), field.after.clone()?)));
        fields.filter(|(_, value)| !is_absent(value)).collect()
    }
}

fn note(from: &Change, to: &Change) -> Diagnostic {
    let (from, to) = (&from.address, &to.address);
    let message = format!("`{from}` goes and `{to}` comes with the same content: it looks like a rename");
    let help = format!(
        "to keep its owners, secrets and live values, add `[[moved]]` with `from = {}` and `to = {}`",
        spelled::text(&from.to_string()),
        spelled::text(&to.to_string())
    );
    Diagnostic::note("N_RENAME", message).help(help)
}
