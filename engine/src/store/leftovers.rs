//! Deleting what nothing names any more, in slices: groups below the compacted revision, bases that were replaced or given up.
//!
//! Never here: deciding that something is given up (`embedded.rs` does, and writes it into meta before anything is deleted).

use crate::error::StoreError;
use crate::failpoint::failpoint;
use crate::planted::planted;
use crate::revision::Revision;
use crate::store::embedded::SledStore;
use crate::store::sled::Changes;
use crate::store::{Progress, base, layout};

impl SledStore {
    /// Gives up all bases but the one at the compacted revision, below which there are no commits to build it from again; says
    /// how many there were.
    pub(crate) fn drop_bases(&mut self) -> Result<usize, StoreError> {
        let floor = self.meta.compacted.revision;
        let mut meta = self.meta.clone();
        meta.bases.retain(|base| base.head.revision == floor);
        let dropped = self.meta.bases.len() - meta.bases.len();
        if dropped > 0 {
            failpoint("repair-before-drop");
            self.put_meta(meta.clone())?;
            failpoint("repair-dropped");
        }
        // Pieces that meta does not name may be damaged too.
        for base in base::stored(&mut self.disk)? {
            while !meta.bases.iter().any(|kept| kept.head.revision == base) {
                let mut changes = Changes::default();
                let done = base::delete(&mut self.disk, base, &mut changes)?;
                self.disk.apply(changes)?;
                failpoint("repair-deleted-slice");
                if done {
                    break;
                }
            }
        }
        self.disk.sync()?;
        failpoint("repair-durable");
        Ok(dropped)
    }

    /// Deletes some of the groups that lie below the compacted revision as a whole; says whether none is left. The newest
    /// group is never deleted.
    fn prune(&mut self) -> Result<bool, StoreError> {
        let kept = self.meta.compacted.revision.next();
        let (from, end) = (layout::groups().0, layout::parts(&layout::group(kept)).1);
        let last = self.disk.last(&from, &end)?.and_then(|(key, _)| layout::group_of(&key));
        let last = if planted("compaction-takes-one-more") { last.map(Revision::next) } else { last };
        let Some(boundary) = last else { return Ok(true) };
        let mut changes = Changes::default();
        let done = base::delete_range(&mut self.disk, &from, &layout::group(boundary), &mut changes)?;
        self.deleted_pieces = self.deleted_pieces.saturating_add(changes.removals);
        self.disk.apply(changes)?;
        Ok(done)
    }

    /// Deletes some of what nothing names any more.
    pub(super) fn delete_slice(&mut self) -> Result<Progress, StoreError> {
        if self.pruning {
            failpoint("prune-before-slice");
            self.pruning = !self.prune()?;
            failpoint("prune-after-slice");
            return Ok(Progress::More);
        }
        let Some(base) = self.garbage.front().copied() else { return Ok(Progress::Idle) };
        let mut changes = Changes::default();
        failpoint("garbage-before-slice");
        let done = base::delete(&mut self.disk, base, &mut changes)?;
        self.deleted_pieces = self.deleted_pieces.saturating_add(changes.removals);
        self.disk.apply(changes)?;
        failpoint("garbage-after-slice");
        if done {
            self.garbage.pop_front();
        }
        Ok(Progress::More)
    }
}
