//! The folder of an embedded store: what may lie in it, who holds it, and the witness.
//!
//! Never here: the files that sled owns.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

use crate::codec::{Witness, decode_witness, encode_witness};
use crate::error::StoreError;
use crate::failpoint::failpoint;
use crate::store::sled::successor::SUCCESSOR;

const HOLDER: &str = "holder";
/// The newest commit that was acknowledged.
pub(crate) const WITNESS: &str = "witness";
const IGNORE: &str = ".gitignore";
const LOCK: &str = "store.lock";
/// What the folders begin with in which the files of a store that was replaced are kept.
pub(crate) const ASIDE: &str = "aside-";

/// The files beside sled's.
pub(crate) struct Folder {
    path: PathBuf,
    witness: Option<File>,
    /// Held while the store is ours. sled locks `db` too, but another file may take that one's place.
    lock: Option<File>,
}

/// Why a folder was not taken.
pub(crate) enum TakeError {
    /// Another process holds it.
    Locked,
    /// It cannot be written.
    Io(StoreError),
}

/// What a path looks like before it is opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing is there, or an empty folder: a store can be made.
    Empty,
    /// A store's files are there.
    Store,
    /// Something else is there.
    Foreign,
    /// What stands beside a store is there, and its data is not.
    Gutted,
}

/// Looks at `path` without changing anything.
pub(crate) fn look(path: &Path) -> Result<Look, StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Look::Empty),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(Look::Foreign),
        Err(source) => return Err(StoreError::Io { action: "read", path: path.to_owned(), source }),
    };
    let (mut db, mut conf, mut foreign, mut witness, mut db_bytes) = (false, false, false, false, 0);
    for entry in entries {
        let entry = entry.map_err(|source| StoreError::Io { action: "read", path: path.to_owned(), source })?;
        let name = entry.file_name();
        match name.to_str() {
            Some("db") => {
                db = true;
                // A sled that was killed while it made its files leaves an empty one.
                db_bytes = entry.metadata().map_or(0, |found| found.len());
            }
            Some("conf") => conf = true,
            // What we and our siblings put here, and what sled leaves when it is stopped while it makes a store.
            Some(WITNESS) => witness = true,
            Some(HOLDER | IGNORE | SUCCESSOR | "blobs") => {}
            Some(name) if [".sock", ".lock"].iter().any(|end| name.ends_with(end)) => {}
            Some(name) if ["snap.", ASIDE].iter().any(|begin| name.starts_with(begin)) => {}
            _ => foreign = true,
        }
    }
    Ok(match (db, foreign) {
        (true, _) if db_bytes > 0 && !conf && !witness => Look::Foreign,
        (true, _) => Look::Store,
        (false, _) if conf && witness => Look::Gutted,
        (false, false) => Look::Empty,
        (false, true) => Look::Foreign,
    })
}

/// Makes the folders of `path` that are missing; gives those whose list of names changed, for syncing.
pub(crate) fn make(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::Io { action: "make", path: path.to_owned(), source };
    let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
    // What is in a store is for those who may run its owner's programs, and nobody else.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let parent = |folder: &Path| match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => folder.to_owned(),
    };
    Ok(path.ancestors().take(missing).map(parent).collect())
}

/// The pid that the holder of `path` left, if it did.
pub(crate) fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path.join(HOLDER)).ok()?.trim().parse().ok()
}

impl Folder {
    /// Takes the folder for this process, at once or not at all.
    pub(crate) fn take(path: &Path) -> Result<Self, TakeError> {
        let at = path.join(LOCK);
        let io = |action, path: PathBuf| move |source| TakeError::Io(StoreError::Io { action, path, source });
        // Made for writing because a network file system may lock nothing else.
        let options = File::options().write(true).create(true).truncate(false).clone();
        let lock = options.open(&at).map_err(io("open", at.clone()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TakeError::Locked),
            Err(TryLockError::Error(source)) => return Err(io("lock", at)(source)),
        }
        failpoint("open-locked");
        Ok(Self { path: path.to_owned(), witness: None, lock: Some(lock) })
    }

    /// Leaves the name of this process, which has opened the store, for others to read.
    pub(crate) fn sign(&self) -> Result<(), StoreError> {
        let write = |name: &str, content: &str| {
            let path = self.path.join(name);
            fs::write(&path, content).map_err(|source| StoreError::Io { action: "write", path, source })
        };
        write(HOLDER, &format!("{}\n", std::process::id()))?;
        if !self.path.join(IGNORE).exists() {
            write(IGNORE, "*\n")?;
        }
        Ok(())
    }

    /// The newest commit that was acknowledged, as far as it is known.
    pub(crate) fn witness(&self) -> Option<Witness> {
        fs::read(self.path.join(WITNESS)).ok().and_then(|bytes| decode_witness(&bytes))
    }

    /// Notes the newest commit that was acknowledged, not synced. A witness that cannot be written is no reason to refuse a
    /// commit that is durable, so there is no error.
    pub(crate) fn note(&mut self, witness: &Witness) {
        if self.witness.is_none() {
            let options = File::options().write(true).create(true).truncate(false).clone();
            self.witness = options.open(self.path.join(WITNESS)).ok();
        }
        if let Some(file) = &self.witness
            && let Err(error) = file.write_all_at(&encode_witness(witness), 0)
        {
            tracing::warn!(%error, "the witness of the newest commit cannot be written");
            self.witness = None;
        }
    }

    /// Makes the witness durable.
    pub(crate) fn sync(&mut self) {
        if let Some(file) = &self.witness
            && let Err(error) = file.sync_data()
        {
            tracing::warn!(%error, "the witness of the newest commit cannot be synced");
        }
    }

    /// Makes the witness durable and takes our name off.
    pub(crate) fn leave(&mut self) {
        self.sync();
        self.witness = None;
        if let Some(lock) = self.lock.take() {
            let _ = fs::remove_file(self.path.join(HOLDER));
            drop(lock);
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.leave();
    }
}
