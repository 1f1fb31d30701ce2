//! The credential chain: for one installed provider, which credential counts, and why the others do not.
//!
//! This is the only code that decides whether a provider has a credential. Sessions, plans, `explain` and the worker's view
//! all ask it. Never here: which provider is chosen (`resolver.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use holdfast_engine::{Entry, Snapshot, Timestamp};

use super::catalogue::Provider;
use super::context::CredentialSource;
use super::evidence::{Evidence, Outcome, Step};
use super::kinds::{self, SECRET_VALUE};
use super::profile::{self, EphemeralProfile, Profile, ProfileSet, ProfileType};
use crate::resource::{Address, OrgId, ResourceName, keys};
use crate::secret::OpenError;
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
    /// The reference that a session on it would have; profiles may be made for one model only.
    pub(super) reference: Option<String>,
}

impl Installed<'_> {
    /// The names under which its credentials are looked up: the installed id, then the other names of its row.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id).chain(self.provider.names().filter(|name| *name != self.id))
    }

    /// A reference without the provider's own prefix.
    pub(super) fn own<'r>(&self, reference: &'r str) -> &'r str {
        match reference.split_once('/') {
            Some((prefix, rest)) if self.is_named(prefix) => rest,
            Some(_) | None => reference,
        }
    }

    /// Whether a prefix of a model reference means this provider.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }
}

/// Where the value of a credential is, for whoever uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the profiles at this address, in the one with this scope.
    Profile(Address, String),
    /// In the profile at this position of those that the request passed in.
    Ephemeral(usize),
    /// In the organisation's secret of this name.
    Secret(String),
    /// In this variable of the host.
    Variable(String),
}

/// For whom a credential is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    /// The user whose session it is.
    pub(super) user: Option<&'a str>,
    /// The user who owns the agent.
    pub(super) owner: Option<&'a str>,
    /// The profiles that the host passed in.
    pub(super) ephemeral: &'a [EphemeralProfile],
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
pub(super) fn credential(
    world: World<'_>,
    asker: Asker<'_>,
    installed: &Installed<'_>,
    trace: &mut Trace,
) -> Option<Held> {
    if let Some(user) = asker.user
        && let Some(place) = stored_profile(world, Step::Profile, user, installed, trace)
    {
        return Some(Held { source: CredentialSource::Profile, place });
    }
    if let Some(owner) = asker.owner
        && let Some(place) = stored_profile(world, Step::OwnerProfile, owner, installed, trace)
    {
        return Some(Held { source: CredentialSource::OwnerProfile, place });
    }
    if let Some(place) = ephemeral_profile(world, asker.ephemeral, installed, trace) {
        return Some(Held { source: CredentialSource::Profile, place });
    }
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

/// The best usable profile of one user for a provider, under any of its names. An owner shares keys only: tokens of a grant
/// speak for the person.
fn stored_profile(
    world: World<'_>,
    step: Step,
    user: &str,
    installed: &Installed<'_>,
    trace: &mut Trace,
) -> Option<Place> {
    let mut usable: Vec<(String, Place)> = Vec::new();
    let mut any = false;
    for name in installed.names() {
        let Ok(address) = profile::address(user, name) else { continue };
        let key = profile::key(world.org, &address);
        let entry = world.snapshot.get(&key);
        trace.reads.push(key);
        let Some(entry) = entry else { continue };
        any = true;
        let Ok(set) = ProfileSet::of(entry) else {
            let detail = Some("its record is damaged".to_owned());
            trace.note(step, Some(installed.id), address.to_string(), Outcome::Undecryptable, detail);
            continue;
        };
        let sealed = checked(world, &address, entry, &set);
        for profile in &set.profiles {
            let (found, place) = stored(world, step, &address, profile, &sealed, trace);
            let looked_for = format!("{address} {} {}", profile.kind, profile.model);
            if note_tier(trace, step, installed.id, looked_for, found) {
                usable.push((profile.model.clone(), place));
            }
        }
    }
    if !any {
        trace.note(step, Some(installed.id), format!("{}/{user}", kinds::PROFILE), Outcome::Absent, None);
    }
    let usable: Vec<(&str, Place)> = usable.iter().map(|(scope, place)| (scope.as_str(), place.clone())).collect();
    best(installed, &usable)
}

/// Whether a user has any usable profile for a provider, as far as the user's own sessions are concerned.
pub(super) fn has_usable_profile(world: World<'_>, user: &str, provider: &str, entry: &Entry) -> bool {
    let (Ok(address), Ok(set)) = (profile::address(user, provider), ProfileSet::of(entry)) else { return false };
    let sealed = checked(world, &address, entry, &set);
    let counts = |profile| {
        let ((outcome, _), _) = stored(world, Step::Profile, &address, profile, &sealed, &mut Trace::default());
        outcome == Outcome::Found
    };
    set.profiles.iter().any(counts)
}

/// Whether the sealed values of a set open; none if it has none.
fn checked(world: World<'_>, address: &Address, entry: &Entry, set: &ProfileSet) -> Option<Result<(), OpenError>> {
    let any = set.profiles.iter().any(|profile| profile.tag.is_some());
    any.then(|| world.vault.check(world.org, address, entry))
}

/// Whether one stored profile counts, and where its value is.
fn stored(
    world: World<'_>,
    step: Step,
    address: &Address,
    profile: &Profile,
    sealed: &Option<Result<(), OpenError>>,
    trace: &mut Trace,
) -> (Found, Place) {
    let place = Place::Profile(address.clone(), profile.model.clone());
    if step == Step::OwnerProfile && profile.kind != ProfileType::ApiKey {
        let detail = "an owner shares keys only, not what speaks for the person".to_owned();
        return ((Outcome::Skipped, Some(detail)), place);
    }
    if profile.is_expired(world.now) {
        return ((Outcome::Expired, None), place);
    }
    match (&profile.secret_ref, sealed.as_ref().filter(|_| profile.tag.is_some())) {
        (Some(name), _) => match org_secret(world, name, trace) {
            (Outcome::Absent, _) => ((Outcome::Unresolved, Some(format!("there is no org secret `{name}`"))), place),
            found => (found, Place::Secret(name.clone())),
        },
        (None, Some(Ok(()))) => ((Outcome::Found, None), place),
        (None, Some(Err(why))) => ((Outcome::Undecryptable, Some(why.to_string())), place),
        (None, None) => ((Outcome::Undecryptable, Some("it has no value".to_owned())), place),
    }
}

fn ephemeral_profile(
    world: World<'_>,
    passed: &[EphemeralProfile],
    installed: &Installed<'_>,
    trace: &mut Trace,
) -> Option<Place> {
    let mut usable = Vec::new();
    for (position, profile) in passed.iter().enumerate().filter(|(_, profile)| installed.is_named(&profile.provider)) {
        let outcome = match profile.expires {
            Some(expires) if expires <= world.now => Outcome::Expired,
            Some(_) | None if profile.value.expose().is_empty() => Outcome::Absent,
            Some(_) | None => Outcome::Found,
        };
        let looked_for = format!("{} {}", profile.provider, profile.model);
        if note_tier(trace, Step::EphemeralProfile, installed.id, looked_for, (outcome, None)) {
            usable.push((profile.model.as_str(), Place::Ephemeral(position)));
        }
    }
    best(installed, &usable)
}

fn best(installed: &Installed<'_>, usable: &[(&str, Place)]) -> Option<Place> {
    let reference = installed.reference.as_deref().unwrap_or_default();
    profile::best(usable, &[reference, installed.own(reference)]).cloned()
}

/// A late reference: the org secret of its name if there is one, usable or not, else the variable of its name.
pub(super) fn referenced(world: World<'_>, name: &str, trace: &mut Trace) -> (Found, Place) {
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

pub(super) type Found = (Outcome, Option<String>);

fn note_tier(trace: &mut Trace, step: Step, provider: &str, looked_for: String, (outcome, detail): Found) -> bool {
    trace.note(step, Some(provider), looked_for, outcome, detail);
    outcome == Outcome::Found
}

fn org_secret(world: World<'_>, name: &str, trace: &mut Trace) -> Found {
    let Ok(name) = ResourceName::new(name) else {
        return (Outcome::Absent, Some("no secret can have this name".to_owned()));
    };
    let address = Address::new(kinds::secret_kind(), name);
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
