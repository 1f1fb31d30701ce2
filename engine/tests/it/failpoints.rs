//! P2, P3: a process that ends at any step that writes, of opening, committing, bases, compaction, giving space back, backup,
//! restore and repair, loses nothing that it acknowledged; the store opens, verifies, and its revision never goes back.
//!
//! The steps are the failpoints that the source names. One that is never passed fails the test. Three kills at each in the
//! short form, 25 with `HOLDFAST_LONG`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_engine::{
    Engine, Existing, Inherited, Keep, SledOptions, SledStore, StoreOpenError, Txn, check_backup, failpoint, repair,
    restore_with,
};

use crate::child::{Mode, acknowledge, acknowledged, command, say};
use crate::crash::check_whole;
use crate::support::{is_long, key, open, report};

/// The failpoint that ends the child, and at which passing of it.
const POINT: &str = "HOLDFAST_TEST_FAILPOINT";

fn options() -> SledOptions {
    SledOptions { base_lag_bytes_min: 6000, reclaim_bytes_min: 0, reclaim_slice_bytes: 3000, ..SledOptions::default() }
}

fn engine(path: &Path) -> Engine {
    open(Box::new(SledStore::open(path, options()).expect("opens"))).expect("recovers")
}

/// What the child does: everything that writes, ending at the failpoint that the environment names.
pub(crate) fn every_step(folder: &Path) {
    match std::env::var(POINT).ok().as_deref().and_then(|point| point.split_once(':')) {
        Some((name, nth)) => failpoint::arm(name, nth.parse().expect("a number"), || std::process::abort()),
        None => failpoint::count(),
    }
    commit_and_compact(&folder.join("store"));
    back_up(folder);
    restore_twice(folder);
    mend(folder);
    for (name, count) in failpoint::counted() {
        say(&format!("passed {name} {count}"));
    }
}

fn commit_and_compact(path: &Path) {
    let engine = engine(path);
    std::thread::scope(|scope| {
        for number in 0_u64..24 {
            let value = vec![u8::try_from(number).expect("small"); (number * 1237 % 6000) as usize];
            let name = number % 5;
            let txn = Txn::new().put(key(&format!("left/{name}")), value.clone());
            let txn = txn.put(key(&format!("right/{name}")), value.clone());
            let txn = txn.put_sealed(key("sealed"), *b"tag", number.to_be_bytes().to_vec());
            acknowledge(engine.commit(txn).expect("holds").revision.get());
            remember(&engine, number);
            if number % 12 == 9 {
                // Commits go on meanwhile.
                scope.spawn(|| engine.compact(Keep::Newest(6)).expect("compacts"));
            }
        }
    });
    // A base behind the last compaction, for the repair.
    while engine.status().trail_lag > 4 {
        let txn = Txn::new().put(key("left/x"), vec![7; 3000]).put(key("right/x"), vec![7; 3000]);
        acknowledge(engine.commit(txn).expect("holds").revision.get());
    }
    engine.close();
}

/// Takes a reminder, takes the one before away, and says so.
fn remember(engine: &Engine, number: u64) {
    let about = |number: u64| key(&format!("about/{}", number % 7));
    engine.remind(&about(number), &number.to_be_bytes()).expect("taken");
    say(&format!("remembered {number}"));
    if !number.is_multiple_of(7) {
        engine.forget(&about(number - 1)).expect("taken away");
        say(&format!("forgot {}", number - 1));
    }
}

/// Holds the reminders of a store against what an ended child said last: what was remembered is there, what was forgotten is not.
fn judge_reminders(store: &Engine, said: &str, place: &str) {
    let there = store.reminders("about/").expect("readable");
    let number = |word: &str| said.lines().filter_map(|line| line.split_once(word)?.1.trim().parse::<u64>().ok()).max();
    let Some(remembered) = number("remembered ") else { return };
    let at = |number: u64| there.iter().find(|reminder| reminder.key == key(&format!("about/{}", number % 7)));
    let says = |number: u64| at(number).is_some_and(|reminder| reminder.bytes == number.to_be_bytes());
    assert!(says(remembered), "{place}: reminder {remembered} is lost: {there:?}");
    if let Some(forgot) = number("forgot ") {
        assert!(at(forgot).is_none(), "{place}: reminder {forgot} is back: {there:?}");
    }
}

fn back_up(folder: &Path) {
    let engine = engine(&folder.join("store"));
    let (part, whole) = (folder.join("backup.part"), folder.join("backup"));
    let mut file = fs::File::create(&part).expect("made");
    engine.backup(&mut file, |_, _| ControlFlow::Continue(())).expect("written");
    file.sync_all().expect("synced");
    fs::rename(part, whole).expect("renamed");
}

fn restore_twice(folder: &Path) {
    let backup = || BufReader::new(fs::File::open(folder.join("backup")).expect("there"));
    let (fresh, over) = (folder.join("fresh"), folder.join("over"));
    let _ = fs::remove_dir_all(&fresh);
    restore_with(&mut backup(), &fresh, options(), Existing::Refuse, &mut |_, _| {}).expect("restored");
    say("restored");
    if !over.join("db").exists() {
        let _ = fs::remove_dir_all(&over);
        fs::rename(&fresh, &over).expect("moved");
    }
    say("over");
    let there = engine(&over);
    there.remind(&key("world/stays"), b"stays").expect("taken");
    there.close();
    say("over remembers");
    let existing = Existing::KeepAside { reminders: "world/" };
    let replaced = restore_with(&mut backup(), &over, options(), existing, &mut |_, _| {}).expect("restored");
    assert_eq!(replaced.inherited, Inherited::Reminders(1));
    say(&format!("replaced {}", replaced.head.revision.get()));
}

fn mend(folder: &Path) {
    let mended = folder.join("mended");
    let _ = fs::remove_dir_all(&mended);
    crate::damage::copy(&folder.join("store"), &mended);
    assert!(failpoint::damage_newest_base(&mended).expect("writable"), "there is a base to mend");
    assert!(failpoint::damage_a_reminder(&mended).expect("writable"), "there is a reminder to take away");
    say("damaged");
    let report = repair(&mended, options, |_, _| ControlFlow::Continue(())).expect("repaired");
    assert!(!report.before.is_sound() && report.after.is_sound(), "{report:?}");
    assert_eq!(report.reminders_dropped, 1, "{report:?}");
}

/// The names of all failpoints in the source.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let text = fs::read_to_string(entry).expect("text");
                names.extend(
                    text.split("failpoint(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
                );
            }
        }
    }
    names
}

/// Runs the child once; gives what it said and whether it was ended at its failpoint.
fn run(folder: &Path, point: Option<(&str, u64)>) -> (String, bool) {
    let mut child = command(&[], folder, Mode::EveryStep);
    if let Some((name, nth)) = point {
        child.env(POINT, format!("{name}:{nth}"));
    }
    let output = child.stderr(Stdio::piped()).output().expect("starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let aborted = std::os::unix::process::ExitStatusExt::signal(&output.status).is_some();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(aborted || output.status.success(), "{point:?}: {text}{complaint}");
    (text, aborted)
}

/// Judges what an ended child left; gives the head of its store.
fn judge(folder: &Path, said: &str, before: u64, place: &str) -> u64 {
    let said_line = |line: &str| said.lines().any(|said| said.ends_with(line));
    let newest = said.lines().filter_map(acknowledged).max().unwrap_or(0).max(before);
    let store = engine(&folder.join("store"));
    let head = store.head().revision.get();
    assert!(head >= newest, "{place}: r{newest} was acknowledged, the store ends at r{head}");
    check_whole(&store);
    judge_reminders(&store, said, place);
    drop(store);
    if let Ok(file) = fs::File::open(folder.join("backup")) {
        check_backup(&mut BufReader::new(file)).unwrap_or_else(|error| panic!("{place}: a finished backup: {error:?}"));
    }
    // A restore that was interrupted left no store, or the whole one; a folder that was there before is made anew first.
    let absent_or = |path: &Path| match SledStore::open(path, SledOptions { create: false, ..options() }) {
        Ok(store) => Some(open(Box::new(store)).expect("recovers")),
        Err(StoreOpenError::Absent { .. }) => None,
        Err(error) => panic!("{place}: {error}"),
    };
    if let Some(fresh) = absent_or(&folder.join("fresh")) {
        assert!(fresh.head().revision.get() > 1_000_000_000, "{place}: half a restore opens as a store");
        check_whole(&fresh);
    } else {
        assert!(!said_line("restored") || said_line("over"), "{place}: a restored store is gone");
    }
    if said_line("over") {
        let over = engine(&folder.join("over"));
        check_whole(&over);
        let kept = over.reminders("world/").expect("readable").len();
        assert!(kept == 1 || !said_line("over remembers"), "{place}: the reminder got lost on the way");
        let replaced = said.lines().find_map(|line| line.strip_prefix("replaced ")?.parse().ok());
        assert!(over.head().revision.get() >= replaced.unwrap_or(0), "{place}");
        drop(over);
        if replaced.is_some() {
            let kept = |entry: fs::DirEntry| entry.path().join("db").exists();
            let mut entries = fs::read_dir(folder.join("over")).expect("there").map(|entry| entry.expect("readable"));
            assert!(entries.any(kept), "{place}: the store that was replaced is kept aside");
        }
    }
    if said_line("damaged") {
        let mended = folder.join("mended");
        let report = repair(&mended, options, |_, _| ControlFlow::Continue(())).expect("repairable");
        assert!(report.after.is_sound(), "{place}: {report:?}");
        assert_eq!(engine(&mended).head().revision.get(), head, "{place}");
    }
    head
}

/// Ends children at one failpoint again and again, on one folder; gives how many were ended.
fn kill_at(name: &str, passed: u64, kills: u64) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut ended, mut head) = (0, 0);
    for round in 0..kills {
        // The first and the last passing, and some between.
        let nth = 1 + (passed - 1) * round / (kills - 1).max(1);
        let (said, aborted) = run(folder.path(), Some((name, nth)));
        ended += u64::from(aborted);
        head = judge(folder.path(), &said, head, &format!("{name}, passing {nth}"));
    }
    ended
}

#[test]
fn p2_p3_ended_at_every_step_nothing_acknowledged_is_lost() {
    let names = names();
    assert!(names.len() >= 30, "{} failpoints", names.len());
    let folder = tempfile::tempdir().expect("a folder");
    // Twice, because some steps are passed only where there is a store.
    let mut passed: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..2 {
        let (said, _) = run(folder.path(), None);
        for line in said.lines().filter_map(|line| line.strip_prefix("passed ")) {
            let (name, count) = line.split_once(' ').expect("a name and a count");
            let most = passed.entry(name.to_owned()).or_default();
            *most = count.parse::<u64>().expect("a number").max(*most);
        }
    }
    let never: Vec<_> = names.iter().filter(|name| !passed.contains_key(*name)).collect();
    assert!(never.is_empty(), "never passed: {never:?}");
    let kills = if is_long() { 25 } else { 3 };
    let next = Mutex::new(names.iter());
    let (ended, wanted) = (AtomicU64::new(0), names.len() as u64 * 2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(name) = next.lock().expect("not poisoned").next() else { break };
                    let count = kill_at(name, passed[name], kills);
                    assert!(count > 0, "{name} was never the end");
                    ended.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
    });
    let ended = ended.into_inner();
    report(&format!("{} failpoints, {ended} kills at them", names.len()));
    assert!(ended >= wanted, "the campaign did its work: {ended} kills of {wanted}");
}
