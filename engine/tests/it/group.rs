//! Group commit under load: groups are bounded by count, bytes and time; the queue is fair and pushes back when it is full; a
//! caller that goes away neither loses nor doubles a commit.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};

use holdfast_engine::store::Append;
use holdfast_engine::{Change, CommitError, Engine, MemoryStore, Pending, Revision, Txn, limits};

use crate::before::Before;
use crate::support::{Over, key, open, put};

/// Where appends wait; it notes how large each group was.
#[derive(Default)]
struct Gate {
    /// Whether it is open, and how many appends have come to it.
    state: Mutex<(bool, usize)>,
    moved: Condvar,
    /// Commits and bytes of each group.
    groups: Mutex<Vec<(usize, usize)>>,
}

impl Gate {
    fn open(&self) {
        self.state.lock().expect("not poisoned").0 = true;
        self.moved.notify_all();
    }

    /// Waits until an append stands before the closed gate.
    fn await_append(&self) {
        let state = self.state.lock().expect("not poisoned");
        drop(self.moved.wait_while(state, |state| state.1 == 0).expect("not poisoned"));
    }

    fn pass(&self, group: &Append<'_>) {
        let size = |change: &Change| match change {
            Change::Put { key, value, .. } => key.as_str().len() + value.len(),
            Change::Delete { key } => key.as_str().len(),
        };
        let bytes = group.commits.iter().flat_map(|commit| &commit.changes).map(size).sum();
        self.groups.lock().expect("not poisoned").push((group.commits.len(), bytes));
        let mut state = self.state.lock().expect("not poisoned");
        state.1 += 1;
        self.moved.notify_all();
        drop(self.moved.wait_while(state, |state| !state.0).expect("not poisoned"));
    }
}

/// An engine whose writer stands before the closed gate with one commit, so that what follows waits in the queue.
fn held_up() -> (Engine, Arc<Gate>, Pending) {
    let gate = Arc::new(Gate::default());
    let store = Before::each_append(MemoryStore::new(), {
        let gate = Arc::clone(&gate);
        move |group| gate.pass(group)
    });
    let engine = open(Box::new(store)).expect("opens");
    let first = engine.submit(put("first", "x"));
    gate.await_append();
    (engine, gate, first)
}

fn numbered(number: usize) -> Txn {
    put(&format!("k{number}"), &number.to_string())
}

#[test]
fn a_group_is_bounded_by_count() {
    let (engine, gate, first) = held_up();
    let count = limits::GROUP_TXNS_MAX * 2 + 5;
    let pending: Vec<_> = (0..count).map(|number| engine.submit(numbered(number))).collect();
    gate.open();
    first.wait().expect("holds");
    pending.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
    let sizes: Vec<_> = gate.groups.lock().expect("not poisoned").iter().map(|(commits, _)| *commits).collect();
    assert_eq!(sizes, [1, limits::GROUP_TXNS_MAX, limits::GROUP_TXNS_MAX, 5]);
}

#[test]
fn a_group_is_bounded_by_bytes_and_takes_at_least_one() {
    let (engine, gate, first) = held_up();
    let third: Arc<[u8]> = vec![7; limits::GROUP_BYTES_MAX / 3].into();
    let whole: Arc<[u8]> = vec![7; limits::GROUP_BYTES_MAX].into();
    let mut pending: Vec<_> =
        (0..7).map(|n| engine.submit(Txn::new().put(key(&format!("k{n}")), Arc::clone(&third)))).collect();
    let two = Txn::new().put(key("a"), Arc::clone(&whole)).put(key("b"), Arc::clone(&whole));
    pending.push(engine.submit(two));
    gate.open();
    first.wait().expect("holds");
    pending.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
    let groups = gate.groups.lock().expect("not poisoned").clone();
    assert_eq!(groups.iter().map(|(commits, _)| *commits).sum::<usize>(), 9);
    for (commits, bytes) in &groups {
        assert!(*bytes <= limits::GROUP_BYTES_MAX || *commits == 1, "{commits} commits of {bytes} bytes");
    }
    assert_eq!(groups.last().map(|(commits, _)| *commits), Some(1), "what is larger than a group goes alone");
}

#[test]
fn a_group_does_not_wait_for_writers_that_do_not_come_back() {
    let (engine, gate, first) = held_up();
    let pending: Vec<_> = (0..64).map(|number| engine.submit(numbered(number))).collect();
    gate.open();
    first.wait().expect("holds");
    pending.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
    // The last group had 64; without a bound in time this one would wait for 63 more.
    engine.commit(put("alone", "1")).expect("holds");
    engine.commit(put("alone", "2")).expect("holds");
    let sizes: Vec<_> = gate.groups.lock().expect("not poisoned").iter().map(|(commits, _)| *commits).collect();
    assert_eq!(sizes, [1, 64, 1, 1]);
}

#[test]
fn the_queue_is_first_come_first_served() {
    let (engine, gate, first) = held_up();
    // One of eight is large: it must not be passed by the small ones behind it.
    let large: Arc<[u8]> = vec![7; limits::GROUP_BYTES_MAX / 2].into();
    let txn = |n: usize| if n % 8 == 7 { Txn::new().put(key("large"), Arc::clone(&large)) } else { numbered(n) };
    let pending: Vec<_> = (0..200).map(|n| engine.submit(txn(n))).collect();
    gate.open();
    let mut last = first.wait().expect("holds").revision;
    for pending in pending {
        let revision = pending.wait().expect("holds").revision;
        assert_eq!(revision, last.next(), "in the order in which they came");
        last = revision;
    }
}

#[test]
fn readers_of_the_past_and_writers_take_turns() {
    let store = MemoryStore::new();
    let engine = open(Box::new(store)).expect("opens");
    // More than what is kept in memory, so that reading it takes the store's thread.
    let count = limits::RECENT_COMMITS_MAX as u64 + 500;
    let pending: Vec<_> = (0..count).map(|n| engine.submit(put("k", &n.to_string()))).collect();
    pending.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
    let done = AtomicBool::new(false);
    let written: [AtomicU64; 4] = Default::default();
    let least = || written.iter().map(|count| count.load(Ordering::Relaxed)).min().unwrap_or(0);
    std::thread::scope(|scope| {
        let _over = Over(&done);
        for (writer, count) in written.iter().enumerate() {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    engine.commit(put(&format!("w{writer}"), "x")).expect("holds");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut reads = 0_u64;
        while reads < 50 || least() < 10 {
            let revision = Revision::new(reads % 400 + 1);
            assert_eq!(engine.commit_at(revision).expect("kept").revision, revision);
            reads += 1;
            assert!(reads < 1_000_000, "readers go on, writers do not");
        }
    });
}

#[test]
fn a_full_queue_pushes_back_with_a_clear_error_and_loses_nothing() {
    let (engine, gate, first) = held_up();
    let pending: Vec<_> = (0..limits::QUEUE_TXNS_MAX).map(|number| engine.submit(numbered(number))).collect();
    let refused = engine.commit(put("one too many", "x")).expect_err("the queue is full");
    assert!(matches!(refused, CommitError::QueueFull) && refused.is_retryable(), "{refused:?}");
    assert_eq!(refused.to_string(), "too many commits are waiting, try again later");
    gate.open();
    first.wait().expect("holds");
    pending.into_iter().for_each(|pending| _ = pending.wait().expect("holds"));
    assert_eq!(engine.head().revision.get(), limits::QUEUE_TXNS_MAX as u64 + 1);
    assert!(engine.snapshot().get("one too many").is_none());
    engine.commit(put("one too many", "x")).expect("there is room again");
}

#[test]
fn the_queue_is_bounded_by_bytes_too() {
    let (engine, gate, first) = held_up();
    let large: Arc<[u8]> = vec![7; limits::VALUE_BYTES_MAX].into();
    let mut waiting = Vec::new();
    let refused = loop {
        let mut pending = pin!(engine.submit(Txn::new().put(key("large"), Arc::clone(&large))));
        match pending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => break answer,
            Poll::Pending => waiting.push(()),
        }
    };
    assert!(matches!(refused, Err(CommitError::QueueFull)), "{refused:?}");
    let bytes = waiting.len() * (limits::VALUE_BYTES_MAX + "large".len());
    assert!(bytes <= limits::QUEUE_BYTES_MAX && bytes + 2 * limits::VALUE_BYTES_MAX > limits::QUEUE_BYTES_MAX);
    gate.open();
    first.wait().expect("holds");
}

#[test]
fn p2_a_caller_that_goes_away_neither_loses_nor_doubles_its_commit() {
    let (engine, gate, first) = held_up();
    let mut kept = Vec::new();
    for number in 0..300 {
        let pending = engine.submit(numbered(number));
        match number % 3 {
            0 => kept.push((number, pending)),
            1 => drop(pending),
            _ => {
                // Asked once, as a task that is cancelled while it waits.
                let mut pending = pin!(pending);
                assert!(pending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
        }
    }
    gate.open();
    first.wait().expect("holds");
    for (number, pending) in kept {
        let receipt = pending.wait().expect("holds");
        assert_eq!(receipt.revision.get(), number as u64 + 2);
    }
    engine.commit(put("last", "x")).expect("holds");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for commit in engine.commits(.., 1000).expect("kept") {
        for change in &commit.changes {
            *counts.entry(change.key().to_string()).or_default() += 1;
        }
    }
    assert_eq!(counts.len(), 302, "each is there");
    assert!(counts.values().all(|count| *count == 1), "once");
}
