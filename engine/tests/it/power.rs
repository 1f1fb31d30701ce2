//! P3: whatever a power cut may leave on the disk, nothing acknowledged is lost and the store opens.
//!
//! A run is traced with strace: every write and sync of two processes, the second of which opens what the first left without
//! closing. Then the folder is built again as a power cut could have left it: at a random instant, with each write that was
//! not synced kept, dropped or torn, independently. The same must fail when the fdatasync is taken out: that is the test of
//! the test.
//!
//! The short form builds 80 folders from a run of 300 commits; `HOLDFAST_LONG` builds 600 from one of 8000.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use holdfast_engine::{Engine, SledOptions, SledStore};

use crate::child::{Mode, acknowledged, command};
use crate::support::{open, value};

/// What happened, in the order in which it began.
#[derive(Debug)]
enum Event {
    Write {
        path: String,
        at: u64,
        bytes: Vec<u8>,
    },
    /// Everything written to `path` before the event `began` is on the disk.
    Synced {
        path: String,
        began: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    Acknowledged(u64),
}

/// Reads traces into one list of events; paths are relative to `folder`.
fn events(traces: &[String], folder: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    for trace in traces {
        let mut positions: BTreeMap<String, u64> = BTreeMap::new();
        let mut syncing: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for line in trace.lines() {
            let Some((pid, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if call.starts_with("<... f") && call.contains("sync resumed>") {
                if let Some((path, began)) = syncing.remove(pid) {
                    events.push(Event::Synced { path, began });
                }
                continue;
            }
            let Some((name, rest)) = call.split_once('(') else { continue };
            let file = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| unescape(path));
            let path = file.as_deref().and_then(|path| relative(path, folder));
            let strings: Vec<Vec<u8>> = rest.split('"').skip(1).step_by(2).map(unescape).collect();
            match (name, path) {
                ("pwrite64", Some(path)) => {
                    let numbers = rest.rsplit_once('"').map_or("", |(_, numbers)| numbers);
                    let at = numbers.split([',', ')', '<']).nth(2).and_then(|at| at.trim().parse().ok());
                    let at = at.unwrap_or_else(|| panic!("no offset in {numbers}"));
                    let [bytes] = <[Vec<u8>; 1]>::try_from(strings).expect("one string");
                    events.push(Event::Write { path, at, bytes });
                }
                ("write", Some(path)) => {
                    let bytes = strings.concat();
                    let at = positions.entry(path.clone()).or_default();
                    events.push(Event::Write { path, at: *at, bytes: bytes.clone() });
                    *at += bytes.len() as u64;
                }
                ("write", None) => {
                    let line = String::from_utf8_lossy(&strings.concat()).into_owned();
                    if rest.starts_with("1<") {
                        events.extend(acknowledged(&line).map(Event::Acknowledged));
                    }
                }
                ("fdatasync" | "fsync", Some(path)) => {
                    let began = events.len();
                    if call.contains("<unfinished") {
                        syncing.insert(pid.to_owned(), (path, began));
                    } else {
                        events.push(Event::Synced { path, began });
                    }
                }
                ("openat", _) => {
                    let path = strings.first().and_then(|path| relative(path, folder));
                    positions.extend(path.map(|path| (path, 0)));
                }
                ("rename", _) => {
                    let paths: Vec<_> = strings.iter().filter_map(|path| relative(path, folder)).collect();
                    if let [from, to] = &paths[..] {
                        events.push(Event::Rename { from: from.clone(), to: to.clone() });
                    }
                }
                ("unlink", _) => {
                    events.extend(
                        strings.first().and_then(|path| relative(path, folder)).map(|path| Event::Unlink { path }),
                    );
                }
                _ => {}
            }
        }
    }
    events
}

fn unescape(text: impl AsRef<str>) -> Vec<u8> {
    let hex = |pair: &str| u8::from_str_radix(pair, 16).expect("strace was asked for hexadecimal");
    text.as_ref().split("\\x").skip(1).map(|pair| hex(&pair[..2])).collect()
}

fn relative(path: &[u8], folder: &Path) -> Option<String> {
    let path = Path::new(std::str::from_utf8(path).ok()?).strip_prefix(folder).ok()?;
    path.to_str().filter(|path| !path.is_empty()).map(str::to_owned)
}

/// A small generator with a fixed seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).expect("below a usize")
    }
}

/// Builds the folder as a power cut after `cut` events could have left it; gives the newest revision acknowledged by then.
fn image(events: &[Event], cut: usize, random: &mut Random, folder: &Path) -> u64 {
    let past = &events[..cut];
    let mut durable: BTreeMap<&str, usize> = BTreeMap::new();
    let mut newest = 0;
    for event in past {
        match event {
            Event::Synced { path, began } => _ = durable.insert(path, *began),
            Event::Acknowledged(revision) => newest = newest.max(*revision),
            Event::Write { .. } | Event::Rename { .. } | Event::Unlink { .. } => {}
        }
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (place, event) in past.iter().enumerate() {
        match event {
            Event::Write { path, at, bytes } => {
                let is_durable = durable.get(path.as_str()).is_some_and(|began| place < *began);
                let file = files.entry(path.clone()).or_default();
                let from = usize::try_from(*at).expect("small");
                // Sectors of 512 bytes are whole; what is larger may be torn at each of them.
                let choice = if is_durable { 0 } else { random.below(3) };
                let mut start = 0;
                while start < bytes.len() {
                    let end = (((from + start) / 512 + 1) * 512 - from).min(bytes.len());
                    if choice == 0 || (choice == 2 && random.below(2) == 0) {
                        if file.len() < from + end {
                            file.resize(from + end, 0);
                        }
                        file[from + start..from + end].copy_from_slice(&bytes[start..end]);
                    }
                    start = end;
                }
            }
            Event::Rename { from, to } => {
                if let Some(file) = files.remove(from) {
                    files.insert(to.clone(), file);
                }
            }
            Event::Unlink { path } => _ = files.remove(path),
            Event::Synced { .. } | Event::Acknowledged(_) => {}
        }
    }
    fs::create_dir_all(folder.join("blobs")).expect("made");
    for (path, bytes) in files {
        let file = fs::File::create(folder.join(path)).expect("made");
        file.write_all_at(&bytes, 0).expect("written");
    }
    newest
}

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
    let calls = "trace=pwrite64,write,fdatasync,fsync,openat,rename,unlink";
    let mut traces = Vec::new();
    for run in 0..2 {
        let file: PathBuf = folder.join(format!("trace{run}"));
        let name = file.to_str().expect("a plain path");
        let strace = ["strace", "-f", "-y", "-xx", "-s", "16777216", "-e", calls, "-o", name];
        let status = command(&strace, &store, mode).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            return None;
        }
        traces.push(fs::read_to_string(file).expect("traced"));
    }
    Some(events(&traces, &store))
}

/// How many folders were built, and what was wrong with which.
fn campaign(mode: Mode, images: usize) -> Option<(usize, Vec<String>)> {
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
    Some((images, failures))
}

#[test]
fn p3_after_a_power_cut_nothing_acknowledged_is_lost() {
    let images = if std::env::var_os("HOLDFAST_LONG").is_some() { 600 } else { 80 };
    // Without strace there is no campaign; the tests of `durability.rs` stand alone.
    let Some((built, failures)) = campaign(Mode::Power, images) else { return };
    assert_eq!(built, images, "the campaign did its work");
    assert!(failures.is_empty(), "{} of {built}: {failures:#?}", failures.len());
}

#[test]
fn without_the_fdatasync_the_campaign_fails() {
    let Some((built, failures)) = campaign(Mode::PowerUnsynced, 20) else { return };
    assert!(failures.len() > built / 4, "the campaign sees what is lost: {} of {built}", failures.len());
}
