//! The bytes of bases: blocks of entries, and request ids: drawn in `docs/format.md`.
//!
//! Never here: when a base is written (`store/`).

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use super::{DecodeError, INLINE_MAX, PAYLOAD_MAX, decode, encode, key_of, request_id_of};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::key::Key;
use crate::revision::Revision;
use crate::store::Request;

#[derive(Encode, BorrowDecode)]
pub(super) struct EntryRecord<'a> {
    key: &'a str,
    created: u64,
    modified: u64,
    version: u64,
    sealed: Option<[u8; 32]>,
    content: ContentRecord<'a>,
}

#[derive(Encode, BorrowDecode)]
pub(super) enum ContentRecord<'a> {
    Inline(&'a [u8]),
    Large { number: u64, length: u64 },
}

pub(super) fn entry_record<'a>(key: &'a Key, entry: &'a Entry, large: Option<u64>) -> EntryRecord<'a> {
    let content = match large {
        None => ContentRecord::Inline(entry.value()),
        Some(number) => ContentRecord::Large { number, length: entry.value().len() as u64 },
    };
    EntryRecord {
        key: key.as_str(),
        created: entry.created().get(),
        modified: entry.modified().get(),
        version: entry.version(),
        sealed: entry.sealed().map(|digest| *digest.as_bytes()),
        content,
    }
}

/// A block of a base in the making. Entries are added in key order until it is full.
#[derive(Default)]
pub(crate) struct BlockWriter {
    records: Vec<u8>,
    count: u64,
}

/// Whether a value of a base lies outside its block.
pub(crate) fn is_large(entry: &Entry) -> bool {
    entry.value().len() > INLINE_MAX
}

impl BlockWriter {
    /// Adds an entry, whose value lies under `large` if that is given; gives it back if the block is full.
    #[must_use = "an entry that does not fit goes into the next block"]
    pub(crate) fn add(&mut self, key: &Key, entry: &Entry, large: Option<u64>) -> bool {
        let record = encode(entry_record(key, entry, large));
        // Nine bytes are the longest count.
        if self.count > 0 && self.records.len() + record.len() + 9 > PAYLOAD_MAX {
            return false;
        }
        self.records.extend_from_slice(&record);
        self.count += 1;
        true
    }

    /// The body of the block; it is one piece.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut body = encode(self.count);
        body.extend_from_slice(&self.records);
        body
    }
}

/// An entry of a block, with the number and length of its value if that lies elsewhere.
pub(crate) struct BlockEntry {
    pub(crate) key: Key,
    pub(crate) content: BlockContent,
    pub(crate) created: Revision,
    pub(crate) modified: Revision,
    pub(crate) version: u64,
    pub(crate) sealed: Option<Digest>,
}

pub(crate) enum BlockContent {
    Inline(Arc<[u8]>),
    Large { number: u64, length: u64 },
}

pub(crate) fn decode_block(body: &[u8]) -> Result<Vec<BlockEntry>, DecodeError> {
    let records: Vec<EntryRecord<'_>> = decode(body)?;
    let entry = |record: EntryRecord<'_>| {
        let EntryRecord { key, created, modified, version, sealed, content } = record;
        Ok(BlockEntry {
            key: key_of(key)?,
            content: match content {
                ContentRecord::Inline(bytes) => BlockContent::Inline(bytes.into()),
                ContentRecord::Large { number, length } => BlockContent::Large { number, length },
            },
            created: Revision::new(created),
            modified: Revision::new(modified),
            version,
            sealed: sealed.map(Digest::from_bytes),
        })
    };
    records.into_iter().map(entry).collect()
}

pub(crate) fn encode_requests(requests: &[Request]) -> Vec<u8> {
    let record =
        |request: &Request| (request.id.as_str().to_owned(), request.revision.get(), *request.commit.as_bytes());
    encode(requests.iter().map(record).collect::<Vec<_>>())
}

pub(crate) fn decode_requests(body: &[u8]) -> Result<Vec<Request>, DecodeError> {
    let records: Vec<(&str, u64, [u8; 32])> = decode(body)?;
    let request = |(id, revision, commit): (&str, u64, [u8; 32])| {
        Ok(Request { id: request_id_of(id)?, revision: Revision::new(revision), commit: Digest::from_bytes(commit) })
    };
    records.into_iter().map(request).collect()
}
