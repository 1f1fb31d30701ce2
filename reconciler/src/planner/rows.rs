//! The rows of what the manifests declare.
//!
//! Never here: what becomes of the fields of one resource (`diff.rs`), rows of what is not declared (`undeclared.rs`), and
//! putting the plan together (`planner.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_engine::{Entry, Revision};

use super::scope::Rows;
use super::sources::sources;
use super::standing::standing;
use super::{PlanInput, Planner, RingState, Write, blocking, damaged};
use crate::agents::references;
use crate::desired::{Declared, OnDrift, SecretOrigin};
use crate::diagnostic::Diagnostic;
use crate::diff::{self, NewTag};
use crate::error::{Problem, ProblemKind};
use crate::guard;
use crate::kept_places::KeptPlaces;
use crate::kind::Effect;
use crate::naming;
use crate::plan::{Action, Change, FieldChange, Reason};
use crate::record_changes;
use crate::resource::{Address, Declaration, Record, SourceName, keys};
use crate::secret::SecretValues;
use crate::vault::{self, record};

impl<'p> Planner<'p> {
    pub(super) fn declared_rows(&mut self) -> Result<(), Problem> {
        let desired = self.input.desired;
        let rows = self.scope.rows(&desired.resources, &self.kinds);
        let standing = standing(&self.input, &self.kinds, &rows);
        for (rows, stands) in rows.into_iter().zip(standing) {
            match rows {
                Rows::Look(declared) if self.wanted(declared.address.kind.as_str()) => {
                    self.declared_row(declared, stands)?;
                }
                Rows::Look(_) => {}
                Rows::Stand(all, range) => self.unchanged.extend_shared(all, range),
            }
        }
        Ok(())
    }

    fn declared_row(&mut self, declared: &'p Declared, stands: bool) -> Result<(), Problem> {
        let address = &declared.address;
        if let Some(from) = self.moves.clashes.get(address).cloned() {
            self.both_live(declared, &from);
            return Ok(());
        }
        let origin = self.moves.origin(address).cloned();
        if origin.is_none() && stands {
            self.stands(declared);
            return Ok(());
        }
        // A resource that moves is compared with what it was under its old address.
        let compared = origin.as_ref().unwrap_or(address);
        let live = self.live(compared)?;
        let kinds = Arc::clone(&self.kinds);
        let kind = kinds.get(address.kind.as_str()).ok_or_else(|| unknown_kind(address))?;
        self.hold(declared, kind, live.as_ref().map(|(record, _)| record.as_ref()))?;
        let (tags, takes) = (self.new_tags(declared, compared), self.takes(address));
        let before = self.before(compared)?;
        let deleted_live = before.is_some() && live.is_none() && self.input.options.rollback.is_none();
        if deleted_live && self.input.desired.on_drift == OnDrift::Keep {
            self.reads.insert(keys::live(self.input.org, address));
            self.stays_deleted(declared);
            return Ok(());
        }
        let others = self.others(declared, compared, live.as_ref().map(|(record, _)| record.as_ref()), &tags)?;
        let mut outcome = diff::diff(diff::Inputs {
            others: &others,
            kind,
            source: self.input.source.as_str(),
            on_drift: self.input.desired.on_drift,
            now: declared,
            before: before.as_deref(),
            live: live.as_ref().map(|(record, modified)| (record.as_ref(), *modified)),
            tags: &tags,
            takes: &takes,
        });
        self.taken.extend(outcome.taken.iter().map(|field| (address.clone(), field.clone())));
        self.reads.insert(keys::live(self.input.org, address));
        self.reads.insert(keys::live(self.input.org, compared));
        self.note(declared, &outcome);
        if !outcome.conflicts.is_empty() {
            self.blocked_row(declared, &tags, &outcome);
            return Ok(());
        }
        if !outcome.seals.is_empty() && outcome.record.expires_ms.is_some() {
            // When the old value was to expire says nothing about a new one.
            outcome.fields.extend(record_changes::expiry(outcome.record.expires_ms, None));
            outcome.record.to_mut().expires_ms = None;
        }
        if let Some(from) = &origin {
            self.under_new_address(declared, &mut outcome);
            if before.is_some() {
                self.writes.push(Write::Undeclared(from.clone()));
            }
        }
        let declares_anew = origin.is_some()
            || before.as_deref().is_none_or(|before| !self.declares(before, declared, &outcome.record));
        let fields = std::mem::take(&mut outcome.fields);
        if let Some((action, reason)) = shown(origin.as_ref(), live.is_none(), &fields, outcome.reason) {
            let reason = if deleted_live { self.made_again(declared) } else { reason };
            let row = self.change(address, kind.effect, action, reason);
            self.changes.push(Change { fields, at: declared.at.clone(), from: origin.clone(), ..row });
            if outcome.adopts && action == Action::Move {
                self.adopts.push(address.clone());
            }
        } else {
            self.unchanged.push(address.to_string());
            if outcome.adopts || declares_anew {
                self.adopts.push(address.clone());
            }
        }
        if declares_anew {
            self.writes.push(Write::Declared(address.clone(), self.declaration(declared, &outcome.record)));
        }
        let differs =
            matches!(outcome.record, Cow::Owned(_)) && live.as_ref().is_none_or(|(live, _)| **live != *outcome.record);
        if origin.is_some() || live.is_none() || differs || !outcome.seals.is_empty() {
            self.write(declared, outcome, origin);
        }
        Ok(())
    }

    /// A live resource and when it was modified.
    fn live(&self, address: &Address) -> Result<Option<(Arc<Record>, Revision)>, Problem> {
        let key = keys::live(self.input.org, address);
        let Some(entry) = self.input.snapshot.get(&key) else { return Ok(None) };
        Ok(Some((record(entry).map_err(|_| damaged(&key))?, entry.modified())))
    }

    /// A resource that moves to where another one lives.
    fn both_live(&mut self, declared: &Declared, from: &Address) {
        let address = &declared.address;
        let key = keys::live(self.input.org, address);
        let modified = self.input.snapshot.get(&key).map_or(Revision::ZERO, Entry::modified);
        self.blocked.push(blocking::both_live(declared, from, modified));
        self.behind(declared, &self.new_tags(declared, address));
        self.blocked_rows.insert(address.clone());
        self.reads.extend([key, keys::live(self.input.org, from)]);
    }

    /// Somebody deleted it live, and the project leaves what is set live.
    fn stays_deleted(&mut self, declared: &Declared) {
        let message = format!("`{}` stays deleted, as somebody left it live", declared.address);
        self.findings.tell(Diagnostic::note("N_DRIFT_KEPT", message), declared, "");
    }

    /// Somebody deleted it live, and an apply makes it again.
    fn made_again(&mut self, declared: &Declared) -> Reason {
        let address = &declared.address;
        let message = format!("`{address}` was deleted live since it was applied; an apply makes it again");
        let help = "if it is to stay away, take it out of the manifests";
        self.findings.tell(Diagnostic::note("N_DELETED_LIVE", message).help(help), declared, "");
        Reason::DriftRepair
    }

    /// A resource that is as it is declared.
    fn stands(&mut self, declared: &Declared) {
        self.unchanged.push(declared.address.to_string());
        self.reads.insert(keys::live(self.input.org, &declared.address));
        if let Some(notes) = &mut self.notes
            && !references::any(declared)
        {
            notes.settled.insert(declared.address.clone());
        }
    }

    /// A resource of which others set what is declared.
    fn blocked_row(&mut self, declared: &Declared, tags: &BTreeMap<String, NewTag>, outcome: &diff::Outcome<'_>) {
        let rollback = self.input.options.rollback;
        let origin = self.moves.origin(&declared.address);
        let blocked = |conflict| blocking::conflict(declared, conflict, blocking::Plan { rollback, origin });
        self.blocked.extend(outcome.conflicts.iter().map(blocked));
        self.behind(declared, tags);
        self.note_waiting(declared, outcome);
        self.blocked_rows.insert(declared.address.clone());
    }

    /// The write of the record that results.
    fn write(&mut self, declared: &Declared, outcome: diff::Outcome<'_>, origin: Option<Address>) {
        let address = declared.address.clone();
        let value = |path: &String| Some((path.clone(), declared.secrets.get(path)?.value.clone()?));
        let seal: SecretValues = outcome.seals.iter().filter_map(value).collect();
        let reseals = origin.is_some() && !outcome.record.tags.is_empty();
        if !seal.is_empty() || !outcome.missing.is_empty() || reseals {
            self.pending.insert(address.clone());
        }
        let (reseal, record) = (!outcome.seals.is_empty(), outcome.record.into_owned());
        self.writes.push(match origin {
            Some(from) => Write::Moved { from, to: address, record, seal },
            None => Write::Live { address, record, seal, reseal },
        });
    }

    /// A tag covers its address: those of a resource that moves are made when its values are sealed anew.
    fn under_new_address(&self, declared: &Declared, outcome: &mut diff::Outcome<'_>) {
        let tags = self.new_tags(declared, &declared.address);
        for field in outcome.fields.iter_mut().filter(|field| field.after_tag.is_some()) {
            field.after_tag = match tags.get(&field.path.to_string()) {
                Some(NewTag::Known(tag)) => Some(tag.clone()),
                Some(NewTag::NoKeyYet | NewTag::NotComparable) | None => None,
            };
        }
        if !outcome.record.tags.is_empty() {
            outcome.record.to_mut().tags.values_mut().for_each(String::clear);
        }
    }

    pub(super) fn change(&self, address: &Address, effect: Effect, action: Action, reason: Reason) -> Change {
        Change {
            address: address.clone(),
            org: self.input.org.clone(),
            kind: address.kind.clone(),
            name: address.name.clone(),
            action,
            reason,
            from: None,
            fields: Vec::new(),
            effect: effect.as_text().to_owned(),
            affects: Vec::new(),
            at: None,
        }
    }

    /// The tags of the known secret values, as they are under an address.
    fn new_tags(&self, declared: &Declared, address: &Address) -> BTreeMap<String, NewTag> {
        let known = declared.secrets.iter().filter_map(|(path, secret)| Some((path, secret.value.as_ref()?)));
        known
            .map(|(path, value)| {
                let tag = match self.input.ring {
                    RingState::AtHand(ring) => NewTag::Known(ring.tag(self.input.org, address, path, value)),
                    RingState::NotMade => NewTag::NoKeyYet,
                    RingState::Elsewhere => NewTag::NotComparable,
                };
                (path.clone(), tag)
            })
            .collect()
    }

    /// Findings that are about values: what is missing, what stays as it is sealed, what yields to somebody else.
    fn note(&mut self, declared: &Declared, outcome: &diff::Outcome<'_>) {
        let mut say = |found: Diagnostic, path: &str| self.findings.tell(found, declared, path);
        for path in &outcome.missing {
            let Some(secret) = declared.secrets.get(path) else { continue };
            let message = format!("`{}` has no value, and `{}` is sealed nowhere", secret.origin, declared.address);
            let help = format!("set `{}` and run again; an apply is refused until then", secret.origin);
            say(Diagnostic::warning("W_MISSING_VALUE", message).help(help), path);
            self.missing = true;
        }
        for path in &outcome.kept {
            let Some(secret) = declared.secrets.get(path).filter(|secret| secret.origin != SecretOrigin::Sealed) else {
                continue;
            };
            let message =
                format!("`{}` has no value here; `{}` stays as it is sealed", secret.origin, declared.address);
            say(Diagnostic::note("N_KEPT_VALUE", message), path);
        }
        for (field, owner) in &outcome.yielded {
            let message = format!("`{}` of `{}` stays as `{owner}` set it", field, declared.address);
            say(Diagnostic::note("N_DRIFT_KEPT", message), field);
        }
    }

    /// Covers what is declared for a blocked resource by the plan's id: it has no rows that would.
    fn behind(&mut self, declared: &Declared, tags: &BTreeMap<String, NewTag>) {
        let tags: Vec<(&str, Option<&str>)> =
            declared.secrets.keys().map(|path| (path.as_str(), known(tags.get(path)))).collect();
        let content = (&declared.address, &declared.fields, tags);
        self.behind.extend(serde_json::to_vec(&content).expect("what is declared is always JSON"));
    }

    /// Names the other fields of a blocked resource that would change.
    fn note_waiting(&mut self, declared: &Declared, outcome: &diff::Outcome<'_>) {
        let blocked = |field: &str| outcome.conflicts.iter().any(|conflict| conflict.path.top() == field);
        let mut waiting: Vec<&str> = outcome.fields.iter().map(|field| field.path.top()).collect();
        waiting.dedup();
        waiting.retain(|field| !blocked(field));
        let Some(first) = waiting.first() else { return };
        let names = naming::some(waiting.iter().map(|field| format!("`{field}`")), WAITING_MAX);
        let message = format!("also waiting behind the block of `{}`: {names}", declared.address);
        self.findings.tell(Diagnostic::note("N_WAITS_BEHIND", message), declared, first);
    }

    /// What other sources declare of a resource whose secrets get other values; what there is of it is a condition of the apply.
    fn others(
        &mut self,
        declared: &Declared,
        address: &Address,
        live: Option<&Record>,
        tags: &BTreeMap<String, NewTag>,
    ) -> Result<Vec<(SourceName, Declaration)>, Problem> {
        let PlanInput { snapshot, org, source, .. } = self.input;
        let of_live = |path: &String| live.and_then(|live| live.tags.get(path));
        let changes = |(path, tag): (&String, &NewTag)| match tag {
            NewTag::Known(tag) => of_live(path) != Some(tag),
            NewTag::NoKeyYet | NewTag::NotComparable => false,
        };
        let goes = || live.is_some_and(|live| live.tags.keys().any(|path| !declared.secrets.contains_key(path)));
        if !tags.iter().any(changes) && !goes() {
            return Ok(Vec::new());
        }
        let mut others = Vec::new();
        for other in sources(snapshot, org).into_iter().filter(|other| other != source) {
            let key = keys::desired(org, &other, address);
            if let Some(entry) = snapshot.get(&key) {
                let declaration = vault::declaration(entry).map_err(|_| damaged(&key))?;
                others.push((other, Declaration::clone(&declaration)));
            }
            self.reads.insert(key);
        }
        Ok(others)
    }

    fn protects(&self, declared: &Declared) -> bool {
        guard::protects(&self.input.desired.protect, &declared.address).is_some()
    }

    /// Whether what the source declared before is what it declares now.
    fn declares(&self, before: &Declaration, now: &Declared, record: &Record) -> bool {
        let Declaration { fields, tags, lifecycle, protect, at: _, places: _ } = before;
        let present = || now.fields.iter().filter(|(_, value)| !value.is_null());
        let tag = |path: &String| record.tags.get(path).map_or("", String::as_str);
        *lifecycle == now.lifecycle
            && *protect == self.protects(now)
            && fields.len() == present().count()
            && fields.iter().zip(present()).all(|(before, now)| before == now)
            && tags.len() == now.secrets.len()
            && tags.iter().zip(now.secrets.keys()).all(|((path, before), now)| path == now && before == tag(now))
    }

    /// What the store keeps of a declaration; the tags are those of the record that results.
    fn declaration(&self, declared: &Declared, record: &Record) -> Declaration {
        let tag = |path: &String| record.tags.get(path).cloned().unwrap_or_default();
        Declaration {
            fields: declared
                .fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            tags: declared.secrets.keys().map(|path| (path.clone(), tag(path))).collect(),
            lifecycle: declared.lifecycle.clone(),
            protect: self.protects(declared),
            at: declared.at.clone(),
            places: KeptPlaces::new(declared.at.as_ref(), &declared.field_at),
        }
    }
}

/// So many fields that wait behind a block are named.
const WAITING_MAX: usize = 10;

/// What the plan shows of a row, if it shows it.
fn shown(
    origin: Option<&Address>,
    is_new: bool,
    fields: &[FieldChange],
    reason: Option<Reason>,
) -> Option<(Action, Reason)> {
    match (origin, is_new) {
        (Some(_), _) => Some((Action::Move, Reason::Moved)),
        (None, true) => Some((Action::Create, Reason::NewInManifest)),
        (None, false) if fields.is_empty() => None,
        (None, false) => Some((Action::Update, reason.unwrap_or(Reason::ManifestChanged))),
    }
}

fn unknown_kind(address: &Address) -> Problem {
    let problem =
        Problem::new(ProblemKind::Invalid, "E_UNKNOWN_KIND", format!("cannot plan `{address}`: unknown kind"));
    problem.help(format!("declare the kind: `[kinds.{}]`", address.kind))
}

/// A tag that was computed.
fn known(tag: Option<&NewTag>) -> Option<&str> {
    match tag {
        Some(NewTag::Known(tag)) => Some(tag),
        Some(NewTag::NoKeyYet | NewTag::NotComparable) | None => None,
    }
}
