//! SledStore: the durable store of one process, on sled.
//!
//! A group of commits is one record, and only that is synced with it. The state trails in bases (`base.rs`), so that opening
//! reads a bounded part of the log. `docs/format.md` draws what is written.
//!
//! Never here: bytes (`codec.rs`), sled itself (`sled.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use imbl::OrdMap;

use crate::codec::{self, BaseMark, Meta, Witness};
use crate::commit::Commit;
use crate::digest::Digest;
use crate::entry::Entry;
use crate::error::{Damage, StoreError};
use crate::failpoint::failpoint;
use crate::key::Key;
use crate::limits::{COMPACT_SLICE_BYTES, SLICE_BYTES};
use crate::notes::{Note, slot};
use crate::planted::planted;
use crate::reminders::Reminder;
use crate::revision::Revision;
use crate::snapshot::Head;
use crate::store::base::{self, BaseWriter};
use crate::store::folder::Folder;
use crate::store::reclaim::Reclaiming;
use crate::store::records::{damage, put_piece, put_record, read_record, remove_record};
use crate::store::sled::{Changes, Disk};
use crate::store::{
    Append, AppendError, CheckCursor, CheckPage, CompactTarget, Progress, Recovered, ReminderWeight, Store,
    StoreStatus, Trail, check, layout,
};

/// A durable store in a folder, held by this process alone.
pub struct SledStore {
    pub(super) disk: Disk,
    pub(super) folder: Folder,
    pub(super) meta: Meta,
    pub(super) head: Head,
    /// How many parts the record of each digest has.
    pub(super) sealed: BTreeMap<Digest, u32>,
    /// Bytes of commits after the newest base.
    pub(super) log_bytes: u64,
    /// Bytes appended since the last slice of trailing work.
    pub(super) fresh_bytes: usize,
    /// The last revision that `log_bytes` counts.
    pub(super) weighed: Revision,
    pub(super) writing: Option<BaseWriter>,
    /// The base of a compaction that is under way.
    pub(super) floor_writer: Option<BaseWriter>,
    /// Whether groups below the compacted revision are left.
    pub(super) pruning: bool,
    /// Bases that meta does not name and of which pieces are left.
    pub(super) garbage: VecDeque<Revision>,
    /// The group that was read last.
    pub(super) cached: Option<Arc<[Arc<Commit>]>>,
    /// Pieces that were deleted since the store was weighed; at the beginning nobody knows, so the most there can be.
    pub(super) deleted_pieces: u64,
    /// Where giving space back has come to.
    pub(super) reclaiming: Option<Reclaiming>,
    /// How much the reminders weigh, once that was counted.
    pub(super) reminders: Option<ReminderWeight>,
    pub(super) base_lag_bytes_min: u64,
    pub(super) reclaim_bytes_min: u64,
    pub(super) reclaim_slice_bytes: usize,
}

impl SledStore {
    pub(super) fn newest_base(&self) -> Option<&BaseMark> {
        self.meta.bases.iter().max_by_key(|base| base.head.revision)
    }

    /// The group that holds `revision`.
    pub(super) fn group(&mut self, revision: Revision) -> Result<Arc<[Arc<Commit>]>, StoreError> {
        let holds = |group: &[Arc<Commit>]| {
            group.first().is_some_and(|first| first.revision <= revision)
                && group.last().is_some_and(|last| last.revision >= revision)
        };
        if let Some(cached) = &self.cached
            && holds(cached)
        {
            return Ok(Arc::clone(cached));
        }
        let missing = StoreError::Missing { revision };
        let (from, to) = (layout::groups().0, layout::parts(&layout::group(revision)).1);
        let Some((key, _)) = self.disk.last(&from, &to)? else { return Err(missing) };
        let Some(first) = layout::group_of(&key) else { return Err(missing) };
        let what = format!("the commits from {first} on");
        let Some(body) =
            read_record(&mut self.disk, &layout::group(first), &what).map_err(|error| at(error, revision))?
        else {
            return Err(missing);
        };
        let group = codec::decode_group(&body).map_err(|error| damage(&what, &error).at(revision))?;
        if group.first().map(|commit| commit.revision) != Some(first) || !group.is_sorted_by_key(|c| c.revision) {
            return Err(Damage::new("a group lies under the key of another").at(first).into());
        }
        if first > self.weighed {
            self.weighed = first;
            self.log_bytes += body.len() as u64;
        }
        let group: Arc<[Arc<Commit>]> = group.into();
        self.cached = Some(Arc::clone(&group));
        if holds(&group) { Ok(group) } else { Err(missing) }
    }

    pub(super) fn put_meta(&mut self, meta: Meta) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        put_piece(&mut changes, layout::META, &codec::encode_meta(&meta));
        // What meta names must be durable before meta is, and meta before anything is deleted for its sake.
        failpoint("meta-before-sync");
        self.disk.sync()?;
        failpoint("meta-before-write");
        self.disk.apply(changes)?;
        failpoint("meta-written");
        self.disk.sync()?;
        failpoint("meta-durable");
        self.meta = meta;
        Ok(())
    }

    /// Names a finished base in meta and gives up those that it replaces.
    fn finish_base(&mut self, mark: BaseMark) -> Result<(), StoreError> {
        let floor = self.meta.compacted.revision;
        if mark.head.revision <= floor {
            // A compaction was faster; at its own revision it has written the same base.
            if mark.head.revision < floor {
                self.garbage.push_back(mark.head.revision);
            }
            return Ok(());
        }
        let (kept, dropped) = self.meta.bases.iter().partition::<Vec<BaseMark>, _>(|base| base.head.revision == floor);
        let mut meta = self.meta.clone();
        meta.bases = kept;
        meta.bases.push(mark);
        self.put_meta(meta)?;
        self.garbage.extend(dropped.iter().map(|base| base.head.revision));
        Ok(())
    }

    /// Names the base of a compaction in meta, as the oldest state.
    fn finish_compaction(&mut self, mark: BaseMark) -> Result<(), StoreError> {
        let mut meta = self.meta.clone();
        let revision = mark.head.revision;
        let (newer, dropped) = meta.bases.iter().partition::<Vec<BaseMark>, _>(|base| base.head.revision > revision);
        meta.compacted = mark.head;
        meta.bases = newer;
        meta.bases.push(mark);
        self.put_meta(meta)?;
        let keep = |base: &Revision| *base != revision || planted("compaction-drops-its-own-base");
        let dropped = dropped.iter().map(|base| base.head.revision).filter(keep);
        self.garbage.extend(dropped);
        self.pruning = true;
        self.cached = None;
        Ok(())
    }

    fn is_base_due(&self) -> bool {
        let base = self.newest_base().map_or(0, |base| base.bytes);
        self.log_bytes >= base.max(self.base_lag_bytes_min)
    }
}

impl Store for SledStore {
    fn recover(&mut self) -> Result<Recovered, StoreError> {
        let named: Vec<_> = self.meta.bases.iter().map(|base| base.head.revision).collect();
        self.garbage = base::stored(&mut self.disk)?.into_iter().filter(|base| !named.contains(base)).collect();
        let base = self.newest_base().copied();
        self.weighed = base.map_or(Revision::ZERO, |base| base.head.revision);
        self.head = self.find_head()?;
        self.log_bytes = 0;
        self.weighed = base.map_or(Revision::ZERO, |base| base.head.revision);
        self.cached = None;
        self.check_witness(self.head)?;
        let (entries, requests) = match &base {
            Some(base) => base::load(&mut self.disk, base)?,
            None if self.meta.compacted.revision == Revision::ZERO => (OrdMap::new(), Vec::new()),
            None => return Err(Damage::new("the state at the compacted revision is missing").into()),
        };
        let sealed = self.load_sealed()?;
        self.pruning = self.meta.compacted.revision > Revision::ZERO;
        Ok(Recovered {
            identity: self.meta.identity,
            compacted: self.meta.compacted,
            base: base.map_or_else(Head::default, |base| base.head),
            entries,
            requests,
            head: self.head,
            sealed,
        })
    }

    fn append(&mut self, group: Append<'_>) -> Result<(), AppendError> {
        let Append { expected, commits, sealed, dropped } = group;
        if expected != self.head {
            return Err(AppendError::HeadMoved { head: self.head });
        }
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else { return Ok(()) };
        let body = codec::encode_group(commits);
        let mut changes = Changes::default();
        put_record(&mut changes, &layout::group(first.revision), &body);
        for (digest, bytes) in sealed {
            let parts = put_record(&mut changes, &layout::sealed(digest), bytes);
            self.sealed.insert(*digest, parts);
        }
        for digest in dropped {
            if let Some(parts) = self.sealed.remove(digest) {
                remove_record(&mut changes, &layout::sealed(digest), parts);
            }
        }
        failpoint("append-before-write");
        self.disk.apply(changes)?;
        failpoint("append-written");
        self.disk.sync()?;
        failpoint("append-durable");
        self.head = last.head();
        self.weighed = self.head.revision;
        self.log_bytes += body.len() as u64;
        self.fresh_bytes += body.len();
        let Head { revision, id, time: _ } = self.head;
        self.folder.note(&Witness { epoch: self.meta.identity.epoch, revision, id });
        failpoint("append-witnessed");
        Ok(())
    }

    fn head(&mut self) -> Result<Head, StoreError> {
        Ok(self.head)
    }

    fn commits(&mut self, from: Revision, through: Revision, bytes_max: usize) -> Result<Vec<Arc<Commit>>, StoreError> {
        let mut page = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while next <= through {
            let group = self.group(next)?;
            for commit in group.iter().filter(|commit| (next..=through).contains(&commit.revision)) {
                bytes += commit.bytes();
                if bytes > bytes_max && !page.is_empty() {
                    return Ok(page);
                }
                page.push(Arc::clone(commit));
            }
            next = group.last().map_or(next, |last| last.revision).next();
        }
        Ok(page)
    }

    fn version(&mut self, key: &Key, modified: Revision) -> Result<Entry, StoreError> {
        if modified <= self.meta.compacted.revision {
            return base::find(&mut self.disk, self.meta.compacted.revision, key)?
                .filter(|entry| entry.modified() == modified)
                .ok_or_else(|| Damage::new("a version is missing").at(modified).of(key).into());
        }
        let group = self.group(modified)?;
        let found = group.iter().find(|commit| commit.revision == modified).and_then(|commit| commit.entry(key));
        found
            .ok_or_else(|| Damage::new("a commit does not have the version that it should").at(modified).of(key).into())
    }

    fn sealed(&mut self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        let body = read_record(&mut self.disk, &layout::sealed(digest), "sealed bytes")?;
        Ok(body.map(Arc::from))
    }

    fn write_note(&mut self, note: &Note) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        let payload = [note.number.to_be_bytes().as_slice(), &note.bytes].concat();
        put_piece(&mut changes, &layout::note(slot(note.number)), &payload);
        self.disk.apply(changes)?;
        self.disk.sync()
    }

    fn notes(&mut self) -> Result<Vec<Note>, StoreError> {
        let (from, to) = layout::notes();
        let mut notes = Vec::new();
        self.disk.scan(&from, &to, &mut |key, piece| {
            if let Ok(Some((number, bytes))) = codec::open_piece(key, piece).map(<[u8]>::split_first_chunk) {
                notes.push(Note { number: u64::from_be_bytes(*number), bytes: bytes.to_vec() });
            }
            ControlFlow::Continue(())
        })?;
        Ok(notes)
    }

    fn write_reminder(&mut self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        self.put_reminder(key, bytes)
    }

    fn remove_reminder(&mut self, key: &Key) -> Result<(), StoreError> {
        self.drop_reminder(key)
    }

    fn reminders(&mut self) -> Result<Vec<Reminder>, StoreError> {
        self.read_reminders()
    }

    fn reminder_weight(&mut self) -> Result<ReminderWeight, StoreError> {
        self.weigh_reminders()
    }

    fn trail(&mut self, trail: &Trail<'_>) -> Result<Progress, StoreError> {
        let budget = SLICE_BYTES.max(2 * std::mem::take(&mut self.fresh_bytes));
        if self.delete_slice()? == Progress::More {
            return Ok(Progress::More);
        }
        let mut changes = Changes::default();
        if self.writing.is_none() {
            if !self.is_base_due() {
                return Ok(Progress::Idle);
            }
            self.writing = Some(BaseWriter::begin(trail.head, trail.entries.clone(), &trail.requests.list()));
            self.log_bytes = 0;
        }
        let Some(writer) = &mut self.writing else { return Ok(Progress::Idle) };
        let done = writer.slice(&mut changes, budget);
        failpoint("base-before-slice");
        self.disk.apply(changes)?;
        failpoint("base-after-slice");
        if let Some(mark) = done {
            self.writing = None;
            self.finish_base(mark)?;
            failpoint("base-in-force");
        }
        Ok(Progress::More)
    }

    fn floor(&mut self) -> Result<OrdMap<Key, Entry>, StoreError> {
        let floor = self.meta.compacted;
        if floor.revision == Revision::ZERO {
            return Ok(OrdMap::new());
        }
        let base = self.meta.bases.iter().find(|base| base.head.revision == floor.revision).copied();
        let missing = || Damage::new("the state at the compacted revision is missing").at(floor.revision);
        base::load(&mut self.disk, &base.ok_or_else(missing)?).map(|(entries, _)| entries)
    }

    fn compact(&mut self, target: &CompactTarget) -> Result<Progress, StoreError> {
        let CompactTarget { head, entries, requests } = target;
        let revision = head.revision;
        if revision <= self.meta.compacted.revision {
            return Ok(Progress::Idle);
        }
        if let Some(base) = self.meta.bases.iter().find(|base| base.head.revision == revision).copied() {
            self.finish_compaction(base)?;
            return Ok(Progress::Idle);
        }
        let mut changes = Changes::default();
        if self.garbage.contains(&revision) {
            // Pieces of an older attempt must not mix with the new base.
            let done = base::delete(&mut self.disk, revision, &mut changes)?;
            self.disk.apply(changes)?;
            if done {
                self.garbage.retain(|base| *base != revision);
            }
            return Ok(Progress::More);
        }
        if self.floor_writer.as_ref().is_none_or(|writer| writer.revision() != revision) {
            let abandoned = self.floor_writer.replace(BaseWriter::begin(*head, entries.clone(), requests));
            self.garbage.extend(abandoned.map(|writer| writer.revision()));
        }
        let Some(writer) = &mut self.floor_writer else { return Ok(Progress::Idle) };
        let done = writer.slice(&mut changes, COMPACT_SLICE_BYTES);
        failpoint("compact-before-slice");
        self.disk.apply(changes)?;
        failpoint("compact-after-slice");
        let Some(mark) = done else { return Ok(Progress::More) };
        self.floor_writer = None;
        self.finish_compaction(mark)?;
        failpoint("compact-in-force");
        Ok(Progress::Idle)
    }

    fn reclaim(&mut self) -> Result<Progress, StoreError> {
        self.reclaim_slice()
    }

    fn check(&mut self, from: CheckCursor) -> Result<CheckPage, StoreError> {
        check::page(&mut self.disk, &self.meta, from)
    }

    fn status(&self) -> StoreStatus {
        let trailed = self.newest_base().map_or(Revision::ZERO, |base| base.head.revision);
        StoreStatus {
            durability: "fdatasync",
            trailed,
            compacted: self.meta.compacted,
            disk_bytes: self.disk.disk_bytes(),
        }
    }

    fn close(&mut self, _state: &Trail<'_>) -> Result<(), StoreError> {
        failpoint("close-before-sync");
        self.disk.sync()?;
        failpoint("close-synced");
        self.disk.close();
        failpoint("close-closed");
        self.folder.leave();
        failpoint("close-left");
        Ok(())
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("head", &self.head.revision).finish_non_exhaustive()
    }
}

fn at(error: StoreError, revision: Revision) -> StoreError {
    match error {
        StoreError::Damaged(damage) => damage.at(revision).into(),
        error => error,
    }
}
