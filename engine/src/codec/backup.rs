//! The bytes of a backup, which is a file of frames: drawn in `docs/format.md`.
//!
//! Never here: reading or writing that file (`backup.rs`).

use super::base::{BlockContent, BlockEntry, decode_block, entry_record};
use super::meta::{Meta, decode_meta, encode_meta};
use super::{DecodeError, checksum, decode, encode};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::key::Key;
use crate::snapshot::Head;
use crate::store::Identity;

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
