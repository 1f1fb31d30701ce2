//! A store in memory that something happens to before each append, to bring about what otherwise only chance does.

use std::sync::Arc;

use holdfast_engine::store::{
    Append, AppendError, CheckCursor, CheckPage, CompactTarget, Progress, Recovered, ReminderWeight, StoreStatus,
};
use holdfast_engine::{Commit, Digest, Entry, Head, Key, MemoryStore, Note, Reminder, Revision, Store, StoreError};

pub(crate) struct Before {
    store: MemoryStore,
    before: Box<dyn FnMut(&Append<'_>) + Send>,
}

impl Before {
    pub(crate) fn each_append(store: MemoryStore, before: impl FnMut(&Append<'_>) + Send + 'static) -> Self {
        Self { store, before: Box::new(before) }
    }
}

impl Store for Before {
    fn recover(&mut self) -> Result<Recovered, StoreError> {
        self.store.recover()
    }

    fn append(&mut self, group: Append<'_>) -> Result<(), AppendError> {
        (self.before)(&group);
        self.store.append(group)
    }

    fn head(&mut self) -> Result<Head, StoreError> {
        self.store.head()
    }

    fn commits(&mut self, from: Revision, through: Revision, bytes_max: usize) -> Result<Vec<Arc<Commit>>, StoreError> {
        self.store.commits(from, through, bytes_max)
    }

    fn version(&mut self, key: &Key, modified: Revision) -> Result<Entry, StoreError> {
        self.store.version(key, modified)
    }

    fn sealed(&mut self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.store.sealed(digest)
    }

    fn write_note(&mut self, note: &Note) -> Result<(), StoreError> {
        self.store.write_note(note)
    }

    fn notes(&mut self) -> Result<Vec<Note>, StoreError> {
        self.store.notes()
    }

    fn write_reminder(&mut self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.write_reminder(key, bytes)
    }

    fn remove_reminder(&mut self, key: &Key) -> Result<(), StoreError> {
        self.store.remove_reminder(key)
    }

    fn reminders(&mut self) -> Result<Vec<Reminder>, StoreError> {
        self.store.reminders()
    }

    fn reminder_weight(&mut self) -> Result<ReminderWeight, StoreError> {
        self.store.reminder_weight()
    }

    fn floor(&mut self) -> Result<imbl::OrdMap<Key, Entry>, StoreError> {
        self.store.floor()
    }

    fn compact(&mut self, target: &CompactTarget) -> Result<Progress, StoreError> {
        self.store.compact(target)
    }

    fn check(&mut self, from: CheckCursor) -> Result<CheckPage, StoreError> {
        self.store.check(from)
    }

    fn status(&self) -> StoreStatus {
        self.store.status()
    }
}
