//! Errors that more than one operation shares. An error of one operation stands beside that operation.
//!
//! Never here: what to print or which exit code; that is decided at the edge.

use std::path::PathBuf;
use std::sync::Arc;

use crate::key::Key;
use crate::revision::Revision;

/// A failure of the storage below the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system reported an error.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The error.
        source: std::io::Error,
    },
    /// The storage engine reported an error or panicked.
    #[error("the storage engine failed while it {action}: {reason}")]
    Backend {
        /// What was being done.
        action: &'static str,
        /// What it said.
        reason: String,
    },
    /// Bytes are not what was written.
    #[error("{0}")]
    Damaged(#[from] Damage),
    /// A commit that is asked for is not there.
    #[error("{revision} is missing")]
    Missing {
        /// Its revision.
        revision: Revision,
    },
}

/// What is wrong in a store, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged store: {what}{}{}", place(*revision), key.as_ref().map(|key| format!(", key `{key}`")).unwrap_or_default())]
pub struct Damage {
    /// What was found.
    pub what: String,
    /// The commit that it concerns.
    pub revision: Option<Revision>,
    /// The key that it concerns.
    pub key: Option<Key>,
}

impl Damage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), revision: None, key: None }
    }

    pub(crate) fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    pub(crate) fn of(mut self, key: &Key) -> Self {
        self.key = Some(key.clone());
        self
    }
}

fn place(revision: Option<Revision>) -> String {
    revision.map(|revision| format!(" at {revision}")).unwrap_or_default()
}

/// Why an engine did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store cannot be read back.
    #[error(
        "the store cannot be recovered: run `reconcile verify` to see what is damaged, `reconcile restore` to go back to a backup"
    )]
    Recover(#[source] StoreError),
    /// The thread of the writer cannot be started.
    #[error("cannot start the writer's thread")]
    Thread(#[source] std::io::Error),
}

/// Why the past could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AtError {
    /// The revision was compacted away.
    #[error("{revision} is compacted, the oldest that can be read is {oldest}")]
    Compacted {
        /// What was asked for.
        revision: Revision,
        /// The oldest revision whose state can be read.
        oldest: Revision,
    },
    /// The revision does not exist yet.
    #[error("{revision} does not exist yet, the head is {head}")]
    Future {
        /// What was asked for.
        revision: Revision,
        /// The newest there is.
        head: Revision,
    },
    /// The engine is a replica.
    #[error("a replica keeps no history, only {head}, its newest revision, can be read")]
    NoHistory {
        /// The newest there is.
        head: Revision,
    },
    /// The store failed.
    #[error("the store cannot be read")]
    Storage(#[source] Arc<StoreError>),
    /// The engine was closed.
    #[error("the engine is closed")]
    Closed,
}
