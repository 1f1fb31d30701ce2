//! Secrets in the diff of one resource: compared by tag, sealed where they are new, held by two sources if those agree.
//!
//! Never here: values in clear, other than to take one out of the fields that its kind calls a secret now.

use super::{Diff, Holder, NewTag, Obstacle, position};
use crate::desired::{OnDrift, SecretInput};
use crate::leaves::{change, parse_path, top_of};
use crate::plan::{FieldChange, Op, Reason};
use crate::resource::Declaration;
use crate::value::{FieldPath, Fields};

impl Diff<'_> {
    /// Two sources may hold one secret if they agree about its value.
    pub(super) fn co_owned(&self) -> bool {
        let live = self.live().map(|live| &live.tags);
        let agrees = |path: &String| match (self.inputs.tags.get(path), live.and_then(|tags| tags.get(path))) {
            (Some(NewTag::Known(tag)), Some(live)) => tag == live,
            (None, Some(_)) => true,
            (_, _) => false,
        };
        self.inputs.now.fields.is_empty()
            && !self.inputs.now.secrets.is_empty()
            && self.inputs.now.secrets.keys().all(agrees)
    }

    /// Another source that declares a secret with another value than it is to get.
    fn disagreeing(&self, path: &str, tag: Option<&str>) -> Option<String> {
        let disagrees = |declared: &Declaration| declared.tags.get(path).is_some_and(|of| Some(of.as_str()) != tag);
        let mut others = self.inputs.others.iter();
        others.find(|(_, declared)| disagrees(declared)).map(|(source, _)| source.to_string())
    }

    pub(super) fn secret(&mut self, path: &str, input: &SecretInput) {
        let live_tag = self.live().and_then(|live| live.tags.get(path)).cloned();
        let field = top_of(path).to_owned();
        let new = self.inputs.tags.get(path).cloned();
        match (&new, &live_tag) {
            (None, Some(_)) => {
                self.out.kept.insert(path.to_owned());
                return self.adopt_secret(&field);
            }
            (Some(NewTag::NotComparable), Some(_)) => return self.adopt_secret(&field),
            (Some(NewTag::Known(tag)), Some(live)) if tag == live => return self.adopt_secret(&field),
            (None, None) => {
                self.out.missing.insert(path.to_owned());
            }
            (Some(_), _) => {}
        }
        let declared_before = self.inputs.before.is_some_and(|before| before.tags.contains_key(path));
        let at = parse_path(path);
        if live_tag.is_some() && self.inputs.kind.field(&field).is_immutable_at(&at.steps()[1..]) {
            return self.immutable(at);
        }
        match self.holder(&field) {
            Holder::OtherSource(owner) => return self.conflict(at, owner, Obstacle::OtherSource),
            Holder::Actor(_) if self.takes(&field) => {
                self.out.taken.insert(field.clone());
                self.reason(Reason::Take);
            }
            Holder::Actor(owner) if declared_before => match self.inputs.on_drift {
                OnDrift::Block => return self.conflict(at, owner, Obstacle::Actor),
                OnDrift::Keep => return self.out.yielded.push((field, owner)),
                OnDrift::Revert => self.reason(Reason::DriftRepair),
            },
            Holder::Us | Holder::Nobody | Holder::Actor(_) => self.reason(Reason::ManifestChanged),
        }
        let after_tag = match new {
            Some(NewTag::Known(tag)) => Some(tag),
            Some(NewTag::NoKeyYet | NewTag::NotComparable) | None => None,
        };
        if let Some(other) = after_tag.as_deref().and_then(|tag| self.disagreeing(path, Some(tag))) {
            return self.conflict(at, other, Obstacle::OtherValue);
        }
        if input.value.is_some() {
            self.out.seals.insert(path.to_owned());
        }
        let owner = self.actor(&field);
        let was_clear = self.clear_value(&at);
        self.out.record.to_mut().tags.insert(path.to_owned(), after_tag.clone().unwrap_or_default());
        self.own(&field);
        self.out.fields.push(FieldChange {
            path: at.clone(),
            op: if live_tag.is_some() || was_clear { Op::Replace } else { Op::Add },
            before: None,
            after: None,
            sensitive: true,
            before_tag: live_tag,
            after_tag,
            owner,
            at: position(self.inputs.now, &at),
        });
    }

    /// Takes the value out of the fields that its kind did not call a secret before; says whether there was one.
    fn clear_value(&mut self, at: &FieldPath) -> bool {
        let in_clear = |fields: &Fields| at.get(fields).is_some_and(|value| !value.is_null());
        if !in_clear(&self.out.record.fields) {
            return false;
        }
        at.take(&mut self.out.record.to_mut().fields);
        true
    }

    fn adopt_secret(&mut self, field: &str) {
        let of_resource = self.holder_of(self.live().and_then(|live| live.owner.as_ref()));
        match self.holder(field) {
            Holder::Us | Holder::OtherSource(_) => {}
            // Who co-owns a secret leaves it with the source that it is of.
            Holder::Nobody | Holder::Actor(_) if matches!(of_resource, Holder::OtherSource(_)) => {}
            Holder::Nobody | Holder::Actor(_) => {
                self.out.adopts |= self.inputs.live.is_some();
                self.own(field);
            }
        }
    }

    /// Secrets that this source owns and declares no longer leave, unless another one declares them.
    pub(super) fn removed_secrets(&mut self) {
        let Some(live) = self.live() else { return };
        let gone: Vec<(String, String)> = live
            .tags
            .iter()
            .filter(|(path, _)| !self.inputs.now.secrets.contains_key(*path))
            .filter(|(path, _)| live.owners.get(top_of(path)).is_some_and(|owner| owner == self.inputs.source))
            .map(|(path, tag)| (path.clone(), tag.clone()))
            .collect();
        for (path, tag) in gone {
            if let Some(other) = self.disagreeing(&path, None) {
                self.conflict(parse_path(&path), other, Obstacle::OtherValue);
                continue;
            }
            self.out.record.to_mut().tags.remove(&path);
            self.out.seals.insert(path.clone());
            let removed = change(parse_path(&path), None, None);
            self.out.fields.push(FieldChange { op: Op::Remove, sensitive: true, before_tag: Some(tag), ..removed });
            self.reason(Reason::ManifestChanged);
        }
    }
}
