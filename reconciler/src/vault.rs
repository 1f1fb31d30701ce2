//! Whether, and to what, the sealed values of records open: the one door between live records and secret values.
//!
//! Never here: choosing a credential (`agents/credential.rs`), sealing, and the key file.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_engine::{Engine, Entry, Key, Snapshot};

use crate::agents::{kinds, profile};
use crate::error::{Problem, ProblemKind};
use crate::resource::{Address, Declaration, OrgId, Record, ResourceName, keys};
use crate::secret::{KeyId, KeyRing, OpenError, SecretValues, sealed_under};

/// Opens the sealed values of live records.
pub trait Vault {
    /// Says whether a sealed value of the record can be opened now.
    ///
    /// # Errors
    /// Why it cannot; such a value counts as absent and the reason is shown.
    fn check(&self, org: &OrgId, address: &Address, entry: &Entry) -> Result<(), OpenError>;
}

/// Opens what the engine of this process holds.
#[derive(Clone, Debug)]
pub struct EngineVault {
    engine: Engine,
    ring: Option<Arc<KeyRing>>,
}

impl EngineVault {
    /// Opens with the ring at hand, if there is one.
    pub fn new(engine: Engine, ring: Option<Arc<KeyRing>>) -> Self {
        Self { engine, ring }
    }

    /// Opens the values themselves.
    ///
    /// # Errors
    /// Why they do not open.
    pub fn open(&self, org: &OrgId, address: &Address, entry: &Entry) -> Result<SecretValues, OpenError> {
        self.sealed(entry).and_then(|(ring, bytes)| ring.open(org, address, &bytes))
    }

    fn sealed(&self, entry: &Entry) -> Result<(&KeyRing, Arc<[u8]>), OpenError> {
        let digest = entry.sealed().ok_or(OpenError::Damaged)?;
        let bytes = self.engine.sealed(&digest).ok_or(OpenError::Damaged)?;
        Ok((self.ring.as_ref().ok_or(OpenError::NoKey)?, bytes))
    }
}

impl Vault for EngineVault {
    fn check(&self, org: &OrgId, address: &Address, entry: &Entry) -> Result<(), OpenError> {
        match self.sealed(entry) {
            // A replica without the key or the bytes cannot judge: what its source keeps counts as it stands there.
            Err(_) if self.engine.is_replica() && entry.sealed().is_some() => Ok(()),
            sealed => sealed.and_then(|(ring, bytes)| ring.check(org, address, &bytes)),
        }
    }
}

/// Looks at a past revision: the bytes of overwritten values are not kept, so what was there counts as it stood.
#[derive(Clone, Copy, Debug)]
pub struct PastVault;

impl Vault for PastVault {
    fn check(&self, _org: &OrgId, _address: &Address, _entry: &Entry) -> Result<(), OpenError> {
        Ok(())
    }
}

/// Looks at a proposed state: values that the plan would seal count as sealed, all others are as they are.
pub struct ProposedVault<'v> {
    /// What opens the values that are there already.
    pub current: &'v dyn Vault,
    /// The records whose values the plan would seal.
    pub pending: &'v BTreeSet<Address>,
}

impl Vault for ProposedVault<'_> {
    fn check(&self, org: &OrgId, address: &Address, entry: &Entry) -> Result<(), OpenError> {
        if self.pending.contains(address) { Ok(()) } else { self.current.check(org, address, entry) }
    }
}

/// A live entry as a record, decoded once per version.
///
/// # Errors
/// The bytes are not a record.
pub fn record(entry: &Entry) -> Result<Arc<Record>, serde_json::Error> {
    entry.decoded(|bytes| serde_json::from_slice(bytes))
}

/// An entry as what a source declared, decoded once per version.
///
/// # Errors
/// The bytes are not a declaration.
pub(crate) fn declaration(entry: &Entry) -> Result<Arc<Declaration>, serde_json::Error> {
    entry.decoded(|bytes| serde_json::from_slice(bytes))
}

/// Every entry of an organisation that has sealed values, with the address that they are sealed for.
pub(crate) fn sealed(snapshot: &Snapshot, org: &OrgId) -> Vec<(Address, Key, Entry)> {
    sealed_of(org, snapshot.prefix(&keys::org(org)))
}

/// The same of some entries.
pub(crate) fn sealed_of<'s>(
    org: &OrgId,
    entries: impl Iterator<Item = (&'s Key, &'s Entry)>,
) -> Vec<(Address, Key, Entry)> {
    let (live, profiles) = (keys::live_prefix(org), profile::prefix(org));
    let address = |key: &Key| match (key.as_str().strip_prefix(&live), key.as_str().strip_prefix(&profiles)) {
        (Some(address), _) => address.parse().ok(),
        (None, Some(name)) => Some(Address::new(kinds::profile_kind(), ResourceName::new(name).ok()?)),
        (None, None) => None,
    };
    let sealed = entries.filter(|(_, entry)| entry.sealed().is_some());
    sealed.filter_map(|(key, entry)| Some((address(key)?, key.clone(), entry.clone()))).collect()
}

/// The ring with the key that seals for an organisation: the one that it was rotated to last, else the one that it is sealed under,
/// else the newest. So tags stay comparable until a rotation makes them anew.
pub(crate) fn sealing_ring(engine: &Engine, snapshot: &Snapshot, org: &OrgId, ring: Arc<KeyRing>) -> Arc<KeyRing> {
    if ring.len() == 1 {
        return ring;
    }
    let rotated = || {
        let entry = snapshot.get(&keys::sealing(org))?;
        std::str::from_utf8(entry.value()).ok()?.parse::<KeyId>().ok()
    };
    let found = || {
        let root = keys::org(org);
        let digest = snapshot.prefix(&root).find_map(|(_, entry)| entry.sealed())?;
        sealed_under(&engine.sealed(&digest)?).ok()
    };
    match rotated().or_else(found).and_then(|key| ring.sealing_with(key)) {
        Some(ring) => Arc::new(ring),
        None => ring,
    }
}

/// What is sealed must open with the key at hand: with another one every value would look changed, sessions that work would
/// look broken already, and a value sealed now could not be opened by who has the right one.
///
/// # Errors
/// Names the records that were sealed under another key.
pub(crate) fn check_master_key(snapshot: &Snapshot, org: &OrgId, vault: &dyn Vault) -> Result<(), Problem> {
    check_opens(org, &sealed(snapshot, org), vault)
}

/// The same for some sealed entries.
pub(crate) fn check_opens(org: &OrgId, sealed: &[(Address, Key, Entry)], vault: &dyn Vault) -> Result<(), Problem> {
    let mut affected = Vec::new();
    let mut why = None;
    for (address, _, entry) in sealed {
        match vault.check(org, address, entry) {
            Err(error @ (OpenError::OtherKey { .. } | OpenError::NoKey)) => {
                affected.push(format!("`{address}`"));
                why.get_or_insert(error);
            }
            Err(OpenError::Damaged | OpenError::Form(_)) | Ok(()) => {}
        }
    }
    let Some(why) = why else { return Ok(()) };
    let message = format!("the master key does not open {}: {why}", affected.join(", "));
    let help = "give the master key that the secrets were sealed under (HOLDFAST_KEY or HOLDFAST_KEY_FILE); if it is lost, \
                remove them with `reconcile secret remove NAME --allow-break AGENT` and set them anew";
    Err(Problem::new(ProblemKind::Failed, "E_MASTER_KEY", message).help(help))
}
