//! The credential chain: for one installed provider, which credential counts, and why the others do not.
//!
//! This is the only code that decides whether a provider has a credential. Sessions, plans, `explain` and the worker's view
//! all ask it. Never here: which provider is chosen (`resolver.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use holdfast_engine::{Snapshot, Timestamp};

use super::catalogue::Provider;
use super::context::CredentialSource;
use super::evidence::{Evidence, Outcome, Step};
use super::kinds::{self, SECRET_VALUE};
use crate::resource::{Address, OrgId, keys};
use crate::vault::{Vault, record};

/// The environment of the host, as far as the caller knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SystemEnvironment {
    /// The caller is not the process that sessions run in. Nothing is known, so nothing counts.
    #[default]
    NotKnown,
    /// The variables of the process that sessions run in.
    Known(BTreeMap<String, String>),
}

/// Everything that a resolution reads. Nothing else may decide it.
#[derive(Clone, Copy)]
pub struct World<'w> {
    /// The state.
    pub snapshot: &'w Snapshot,
    /// The organisation.
    pub org: &'w OrgId,
    /// What opens sealed values.
    pub vault: &'w dyn Vault,
    /// The environment of the host.
    pub system: &'w SystemEnvironment,
    /// The time that expiry is compared with.
    pub now: Timestamp,
}

/// A provider as one agent has it installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed<'s> {
    /// The id under which it is installed.
    pub(super) id: &'s str,
    /// The name of a `secret_ref`.
    pub(super) secret_ref: Option<&'s str>,
    /// What the catalogue says of it.
    pub(super) provider: Cow<'static, Provider>,
    /// Whether it is in the catalogue; the variable of one that is not is a guess that must not count.
    pub(super) known: bool,
}

impl Installed<'_> {
    /// The names under which its credentials are looked up: the installed id, then the other names of its row.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id).chain(self.provider.names().filter(|name| *name != self.id))
    }

    /// Whether a prefix of a model reference means this provider.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

/// Where the value of a credential is, for whoever uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the organisation's secret of this name.
    Secret(String),
    /// In this variable of the host.
    Variable(String),
}

/// The credential that counts for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The tier that has it.
    pub(super) source: CredentialSource,
    /// Where its value is.
    pub(super) place: Place,
}

/// Collects what a resolution looked at.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) evidence: Vec<Evidence>,
    pub(super) reads: Vec<String>,
    /// Where the credential of each installed provider is that has one.
    pub(super) places: BTreeMap<String, Place>,
}

impl Trace {
    pub(super) fn note(
        &mut self,
        step: Step,
        provider: Option<&str>,
        looked_for: impl Into<String>,
        outcome: Outcome,
        detail: Option<String>,
    ) {
        let provider = provider.map(str::to_owned);
        self.evidence.push(Evidence { step, provider, looked_for: looked_for.into(), outcome, detail });
    }
}

/// Finds the credential of one installed provider: the first tier that has a usable one decides.
pub(super) fn credential(world: World<'_>, installed: &Installed<'_>, trace: &mut Trace) -> Option<CredentialSource> {
    let Held { source, place } = held(world, installed, trace)?;
    trace.places.insert(installed.id.to_owned(), place);
    Some(source)
}

fn held(world: World<'_>, installed: &Installed<'_>, trace: &mut Trace) -> Option<Held> {
    for id in installed.names() {
        let name = kinds::provider_secret(id);
        let found = org_secret(world, &name, trace);
        if note_tier(trace, Step::OrgSecret, installed.id, name.clone(), found) {
            return Some(Held { source: CredentialSource::OrgSecret, place: Place::Secret(name) });
        }
    }
    if let Some(name) = installed.secret_ref {
        let (found, place) = referenced(world, name, trace);
        if note_tier(trace, Step::Reference, installed.id, format!("${name}"), found) {
            return Some(Held { source: CredentialSource::Reference, place });
        }
    }
    let variable = installed.provider.env.to_string();
    let found = match installed.known {
        true => system_variable(world.system, &variable),
        false => (Outcome::Absent, Some("the provider is not in the catalogue".to_owned())),
    };
    let held = Held { source: CredentialSource::System, place: Place::Variable(variable.clone()) };
    note_tier(trace, Step::System, installed.id, variable, found).then_some(held)
}

/// A late reference: the org secret of its name if there is one, usable or not, else the variable of its name.
fn referenced(world: World<'_>, name: &str, trace: &mut Trace) -> (Found, Place) {
    let secret = org_secret(world, name, trace);
    if secret.0 != Outcome::Absent {
        return (secret, Place::Secret(name.to_owned()));
    }
    let found = match system_variable(world.system, name) {
        (Outcome::Absent, _) => (Outcome::Unresolved, Some("no org secret and no variable has the name".to_owned())),
        found => found,
    };
    (found, Place::Variable(name.to_owned()))
}

type Found = (Outcome, Option<String>);

fn note_tier(trace: &mut Trace, step: Step, provider: &str, looked_for: String, (outcome, detail): Found) -> bool {
    trace.note(step, Some(provider), looked_for, outcome, detail);
    outcome == Outcome::Found
}

fn org_secret(world: World<'_>, name: &str, trace: &mut Trace) -> Found {
    let Ok(address) = format!("{}/{name}", kinds::SECRET).parse::<Address>() else {
        return (Outcome::Absent, Some("no secret can have this name".to_owned()));
    };
    let key = keys::live(world.org, &address);
    let entry = world.snapshot.get(&key);
    let found = match entry.map(|entry| (entry, record(entry))) {
        None => (Outcome::Absent, None),
        Some((_, Err(_))) => (Outcome::Undecryptable, Some("its record is damaged".to_owned())),
        Some((_, Ok(record))) if !record.tags.contains_key(SECRET_VALUE) => (Outcome::Absent, None),
        Some((_, Ok(record))) if record.expires_ms.is_some_and(|expires| expires <= world.now.as_millis()) => {
            (Outcome::Expired, None)
        }
        Some((entry, Ok(_))) => match world.vault.check(world.org, &address, entry) {
            Ok(()) => (Outcome::Found, None),
            Err(why) => (Outcome::Undecryptable, Some(why.to_string())),
        },
    };
    trace.reads.push(key);
    found
}

fn system_variable(system: &SystemEnvironment, name: &str) -> Found {
    match system {
        SystemEnvironment::NotKnown => (Outcome::Unknown, None),
        SystemEnvironment::Known(variables) => match variables.get(name) {
            Some(value) if !value.is_empty() => (Outcome::Found, None),
            Some(_) => (Outcome::Absent, Some("it is empty".to_owned())),
            None => (Outcome::Absent, None),
        },
    }
}
