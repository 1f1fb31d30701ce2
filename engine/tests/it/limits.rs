//! Each limit at its boundary: what just fits is taken and comes back whole, one more is refused with a typed error.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use holdfast_engine::{
    CommitError, Engine, Keep, Key, KeyError, MemoryStore, Outcome, Precondition, RequestId, SledOptions, SledStore,
    Txn, limits,
};

use crate::support::{Bed, SledBed, id, key, open, put, report};

fn engine() -> Engine {
    open(Box::new(MemoryStore::new())).expect("a memory store opens")
}

/// What a transaction is refused for: what, how large, how large it may be.
fn refusal(engine: &Engine, txn: Txn) -> (&'static str, usize, usize) {
    match engine.commit(txn) {
        Err(CommitError::TooLarge { what, size, limit }) => (what, size, limit),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[test]
fn keys_and_request_ids_up_to_their_limit() {
    assert!(Key::new(text(limits::KEY_BYTES_MAX)).is_ok());
    assert!(matches!(Key::new(text(limits::KEY_BYTES_MAX + 1)), Err(KeyError::TooLong { .. })));
    assert!(RequestId::new(text(limits::REQUEST_ID_BYTES_MAX)).is_ok());
    assert!(RequestId::new(text(limits::REQUEST_ID_BYTES_MAX + 1)).is_err());
}

#[test]
fn texts_annotations_and_values_up_to_their_limit() {
    let engine = engine();
    let bytes = |bytes: usize| vec![7_u8; bytes];
    let annotated = |count: usize| (0..count).fold(put("a", "1"), |txn, n| txn.annotate(n.to_string(), "x"));
    let at = [
        put("a", "1").author(text(limits::NAME_BYTES_MAX)),
        put("a", "1").source(text(limits::NAME_BYTES_MAX)),
        put("a", "1").message(text(limits::MESSAGE_BYTES_MAX)),
        put("a", "1").annotate("k", text(limits::ANNOTATION_BYTES_MAX)),
        annotated(limits::ANNOTATIONS_MAX),
        Txn::new().put(key("a"), bytes(limits::VALUE_BYTES_MAX)),
        Txn::new().put_sealed(key("a"), *b"tag", bytes(limits::SEALED_BYTES_MAX)),
    ];
    for txn in at {
        engine.commit(txn).expect("just fits");
    }
    let head = engine.head();
    let over = [
        (put("a", "1").author(text(limits::NAME_BYTES_MAX + 1)), "author in bytes", limits::NAME_BYTES_MAX),
        (put("a", "1").source(text(limits::NAME_BYTES_MAX + 1)), "source in bytes", limits::NAME_BYTES_MAX),
        (put("a", "1").message(text(limits::MESSAGE_BYTES_MAX + 1)), "message in bytes", limits::MESSAGE_BYTES_MAX),
        (
            put("a", "1").annotate("k", text(limits::ANNOTATION_BYTES_MAX + 1)),
            "annotation in bytes",
            limits::ANNOTATION_BYTES_MAX,
        ),
        (annotated(limits::ANNOTATIONS_MAX + 1), "number of annotations", limits::ANNOTATIONS_MAX),
        (Txn::new().put(key("a"), bytes(limits::VALUE_BYTES_MAX + 1)), "value in bytes", limits::VALUE_BYTES_MAX),
        (
            Txn::new().put_sealed(key("a"), *b"tag", bytes(limits::SEALED_BYTES_MAX + 1)),
            "sealed value in bytes",
            limits::SEALED_BYTES_MAX,
        ),
    ];
    for (txn, what, limit) in over {
        assert_eq!(refusal(&engine, txn), (what, limit + 1, limit));
    }
    assert_eq!(engine.head(), head, "what is refused changes nothing");
}

#[test]
fn preconditions_up_to_their_limit() {
    let engine = engine();
    let with = |count: usize| {
        let absent = |txn: Txn, n| txn.require(Precondition::Absent(key(&format!("absent{n}"))));
        (0..count).fold(put("a", "1"), absent)
    };
    engine.commit(with(limits::COMMIT_PRECONDITIONS_MAX)).expect("just fits");
    let limit = limits::COMMIT_PRECONDITIONS_MAX;
    assert_eq!(refusal(&engine, with(limit + 1)), ("number of preconditions", limit + 1, limit));
}

#[test]
fn a_commit_of_the_most_changes_and_one_of_the_most_bytes_come_back_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let open_store =
        || open(Box::new(SledStore::open(folder.path(), SledOptions::default()).expect("opens"))).expect("recovers");
    let engine = open_store();
    let wide = |count: usize| (0..count).fold(Txn::new(), |txn, n| txn.put(key(&format!("wide/{n:06}")), *b"v"));
    engine.commit(wide(limits::COMMIT_CHANGES_MAX)).expect("just fits");
    let limit = limits::COMMIT_CHANGES_MAX;
    assert_eq!(refusal(&engine, wide(limit + 1)), ("number of changes", limit + 1, limit));

    // Keys count too: eight of ten bytes, and seven of the eight values full.
    let value: Arc<[u8]> = vec![7; limits::VALUE_BYTES_MAX].into();
    let last = limits::COMMIT_BYTES_MAX - 7 * limits::VALUE_BYTES_MAX - 8 * "heavy/0000".len();
    let heavy = |last: usize| {
        let full = (0..7).fold(Txn::new(), |txn, n| txn.put(key(&format!("heavy/{n:04}")), Arc::clone(&value)));
        full.put(key("heavy/last"), vec![8; last])
    };
    engine.commit(heavy(last)).expect("just fits");
    let limit = limits::COMMIT_BYTES_MAX;
    assert_eq!(refusal(&engine, heavy(last + 1)), ("commit in bytes", limit + 1, limit));
    let head = engine.head();
    drop(engine);

    let engine = open_store();
    assert_eq!((engine.head(), engine.snapshot().len()), (head, limits::COMMIT_CHANGES_MAX + 8));
    assert_eq!(engine.snapshot().get("heavy/0003").map(|entry| entry.value().len()), Some(limits::VALUE_BYTES_MAX));
    assert_eq!(engine.snapshot().get("heavy/last").map(|entry| entry.value().len()), Some(last));
    assert!(engine.verify(|_, _| ControlFlow::Continue(())).expect("readable").is_sound());
    let blobs = fs::read_dir(folder.path().join("blobs")).expect("there").count();
    assert_eq!(blobs, 0, "no page is so large that sled puts it into a file of its own, which it never syncs");
}

#[test]
fn a_request_id_is_answered_for_as_many_commits_as_promised_also_after_restarts() {
    let bed = SledBed::new();
    let mut engine = bed.open();
    let first = engine.commit(put("a", "1").request_id(id("the first"))).expect("holds");
    let mut left = limits::REQUEST_IDS_KEPT - 1;
    while left > 0 {
        let count = left.min(2000);
        let request = |n: usize| put("a", &n.to_string()).request_id(id(&format!("{left}/{n}")));
        let flight: Vec<_> = (0..count).map(|n| engine.submit(request(n))).collect();
        flight.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
        left -= count;
    }
    assert_eq!(engine.head().revision.get(), limits::REQUEST_IDS_KEPT as u64);
    for compacted in [false, true, false] {
        if compacted {
            engine.compact(Keep::Newest(3)).expect("compacts");
        }
        let again = engine.commit(put("a", "other").request_id(id("the first"))).expect("answered");
        assert_eq!((again.outcome, again.revision, again.id), (Outcome::Replayed, first.revision, first.id));
        drop(engine);
        engine = bed.open();
    }
    assert_eq!(engine.head().revision.get(), limits::REQUEST_IDS_KEPT as u64, "nothing was committed twice");
}

/// What an opening has to read again stays in proportion to the state, however long the history is.
#[test]
fn recovery_is_bounded_by_the_state_and_not_by_the_history() {
    const LAG: u64 = 200_000;
    let bed = SledBed::with_lag(LAG);
    let engine = bed.open();
    let (keys, size, commits) = (100, 1000, 6000);
    let mut most = 0;
    for from in (0..commits).step_by(50) {
        let one = |n: u64| engine.submit(Txn::new().put(key(&format!("k{}", n % keys)), vec![7; size]));
        let flight: Vec<_> = (from..from + 50).map(one).collect();
        flight.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
        most = most.max(engine.status().trail_lag);
    }
    drop(engine);
    let engine = bed.open();
    most = most.max(engine.status().trail_lag);
    assert_eq!(engine.snapshot().len() as u64, keys);
    // The log between two bases weighs as much as the state or the lag, whichever is more, and half as much again grows while a
    // base is written.
    let bound = (3 * LAG.max(keys * size as u64)).div_ceil(size as u64);
    report(&format!("recovery: of {commits} commits at most {most} would have been replayed, the bound is {bound}"));
    assert!(most <= bound, "{most} of {commits} commits to replay, more than {bound}");
}
