//! Records over the disk: cut into pieces when written, joined and checked when read. Every error names what was damaged.
//!
//! Never here: which records there are (`embedded.rs`, `base.rs`).

use std::ops::ControlFlow;

use crate::codec::{DecodeError, PAYLOAD_MAX, open_piece, seal_piece, with_length, without_length};
use crate::error::{Damage, StoreError};
use crate::store::layout;
use crate::store::sled::{Changes, Disk};

/// Adds a record in parts to `changes`; says how many parts it has.
pub(crate) fn put_record(changes: &mut Changes, record: &[u8], body: &[u8]) -> u32 {
    let mut count = 0;
    for payload in with_length(body).chunks(PAYLOAD_MAX) {
        let key = layout::part(record, count);
        changes.put(&key, &seal_piece(&key, payload));
        count += 1;
    }
    count
}

/// Removes all `count` parts of a record.
pub(crate) fn remove_record(changes: &mut Changes, record: &[u8], count: u32) {
    (0..count).for_each(|number| changes.remove(&layout::part(record, number)));
}

/// Adds a record of one piece.
pub(crate) fn put_piece(changes: &mut Changes, key: &[u8], payload: &[u8]) {
    changes.put(key, &seal_piece(key, payload));
}

/// The payload of a record of one piece.
pub(crate) fn read_piece(disk: &mut Disk, key: &[u8], what: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(piece) = disk.get(key)? else { return Ok(None) };
    let payload = open_piece(key, &piece).map_err(|error| damage(what, &error))?;
    Ok(Some(payload.to_vec()))
}

/// The body of a record in parts; `None` if it has no part at all.
pub(crate) fn read_record(disk: &mut Disk, record: &[u8], what: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let (from, to) = layout::parts(record);
    let mut join = Join::default();
    let mut problem = None;
    disk.scan(&from, &to, &mut |key, piece| match join.add(record, key, piece) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            problem = Some(error);
            ControlFlow::Break(())
        }
    })?;
    match problem {
        Some(error) => Err(damage(what, &error).into()),
        None if join.parts == 0 => Ok(None),
        None => join.finish().map(Some).map_err(|error| damage(what, &error).into()),
    }
}

/// A record of which the pieces come one after the other.
#[derive(Default)]
pub(crate) struct Join {
    joined: Vec<u8>,
    pub(crate) parts: u32,
}

impl Join {
    /// Adds the next piece of `record`.
    pub(crate) fn add(&mut self, record: &[u8], key: &[u8], piece: &[u8]) -> Result<(), DecodeError> {
        if key != layout::part(record, self.parts) {
            return Err(DecodeError::Short);
        }
        self.joined.extend_from_slice(open_piece(key, piece)?);
        self.parts += 1;
        Ok(())
    }

    /// The body, if no piece is missing.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, DecodeError> {
        let length = without_length(&self.joined)?.len();
        self.joined.drain(..self.joined.len() - length);
        Ok(self.joined)
    }
}

pub(crate) fn damage(what: &str, error: &DecodeError) -> Damage {
    Damage::new(format!("{what}: {error}"))
}
