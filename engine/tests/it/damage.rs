//! P6: damage is found or harmless; never a panic, never a wrong value.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use holdfast_engine::{SledOptions, SledStore, Txn, verify_store};

use crate::support::{is_long, key, open, report};

/// What the store holds: values that tell their key, version and commit.
fn fill(path: &Path) -> Vec<Vec<(String, Vec<u8>)>> {
    let options = SledOptions { base_lag_bytes_min: 30_000, ..SledOptions::default() };
    let engine = open(Box::new(SledStore::open(path, options).expect("opens"))).expect("recovers");
    let mut states = Vec::new();
    let mut note = || {
        let snapshot = engine.snapshot();
        states.push(snapshot.iter().map(|(key, entry)| (key.to_string(), entry.value().to_vec())).collect());
    };
    note();
    for n in 0..120_usize {
        let value = format!("{n} ").repeat(40 + n % 300);
        let txn = Txn::new().put(key(&format!("k{}", n % 17)), value.as_bytes());
        engine.commit(txn.put_sealed(key("sealed"), *b"tag", value.into_bytes())).expect("holds");
        note();
    }
    states
}

/// Opens the damaged store as a program would and says what came of it.
fn outcome(path: &Path, states: &[Vec<(String, Vec<u8>)>]) -> Outcome {
    let Ok(mut store) = SledStore::open(path, SledOptions::default()) else { return Outcome::Refused };
    let sound = verify_store(&mut store, |_, _| ControlFlow::Continue(())).is_ok_and(|report| report.is_sound());
    drop(store);
    let Ok(store) = SledStore::open(path, SledOptions::default()) else { return Outcome::Refused };
    let Ok(engine) = open(Box::new(store)) else { return Outcome::Refused };
    let newest = states.len() - 1;
    for (revision, state) in states.iter().enumerate().rev() {
        match engine.at(holdfast_engine::Revision::new(revision as u64)) {
            Ok(snapshot) => {
                let same = snapshot
                    .iter()
                    .map(|(key, entry)| (key.as_str(), &**entry.value()))
                    .eq(state.iter().map(|(key, value)| (key.as_str(), value.as_slice())));
                assert!(same, "a wrong value at r{revision}");
            }
            Err(_) => {
                assert!(!sound, "r{revision} of {newest} cannot be read, but the store verifies");
                return Outcome::Found;
            }
        }
    }
    if sound { Outcome::Harmless } else { Outcome::Found }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Refused,
    Found,
    Harmless,
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("there").map(|entry| entry.expect("readable")) {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy(&entry.path(), &to)
        } else {
            drop(fs::copy(entry.path(), to))
        }
    }
}

#[test]
fn damaged_blocks_are_found_or_harmless() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    let states = fill(&whole);
    let file = fs::read(whole.join("db")).expect("there");
    let used = file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let blocks = used.div_ceil(4096);
    let mut counts = std::collections::BTreeMap::new();
    let mut cases = 0;
    // Every third block in the short form, in turn in three ways; HOLDFAST_LONG sweeps them all.
    let step = if is_long() { 1 } else { 3 };
    for (number, block) in (0..blocks).step_by(step).enumerate() {
        for way in 0..3 {
            if step > 1 && way != number % 3 {
                continue;
            }
            let damaged = folder.path().join("damaged");
            let _ = fs::remove_dir_all(&damaged);
            copy(&whole, &damaged);
            let db = fs::File::options().write(true).open(damaged.join("db")).expect("there");
            let at = block * 4096;
            match way {
                0 => db.write_all_at(&[!file[at + 1000 % (file.len() - at)]], (at + 1000 % (file.len() - at)) as u64),
                1 => db.write_all_at(&vec![0; 4096.min(file.len() - at)], at as u64),
                _ => db.set_len(at as u64),
            }
            .expect("damaged");
            drop(db);
            *counts.entry(format!("{:?}", outcome(&damaged, &states))).or_insert(0) += 1;
            cases += 1;
        }
    }
    report(&format!("damage: {cases} damaged stores of {blocks} blocks: {counts:?}"));
    let wanted = if is_long() { 3 * blocks } else { 20 };
    assert!(cases >= wanted && blocks >= 20, "the sweep did its work: {cases} cases, {counts:?}");
    assert!(counts.get("Refused").copied().unwrap_or(0) + counts.get("Found").copied().unwrap_or(0) > 0, "{counts:?}");
}

/// sled writes a summary beside its log whenever it is opened, and takes one that was cut off for a whole one.
#[test]
fn p2_killed_while_a_summary_is_written_the_store_opens_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    let states = fill(&whole);
    drop(SledStore::open(&whole, SledOptions::default()).expect("opens"));
    let names = fs::read_dir(&whole).expect("there").map(|entry| entry.expect("readable").file_name());
    let summary = names.filter_map(|name| name.into_string().ok()).find(|name| name.starts_with("snap."));
    let summary = summary.expect("it was summed up");
    let bytes = fs::read(whole.join(&summary)).expect("there");
    assert!(bytes.len() > 20, "{summary} has {} bytes", bytes.len());
    for length in [0, 1, 12, 13, bytes.len() / 2, bytes.len() - 12, bytes.len() - 4, bytes.len() - 1, bytes.len()] {
        for beside in [true, false] {
            let cut = folder.path().join(format!("cut-{length}-{beside}"));
            copy(&whole, &cut);
            if !beside {
                fs::remove_file(cut.join(&summary)).expect("there");
            }
            fs::write(cut.join("snap.00000000FFFFFFFF.generating"), &bytes[..length]).expect("written");
            assert_eq!(outcome(&cut, &states), Outcome::Harmless, "{length} bytes, beside a whole one: {beside}");
        }
    }
}
