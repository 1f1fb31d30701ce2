//! Successor: a fresh sled folder inside the store's, filled in slices while the old one goes on, that then takes its place.
//!
//! sled 0.34 gives space back only where the last segment of its file is free, so a folder keeps the size of what it once
//! held. A file that is written anew has no such past. Until the rename in `take_over` the old file is the store, afterwards
//! the new one; both hold every commit that was acknowledged, so a process may be killed between any two steps.
//!
//! Never here: when this is worth its while (`reclaim.rs`).

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::opened::Opened;
use super::{Changes, Disk};
use crate::error::StoreError;
use crate::failpoint::failpoint;
use crate::planted::planted;
use crate::store::contain::contained;

/// The folder of a successor, inside the store's.
pub(crate) const SUCCESSOR: &str = "next";

/// The file that is filled.
pub(super) struct Successor {
    db: Opened,
    file: File,
    folder: PathBuf,
    /// The first key that is not copied yet.
    from: Vec<u8>,
}

/// Removes what an interrupted successor left in the store's folder `path`.
pub(crate) fn remove_residue(path: &Path) -> Result<(), StoreError> {
    let folder = path.join(SUCCESSOR);
    match fs::remove_dir_all(&folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Io { action: "remove", path: folder, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Disk {
    /// Makes an empty successor. From now on every change is made in both.
    pub(crate) fn begin_successor(&mut self) -> Result<(), StoreError> {
        self.give_up_successor();
        let folder = self.path.join(SUCCESSOR);
        remove_residue(&self.path)?;
        failpoint("successor-removed");
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { action, path, source }
        };
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(io("make", &folder))?;
        failpoint("successor-made");
        let failed = |reason| StoreError::Backend { action: "made a new file", reason };
        let db = contained(|| Opened::open(&folder)).map_err(failed)?.map_err(|error| failed(error.to_string()))?;
        let path = folder.join("db");
        let file = File::options().read(true).write(true).open(&path).map_err(io("open", &path))?;
        self.successor = Some(Successor { db, file, folder, from: vec![0] });
        failpoint("successor-opened");
        Ok(())
    }

    /// Copies about `budget` bytes into the successor; says whether everything is copied.
    pub(crate) fn copy_slice(&mut self, budget: usize) -> Result<bool, StoreError> {
        let gone = || StoreError::Backend { action: "copied", reason: "the new file failed before".to_owned() };
        let from = self.successor.as_ref().ok_or_else(gone)?.from.clone();
        let mut changes = Changes::default();
        let mut next = None;
        self.scan(&from, &[u8::MAX], &mut |key, value| {
            if changes.bytes >= budget {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            changes.put(key, value);
            ControlFlow::Continue(())
        })?;
        failpoint("successor-before-slice");
        self.mirror(changes.into_batch());
        let successor = self.successor.as_mut().ok_or_else(gone)?;
        failpoint("successor-after-slice");
        let done = next.is_none();
        if planted("copy-misses-one")
            && let Some(next) = &mut next
        {
            next.push(0);
        }
        successor.from = next.unwrap_or_else(|| vec![u8::MAX]);
        Ok(done)
    }

    /// Makes a change in the successor too. One that fails is given up; the old file has the change, so nothing is lost.
    pub(super) fn mirror(&mut self, batch: sled::Batch) {
        let Some(successor) = &self.successor else { return };
        let failure = match contained(|| successor.db.apply_batch(batch)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        tracing::warn!(failure, "the store's space cannot be given back now");
        self.give_up_successor();
    }

    /// Goes on without the successor, if there is one.
    pub(crate) fn give_up_successor(&mut self) {
        if let Some(Successor { db, .. }) = self.successor.take() {
            drop(contained(move || drop(db)));
            // What cannot be removed now is removed when the store is opened.
            let _ = remove_residue(&self.path);
        }
    }

    /// Puts the successor, which has everything, in the place of the old file. After an error the old file goes on, unless it
    /// is not known which of the two the disk has: then this disk refuses everything.
    pub(crate) fn take_over(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.prepare_successor() {
            self.give_up_successor();
            return Err(error);
        }
        let (old, new) = (self.path.join("db"), self.path.join(SUCCESSOR).join("db"));
        failpoint("successor-before-rename");
        if let Err(source) = fs::rename(&new, &old) {
            self.give_up_successor();
            return Err(StoreError::Io { action: "replace", path: old, source });
        }
        failpoint("successor-after-rename");
        let synced = if planted("skip-rename-sync") { Ok(()) } else { self.syncer.sync_folder(&self.path) };
        if let Err(source) = synced {
            if let Some(Successor { db, .. }) = self.successor.take() {
                drop(contained(move || drop(db)));
            }
            self.close();
            return Err(StoreError::Io { action: "sync", path: self.path.clone(), source });
        }
        failpoint("successor-rename-synced");
        let Some(Successor { db, file, .. }) = self.successor.take() else { return Ok(()) };
        let before = self.db.replace(db);
        self.file = file;
        // The old file has no name any more; its blocks come back with the last descriptor.
        drop(contained(move || drop(before)));
        remove_residue(&self.path)?;
        failpoint("successor-in-force");
        Ok(())
    }

    /// Makes the successor durable, and the old file one that is read without its summaries: they say where pages lie in the
    /// old file, and must not be found beside the new one.
    fn prepare_successor(&mut self) -> Result<(), StoreError> {
        let Some(successor) = &self.successor else {
            return Err(StoreError::Backend { action: "copied", reason: "the new file failed before".to_owned() });
        };
        let failed = |reason| StoreError::Backend { action: "flushed a new file", reason };
        let flushed = contained(|| successor.db.flush()).map_err(failed)?;
        flushed.map_err(|error| failed(error.to_string()))?;
        failpoint("successor-flushed");
        let sync = |action: &'static str, path: PathBuf| move |source| StoreError::Io { action, path, source };
        if !planted("skip-successor-sync") {
            let path = successor.folder.join("db");
            self.syncer.sync_data(&successor.file).map_err(sync("sync", path))?;
        }
        self.syncer.sync_folder(&successor.folder).map_err(sync("sync", successor.folder.clone()))?;
        failpoint("successor-synced");
        let settings = |folder: &Path| fs::read(folder.join("conf")).map_err(sync("read", folder.join("conf")));
        if settings(&self.path)? != settings(&successor.folder)? {
            return Err(failed("its settings are not those of the old one".to_owned()));
        }
        for entry in fs::read_dir(&self.path).map_err(sync("read", self.path.clone()))? {
            let entry = entry.map_err(sync("read", self.path.clone()))?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with("snap.")) && !planted("keep-old-summary")
            {
                fs::remove_file(entry.path()).map_err(sync("remove", entry.path()))?;
                failpoint("successor-summary-removed");
            }
        }
        self.syncer.sync_folder(&self.path).map_err(sync("sync", self.path.clone()))?;
        failpoint("successor-summaries-synced");
        Ok(())
    }
}
