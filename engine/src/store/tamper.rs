//! Damage on purpose, below sled's own checksums, for tests of what mends it.
//!
//! Never here: anything in a build that is shipped; see `failpoint.rs`.

use std::path::Path;

use crate::error::StoreError;
use crate::store::layout;
use crate::store::sled::{Changes, Disk, DiskOpenError};
use crate::store::sync::DiskSyncer;

/// Flips a byte of the newest base in the store's folder `path`; false if there is none.
///
/// # Errors
/// If the store cannot be opened or written.
pub fn damage_newest_base(path: &Path) -> Result<bool, StoreError> {
    let [blocks, _, _] = layout::BASE_TAGS;
    damage_last(path, &[blocks], &[blocks + 1])
}

/// Flips a byte of a reminder in the store's folder `path`; false if there is none.
///
/// # Errors
/// If the store cannot be opened or written.
pub fn damage_a_reminder(path: &Path) -> Result<bool, StoreError> {
    let (from, to) = layout::reminders();
    damage_last(path, &from, &to)
}

fn damage_last(path: &Path, from: &[u8], to: &[u8]) -> Result<bool, StoreError> {
    let failed = |reason: String| StoreError::Backend { action: "opened", reason };
    let mut disk = Disk::open(path, Box::new(DiskSyncer)).map_err(|error| match error {
        DiskOpenError::Locked => failed("it is held".to_owned()),
        DiskOpenError::Io(error) => error,
        DiskOpenError::Damaged(reason) => failed(reason),
    })?;
    let Some((key, mut piece)) = disk.last(from, to)? else { return Ok(false) };
    if let Some(last) = piece.last_mut() {
        *last ^= 1;
    }
    let mut changes = Changes::default();
    changes.put(&key, &piece);
    disk.apply(changes)?;
    disk.sync()?;
    Ok(true)
}
