//! Backups are whole and consistent; a restored store cannot be taken for the old one.

use std::ops::ControlFlow;

use holdfast_engine::{
    AtError, Digest, Engine, Existing, Inherited, Outcome, RestoreError, Restored, ResyncReason, Revision, SledOptions,
    SledStore, StoreOpenError, Txn, WatchEvent, WatchFrom, WatchOptions, check_backup, restore, restore_with,
};

use crate::support::{Bed, MemoryBed, SledBed, id, key, open, put, value};

fn fill(engine: &Engine) {
    for n in 0..30_u32 {
        let txn = put(&format!("k{}", n % 7), &n.to_string()).put(key("large"), n.to_be_bytes().repeat(2000));
        let txn = txn.put_sealed(key("sealed"), *b"tag", n.to_be_bytes().to_vec());
        engine.commit(txn.request_id(id(&format!("id{n}")))).expect("holds");
    }
}

fn backup(engine: &Engine) -> Vec<u8> {
    let mut file = Vec::new();
    let report = engine.backup(&mut file, |_, _| ControlFlow::Continue(())).expect("written");
    assert_eq!(report.bytes, file.len() as u64);
    assert_eq!(check_backup(&mut file.as_slice()).expect("whole"), report);
    file
}

#[test]
fn a_restored_store_has_the_state_in_a_new_epoch_at_a_revision_far_ahead() {
    let bed = SledBed::with_lag(4000);
    let engine = bed.open();
    fill(&engine);
    engine.remind(&key("about/this/place"), b"made").expect("taken");
    let file = backup(&engine);
    let token = engine.watch(WatchOptions::default()).expect("now").token();

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("restored");
    let (identity, head) = restore(&mut file.as_slice(), &path, SledOptions::default()).expect("restored");
    assert_eq!((identity.store, identity.epoch), (engine.identity().store, engine.identity().epoch + 1));
    assert!(head.revision.get() > engine.head().revision.get() + 1_000_000);
    for _ in 0..2 {
        let store = SledStore::open(&path, SledOptions::default()).expect("opens");
        let restored = open(Box::new(store)).expect("recovers");
        assert_eq!((restored.identity(), restored.head()), (identity, head));
        assert!(restored.snapshot().iter().eq(engine.snapshot().iter()));
        assert_eq!(
            restored.sealed(&Digest::of(&29_u32.to_be_bytes())).as_deref(),
            Some(29_u32.to_be_bytes().as_slice())
        );
        assert_eq!(restored.reminders("").expect("readable"), [], "a reminder is about the place of its own store");
        assert!(matches!(restored.at(Revision::new(5)), Err(AtError::Compacted { .. })));
        let again = restored.commit(put("k1", "twice").request_id(id("id7"))).expect("answered");
        assert_eq!((again.outcome, again.revision), (Outcome::Replayed, Revision::new(8)));
        let report = restored.verify(|_, _| ControlFlow::Continue(())).expect("readable");
        assert!(report.is_sound(), "{:?}", report.findings);
    }
    let store = SledStore::open(&path, SledOptions::default()).expect("opens");
    let restored = open(Box::new(store)).expect("recovers");
    assert_eq!(restored.commit(put("new", "1")).expect("holds").revision, head.revision.next());
    assert_eq!(value(restored.at(head.revision.next()).expect("kept").get("new")), Some("1"));
    let options = WatchOptions { from: WatchFrom::Token(token), ..WatchOptions::default() };
    let mut watch = restored.watch(options).expect("begins again");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let event = runtime.block_on(watch.next()).expect("goes on");
    assert!(matches!(event, WatchEvent::Resync { reason: ResyncReason::OtherEpoch, .. }));
    drop(watch);

    let occupied = restore(&mut file.as_slice(), &path, SledOptions::default());
    assert!(matches!(occupied, Err(RestoreError::Occupied { .. })), "{occupied:?}");
}

#[test]
fn a_backup_is_consistent_while_commits_go_on() {
    let engine = MemoryBed::default().open();
    let pair = |n: u32| put("left", &n.to_string()).put(key("right"), n.to_string().as_bytes());
    engine.commit(pair(0)).expect("holds");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..300).for_each(|n| _ = engine.commit(pair(n)).expect("holds")));
        let mut backups = 0;
        while !writer.is_finished() || backups < 3 {
            let file = backup(&engine);
            let folder = tempfile::tempdir().expect("a folder");
            restore(&mut file.as_slice(), folder.path(), SledOptions::default()).expect("restored");
            let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
            let snapshot = open(Box::new(store)).expect("recovers").snapshot();
            assert_eq!(value(snapshot.get("left")), value(snapshot.get("right")));
            backups += 1;
        }
    });
}

#[test]
fn every_damaged_byte_of_a_backup_is_found_before_anything_is_written() {
    let engine = MemoryBed::default().open();
    engine.commit(Txn::new().put(key("a"), *b"value").put_sealed(key("b"), *b"tag", vec![7; 40])).expect("holds");
    let file = backup(&engine);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("restored");
    for byte in 0..file.len() {
        let mut damaged = file.clone();
        damaged[byte] ^= 0x10;
        let error = restore(&mut damaged.as_slice(), &path, SledOptions::default());
        assert!(error.is_err(), "byte {byte} of {}", file.len());
        let error = restore(&mut &file[..byte], &path, SledOptions::default());
        assert!(error.is_err(), "cut at {byte} of {}", file.len());
    }
    assert!(!path.exists());
    restore(&mut file.as_slice(), &path, SledOptions::default()).expect("the whole one is restored");
}

/// What is in a restored store that takes the place of one that is there.
fn replace(file: &[u8], path: &std::path::Path) -> Result<Restored, RestoreError> {
    let mut steps = Vec::new();
    let mut input = file;
    let note = &mut |done, total| steps.push((done, total));
    let existing = Existing::KeepAside { reminders: "world/" };
    let restored = restore_with(&mut input, path, SledOptions::default(), existing, note)?;
    assert_eq!(steps.last(), Some(&(restored.keys, restored.keys)), "the progress ends at the end");
    Ok(restored)
}

#[test]
fn a_restore_over_a_damaged_store_keeps_its_files_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let open_store = || SledStore::open(&path, SledOptions::default());
    let engine = open(Box::new(open_store().expect("opens"))).expect("recovers");
    fill(&engine);
    let file = backup(&engine);
    let head = engine.head();
    drop(engine);
    let length = std::fs::metadata(path.join("db")).expect("there").len();
    let broken = vec![0xa5; usize::try_from(length).expect("small")];
    std::fs::write(path.join("db"), &broken).expect("written");
    assert!(open_store().is_err());
    // sled may act on what it does not understand; a restore does not let it.
    let broken = std::fs::read(path.join("db")).expect("there");

    let refused = restore(&mut file.as_slice(), &path, SledOptions::default());
    assert!(matches!(refused, Err(RestoreError::Occupied { .. })), "{refused:?}");
    let half = replace(&file[..file.len() / 2], &path);
    assert!(matches!(half, Err(RestoreError::Damaged { .. })), "{half:?}");
    assert!(std::fs::read(path.join("db")).expect("there") == broken, "a refused restore touches nothing");

    let restored = replace(&file, &path).expect("restored");
    assert!(matches!(&restored.inherited, Inherited::Unknown { reason } if reason.contains("damaged")), "{restored:?}");
    let aside = restored.kept_aside.expect("there was a store");
    assert!(std::fs::read(aside.join("db")).expect("kept") == broken, "its files are as they were");
    let engine = open(Box::new(open_store().expect("opens"))).expect("recovers");
    assert_eq!((engine.identity(), engine.head()), (restored.identity, restored.head));
    assert!(engine.head().revision.get() > head.revision.get() + 1_000_000);
    assert_eq!(value(engine.snapshot().get("k1")), Some("29"));
    assert!(engine.verify(|_, _| ControlFlow::Continue(())).expect("readable").is_sound());
    drop(engine);
    assert!(aside.join("db").exists(), "opening the new store leaves the old one's files");
}

#[test]
fn a_store_in_the_place_of_another_takes_those_of_its_reminders_over_that_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let open = || open(Box::new(SledStore::open(&path, SledOptions::default()).expect("opens"))).expect("recovers");
    let engine = open();
    fill(&engine);
    engine.remind(&key("world/before"), b"1").expect("taken");
    let file = backup(&engine);
    engine.remind(&key("world/after"), b"2").expect("taken");
    engine.remind(&key("other"), b"3").expect("taken");
    engine.forget(&key("world/before")).expect("taken away");
    drop(engine);
    let before = std::fs::read(path.join("db")).expect("there");

    let restored = replace(&file, &path).expect("restored");
    assert_eq!(restored.inherited, Inherited::Reminders(1));
    let aside = restored.kept_aside.expect("there was a store");
    assert!(std::fs::read(aside.join("db")).expect("kept") == before, "its files are as they were");
    assert!(!path.join("next").exists(), "nothing of the work is left");
    let engine = open();
    let told = |engine: &Engine| {
        let found = engine.reminders("").expect("readable").into_iter();
        found.map(|found| (found.key.as_str().to_owned(), found.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&engine),
        [("world/after".to_owned(), b"2".to_vec())],
        "as they were at the end, not at the backup"
    );
    assert!(engine.verify(|_, _| ControlFlow::Continue(())).expect("readable").is_sound());
    engine.forget(&key("world/after")).expect("taken away");
    drop(engine);

    std::fs::remove_file(path.join("db")).expect("removed");
    let restored = replace(&file, &path).expect("restored");
    assert!(matches!(&restored.inherited, Inherited::Unknown { reason } if reason.contains("gone")), "{restored:?}");
    let elsewhere = replace(&file, &folder.path().join("elsewhere")).expect("restored");
    assert_eq!(elsewhere.inherited, Inherited::Nothing);
}

#[test]
fn a_backup_restored_twice_is_two_epochs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = MemoryBed::default().open();
    fill(&engine);
    let file = backup(&engine);
    let mut last = None;
    for _ in 0..3 {
        let restored = replace(&file, &path).expect("restored");
        let engine = open(Box::new(SledStore::open(&path, SledOptions::default()).expect("opens"))).expect("recovers");
        assert_eq!((engine.identity(), engine.head()), (restored.identity, restored.head));
        engine.commit(put("after", "x")).expect("holds");
        if let Some((epoch, revision)) = last {
            assert!(restored.identity.epoch > epoch, "no token of the store before fits this one");
            assert!(restored.head.revision > revision, "the revision never goes back");
        }
        last = Some((restored.identity.epoch, engine.head().revision));
    }
    let held = open(Box::new(SledStore::open(&path, SledOptions::default()).expect("opens"))).expect("recovers");
    assert!(
        matches!(replace(&file, &path), Err(RestoreError::Open(StoreOpenError::Locked { .. }))),
        "while it is held"
    );
    drop(held);
}
