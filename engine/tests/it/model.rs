//! P2, P9, P10: random operations on the real store against a simple model of it; failures shrink.
//!
//! The short form runs at least 10,000 operations; `HOLDFAST_LONG` runs a million.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_engine::{
    AtError, CommitError, Engine, Keep, Outcome, Precondition, ResumeToken, Revision, SledOptions, SledStore, Snapshot,
    Txn, WatchEvent, WatchFrom, WatchOptions, restore,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::{id, is_long, key, open, report};

const KEYS: u8 = 9;

#[derive(Debug, Clone)]
enum Op {
    Commit { puts: Vec<(u8, u16)>, deletes: Vec<u8>, require: Require, request: Option<u8> },
    At(u8),
    Diff(u8, u8),
    Log(u8),
    Watch,
    Compact(u8),
    Reopen,
    BackupAndRestore,
    Verify,
}

#[derive(Debug, Clone)]
enum Require {
    Nothing,
    Head(bool),
    Absent(u8),
    Modified(u8, bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let require = prop_oneof![
        6 => Just(Require::Nothing),
        1 => any::<bool>().prop_map(Require::Head),
        1 => (0..KEYS).prop_map(Require::Absent),
        1 => (0..KEYS, any::<bool>()).prop_map(|(key, right)| Require::Modified(key, right)),
    ];
    let size = prop_oneof![4 => 0_u16..60, 1 => 2000_u16..2100, 1 => 4000_u16..9000];
    let commit = (
        prop::collection::vec((0..KEYS, size), 0..4),
        prop::collection::vec(0..KEYS, 0..2),
        require,
        prop::option::weighted(0.2, 0_u8..12),
    );
    let op = prop_oneof![
        24 => commit.prop_map(|(puts, deletes, require, request)| Op::Commit { puts, deletes, require, request }),
        4 => any::<u8>().prop_map(Op::At),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Op::Diff(a, b)),
        2 => (0..KEYS).prop_map(Op::Log),
        4 => Just(Op::Watch),
        1 => any::<u8>().prop_map(Op::Compact),
        2 => Just(Op::Reopen),
        1 => Just(Op::BackupAndRestore),
        1 => Just(Op::Verify),
    ];
    prop::collection::vec(op, 20..120)
}

/// An entry as the model knows it: value, created, modified, version.
type Known = (Vec<u8>, u64, u64, u64);
type State = BTreeMap<String, Known>;

/// What the store should be.
#[derive(Default)]
struct Model {
    head: u64,
    floor: u64,
    /// The state at each revision from the floor on.
    states: BTreeMap<u64, State>,
    /// The keys that each commit after the floor touched.
    commits: BTreeMap<u64, Vec<String>>,
    requests: BTreeMap<u8, u64>,
}

impl Model {
    fn state(&self) -> State {
        self.states.get(&self.head).cloned().unwrap_or_default()
    }

    /// A revision that is kept, picked by a number.
    fn pick(&self, number: u8) -> u64 {
        self.floor + u64::from(number) % (self.head - self.floor + 1)
    }
}

fn name(number: u8) -> String {
    format!("{}/k{number}", if number.is_multiple_of(2) { "even" } else { "odd" })
}

struct Run {
    folder: tempfile::TempDir,
    count: u32,
    engine: Option<Engine>,
    model: Model,
    /// Where the watch of `even/` is.
    token: Option<ResumeToken>,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut run = Self { folder, count: 0, engine: None, model: Model::default(), token: None };
        run.model.states.insert(0, State::new());
        run.reopen();
        run
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join(self.count.to_string())
    }

    fn reopen(&mut self) {
        self.engine = None;
        let options = SledOptions { base_lag_bytes_min: 5000, reclaim_bytes_min: 0, ..SledOptions::default() };
        let store = SledStore::open(&self.path(), options).expect("opens");
        self.engine = Some(open(Box::new(store)).expect("recovers"));
        self.check_head();
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("open")
    }

    fn check_head(&self) {
        assert_eq!(self.engine().head().revision.get(), self.model.head);
        assert_eq!(known(&self.engine().snapshot()), self.model.state());
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Commit { puts, deletes, require, request } => self.commit(puts, deletes, require, *request),
            Op::At(number) => self.at(*number),
            Op::Diff(a, b) => self.diff(*a, *b),
            Op::Log(number) => self.log(*number),
            Op::Watch => self.watch(),
            Op::Compact(number) => self.compact(*number),
            Op::Reopen => self.reopen(),
            Op::BackupAndRestore => self.backup_and_restore(),
            Op::Verify => {
                let report = self.engine().verify(|_, _| ControlFlow::Continue(())).expect("readable");
                assert!(report.is_sound(), "{:?}", report.findings);
            }
        }
    }

    fn commit(&mut self, puts: &[(u8, u16)], deletes: &[u8], require: &Require, request: Option<u8>) {
        let model = &mut self.model;
        let mut state = model.state();
        let modified = |state: &State, number: u8| state.get(&name(number)).map(|known| known.2);
        let (precondition, holds) = match require {
            Require::Nothing => (None, true),
            Require::Head(right) => {
                let revision = if *right { model.head } else { model.head + 1 };
                (Some(Precondition::Head(Revision::new(revision))), *right)
            }
            Require::Absent(number) => {
                (Some(Precondition::Absent(key(&name(*number)))), modified(&state, *number).is_none())
            }
            Require::Modified(number, right) => {
                let found = modified(&state, *number).unwrap_or(0);
                let revision = Revision::new(if *right { found } else { found + 1 });
                (Some(Precondition::Modified(key(&name(*number)), revision)), *right && found > 0)
            }
        };
        let mut txn = precondition.into_iter().fold(Txn::new(), Txn::require);
        if let Some(number) = request {
            txn = txn.request_id(id(&number.to_string()));
        }
        let mut touched = Vec::new();
        let mut named = Vec::new();
        let mut repeated = false;
        let revision = model.head + 1;
        for (number, size) in puts {
            let name = name(*number);
            let value =
                format!("{revision} ").into_bytes().into_iter().cycle().take(usize::from(*size)).collect::<Vec<_>>();
            txn = txn.put(key(&name), value.clone());
            repeated |= named.contains(&name);
            named.push(name.clone());
            let (created, version) = state.get(&name).map_or((revision, 1), |known| (known.1, known.3 + 1));
            state.insert(name.clone(), (value, created, revision, version));
            touched.push(name);
        }
        for number in deletes {
            let name = name(*number);
            txn = txn.delete(key(&name));
            repeated |= named.contains(&name);
            named.push(name.clone());
            if state.remove(&name).is_some() {
                touched.push(name);
            }
        }
        let replayed = request.and_then(|number| model.requests.get(&number).copied());
        let result = self.engine.as_ref().expect("open").commit(txn);
        match (replayed, holds, repeated) {
            (Some(first), _, _) => {
                let receipt = result.expect("answered");
                assert_eq!((receipt.outcome, receipt.revision.get()), (Outcome::Replayed, first));
            }
            (None, false, _) => assert!(matches!(result, Err(CommitError::Conflict { .. })), "{result:?}"),
            (None, true, true) => assert!(matches!(result, Err(CommitError::DuplicateKey { .. })), "{result:?}"),
            (None, true, false) if touched.is_empty() => {
                let receipt = result.expect("answered");
                assert_eq!((receipt.outcome, receipt.revision.get()), (Outcome::Unchanged, model.head));
            }
            (None, true, false) => {
                let receipt = result.expect("holds");
                assert_eq!((receipt.outcome, receipt.revision.get()), (Outcome::Committed, revision));
                model.head = revision;
                model.states.insert(revision, state);
                model.commits.insert(revision, touched);
                if let Some(number) = request {
                    model.requests.insert(number, revision);
                }
            }
        }
        self.check_head();
    }

    fn at(&self, number: u8) {
        let revision = self.model.pick(number);
        let snapshot = self.engine().at(Revision::new(revision)).expect("kept");
        assert_eq!(known(&snapshot), self.model.states[&revision], "r{revision}");
        if self.model.floor > 0 {
            let gone = self.engine().at(Revision::new(self.model.floor - 1));
            assert!(matches!(gone, Err(AtError::Compacted { .. })));
        }
        assert!(matches!(self.engine().at(Revision::new(self.model.head + 1)), Err(AtError::Future { .. })));
    }

    fn diff(&self, a: u8, b: u8) {
        let (a, b) = (self.model.pick(a), self.model.pick(b));
        let (before, after) = (&self.model.states[&a], &self.model.states[&b]);
        let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let wanted: Vec<_> = names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
        let found = self.engine().diff(Revision::new(a), Revision::new(b)).expect("kept");
        let names: Vec<_> = found.iter().map(|difference| difference.key.to_string()).collect();
        assert_eq!(names, wanted, "r{a} to r{b}");
        for difference in found {
            let value = |entry: Option<holdfast_engine::Entry>| entry.map(|entry| entry.value().to_vec());
            let name = difference.key.as_str();
            assert_eq!(value(difference.before), before.get(name).map(|known| known.0.clone()), "{name} at r{a}");
            assert_eq!(value(difference.after), after.get(name).map(|known| known.0.clone()), "{name} at r{b}");
        }
    }

    fn log(&self, number: u8) {
        let name = name(number);
        let touches = |(revision, touched): (&u64, &Vec<String>)| touched.contains(&name).then_some(*revision);
        let wanted: Vec<_> = self.model.commits.iter().rev().filter_map(touches).collect();
        let found = self.engine().key_log(&key(&name), Revision::new(u64::MAX), 1000).expect("kept");
        assert_eq!(found.iter().map(|version| version.commit.revision.get()).collect::<Vec<_>>(), wanted, "{name}");
        for version in found {
            let state = &self.model.states[&version.commit.revision.get()];
            let value = version.entry.map(|entry| entry.value().to_vec());
            assert_eq!(value, state.get(&name).map(|known| known.0.clone()));
        }
    }

    /// Resumes the watch of `even/` from its token and takes everything that is there.
    fn watch(&mut self) {
        let prefix = "even/".to_owned();
        let (from, start) = match self.token {
            Some(token) => (WatchFrom::Token(token), token.revision.get()),
            None => (WatchFrom::After(Revision::new(self.model.floor)), self.model.floor),
        };
        let resyncs =
            self.token.is_some_and(|token| token.identity != self.engine().identity()) || start < self.model.floor;
        let options = WatchOptions { prefix, from, previous: true, ..WatchOptions::default() };
        let mut watch = self.engine().watch(options).expect("begins");
        let mut seen = Vec::new();
        let mut resynced = false;
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            while let Some(event) = watch.step().await.expect("goes on") {
                match event {
                    WatchEvent::Commit(commit) => seen.push(commit),
                    WatchEvent::Resync { snapshot, .. } => {
                        assert_eq!(known(&snapshot), self.model.state());
                        resynced = true;
                    }
                }
            }
        });
        assert_eq!(resynced, resyncs, "from r{start}, floor r{}", self.model.floor);
        let wanted: Vec<_> = self
            .model
            .commits
            .range(start + 1..)
            .filter(|(_, touched)| !resyncs && touched.iter().any(|name| name.starts_with("even/")))
            .map(|(revision, _)| *revision)
            .collect();
        let revisions: Vec<_> = seen.iter().map(|seen| seen.commit.revision.get()).collect();
        assert_eq!(revisions, wanted, "from r{start}");
        for commit in seen {
            let revision = commit.commit.revision.get();
            let touched = &self.model.commits[&revision];
            let even: Vec<_> = touched.iter().filter(|name| name.starts_with("even/")).collect();
            assert_eq!(commit.changes.iter().map(|change| change.change.key().as_str()).collect::<Vec<_>>(), even);
            for change in commit.changes {
                let before = self.model.states[&(revision - 1)].get(change.change.key().as_str());
                match change.previous {
                    holdfast_engine::Previous::Absent => assert_eq!(before, None),
                    holdfast_engine::Previous::Entry(entry) => {
                        assert_eq!(Some(entry.value().to_vec()), before.map(|known| known.0.clone()));
                    }
                    other => panic!("the state at r{} is kept: {other:?}", revision - 1),
                }
            }
        }
        self.token = Some(watch.token());
        assert_eq!(watch.token().revision.get(), self.model.head);
    }

    fn compact(&mut self, number: u8) {
        let target = self.model.pick(number);
        self.engine().compact(Keep::From(Revision::new(target))).expect("compacts");
        self.model.floor = target;
        self.model.states = self.model.states.split_off(&target);
        self.model.commits = self.model.commits.split_off(&(target + 1));
        self.check_head();
    }

    fn backup_and_restore(&mut self) {
        let mut file = Vec::new();
        self.engine().backup(&mut file, |_, _| ControlFlow::Continue(())).expect("written");
        self.count += 1;
        let (_, head) = restore(&mut file.as_slice(), &self.path(), SledOptions::default()).expect("restored");
        let state = self.model.state();
        self.model.head = head.revision.get();
        self.model.floor = self.model.head;
        self.model.states = BTreeMap::from([(self.model.head, state)]);
        self.model.commits.clear();
        self.reopen();
    }
}

fn known(snapshot: &Snapshot) -> State {
    snapshot
        .iter()
        .map(|(key, entry)| {
            let known = (entry.value().to_vec(), entry.created().get(), entry.modified().get(), entry.version());
            (key.to_string(), known)
        })
        .collect()
}

/// Runs rounds, each with a seed of its own, until all threads together ran `wanted` operations; says what failed.
fn rounds(wanted: u64, ran: &AtomicU64, round: &AtomicU64) -> Result<(), String> {
    let config = Config { cases: 25, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    while ran.load(Ordering::Relaxed) < wanted {
        let round = round.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&round.to_le_bytes());
        let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let outcome = TestRunner::new_with_rng(config.clone(), seed).run(&ops(), |ops| {
            let mut run = Run::new();
            ops.iter().for_each(|op| run.step(op));
            ran.fetch_add(ops.len() as u64, Ordering::Relaxed);
            Ok(())
        });
        outcome.map_err(|failure| format!("round {round}: {failure}"))?;
    }
    Ok(())
}

#[test]
fn random_operations_do_what_the_model_says() {
    let wanted = if is_long() { 1_000_000 } else { 10_000 };
    let (ran, round) = (AtomicU64::new(0), AtomicU64::new(0));
    // Most of the time goes by waiting for the disk.
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(|| rounds(wanted, &ran, &round))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic").err()).collect()
    });
    assert!(failures.is_empty(), "{failures:#?}");
    let ran = ran.into_inner();
    report(&format!("model: {ran} operations"));
    assert!(ran >= wanted, "the campaign did its work: {ran} operations");
}
