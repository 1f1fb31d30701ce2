//! A folder as a source: read anew at each look, so that renames, links that change their target and whatever an editor does
//! are all the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::wake::Waker;
use super::{ManifestSource, Seen, read, work_tree_state};

/// A project's folder.
#[derive(Debug)]
pub struct FolderSource {
    path: PathBuf,
    variables: BTreeMap<String, String>,
    /// What lies in the folder and is no part of the project: a store, which changes all the time.
    apart: Vec<PathBuf>,
    waker: Option<Waker>,
}

impl FolderSource {
    /// The project at `path`; references of its manifests are looked up in `variables`, then in its `.env`. The path is followed at each
    /// look, so that a link may be pointed elsewhere.
    pub fn new(path: PathBuf, variables: BTreeMap<String, String>) -> Self {
        Self { path, variables, apart: Vec::new(), waker: None }
    }

    /// The same, but what happens below this path wakes nobody.
    pub fn apart_from(mut self, path: PathBuf) -> Self {
        self.apart.push(path);
        self
    }
}

impl ManifestSource for FolderSource {
    fn look(&mut self) -> Seen {
        read(&self.path, None, &self.variables, work_tree_state(&self.path), &[])
    }

    fn wake_by(&mut self, wake: Arc<dyn Fn() + Send + Sync>) {
        match Waker::begin(self.path.clone(), self.apart.clone(), wake) {
            Ok(waker) => self.waker = Some(waker),
            // It only takes longer until a change is seen.
            Err(error) => tracing::warn!(%error, "changes of the folder are seen by the timer only"),
        }
    }

    fn describe(&self) -> String {
        format!("folder {}", self.path.display())
    }
}
