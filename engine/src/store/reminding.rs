//! Reminders of an embedded store: one piece for each, under its key; how much they weigh is counted once and then kept.
//!
//! Never here: which reminders are taken (`reminders.rs`).

use std::ops::ControlFlow;

use crate::codec::{PIECE_HEADER, open_piece};
use crate::error::StoreError;
use crate::failpoint::failpoint;
use crate::key::Key;
use crate::reminders::Reminder;
use crate::store::embedded::SledStore;
use crate::store::records::put_piece;
use crate::store::sled::Changes;
use crate::store::{ReminderWeight, layout};

impl ReminderWeight {
    fn add(&mut self, key: &[u8], piece: &[u8]) {
        self.count += 1;
        self.bytes += weight(key, piece);
    }

    fn take(&mut self, key: &[u8], piece: &[u8]) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(weight(key, piece));
    }
}

/// The bytes of a reminder: its key, without the tag, and what it says.
fn weight(key: &[u8], piece: &[u8]) -> u64 {
    (key.len() - 1 + piece.len().saturating_sub(PIECE_HEADER)) as u64
}

impl SledStore {
    pub(super) fn weigh_reminders(&mut self) -> Result<ReminderWeight, StoreError> {
        if let Some(known) = self.reminders {
            return Ok(known);
        }
        let mut found = ReminderWeight::default();
        let (from, to) = layout::reminders();
        self.disk.scan(&from, &to, &mut |key, piece| {
            found.add(key, piece);
            ControlFlow::Continue(())
        })?;
        self.reminders = Some(found);
        Ok(found)
    }

    pub(super) fn put_reminder(&mut self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let mut weight = self.weigh_reminders()?;
        let at = layout::reminder(key);
        if let Some(old) = self.disk.get(&at)? {
            weight.take(&at, &old);
        }
        let mut changes = Changes::default();
        put_piece(&mut changes, &at, bytes);
        weight.count += 1;
        weight.bytes += (key.as_str().len() + bytes.len()) as u64;
        self.change_reminders(changes, weight)
    }

    pub(super) fn drop_reminder(&mut self, key: &Key) -> Result<(), StoreError> {
        let mut weight = self.weigh_reminders()?;
        let at = layout::reminder(key);
        let Some(old) = self.disk.get(&at)? else { return Ok(()) };
        weight.take(&at, &old);
        let mut changes = Changes::default();
        changes.remove(&at);
        self.change_reminders(changes, weight)
    }

    /// The reminders that can be read.
    pub(super) fn read_reminders(&mut self) -> Result<Vec<Reminder>, StoreError> {
        let (from, to) = layout::reminders();
        let mut reminders = Vec::new();
        self.disk.scan(&from, &to, &mut |at, piece| {
            if let (Some(key), Ok(bytes)) = (layout::reminder_of(at), open_piece(at, piece)) {
                reminders.push(Reminder { key, bytes: bytes.to_vec() });
            }
            ControlFlow::Continue(())
        })?;
        Ok(reminders)
    }

    /// Takes away the reminders that cannot be read, for a repair; says how many. What they spoke of is not known: the key that
    /// is left may be wrong itself.
    pub(crate) fn drop_damaged_reminders(&mut self) -> Result<usize, StoreError> {
        let (from, to) = layout::reminders();
        let mut changes = Changes::default();
        self.disk.scan(&from, &to, &mut |at, piece| {
            if layout::reminder_of(at).is_none() || open_piece(at, piece).is_err() {
                changes.remove(at);
            }
            ControlFlow::Continue(())
        })?;
        let dropped = usize::try_from(changes.removals).unwrap_or(usize::MAX);
        if dropped > 0 {
            self.reminders = None;
            self.disk.apply(changes)?;
            failpoint("repair-dropped-reminders");
            self.disk.sync()?;
        }
        Ok(dropped)
    }

    fn change_reminders(&mut self, changes: Changes, weight: ReminderWeight) -> Result<(), StoreError> {
        failpoint("reminder-before-write");
        self.disk.apply(changes)?;
        failpoint("reminder-written");
        self.disk.sync()?;
        failpoint("reminder-durable");
        self.reminders = Some(weight);
        Ok(())
    }
}
