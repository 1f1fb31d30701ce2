//! A folder as a source: read anew at each look, so that renames, links that change their target and whatever an editor does
//! are all the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{ManifestSource, Seen, read, work_tree_state};

/// A project's folder.
#[derive(Debug)]
pub struct FolderSource {
    path: PathBuf,
    variables: BTreeMap<String, String>,
}

impl FolderSource {
    /// The project at `path`; references of its manifests are looked up in `variables`, then in its `.env`.
    pub fn new(path: PathBuf, variables: BTreeMap<String, String>) -> Self {
        Self { path, variables }
    }
}

impl ManifestSource for FolderSource {
    fn look(&mut self) -> Seen {
        read(&self.path, None, &self.variables, work_tree_state(&self.path))
    }

    fn describe(&self) -> String {
        format!("folder {}", self.path.display())
    }
}
