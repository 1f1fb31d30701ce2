//! P6, P10: what is no store, is held by another, or comes from the future is refused with an error that says what to do.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_engine::{CommitError, DiskSyncer, SledOptions, SledStore, StoreOpenError, Syncer};

use crate::support::{open, put};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn refusal(path: &std::path::Path) -> StoreOpenError {
    SledStore::open(path, SledOptions::default()).expect_err("refused")
}

#[test]
fn a_held_store_names_its_holder() {
    let folder = folder();
    let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
    match refusal(folder.path()) {
        StoreOpenError::Locked { holder_pid, .. } => assert_eq!(holder_pid, Some(std::process::id())),
        other => panic!("expected the lock, got {other:?}"),
    }
    drop(open(Box::new(store)).expect("recovers"));
    assert!(!folder.path().join("holder").exists(), "the name is taken off on close");
    SledStore::open(folder.path(), SledOptions::default()).expect("free again");
}

#[test]
fn a_folder_with_other_files_is_no_store() {
    let folder = folder();
    fs::write(folder.path().join("holiday.jpg"), "x").expect("written");
    assert!(matches!(refusal(folder.path()), StoreOpenError::NotAStore { .. }));
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1, "nothing was added");
    let file = folder.path().join("holiday.jpg");
    assert!(matches!(refusal(&file), StoreOpenError::NotAStore { .. }));
}

#[test]
fn a_sled_folder_of_somebody_else_is_no_store() {
    let folder = folder();
    let made = SledStore::open(folder.path(), SledOptions::default()).expect("opens");
    drop(made);
    // What is in the tree is not ours any more; the bytes are sled's.
    let absent = SledOptions { create: false, ..SledOptions::default() };
    assert!(SledStore::open(folder.path(), absent).is_ok());
    let empty = folder.path().join("nothing");
    let absent = SledOptions { create: false, ..SledOptions::default() };
    assert!(matches!(SledStore::open(&empty, absent), Err(StoreOpenError::Absent { .. })));
    assert!(!empty.exists());
}

#[test]
fn a_damaged_store_is_an_error_that_says_what_to_run() {
    let folder = folder();
    drop(SledStore::open(folder.path(), SledOptions::default()).expect("opens"));
    let length = fs::metadata(folder.path().join("db")).expect("there").len();
    fs::write(folder.path().join("db"), vec![0xa5; usize::try_from(length).expect("small")]).expect("written");
    let error = refusal(folder.path()).to_string();
    assert!(error.contains("reconcile verify") && error.contains("reconcile restore"), "{error}");
}

/// Works until it is told to fail.
struct Failing(Arc<AtomicBool>);

impl Syncer for Failing {
    fn sync_data(&mut self, file: &fs::File) -> std::io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("the disk is on fire"));
        }
        DiskSyncer.sync_data(file)
    }

    fn sync_folder(&mut self, folder: &std::path::Path) -> std::io::Result<()> {
        DiskSyncer.sync_folder(folder)
    }
}

#[test]
fn a_failed_sync_poisons_the_engine_until_it_is_opened_again() {
    let folder = folder();
    let fails = Arc::new(AtomicBool::new(false));
    let options = SledOptions { syncer: Box::new(Failing(Arc::clone(&fails))), ..SledOptions::default() };
    let engine = open(Box::new(SledStore::open(folder.path(), options).expect("opens"))).expect("recovers");
    engine.commit(put("a", "1")).expect("holds");
    fails.store(true, Ordering::Relaxed);
    assert!(matches!(engine.commit(put("a", "2")), Err(CommitError::Storage(_))));
    assert_eq!(engine.head().revision.get(), 1, "what is not durable is not visible (P3)");
    fails.store(false, Ordering::Relaxed);
    assert!(matches!(engine.commit(put("a", "3")), Err(CommitError::Poisoned)));
    assert!(engine.status().poisoned.is_some_and(|cause| cause.contains("on fire")));
    drop(engine);
    let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens again");
    let engine = open(Box::new(store)).expect("recovers");
    assert!((1..=2).contains(&engine.head().revision.get()), "the failed commit is there whole or not at all");
    engine.commit(put("a", "4")).expect("writes again");
}
