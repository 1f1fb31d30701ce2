//! A compaction gives the folder's space back to the file system, while commits go on, and what is kept stays as it was.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use holdfast_engine::{CompactPhase, DiskSyncer, Engine, Keep, Revision, SledOptions, SledStore, Syncer, Txn};

use crate::support::{Over, key, open, put, report, value};

fn store(path: &Path, reclaim_bytes_min: u64) -> Engine {
    // Small slices, so that commits come between them.
    let reclaim_slice_bytes = if reclaim_bytes_min == 0 { 5000 } else { SledOptions::default().reclaim_slice_bytes };
    let options = SledOptions { reclaim_bytes_min, reclaim_slice_bytes, ..SledOptions::default() };
    open(Box::new(SledStore::open(path, options).expect("opens"))).expect("recovers")
}

/// Bytes that the folder takes, in blocks.
fn weight(path: &Path) -> u64 {
    let entries = fs::read_dir(path).expect("there").map(|entry| entry.expect("readable"));
    entries.map(|entry| entry.metadata().map_or(0, |found| if found.is_dir() { 0 } else { found.blocks() * 512 })).sum()
}

/// Bytes that no two calls give alike.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32).to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(count).collect()
}

fn write(engine: &Engine, megabytes: u64) {
    for n in 0..megabytes * 10 {
        let txn = (0..10).fold(Txn::new(), |txn, k| txn.put(key(&format!("k{k}")), noise(n * 10 + k, 10_000)));
        engine.commit(txn.put(key("n"), n.to_string().into_bytes())).expect("holds");
    }
}

#[test]
fn a_store_of_much_history_shrinks_to_what_is_left() {
    let megabytes = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let engine = store(folder.path(), SledOptions::default().reclaim_bytes_min);
    write(&engine, megabytes);
    engine.note(b"stays").expect("taken");
    engine.remind(&key("stays"), b"too").expect("taken");
    let before = weight(folder.path());
    assert!(before > megabytes * 1_000_000, "{before}");
    let mut phases = Vec::new();
    let compaction = engine.compact_with(Keep::Newest(5), |phase, _| phases.push(phase)).expect("compacts");
    let after = weight(folder.path());
    assert!(after < before / 10, "{before} bytes before, {after} after");
    assert!(compaction.disk_bytes_before.expect("on a disk") > megabytes * 1_000_000);
    assert!(compaction.disk_bytes.expect("on a disk") <= after);
    assert!(phases.contains(&CompactPhase::Reclaiming));
    let head = engine.head();
    let state: Vec<_> = engine.snapshot().iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
    engine.commit(put("after", "1")).expect("holds");
    drop(engine);
    let engine = store(folder.path(), 0);
    let reopened = weight(folder.path());
    report(&format!("space: {before} bytes in the folder, {after} after a compaction, {reopened} opened again"));
    assert!(reopened < before / 10, "{reopened}");
    assert_eq!(engine.head().revision, head.revision.next());
    let kept = engine.at(head.revision).expect("kept");
    assert!(kept.iter().eq(state.iter().map(|(key, entry)| (key, entry))));
    assert_eq!(engine.notes().expect("readable").last().map(|note| note.bytes.clone()), Some(b"stays".to_vec()));
    assert_eq!(
        engine.reminders("").expect("readable").last().map(|reminder| reminder.bytes.clone()),
        Some(b"too".to_vec())
    );
    assert!(engine.verify(|_, _| ControlFlow::Continue(())).expect("readable").is_sound());
}

#[test]
fn commits_go_on_while_space_is_given_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = store(folder.path(), 0);
    write(&engine, 8);
    let done = AtomicBool::new(false);
    let (before, during) = std::thread::scope(|scope| {
        let over = Over(&done);
        let writer = scope.spawn(|| {
            let mut count = 0_u64;
            while !done.load(Ordering::Relaxed) || count < 20 {
                engine.commit(put("n", &count.to_string()).delete(key(&format!("k{}", count % 10)))).expect("holds");
                count += 1;
            }
            count
        });
        let before = engine.head().revision;
        for _ in 0..3 {
            engine.compact(Keep::From(before)).expect("compacts");
        }
        drop(over);
        (before, writer.join().expect("no panic"))
    });
    assert!(during >= 20);
    let head = engine.head().revision;
    let last = value(engine.snapshot().get("n")).map(str::to_owned);
    drop(engine);
    let engine = store(folder.path(), 0);
    assert_eq!(engine.head().revision, head);
    assert_eq!(value(engine.snapshot().get("n")).map(str::to_owned), last);
    assert!(engine.at(before).is_ok());
    let report = engine.verify(|_, _| ControlFlow::Continue(())).expect("readable");
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.commits, head.get() - before.get());
}

#[test]
fn what_an_interrupted_one_left_is_removed_and_a_later_compaction_gives_the_space_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = store(folder.path(), u64::MAX);
    write(&engine, 8);
    engine.compact(Keep::Newest(1)).expect("compacts");
    drop(engine);
    let before = weight(folder.path());
    fs::create_dir(folder.path().join("next")).expect("made");
    fs::write(folder.path().join("next/db"), noise(1, 100_000)).expect("written");
    let engine = store(folder.path(), 0);
    assert!(!folder.path().join("next").exists());
    let compaction = engine.compact(Keep::From(Revision::ZERO)).expect("nothing to give up");
    assert_eq!(compaction.commits, 0);
    let after = weight(folder.path());
    assert!(after < before / 2, "{before} bytes before, {after} after");
}

/// Notes which file is called `db` whenever the folder is synced, and which files were synced by then.
#[derive(Default)]
struct Names {
    path: std::path::PathBuf,
    synced: Vec<u64>,
    /// For each sync of the folder: the file called `db`, and whether it had been synced.
    folder_syncs: Arc<Mutex<Vec<(u64, bool)>>>,
}

impl Syncer for Names {
    fn sync_data(&mut self, file: &fs::File) -> std::io::Result<()> {
        self.synced.push(file.metadata()?.ino());
        DiskSyncer.sync_data(file)
    }

    fn sync_folder(&mut self, folder: &Path) -> std::io::Result<()> {
        if folder == self.path {
            let db = fs::metadata(folder.join("db"))?.ino();
            self.folder_syncs.lock().expect("not poisoned").push((db, self.synced.contains(&db)));
        }
        DiskSyncer.sync_folder(folder)
    }
}

#[test]
fn p3_a_new_file_is_synced_before_it_takes_the_old_ones_place_and_its_name_after() {
    let folder = tempfile::tempdir().expect("a folder");
    // Opened twice, so that sled has a summary of the old file.
    store(folder.path(), 0).commit(put("a", "1")).expect("holds");
    drop(store(folder.path(), 0));
    let folder_syncs = Arc::default();
    let syncer = Names { path: folder.path().to_owned(), folder_syncs: Arc::clone(&folder_syncs), ..Names::default() };
    let options = SledOptions { syncer: Box::new(syncer), reclaim_bytes_min: 0, ..SledOptions::default() };
    let engine = open(Box::new(SledStore::open(folder.path(), options).expect("opens"))).expect("recovers");
    write(&engine, 1);
    let inode = || fs::metadata(folder.path().join("db")).expect("there").ino();
    let before = inode();
    engine.compact(Keep::Newest(1)).expect("compacts");
    let after = inode();
    assert_ne!(before, after, "the file was written anew");
    let syncs: Vec<(u64, bool)> = folder_syncs.lock().expect("not poisoned").clone();
    assert_eq!(syncs.last(), Some(&(after, true)), "{syncs:?}");
    assert!(syncs.contains(&(before, true)), "the old one's summaries are gone before");
    let names = fs::read_dir(folder.path()).expect("there").map(|entry| entry.expect("readable").file_name());
    let summaries: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("snap.")).collect();
    assert!(summaries.is_empty(), "they speak of the old file: {summaries:?}");
}
