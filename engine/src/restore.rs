//! Restore: a store made of a backup, in the place of one that is damaged too, which is kept aside.
//!
//! A restored store goes on under the same id in a new epoch, and its revision jumps, so that no cache and no resume token
//! can take it for the one it was made from. The state at the jump is its oldest.
//!
//! A backup has no reminders: they speak of the world around one store. Where the new store takes the place of another, that world
//! is still there, so those that the caller names come over from the old one.
//!
//! Never here: reading a backup (`backup.rs`), or which file takes the place of which (`store/replace.rs`).

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use crate::backup::{Content, read};
use crate::codec::BackupHeader;
use crate::error::StoreError;
use crate::limits::RESTORE_REVISION_JUMP;
use crate::planted::planted;
use crate::reminders::Reminder;
use crate::revision::Revision;
use crate::snapshot::Head;
use crate::store::Identity;
use crate::store::embedded::SledStore;
use crate::store::opening::{Seed, SledOptions, StoreOpenError};
use crate::store::replace::Replaced;

/// What is done with a store that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing<'a> {
    /// The restore is refused.
    Refuse,
    /// The new store takes its place; its files are kept in a folder `aside-N` within the store's.
    KeepAside {
        /// The new store takes those of its reminders over whose key begins with this.
        reminders: &'a str,
    },
}

/// What became of the reminders of a store that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inherited {
    /// There was no store.
    Nothing,
    /// That many are in the new store.
    Reminders(usize),
    /// The old store cannot be read, so that nobody knows which it had.
    Unknown {
        /// Why, in one line.
        reason: String,
    },
}

/// What a restore made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The store that it is now.
    pub identity: Identity,
    /// Where it begins.
    pub head: Head,
    /// Keys in it.
    pub keys: u64,
    /// The folder with the files of the store that was there before.
    pub kept_aside: Option<PathBuf>,
    /// What it has of that store's reminders.
    pub inherited: Inherited,
}

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It cannot be read.
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
    /// It is no backup.
    #[error("this is no backup of a store")]
    NotABackup,
    /// It was written by a later version.
    #[error("the backup has format {found}, this program reads up to {supported}: use a newer `reconcile`")]
    FutureFormat {
        /// Its format.
        found: u32,
        /// The newest format that this program reads.
        supported: u32,
    },
    /// It is not what was written.
    #[error("the backup is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// There is a store in the folder already.
    #[error("there is a store in `{}` already: restore into an empty folder", path.display())]
    Occupied {
        /// The folder.
        path: std::path::PathBuf,
    },
    /// The new store cannot be made.
    #[error("the store cannot be made")]
    Open(#[source] StoreOpenError),
    /// The new store cannot be written.
    #[error("the store cannot be written")]
    Storage(#[source] StoreError),
}

/// Makes a store of a backup in the folder `path`, which holds none yet: [`restore_with`] that refuses and tells nobody. Gives
/// the new identity and head.
///
/// # Errors
/// If the backup is not whole, or the store cannot be made.
pub fn restore(input: &mut dyn BufRead, path: &Path, options: SledOptions) -> Result<(Identity, Head), RestoreError> {
    let restored = restore_with(input, path, options, Existing::Refuse, &mut |_, _| {})?;
    Ok((restored.identity, restored.head))
}

/// Makes a store of a backup in the folder `path`. It has the id of the store that the backup was made of, an epoch after both
/// that one's and that of the store it replaces, and a head far beyond theirs. Nothing is written before the whole backup was
/// checked; killed at any instant, the folder has the store that it had or the new one. `progress` is told how many keys of
/// how many are written.
///
/// # Errors
/// If the backup is not whole, or the store cannot be made.
pub fn restore_with(
    input: &mut dyn BufRead,
    path: &Path,
    options: SledOptions,
    existing: Existing<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let Content { header, entries, sealed, requests, .. } = read(input)?;
    let BackupHeader { identity, head } = header;
    let keys = entries.len() as u64;
    let seed = |epoch: u64, newest: Revision, reminders: Vec<Reminder>| {
        let older =
            if planted("restore-forgets-the-store-before") { identity.epoch } else { identity.epoch.max(epoch) };
        let identity = Identity { epoch: older.saturating_add(1), ..identity };
        let newest = head.revision.max(newest).get();
        let head = Head { revision: Revision::new(newest.saturating_add(RESTORE_REVISION_JUMP)), ..head };
        Seed { identity, head, entries, requests, sealed, reminders }
    };
    match SledStore::replace(path, options, existing, seed, progress) {
        Ok(Replaced { identity, head, kept_aside, inherited }) => {
            Ok(Restored { identity, head, keys, kept_aside, inherited })
        }
        Err(StoreOpenError::Occupied { path }) => Err(RestoreError::Occupied { path }),
        Err(StoreOpenError::Storage(error)) => Err(RestoreError::Storage(error)),
        Err(error) => Err(RestoreError::Open(error)),
    }
}
