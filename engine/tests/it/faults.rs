//! P2, P3: an error of the disk at any sync, and a disk that is full, poison the engine with a typed error; opened again, the
//! store is whole and has everything that was acknowledged.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_engine::{CommitError, DiskSyncer, Engine, Keep, Revision, SledOptions, SledStore, Syncer, Txn};

use crate::child::{Mode, acknowledged, command};
use crate::support::{key, open, put};

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
    assert!(failed >= 20, "the sweep met {failed} failures");
}

#[test]
fn a_full_disk_is_typed_and_loses_nothing() {
    for kilobytes in [40, 300, 600, 1100] {
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
