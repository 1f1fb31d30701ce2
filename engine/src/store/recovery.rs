//! Reading an embedded store back: its head, its sealed bytes, and whether it is all that was acknowledged.
//!
//! Never here: the state itself (`base.rs`), or mending.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::codec::Witness;
use crate::digest::Digest;
use crate::error::{Damage, StoreError};
use crate::planted::planted;
use crate::snapshot::Head;
use crate::store::embedded::SledStore;
use crate::store::layout;
use crate::store::records::{Join, damage};

impl SledStore {
    pub(super) fn find_head(&mut self) -> Result<Head, StoreError> {
        let (from, to) = layout::groups();
        let Some((key, _)) = self.disk.last(&from, &to)? else { return Ok(self.meta.compacted) };
        let first = layout::group_of(&key).ok_or_else(|| Damage::new("a record lies under a key that is none"))?;
        let group = self.group(first)?;
        let last = group.last().ok_or_else(|| Damage::new("a group has no commits").at(first))?;
        Ok(last.head().max_of(self.meta.compacted))
    }

    pub(super) fn check_witness(&self, head: Head) -> Result<(), Damage> {
        if planted("ignore-the-witness") {
            return Ok(());
        }
        let Some(Witness { epoch, revision, id }) = self.folder.witness() else { return Ok(()) };
        if epoch != self.meta.identity.epoch {
            return Ok(());
        }
        if revision > head.revision {
            let what = format!("{revision} was acknowledged, but the store ends at {}", head.revision);
            return Err(Damage::new(what).at(revision));
        }
        if revision == head.revision && id != head.id {
            return Err(Damage::new("the newest commit is not the one that was acknowledged").at(revision));
        }
        Ok(())
    }

    pub(super) fn load_sealed(&mut self) -> Result<BTreeMap<Digest, Arc<[u8]>>, StoreError> {
        let (from, to) = layout::all_sealed();
        let mut joins: BTreeMap<Digest, Join> = BTreeMap::new();
        let mut problem = None;
        self.disk.scan(&from, &to, &mut |key, piece| {
            let Some(digest) = layout::digest_of(key) else { return ControlFlow::Continue(()) };
            match joins.entry(digest).or_default().add(&layout::sealed(&digest), key, piece) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    problem = Some(damage(&format!("sealed bytes {digest}"), &error));
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(problem) = problem {
            return Err(problem.into());
        }
        let mut sealed = BTreeMap::new();
        for (digest, join) in joins {
            self.sealed.insert(digest, join.parts);
            let bytes = join.finish().map_err(|error| damage(&format!("sealed bytes {digest}"), &error))?;
            if Digest::of(&bytes) != digest {
                return Err(Damage::new(format!("sealed bytes {digest} are not what their digest says")).into());
            }
            sealed.insert(digest, bytes.into());
        }
        Ok(sealed)
    }
}
