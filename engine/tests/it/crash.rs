//! P2, P3: a process killed at any instant loses nothing that it acknowledged, and leaves no half commit.

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::process::Stdio;

use holdfast_engine::{Engine, Revision, SledOptions, SledStore};

use crate::child::{ABORT, Mode, acknowledged, command};
use crate::support::{is_long, open, report, value};

/// Of each of two kinds: 200 together in the short form, 2,000 in the long one.
fn kills() -> u64 {
    if is_long() { 1000 } else { 100 }
}

#[test]
fn p2_p3_killed_at_random_instants_nothing_acknowledged_is_lost() {
    kill_again_and_again(Mode::UntilKilled);
}

#[test]
fn killed_while_it_compacts_nothing_acknowledged_is_lost() {
    kill_again_and_again(Mode::Compacting);
}

fn kill_again_and_again(mode: Mode) {
    let mut kills = 0;
    let mut commits = 0;
    let mut folder = tempfile::tempdir().expect("a folder");
    let mut newest = 0;
    for round in 0..self::kills() {
        if round % 15 == 0 {
            folder = tempfile::tempdir().expect("a folder");
            newest = 0;
        }
        // How many acknowledgements to wait for: spread, but the same in every run. What the child does beyond them, and
        // where the kill meets it, is chance.
        let wanted = round * 37 % 90;
        let mut child = command(&[], folder.path(), mode).stdout(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut seen = 0;
        let mut note = |line: &str| {
            if let Some(revision) = acknowledged(line) {
                seen += 1;
                newest = newest.max(revision);
            }
            seen
        };
        while let Some(Ok(line)) = lines.next() {
            if note(&line) > wanted {
                break;
            }
        }
        child.kill().expect("it runs until it is killed");
        child.wait().expect("it is ours");
        // What it had acknowledged in the meantime is in the pipe.
        lines.map_while(Result::ok).for_each(|line| _ = note(&line));
        kills += 1;
        commits += seen;

        let options = SledOptions { base_lag_bytes_min: 4000, ..SledOptions::default() };
        let store = SledStore::open(folder.path(), options).expect("a killed store opens");
        let engine = open(Box::new(store)).expect("a killed store recovers");
        let head = engine.head().revision.get();
        assert!(head >= newest, "round {round}: r{newest} was acknowledged, the store ends at r{head}");
        newest = head;
        check_whole(&engine);
    }
    report(&format!("crash: {kills} kills at random instants, {commits} commits acknowledged before them"));
    assert!(kills >= self::kills() && commits > 1000, "the test did its work: {kills} kills, {commits} commits");
}

/// Every step of opening, committing, writing a base and compacting ends in a sync, so these are the steps.
#[test]
fn ended_before_and_after_every_sync_nothing_acknowledged_is_lost() {
    let mut ended = 0;
    let step = if is_long() { 1 } else { 7 };
    for point in (0..20).chain((20..400).step_by(step)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = command(&[], folder.path(), Mode::AbortAtSync);
        let output = child.env(ABORT, point.to_string()).stderr(Stdio::null()).output().expect("starts");
        if output.status.code() != Some(9) {
            assert!(output.status.success(), "point {point}: {:?}", output.status);
            continue;
        }
        ended += 1;
        let newest = String::from_utf8_lossy(&output.stdout).lines().filter_map(acknowledged).max().unwrap_or(0);
        let store = SledStore::open(folder.path(), SledOptions::default()).expect("the store opens");
        let engine = open(Box::new(store)).expect("the store recovers");
        let head = engine.head().revision.get();
        assert!(head >= newest, "point {point}: r{newest} was acknowledged, the store ends at r{head}");
        check_whole(&engine);
    }
    report(&format!("crash: {ended} processes ended before or after one of their syncs"));
    assert!(ended >= 60, "the test did its work: {ended} points");
}

/// In every state both keys of a pair are equal, and the whole store verifies.
pub(crate) fn check_whole(engine: &Engine) {
    let head = engine.head().revision.get();
    let oldest = engine.status().compacted.get();
    for revision in [head, head.saturating_sub(1).max(oldest), (head / 2).max(oldest), oldest] {
        let snapshot = engine.at(Revision::new(revision)).expect("kept");
        for (left, entry) in snapshot.prefix("left/") {
            let right = left.as_str().replace("left", "right");
            assert_eq!(value(snapshot.get(&right)), value(Some(entry)), "half a commit at r{revision}: {left}");
        }
    }
    let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.commits, head - oldest);
}
