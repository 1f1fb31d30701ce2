//! P2, P3, P4, P9: histories of eight concurrent clients and three watchers are linearizable, with the revision as the order: no
//! operation takes effect before it began or after it was answered, every answer is what the state at its revision says, and
//! every watcher is given what those commits were (`watched.rs`).
//!
//! The states are built from what the clients were answered, not asked of the engine. The short form records 100 histories;
//! `HOLDFAST_LONG` records 1000. In every fifth the store is compacted meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use holdfast_engine::{AtError, CommitError, Engine, Keep, Precondition, Revision, Txn};

use crate::support::{Bed, MemoryBed, Over, SledBed, is_long, key, report, value};
use crate::watched::{self, Watched};

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

/// The value of each key, and the revision that it has it from.
pub(crate) type State = BTreeMap<String, (String, u64)>;

/// What happened, as those who were there tell it.
struct History {
    records: Vec<Record>,
    watched: Vec<Watched>,
}

/// Runs one history.
fn record(engine: &Engine, seed: u64) -> History {
    let clock = AtomicU64::new(1);
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = Over(done);
        let watchers: Vec<_> =
            (0..watched::KINDS).map(|kind| scope.spawn(move || watched::watch(engine, kind, done))).collect();
        if seed.is_multiple_of(5) {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    engine.compact(Keep::Newest(6)).expect("compacts");
                }
            });
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let clock = &clock;
                scope.spawn(move || {
                    let operation = |number| operate(engine, clock, seed, client, number);
                    (0..OPERATIONS).map(operation).collect::<Vec<_>>()
                })
            })
            .collect();
        let records = clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
        drop(over);
        History { records, watched: watchers.into_iter().map(|watcher| watcher.join().expect("no panic")).collect() }
    })
}

/// A commit puts the same value under two keys.
fn names(name: &str) -> [String; 2] {
    [format!("a/{name}"), format!("b/{name}")]
}

fn operate(engine: &Engine, clock: &AtomicU64, seed: u64, client: u64, number: u64) -> Record {
    let dice = (seed * 31 + client * 17 + number * 7).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let [name, twin] = names(&format!("k{}", dice % KEYS));
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
        let txn = Txn::new().require(precondition).put(key(&name), value.as_bytes()).put(key(&twin), value.as_bytes());
        match engine.commit(txn) {
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

/// The state at each revision, from what the clients were answered.
fn states(engine: &Engine, records: &[Record]) -> Vec<State> {
    let mut commits = BTreeMap::new();
    for record in records {
        if let Done::Committed { key, value, revision, .. } = &record.done {
            assert!(commits.insert(*revision, (key, value)).is_none(), "r{revision} was given twice");
        }
    }
    let head = engine.head().revision.get();
    assert!(commits.keys().copied().eq(1..=head), "revisions have no gaps");
    let mut states = vec![State::new()];
    for (revision, (key, value)) in commits {
        let mut state = states.last().expect("there is a first").clone();
        let name = key.strip_prefix("a/").expect("its half");
        state.extend(names(name).map(|name| (name, (value.clone(), revision))));
        states.push(state);
    }
    for (revision, state) in states.iter().enumerate() {
        let kept = match engine.at(Revision::new(revision as u64)) {
            Ok(kept) => kept,
            Err(AtError::Compacted { .. }) => continue,
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(&watched::state(&kept), state, "the state at r{revision}");
    }
    states
}

/// Checks answers against the states and against real time.
fn check(states: &[State], history: &[Record]) {
    let at = |revision: u64| &states[usize::try_from(revision).expect("small")];
    let modified = |name: &str, revision: u64| at(revision).get(name).map_or(0, |(_, modified)| *modified);
    for record in history {
        match &record.done {
            Done::Committed { key, expected, value: _, revision } => {
                assert_eq!(modified(key, revision - 1), *expected, "the condition of r{revision} held just before it");
            }
            Done::Conflict { key, expected, found, head } => {
                assert_ne!(expected, found);
                assert_eq!(modified(key, *head), *found, "what a conflict says was so at r{head}");
            }
            Done::Read { key, revision, value: read } => {
                assert_eq!(at(*revision).get(key).map(|(value, _)| value), read.as_ref(), "a read at r{revision}");
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
fn p2_p9_histories_are_linearizable_and_watchers_see_them() {
    let wanted = if is_long() { 1000 } else { 100 };
    let (mut histories, mut commits, mut conflicts) = (0, 0, 0);
    let mut seen = watched::Counts::default();
    for seed in 0..wanted {
        // Every fourth on the disk.
        let bed: Box<dyn Bed> =
            if seed % 4 == 0 { Box::new(SledBed::with_lag(3000)) } else { Box::new(MemoryBed::default()) };
        let engine = bed.open();
        let History { records, watched } = record(&engine, seed);
        let states = states(&engine, &records);
        check(&states, &records);
        watched.iter().for_each(|watched| watched.check(&states, &mut seen));
        commits += states.len() - 1;
        conflicts += records.iter().filter(|record| matches!(record.done, Done::Conflict { .. })).count();
        histories += 1;
    }
    report(&format!(
        "linear: {histories} histories of {CLIENTS} clients, {commits} commits, {conflicts} conflicts; {} watched: {seen:?}",
        histories * watched::KINDS
    ));
    assert!(histories >= wanted && commits > 1000, "{histories} histories, {commits} commits");
    assert!(conflicts > 20, "clients met: {conflicts} conflicts");
    assert!(seen.commits > 2000 && seen.previous > 500 && seen.bookmarks > 500, "{seen:?}");
    assert!(seen.resumes > 200 && seen.resyncs > 0, "{seen:?}");
}
