//! The bytes: pieces with version and checksum, records cut into pieces, and the bodies in bincode. The only user of
//! `bincode` and of checksums; `docs/format.md` draws what is here.
//!
//! Never here: keys (`store/layout.rs`), files, or an answer to damage. What does not decode is an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::config::Configuration;
use bincode::{BorrowDecode, Decode, Encode};
use uuid::Uuid;

use crate::commit::{Change, Commit, Mark, RequestId};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::key::Key;
use crate::limits::{CHUNK_BYTES_MAX, COMMIT_BYTES_MAX, GROUP_BYTES_MAX};
use crate::revision::{Revision, Timestamp};
use crate::snapshot::Head;
use crate::store::{Identity, Request};

/// The newest format that this program reads, and the one it writes.
pub(crate) const FORMAT: u32 = 1;

const PIECE_VERSION: u8 = 1;
/// Bytes of a piece before its payload.
pub(crate) const PIECE_HEADER: usize = 5;
/// Most payload of one piece.
pub(crate) const PAYLOAD_MAX: usize = CHUNK_BYTES_MAX - PIECE_HEADER;
/// Larger values of a base lie outside its blocks.
const INLINE_MAX: usize = 2048;
/// Longest body that is read: a group, with room for the overhead of a hundred thousand changes.
const BODY_MAX: usize = 2 * (COMMIT_BYTES_MAX + GROUP_BYTES_MAX);

const CONFIG: Configuration = bincode::config::standard();

const _: () = assert!(INLINE_MAX + crate::limits::KEY_BYTES_MAX + 128 < PAYLOAD_MAX, "every entry fits in a block");
const _: () = assert!(BODY_MAX < u32::MAX as usize, "the length of a body fits in a u32");

/// Why bytes do not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("a checksum does not match")]
    Checksum,
    #[error("a record is cut short")]
    Short,
    #[error("a record has the unknown version {0}")]
    Version(u8),
    #[error("the store has format {0}, this program reads up to {FORMAT}")]
    Future(u32),
    #[error("a record does not decode: {0}")]
    Body(String),
}

// ---- pieces and parts ----

/// One piece: version, checksum over key and payload, payload.
pub(crate) fn seal_piece(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut piece = Vec::with_capacity(PIECE_HEADER + payload.len());
    piece.push(PIECE_VERSION);
    piece.extend_from_slice(&checksum(&[key, payload]).to_le_bytes());
    piece.extend_from_slice(payload);
    piece
}

/// The payload of a piece.
pub(crate) fn open_piece<'a>(key: &[u8], piece: &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let (&version, rest) = piece.split_first().ok_or(DecodeError::Short)?;
    if version != PIECE_VERSION {
        return Err(DecodeError::Version(version));
    }
    let (sum, payload) = rest.split_first_chunk::<4>().ok_or(DecodeError::Short)?;
    if checksum(&[key, payload]) == u32::from_le_bytes(*sum) { Ok(payload) } else { Err(DecodeError::Checksum) }
}

/// A body with its length in front, ready to be cut into parts.
pub(crate) fn with_length(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a body is at most BODY_MAX long");
    [&length.to_le_bytes(), body].concat()
}

/// The body of a record from the joined payloads of its parts.
pub(crate) fn without_length(joined: &[u8]) -> Result<&[u8], DecodeError> {
    let (length, body) = joined.split_first_chunk::<4>().ok_or(DecodeError::Short)?;
    if body.len() == u32::from_le_bytes(*length) as usize { Ok(body) } else { Err(DecodeError::Short) }
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

fn encode(body: impl Encode) -> Vec<u8> {
    bincode::encode_to_vec(body, CONFIG).expect("encoding into memory does not fail")
}

fn decode<'a, T: BorrowDecode<'a, ()>>(body: &'a [u8]) -> Result<T, DecodeError> {
    let limited = CONFIG.with_limit::<BODY_MAX>();
    match bincode::borrow_decode_from_slice(body, limited) {
        Ok((value, read)) if read == body.len() => Ok(value),
        Ok(_) => Err(DecodeError::Body("bytes are left over".to_owned())),
        Err(error) => Err(DecodeError::Body(error.to_string())),
    }
}

// ---- meta ----

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

// ---- groups of commits ----

#[derive(Encode, BorrowDecode)]
struct CommitRecord<'a> {
    revision: u64,
    id: [u8; 32],
    parent: [u8; 32],
    time: i64,
    author: &'a str,
    message: &'a str,
    source: Option<&'a str>,
    request_id: Option<&'a str>,
    annotations: Vec<(&'a str, &'a str)>,
    changes: Vec<ChangeRecord<'a>>,
}

#[derive(Encode, BorrowDecode)]
enum ChangeRecord<'a> {
    Put { key: &'a str, created: u64, version: u64, previous: u64, sealed: Option<[u8; 32]>, value: &'a [u8] },
    Delete { key: &'a str, created: u64, previous: u64 },
}

pub(crate) fn encode_group(commits: &[Arc<Commit>]) -> Vec<u8> {
    encode(commits.iter().map(|commit| commit_record(commit)).collect::<Vec<_>>())
}

pub(crate) fn decode_group(body: &[u8]) -> Result<Vec<Arc<Commit>>, DecodeError> {
    let records: Vec<CommitRecord<'_>> = decode(body)?;
    records.into_iter().map(|record| commit(record).map(Arc::new)).collect()
}

/// The keys of a damaged group whose value lies, at least partly, in `range` of the body: as far as the body still decodes.
pub(crate) fn keys_within(body: &[u8], range: &std::ops::Range<usize>) -> Vec<(Revision, Key)> {
    let records: Vec<CommitRecord<'_>> = decode(body).unwrap_or_default();
    let start = body.as_ptr().addr();
    let touches = |value: &[u8]| {
        let from = value.as_ptr().addr() - start;
        from < range.end && from + value.len() > range.start
    };
    let mut found = Vec::new();
    for record in &records {
        for change in &record.changes {
            let (key, bytes): (&str, &[u8]) = match change {
                ChangeRecord::Put { key, value, .. } => (key, value),
                ChangeRecord::Delete { key, .. } => (key, &[]),
            };
            if (touches(key.as_bytes()) || touches(bytes))
                && let Ok(key) = Key::new(key)
            {
                found.push((Revision::new(record.revision), key));
            }
        }
    }
    found
}

fn commit_record(commit: &Commit) -> CommitRecord<'_> {
    let Commit { revision, id, parent, time, author, message, source, request_id, annotations, changes, marks } =
        commit;
    CommitRecord {
        revision: revision.get(),
        id: *id.as_bytes(),
        parent: *parent.as_bytes(),
        time: time.as_millis(),
        author,
        message,
        source: source.as_deref(),
        request_id: request_id.as_ref().map(RequestId::as_str),
        annotations: annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        changes: changes.iter().zip(marks).map(|(change, mark)| change_record(change, mark)).collect(),
    }
}

fn change_record<'a>(change: &'a Change, mark: &Mark) -> ChangeRecord<'a> {
    let Mark { created, version, previous } = *mark;
    let (created, previous) = (created.get(), previous.get());
    match change {
        Change::Put { key, value, sealed } => {
            let sealed = sealed.as_ref().map(|digest| *digest.as_bytes());
            ChangeRecord::Put { key: key.as_str(), created, version, previous, sealed, value }
        }
        Change::Delete { key } => ChangeRecord::Delete { key: key.as_str(), created, previous },
    }
}

fn commit(record: CommitRecord<'_>) -> Result<Commit, DecodeError> {
    let CommitRecord { revision, id, parent, time, author, message, source, request_id, annotations, changes } = record;
    let request_id = request_id.map(request_id_of).transpose()?;
    let annotations: BTreeMap<String, String> =
        annotations.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut marks = Vec::with_capacity(changes.len());
    let mut kept = Vec::with_capacity(changes.len());
    for change in changes {
        let (change, created, version, previous) = match change {
            ChangeRecord::Put { key, created, version, previous, sealed, value } => {
                let sealed = sealed.map(Digest::from_bytes);
                (Change::Put { key: key_of(key)?, value: value.into(), sealed }, created, version, previous)
            }
            ChangeRecord::Delete { key, created, previous } => {
                (Change::Delete { key: key_of(key)? }, created, 0, previous)
            }
        };
        kept.push(change);
        marks.push(Mark { created: Revision::new(created), version, previous: Revision::new(previous) });
    }
    Ok(Commit {
        revision: Revision::new(revision),
        id: Digest::from_bytes(id),
        parent: Digest::from_bytes(parent),
        time: Timestamp::from_millis(time),
        author: author.to_owned(),
        message: message.to_owned(),
        source: source.map(str::to_owned),
        request_id,
        annotations,
        changes: kept,
        marks,
    })
}

fn key_of(text: &str) -> Result<Key, DecodeError> {
    Key::new(text).map_err(|error| DecodeError::Body(error.to_string()))
}

fn request_id_of(text: &str) -> Result<RequestId, DecodeError> {
    RequestId::new(text).map_err(|error| DecodeError::Body(error.to_string()))
}

// ---- bases ----

#[derive(Encode, BorrowDecode)]
struct EntryRecord<'a> {
    key: &'a str,
    created: u64,
    modified: u64,
    version: u64,
    sealed: Option<[u8; 32]>,
    content: ContentRecord<'a>,
}

#[derive(Encode, BorrowDecode)]
enum ContentRecord<'a> {
    Inline(&'a [u8]),
    Large { number: u64, length: u64 },
}

fn entry_record<'a>(key: &'a Key, entry: &'a Entry, large: Option<u64>) -> EntryRecord<'a> {
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

// ---- backups ----

/// The first bytes of a backup.
pub(crate) const BACKUP_MAGIC: &[u8; 8] = b"HFBACKUP";
/// Bytes of a frame before its body.
pub(crate) const FRAME_HEADER: usize = 9;

/// What a frame of a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Header,
    Entries,
    Sealed,
    Requests,
    Trailer,
}

const FRAME_KINDS: [FrameKind; 5] =
    [FrameKind::Header, FrameKind::Entries, FrameKind::Sealed, FrameKind::Requests, FrameKind::Trailer];

/// What the first frame of a backup says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackupHeader {
    pub(crate) identity: Identity,
    pub(crate) head: Head,
}

/// What the last frame of a backup says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackupTrailer {
    pub(crate) keys: u64,
    pub(crate) digest: Digest,
}

/// One frame: kind, length, checksum over kind and body, body.
pub(crate) fn encode_frame(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let tag = tag_of(kind);
    let length = u32::try_from(body.len()).expect("a frame is at most BACKUP_FRAME_BYTES_MAX long");
    let mut frame = Vec::with_capacity(FRAME_HEADER + body.len());
    frame.push(tag);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&checksum(&[&[tag], body]).to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Kind, length and checksum of a frame.
pub(crate) fn decode_frame_header(header: &[u8; FRAME_HEADER]) -> Result<(FrameKind, usize, u32), DecodeError> {
    let [tag, a, b, c, d, e, f, g, h] = *header;
    let kind = FRAME_KINDS.into_iter().find(|kind| tag_of(*kind) == tag);
    let kind = kind.ok_or(DecodeError::Version(tag))?;
    Ok((kind, u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h])))
}

/// Whether a frame is what was written.
pub(crate) fn frame_matches(kind: FrameKind, body: &[u8], sum: u32) -> bool {
    checksum(&[&[tag_of(kind)], body]) == sum
}

fn tag_of(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Header => 1,
        FrameKind::Entries => 2,
        FrameKind::Sealed => 3,
        FrameKind::Requests => 4,
        FrameKind::Trailer => 5,
    }
}

pub(crate) fn encode_backup_header(header: &BackupHeader) -> Vec<u8> {
    let BackupHeader { identity, head } = *header;
    // The same body as the meta record, so that a future format is named in the same way.
    encode_meta(&Meta { identity, compacted: head, bases: Vec::new() })
}

pub(crate) fn decode_backup_header(body: &[u8]) -> Result<BackupHeader, DecodeError> {
    decode_meta(body).map(|Meta { identity, compacted, bases: _ }| BackupHeader { identity, head: compacted })
}

pub(crate) fn encode_backup_trailer(trailer: &BackupTrailer) -> Vec<u8> {
    let BackupTrailer { keys, digest } = trailer;
    encode((*keys, *digest.as_bytes()))
}

pub(crate) fn decode_backup_trailer(body: &[u8]) -> Result<BackupTrailer, DecodeError> {
    let (keys, digest): (u64, [u8; 32]) = decode(body)?;
    Ok(BackupTrailer { keys, digest: Digest::from_bytes(digest) })
}

/// Entries with their values, as a list of the records that a block has.
pub(crate) fn encode_entries(entries: &[(&Key, &Entry)]) -> Vec<u8> {
    encode(entries.iter().map(|(key, entry)| entry_record(key, entry, None)).collect::<Vec<_>>())
}

pub(crate) fn decode_entries(body: &[u8]) -> Result<Vec<(Key, Entry)>, DecodeError> {
    let entry = |record: BlockEntry| match record.content {
        BlockContent::Inline(value) => {
            let entry = Entry::new(value, record.sealed, record.created, record.modified, record.version);
            Ok((record.key, entry))
        }
        BlockContent::Large { .. } => Err(DecodeError::Body("a value lies outside its frame".to_owned())),
    };
    decode_block(body)?.into_iter().map(entry).collect()
}

// ---- the witness ----

const WITNESS_MAGIC: &[u8; 8] = b"HFWITNS1";

/// The newest commit that was acknowledged, in its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) epoch: u64,
    pub(crate) revision: Revision,
    pub(crate) id: Digest,
}

pub(crate) fn encode_witness(witness: &Witness) -> [u8; 64] {
    let Witness { epoch, revision, id } = witness;
    let mut bytes = [0; 64];
    bytes[..8].copy_from_slice(WITNESS_MAGIC);
    bytes[8..16].copy_from_slice(&epoch.to_le_bytes());
    bytes[16..24].copy_from_slice(&revision.get().to_le_bytes());
    bytes[24..56].copy_from_slice(id.as_bytes());
    let sum = checksum(&[&bytes[..56]]);
    bytes[56..60].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The witness, if the bytes are one.
pub(crate) fn decode_witness(bytes: &[u8]) -> Option<Witness> {
    let (content, rest) = bytes.split_first_chunk::<56>()?;
    let sum = rest.first_chunk::<4>()?;
    if &content[..8] != WITNESS_MAGIC || checksum(&[content]) != u32::from_le_bytes(*sum) {
        return None;
    }
    let number = |at: usize| content[at..].first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    let id = content[24..].first_chunk::<32>()?;
    Some(Witness { epoch: number(8)?, revision: Revision::new(number(16)?), id: Digest::from_bytes(*id) })
}
