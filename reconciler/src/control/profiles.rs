//! Profiles of users: set, removed and listed.
//!
//! Never here: sealing itself (`secret.rs`, `vault.rs`), and which profile counts (`agents/credential.rs`).

use std::collections::BTreeSet;

use holdfast_engine::{Change, Entry, Snapshot, Timestamp, Txn};

use super::secrets;
use super::writing::{WRITE_ATTEMPTS, actor, answer, blocked_problem, contended, settled, unchanged};
use crate::agents::profile::{self, ALL_MODELS, PROFILES_MAX, Profile, ProfileNameError, ProfileSet};
use crate::apply::{self, annotation};
use crate::desired::SecretText;
use crate::effect;
use crate::embedded::{Plane, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::guard;
use crate::plane::{ProfileChange, ProfileCredential, ProfileInfo, ProfileWrite, ProfilesQuery, WriteReceipt};
use crate::planner;
use crate::resource::{Address, OrgId};
use crate::secret::{KeyRing, SecretValues};

pub(super) fn write(plane: &Plane, request: &ProfileWrite) -> Result<WriteReceipt, Problem> {
    let address = profile::address(&request.user, &request.provider).map_err(|error| malformed(&error))?;
    if let Some(model) = &request.model {
        profile::check_scope(model).map_err(|error| malformed(&error))?;
    }
    if let ProfileChange::Set { credential: ProfileCredential::Value(value), .. } = &request.change
        && value.expose().is_empty()
    {
        let problem = Problem::new(ProblemKind::Invalid, "E_EMPTY_SECRET", "the value of the profile is empty");
        return Err(problem.help("to remove it, use `reconcile profile remove`"));
    }
    let _one_at_a_time = plane.applying();
    for _ in 0..WRITE_ATTEMPTS {
        if let Some(receipt) = try_write(plane, request, &address)? {
            return Ok(receipt);
        }
    }
    Err(contended())
}

pub(super) fn list(plane: &Plane, query: &ProfilesQuery) -> Result<Vec<ProfileInfo>, Problem> {
    let snapshot = plane.engine().snapshot();
    let org = plane.org(query.org.as_ref(), &snapshot);
    let prefix = profile::prefix(&org);
    let mut found = Vec::new();
    for (key, entry) in snapshot.prefix(&prefix) {
        let Some((user, provider)) = profile::parts(&key.as_str()[prefix.len()..]) else { continue };
        if query.user.as_ref().is_some_and(|wanted| *wanted != user) {
            continue;
        }
        let set = ProfileSet::of(entry).map_err(|_| planner::damaged(key.as_str()))?;
        found.extend(set.profiles.iter().map(|profile| {
            let Profile { model, kind, tag, secret_ref, expires_ms, owner } = profile.clone();
            let expires = expires_ms.map(|ms| rfc3339(Timestamp::from_millis(ms)));
            let (user, provider, modified) = (user.clone(), provider.to_owned(), entry.modified());
            ProfileInfo { user, provider, model, kind, tag, secret_ref, owner, expires, modified }
        }));
    }
    Ok(found)
}

/// What a write makes of the profiles that a user has for a provider.
struct Written {
    set: ProfileSet,
    values: SecretValues,
}

/// One attempt; none if a record that it read was changed meanwhile.
fn try_write(plane: &Plane, request: &ProfileWrite, address: &Address) -> Result<Option<WriteReceipt>, Problem> {
    let snapshot = plane.engine().snapshot();
    let org = plane.org(request.org.as_ref(), &snapshot);
    let key = apply::key(profile::key(&org, address))?;
    let entry = snapshot.get(key.as_str());
    let before = match entry.map(ProfileSet::of).transpose() {
        Ok(before) => before.map(|set| ProfileSet::clone(&set)).unwrap_or_default(),
        Err(_) => return Err(planner::damaged(key.as_str())),
    };
    let (set, fresh) = changed(before.clone(), request, &actor(&request.author))?;
    if fresh.is_none() && set == before {
        return Ok(Some(unchanged(&snapshot)));
    }
    let sealed = set.profiles.iter().any(|profile| profile.tag.is_some());
    let change = match set.profiles.is_empty() {
        true => Change::Delete { key: key.clone() },
        false => Change::Put { key: key.clone(), value: json(&set).into(), sealed: entry.and_then(Entry::sealed) },
    };
    let pending = if sealed { BTreeSet::from([address.clone()]) } else { BTreeSet::new() };
    let mut reads = guarded(plane, &snapshot, &org, change, &pending, request)?;
    reads.insert(key.as_str().to_owned());
    if !set.profiles.is_empty() {
        plane.check_master_key(&snapshot, &org)?;
    }
    let txn = apply::conditions(begun(request, &org), &snapshot, &reads)?;
    let txn = match (set.profiles.is_empty(), sealed) {
        (true, _) => txn.delete(key),
        (false, false) => txn.put(key, json(&set)),
        (false, true) => {
            let ring = plane.sealing_ring(&snapshot, &org)?;
            let Written { set, values } = seal(plane, &ring, &org, address, entry, set, fresh)?;
            let bytes = ring.seal(&org, address, &values);
            txn.put_sealed(key, json(&set), bytes)
        }
    };
    Ok(settled(plane.engine().commit(txn))?.map(answer))
}

/// The set after the change, and the value to seal in it with its scope.
fn changed(
    mut set: ProfileSet,
    request: &ProfileWrite,
    actor: &str,
) -> Result<(ProfileSet, Option<(String, SecretText)>), Problem> {
    let (kind, credential, expires) = match &request.change {
        ProfileChange::Remove => {
            set.profiles.retain(|profile| request.model.as_ref().is_some_and(|model| *model != profile.model));
            return Ok((set, None));
        }
        ProfileChange::Set { kind, credential, expires } => (*kind, credential, expires),
    };
    let model = request.model.clone().unwrap_or_else(|| ALL_MODELS.to_owned());
    let (fresh, tag, secret_ref) = match credential {
        ProfileCredential::Value(value) => (Some((model.clone(), value.clone())), Some(String::new()), None),
        ProfileCredential::SecretRef(name) => {
            // The name of a secret, whether or not it is there yet.
            secrets::address(name)?;
            (None, None, Some(name.clone()))
        }
    };
    let expires_ms = expires.map(Timestamp::as_millis);
    let profile = Profile { model, kind, tag, secret_ref, expires_ms, owner: actor.to_owned() };
    match set.profiles.iter().position(|known| known.model == profile.model) {
        Some(known) => set.profiles[known] = profile,
        None if set.profiles.len() == PROFILES_MAX => {
            let message = format!("the user has {PROFILES_MAX} profiles for the provider already");
            return Err(Problem::new(ProblemKind::Invalid, "E_TOO_MANY", message).help("remove one first"));
        }
        None => set.profiles.push(profile),
    }
    Ok((set, fresh))
}

/// Puts the values together that are sealed under one nonce: the new one, and those that stay.
fn seal(
    plane: &Plane,
    ring: &KeyRing,
    org: &OrgId,
    address: &Address,
    entry: Option<&Entry>,
    mut set: ProfileSet,
    fresh: Option<(String, SecretText)>,
) -> Result<Written, Problem> {
    let mut values: SecretValues = fresh.into_iter().collect();
    let stays = |profile: &Profile| profile.tag.is_some() && !values.contains_key(&profile.model);
    if set.profiles.iter().any(stays) {
        let entry = entry.filter(|entry| entry.sealed().is_some());
        let kept =
            entry.map(|entry| plane.vault()?.open(org, address, entry).map_err(|why| cannot_keep(address, &why)));
        for (model, value) in kept.transpose()?.unwrap_or_default() {
            values.entry(model).or_insert(value);
        }
    }
    values.retain(|model, _| set.profiles.iter().any(|profile| profile.model == *model && profile.tag.is_some()));
    for profile in &mut set.profiles {
        if let Some(value) = values.get(&profile.model) {
            profile.tag = Some(ring.tag(org, address, &profile.model, value));
        }
    }
    Ok(Written { set, values })
}

/// The guard of P13; gives what the prediction read.
fn guarded(
    plane: &Plane,
    snapshot: &Snapshot,
    org: &OrgId,
    change: Change,
    pending: &BTreeSet<Address>,
    request: &ProfileWrite,
) -> Result<BTreeSet<String>, Problem> {
    let vault = plane.vault()?;
    let effects = effect::foresee_changes(plane.world(snapshot, org, &vault), vec![change], pending);
    let blocked = guard::breaks(&effects.sessions, &request.allow_break, snapshot.revision());
    if blocked.is_empty() { Ok(effects.reads) } else { Err(blocked_problem(blocked)) }
}

fn begun(request: &ProfileWrite, org: &OrgId) -> Txn {
    let verb = match request.change {
        ProfileChange::Set { .. } => "set",
        ProfileChange::Remove => "remove",
    };
    let model = request.model.as_deref().map_or(String::new(), |model| format!(" {model}"));
    let message = format!("profile {verb} {} {}{model}", request.user, request.provider);
    Txn::new().author(actor(&request.author)).message(message).annotate(annotation::ORG, org.as_str())
}

fn malformed(error: &ProfileNameError) -> Problem {
    Problem::from_error(ProblemKind::Invalid, "E_NAME", error).help("choose another name")
}

fn cannot_keep(address: &Address, why: &dyn std::fmt::Display) -> Problem {
    let message = format!("cannot keep the other values of `{address}`: {why}");
    Problem::new(ProblemKind::Failed, "E_MASTER_KEY", message).help("give the master key, or remove them first")
}

fn json(set: &ProfileSet) -> Vec<u8> {
    serde_json::to_vec(set).expect("profiles are always JSON")
}
