//! One suite over every kind of store: P2, P3 and the rules of commits, entries, snapshots, request ids and sealed bytes.

use std::ops::ControlFlow;

use holdfast_engine::{
    AtError, Change, CommitError, Digest, Engine, Keep, Outcome, Precondition, ReminderError, Revision, Txn, limits,
};

use crate::support::{Bed, id, key, put, value};

/// Makes one test of each case for one kind of store. A new kind runs them all.
macro_rules! suite {
    ($store:ident, $bed:expr) => {
        suite!($store, $bed, [
            empty
            revisions
            entries
            empty_txn
            preconditions
            refused
            duplicate
            sizes
            request_ids
            snapshots
            ranges
            overlay
            at
            log
            sealed
            large
            group
            closing
            compacting
            verify
            notes
            reminders
        ]);
    };
    ($store:ident, $bed:expr, [$($case:ident)*]) => {
        mod $store {
            $(
                #[test]
                fn $case() {
                    super::$case(&$bed);
                }
            )*
        }
    };
}

suite!(memory, crate::support::MemoryBed::default());
suite!(sled, crate::support::SledBed::new());
suite!(sled_with_bases, crate::support::SledBed::with_lag(1000));

fn commit(engine: &Engine, txn: Txn) -> Revision {
    engine.commit(txn).expect("the commit holds").revision
}

/// Notes stand beside the commits: they move no revision, survive a reopening and a compaction, and the oldest give way.
fn notes(bed: &dyn Bed) {
    let engine = bed.open();
    commit(&engine, put("a", "1"));
    let texts = |engine: &Engine| -> Vec<(u64, String)> {
        let notes = engine.notes().expect("readable").into_iter();
        notes.map(|note| (note.number, String::from_utf8(note.bytes).expect("text"))).collect()
    };
    assert_eq!(texts(&engine), []);
    for number in 1..=limits::NOTES_MAX + 3 {
        engine.note(format!("note {number}").as_bytes()).expect("taken");
    }
    engine.note(&vec![7; limits::NOTE_BYTES_MAX + 1]).expect_err("too long");
    let kept: Vec<_> = (4..=limits::NOTES_MAX + 3).map(|number| (number, format!("note {number}"))).collect();
    assert_eq!(texts(&engine), kept);
    assert_eq!(engine.head().revision, Revision::new(1));
    commit(&engine, put("a", "2"));
    engine.compact(Keep::Newest(1)).expect("compacts");
    engine.close();
    engine.note(b"late").expect_err("closed");

    let engine = bed.open();
    assert_eq!(texts(&engine), kept);
    engine.note(&vec![b'x'; limits::NOTE_BYTES_MAX]).expect("the longest is taken");
    assert_eq!(
        texts(&engine).last().map(|(number, text)| (*number, text.len())),
        Some((limits::NOTES_MAX + 4, limits::NOTE_BYTES_MAX))
    );
    assert!(engine.verify(|_, _| ControlFlow::Continue(())).expect("readable").findings.is_empty());
}

/// Reminders stand beside the commits under keys of their own: they move no revision, survive a reopening and a compaction, are
/// replaced and taken away one by one, and are no more than the store keeps.
fn reminders(bed: &dyn Bed) {
    let engine = bed.open();
    commit(&engine, put("a", "1"));
    let all = |engine: &Engine, prefix: &str| -> Vec<(String, usize)> {
        let found = engine.reminders(prefix).expect("readable").into_iter();
        found.map(|reminder| (reminder.key.to_string(), reminder.bytes.len())).collect()
    };
    assert_eq!(all(&engine, ""), []);
    engine.remind(&key("b/2"), b"two").expect("taken");
    engine.remind(&key("b/1"), b"").expect("an empty one is taken");
    engine.remind(&key("c"), &vec![7; limits::REMINDER_BYTES_MAX]).expect("the longest is taken");
    engine.remind(&key("d"), &vec![7; limits::REMINDER_BYTES_MAX + 1]).expect_err("too long");
    engine.remind(&key("b/2"), b"again").expect("replaced");
    engine.forget(&key("c")).expect("taken away");
    engine.forget(&key("c")).expect("one that is not there is no error");
    let kept = vec![("b/1".to_owned(), 0), ("b/2".to_owned(), 5)];
    assert_eq!(all(&engine, ""), kept);
    assert_eq!(all(&engine, "b/2"), kept[1..]);
    assert_eq!(engine.head().revision, Revision::new(1));
    commit(&engine, put("a", "2"));
    engine.compact(Keep::Newest(1)).expect("compacts");
    engine.close();
    assert!(matches!(engine.remind(&key("e"), b"late"), Err(ReminderError::Closed)));

    let engine = bed.open();
    assert_eq!(all(&engine, ""), kept);
    assert!(engine.verify(|_, _| ControlFlow::Continue(())).expect("readable").findings.is_empty());
    let mut count = 2;
    let full = loop {
        let long = format!("{}{count}", "long/".repeat(200));
        match engine.remind(&key(&long), &vec![1; limits::REMINDER_BYTES_MAX]) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, ReminderError::Full), "{full:?}");
    let bytes: usize = all(&engine, "").iter().map(|(key, bytes)| key.len() + bytes).sum();
    let most = usize::try_from(limits::REMINDERS_BYTES_MAX).expect("small");
    assert!(bytes <= most && bytes > most - 4096, "{count} reminders of {bytes} bytes");
    engine.remind(&key("b/2"), b"AGAIN").expect("one that takes the place of another needs no room");
    engine.forget(&key("b/1")).expect("taken away");
}

fn empty(bed: &dyn Bed) {
    let engine = bed.open();
    assert_eq!(engine.head().revision, Revision::ZERO);
    assert!(engine.snapshot().is_empty());
    assert!(engine.at(Revision::ZERO).expect("zero can be read").is_empty());
    assert!(matches!(engine.at(Revision::new(1)), Err(AtError::Future { .. })));
    assert!(engine.commits(.., 10).expect("readable").is_empty());
    assert_eq!(engine.identity().epoch, 1);
    let identity = engine.identity();
    drop(engine);
    assert_eq!(bed.open().identity(), identity);
}

fn revisions(bed: &dyn Bed) {
    let engine = bed.open();
    for n in 1..=20 {
        let receipt = engine.commit(put("a", &n.to_string())).expect("holds");
        assert_eq!((receipt.revision.get(), receipt.outcome), (n, Outcome::Committed));
        assert_eq!(engine.head().revision.get(), n);
        assert_eq!(engine.head().id, receipt.id);
    }
    let head = engine.head();
    drop(engine);
    let engine = bed.open();
    assert_eq!(engine.head(), head, "reopened at the same commit");
    assert_eq!(commit(&engine, put("a", "x")).get(), 21);
}

fn entries(bed: &dyn Bed) {
    let engine = bed.open();
    commit(&engine, put("a", "1"));
    commit(&engine, put("b", "1"));
    commit(&engine, put("a", "2"));
    commit(&engine, put("a", "2"));
    let check = |engine: &Engine| {
        let snapshot = engine.snapshot();
        let a = snapshot.get("a").expect("there");
        assert_eq!((a.created().get(), a.modified().get(), a.version()), (1, 4, 3), "an equal value counts too");
    };
    check(&engine);
    drop(engine);
    let engine = bed.open();
    check(&engine);
    commit(&engine, Txn::new().delete(key("a")));
    commit(&engine, put("a", "3"));
    let snapshot = engine.snapshot();
    let a = snapshot.get("a").expect("there");
    assert_eq!((a.created().get(), a.modified().get(), a.version()), (6, 6, 1), "a new life counts from one");
}

fn empty_txn(bed: &dyn Bed) {
    let engine = bed.open();
    commit(&engine, put("a", "1"));
    for txn in [Txn::new(), Txn::new().delete(key("absent")).delete(key("too"))] {
        let receipt = engine.commit(txn).expect("holds");
        assert_eq!((receipt.revision.get(), receipt.outcome), (1, Outcome::Unchanged));
        assert_eq!(receipt.id, engine.head().id);
    }
}

fn preconditions(bed: &dyn Bed) {
    let engine = bed.open();
    let conflict = |txn: Txn| match engine.commit(txn) {
        Err(CommitError::Conflict { found, head, .. }) => (found.map(Revision::get), head.get()),
        other => panic!("expected a conflict, got {other:?}"),
    };
    let require = |precondition| put("z", "z").require(precondition);
    commit(&engine, put("a", "1").require(Precondition::Head(Revision::ZERO)).require(Precondition::Absent(key("a"))));
    commit(&engine, put("a", "2").require(Precondition::Modified(key("a"), Revision::new(1))));
    assert_eq!(conflict(require(Precondition::Head(Revision::new(1)))), (Some(2), 2));
    assert_eq!(conflict(require(Precondition::Head(Revision::new(3)))), (Some(2), 2));
    assert_eq!(conflict(require(Precondition::Absent(key("a")))), (Some(2), 2));
    assert_eq!(conflict(require(Precondition::Modified(key("a"), Revision::new(1)))), (Some(2), 2));
    assert_eq!(conflict(require(Precondition::Modified(key("b"), Revision::new(1)))), (None, 2));
    assert_eq!(engine.head().revision.get(), 2, "conflicts commit nothing");
    assert_eq!(commit(&engine, require(Precondition::Modified(key("a"), Revision::new(2)))).get(), 3);
}

fn refused(bed: &dyn Bed) {
    let engine = bed.open();
    commit(&engine, put("a", "1"));
    let before = engine.snapshot();
    let txn = put("a", "2").put(key("b"), *b"2").delete(key("c")).require(Precondition::Absent(key("a")));
    assert!(engine.commit(txn).is_err());
    let after = engine.snapshot();
    assert_eq!(after.revision(), before.revision());
    assert!(after.iter().eq(before.iter()));
}

fn duplicate(bed: &dyn Bed) {
    let engine = bed.open();
    let double = put("a", "1").put(key("a"), *b"2");
    assert!(matches!(engine.commit(double), Err(CommitError::DuplicateKey { key }) if key.as_str() == "a"));
    let mixed = put("a", "1").delete(key("a"));
    assert!(matches!(engine.commit(mixed), Err(CommitError::DuplicateKey { .. })));
    assert_eq!(engine.head().revision, Revision::ZERO);
}

fn sizes(bed: &dyn Bed) {
    let engine = bed.open();
    let too_large = |txn: Txn| match engine.commit(txn) {
        Err(CommitError::TooLarge { what, .. }) => what,
        other => panic!("expected a refusal, got {other:?}"),
    };
    let value = |bytes: usize| vec![7_u8; bytes];
    assert_eq!(too_large(Txn::new().put(key("a"), value(limits::VALUE_BYTES_MAX + 1))), "value in bytes");
    assert_eq!(too_large(put("a", "1").author("x".repeat(limits::NAME_BYTES_MAX + 1))), "author in bytes");
    assert_eq!(too_large(put("a", "1").message("x".repeat(limits::MESSAGE_BYTES_MAX + 1))), "message in bytes");
    assert_eq!(
        too_large(Txn::new().put_sealed(key("a"), *b"", value(limits::SEALED_BYTES_MAX + 1))),
        "sealed value in bytes"
    );
    let wide = (0..=limits::COMMIT_CHANGES_MAX).fold(Txn::new(), |txn, n| txn.delete(key(&format!("k{n}"))));
    assert_eq!(too_large(wide), "number of changes");
    let heavy = (0..9).fold(Txn::new(), |txn, n| txn.put(key(&format!("k{n}")), value(limits::VALUE_BYTES_MAX)));
    assert_eq!(too_large(heavy), "commit in bytes");
    assert_eq!(engine.head().revision, Revision::ZERO);
}

fn request_ids(bed: &dyn Bed) {
    let engine = bed.open();
    let first = engine.commit(put("a", "1").request_id(id("one"))).expect("holds");
    commit(&engine, put("a", "2"));
    let replayed = |engine: &Engine| {
        let again = engine.commit(put("a", "other").request_id(id("one"))).expect("answered");
        assert_eq!((again.revision, again.id, again.outcome), (first.revision, first.id, Outcome::Replayed));
    };
    replayed(&engine);
    let refused = put("a", "3").request_id(id("two")).require(Precondition::Head(Revision::ZERO));
    assert!(engine.commit(refused).is_err());
    assert_eq!(commit(&engine, put("a", "3").request_id(id("two"))).get(), 3, "a refused request is no answer");
    drop(engine);
    let engine = bed.open();
    replayed(&engine);
    assert_eq!(engine.head().revision.get(), 3);
}

fn snapshots(bed: &dyn Bed) {
    let engine = bed.open();
    commit(&engine, put("a", "1").put(key("b"), *b"1"));
    let pinned = engine.snapshot();
    commit(&engine, put("a", "2").delete(key("b")).put(key("c"), *b"2"));
    assert_eq!((value(pinned.get("a")), value(pinned.get("b")), value(pinned.get("c"))), (Some("1"), Some("1"), None));
    assert_eq!((pinned.len(), pinned.revision().get()), (2, 1));
    let newest = engine.snapshot();
    assert_eq!((value(newest.get("a")), value(newest.get("b")), value(newest.get("c"))), (Some("2"), None, Some("2")));
}

fn ranges(bed: &dyn Bed) {
    let engine = bed.open();
    let names = ["a", "a/", "a/b", "a/b/c", "a/c", "a0", "b"];
    commit(&engine, names.iter().fold(Txn::new(), |txn, name| txn.put(key(name), *b"v")));
    let snapshot = engine.snapshot();
    let prefix = |prefix| snapshot.prefix(prefix).map(|(key, _)| key.as_str()).collect::<Vec<_>>();
    assert_eq!(prefix("a/"), ["a/", "a/b", "a/b/c", "a/c"]);
    assert_eq!(prefix(""), names);
    assert!(prefix("zz").is_empty());
    let range = snapshot.range("a/".."a0").map(|(key, _)| key.as_str()).collect::<Vec<_>>();
    assert_eq!(range, ["a/", "a/b", "a/b/c", "a/c"]);
    assert_eq!(snapshot.range("b"..="b").count(), 1);
    let reversed = snapshot.range("b".."a").count();
    assert_eq!(reversed, 0);
    assert_eq!(snapshot.range("a".."a").count(), 0);
}

fn overlay(bed: &dyn Bed) {
    let engine = bed.open();
    commit(&engine, put("a", "1").put(key("b"), *b"1"));
    let changes = [
        Change::Put { key: key("a"), value: (*b"2").into(), sealed: None },
        Change::Put { key: key("c"), value: (*b"1").into(), sealed: None },
        Change::Delete { key: key("b") },
    ];
    let supposed = engine.snapshot().overlay(changes);
    assert_eq!(supposed.commit_id(), engine.head().id);
    commit(&engine, put("a", "2").put(key("c"), *b"1").delete(key("b")));
    let real = engine.snapshot();
    assert_eq!(supposed.revision(), real.revision());
    assert!(supposed.iter().eq(real.iter()), "P1 rests on this");
}

fn at(bed: &dyn Bed) {
    let engine = bed.open();
    let mut kept = vec![engine.snapshot()];
    for n in 0..60_u32 {
        let txn = match n % 5 {
            0..=2 => put(&format!("k{}", n % 7), &n.to_string()),
            3 => put("all", &n.to_string()).delete(key(&format!("k{}", n % 7))),
            _ => Txn::new().put(key(&format!("k{}", n % 3)), n.to_be_bytes().repeat(2000)),
        };
        commit(&engine, txn);
        kept.push(engine.snapshot());
    }
    let check = |engine: &Engine| {
        for snapshot in &kept {
            let read = engine.at(snapshot.revision()).expect("retained");
            assert_eq!(read.head(), snapshot.head());
            assert!(read.iter().eq(snapshot.iter()), "{} reads as it was", snapshot.revision());
        }
    };
    check(&engine);
    drop(engine);
    let engine = bed.open();
    check(&engine);
    // Enough commits that memory no longer reaches back.
    let pending: Vec<_> = (0..5000).map(|n| engine.submit(put("k1", &n.to_string()))).collect();
    pending.into_iter().for_each(|pending| assert!(pending.wait().is_ok()));
    check(&engine);
    drop(engine);
    check(&bed.open());
}

fn log(bed: &dyn Bed) {
    let engine = bed.open();
    for n in 1..=30 {
        let txn = put("a", &n.to_string()).author("maria").message(format!("number {n}")).source("team");
        commit(&engine, txn.annotate("git", "abc").request_id(id(&format!("id{n}"))));
    }
    let check = |engine: &Engine| {
        let revisions = |commits: Result<Vec<_>, _>| {
            let commits: Vec<std::sync::Arc<holdfast_engine::Commit>> = commits.expect("readable");
            commits.iter().map(|commit| commit.revision.get()).collect::<Vec<_>>()
        };
        assert_eq!(revisions(engine.commits(.., 3)), [30, 29, 28]);
        assert_eq!(revisions(engine.commits(..=Revision::new(2), 10)), [2, 1]);
        assert_eq!(revisions(engine.commits(Revision::new(4)..Revision::new(6), 10)), [5, 4]);
        assert!(revisions(engine.commits(Revision::new(31).., 10)).is_empty());
        let commit = engine.commit_at(Revision::new(7)).expect("kept");
        assert_eq!((commit.author.as_str(), commit.message.as_str()), ("maria", "number 7"));
        assert_eq!(commit.source.as_deref(), Some("team"));
        assert_eq!(commit.annotations.get("git").map(String::as_str), Some("abc"));
        assert_eq!(commit.request_id, Some(id("id7")));
        assert_eq!(commit.computed_id(), commit.id);
        assert_eq!(commit.parent, engine.commit_at(Revision::new(6)).expect("kept").id);
        assert!(matches!(engine.commit_at(Revision::new(31)), Err(AtError::Future { .. })));
        assert!(matches!(engine.commit_at(Revision::ZERO), Err(AtError::Compacted { .. })));
    };
    check(&engine);
    drop(engine);
    check(&bed.open());
}

fn sealed(bed: &dyn Bed) {
    let engine = bed.open();
    let bytes = b"sealed by somebody else".to_vec();
    let digest = Digest::of(&bytes);
    let large = vec![5_u8; 50_000];
    commit(
        &engine,
        Txn::new().put_sealed(key("s"), *b"tag", bytes.clone()).put_sealed(key("l"), *b"tag", large.clone()),
    );
    let is_there = |engine: &Engine| {
        assert_eq!(engine.sealed(&digest).as_deref(), Some(bytes.as_slice()));
        assert_eq!(engine.sealed(&Digest::of(&large)).as_deref(), Some(large.as_slice()));
        assert_eq!(engine.snapshot().get("s").and_then(holdfast_engine::Entry::sealed), Some(digest));
    };
    is_there(&engine);
    drop(engine);
    let engine = bed.open();
    is_there(&engine);
    // Kept by another key, then dropped by the first: still there. Dropped by both: gone.
    commit(&engine, Txn::new().keep_sealed(key("t"), *b"tag", digest));
    commit(&engine, put("s", "open"));
    assert!(engine.sealed(&digest).is_some());
    commit(&engine, Txn::new().delete(key("t")).delete(key("l")));
    assert_eq!(engine.sealed(&digest), None);
    let unknown = engine.commit(Txn::new().keep_sealed(key("u"), *b"tag", digest));
    assert!(matches!(unknown, Err(CommitError::UnknownSealed { .. })));
    drop(engine);
    let engine = bed.open();
    assert_eq!(engine.sealed(&digest), None);
    assert_eq!(engine.sealed(&Digest::of(&large)), None);
    commit(&engine, Txn::new().put_sealed(key("s"), *b"tag", bytes.clone()));
    assert!(engine.sealed(&digest).is_some());
}

fn large(bed: &dyn Bed) {
    let engine = bed.open();
    let sizes = [0, 1, 4095, 4096, 4097, 16_000, 128 << 10, limits::VALUE_BYTES_MAX];
    let body = |size: usize| (0..size).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    let longest = "k".repeat(limits::KEY_BYTES_MAX);
    let txn = sizes.iter().fold(Txn::new(), |txn, size| txn.put(key(&format!("{size}")), body(*size)));
    commit(&engine, txn.put(key(&longest), *b"v"));
    drop(engine);
    let engine = bed.open();
    let snapshot = engine.snapshot();
    for size in sizes {
        assert_eq!(**snapshot.get(&size.to_string()).expect("there").value(), *body(size));
    }
    assert!(snapshot.get(&longest).is_some());
}

fn group(bed: &dyn Bed) {
    let engine = bed.open();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let engine = engine.clone();
            scope.spawn(move || {
                for n in 0..50 {
                    let before = engine.head().revision;
                    let receipt = engine.commit(put(&format!("w{writer}"), &n.to_string())).expect("holds");
                    assert!(receipt.revision > before, "a commit comes after what was visible before it");
                    assert!(engine.snapshot().revision() >= receipt.revision, "acknowledged is visible (P3, P4)");
                }
            });
        }
    });
    assert_eq!(engine.head().revision.get(), 400);
    let snapshot = engine.snapshot();
    assert!((0..8).all(|writer| value(snapshot.get(&format!("w{writer}"))) == Some("49")));
    assert!(snapshot.iter().all(|(_, entry)| entry.version() == 50));
}

fn closing(bed: &dyn Bed) {
    let engine = bed.open();
    let pending: Vec<_> = (0..100).map(|n| engine.submit(put("a", &n.to_string()))).collect();
    engine.close();
    let done = pending.into_iter().map(|pending| pending.wait()).filter(Result::is_ok).count();
    assert_eq!(done, 100, "what was handed over before the close is committed");
    assert!(matches!(engine.commit(put("a", "x")), Err(CommitError::Closed)));
    assert_eq!(engine.snapshot().revision().get(), 100, "snapshots stay readable");
    engine.close();
    assert_eq!(bed.open().head().revision.get(), 100);
}

fn compacting(bed: &dyn Bed) {
    let engine = bed.open();
    let mut kept = vec![engine.snapshot()];
    for n in 0..80_u32 {
        let txn = match n % 4 {
            0 => put("once", "1").require(Precondition::Absent(key("once"))),
            1 => put(&format!("k{}", n % 9), &n.to_string()).request_id(id(&format!("id{n}"))),
            2 => Txn::new().put(key("large"), n.to_be_bytes().repeat(1500)).delete(key(&format!("k{}", n % 9))),
            _ => Txn::new().put_sealed(key("sealed"), *b"tag", n.to_be_bytes().to_vec()),
        };
        if engine.commit(txn).is_ok() {
            kept.push(engine.snapshot());
        }
    }
    let head = engine.head();
    let check = |engine: &Engine, oldest: u64| {
        assert_eq!(engine.head(), head, "the head does not move");
        assert_eq!(engine.status().compacted.get(), oldest);
        for snapshot in &kept {
            let revision = snapshot.revision();
            match engine.at(revision) {
                Ok(read) => {
                    assert!(revision.get() >= oldest);
                    assert_eq!(read.head(), snapshot.head());
                    assert!(read.iter().eq(snapshot.iter()), "{revision} reads as it was");
                }
                Err(AtError::Compacted { oldest: named, .. }) => {
                    assert!(revision.get() < oldest && named.get() == oldest, "{revision}");
                }
                Err(error) => panic!("{revision}: {error:?}"),
            }
        }
        let commits = engine.commits(.., 1000).expect("readable");
        assert_eq!(commits.len() as u64, head.revision.get() - oldest);
        let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
        assert!(report.is_sound(), "{:?}", report.findings);
        let again = engine.commit(put("k1", "twice").request_id(id("id1"))).expect("answered");
        assert_eq!(again.outcome, Outcome::Replayed, "request ids outlive the commits");
    };
    let compact = |engine: &Engine, to: u64| engine.compact(Keep::From(Revision::new(to))).expect("compacts");
    check(&engine, 0);
    assert_eq!(compact(&engine, 20).commits, 20);
    check(&engine, 20);
    drop(engine);
    let engine = bed.open();
    check(&engine, 20);
    assert_eq!(compact(&engine, 10).commits, 0, "what is gone is gone");

    // A held revision is not passed; what cannot be held is refused.
    assert!(matches!(engine.hold(Revision::new(19)), Err(AtError::Compacted { .. })));
    assert!(matches!(engine.hold(head.revision.next()), Err(AtError::Future { .. })));
    let hold = engine.hold(Revision::new(30)).expect("kept");
    let compaction = compact(&engine, 40);
    assert_eq!((compaction.oldest.get(), compaction.held.map(Revision::get)), (30, Some(30)));
    check(&engine, 30);
    drop(hold);
    let at_r45 = engine.commit_at(Revision::new(45)).expect("kept").time;
    assert_eq!(engine.compact(Keep::Since(at_r45)).expect("compacts").oldest.get(), 45);
    check(&engine, 45);
    let newest = head.revision.get();
    assert_eq!(engine.compact(Keep::Newest(5)).expect("compacts").oldest.get(), newest - 5);
    check(&engine, newest - 5);
    assert!(engine.compact(Keep::From(head.revision.next())).is_err());
    compact(&engine, newest);
    check(&engine, newest);
    drop(engine);
    let engine = bed.open();
    check(&engine, newest);
    assert_eq!(commit(&engine, put("after", "1")).get(), newest + 1);
    assert!(engine.at(head.revision).expect("kept").iter().eq(kept[kept.len() - 1].iter()));
}

fn verify(bed: &dyn Bed) {
    let engine = bed.open();
    for n in 0..50 {
        commit(&engine, put(&format!("k{}", n % 7), &n.to_string()).delete(key("absent")).author("me"));
    }
    for engine in [engine.clone(), engine] {
        let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.commits, 50);
    }
}
