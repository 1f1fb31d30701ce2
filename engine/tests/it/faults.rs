//! P2, P3: an error of the disk at any sync, at any call that writes, renames or removes, and a disk that is full, poison the
//! engine with a typed error; opened again, the store is whole and has everything that was acknowledged.
//!
//! The short form has every eighth call fail; `HOLDFAST_LONG` each.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_engine::{
    CommitError, CompactError, DiskSyncer, Engine, Keep, Revision, SledOptions, SledStore, Syncer, Txn,
};

use crate::child::{Mode, acknowledge, acknowledged, command, say};
use crate::support::{is_long, key, open, put, report};

/// Fails once so many syncs have passed.
struct Countdown(Arc<AtomicUsize>);

impl Countdown {
    fn tick(&self) -> io::Result<()> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| io::Error::other("no sync any more"))
    }
}

impl Syncer for Countdown {
    fn sync_data(&mut self, file: &File) -> io::Result<()> {
        self.tick()?;
        DiskSyncer.sync_data(file)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.tick()?;
        DiskSyncer.sync_folder(folder)
    }
}

/// Commits and compacts until something fails; gives the newest revision acknowledged.
fn work(engine: &Engine) -> Revision {
    let mut newest = Revision::ZERO;
    for n in 0..12_usize {
        let txn = put(&format!("k{}", n % 3), &"x".repeat(n * 500)).put(key("n"), n.to_string().as_bytes());
        match engine.commit(txn) {
            Ok(receipt) => newest = receipt.revision,
            Err(error) => {
                assert!(matches!(error, CommitError::Storage(_) | CommitError::Poisoned), "{error:?}");
                let next = engine.commit(Txn::new().put(key("after"), *b"x"));
                assert!(matches!(next, Err(CommitError::Poisoned)), "{next:?}");
                break;
            }
        }
        if n % 4 == 3 && engine.compact(Keep::Newest(2)).is_err() {
            assert!(matches!(engine.commit(put("after", "x")), Err(CommitError::Poisoned)));
            break;
        }
    }
    newest
}

#[test]
fn an_error_at_any_sync_is_typed_and_loses_nothing() {
    let mut failed = 0;
    for syncs in 0..60 {
        let folder = tempfile::tempdir().expect("a folder");
        let left = Arc::new(AtomicUsize::new(syncs));
        let options = SledOptions {
            syncer: Box::new(Countdown(Arc::clone(&left))),
            base_lag_bytes_min: 2000,
            ..SledOptions::default()
        };
        let mut newest = Revision::ZERO;
        if let Ok(store) = SledStore::open(folder.path(), options)
            && let Ok(engine) = open(Box::new(store))
        {
            newest = work(&engine);
        }
        failed += usize::from(left.load(Ordering::Relaxed) == 0);
        let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens again");
        let engine = open(Box::new(store)).expect("recovers");
        assert!(engine.head().revision >= newest, "{syncs} syncs: {newest} was acknowledged, {:?}", engine.head());
        let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
        assert!(report.is_sound(), "{syncs} syncs: {:?}", report.findings);
        engine.commit(put("again", "x")).expect("writes again");
    }
    report(&format!("faults: {failed} syncs failed in turn"));
    assert!(failed >= 20, "the sweep met {failed} failures");
}

fn small() -> SledOptions {
    SledOptions {
        base_lag_bytes_min: 20_000,
        reclaim_bytes_min: 0,
        reclaim_slice_bytes: 3000,
        ..SledOptions::default()
    }
}

/// What the child does: commits and compacts until a call fails that its parent has fail, and says what it was told.
pub(crate) fn until_a_call_fails(folder: &Path) {
    let opened = SledStore::open(folder, small()).map_err(|error| error.to_string());
    let engine = opened.and_then(|store| open(Box::new(store)).map_err(|error| error.to_string()));
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return say(&format!("refused: {error}")),
    };
    let is_refused = |refused: &CommitError| {
        assert!(matches!(refused, CommitError::Storage(_) | CommitError::Poisoned), "{refused:?}");
        let next = engine.commit(put("next", "x"));
        assert!(matches!(next, Err(CommitError::Poisoned)), "{next:?}");
        say(&format!("refused: {refused}"));
    };
    for number in 0_u64..60 {
        let value = number.to_be_bytes().repeat((number * 61 % 700) as usize);
        match engine.commit(Txn::new().put(key(&format!("k{}", number % 7)), value)) {
            Ok(receipt) => acknowledge(receipt.revision.get()),
            Err(refused) => return is_refused(&refused),
        }
        if number % 20 == 19 {
            match engine.compact(Keep::Newest(8)) {
                Ok(_) => {}
                // The old file goes on, or says at the next commit that it does not.
                Err(CompactError::Reclaim(cause)) => say(&format!("not reclaimed: {cause}")),
                Err(CompactError::Storage(_)) => return is_refused(&CommitError::Poisoned),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    engine.close();
    say("done");
}

/// Runs the child with `fault` injected by strace, into calls on the file `only` if it is given; gives what it said, or nothing
/// where it does not start.
fn with_fault(folder: &Path, fault: &str, only: Option<&Path>) -> Option<String> {
    let (calls, _) = fault.split_once(':').expect("calls and what becomes of them");
    let (trace, inject) = (format!("trace={calls}"), format!("inject={fault}"));
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let only = only.map(|only| only.to_str().expect("a plain path"));
    // One that waits for ever is ended, and fails the test by its status.
    let wrapped: Vec<&str> =
        ["timeout", "60"].into_iter().chain(strace).chain(only.into_iter().flat_map(|only| ["-P", only])).collect();
    let output = command(&wrapped, folder, Mode::Faulty).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.is_empty() && !output.status.success() {
        return None;
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{fault}: {:?}: {text}{complaint}", output.status);
    Some(text)
}

/// Runs the child with `fault`, and shows that what it acknowledged is kept and that the store is whole and goes on; says whether
/// the child met the fault, or nothing where it does not start.
fn meets(fault: &str) -> Option<bool> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let said = with_fault(&path, fault, None)?;
    let newest = said.lines().filter_map(acknowledged).max().unwrap_or(0);
    let store = SledStore::open(&path, small()).unwrap_or_else(|error| panic!("{fault}: {error}"));
    let engine = open(Box::new(store)).unwrap_or_else(|error| panic!("{fault}: {error:?}"));
    let head = engine.head().revision.get();
    assert!(head >= newest, "{fault}: r{newest} was acknowledged, the store ends at r{head}");
    let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
    assert!(report.is_sound(), "{fault}: {:?}", report.findings);
    engine.commit(put("again", "x")).expect("writes again");
    Some(said.contains("refused") || said.contains("not reclaimed"))
}

fn has_strace() -> bool {
    std::process::Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_disk_that_is_full_while_space_is_given_back_costs_nothing_but_the_space() {
    if !has_strace() {
        return;
    }
    for first in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let fault = format!("pwrite64:error=ENOSPC:when={first}+");
        let said = with_fault(&path, &fault, Some(&path.join("next/db"))).expect("it starts");
        assert!(said.contains("not reclaimed") && said.contains("done"), "the old file goes on: {said}");
        assert!(!path.join("next").exists(), "what was begun is removed");
        let engine = open(Box::new(SledStore::open(&path, small()).expect("opens"))).expect("recovers");
        assert_eq!(engine.head().revision.get(), 60);
        assert!(engine.verify(|_, _| ControlFlow::Continue(())).expect("readable").is_sound());
        engine.compact(Keep::Newest(1)).expect("there is space again");
    }
}

#[test]
fn an_error_at_any_call_that_writes_is_typed_and_loses_nothing() {
    // Without strace the tests of syncs and of a full disk stand alone.
    if !has_strace() {
        return report("faults: no strace, no call was made to fail");
    }
    let (mut failed, mut runs) = (0, 0);
    let step = if is_long() { 1 } else { 8 };
    for (calls, error, from_then_on) in [
        ("pwrite64", "ENOSPC", "+"),
        ("pwrite64", "EIO", ""),
        ("fdatasync,fsync,sync_file_range", "EIO", ""),
        ("rename,unlink,unlinkat,mkdir,ftruncate,openat", "EIO", ""),
    ] {
        // The calls of each thread are counted from one; after two runs in which nothing failed there are no more.
        let mut idle = 0;
        for number in (1_u32..).step_by(step) {
            let fault = format!("{calls}:error={error}:when={number}{from_then_on}");
            // The first opening and some commits are part of what fails.
            let Some(met) = meets(&fault) else {
                idle = 0;
                continue;
            };
            runs += 1;
            idle = if met { 0 } else { idle + 1 };
            failed += u32::from(met);
            if idle >= 4 && number > 60 {
                break;
            }
        }
    }
    report(&format!("faults: {failed} calls failed in turn in {runs} runs"));
    assert!(failed >= if is_long() { 150 } else { 15 }, "the sweep met {failed} failures");
}

/// A disk that takes a while to fail: the error comes when it is waited for. Which write of a commit meets it is chance.
#[test]
fn a_write_that_fails_late_is_told_and_not_waited_for() {
    if !has_strace() {
        return report("faults: no strace, no write was made to fail late");
    }
    let fault = |number: u32| format!("pwrite64:error=EIO:delay_enter=20000:when={number}");
    let met = (6..=24).filter_map(|number| meets(&fault(number))).filter(|met| *met).count();
    report(&format!("faults: {met} writes failed late"));
    assert!(met >= 10, "the sweep met {met} failures");
}

#[test]
fn a_full_disk_is_typed_and_loses_nothing() {
    for kilobytes in if is_long() { (40..2000).step_by(20).collect() } else { vec![40, 300, 600, 1100] } {
        let folder = tempfile::tempdir().expect("a folder");
        // Past the limit a write fails, as on a full disk, because the signal that comes with it is ignored.
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"");
        let shell = ["bash", "-c", &script, "bash"];
        let output = command(&shell, folder.path(), Mode::UntilFull).stderr(Stdio::null()).output();
        let output = output.expect("bash is there");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("refused"), "{kilobytes} kB: {text}");
        let newest = text.lines().filter_map(acknowledged).max().unwrap_or(0);
        let store = SledStore::open(folder.path(), SledOptions::default()).expect("opens again");
        let engine = open(Box::new(store)).expect("recovers");
        assert!(engine.head().revision.get() >= newest, "{kilobytes} kB: r{newest} was acknowledged");
        let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
        assert!(report.is_sound(), "{kilobytes} kB: {:?}", report.findings);
        engine.commit(put("again", "x")).expect("writes again");
    }
}
