//! Disk: sled, used so that it keeps its word. The only user of `sled`.
//!
//! `flush` of sled 0.34 writes, but does not sync (it issues `sync_file_range`). Every sync here is therefore a flush and then
//! an `fdatasync` of the same file through a descriptor of our own. One thread calls this; no background flusher runs; a
//! panic of sled becomes an error, after which the disk refuses everything; no wait of sled outlasts a failed write.
//!
//! Never here: what the records mean.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::failpoint::failpoint;
use crate::planted::planted;
use crate::store::contain::contained;
use crate::store::sync::Syncer;

mod opened;
pub(crate) mod successor;

/// How long sled's threads are waited for when it is closed.
const LOCK_RELEASE_MAX: Duration = Duration::from_secs(2);

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Is shown keys and values in turn, and breaks when it has seen enough.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// An open sled folder.
pub(crate) struct Disk {
    /// Gone once it is closed or has failed.
    db: Option<opened::Opened>,
    /// The file that sled writes, for syncing.
    file: File,
    path: PathBuf,
    syncer: Box<dyn Syncer>,
    /// What is to take this file's place, while it is being filled.
    successor: Option<successor::Successor>,
}

/// Why a sled folder did not open.
pub(crate) enum DiskOpenError {
    /// Another process holds it.
    Locked,
    /// The folder or a file cannot be opened.
    Io(StoreError),
    /// sled cannot make sense of it: its words.
    Damaged(String),
}

/// Changes that are made together or not at all.
#[derive(Default)]
pub(crate) struct Changes {
    /// A put that is alone so far.
    single: Option<Pair>,
    batch: sled::Batch,
    pub(crate) bytes: usize,
    /// How many keys are removed.
    pub(crate) removals: u64,
}

impl Changes {
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        if self.bytes == 0 {
            self.single = Some((key.to_vec(), value.to_vec()));
        } else {
            self.join();
            self.batch.insert(key, value);
        }
        self.bytes += key.len() + value.len();
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.bytes += key.len();
        self.removals += 1;
        self.join();
        self.batch.remove(key);
    }

    /// What was alone is so no more.
    fn join(&mut self) {
        if let Some((key, value)) = self.single.take() {
            self.batch.insert(key, value);
        }
    }

    fn into_batch(mut self) -> sled::Batch {
        self.join();
        self.batch
    }
}

impl Disk {
    /// Opens or makes the sled files in the folder `path`.
    pub(crate) fn open(path: &Path, mut syncer: Box<dyn Syncer>) -> Result<Self, DiskOpenError> {
        let file_path = path.join("db");
        let io = |source| DiskOpenError::Io(StoreError::Io { action: "open", path: file_path.clone(), source });
        // What a killed process wrote may still be in the page cache only. sled acts on what it reads while it opens
        // (it reuses segments, it syncs a summary of its own), so all of it must be on the disk before.
        match File::open(&file_path) {
            Ok(_) if planted("skip-recovery-sync") => {}
            Ok(file) => syncer.sync_data(&file).map_err(io)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        failpoint("open-synced-what-was-there");
        remove_unfinished_summaries(path)?;
        let db = match contained(|| opened::Opened::open(path)) {
            Ok(Ok(db)) => db,
            Ok(Err(sled::Error::Io(error))) if is_lock(&error) => return Err(DiskOpenError::Locked),
            Ok(Err(sled::Error::Io(error))) => return Err(io(error)),
            Ok(Err(error)) => return Err(DiskOpenError::Damaged(error.to_string())),
            Err(panic) => return Err(DiskOpenError::Damaged(panic)),
        };
        let file = File::options().read(true).write(true).open(&file_path).map_err(io)?;
        failpoint("open-read-back");
        Ok(Self { db: Some(db), file, path: path.to_owned(), syncer, successor: None })
    }

    /// Whether there are trees that we did not make.
    pub(crate) fn has_foreign_trees(&mut self) -> Result<bool, StoreError> {
        self.run("listed its trees", |db| Ok(db.tree_names().len() > 1))
    }

    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.run("read", |db| db.get(key).map(|value| value.map(|value| value.to_vec())))
    }

    /// Shows `each` the keys and values from `from` up to and without `to`, in key order, until it breaks.
    pub(crate) fn scan(&mut self, from: &[u8], to: &[u8], each: Visit<'_>) -> Result<(), StoreError> {
        self.run("read", |db| {
            for pair in db.range(from..to) {
                let (key, value) = pair?;
                if each(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The last key and value from `from` up to and without `to`.
    pub(crate) fn last(&mut self, from: &[u8], to: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.run("read", |db| {
            let last = db.range(from..to).next_back().transpose()?;
            Ok(last.map(|(key, value)| (key.to_vec(), value.to_vec())))
        })
    }

    /// Makes changes, not yet durable.
    pub(crate) fn apply(&mut self, changes: Changes) -> Result<(), StoreError> {
        if self.successor.is_some() && !planted("skip-mirror") {
            let batch = changes.into_batch();
            self.run("wrote", |db| db.apply_batch(batch.clone()))?;
            self.mirror(batch);
            return Ok(());
        }
        match changes.single {
            // One record is whole or not there by itself. A batch of one costs sled a second record, a second write and as
            // many wakes of its threads: a third of the time of a small commit.
            Some((key, value)) => self.run("wrote", |db| db.insert(key, value).map(drop)),
            None => self.run("wrote", |db| db.apply_batch(changes.batch)),
        }
    }

    /// Makes everything durable that was changed before.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.run("flushed", |db| db.flush().map(drop))?;
        failpoint("flushed");
        if planted("skip-fdatasync") {
            return Ok(());
        }
        let synced = self.syncer.sync_data(&self.file);
        synced.map_err(|source| {
            // After a failed sync nobody knows what is on the disk; the page cache cannot be trusted either.
            self.close();
            StoreError::Io { action: "sync", path: self.path.join("db"), source }
        })?;
        failpoint("synced");
        Ok(())
    }

    /// Makes sled's settings durable, which it writes once and never syncs.
    pub(crate) fn sync_settings(&mut self) -> Result<(), StoreError> {
        let path = self.path.join("conf");
        let synced = File::open(&path).and_then(|file| self.syncer.sync_data(&file));
        synced.map_err(|source| StoreError::Io { action: "sync", path, source })
    }

    /// Makes the names in `folder` durable.
    pub(crate) fn sync_folder(&mut self, folder: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io { action: "sync", path: folder.to_owned(), source };
        self.syncer.sync_folder(folder).map_err(failed)
    }

    /// Bytes that the folder takes.
    pub(crate) fn disk_bytes(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt as _;
        // Blocks, not length: sled leaves holes.
        self.file.metadata().ok().map(|metadata| metadata.blocks() * 512)
    }

    /// Gives the folder free.
    pub(crate) fn close(&mut self) {
        self.give_up_successor();
        if let Some(db) = self.db.take() {
            // sled flushes once more when it is dropped; a panic there changes nothing that was promised.
            drop(contained(move || drop(db)));
            self.await_lock();
        }
    }

    /// sled's own threads may hold the file, and with it the lock, for a moment after it was dropped. A store that was closed
    /// can be opened at once, so this waits for them.
    fn await_lock(&self) {
        let deadline = Instant::now() + LOCK_RELEASE_MAX;
        while self.file.try_lock().is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
        // Where it was not had, there is nothing to give back.
        let _ = self.file.unlock();
    }

    fn run<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = |reason| StoreError::Backend { action, reason };
        let Some(db) = &self.db else { return Err(failed("it failed or was closed before".to_owned())) };
        match contained(|| work(db)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(panic) => {
                self.close();
                Err(failed(panic))
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

/// Removes summaries (`snap.*`) that a process was killed, or lost its power, while writing. sled writes one under a name that
/// ends in `.generating`, and reads what it finds under such a name as if it were whole: it would not open the folder again.
/// The log has all that a summary says.
fn remove_unfinished_summaries(path: &Path) -> Result<(), DiskOpenError> {
    let failed =
        |action, path: &Path, source| DiskOpenError::Io(StoreError::Io { action, path: path.to_owned(), source });
    for entry in std::fs::read_dir(path).map_err(|source| failed("read", path, source))? {
        let entry = entry.map_err(|source| failed("read", path, source))?;
        let is_unfinished = |name: &str| name.starts_with("snap.") && name.ends_with(".generating");
        if entry.file_name().to_str().is_some_and(is_unfinished) && !planted("keep-unfinished-summary") {
            std::fs::remove_file(entry.path()).map_err(|source| failed("remove", &entry.path(), source))?;
        }
    }
    Ok(())
}

/// sled reports a lock as an error without a kind or number of its own.
fn is_lock(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::Other && error.to_string().starts_with("could not acquire lock")
}
