//! P10: a store of every released format opens and reads as it was written.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use holdfast_engine::{Digest, Engine, Outcome, Revision, SledOptions, SledStore, Txn};

use crate::support::{id, key, open, put, value};

/// The store that was written when reminders were new. Format 1 has them from then on; a store without any is the same.
const REMEMBERING: &str = "format-1-reminders";

fn stores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/stores")
}

/// What every golden store holds: three commits, a sealed value, a value of several pieces, a request id.
fn fill(engine: &Engine) {
    let large = "large ".repeat(3000);
    let first = put("greeting", "hello").put(key("large"), large.as_bytes()).author("maria").message("first");
    engine.commit(first.source("golden").annotate("git", "9be07aa").request_id(id("one"))).expect("holds");
    engine.commit(Txn::new().put_sealed(key("secret"), *b"tag", b"sealed bytes".to_vec())).expect("holds");
    engine.commit(put("greeting", "hello again").delete(key("large"))).expect("holds");
}

/// What the golden stores that have reminders remember beside that.
fn remember(engine: &Engine) {
    engine.remind(&key("outside/a"), b"made").expect("taken");
    engine.remind(&key("outside/b"), b"gone").expect("taken");
    engine.forget(&key("outside/b")).expect("taken away");
}

fn check(engine: &Engine) {
    assert_eq!(engine.head().revision, Revision::new(3));
    let snapshot = engine.snapshot();
    assert_eq!(value(snapshot.get("greeting")), Some("hello again"));
    assert!(snapshot.get("large").is_none());
    let digest = snapshot.get("secret").and_then(holdfast_engine::Entry::sealed).expect("sealed");
    assert_eq!(digest, Digest::of(b"sealed bytes"));
    assert_eq!(engine.sealed(&digest).as_deref(), Some(b"sealed bytes".as_slice()));
    let first = engine.at(Revision::new(1)).expect("kept");
    assert_eq!(first.get("large").map(|entry| entry.value().len()), Some(18_000));
    let commit = engine.commit_at(Revision::new(1)).expect("kept");
    assert_eq!((commit.author.as_str(), commit.message.as_str()), ("maria", "first"));
    let again = engine.commit(put("greeting", "twice").request_id(id("one"))).expect("answered");
    assert_eq!((again.revision, again.outcome), (Revision::new(1), Outcome::Replayed));
    let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
    assert!(report.is_sound(), "{:?}", report.findings);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("there") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy(&entry.path(), &to)
        } else {
            drop(fs::copy(entry.path(), to))
        }
    }
}

#[test]
fn p10_every_golden_store_opens() {
    let mut opened = 0;
    for entry in fs::read_dir(stores()).expect("golden stores are in the repository") {
        let golden = entry.expect("readable").path();
        if !golden.is_dir() {
            continue;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        copy(&golden, &store);
        // Only the start of the `db` file is kept: sled writes whole segments, and the rest of one is zeros.
        let db = fs::File::options().write(true).open(store.join("db")).expect("there");
        let segment = 512 * 1024;
        let length = db.metadata().expect("readable").len().div_ceil(segment) * segment;
        db.set_len(length).expect("grows");
        let store = SledStore::open(&store, SledOptions { create: false, ..SledOptions::default() }).expect("opens");
        let engine = open(Box::new(store)).expect("recovers");
        check(&engine);
        let reminders = engine.reminders("outside/").expect("readable");
        let said: Vec<_> =
            reminders.iter().map(|reminder| (reminder.key.as_str(), reminder.bytes.as_slice())).collect();
        match golden.ends_with(REMEMBERING) {
            true => assert_eq!(said, [("outside/a", b"made".as_slice())]),
            false => assert_eq!(said, []),
        }
        opened += 1;
    }
    assert!(opened >= 2, "golden stores were opened");
}

#[test]
#[ignore = "writes a golden store of the current format; run by hand when the format changes"]
fn write_golden_store() {
    let path = stores().join(REMEMBERING);
    assert!(!path.exists(), "a golden store is never overwritten");
    let store = SledStore::open(&path, SledOptions::default()).expect("opens");
    let engine = open(Box::new(store)).expect("recovers");
    fill(&engine);
    remember(&engine);
    drop(engine);
    let bytes = fs::read(path.join("db")).expect("there");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    fs::write(path.join("db"), &bytes[..used]).expect("written");
    fs::remove_file(path.join(".gitignore")).expect("there");
}
