//! P9: a watcher sees every commit once, in order, whole, from any retained revision; a slow one costs nobody anything.

use holdfast_engine::{
    Change, Counter, Engine, MemoryStore, Previous, ResumeToken, ResyncReason, Revision, Txn, Watch, WatchError,
    WatchEvent, WatchFrom, WatchOps, WatchOptions, WatchedCommit,
};

use crate::support::{Bed, MemoryBed, SledBed, key, open, put, value};

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn after(revision: u64) -> WatchOptions {
    WatchOptions { from: WatchFrom::After(Revision::new(revision)), ..WatchOptions::default() }
}

async fn commit(watch: &mut Watch) -> WatchedCommit {
    match watch.next().await.expect("the watch goes on") {
        WatchEvent::Commit(commit) => commit,
        WatchEvent::Resync { reason, .. } => panic!("a resync: {reason:?}"),
    }
}

/// All that a watch gives up to the head, without waiting.
async fn drain(watch: &mut Watch) -> Vec<WatchedCommit> {
    let mut seen = Vec::new();
    while let Some(event) = watch.step().await.expect("the watch goes on") {
        match event {
            WatchEvent::Commit(commit) => seen.push(commit),
            WatchEvent::Resync { reason, .. } => panic!("a resync: {reason:?}"),
        }
    }
    seen
}

fn revisions(commits: &[WatchedCommit]) -> Vec<u64> {
    commits.iter().map(|commit| commit.commit.revision.get()).collect()
}

/// Commits in three corners of the store; every third one touches `a/` and `b/` together.
fn fill(engine: &Engine, count: u64) {
    let txn = |n: u64| match n % 3 {
        0 => put(&format!("a/{}", n % 7), &n.to_string()).put(key(&format!("b/{}", n % 5)), *b"both"),
        1 => put(&format!("b/{}", n % 5), &n.to_string()),
        _ => put("c", &n.to_string()).delete(key("a/0")),
    };
    let pending: Vec<_> = (0..count).map(|n| engine.submit(txn(n))).collect();
    pending.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
}

#[test]
fn p9_a_program_without_a_runtime_waits_on_its_thread_and_can_be_told_to_stop() {
    let engine = open(Box::new(MemoryStore::new())).expect("recovers");
    let mut watch = engine.watch(after(0)).expect("kept");
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let (all, seen_all) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let mut told = Box::pin(async move { _ = told.await });
            let mut seen = Vec::new();
            while let Some(event) = watch.wait(told.as_mut()).expect("the watch goes on") {
                let WatchEvent::Commit(commit) = event else { panic!("a resync") };
                seen.push(commit);
                if seen.len() == 20 {
                    all.send(()).expect("it is waited for");
                }
            }
            seen
        });
        fill(&engine, 20);
        seen_all.recv().expect("all were seen");
        tell.send(()).expect("it is waited for");
        let seen = revisions(&waiting.join().expect("ends"));
        assert!(seen.iter().copied().eq(1..=20), "{seen:?}");
    });
}

#[test]
fn p9_from_every_revision_a_watch_sees_the_rest_once_in_order_and_whole() {
    for bed in [&MemoryBed::default() as &dyn Bed, &SledBed::with_lag(3000)] {
        let engine = bed.open();
        fill(&engine, 60);
        drop(engine);
        let engine = bed.open();
        for start in 0..=60 {
            let mut watch = engine.watch(after(start)).expect("kept");
            let seen = run(drain(&mut watch));
            assert_eq!(revisions(&seen), (start + 1..=60).collect::<Vec<_>>());
            assert!(seen.iter().all(|seen| seen.changes.len() == seen.commit.changes.len()), "commits are whole");
        }
    }
}

#[test]
fn a_watch_reaches_past_what_is_in_memory() {
    let bed = SledBed::new();
    let engine = bed.open();
    fill(&engine, 6000);
    let mut watch = engine.watch(WatchOptions { prefix: "a/".to_owned(), ..after(0) }).expect("kept");
    let seen = run(drain(&mut watch));
    let wanted = engine_log(&engine, "a/");
    assert!(wanted.len() > 2000, "{}", wanted.len());
    assert_eq!(revisions(&seen), wanted);
}

/// The revisions that touch `prefix`, from the log.
fn engine_log(engine: &Engine, prefix: &str) -> Vec<u64> {
    let mut commits = engine.commits(.., 10_000).expect("kept");
    commits.reverse();
    let touches = |change: &Change| change.key().as_str().starts_with(prefix);
    commits.iter().filter(|commit| commit.changes.iter().any(touches)).map(|commit| commit.revision.get()).collect()
}

#[test]
fn filters_show_whole_commits_of_what_they_show() {
    let bed = MemoryBed::default();
    let engine = bed.open();
    fill(&engine, 30);
    for prefix in ["", "a", "a/", "a/0", "b/", "c", "nothing/"] {
        let mut watch = engine.watch(WatchOptions { prefix: prefix.to_owned(), ..after(0) }).expect("kept");
        let seen = run(drain(&mut watch));
        assert_eq!(revisions(&seen), engine_log(&engine, prefix), "{prefix}");
        for commit in seen {
            assert!(commit.changes.iter().all(|change| change.change.key().as_str().starts_with(prefix)));
        }
    }
    let deletes = WatchOptions { ops: WatchOps::Deletes, ..after(0) };
    let seen = run(drain(&mut engine.watch(deletes).expect("kept")));
    assert!(!seen.is_empty());
    assert!(seen.iter().flat_map(|seen| &seen.changes).all(|seen| matches!(seen.change, Change::Delete { .. })));
}

#[test]
fn previous_values_are_those_that_were_replaced() {
    for bed in [&MemoryBed::default() as &dyn Bed, &SledBed::new()] {
        let engine = bed.open();
        fill(&engine, 40);
        drop(engine);
        let engine = bed.open();
        let mut watch = engine.watch(WatchOptions { previous: true, ..after(0) }).expect("kept");
        for seen in run(drain(&mut watch)) {
            let before = engine.at(seen.commit.revision.previous()).expect("kept");
            for change in seen.changes {
                let wanted = before.get(change.change.key().as_str());
                let wanted = wanted.map_or(Previous::Absent, |entry| Previous::Entry(entry.clone()));
                assert_eq!(change.previous, wanted);
            }
        }
    }
}

#[test]
fn a_token_resumes_exactly_there_also_in_another_process() {
    let bed = SledBed::new();
    let engine = bed.open();
    fill(&engine, 30);
    let mut watch = engine.watch(after(0)).expect("kept");
    let first: Vec<_> = run(async { [commit(&mut watch).await, commit(&mut watch).await] }).into();
    let token: ResumeToken = watch.token().to_string().parse().expect("its own text");
    assert_eq!(token.revision, Revision::new(2), "what was read ahead is not examined");
    drop((watch, engine));
    let engine = bed.open();
    let options = WatchOptions { from: WatchFrom::Token(token), ..WatchOptions::default() };
    let rest = run(drain(&mut engine.watch(options).expect("kept")));
    assert_eq!(revisions(&[first, rest].concat()), (1..=30).collect::<Vec<_>>());
}

#[test]
fn a_future_revision_is_refused_and_another_store_begins_again() {
    let engine = open(Box::new(MemoryStore::new())).expect("opens");
    fill(&engine, 3);
    assert!(matches!(engine.watch(after(4)), Err(WatchError::Future { .. })));
    let other = open(Box::new(MemoryStore::new())).expect("opens");
    fill(&other, 9);
    let token = other.watch(after(9)).expect("at its head").token();
    let mut watch = engine
        .watch(WatchOptions { from: WatchFrom::Token(token), ..WatchOptions::default() })
        .expect("begins with a resync");
    match run(watch.next()).expect("goes on") {
        WatchEvent::Resync { reason: ResyncReason::OtherEpoch, snapshot } => {
            assert_eq!(snapshot.revision(), Revision::new(3));
        }
        other => panic!("expected a resync, got {other:?}"),
    }
    engine.commit(put("x", "after")).expect("holds");
    assert_eq!(run(commit(&mut watch)).commit.revision, Revision::new(4));
}

#[test]
fn a_watch_at_the_compacted_revision_goes_on_and_one_below_begins_again() {
    for bed in [&MemoryBed::default() as &dyn Bed, &SledBed::with_lag(3000)] {
        let engine = bed.open();
        fill(&engine, 40);
        let mut stalled = engine.watch(after(5)).expect("kept");
        run(commit(&mut stalled));
        let fresh = engine.watch(after(25)).expect("kept");
        engine.compact(holdfast_engine::Keep::From(Revision::new(30))).expect("compacts");
        for (start, resyncs) in [(29, true), (30, false), (31, false)] {
            let mut watch = engine.watch(WatchOptions { previous: true, ..after(start) }).expect("begins");
            match run(watch.next()).expect("goes on") {
                WatchEvent::Resync { reason, snapshot } => {
                    assert!(resyncs, "{start}");
                    assert_eq!(reason, ResyncReason::Compacted { oldest: Revision::new(30) });
                    assert_eq!(snapshot.revision(), Revision::new(40));
                }
                WatchEvent::Commit(commit) => {
                    assert!(!resyncs, "{start}");
                    assert_eq!(commit.commit.revision, Revision::new(start + 1));
                }
            }
        }
        for mut watch in [stalled, fresh] {
            // What it had read ahead it may still give; then it is told.
            let told = run(async {
                loop {
                    match watch.next().await.expect("goes on") {
                        WatchEvent::Commit(commit) => assert!(commit.commit.revision.get() <= 40),
                        WatchEvent::Resync { snapshot, .. } => return snapshot.revision(),
                    }
                    if watch.token().revision == Revision::new(40) {
                        return Revision::new(40);
                    }
                }
            });
            assert_eq!(told, Revision::new(40));
        }
    }
}

#[test]
fn a_waiting_watch_is_woken_by_its_scope_and_bookmarks_pass_the_rest() {
    let engine = open(Box::new(MemoryStore::new())).expect("opens");
    let mut watch = engine.watch(WatchOptions { prefix: "a/".to_owned(), ..WatchOptions::default() }).expect("now");
    engine.commit(put("b/1", "x")).expect("holds");
    engine.commit(put("ab", "x")).expect("holds");
    run(async {
        assert!(watch.step().await.expect("goes on").is_none(), "nothing of the scope");
        assert_eq!(watch.bookmark().await, Revision::new(2), "examined, though nothing was given");
        let pending = engine.submit(put("a/1", "y"));
        assert_eq!(commit(&mut watch).await.commit.revision, Revision::new(3));
        assert!(watch.bookmark().await <= engine.head().revision, "never ahead");
        assert!(pending.await.is_ok());
    });
}

#[test]
fn a_watch_ends_when_the_engine_is_closed() {
    let engine = open(Box::new(MemoryStore::new())).expect("opens");
    let mut watch = engine.watch(WatchOptions::default()).expect("now");
    std::thread::scope(|scope| {
        let ended = scope.spawn(move || run(watch.next()));
        engine.close();
        assert!(matches!(ended.join().expect("no panic"), Err(WatchError::Closed)));
    });
}

#[test]
fn while_writers_go_on_every_watch_sees_one_order() {
    let engine = open(Box::new(MemoryStore::new())).expect("opens");
    const COMMITS: u64 = 400;
    std::thread::scope(|scope| {
        for prefix in ["", "w1/", "w2/"] {
            let mut watch =
                engine.watch(WatchOptions { prefix: prefix.to_owned(), ..WatchOptions::default() }).expect("now");
            scope.spawn(move || {
                run(async {
                    let mut last = 0;
                    loop {
                        let seen = commit(&mut watch).await;
                        let revision = seen.commit.revision.get();
                        assert!(revision > last, "in order and once");
                        assert!(!prefix.is_empty() || revision == last + 1, "complete");
                        assert!(!seen.changes.is_empty());
                        last = revision;
                        if seen.changes.iter().any(|change| change.change.key().as_str().ends_with("end")) {
                            break;
                        }
                    }
                });
            });
        }
        for writer in 1..=2 {
            let engine = &engine;
            scope.spawn(move || {
                for n in 0..COMMITS {
                    engine.commit(put(&format!("w{writer}/{}", n % 9), &n.to_string())).expect("holds");
                }
                engine.commit(put(&format!("w{writer}/end"), "end")).expect("holds");
            });
        }
    });
    assert_eq!(engine.head().revision.get(), 2 * COMMITS + 2);
}

fn counted(counters: &[Counter]) -> Vec<u64> {
    counters.iter().map(|counter| counter.get().get()).collect()
}

#[test]
fn counters_name_the_newest_revision_of_their_scope() {
    let engine = open(Box::new(MemoryStore::new())).expect("opens");
    let counters: Vec<_> = ["", "a/", "a/b/", "a/b/c", "z/"].map(|scope| engine.counter(scope)).into();
    assert_eq!(counted(&counters), [0, 0, 0, 0, 0]);
    engine.commit(put("a/b/c", "1")).expect("holds");
    assert_eq!(counted(&counters), [1, 1, 1, 1, 0]);
    engine.commit(put("a/x", "1")).expect("holds");
    assert_eq!(counted(&counters), [2, 2, 1, 1, 0]);
    engine.commit(Txn::new().delete(key("a/b/c"))).expect("holds");
    assert_eq!(counted(&counters), [3, 3, 3, 3, 0]);
    let late: Vec<_> = ["", "a/", "a/b/", "a/b/c", "z/"].map(|scope| engine.counter(scope)).into();
    assert_eq!(counted(&late), counted(&counters));
    drop((counters, late));
    let anew: Vec<_> = ["", "a/", "a/b/", "a/b/c", "z/"].map(|scope| engine.counter(scope)).into();
    assert_eq!(counted(&anew), [3, 3, 3, 3, 0], "also when asked for the first time after the fact");
    run(async {
        let pending = engine.submit(put("z/1", "x"));
        assert_eq!(anew[4].changed(Revision::ZERO).await, Revision::new(4));
        assert!(pending.await.is_ok());
    });
    assert_eq!(value(engine.snapshot().get("z/1")), Some("x"), "a counter is raised after the commit is visible");
    let from_head: Vec<_> = ["a/x", "a/b/c", "z/"].map(|scope| engine.counter_from_head(scope)).into();
    assert_eq!(counted(&from_head), [4, 3, 4], "one that is held already is shared");
    engine.commit(put("a/x", "2")).expect("holds");
    assert_eq!(counted(&from_head), [5, 3, 4]);
}
