//! Giving space back: whether the file of an embedded store is worth writing anew, and the slices in which that is done.
//!
//! Never here: how one file takes the place of another (`sled/successor.rs`).

use std::ops::ControlFlow;

use crate::error::StoreError;
use crate::limits::CHUNK_BYTES_MAX;
use crate::store::Progress;
use crate::store::embedded::SledStore;

/// Where giving space back has come to.
pub(crate) enum Reclaiming {
    /// Adds up what is stored, from this key on.
    Weighing { from: Vec<u8>, bytes: u64 },
    /// Fills a successor.
    Copying,
}

impl SledStore {
    pub(super) fn reclaim_slice(&mut self) -> Result<Progress, StoreError> {
        // What is to be deleted must not be copied.
        if self.delete_slice()? == Progress::More {
            return Ok(Progress::More);
        }
        match self.reclaiming.take() {
            None if self.file_bytes() <= self.reclaim_bytes_min => Ok(Progress::Idle),
            // Weighing reads everything: not again before enough was deleted to make a difference.
            None if self.deleted_pieces.saturating_mul(CHUNK_BYTES_MAX as u64) < self.reclaim_bytes_min => {
                Ok(Progress::Idle)
            }
            None => {
                self.deleted_pieces = 0;
                self.reclaiming = Some(Reclaiming::Weighing { from: vec![0], bytes: 0 });
                Ok(Progress::More)
            }
            Some(Reclaiming::Weighing { from, bytes }) => self.weigh(&from, bytes),
            Some(Reclaiming::Copying) => {
                if !self.disk.copy_slice(self.reclaim_slice_bytes)? {
                    self.reclaiming = Some(Reclaiming::Copying);
                    return Ok(Progress::More);
                }
                self.disk.take_over()?;
                Ok(Progress::Idle)
            }
        }
    }

    fn weigh(&mut self, from: &[u8], mut bytes: u64) -> Result<Progress, StoreError> {
        let slice = self.reclaim_slice_bytes;
        let (mut seen, mut next) = (0, None);
        self.disk.scan(from, &[u8::MAX], &mut |key, value| {
            if seen >= slice {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            seen += key.len() + value.len();
            ControlFlow::Continue(())
        })?;
        bytes += seen as u64;
        if let Some(from) = next {
            self.reclaiming = Some(Reclaiming::Weighing { from, bytes });
            return Ok(Progress::More);
        }
        if self.file_bytes() <= 2 * bytes + self.reclaim_bytes_min {
            return Ok(Progress::Idle);
        }
        self.disk.begin_successor()?;
        self.reclaiming = Some(Reclaiming::Copying);
        Ok(Progress::More)
    }

    fn file_bytes(&self) -> u64 {
        self.disk.disk_bytes().unwrap_or(0)
    }
}
