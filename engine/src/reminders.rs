//! Reminders: what must not be forgotten while it is so, each under a key of its own beside the commits, until it is taken away.
//!
//! A reminder moves no revision, wakes nobody and is in no backup: it speaks of the world around this one store, and a copy of
//! the store somewhere else has no business there. Never here: what reminders say.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::StoreError;
use crate::key::Key;
use crate::limits::{REMINDER_BYTES_MAX, REMINDERS_BYTES_MAX, REMINDERS_MAX};
use crate::store::{ReminderWeight, Store};

/// One reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminder {
    /// What it is about.
    pub key: Key,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// Why a reminder was not taken, taken away or read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReminderError {
    /// It is longer than [`REMINDER_BYTES_MAX`].
    #[error("a reminder of {bytes} bytes is longer than {REMINDER_BYTES_MAX}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// There are as many as the store keeps: [`REMINDERS_MAX`], or [`REMINDERS_BYTES_MAX`] bytes of them.
    #[error("the store keeps at most {REMINDERS_MAX} reminders of {REMINDERS_BYTES_MAX} bytes together")]
    Full,
    /// The store failed, now or before.
    #[error("the store failed")]
    Storage(#[source] Arc<StoreError>),
    /// A write failed before; the store must be opened again.
    #[error("the store failed before and takes nothing until it is opened again")]
    Poisoned,
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
}

impl Engine {
    /// Takes a reminder in the place of the one under the same key; it is durable when this returns. Blocks the thread.
    ///
    /// # Errors
    /// If it is too long or one too many, or the store cannot be read or written; a failed write poisons the engine, as that
    /// of a commit does.
    pub fn remind(&self, key: &Key, bytes: &[u8]) -> Result<(), ReminderError> {
        if bytes.len() > REMINDER_BYTES_MAX {
            return Err(ReminderError::TooLarge { bytes: bytes.len() });
        }
        let (key, bytes) = (key.clone(), bytes.to_vec());
        self.reminding(move |store| {
            let ReminderWeight { count, bytes: held } = store.reminder_weight()?;
            let fits = count < REMINDERS_MAX && held + (key.as_str().len() + bytes.len()) as u64 <= REMINDERS_BYTES_MAX;
            // The one that is replaced makes room only where there is none left, so that it is not looked for each time.
            if !fits && !store.reminders()?.iter().any(|old| old.key == key && old.bytes.len() >= bytes.len()) {
                return Ok(Err(ReminderError::Full));
            }
            store.write_reminder(&key, &bytes).map(Ok)
        })
    }

    /// Takes a reminder away; that is durable when this returns. One that is not there is no error. Blocks the thread.
    ///
    /// # Errors
    /// If the store cannot be written; a failed write poisons the engine, as that of a commit does.
    pub fn forget(&self, key: &Key) -> Result<(), ReminderError> {
        let key = key.clone();
        self.reminding(move |store| store.remove_reminder(&key).map(Ok))
    }

    /// The reminders whose key begins with `prefix`, in the order of their keys; blocks the thread. One that is damaged is left
    /// out; a verification names it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn reminders(&self, prefix: &str) -> Result<Vec<Reminder>, ReminderError> {
        let mut reminders = match self.on_store(|store| store.reminders()) {
            Some(Ok(reminders)) => reminders,
            Some(Err(error)) => return Err(ReminderError::Storage(Arc::new(error))),
            None => return Err(ReminderError::Closed),
        };
        reminders.retain(|reminder| reminder.key.as_str().starts_with(prefix));
        reminders.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        Ok(reminders)
    }

    fn reminding(
        &self,
        job: impl FnOnce(&mut dyn Store) -> Result<Result<(), ReminderError>, StoreError> + Send + 'static,
    ) -> Result<(), ReminderError> {
        if self.core().is_poisoned() {
            return Err(ReminderError::Poisoned);
        }
        match self.on_store(job) {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => Err(ReminderError::Storage(self.core().poison(error))),
            None => Err(ReminderError::Closed),
        }
    }
}
