//! MemoryStore: the Store that keeps everything in memory, for tests, dry runs and as the model of the others.
//!
//! Never here: a shortcut that a durable store could not take.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imbl::OrdMap;
use uuid::Uuid;

use crate::commit::Commit;
use crate::digest::Digest;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::key::Key;
use crate::notes::{Note, slot};
use crate::reminders::Reminder;
use crate::revision::Revision;
use crate::snapshot::Head;
use crate::store::{
    Append, AppendError, CheckCursor, CheckPage, CompactTarget, Identity, Progress, Recovered, ReminderWeight, Request,
    Store, StoreStatus,
};

/// A store in memory. A clone is a second handle on the same data, so that two engines can share it.
#[derive(Clone)]
pub struct MemoryStore(Arc<Mutex<Shared>>);

struct Shared {
    identity: Identity,
    /// The oldest commit whose state can be read, and that state.
    floor: (Head, OrdMap<Key, Entry>),
    requests: Arc<[Request]>,
    /// Those after the floor.
    commits: Vec<Arc<Commit>>,
    sealed: BTreeMap<Digest, Arc<[u8]>>,
    /// By their place.
    notes: BTreeMap<u64, Note>,
    reminders: BTreeMap<Key, Vec<u8>>,
    followers: Vec<Arc<dyn Fn() + Send + Sync>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Shared {
            identity: Identity { store: Uuid::new_v4(), epoch: 1 },
            floor: (Head::default(), OrdMap::new()),
            requests: Arc::default(),
            commits: Vec::new(),
            sealed: BTreeMap::new(),
            notes: BTreeMap::new(),
            reminders: BTreeMap::new(),
            followers: Vec::new(),
        })))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Every critical section leaves the data whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("commits", &self.shared().commits.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn head(&self) -> Head {
        self.commits.last().map_or(self.floor.0, |commit| commit.head())
    }

    /// Where `revision` lies in `commits`.
    fn position(&self, revision: Revision) -> Option<usize> {
        self.commits.binary_search_by_key(&revision, |commit| commit.revision).ok()
    }
}

impl Store for MemoryStore {
    fn recover(&mut self) -> Result<Recovered, StoreError> {
        let shared = self.shared();
        Ok(Recovered {
            identity: shared.identity,
            compacted: shared.floor.0,
            base: shared.floor.0,
            entries: shared.floor.1.clone(),
            requests: shared.requests.to_vec(),
            head: shared.head(),
            sealed: shared.sealed.clone(),
        })
    }

    fn append(&mut self, group: Append<'_>) -> Result<(), AppendError> {
        let followers = {
            let mut shared = self.shared();
            let head = shared.head();
            if head != group.expected {
                return Err(AppendError::HeadMoved { head });
            }
            shared.commits.extend(group.commits.iter().cloned());
            shared.sealed.extend(group.sealed.iter().cloned());
            for digest in group.dropped {
                shared.sealed.remove(digest);
            }
            shared.followers.clone()
        };
        followers.iter().for_each(|wake| wake());
        Ok(())
    }

    fn head(&mut self) -> Result<Head, StoreError> {
        Ok(self.shared().head())
    }

    fn commits(&mut self, from: Revision, through: Revision, bytes_max: usize) -> Result<Vec<Arc<Commit>>, StoreError> {
        let shared = self.shared();
        let start = shared.position(from).ok_or(StoreError::Missing { revision: from })?;
        let mut bytes = 0;
        let mut page = Vec::new();
        for commit in shared.commits[start..].iter().take_while(|commit| commit.revision <= through) {
            bytes += commit.bytes();
            if bytes > bytes_max && !page.is_empty() {
                break;
            }
            page.push(Arc::clone(commit));
        }
        Ok(page)
    }

    fn version(&mut self, key: &Key, modified: Revision) -> Result<Entry, StoreError> {
        let shared = self.shared();
        let missing = StoreError::Missing { revision: modified };
        if modified <= shared.floor.0.revision {
            let entry = shared.floor.1.get(key.as_str()).filter(|entry| entry.modified() == modified);
            return entry.cloned().ok_or(missing);
        }
        let Some(position) = shared.position(modified) else { return Err(missing) };
        shared.commits[position].entry(key).ok_or(missing)
    }

    fn sealed(&mut self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(self.shared().sealed.get(digest).cloned())
    }

    fn write_note(&mut self, note: &Note) -> Result<(), StoreError> {
        self.shared().notes.insert(slot(note.number), note.clone());
        Ok(())
    }

    fn notes(&mut self) -> Result<Vec<Note>, StoreError> {
        Ok(self.shared().notes.values().cloned().collect())
    }

    fn write_reminder(&mut self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.shared().reminders.insert(key.clone(), bytes.to_vec());
        Ok(())
    }

    fn remove_reminder(&mut self, key: &Key) -> Result<(), StoreError> {
        self.shared().reminders.remove(key);
        Ok(())
    }

    fn reminders(&mut self) -> Result<Vec<Reminder>, StoreError> {
        let shared = self.shared();
        Ok(shared.reminders.iter().map(|(key, bytes)| Reminder { key: key.clone(), bytes: bytes.clone() }).collect())
    }

    fn reminder_weight(&mut self) -> Result<ReminderWeight, StoreError> {
        let shared = self.shared();
        let bytes = shared.reminders.iter().map(|(key, bytes)| (key.as_str().len() + bytes.len()) as u64).sum();
        Ok(ReminderWeight { count: shared.reminders.len() as u64, bytes })
    }

    fn floor(&mut self) -> Result<OrdMap<Key, Entry>, StoreError> {
        Ok(self.shared().floor.1.clone())
    }

    fn compact(&mut self, target: &CompactTarget) -> Result<Progress, StoreError> {
        let CompactTarget { head, entries, requests } = target;
        let mut shared = self.shared();
        if head.revision > shared.floor.0.revision {
            shared.floor = (*head, entries.clone());
            shared.requests = Arc::clone(requests);
            shared.commits.retain(|commit| commit.revision > head.revision);
        }
        Ok(Progress::Idle)
    }

    fn check(&mut self, _from: CheckCursor) -> Result<CheckPage, StoreError> {
        // There are no bytes that could differ from what was written; the engine checks the chain itself.
        Ok(CheckPage { findings: Vec::new(), records: self.shared().commits.len() as u64, next: None })
    }

    fn follow(&mut self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.shared().followers.push(wake);
    }

    fn status(&self) -> StoreStatus {
        let shared = self.shared();
        let trailed = shared.head().revision;
        StoreStatus { durability: "memory", trailed, compacted: shared.floor.0, disk_bytes: None }
    }
}
