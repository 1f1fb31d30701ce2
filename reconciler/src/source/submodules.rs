//! A tree that knows which of its folders are submodules that nobody fetched: they are not empty, they are not there.
//!
//! Never here: finding them (`git.rs`), and fetching.

use std::path::{Path, PathBuf};

use crate::manifest::{FileTree, Item, ReadError};

/// The tree of a commit without what lies in submodules.
pub(super) struct Fetched<'t> {
    pub(super) tree: &'t dyn FileTree,
    /// Relative to the tree.
    pub(super) submodules: &'t [PathBuf],
}

impl Fetched<'_> {
    fn check(&self, path: &str) -> Result<(), ReadError> {
        match self.submodules.iter().find(|submodule| Path::new(path).starts_with(submodule)) {
            None => Ok(()),
            Some(submodule) => Err(ReadError::Refused(format!(
                "`{}` is a submodule, and submodules are not fetched",
                submodule.display()
            ))),
        }
    }
}

impl FileTree for Fetched<'_> {
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.check(path)?;
        self.tree.read(path, limit)
    }

    fn list(&self, path: &str) -> Result<Vec<Item>, ReadError> {
        self.check(path)?;
        self.tree.list(path)
    }

    fn read_secret(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.check(path)?;
        self.tree.read_secret(path, limit)
    }
}
