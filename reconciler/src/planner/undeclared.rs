//! The rows of what the manifests do not declare: what the source declared before, and what is of no source.
//!
//! Never here: rows of what is declared (`rows.rs`).

use std::sync::Arc;

use holdfast_engine::{Entry, Revision};

use super::scope::Scope;
use super::sources::sources;
use super::{PlanInput, Planner, Write, damaged, parts};
use crate::diagnostic::Diagnostic;
use crate::error::Problem;
use crate::guard::{self, Protection};
use crate::kind::Effect;
use crate::naming;
use crate::pasted::quoted;
use crate::plan::{Action, Change, Reason};
use crate::resource::{Address, Record, SourceName, keys};
use crate::secret::SecretValues;
use crate::vault::record;

impl Planner<'_> {
    /// Resources that the source declared before and does no longer.
    pub(super) fn removed_rows(&mut self) -> Result<(), Problem> {
        let mut gone = self.declared_no_longer()?;
        if let Some(notes) = &mut self.notes {
            notes.gone.clone_from(&gone);
        }
        gone.retain(|address| self.wanted(address.kind.as_str()) && !self.moves.leaves(address));
        for address in gone {
            self.writes.push(Write::Undeclared(address.clone()));
            let key = keys::live(self.input.org, &address);
            let live = self.input.snapshot.get(&key).and_then(|entry| Some((record(entry).ok()?, entry.modified())));
            self.reads.insert(key);
            let ours = |(live, _): &(Arc<Record>, Revision)| live.owner.as_deref() == Some(self.input.source.as_str());
            let Some((live, modified)) = live.filter(ours) else {
                if self.other_declarer(&address).is_some() {
                    // That this source has no say in it any more is worth a commit of its own.
                    self.adopts.push(address);
                }
                continue;
            };
            if let Some(heir) = self.other_declarer(&address) {
                self.hand_over(&address, &live, &heir);
                continue;
            }
            let before = self.before(&address)?;
            let kept = || before.as_ref().is_some_and(|before| before.lifecycle.prevent_delete);
            let pattern = guard::protects(&self.input.desired.protect, &address).map(Protection::Pattern);
            if let Some(protection) = pattern.or_else(|| kept().then_some(Protection::Lifecycle)) {
                self.blocked.push(guard::protected(&address, modified, protection));
                self.blocked_rows.insert(address);
                continue;
            }
            self.note_values_of_others(&address, &live);
            let effect = self.kinds.get(address.kind.as_str()).map_or(Effect::default(), |kind| kind.effect);
            let at = before.and_then(|before| before.at.clone());
            let change = self.change(&address, effect, Action::Delete, Reason::RemovedFromManifest);
            self.changes.push(Change { at, ..change });
            self.writes.push(Write::Gone(address));
        }
        Ok(())
    }

    /// Names the values of others that go with a resource.
    fn note_values_of_others(&mut self, address: &Address, live: &Record) {
        let theirs = live.owners.iter().filter(|(_, owner)| owner.as_str() != self.input.source.as_str());
        let theirs = naming::some(theirs.map(|(field, owner)| format!("`{field}` ({owner})")), NAMED_MAX);
        if theirs.is_empty() {
            return;
        }
        let message = format!("`{address}` goes with what others set of it: {theirs}");
        let help = format!("`reconcile explain {}` shows these values", quoted(&address.to_string()));
        self.findings.list.push(Diagnostic::warning("W_DELETES_OTHERS", message).help(help));
    }

    /// What the store has as declared by the source and the manifests do not declare, in order.
    fn declared_no_longer(&self) -> Result<Vec<Address>, Problem> {
        let PlanInput { snapshot, org, source, .. } = self.input;
        if let Scope::Part(part) = &self.scope {
            let is_gone = |address: &&Address| {
                let (kind, name) = parts(address);
                !self.scope.declares(kind, name) && snapshot.get(&keys::desired(org, source, address)).is_some()
            };
            return Ok(part.gone.iter().filter(is_gone).cloned().collect());
        }
        let prefix = keys::desired_prefix(org, source);
        let mut gone: Vec<Address> = Vec::new();
        for (key, _) in snapshot.prefix(&prefix) {
            let address = &key.as_str()[prefix.len()..];
            if !address.split_once('/').is_some_and(|(kind, name)| self.scope.declares(kind, name)) {
                gone.push(address.parse().map_err(|_| damaged(key.as_str()))?);
            }
        }
        gone.sort_unstable();
        Ok(gone)
    }

    /// Another source that declares the same resource, as two may do with a secret.
    fn other_declarer(&self, address: &Address) -> Option<SourceName> {
        let declares =
            |source: &SourceName| self.input.snapshot.get(&keys::desired(self.input.org, source, address)).is_some();
        sources(self.input.snapshot, self.input.org)
            .into_iter()
            .find(|source| source != self.input.source && declares(source))
    }

    fn hand_over(&mut self, address: &Address, live: &Record, heir: &SourceName) {
        let ours = |owner: &String| owner == self.input.source.as_str();
        let mut record = live.clone();
        record.owner = Some(heir.to_string());
        for owner in record.owners.values_mut().filter(|owner| ours(owner)) {
            *owner = heir.to_string();
        }
        self.writes.push(Write::Live { address: address.clone(), record, seal: SecretValues::new(), reseal: false });
        self.adopts.push(address.clone());
    }

    /// Live resources of no source.
    pub(super) fn unmanaged_rows(&mut self) {
        let mut unmanaged = self.of_no_source();
        if let Some(notes) = &mut self.notes {
            notes.unmanaged.clone_from(&unmanaged);
        }
        unmanaged.retain(|address| self.wanted(address.kind.as_str()) && !self.moves.leaves(address));
        let kinds = &self.kinds;
        unmanaged.sort_by_cached_key(|address| (kinds.order(address.kind.as_str()), address.clone()));
        self.unmanaged = unmanaged;
    }

    /// What is live, not declared here and of no source.
    fn of_no_source(&self) -> Vec<Address> {
        let PlanInput { snapshot, org, .. } = self.input;
        let is_managed = |entry: &Entry| {
            record(entry).is_ok_and(|record| record.owner.as_ref().is_some_and(|owner| !owner.contains(':')))
        };
        if let Scope::Part(part) = &self.scope {
            let is_unmanaged = |address: &&Address| {
                let (kind, name) = parts(address);
                !self.scope.declares(kind, name)
                    && snapshot.get(&keys::live(org, address)).is_some_and(|entry| !is_managed(entry))
            };
            return part.unmanaged.iter().filter(is_unmanaged).cloned().collect();
        }
        let prefix = keys::live_prefix(org);
        let live = snapshot.prefix(&prefix).map(|(key, entry)| (&key.as_str()[prefix.len()..], entry));
        let not_declared = live.filter(|(address, _)| {
            address.split_once('/').is_some_and(|(kind, name)| !self.scope.declares(kind, name))
        });
        not_declared.filter(|(_, entry)| !is_managed(entry)).filter_map(|(address, _)| address.parse().ok()).collect()
    }
}

/// So many values of others that go with a resource are named.
const NAMED_MAX: usize = 10;
