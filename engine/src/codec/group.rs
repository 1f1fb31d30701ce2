//! The bytes of groups of commits: drawn in `docs/format.md`.
//!
//! Never here: whether one commit follows from another (`verify.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use super::{DecodeError, decode, encode, key_of, request_id_of};
use crate::commit::{Change, Commit, Mark, RequestId};
use crate::digest::Digest;
use crate::key::Key;
use crate::revision::{Revision, Timestamp};

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
