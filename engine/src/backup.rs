//! Backup: the whole state at one revision in one file with hashes, written while commits go on, and read back.
//!
//! Never here: the bytes of a frame (`codec.rs`), or a store being made of it (`restore.rs`).

use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use imbl::OrdMap;

use crate::codec::{self, BackupHeader, BackupTrailer, DecodeError, FrameKind};
use crate::digest::{Digest, Hasher};
use crate::engine::Engine;
use crate::entry::Entry;
use crate::failpoint::failpoint;
use crate::key::Key;
use crate::limits::{BACKUP_FRAME_BYTES, BACKUP_FRAME_BYTES_MAX};
use crate::pending::block_on;
use crate::restore::RestoreError;
use crate::sealed::SealedSet;
use crate::snapshot::{Head, Snapshot};
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
        let whole = Whole { identity: self.identity(), snapshot: &snapshot, sealed: &sealed, requests };
        whole.write(BACKUP, out, &mut progress)
    }
}

/// What a file of frames is for: two of different forms are never taken for one another.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) magic: &'static [u8; 8],
    pub(crate) domain: &'static str,
}

const BACKUP: Form = Form { magic: codec::BACKUP_MAGIC, domain: "holdfast/backup/1" };

/// A state with everything that belongs to it.
pub(crate) struct Whole<'a> {
    pub(crate) identity: Identity,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) sealed: &'a SealedSet,
    pub(crate) requests: Vec<Request>,
}

impl Whole<'_> {
    /// Writes all of it as frames.
    pub(crate) fn write(
        self,
        form: Form,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<BackupReport, BackupError> {
        let Self { identity, snapshot, sealed, requests } = self;
        let head = snapshot.head();
        let total = snapshot.len() as u64;
        let mut out = FrameWriter { out, hasher: Hasher::new(form.domain), bytes: 0 };
        out.out.write_all(form.magic).map_err(BackupError::Write)?;
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
        let digest = std::mem::replace(&mut out.hasher, Hasher::new(form.domain)).finish();
        out.frame(FrameKind::Trailer, &codec::encode_backup_trailer(&BackupTrailer { keys, digest }))?;
        failpoint("backup-before-flush");
        out.out.flush().map_err(BackupError::Write)?;
        failpoint("backup-flushed");
        Ok(BackupReport { identity, head, keys, bytes: out.bytes + form.magic.len() as u64, digest })
    }
}

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
        failpoint("backup-before-frame");
        self.out.write_all(&frame).map_err(BackupError::Write)?;
        failpoint("backup-after-frame");
        Ok(())
    }
}

/// What a backup says, read and checked to its end.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) header: BackupHeader,
    pub(crate) entries: OrdMap<Key, Entry>,
    pub(crate) sealed: Vec<(Digest, Arc<[u8]>)>,
    pub(crate) requests: Vec<Request>,
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

pub(crate) fn read(input: &mut dyn BufRead) -> Result<Content, RestoreError> {
    read_form(BACKUP, input)
}

/// Reads a file of frames of one form to its end.
pub(crate) fn read_form(form: Form, input: &mut dyn BufRead) -> Result<Content, RestoreError> {
    let mut magic = [0; 8];
    if !read_exact(input, &mut magic)? || magic != *form.magic {
        return Err(RestoreError::NotABackup);
    }
    let damaged = |what: &str| RestoreError::Damaged { what: what.to_owned() };
    let undecoded = |error: DecodeError| match error {
        DecodeError::Future(found) => RestoreError::FutureFormat { found, supported: codec::FORMAT },
        error => RestoreError::Damaged { what: error.to_string() },
    };
    let mut hasher = Hasher::new(form.domain);
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
