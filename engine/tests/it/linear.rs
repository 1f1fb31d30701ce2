//! P2, P3, P4: histories of eight concurrent clients are linearizable, with the revision as the order: no operation takes effect
//! before it began or after it was answered, and every answer is what the state at its revision says.
//!
//! The short form records 100 histories; `HOLDFAST_LONG` records 1000.

use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_engine::{CommitError, Engine, Precondition, Revision, Txn};

use crate::support::{Bed, MemoryBed, SledBed, key, value};

const CLIENTS: u64 = 8;
const OPERATIONS: u64 = 12;
const KEYS: u64 = 4;

/// One operation of a client, between two ticks of a clock that all share.
struct Record {
    began: u64,
    ended: u64,
    done: Done,
}

enum Done {
    /// A put of a key under the condition that it had this revision (zero: was absent) was committed.
    Committed { key: String, expected: u64, value: String, revision: u64 },
    /// Such a put found another revision.
    Conflict { key: String, expected: u64, found: u64, head: u64 },
    /// A snapshot was taken and a key read in it.
    Read { key: String, revision: u64, value: Option<String> },
}

/// Runs one history.
fn record(engine: &Engine, seed: u64) -> Vec<Record> {
    let clock = AtomicU64::new(1);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let clock = &clock;
                scope.spawn(move || {
                    let operation = |number| operate(engine, clock, seed, client, number);
                    (0..OPERATIONS).map(operation).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    })
}

fn operate(engine: &Engine, clock: &AtomicU64, seed: u64, client: u64, number: u64) -> Record {
    let dice = (seed * 31 + client * 17 + number * 7).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let name = format!("k{}", dice % KEYS);
    let began = clock.fetch_add(1, Ordering::SeqCst);
    let snapshot = engine.snapshot();
    let entry = snapshot.get(&name);
    let done = if dice.is_multiple_of(3) {
        let value = value(entry).map(str::to_owned);
        Done::Read { key: name, revision: snapshot.revision().get(), value }
    } else {
        let expected = entry.map_or(0, |entry| entry.modified().get());
        let precondition = match expected {
            0 => Precondition::Absent(key(&name)),
            revision => Precondition::Modified(key(&name), Revision::new(revision)),
        };
        let value = format!("{seed}/{client}/{number}");
        match engine.commit(Txn::new().require(precondition).put(key(&name), value.as_bytes())) {
            Ok(receipt) => Done::Committed { key: name, expected, value, revision: receipt.revision.get() },
            Err(CommitError::Conflict { found, head, .. }) => {
                let found = found.map_or(0, Revision::get);
                Done::Conflict { key: name, expected, found, head: head.get() }
            }
            Err(error) => panic!("{error:?}"),
        }
    };
    Record { began, ended: clock.fetch_add(1, Ordering::SeqCst), done }
}

/// Checks a history against the states that the store remembers and against real time.
fn check(engine: &Engine, history: &[Record]) {
    let modified = |name: &str, revision: u64| {
        let state = engine.at(Revision::new(revision)).expect("kept");
        state.get(name).map_or(0, |entry| entry.modified().get())
    };
    for record in history {
        match &record.done {
            Done::Committed { key, expected, value: put, revision } => {
                assert_eq!(modified(key, revision - 1), *expected, "the condition of r{revision} held just before it");
                let state = engine.at(Revision::new(*revision)).expect("kept");
                assert_eq!(value(state.get(key)), Some(put.as_str()));
            }
            Done::Conflict { key, expected, found, head } => {
                assert_ne!(expected, found);
                assert_eq!(modified(key, *head), *found, "what a conflict says was so at r{head}");
            }
            Done::Read { key, revision, value: read } => {
                let state = engine.at(Revision::new(*revision)).expect("kept");
                assert_eq!(value(state.get(key)), read.as_deref(), "a read at r{revision}");
            }
        }
    }
    // Real time: what was answered before another operation began is seen by it.
    let point = |record: &Record| match &record.done {
        Done::Committed { revision, .. } | Done::Read { revision, .. } => *revision,
        Done::Conflict { head, .. } => *head,
    };
    for first in history {
        for second in history.iter().filter(|second| first.ended < second.began) {
            let ordered = match second.done {
                Done::Committed { .. } => point(first) < point(second),
                Done::Conflict { .. } | Done::Read { .. } => point(first) <= point(second),
            };
            assert!(ordered, "r{} was answered before r{} began", point(first), point(second));
        }
    }
}

#[test]
fn histories_are_linearizable() {
    let wanted = if std::env::var_os("HOLDFAST_LONG").is_some() { 1000 } else { 100 };
    let (mut histories, mut commits, mut conflicts) = (0, 0, 0);
    for seed in 0..wanted {
        // Every fourth on the disk.
        let bed: Box<dyn Bed> =
            if seed % 4 == 0 { Box::new(SledBed::with_lag(3000)) } else { Box::new(MemoryBed::default()) };
        let engine = bed.open();
        let history = record(&engine, seed);
        check(&engine, &history);
        commits += history.iter().filter(|record| matches!(record.done, Done::Committed { .. })).count();
        conflicts += history.iter().filter(|record| matches!(record.done, Done::Conflict { .. })).count();
        histories += 1;
    }
    assert!(histories >= wanted && commits > 1000, "{histories} histories, {commits} commits");
    assert!(conflicts > 20, "clients met: {conflicts} conflicts");
}
