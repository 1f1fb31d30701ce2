//! The bytes of the witness: drawn in `docs/format.md`.
//!
//! Never here: when it is written (`store/folder.rs`).

use super::checksum;
use crate::digest::Digest;
use crate::revision::Revision;

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
