//! Replacing a store: a new one takes the place of one that is there, whose files are kept aside.
//!
//! The new store is made whole in a folder beside the old files. The old ones get a second name in a folder of their own, and
//! then the new `db` is renamed over the old one: that instant decides which of the two the folder holds.
//!
//! Never here: what is in the new store (`opening.rs`).

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::failpoint::failpoint;
use crate::reminders::Reminder;
use crate::restore::{Existing, Inherited};
use crate::revision::Revision;
use crate::snapshot::Head;
use crate::store::Identity;
use crate::store::embedded::SledStore;
use crate::store::folder::{self, ASIDE, Folder, Look, TakeError, WITNESS};
use crate::store::opening::{Seed, SledOptions, StoreOpenError};
use crate::store::sled::successor::{SUCCESSOR, remove_residue};
use crate::store::sync::{DiskSyncer, Syncer as _};

/// What a replacement made.
pub(crate) struct Replaced {
    pub(crate) identity: Identity,
    pub(crate) head: Head,
    /// The folder of what was there, if there was something.
    pub(crate) kept_aside: Option<PathBuf>,
    pub(crate) inherited: Inherited,
}

impl SledStore {
    /// Makes the store that `seed` gives, which is told the epoch, the newest commit and the reminders that are to be taken over
    /// of the one that is there. Killed at any instant, the folder holds what it held or the new store.
    pub(crate) fn replace(
        path: &Path,
        options: SledOptions,
        existing: Existing<'_>,
        seed: impl FnOnce(u64, Revision, Vec<Reminder>) -> Seed,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Replaced, StoreOpenError> {
        let look = folder::look(path)?;
        let wanted = match (&look, existing) {
            (Look::Foreign, _) => return Err(StoreOpenError::NotAStore { path: path.to_owned() }),
            (Look::Store | Look::Gutted, Existing::Refuse) => {
                return Err(StoreOpenError::Occupied { path: path.to_owned() });
            }
            (Look::Empty, _) => None,
            (Look::Store | Look::Gutted, Existing::KeepAside { reminders }) => Some(reminders),
        };
        for made in folder::make(path)? {
            sync(&made)?;
        }
        // The store that is there is not opened: opening a damaged one may change it.
        let folder = Folder::take(path).map_err(|error| match error {
            TakeError::Locked => StoreOpenError::Locked { path: path.to_owned(), holder_pid: folder::holder(path) },
            TakeError::Io(error) => error.into(),
        })?;
        let (epoch, newest) = folder.witness().map_or((0, Revision::ZERO), |known| (known.epoch, known.revision));
        remove_residue(path)?;
        let (inherited, reminders) = match wanted.map(|prefix| reminders(path, prefix)) {
            None => (Inherited::Nothing, Vec::new()),
            Some(Ok(reminders)) => (Inherited::Reminders(reminders.len()), reminders),
            Some(Err(error)) => (Inherited::Unknown { reason: error.to_string() }, Vec::new()),
        };
        remove_residue(path)?;
        failpoint("replace-read");
        let seed = seed(epoch, newest, reminders);
        let (identity, head) = (seed.identity, seed.head);
        let next = path.join(SUCCESSOR);
        Self::seed(&next, options, seed, progress)?;
        failpoint("replace-made");
        let kept_aside = if look == Look::Empty { None } else { Some(keep_aside(path)?) };
        failpoint("replace-kept-aside");
        take_over(path, &next)?;
        drop(folder);
        Ok(Replaced { identity, head, kept_aside, inherited })
    }
}

/// The reminders of the store in `path` whose key begins with `prefix`. They are read from a copy, which is left as residue: opening
/// a damaged store may change it.
fn reminders(path: &Path, prefix: &str) -> Result<Vec<Reminder>, StoreOpenError> {
    let copy = path.join(SUCCESSOR);
    fs::DirBuilder::new().mode(0o700).create(&copy).map_err(io("make", &copy))?;
    for name in files(path)? {
        let from = path.join(&name);
        fs::copy(&from, copy.join(&name)).map_err(io("copy", &from))?;
    }
    failpoint("replace-copied");
    let mut store = SledStore::open(&copy, SledOptions { create: false, ..SledOptions::default() })?;
    let mut reminders = store.read_reminders()?;
    reminders.retain(|reminder| reminder.key.as_str().starts_with(prefix));
    Ok(reminders)
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    DiskSyncer.sync_folder(folder).map_err(io("sync", folder))
}

/// The names of the store's own files in `path`.
fn files(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(io("read", path))? {
        let name = entry.map_err(io("read", path))?.file_name();
        names.extend(
            name.into_string()
                .ok()
                .filter(|name| ["db", "conf", WITNESS].contains(&name.as_str()) || name.starts_with("snap.")),
        );
    }
    Ok(names)
}

/// Gives the files of the store in `path` a second name, in a new folder there; gives that folder.
fn keep_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let names = files(path)?;
    let free = (1_u32..).map(|number| path.join(format!("{ASIDE}{number}"))).find(|folder| !folder.exists());
    let aside = free.unwrap_or_else(|| path.join(ASIDE));
    fs::DirBuilder::new().mode(0o700).create(&aside).map_err(io("make", &aside))?;
    for name in names {
        let (from, to) = (path.join(&name), aside.join(&name));
        // A file system without hard links gets a copy.
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(io("copy", &from))?;
            let copied = fs::File::open(&to).and_then(|file| DiskSyncer.sync_data(&file));
            copied.map_err(io("sync", &to))?;
        }
        failpoint("replace-linked");
    }
    sync(&aside)?;
    sync(path)?;
    Ok(aside)
}

/// Puts the store in `next` in the place of the one in `path`.
fn take_over(path: &Path, next: &Path) -> Result<(), StoreError> {
    for name in files(path)?.iter().filter(|name| name.starts_with("snap.")) {
        let summary = path.join(name);
        fs::remove_file(&summary).map_err(io("remove", &summary))?;
    }
    let take = |name: &str| fs::rename(next.join(name), path.join(name)).map_err(io("replace", &path.join(name)));
    take("conf")?;
    sync(path)?;
    failpoint("replace-before-rename");
    take("db")?;
    failpoint("replace-after-rename");
    sync(path)?;
    failpoint("replace-rename-synced");
    // Until here the witness was that of the store before, of an earlier epoch, which says nothing about this one.
    take(WITNESS)?;
    sync(path)?;
    failpoint("replace-in-force");
    remove_residue(path)
}

/// Removes folders of an interrupted replacement from the store's folder `path`: what lies in them is still in force.
pub(crate) fn remove_unfinished(path: &Path) -> Result<(), StoreError> {
    let Ok(in_force) = fs::metadata(path.join("db")) else { return Ok(()) };
    for entry in fs::read_dir(path).map_err(io("read", path))? {
        let entry = entry.map_err(io("read", path))?;
        let kept = fs::metadata(entry.path().join("db"));
        let same = kept.is_ok_and(|kept| (kept.dev(), kept.ino()) == (in_force.dev(), in_force.ino()));
        if same && entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE)) {
            fs::remove_dir_all(entry.path()).map_err(io("remove", &entry.path()))?;
        }
    }
    Ok(())
}
