//! The bytes of the meta record: drawn in `docs/format.md`.
//!
//! Never here: what a base or a commit holds.

use bincode::{Decode, Encode};
use uuid::Uuid;

use super::{CONFIG, DecodeError, FORMAT, decode, encode};
use crate::digest::Digest;
use crate::revision::{Revision, Timestamp};
use crate::snapshot::Head;
use crate::store::Identity;

/// What the meta record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) identity: Identity,
    pub(crate) compacted: Head,
    pub(crate) bases: Vec<BaseMark>,
}

/// What meta says about one base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BaseMark {
    pub(crate) head: Head,
    pub(crate) entries: u64,
    pub(crate) blocks: u64,
    pub(crate) larges: u64,
    pub(crate) bytes: u64,
}

#[derive(Encode, Decode)]
struct MetaRecord {
    format: u32,
    store: [u8; 16],
    epoch: u64,
    compacted: HeadRecord,
    bases: Vec<BaseRecord>,
}

#[derive(Encode, Decode)]
struct HeadRecord {
    revision: u64,
    id: [u8; 32],
    time: i64,
}

#[derive(Encode, Decode)]
struct BaseRecord {
    head: HeadRecord,
    entries: u64,
    blocks: u64,
    larges: u64,
    bytes: u64,
}

impl From<Head> for HeadRecord {
    fn from(head: Head) -> Self {
        let Head { revision, id, time } = head;
        Self { revision: revision.get(), id: *id.as_bytes(), time: time.as_millis() }
    }
}

impl From<HeadRecord> for Head {
    fn from(record: HeadRecord) -> Self {
        let HeadRecord { revision, id, time } = record;
        Self { revision: Revision::new(revision), id: Digest::from_bytes(id), time: Timestamp::from_millis(time) }
    }
}

pub(crate) fn encode_meta(meta: &Meta) -> Vec<u8> {
    let Meta { identity: Identity { store, epoch }, compacted, bases } = meta;
    let base = |base: &BaseMark| {
        let BaseMark { head, entries, blocks, larges, bytes } = *base;
        BaseRecord { head: head.into(), entries, blocks, larges, bytes }
    };
    encode(MetaRecord {
        format: FORMAT,
        store: *store.as_bytes(),
        epoch: *epoch,
        compacted: (*compacted).into(),
        bases: bases.iter().map(base).collect(),
    })
}

pub(crate) fn decode_meta(body: &[u8]) -> Result<Meta, DecodeError> {
    // The format number comes first in every format, so that it can be named before anything else is read.
    let (format, _): (u32, usize) =
        bincode::decode_from_slice(body, CONFIG).map_err(|error| DecodeError::Body(error.to_string()))?;
    if format > FORMAT {
        return Err(DecodeError::Future(format));
    }
    let MetaRecord { format: _, store, epoch, compacted, bases } = decode(body)?;
    let base = |record: BaseRecord| {
        let BaseRecord { head, entries, blocks, larges, bytes } = record;
        BaseMark { head: head.into(), entries, blocks, larges, bytes }
    };
    Ok(Meta {
        identity: Identity { store: Uuid::from_bytes(store), epoch },
        compacted: compacted.into(),
        bases: bases.into_iter().map(base).collect(),
    })
}
