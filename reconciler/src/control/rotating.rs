//! Rotation of the master key: everything that is sealed is opened with the keys at hand and sealed anew under the newest.
//!
//! The new key stands on the disk before anything is sealed under it, and each organisation is one commit that also says
//! which key seals for it from then on. So a rotation can be cut off anywhere: what is sealed opens, and the next one goes on. Never
//! here: keys themselves (`secret.rs`, `keyfile.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_engine::{Entry, Key, Precondition, Receipt, Snapshot, Txn};

use super::writing::{WRITE_ATTEMPTS, actor, contended, settled};
use crate::agents::kinds::PROFILE;
use crate::agents::profile::ProfileSet;
use crate::apply::{self, annotation};
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::plane::{RotatedOrg, Rotation};
use crate::planner;
use crate::resource::{Address, Declaration, OrgId, Record, keys};
use crate::secret::{KeyRing, SecretValues, sealed_under};
use crate::vault::{self, EngineVault, record};

/// How many records one commit seals anew at most; more are several commits.
const RECORDS_MAX: usize = 20_000;

pub(super) fn rotate(plane: &Plane, author: &str) -> Result<Rotation, Problem> {
    let _one_at_a_time = plane.applying();
    plane.keys().read_again()?;
    plane.check_keys()?;
    let Some(ring) = plane.keys().existing()? else {
        return Ok(Rotation { key: None, resumed: false, organisations: Vec::new() });
    };
    let snapshot = plane.engine().snapshot();
    let orgs = planner::organisations(&snapshot);
    all_open(&snapshot, &orgs, &plane.vault()?)?;
    // A newest key that does not seal everywhere yet was put there by a rotation that did not come to its end, or by one of
    // another store with the same key file.
    let resumed = !orgs.iter().all(|org| is_done(plane, &snapshot, org, &ring));
    let ring = if resumed { ring } else { plane.keys().add_newest()? };
    let mut organisations = Vec::new();
    for org in orgs {
        let mut records = 0;
        while let Some((receipt, count)) = one_commit(plane, &org, &ring, author)? {
            records += count;
            let revision = receipt.revision;
            tracing::info!(%org, %revision, records = count, key = %ring.newest(), "sealed anew");
            match organisations.last_mut() {
                Some(RotatedOrg { org: last, revision: newest, records: all }) if *last == org => {
                    (*newest, *all) = (revision, records);
                }
                _ => organisations.push(RotatedOrg { org: org.clone(), revision, records }),
            }
        }
    }
    Ok(Rotation { key: Some(ring.newest().to_string()), resumed, organisations })
}

/// Nothing is begun if a value does not open: it would be lost with the old key.
fn all_open(snapshot: &Snapshot, orgs: &[OrgId], vault: &EngineVault) -> Result<(), Problem> {
    let mut closed = Vec::new();
    for org in orgs {
        for (address, _, entry) in vault::sealed(snapshot, org) {
            if let Err(why) = vault.open(org, &address, &entry) {
                closed.push(format!("`{org}:{address}` ({why})"));
            }
        }
    }
    if closed.is_empty() {
        return Ok(());
    }
    let message = format!("these do not open and would be lost: {}", closed.join(", "));
    Err(Problem::new(ProblemKind::Failed, "E_MASTER_KEY", message).help("set them anew or remove them, then rotate"))
}

/// Whether an organisation has nothing that is sealed under another key than the newest.
fn is_done(plane: &Plane, snapshot: &Snapshot, org: &OrgId, ring: &KeyRing) -> bool {
    vault::sealed(snapshot, org).iter().all(|(_, _, entry)| is_new(plane, entry, ring))
}

fn is_new(plane: &Plane, entry: &Entry, ring: &KeyRing) -> bool {
    let bytes = entry.sealed().and_then(|digest| plane.engine().sealed(&digest));
    bytes.is_some_and(|bytes| sealed_under(&bytes) == Ok(ring.newest()))
}

/// Seals up to [`RECORDS_MAX`] records of an organisation anew; none if there is nothing left.
fn one_commit(
    plane: &Plane,
    org: &OrgId,
    ring: &Arc<KeyRing>,
    author: &str,
) -> Result<Option<(Receipt, u64)>, Problem> {
    for _ in 0..WRITE_ATTEMPTS {
        let snapshot = plane.engine().snapshot();
        let mut old = vault::sealed(&snapshot, org);
        old.retain(|(_, _, entry)| !is_new(plane, entry, ring));
        old.truncate(RECORDS_MAX);
        if old.is_empty() {
            return Ok(None);
        }
        let count = old.len() as u64;
        let message = format!("secret rotate to key {}", ring.newest());
        let mut txn = Txn::new().author(actor(author)).message(message).annotate(annotation::ORG, org.as_str());
        let mut tags = BTreeMap::new();
        for (address, key, entry) in old {
            let values = plane.vault()?.open(org, &address, &entry).map_err(|why| closed(&address, &why))?;
            let (value, moved) = with_new_tags(org, &address, &key, &entry, ring, &values)?;
            tags.insert(address.clone(), moved);
            let bytes = ring.seal(org, &address, &values);
            txn = txn.require(Precondition::Modified(key.clone(), entry.modified())).put_sealed(key, value, bytes);
        }
        txn = declarations(txn, &snapshot, org, &tags)?;
        txn = txn.put(apply::key(keys::sealing(org))?, ring.newest().to_string().into_bytes());
        if let Some(receipt) = settled(plane.engine().commit(txn))? {
            return Ok(Some((receipt, count)));
        }
    }
    Err(contended())
}

/// Old tags with the new ones of the same values, by path.
type Moved = BTreeMap<String, (String, String)>;

/// A record with the tags that its values have under the newest key.
fn with_new_tags(
    org: &OrgId,
    address: &Address,
    key: &Key,
    entry: &Entry,
    ring: &KeyRing,
    values: &SecretValues,
) -> Result<(Vec<u8>, Moved), Problem> {
    let mut moved = Moved::new();
    let mut tag = |path: &str, old: &mut String| {
        if let Some(value) = values.get(path) {
            let new = ring.tag(org, address, path, value);
            moved.insert(path.to_owned(), (std::mem::replace(old, new.clone()), new));
        }
    };
    let damaged = |_| planner::damaged(key.as_str());
    let value = if address.kind.as_str() == PROFILE && key.as_str().starts_with(&crate::agents::profile::prefix(org)) {
        let mut set = ProfileSet::clone(&*ProfileSet::of(entry).map_err(damaged)?);
        for profile in &mut set.profiles {
            let model = profile.model.clone();
            profile.tag.iter_mut().for_each(|old| tag(&model, old));
        }
        serde_json::to_vec(&set)
    } else {
        let mut record = Record::clone(&*record(entry).map_err(damaged)?);
        record.tags.iter_mut().for_each(|(path, old)| tag(path, old));
        serde_json::to_vec(&record)
    };
    Ok((value.expect("a record is always JSON"), moved))
}

/// What sources declared is compared by tag too, so the tags of the same values move with them. A declared value that is
/// not the live one is not known; its tag stays and differs from everything, as it did.
fn declarations(
    mut txn: Txn,
    snapshot: &Snapshot,
    org: &OrgId,
    tags: &BTreeMap<Address, Moved>,
) -> Result<Txn, Problem> {
    for source in planner::sources(snapshot, org) {
        for (address, moved) in tags {
            let key = keys::desired(org, &source, address);
            let Some(entry) = snapshot.get(&key) else { continue };
            let mut declaration: Declaration =
                serde_json::from_slice(entry.value()).map_err(|_| planner::damaged(&key))?;
            let mut touched = false;
            for (path, tag) in &mut declaration.tags {
                if let Some((_, new)) = moved.get(path).filter(|(old, _)| old == tag) {
                    tag.clone_from(new);
                    touched = true;
                }
            }
            if touched {
                let value = serde_json::to_vec(&declaration).expect("a declaration is always JSON");
                let key = apply::key(key)?;
                txn = txn.require(Precondition::Modified(key.clone(), entry.modified())).put(key, value);
            }
        }
    }
    Ok(txn)
}

fn closed(address: &Address, why: &dyn std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::Failed, "E_MASTER_KEY", format!("`{address}` does not open: {why}"))
        .help("give the master key that it was sealed under")
}
