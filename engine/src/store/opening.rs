//! Opening and making an embedded store: what may go wrong, and in which order things become durable.
//!
//! Never here: what is in the store (`recovery.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbl::OrdMap;
use uuid::Uuid;

use crate::codec::{self, DecodeError, Meta, Witness};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::failpoint::failpoint;
use crate::key::Key;
use crate::limits::{BASE_LAG_BYTES_MIN, COMPACT_SLICE_BYTES, RECLAIM_BYTES_MIN, RECLAIM_SLICE_BYTES};
use crate::reminders::Reminder;
use crate::revision::Revision;
use crate::snapshot::Head;
use crate::store::base::BaseWriter;
use crate::store::embedded::SledStore;
use crate::store::folder::{self, Folder, Look, TakeError};
use crate::store::records::{put_piece, put_record, read_piece};
use crate::store::sled::{Changes, Disk, DiskOpenError, successor};
use crate::store::sync::{DiskSyncer, Syncer};
use crate::store::{Identity, Request, layout, replace};

/// How a [`SledStore`] is opened.
pub struct SledOptions {
    /// Makes writes durable; a test may count them.
    pub syncer: Box<dyn Syncer>,
    /// Whether a store is made where there is none.
    pub create: bool,
    /// A new base is begun when the commits after the last one have at least this many bytes; see `docs/format.md`.
    pub base_lag_bytes_min: u64,
    /// The file is written anew after a compaction when it weighs this much more than twice what is in it.
    pub reclaim_bytes_min: u64,
    /// About as many bytes of the file are written anew between two groups of commits.
    pub reclaim_slice_bytes: usize,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            syncer: Box::new(DiskSyncer),
            create: true,
            base_lag_bytes_min: BASE_LAG_BYTES_MIN,
            reclaim_bytes_min: RECLAIM_BYTES_MIN,
            reclaim_slice_bytes: RECLAIM_SLICE_BYTES,
        }
    }
}

impl std::fmt::Debug for SledOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledOptions").field("create", &self.create).finish_non_exhaustive()
    }
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreOpenError {
    /// Another process holds the store.
    #[error("the store `{}` is held by {}", path.display(), holder_pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// The process that holds it, if it left its name.
        holder_pid: Option<u32>,
    },
    /// There is no store, and none was to be made.
    #[error("there is no store in `{}`", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// There is a store where a new one was to be made.
    #[error("there is a store in `{}` already", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("`{}` is not a store: it holds other files; name an empty folder or a store", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// The store was written by a later version.
    #[error(
        "the store `{}` has format {found}, this program reads up to {supported}: run a newer `reconcile`, or `reconcile export` with the version that wrote it and `reconcile import` with this one",
        path.display()
    )]
    FutureFormat {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this program reads.
        supported: u32,
    },
    /// The store cannot be made sense of.
    #[error(
        "the store `{}` is damaged ({reason}): run `reconcile verify` to see what is, `reconcile restore` to go back to a backup",
        path.display()
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The operating system reported an error.
    #[error("the store cannot be opened")]
    Storage(#[from] StoreError),
}

/// What a new store begins with.
pub(crate) struct Seed {
    pub(crate) identity: Identity,
    pub(crate) head: Head,
    pub(crate) entries: OrdMap<Key, Entry>,
    pub(crate) requests: Vec<Request>,
    pub(crate) sealed: Vec<(Digest, Arc<[u8]>)>,
    pub(crate) reminders: Vec<Reminder>,
}

impl SledStore {
    /// Opens the store in the folder `path`, or makes one there if the folder is missing or empty.
    ///
    /// # Errors
    /// [`StoreOpenError::Locked`] at once if another process holds it; the other variants as they say. It never panics, also
    /// not on a damaged folder.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, StoreOpenError> {
        let SledOptions { syncer, create, base_lag_bytes_min, reclaim_bytes_min, reclaim_slice_bytes } = options;
        match folder::look(path)? {
            Look::Foreign => return Err(StoreOpenError::NotAStore { path: path.to_owned() }),
            Look::Gutted => {
                let reason = "its file `db` is gone".to_owned();
                return Err(StoreOpenError::Damaged { path: path.to_owned(), reason });
            }
            Look::Empty if !create => return Err(StoreOpenError::Absent { path: path.to_owned() }),
            Look::Empty | Look::Store => {}
        }
        let made = folder::make(path)?;
        let damaged = |reason: String| StoreOpenError::Damaged { path: path.to_owned(), reason };
        let locked = || StoreOpenError::Locked { path: path.to_owned(), holder_pid: folder::holder(path) };
        let mut folder = Folder::take(path).map_err(|error| match error {
            TakeError::Locked => locked(),
            TakeError::Io(error) => error.into(),
        })?;
        successor::remove_residue(path)?;
        replace::remove_unfinished(path)?;
        let mut disk = Disk::open(path, syncer).map_err(|error| match error {
            DiskOpenError::Locked => locked(),
            DiskOpenError::Io(error) => error.into(),
            DiskOpenError::Damaged(reason) => damaged(reason),
        })?;
        folder.sign()?;

        let meta = match read_piece(&mut disk, layout::META, "the meta record") {
            Ok(Some(body)) => codec::decode_meta(&body).map_err(|error| match error {
                DecodeError::Future(found) => {
                    StoreOpenError::FutureFormat { path: path.to_owned(), found, supported: codec::FORMAT }
                }
                error => damaged(error.to_string()),
            })?,
            Ok(None) => {
                if disk.has_foreign_trees()? {
                    return Err(StoreOpenError::NotAStore { path: path.to_owned() });
                }
                let (from, to) = (vec![0], vec![u8::MAX]);
                if disk.last(&from, &to)?.is_some() || folder.witness().is_some() {
                    return Err(damaged("the meta record is missing".to_owned()));
                }
                let identity = Identity { store: Uuid::new_v4(), epoch: 1 };
                let meta = Meta { identity, compacted: Head::default(), bases: Vec::new() };
                let mut changes = Changes::default();
                put_piece(&mut changes, layout::META, &codec::encode_meta(&meta));
                disk.apply(changes)?;
                failpoint("made-meta-written");
                disk.sync()?;
                failpoint("made-meta-synced");
                disk.sync_settings()?;
                failpoint("made-settings-synced");
                // From now on a store without its meta record is known to have had one.
                folder.note(&Witness { epoch: identity.epoch, revision: Revision::ZERO, id: Digest::ZERO });
                folder.sync();
                meta
            }
            Err(StoreError::Damaged(damage)) => return Err(damaged(damage.to_string())),
            Err(error) => return Err(error.into()),
        };
        // Before anything is shown to anybody, what was read must be on the disk, and be found there by its name.
        disk.sync()?;
        for folder in made {
            disk.sync_folder(&folder)?;
        }
        disk.sync_folder(path)?;
        failpoint("open-durable");
        let head = meta.compacted;
        Ok(Self {
            disk,
            folder,
            meta,
            head,
            sealed: BTreeMap::new(),
            log_bytes: 0,
            fresh_bytes: 0,
            weighed: Revision::ZERO,
            writing: None,
            floor_writer: None,
            pruning: false,
            garbage: VecDeque::new(),
            cached: None,
            deleted_pieces: u64::MAX,
            reclaiming: None,
            reminders: None,
            base_lag_bytes_min,
            reclaim_bytes_min,
            reclaim_slice_bytes,
        })
    }

    /// Makes a store that begins with a state instead of nothing, in a folder where nobody looks for one yet.
    pub(crate) fn seed(
        path: &Path,
        options: SledOptions,
        seed: Seed,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), StoreOpenError> {
        let Seed { identity, head, entries, requests, sealed, reminders } = seed;
        let mut store = Self::open(path, SledOptions { create: true, ..options })?;
        // Until the last step the new store is empty, under an id of its own, and marked as one that had more.
        let Head { revision, id, time: _ } = head;
        store.folder.note(&Witness { epoch: store.meta.identity.epoch, revision, id });
        store.folder.sync();
        failpoint("seed-marked");
        for page in sealed.chunks(64) {
            let mut changes = Changes::default();
            for (digest, bytes) in page {
                put_record(&mut changes, &layout::sealed(digest), bytes);
            }
            store.disk.apply(changes)?;
            failpoint("seed-sealed");
        }
        for page in reminders.chunks(64) {
            let mut changes = Changes::default();
            for Reminder { key, bytes } in page {
                put_piece(&mut changes, &layout::reminder(key), bytes);
            }
            store.disk.apply(changes)?;
            failpoint("seed-reminders");
        }
        let total = entries.len() as u64;
        let mut writer = BaseWriter::begin(head, entries, &requests);
        let mark = loop {
            let mut changes = Changes::default();
            let done = writer.slice(&mut changes, COMPACT_SLICE_BYTES);
            store.disk.apply(changes)?;
            failpoint("seed-slice");
            progress(writer.entries(), total);
            if let Some(mark) = done {
                break mark;
            }
        };
        store.put_meta(Meta { identity, compacted: head, bases: vec![mark] })?;
        failpoint("seed-in-force");
        store.folder.note(&Witness { epoch: identity.epoch, revision, id });
        store.disk.close();
        store.folder.leave();
        failpoint("seed-closed");
        Ok(())
    }
}
