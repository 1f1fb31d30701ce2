//! The bytes: pieces with version and checksum, records cut into pieces; below this file the bodies, in bincode. The only
//! user of `bincode` and of checksums; `docs/format.md` draws what is here.
//!
//! Never here: keys (`store/layout.rs`), files, or an answer to damage. What does not decode is an error.

mod backup;
mod base;
mod group;
mod meta;
mod witness;

use bincode::config::Configuration;
use bincode::{BorrowDecode, Encode};

pub(crate) use self::backup::{
    BACKUP_MAGIC, BackupHeader, BackupTrailer, FRAME_HEADER, FrameKind, decode_backup_header, decode_backup_trailer,
    decode_entries, decode_frame_header, encode_backup_header, encode_backup_trailer, encode_entries, encode_frame,
    frame_matches,
};
pub(crate) use self::base::{
    BlockContent, BlockEntry, BlockWriter, decode_block, decode_requests, encode_requests, is_large,
};
pub(crate) use self::group::{decode_group, encode_group, keys_within};
pub(crate) use self::meta::{BaseMark, Meta, decode_meta, encode_meta};
pub(crate) use self::witness::{Witness, decode_witness, encode_witness};
use crate::commit::RequestId;
use crate::key::Key;
use crate::limits::{CHUNK_BYTES_MAX, COMMIT_BYTES_MAX, GROUP_BYTES_MAX};

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

fn key_of(text: &str) -> Result<Key, DecodeError> {
    Key::new(text).map_err(|error| DecodeError::Body(error.to_string()))
}

fn request_id_of(text: &str) -> Result<RequestId, DecodeError> {
    RequestId::new(text).map_err(|error| DecodeError::Body(error.to_string()))
}
