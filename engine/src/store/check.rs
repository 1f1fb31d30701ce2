//! Checking the records of an embedded store, page by page: every checksum, every record whole, every digest true.
//!
//! Never here: whether one commit follows from another; the engine checks that (`verify.rs`).

use std::ops::ControlFlow;

use crate::codec::{Meta, decode_block, decode_group, decode_meta, decode_requests, open_piece};
use crate::digest::Digest;
use crate::error::{Damage, StoreError};
use crate::limits::PAGE_BYTES_MAX;
use crate::store::base::block_damage;
use crate::store::records::{damage, read_record};
use crate::store::sled::Disk;
use crate::store::{CheckCursor, CheckPage, layout};

/// Checks about a page of pieces.
pub(crate) fn page(disk: &mut Disk, meta: &Meta, from: CheckCursor) -> Result<CheckPage, StoreError> {
    let from = match from {
        CheckCursor::Start => vec![0],
        CheckCursor::At(key) => key,
    };
    let mut result = CheckPage { findings: Vec::new(), records: 0, next: None };
    let mut bytes = 0;
    let mut whole = Vec::new();
    disk.scan(&from, &[u8::MAX], &mut |key, piece| {
        if bytes > PAGE_BYTES_MAX {
            result.next = Some(CheckCursor::At(key.to_vec()));
            return ControlFlow::Break(());
        }
        bytes += key.len() + piece.len();
        result.records += 1;
        match check_piece(key, piece) {
            Ok(Some(record)) => whole.push(record),
            Ok(None) => {}
            Err(finding) => result.findings.push(finding),
        }
        ControlFlow::Continue(())
    })?;
    for record in whole {
        match read_record(disk, &record.key(), &record.what()) {
            Ok(body) => result.findings.extend(record.check(&body.unwrap_or_default()).err()),
            Err(StoreError::Damaged(damage)) => result.findings.push(record.place(damage)),
            Err(error) => return Err(error),
        }
    }
    if result.next.is_none() {
        result.findings.extend(check_blocks(disk, meta)?);
    }
    Ok(result)
}

/// A record in parts that begins in the page.
enum Whole {
    Group(crate::revision::Revision),
    Requests(crate::revision::Revision),
    Sealed(Digest),
}

impl Whole {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Group(first) => layout::group(*first),
            Self::Requests(base) => layout::requests(*base),
            Self::Sealed(digest) => layout::sealed(digest),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Group(first) => format!("the commits from {first} on"),
            Self::Requests(_) => "the request ids".to_owned(),
            Self::Sealed(digest) => format!("sealed bytes {digest}"),
        }
    }

    fn place(&self, damage: Damage) -> Damage {
        match self {
            Self::Group(revision) | Self::Requests(revision) => damage.at(*revision),
            Self::Sealed(_) => damage,
        }
    }

    fn check(&self, body: &[u8]) -> Result<(), Damage> {
        let decoded = match self {
            Self::Group(_) => decode_group(body).map(drop),
            Self::Requests(_) => decode_requests(body).map(drop),
            Self::Sealed(digest) if Digest::of(body) == *digest => Ok(()),
            Self::Sealed(_) => return Err(Damage::new(format!("{} are not what their digest says", self.what()))),
        };
        decoded.map_err(|error| self.place(damage(&self.what(), &error)))
    }
}

/// Checks one piece; gives the record that begins with it, to be checked as a whole.
fn check_piece(key: &[u8], piece: &[u8]) -> Result<Option<Whole>, Damage> {
    let [blocks, _, requests] = layout::BASE_TAGS;
    let first_part = key.ends_with(&[0, 0, 0, 0]);
    let whole = if let Some(first) = layout::group_of(key) {
        Some(Whole::Group(first))
    } else if let Some(digest) = layout::digest_of(key) {
        Some(Whole::Sealed(digest))
    } else {
        layout::base_of(requests, key).map(Whole::Requests)
    };
    if let Some(whole) = whole {
        return match open_piece(key, piece) {
            Ok(_) => Ok(first_part.then_some(whole)),
            Err(error) => Err(whole.place(damage(&whole.what(), &error))),
        };
    }
    if key == layout::META {
        let decoded = open_piece(key, piece).and_then(decode_meta);
        return decoded.map(|_| None).map_err(|error| damage("the meta record", &error));
    }
    if let Some(base) = layout::base_of(blocks, key) {
        let decoded = open_piece(key, piece).and_then(decode_block);
        return decoded
            .map(|_| None)
            .map_err(|error| block_damage(base, key, damage("a block of the current entries", &error)));
    }
    open_piece(key, piece).map(|_| None).map_err(|error| damage("a large value", &error))
}

/// Counts the blocks of the bases that meta names.
fn check_blocks(disk: &mut Disk, meta: &Meta) -> Result<Vec<Damage>, StoreError> {
    let mut findings = Vec::new();
    for base in &meta.bases {
        let (from, to) = layout::blocks(base.head.revision);
        let mut blocks = 0;
        disk.scan(&from, &to, &mut |_, _| {
            blocks += 1;
            ControlFlow::Continue(())
        })?;
        if blocks != base.blocks {
            let what = format!("{} of {} blocks of the current entries are there", blocks, base.blocks);
            findings.push(Damage::new(what).at(base.head.revision));
        }
    }
    Ok(findings)
}
