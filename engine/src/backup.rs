//! Backup and restore: the whole state at one revision in one file with hashes, and a new store made of it.
//!
//! A restored store goes on under the same id in a new epoch, and its revision jumps, so that no cache and no resume token
//! can take it for the one it was made from. The state at the jump is its oldest.
//!
//! Never here: the bytes of a frame (`codec.rs`), or where files lie.

use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use imbl::OrdMap;

use crate::codec::{self, BackupHeader, BackupTrailer, DecodeError, FrameKind};
use crate::digest::{Digest, Hasher};
use crate::engine::{Engine, block_on};
use crate::entry::Entry;
use crate::error::StoreError;
use crate::key::Key;
use crate::limits::{BACKUP_FRAME_BYTES, BACKUP_FRAME_BYTES_MAX, RESTORE_REVISION_JUMP};
use crate::revision::Revision;
use crate::snapshot::Head;
use crate::store::embedded::SledStore;
use crate::store::opening::{Seed, SledOptions, StoreOpenError};
use crate::store::{Identity, Request};

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupReport {
    /// The store that it was made of.
    pub identity: Identity,
    /// The commit whose state it holds.
    pub head: Head,
    /// Keys in it.
    pub keys: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, which its last frame carries.
    pub digest: Digest,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be written.
    #[error("the backup cannot be written")]
    Write(#[source] io::Error),
    /// It was stopped by its own progress report.
    #[error("the backup was stopped")]
    Stopped,
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It cannot be read.
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
    /// It is no backup.
    #[error("this is no backup of a store")]
    NotABackup,
    /// It was written by a later version.
    #[error("the backup has format {found}, this program reads up to {supported}: use a newer `reconcile`")]
    FutureFormat {
        /// Its format.
        found: u32,
        /// The newest format that this program reads.
        supported: u32,
    },
    /// It is not what was written.
    #[error("the backup is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// There is a store in the folder already.
    #[error("there is a store in `{}` already: restore into an empty folder", path.display())]
    Occupied {
        /// The folder.
        path: std::path::PathBuf,
    },
    /// The new store cannot be made.
    #[error("the store cannot be made")]
    Open(#[source] StoreOpenError),
    /// The new store cannot be written.
    #[error("the store cannot be written")]
    Storage(#[source] StoreError),
}

impl Engine {
    /// Writes the state at the head, whole and consistent while commits go on, into `out`, which the caller makes durable.
    /// `progress` is told how many keys of how many are written, and may stop it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn backup(
        &self,
        out: &mut dyn Write,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<BackupReport, BackupError> {
        // Request ids first: those of commits after the snapshot are left out below.
        let requests = block_on(self.on_writer(|_, requests| requests.list())).ok_or(BackupError::Closed)?;
        let (snapshot, sealed) = self.published();
        let (identity, head) = (self.identity(), snapshot.head());
        let total = snapshot.len() as u64;
        let mut out = FrameWriter { out, hasher: Hasher::new(DOMAIN), bytes: 0 };
        out.out.write_all(codec::BACKUP_MAGIC).map_err(BackupError::Write)?;
        out.frame(FrameKind::Header, &codec::encode_backup_header(&BackupHeader { identity, head }))?;
        let mut keys = 0;
        let mut page = Vec::new();
        let mut bytes = 0;
        for (key, entry) in snapshot.iter() {
            bytes += key.as_str().len() + entry.value().len();
            page.push((key, entry));
            keys += 1;
            if bytes >= BACKUP_FRAME_BYTES || keys == total {
                out.frame(FrameKind::Entries, &codec::encode_entries(&page))?;
                page.clear();
                bytes = 0;
                if progress(keys, total).is_break() {
                    return Err(BackupError::Stopped);
                }
            }
        }
        for bytes in sealed.all() {
            out.frame(FrameKind::Sealed, bytes)?;
        }
        let known: Vec<_> = requests.into_iter().filter(|request| request.revision <= head.revision).collect();
        for page in known.chunks(1000) {
            out.frame(FrameKind::Requests, &codec::encode_requests(page))?;
        }
        let digest = std::mem::replace(&mut out.hasher, Hasher::new(DOMAIN)).finish();
        out.frame(FrameKind::Trailer, &codec::encode_backup_trailer(&BackupTrailer { keys, digest }))?;
        out.out.flush().map_err(BackupError::Write)?;
        Ok(BackupReport { identity, head, keys, bytes: out.bytes + codec::BACKUP_MAGIC.len() as u64, digest })
    }
}

const DOMAIN: &str = "holdfast/backup/1";

struct FrameWriter<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
    bytes: u64,
}

impl FrameWriter<'_> {
    fn frame(&mut self, kind: FrameKind, body: &[u8]) -> Result<(), BackupError> {
        self.hasher.part(body);
        let frame = codec::encode_frame(kind, body);
        self.bytes += frame.len() as u64;
        self.out.write_all(&frame).map_err(BackupError::Write)
    }
}

/// What a backup says, read and checked to its end.
#[derive(Debug)]
struct Content {
    header: BackupHeader,
    entries: OrdMap<Key, Entry>,
    sealed: Vec<(Digest, Arc<[u8]>)>,
    requests: Vec<Request>,
    bytes: u64,
    digest: Digest,
}

/// Reads a backup to its end and checks all of it, changing nothing.
///
/// # Errors
/// If it cannot be read, or is not whole.
pub fn check_backup(input: &mut dyn BufRead) -> Result<BackupReport, RestoreError> {
    let Content { header: BackupHeader { identity, head }, entries, bytes, digest, .. } = read(input)?;
    Ok(BackupReport { identity, head, keys: entries.len() as u64, bytes, digest })
}

/// Makes a store of a backup in the folder `path`, which holds none yet. It has the id of the store that the backup was made
/// of, the next epoch, and a head far beyond the backup's; nothing is written before the whole backup was checked. Gives the
/// new identity and head.
///
/// # Errors
/// If the backup is not whole, or the store cannot be made.
pub fn restore(input: &mut dyn BufRead, path: &Path, options: SledOptions) -> Result<(Identity, Head), RestoreError> {
    let Content { header, entries, sealed, requests, .. } = read(input)?;
    let BackupHeader { identity, head } = header;
    let identity = Identity { epoch: identity.epoch + 1, ..identity };
    let jump = head.revision.get().saturating_add(RESTORE_REVISION_JUMP);
    let head = Head { revision: Revision::new(jump), ..head };
    let seed = Seed { identity, head, entries, requests, sealed };
    match SledStore::seed(path, options, seed) {
        Ok(()) => Ok((identity, head)),
        Err(StoreOpenError::Occupied { path }) => Err(RestoreError::Occupied { path }),
        Err(StoreOpenError::Storage(error)) => Err(RestoreError::Storage(error)),
        Err(error) => Err(RestoreError::Open(error)),
    }
}

fn read(input: &mut dyn BufRead) -> Result<Content, RestoreError> {
    let mut magic = [0; codec::BACKUP_MAGIC.len()];
    if !read_exact(input, &mut magic)? || magic != *codec::BACKUP_MAGIC {
        return Err(RestoreError::NotABackup);
    }
    let damaged = |what: &str| RestoreError::Damaged { what: what.to_owned() };
    let undecoded = |error: DecodeError| match error {
        DecodeError::Future(found) => RestoreError::FutureFormat { found, supported: codec::FORMAT },
        error => RestoreError::Damaged { what: error.to_string() },
    };
    let mut hasher = Hasher::new(DOMAIN);
    let mut bytes = magic.len() as u64;
    let mut header = None;
    let mut entries = OrdMap::new();
    let (mut sealed, mut requests) = (Vec::new(), Vec::new());
    loop {
        let mut frame = [0; codec::FRAME_HEADER];
        if !read_exact(input, &mut frame)? {
            return Err(damaged("it ends before its last frame"));
        }
        let (kind, length, sum) = codec::decode_frame_header(&frame).map_err(undecoded)?;
        if length > BACKUP_FRAME_BYTES_MAX {
            return Err(damaged("a frame is longer than any"));
        }
        let mut body = vec![0; length];
        if !read_exact(input, &mut body)? || !codec::frame_matches(kind, &body, sum) {
            return Err(damaged("a checksum does not match"));
        }
        bytes += (frame.len() + body.len()) as u64;
        if header.is_none() != (kind == FrameKind::Header) {
            return Err(damaged("its frames are out of order"));
        }
        if kind != FrameKind::Trailer {
            hasher.part(&body);
        }
        match kind {
            FrameKind::Header => header = Some(codec::decode_backup_header(&body).map_err(undecoded)?),
            FrameKind::Entries => entries.extend(codec::decode_entries(&body).map_err(undecoded)?),
            FrameKind::Requests => requests.extend(codec::decode_requests(&body).map_err(undecoded)?),
            FrameKind::Trailer => {
                let BackupTrailer { keys, digest } = codec::decode_backup_trailer(&body).map_err(undecoded)?;
                if digest != hasher.finish() || keys != entries.len() as u64 {
                    return Err(damaged("it is not whole"));
                }
                let header = header.ok_or_else(|| damaged("its header is missing"))?;
                return Ok(Content { header, entries, sealed, requests, bytes, digest });
            }
            FrameKind::Sealed => sealed.push((Digest::of(&body), body.into())),
        }
    }
}

/// Fills `buffer`; false if the input ends before.
fn read_exact(input: &mut dyn BufRead, buffer: &mut [u8]) -> Result<bool, RestoreError> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(RestoreError::Read(error)),
    }
}
