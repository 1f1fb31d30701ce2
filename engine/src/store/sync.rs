//! Syncing: the one seam through which the embedded store asks the disk to keep what was written.
//!
//! Never here: when to sync. `sled.rs` and `folder.rs` decide that.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes what was written durable. Passed in, so that a test can count the syncs, or show what is lost without them.
pub trait Syncer: Send {
    /// Makes the content of `file` durable.
    ///
    /// # Errors
    /// What the operating system says; after an error it is not known what is durable.
    fn sync_data(&mut self, file: &File) -> io::Result<()>;

    /// Makes the names in `folder` durable.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// The real one: `fdatasync` and `fsync`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskSyncer;

impl Syncer for DiskSyncer {
    fn sync_data(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}
