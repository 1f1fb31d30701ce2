//! Two engines on one store: the head moves under both, each follows the other, and what waits is judged again.

use holdfast_engine::{CommitError, Engine, MemoryStore, Precondition, Revision, limits};

use crate::before::Before;
use crate::support::{id, key, open, put, value};

fn two() -> (Engine, Engine) {
    let store = MemoryStore::new();
    let engine = || open(Box::new(store.clone())).expect("a memory store opens");
    (engine(), engine())
}

#[test]
fn both_engines_see_every_commit_in_one_order() {
    let (a, b) = two();
    std::thread::scope(|scope| {
        for (name, engine) in [("a", &a), ("b", &b)] {
            scope.spawn(move || {
                for n in 0..200 {
                    engine.commit(put(&format!("{name}{}", n % 10), &n.to_string())).expect("holds");
                }
            });
        }
    });
    assert!(a.head().revision.get() <= 400 && b.head().revision.get() <= 400);
    // A commit of either sees all that came before it.
    a.commit(put("end", "a")).expect("holds");
    b.commit(put("end", "b")).expect("holds");
    assert_eq!(b.head().revision, Revision::new(402));
    let commits = b.commits(.., 1000).expect("kept");
    assert_eq!(commits.len(), 402);
    assert!(commits.windows(2).all(|pair| pair[0].parent == pair[1].id), "one chain");
}

/// An engine under which another one moves the head before each of so many appends.
fn outrun(times: usize) -> Engine {
    let store = MemoryStore::new();
    let rival = open(Box::new(store.clone())).expect("a memory store opens");
    let mut races = 0;
    let losing = Before::each_append(store, move |_| {
        if races < times {
            races += 1;
            rival.commit(put("rival", &races.to_string())).expect("nobody outruns this one");
        }
    });
    open(Box::new(losing)).expect("a memory store opens")
}

#[test]
fn a_commit_holds_however_often_another_writer_was_faster() {
    let engine = outrun(200);
    let receipt = engine.commit(put("x", "1")).expect("the rival comes to an end");
    assert_eq!(receipt.revision, Revision::new(201), "after all that outran it, and once");
    assert_eq!(engine.head().revision, Revision::new(201));
    assert_eq!(value(engine.snapshot().get("rival")), Some("200"));
}

#[test]
fn a_writer_that_never_gets_a_turn_is_told_so_and_has_written_nothing() {
    let engine = outrun(usize::MAX);
    let began = std::time::Instant::now();
    let refused = engine.commit(put("x", "1")).expect_err("it never gets a turn");
    assert!(matches!(refused, CommitError::Contended { attempts } if attempts > 1), "{refused}");
    assert!(refused.is_retryable());
    assert!(began.elapsed() >= limits::CONTENTION_MAX, "it was tried for as long as is promised");
    assert_eq!(value(engine.snapshot().get("x")), None);
    assert!(value(engine.snapshot().get("rival")).is_some(), "it has followed the other one meanwhile");
}

#[test]
fn a_precondition_is_judged_against_the_head_of_all() {
    let (a, b) = two();
    a.commit(put("x", "a").require(Precondition::Absent(key("x")))).expect("holds");
    let second = b.commit(put("x", "b").require(Precondition::Absent(key("x"))));
    assert!(matches!(second, Err(CommitError::Conflict { .. })), "{second:?}");
    let first = a.commit(put("y", "a").request_id(id("once"))).expect("holds");
    let again = b.commit(put("y", "b").request_id(id("once"))).expect("answered");
    assert_eq!(first.revision, again.revision);
    assert_eq!(value(b.snapshot().get("y")), Some("a"));
}

#[test]
fn a_follower_sees_commits_without_committing() {
    let (a, b) = two();
    let revision = a.commit(put("x", "a")).expect("holds").revision;
    // The wake is asynchronous; a read of the store's thread comes after it.
    while b.head().revision < revision {
        std::thread::yield_now();
    }
    assert_eq!(value(b.snapshot().get("x")), Some("a"));
}
