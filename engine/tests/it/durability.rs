//! P3: between the writes of a commit and its acknowledgement there is an fdatasync of the `db` file. Each test also shows
//! that it fails when the sync is taken out.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use holdfast_engine::{DiskSyncer, SledOptions, SledStore, Syncer, Txn};

use crate::child::{Mode, acknowledged, command};
use crate::support::{key, open, put};

/// What a commit saw of the disk.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// The `db` file was synced; whether the marked bytes were in it.
    Synced { marked: bool },
    /// The commit was acknowledged.
    Acknowledged,
}

/// A syncer that notes what it does, or does nothing and notes nothing.
struct Recorder {
    events: Arc<Mutex<Vec<Event>>>,
    skip: bool,
}

impl Syncer for Recorder {
    fn sync_data(&mut self, file: &File) -> io::Result<()> {
        if self.skip {
            return Ok(());
        }
        DiskSyncer.sync_data(file)?;
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).expect("a small file")];
        std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, 0)?;
        let marked = bytes.windows(MARK.len()).any(|window| window == MARK);
        self.events.lock().expect("not poisoned").push(Event::Synced { marked });
        Ok(())
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        DiskSyncer.sync_folder(folder)
    }
}

const MARK: &[u8] = b"these bytes are in no other commit";

/// What one marked commit does to the disk, up to its acknowledgement.
fn events_of_a_commit(skip: bool) -> Vec<Event> {
    let folder = tempfile::tempdir().expect("a folder");
    let events = Arc::new(Mutex::new(Vec::new()));
    let syncer = Box::new(Recorder { events: Arc::clone(&events), skip });
    let options = SledOptions { syncer, ..SledOptions::default() };
    let engine = open(Box::new(SledStore::open(folder.path(), options).expect("opens"))).expect("recovers");
    engine.commit(put("a", "before")).expect("holds");
    events.lock().expect("not poisoned").clear();
    engine.commit(Txn::new().put(key("a"), MARK)).expect("holds");
    let mut events = std::mem::take(&mut *events.lock().expect("not poisoned"));
    events.push(Event::Acknowledged);
    events
}

#[test]
fn p3_a_commit_is_synced_after_it_is_written_and_before_it_is_acknowledged() {
    assert_eq!(events_of_a_commit(false), [Event::Synced { marked: true }, Event::Acknowledged]);
    assert_eq!(events_of_a_commit(true), [Event::Acknowledged], "without the sync the test above fails");
}

#[test]
fn opening_syncs_before_it_shows_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = Arc::new(Mutex::new(Vec::new()));
    let open_store = || {
        let syncer = Box::new(Recorder { events: Arc::clone(&events), skip: false });
        SledStore::open(folder.path(), SledOptions { syncer, ..SledOptions::default() }).expect("opens")
    };
    let engine = open(Box::new(open_store())).expect("recovers");
    engine.commit(Txn::new().put(key("a"), MARK)).expect("holds");
    drop(engine);
    events.lock().expect("not poisoned").clear();
    let store = open_store();
    let synced = std::mem::take(&mut *events.lock().expect("not poisoned"));
    assert_eq!(
        synced,
        [Event::Synced { marked: true }, Event::Synced { marked: true }],
        "before and after sled's own work"
    );
    drop(store);
}

/// Reads a trace: for each acknowledgement, whether an fdatasync of `db` stands between the last write to `db` and it.
fn unsynced_acknowledgements(trace: &str) -> (usize, usize) {
    let (mut acknowledgements, mut unsynced, mut dirty) = (0, 0, false);
    for line in trace.lines() {
        let on_db = line.contains("/db>");
        if on_db && line.contains("pwrite64(") {
            dirty = true;
        } else if on_db && line.contains("fdatasync(") {
            dirty = false;
        } else if line.contains("write(1") && acknowledged(line.split('\\').next().unwrap_or_default()).is_some() {
            acknowledgements += 1;
            unsynced += usize::from(dirty);
        }
    }
    (acknowledgements, unsynced)
}

/// The system calls of the child, or nothing where they cannot be traced.
fn trace(mode: Mode) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace");
    let file = file.to_str().expect("a plain path");
    let calls = "trace=pwrite64,write,fdatasync,fsync,sync_file_range";
    let status = command(&["strace", "-f", "-y", "-e", calls, "-o", file], &folder.path().join("store"), mode)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return None;
    }
    std::fs::read_to_string(file).ok()
}

#[test]
fn p3_the_system_calls_of_a_commit_sync_it_before_it_is_acknowledged() {
    // Without strace the test of the recording syncer above stands alone.
    let Some(synced) = trace(Mode::Twenty) else { return };
    assert_eq!(unsynced_acknowledgements(&synced), (20, 0));
    let unsynced = trace(Mode::TwentyUnsynced).expect("traced a moment ago");
    assert_eq!(unsynced_acknowledgements(&unsynced), (20, 20), "without the sync the test above fails");
}
