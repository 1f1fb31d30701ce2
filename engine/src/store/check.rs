//! Checking the records of an embedded store, page by page: every checksum, every record whole, every digest true.
//!
//! Never here: whether one commit follows from another; the engine checks that (`verify.rs`).

use std::ops::ControlFlow;

use crate::codec::{
    Meta, PIECE_HEADER, decode_block, decode_group, decode_meta, decode_requests, keys_within, open_piece,
};
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
            Err(StoreError::Damaged(damage)) => {
                result.findings.extend(suspects(disk, &record, &damage)?);
                result.findings.push(record.place(damage));
            }
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

/// Names the keys whose values lie in the damaged pieces of a group, as far as what is left of it decodes.
fn suspects(disk: &mut Disk, record: &Whole, damage: &Damage) -> Result<Vec<Damage>, StoreError> {
    let Whole::Group(first) = record else { return Ok(Vec::new()) };
    let (from, to) = layout::parts(&layout::group(*first));
    let mut joined = Vec::new();
    let mut bad = Vec::new();
    disk.scan(&from, &to, &mut |key, piece| {
        let start = joined.len();
        joined.extend_from_slice(piece.get(PIECE_HEADER..).unwrap_or_default());
        if open_piece(key, piece).is_err() {
            bad.push(start..joined.len());
        }
        ControlFlow::Continue(())
    })?;
    // The length in front is no part of the body.
    let body = joined.get(4..).unwrap_or_default();
    let mut found = Vec::new();
    for piece in bad {
        let range = piece.start.saturating_sub(4)..piece.end.saturating_sub(4);
        for (revision, key) in keys_within(body, &range) {
            found.push(Damage::new(damage.what.clone()).at(revision).of(&key));
        }
    }
    Ok(found)
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
        // A damaged piece shows when its record is read whole; one that has lost its first part has nothing to be read with.
        return match open_piece(key, piece) {
            _ if first_part => Ok(Some(whole)),
            Ok(_) => Ok(None),
            Err(error) => Err(whole.place(damage(&whole.what(), &error))),
        };
    }
    if layout::is_note(key) {
        return open_piece(key, piece).map(|_| None).map_err(|error| damage("a note", &error));
    }
    if layout::is_reminder(key) {
        let about = layout::reminder_of(key);
        let place = |damage: Damage| about.iter().fold(damage, Damage::of);
        return match (open_piece(key, piece), &about) {
            (Ok(_), Some(_)) => Ok(None),
            (Ok(_), None) => Err(Damage::new("a reminder: its key is none")),
            (Err(error), _) => Err(place(damage("a reminder", &error))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::SledStore;
    use crate::store::opening::SledOptions;
    use crate::store::sled::Changes;
    use crate::store::sync::DiskSyncer;
    use crate::{Engine, Key, Options, Revision, Timestamp, Txn, repair, verify_store};

    fn key(text: &str) -> Key {
        Key::new(text).expect("a key")
    }

    /// A store of three commits, the second with a value of several pieces, and one base.
    fn store(folder: &std::path::Path) {
        let options = SledOptions { base_lag_bytes_min: 1, ..SledOptions::default() };
        let store = SledStore::open(folder, options).expect("opens");
        let engine = Engine::open(Box::new(store), Options::new(|| Timestamp::ZERO)).expect("recovers");
        let put = |name: &str, size: usize| Txn::new().put(key(name), vec![7_u8; size]);
        engine.commit(put("small", 10)).expect("holds");
        engine.commit(put("first", 5000).put(key("large"), vec![8_u8; 9000])).expect("holds");
        engine.commit(put("last", 40_000)).expect("holds");
        while engine.status().trail_lag > 0 {
            engine.on_store(|_| ()).expect("open");
        }
    }

    /// Flips a byte of the piece under `at`, below sled's own checksums.
    fn tamper(folder: &std::path::Path, at: impl FnOnce(&mut Disk) -> Vec<u8>, byte: usize) {
        store(folder);
        flip(folder, at, byte);
    }

    fn flip(folder: &std::path::Path, at: impl FnOnce(&mut Disk) -> Vec<u8>, byte: usize) {
        let Ok(mut disk) = Disk::open(folder, Box::new(DiskSyncer)) else { panic!("opens") };
        let at = at(&mut disk);
        let mut piece = disk.get(&at).expect("readable").expect("there");
        piece[byte] ^= 1;
        let mut changes = Changes::default();
        changes.put(&at, &piece);
        disk.apply(changes).expect("written");
        disk.sync().expect("synced");
    }

    /// What a verification finds of it.
    fn tampered(at: impl FnOnce(&mut Disk) -> Vec<u8>, byte: usize) -> Vec<Damage> {
        let folder = tempfile::tempdir().expect("a folder");
        tamper(folder.path(), at, byte);
        let mut store = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
        let report = verify_store(&mut store, |_, _| ControlFlow::Continue(())).expect("readable");
        report.findings
    }

    fn names(findings: &[Damage], name: &str, revision: u64) -> bool {
        let wanted = (Some(key(name)), Some(Revision::new(revision)));
        findings.iter().any(|finding| (finding.key.clone(), finding.revision) == wanted)
    }

    #[test]
    fn a_sound_store_has_no_findings() {
        let folder = tempfile::tempdir().expect("a folder");
        store(folder.path());
        let mut store = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
        let report = verify_store(&mut store, |_, _| ControlFlow::Continue(())).expect("readable");
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.commits, 3);
        assert!(report.records >= 8, "{report:?}");
    }

    #[test]
    fn damage_of_a_value_names_its_key_and_revision() {
        let group = layout::group(Revision::new(2));
        let findings = tampered(|_| layout::part(&group, 2), 2000);
        assert!(names(&findings, "large", 2), "{findings:?}");
        assert!(!names(&findings, "first", 2), "{findings:?}");
    }

    fn last_block(disk: &mut Disk) -> Vec<u8> {
        let [blocks, _, _] = layout::BASE_TAGS;
        disk.last(&[blocks], &[blocks + 1]).expect("readable").expect("a base").0
    }

    #[test]
    fn damage_of_the_current_entries_names_a_key_of_the_block() {
        let findings = tampered(last_block, 40);
        assert!(names(&findings, "first", 3), "{findings:?}");
    }

    #[test]
    fn damage_of_the_current_entries_is_refused_and_repaired_from_the_commits() {
        let folder = tempfile::tempdir().expect("a folder");
        tamper(folder.path(), last_block, 40);
        let open = || {
            let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
            Engine::open(Box::new(store), Options::new(|| Timestamp::ZERO))
        };
        let refusal = open().expect_err("damaged").to_string();
        assert!(refusal.contains("reconcile verify"), "{refusal}");
        let go_on = |_, _| ControlFlow::Continue(());
        let report = repair(folder.path(), SledOptions::default, go_on).expect("repaired");
        assert!(!report.before.is_sound() && report.after.is_sound(), "{report:?}");
        assert_eq!(report.bases_dropped, 1);
        let engine = open().expect("recovers");
        assert_eq!((engine.head().revision.get(), engine.snapshot().len()), (3, 4));
        drop(engine);
        let report = repair(folder.path(), SledOptions::default, go_on).expect("nothing to do");
        assert_eq!(report.bases_dropped, 0);
    }

    #[test]
    fn damage_of_a_reminder_names_it_and_a_repair_takes_it_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || {
            let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
            Engine::open(Box::new(store), Options::new(|| Timestamp::ZERO)).expect("recovers")
        };
        store(folder.path());
        let engine = open();
        engine.remind(&key("about/a"), b"one").expect("taken");
        engine.remind(&key("about/b"), b"two").expect("taken");
        engine.close();
        flip(folder.path(), |_| layout::reminder(&key("about/b")), PIECE_HEADER);
        let engine = open();
        assert_eq!(engine.reminders("").expect("readable").len(), 1, "the other one is still read");
        engine.close();
        let go_on = |_, _| ControlFlow::Continue(());
        let report = repair(folder.path(), SledOptions::default, go_on).expect("readable");
        assert_eq!(report.before.findings.len(), 1, "{report:?}");
        assert_eq!(report.before.findings[0].key, Some(key("about/b")));
        assert!(report.after.is_sound() && report.reminders_dropped == 1, "{report:?}");
        assert_eq!(open().reminders("").expect("readable").len(), 1);
    }

    #[test]
    fn damage_of_a_commit_is_not_repaired() {
        let folder = tempfile::tempdir().expect("a folder");
        tamper(folder.path(), |_| layout::part(&layout::group(Revision::new(2)), 0), 100);
        let report = repair(folder.path(), SledOptions::default, |_, _| ControlFlow::Continue(())).expect("readable");
        assert!(!report.after.is_sound());
        assert_eq!(report.bases_dropped, 0, "the base still has the state");
        let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
        let engine = Engine::open(Box::new(store), Options::new(|| Timestamp::ZERO)).expect("from its base");
        assert_eq!(engine.snapshot().len(), 4);
    }

    #[test]
    fn damage_of_a_header_is_found_too() {
        for byte in 0..PIECE_HEADER {
            let findings = tampered(|_| layout::part(&layout::group(Revision::new(1)), 0), byte);
            assert!(findings.iter().any(|finding| finding.revision == Some(Revision::new(1))), "{findings:?}");
        }
    }
}
