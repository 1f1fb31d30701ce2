//! Sources: where a loop takes manifests from, a folder or a branch of a Git repository.
//!
//! A source is looked at, and says what stands there as a whole: what it declares, that its manifests are broken, or that it
//! cannot be reached. Never here: what becomes of it (`controller.rs`).

mod folder;
mod git;
mod program;
mod submodules;
mod wake;

pub use folder::FolderSource;
pub use git::{GitOptions, GitSource, work_tree_state};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::submodules::Fetched;
use crate::desired::{Desired, GitState};
use crate::diagnostic::Diagnostic;
use crate::manifest::{Folder, environment, load};

/// What a look at a source found.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Manifests without an error.
    Declared(Box<Declared>),
    /// Manifests with errors: nothing of them counts.
    Broken {
        /// Where they are.
        git: Option<GitState>,
        /// The errors, and whatever else was found.
        diagnostics: Vec<Diagnostic>,
    },
    /// The source cannot be read now.
    Away {
        /// Why, in one line.
        why: String,
    },
}

/// What a source declares, and who wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// What the manifests declare.
    pub desired: Desired,
    /// The author of the state, if the source knows one.
    pub author: Option<String>,
    /// Why, if the source knows it.
    pub message: Option<String>,
}

/// A place that manifests come from.
pub trait ManifestSource: Send {
    /// Looks at the whole of it, as it is now. May block on the disk or the network, and for no longer than a bound of its own.
    fn look(&mut self) -> Seen;

    /// Has `wake` called when something may have changed, for as long as the source lives. It is only a hint: a source that knows no
    /// such moments never calls it, and whoever looks goes by what is found and by a timer too.
    fn wake_by(&mut self, wake: Arc<dyn Fn() + Send + Sync>) {
        let _ = wake;
    }

    /// What it is, in a few words: `folder /srv/agents`.
    fn describe(&self) -> String;
}

/// Reads the manifests of a folder, in which some submodules are empty because nobody fetched them.
pub(crate) fn read(
    path: &Path,
    name: Option<&str>,
    variables: &BTreeMap<String, String>,
    git: Option<GitState>,
    submodules: &[PathBuf],
) -> Seen {
    let folder = match Folder::open(path) {
        Ok(folder) => folder,
        Err(error) => return Seen::Away { why: format!("cannot open `{}`: {error}", path.display()) },
    };
    let directory = folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (environment, mut diagnostics) = environment(&folder, variables.clone());
    let fetched = Fetched { tree: &folder, submodules };
    let loaded = load(&fetched, name.unwrap_or(&directory), &environment);
    diagnostics.extend(loaded.diagnostics);
    match loaded.desired {
        Some(desired) if !diagnostics.iter().any(Diagnostic::is_error) => Seen::Declared(Box::new(Declared {
            desired: Desired { git, diagnostics, ..desired },
            author: None,
            message: None,
        })),
        Some(_) | None => Seen::Broken { git, diagnostics },
    }
}
