//! Txn: what a caller asks for; Precondition, Receipt and CommitError: what it is told.
//!
//! Never here: a decision about a transaction. `stage.rs` makes it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::commit::RequestId;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::key::Key;
use crate::revision::Revision;

/// A set of changes to commit as one revision, with what must hold for them. Built by value.
#[must_use = "a transaction does nothing until it is given to `Engine::commit` or `Engine::submit`"]
#[derive(Clone, Default)]
pub struct Txn {
    pub(crate) author: String,
    pub(crate) message: String,
    pub(crate) source: Option<String>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) ops: Vec<Op>,
}

/// One operation of a transaction.
#[derive(Clone)]
pub(crate) enum Op {
    Put { key: Key, value: Arc<[u8]>, seal: Seal },
    Delete { key: Key },
}

/// What sealed bytes a put names.
#[derive(Clone)]
pub(crate) enum Seal {
    None,
    New { digest: Digest, bytes: Arc<[u8]> },
    Keep(Digest),
}

impl Op {
    pub(crate) fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Txn {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who makes it.
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.author = author.into();
        self
    }

    /// Why.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The source of the manifests that it comes from.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A further fact about it; the same key again replaces the value.
    pub fn annotate(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// A name for the request: sent again, it is answered with the first receipt and commits nothing.
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Something that must hold when it is committed.
    pub fn require(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }

    /// Gives `key` a value.
    pub fn put(mut self, key: Key, value: impl Into<Arc<[u8]>>) -> Self {
        self.ops.push(Op::Put { key, value: value.into(), seal: Seal::None });
        self
    }

    /// Gives `key` a value and stores `sealed` under its digest in the side area, for as long as a head entry names it. The
    /// commit carries the digest, never the bytes.
    pub fn put_sealed(mut self, key: Key, value: impl Into<Arc<[u8]>>, sealed: Vec<u8>) -> Self {
        let seal = Seal::New { digest: Digest::of(&sealed), bytes: sealed.into() };
        self.ops.push(Op::Put { key, value: value.into(), seal });
        self
    }

    /// Gives `key` a value that goes on naming sealed bytes already stored.
    pub fn keep_sealed(mut self, key: Key, value: impl Into<Arc<[u8]>>, digest: Digest) -> Self {
        self.ops.push(Op::Put { key, value: value.into(), seal: Seal::Keep(digest) });
        self
    }

    /// Removes `key`. Removing a key that is not there changes nothing and is not recorded.
    pub fn delete(mut self, key: Key) -> Self {
        self.ops.push(Op::Delete { key });
        self
    }

    /// Whether it has no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many operations it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Bytes of keys, values, sealed bytes and texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = self.author.len()
            + self.message.len()
            + self.source.as_ref().map_or(0, String::len)
            + self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let op = |op: &Op| match op {
            Op::Put { key, value, seal } => {
                let sealed = if let Seal::New { bytes, .. } = seal { bytes.len() } else { 0 };
                key.as_str().len() + value.len() + sealed
            }
            Op::Delete { key } => key.as_str().len(),
        };
        texts + self.ops.iter().map(op).sum::<usize>()
    }
}

impl fmt::Debug for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn")
            .field("author", &self.author)
            .field("message", &self.message)
            .field("preconditions", &self.preconditions)
            .field("ops", &self.ops.len())
            .finish_non_exhaustive()
    }
}

/// Something that must hold for a transaction to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The head is this revision.
    Head(Revision),
    /// The key is absent.
    Absent(Key),
    /// The key was last modified by this revision.
    Modified(Key, Revision),
}

impl fmt::Display for Precondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(revision) => write!(f, "head is {revision}"),
            Self::Absent(key) => write!(f, "`{key}` is absent"),
            Self::Modified(key, revision) => write!(f, "`{key}` was last modified by {revision}"),
        }
    }
}

/// The answer to a commit: it is on the disk and visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The revision that holds the changes.
    pub revision: Revision,
    /// The id of its commit.
    pub id: Digest,
    /// How it came about.
    pub outcome: Outcome,
}

/// How a receipt came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The transaction was committed now.
    Committed,
    /// A transaction with this request id had been committed before; this is its receipt.
    Replayed,
    /// There was nothing to change; this is the head.
    Unchanged,
}

/// Why a transaction was not committed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A precondition does not hold. Read again, decide again.
    #[error("precondition failed: {precondition}, but found {}", found_text(*found))]
    Conflict {
        /// The first one that does not hold.
        precondition: Precondition,
        /// The revision found instead: of the head or of the key; `None` if the key is absent.
        found: Option<Revision>,
        /// The head it was judged against.
        head: Revision,
    },
    /// A key stands twice in the transaction.
    #[error("`{key}` is changed twice in one commit")]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// A limit is passed.
    #[error("{what} of {size} is over the limit of {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A put keeps sealed bytes that no entry at the head names.
    #[error("`{key}` keeps sealed bytes {digest}, which are not stored")]
    UnknownSealed {
        /// The key.
        key: Key,
        /// The digest it names.
        digest: Digest,
    },
    /// Too much is waiting for the writer. Nothing was written; try again later.
    #[error("too many commits are waiting, try again later")]
    QueueFull,
    /// Other engines on this store moved the head each time this one tried, for [`crate::limits::CONTENTION_MAX`]. Nothing was
    /// written; try again.
    #[error("other writers moved the head {attempts} times in a row, try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The store failed while this commit was written: whether it is kept will be known when the store is opened again.
    #[error("the store failed, whether this commit is kept shows when it is opened again")]
    Storage(#[source] Arc<StoreError>),
    /// An earlier commit failed in the store: nothing is written until it is opened again. This commit was not written.
    #[error("the store failed before and takes no commits until it is opened again")]
    Poisoned,
    /// The engine is a replica of a store that is elsewhere. This commit was not written.
    #[error("a replica takes no commits")]
    ReadOnly,
    /// The engine was closed. This commit was not written.
    #[error("the engine is closed")]
    Closed,
}

impl CommitError {
    /// Whether the same transaction may succeed if it is simply sent again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::QueueFull | Self::Contended { .. } => true,
            Self::Conflict { .. }
            | Self::DuplicateKey { .. }
            | Self::TooLarge { .. }
            | Self::UnknownSealed { .. }
            | Self::Storage(_)
            | Self::Poisoned
            | Self::ReadOnly
            | Self::Closed => false,
        }
    }
}

fn found_text(found: Option<Revision>) -> String {
    found.map_or_else(|| "it absent".to_owned(), |revision| revision.to_string())
}
