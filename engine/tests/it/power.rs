//! P3: whatever a power cut may leave on the disk, nothing acknowledged is lost and the store opens.
//!
//! A run is traced with strace: every write, sync and rename of two processes, the second of which opens what the first left
//! without closing. Then the folder is built again as a power cut could have left it at a random instant (`cut.rs`). The same
//! must fail when the fdatasync is taken out: that is the test of the test.
//!
//! The short form builds 80 folders from a run of 300 commits; `HOLDFAST_LONG` builds 600 from one that writes 50 MB.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use holdfast_engine::{Engine, SledOptions, SledStore};

use crate::child::{Mode, command};
use crate::cut::{Random, image};
use crate::support::{is_long, open, report, value};
use crate::trace::{CALLS, Event, Reader};

/// Opens a folder after the cut and says what is wrong with it.
fn judge(folder: &Path, acknowledged: u64) -> Result<(), String> {
    let options = SledOptions { base_lag_bytes_min: 4000, ..SledOptions::default() };
    let store = SledStore::open(folder, options).map_err(|error| format!("does not open: {error}"))?;
    let engine: Engine = open(Box::new(store)).map_err(|error| format!("does not recover: {error:?}"))?;
    let head = engine.head().revision.get();
    if head < acknowledged {
        return Err(format!("r{acknowledged} was acknowledged, it ends at r{head}"));
    }
    let snapshot = engine.snapshot();
    for (left, entry) in snapshot.prefix("left/") {
        if value(snapshot.get(&left.as_str().replace("left", "right"))) != value(Some(entry)) {
            return Err(format!("half a commit: {left}"));
        }
    }
    let report = engine.verify(|_, _| ControlFlow::Continue(())).map_err(|error| error.to_string())?;
    if report.is_sound() { Ok(()) } else { Err(format!("{:?}", report.findings)) }
}

/// Two traced processes on one folder, or nothing where there is no strace.
fn traced(mode: Mode, folder: &Path) -> Option<Vec<Event>> {
    let store = folder.join("store");
    let mut reader = Reader::default();
    for run in 0..2 {
        let file: PathBuf = folder.join(format!("trace{run}"));
        let name = file.to_str().expect("a plain path");
        let strace = ["strace", "-f", "-y", "-xx", "-s", "16777216", "-e", CALLS, "-o", name];
        let status = command(&strace, &store, mode).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            return None;
        }
        reader.add(&fs::read_to_string(&file).expect("traced"), &store);
        fs::remove_file(file).expect("removed");
    }
    Some(reader.events)
}

/// What a campaign did and found.
struct Outcome {
    images: usize,
    megabytes: usize,
    overwritten: usize,
    replaced: usize,
    failures: Vec<String>,
}

fn campaign(mode: Mode, images: usize) -> Option<Outcome> {
    let folder = tempfile::tempdir().expect("a folder");
    let events = traced(mode, folder.path())?;
    let first = events.iter().position(|event| matches!(event, Event::Acknowledged(_))).expect("it acknowledged");
    let mut random = Random(20);
    let mut failures = Vec::new();
    for number in 0..images {
        let cut = first + random.below(events.len() - first) + 1;
        let path = folder.path().join(format!("image{number}"));
        let acknowledged = image(&events, cut, &mut random, &path);
        if let Err(failure) = judge(&path, acknowledged) {
            failures.push(format!("image {number}, cut at {cut} of {}: {failure}", events.len()));
        }
        fs::remove_dir_all(&path).expect("removed");
    }
    let mut ends = std::collections::BTreeMap::new();
    let (mut bytes_written, mut overwritten) = (0, 0);
    for event in &events {
        if let Event::Write { file, at, bytes } = event {
            let end = ends.entry(*file).or_insert(0);
            bytes_written += bytes.len();
            overwritten += usize::from(*at < *end);
            *end = (*end).max(at + bytes.len() as u64);
        }
    }
    let replaced = events.iter().filter(|event| matches!(event, Event::Named { name, .. } if name == "db")).count();
    Some(Outcome { images, megabytes: bytes_written / 1_000_000, overwritten, replaced: replaced - 1, failures })
}

#[test]
fn p3_after_a_power_cut_nothing_acknowledged_is_lost() {
    let images = if is_long() { 600 } else { 80 };
    // Without strace there is no campaign; the tests of `durability.rs` stand alone.
    let Some(outcome) = campaign(Mode::Power, images) else { return report("power: no strace, nothing was run") };
    let Outcome { images: built, megabytes, overwritten, replaced, failures } = outcome;
    report(&format!(
        "power: {built} images of {megabytes} MB of writes, {overwritten} of them over older ones, {replaced} new files in the place of old ones, {} failures",
        failures.len()
    ));
    assert!(failures.is_empty(), "{} of {built}: {failures:#?}", failures.len());
    assert_eq!(built, images, "the campaign did its work");
    assert!(replaced >= 2, "space was given back {replaced} times");
    if is_long() {
        assert!(megabytes >= 50 && overwritten > 1000, "{megabytes} MB, {overwritten} overwrites");
    }
}

#[test]
fn without_the_fdatasync_the_campaign_fails() {
    let Some(outcome) = campaign(Mode::PowerUnsynced, 20) else { return };
    let (failed, built) = (outcome.failures.len(), outcome.images);
    report(&format!("power without the fdatasync: {failed} of {built} images show it"));
    assert!(failed > built / 4, "the campaign sees what is lost: {failed} of {built}");
}
