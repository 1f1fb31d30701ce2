//! History: differences, the log by prefix, the life of a key; each against what the snapshots say.

use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};

use holdfast_engine::{Change, Engine, Keep, Key, MemoryStore, Options, Revision, Timestamp, Txn};

use crate::support::{Bed, MemoryBed, SledBed, key, put, value};

fn beds() -> [Box<dyn Bed>; 3] {
    [Box::new(MemoryBed::default()), Box::new(SledBed::new()), Box::new(SledBed::with_lag(2000))]
}

/// Sixty commits that put, delete and make again a few keys.
fn fill(engine: &Engine) {
    for n in 0..60_u32 {
        let txn = match n % 4 {
            0 => put(&format!("a/{}", n % 5), &n.to_string()).delete(key("b/1")),
            1 => put("b/1", &n.to_string()).put(key(&format!("c/{n}")), n.to_be_bytes().repeat(900)),
            2 => Txn::new().delete(key(&format!("a/{}", n % 5))).put(key("d"), *b"d"),
            _ => put("e", "same"),
        };
        engine.commit(txn).expect("holds");
    }
}

fn check_diffs(engine: &Engine) {
    let head = engine.head().revision.get();
    let mut cases = 0;
    for from in (0..=head).step_by(4) {
        for to in (0..=head).step_by(7) {
            let (from, to) = (Revision::new(from), Revision::new(to));
            let (a, b) = (engine.at(from).expect("kept"), engine.at(to).expect("kept"));
            let keys: BTreeSet<&Key> = a.iter().chain(b.iter()).map(|(key, _)| key).collect();
            let wanted: Vec<_> = keys
                .into_iter()
                .map(|key| (key.clone(), a.get(key.as_str()).cloned(), b.get(key.as_str()).cloned()))
                .filter(|(_, before, after)| before != after)
                .collect();
            let found: Vec<_> =
                engine.diff(from, to).expect("kept").into_iter().map(|d| (d.key, d.before, d.after)).collect();
            assert_eq!(found, wanted, "{from}..{to}");
            cases += 1;
        }
    }
    assert!(cases > 100, "{cases}");
}

#[test]
fn a_diff_is_what_the_two_states_differ_in() {
    for bed in beds() {
        let engine = bed.open();
        fill(&engine);
        check_diffs(&engine);
        // And when nothing of it is in memory any more.
        let pending: Vec<_> = (0..4200).map(|n| engine.submit(put("e", &n.to_string()))).collect();
        pending.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
        let early = engine.diff(Revision::new(3), Revision::new(20)).expect("kept");
        let (a, b) = (engine.at(Revision::new(3)).expect("kept"), engine.at(Revision::new(20)).expect("kept"));
        assert!(
            early
                .iter()
                .all(|d| a.get(d.key.as_str()) == d.before.as_ref() && b.get(d.key.as_str()) == d.after.as_ref())
        );
        assert!(early.len() > 5);
    }
}

#[test]
fn the_log_of_a_prefix_is_the_log_filtered() {
    for bed in beds() {
        let engine = bed.open();
        fill(&engine);
        drop(engine);
        let engine = bed.open();
        for prefix in ["", "a/", "b/1", "c/", "none"] {
            let touches = |change: &Change| change.key().as_str().starts_with(prefix);
            let all = engine.commits(.., 1000).expect("kept");
            let wanted: Vec<_> =
                all.iter().filter(|c| c.changes.iter().any(touches)).map(|c| c.revision.get()).collect();
            let found = |limit| -> Vec<_> {
                engine.log(.., prefix, limit).expect("kept").iter().map(|c| c.revision.get()).collect()
            };
            assert_eq!(found(1000), wanted, "{prefix}");
            assert_eq!(found(3), wanted[..wanted.len().min(3)], "{prefix}");
        }
        // A client may name a revision that no store ever reaches.
        for far in [engine.head().revision, Revision::new(u64::MAX)] {
            let after = (Bound::Excluded(far), Bound::Unbounded);
            assert!(engine.commits(after, 10).expect("kept").is_empty(), "after {far}");
        }
    }
}

#[test]
fn the_life_of_a_key_has_every_version_and_every_death() {
    for bed in beds() {
        let engine = bed.open();
        fill(&engine);
        let head = engine.head().revision;
        for name in ["a/0", "a/4", "b/1", "d", "e", "absent"] {
            let name = key(name);
            let mut wanted = Vec::new();
            for revision in (1..=head.get()).rev() {
                let commit = engine.commit_at(Revision::new(revision)).expect("kept");
                if commit.changes.iter().any(|change| *change.key() == name) {
                    let state = engine.at(Revision::new(revision)).expect("kept");
                    wanted.push((revision, state.get(name.as_str()).cloned()));
                }
            }
            let found: Vec<_> = engine
                .key_log(&name, head, 1000)
                .expect("kept")
                .into_iter()
                .map(|version| (version.commit.revision.get(), version.entry))
                .collect();
            assert_eq!(found, wanted, "{name}");
            let older = engine.key_log(&name, Revision::new(30), 1000).expect("kept");
            assert_eq!(older.len(), wanted.iter().filter(|(revision, _)| *revision <= 30).count());
        }
        assert_eq!(value(engine.snapshot().get("e")), Some("same"));
    }
}

#[test]
fn compacting_to_the_revision_of_a_base_keeps_that_base() {
    let bed = SledBed::with_lag(1);
    let engine = bed.open();
    for n in 1..=4 {
        engine.commit(put(&format!("k{n}"), &"x".repeat(n * n * 4000))).expect("holds");
    }
    // The last commit outweighs what was before it, so that a base at the head follows.
    while engine.status().trail_lag > 0 {
        engine.commits(Revision::new(1).., 1).expect("readable");
        std::thread::yield_now();
    }
    engine.compact(Keep::From(engine.head().revision)).expect("compacts");
    for _ in 0..20 {
        engine.commit(put("after", "small")).expect("holds; what is deleted trails");
    }
    let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
    assert!(report.is_sound(), "{:?}", report.findings);
    let snapshot = engine.snapshot();
    drop(engine);
    assert!(bed.open().snapshot().iter().eq(snapshot.iter()));
}

#[test]
fn a_clock_that_is_behind_the_newest_commit_is_told_of_and_times_stand_still_meanwhile() {
    let hour = 60 * 60 * 1000;
    let store = MemoryStore::new();
    let time = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(10 * hour));
    let open = || {
        let time = std::sync::Arc::clone(&time);
        let clock = move || Timestamp::from_millis(time.load(std::sync::atomic::Ordering::Relaxed));
        Engine::open(Box::new(store.clone()), Options::new(clock)).expect("recovers")
    };
    let engine = open();
    engine.commit(put("a", "1")).expect("holds");
    let set = |millis| time.store(millis, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(engine.status().clock_behind_ms, None);
    set(10 * hour - 59_999);
    assert_eq!(engine.status().clock_behind_ms, None, "so much two machines may differ by");
    set(4 * hour);
    assert_eq!(engine.status().clock_behind_ms, Some(6 * hour));
    drop(engine);
    let engine = open();
    let head = engine.commit(put("a", "2")).map(|_| engine.head()).expect("holds");
    assert_eq!((head.time.as_millis(), engine.status().clock_behind_ms), (10 * hour, Some(6 * hour)));
    set(11 * hour);
    engine.commit(put("a", "3")).expect("holds");
    assert_eq!((engine.head().time.as_millis(), engine.status().clock_behind_ms), (11 * hour, None));
}
