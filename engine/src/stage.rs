//! Stage: the pure part of a commit. Judges transactions one after the other against the state as it will be after those
//! before them, and makes commits of them.
//!
//! Never here: a store, a clock, a lock or a thread. `writer.rs` has those.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::commit::{Change, Commit};
use crate::digest::Digest;
use crate::entry::Entry;
use crate::key::Key;
use crate::limits;
use crate::planted::planted;
use crate::recent::Applied;
use crate::requests::RequestLog;
use crate::revision::Timestamp;
use crate::sealed::SealedSet;
use crate::snapshot::State;
use crate::txn::{CommitError, Op, Outcome, Precondition, Receipt, Seal, Txn};

/// A group in the making: the state as it will be, and the commits that lead there.
pub(crate) struct Stage<'a> {
    pub(crate) state: State,
    pub(crate) sealed: SealedSet,
    pub(crate) applied: Vec<Arc<Applied>>,
    pub(crate) new_sealed: Vec<(Digest, Arc<[u8]>)>,
    known: &'a RequestLog,
    fresh: HashMap<crate::commit::RequestId, Receipt>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(state: State, sealed: SealedSet, known: &'a RequestLog) -> Self {
        Self { state, sealed, applied: Vec::new(), new_sealed: Vec::new(), known, fresh: HashMap::new() }
    }

    /// Judges `txn` and, if it holds, adds its commit to the group. The receipt is true once the group is durable.
    pub(crate) fn admit(&mut self, txn: &Txn, now: Timestamp) -> Result<Receipt, CommitError> {
        if let Some(id) = &txn.request_id
            && let Some(first) = self.fresh.get(id).copied().or_else(|| self.known.receipt(id))
        {
            return Ok(Receipt { outcome: Outcome::Replayed, ..first });
        }
        check_sizes(txn)?;
        txn.preconditions.iter().try_for_each(|precondition| self.check(precondition))?;
        let changes = self.changes(txn)?;
        let head = self.state.head;
        if changes.is_empty() {
            return Ok(Receipt { revision: head.revision, id: head.id, outcome: Outcome::Unchanged });
        }

        let revision = head.revision.next();
        let mut commit = Commit {
            revision,
            id: Digest::ZERO,
            parent: head.id,
            time: now.max(head.time),
            author: txn.author.clone(),
            message: txn.message.clone(),
            source: txn.source.clone(),
            request_id: txn.request_id.clone(),
            annotations: txn.annotations.clone(),
            changes,
            marks: Vec::new(),
        };
        commit.id = commit.computed_id();
        for op in &txn.ops {
            if let Op::Put { seal: Seal::New { digest, bytes }, .. } = op
                && self.sealed.offer(*digest, bytes)
            {
                self.new_sealed.push((*digest, Arc::clone(bytes)));
            }
        }
        let receipt = Receipt { revision, id: commit.id, outcome: Outcome::Committed };
        if let Some(id) = &txn.request_id {
            self.fresh.insert(id.clone(), receipt);
        }
        self.applied.push(apply(&mut self.state, &mut self.sealed, commit));
        Ok(receipt)
    }

    fn check(&self, precondition: &Precondition) -> Result<(), CommitError> {
        let head = self.state.head.revision;
        let modified = |key: &Key| self.state.entries.get(key.as_str()).map(Entry::modified);
        let (holds, found) = match precondition {
            Precondition::Head(revision) => (head == *revision, Some(head)),
            Precondition::Absent(key) => (modified(key).is_none(), modified(key)),
            Precondition::Modified(key, revision) => (modified(key) == Some(*revision), modified(key)),
        };
        if holds { Ok(()) } else { Err(CommitError::Conflict { precondition: precondition.clone(), found, head }) }
    }

    /// What the operations change: a delete of a key that is not there is no change.
    fn changes(&self, txn: &Txn) -> Result<Vec<Change>, CommitError> {
        let mut seen = BTreeSet::new();
        let mut changes = Vec::with_capacity(txn.ops.len());
        for op in &txn.ops {
            if !seen.insert(op.key().as_str()) && !planted("repeated-keys-pass") {
                return Err(CommitError::DuplicateKey { key: op.key().clone() });
            }
            match op {
                Op::Put { key, value, seal } => {
                    let sealed = match seal {
                        Seal::None => None,
                        Seal::New { digest, bytes: _ } => Some(*digest),
                        Seal::Keep(digest) if self.sealed.get(digest).is_some() => Some(*digest),
                        Seal::Keep(digest) => {
                            return Err(CommitError::UnknownSealed { key: key.clone(), digest: *digest });
                        }
                    };
                    changes.push(Change::Put { key: key.clone(), value: Arc::clone(value), sealed });
                }
                Op::Delete { key } if self.state.entries.contains_key(key.as_str()) => {
                    changes.push(Change::Delete { key: key.clone() });
                }
                Op::Delete { key: _ } => {}
            }
        }
        Ok(changes)
    }
}

/// Makes the changes of `commit` in `state` and fills in its marks. Commits read back from a store go through here too, so
/// that there is one way in which a state comes to be.
pub(crate) fn apply(state: &mut State, sealed: &mut SealedSet, mut commit: Commit) -> Arc<Applied> {
    let mut previous = Vec::with_capacity(commit.changes.len());
    commit.marks = Vec::with_capacity(commit.changes.len());
    for change in &commit.changes {
        let (mark, old) = state.apply(commit.revision, change);
        if let Change::Put { sealed: Some(digest), .. } = change {
            sealed.name(digest);
        }
        if let Some(digest) = old.as_ref().and_then(Entry::sealed) {
            sealed.unname(&digest);
        }
        commit.marks.push(mark);
        previous.push(old);
    }
    state.head = commit.head();
    Arc::new(Applied { commit: Arc::new(commit), previous })
}

fn check_sizes(txn: &Txn) -> Result<(), CommitError> {
    let fits = |what: &'static str, size: usize, limit: usize| {
        if size <= limit { Ok(()) } else { Err(CommitError::TooLarge { what, size, limit }) }
    };
    fits("number of changes", txn.ops.len(), limits::COMMIT_CHANGES_MAX)?;
    fits("number of preconditions", txn.preconditions.len(), limits::COMMIT_PRECONDITIONS_MAX)?;
    fits("number of annotations", txn.annotations.len(), limits::ANNOTATIONS_MAX)?;
    fits("author in bytes", txn.author.len(), limits::NAME_BYTES_MAX)?;
    fits("source in bytes", txn.source.as_ref().map_or(0, String::len), limits::NAME_BYTES_MAX)?;
    fits("message in bytes", txn.message.len(), limits::MESSAGE_BYTES_MAX)?;
    for (key, value) in &txn.annotations {
        fits("annotation in bytes", key.len().max(value.len()), limits::ANNOTATION_BYTES_MAX)?;
    }
    for op in &txn.ops {
        if let Op::Put { value, seal, .. } = op {
            fits("value in bytes", value.len(), limits::VALUE_BYTES_MAX)?;
            if let Seal::New { bytes, .. } = seal {
                fits("sealed value in bytes", bytes.len(), limits::SEALED_BYTES_MAX)?;
            }
        }
    }
    fits("commit in bytes", txn.bytes(), limits::COMMIT_BYTES_MAX)
}
