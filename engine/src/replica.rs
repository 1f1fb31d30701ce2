//! Replica: an engine whose state comes from somewhere else, commit by commit, instead of from a writer and a store.
//!
//! It publishes as the writer does, so snapshots, counters and watches are the same; it takes no commits and keeps no history.
//! A revision may be skipped: the source leaves out what touches nothing that the replica holds. What it is fed is checked
//! against what it has, so that a lost or repeated commit is told and never papered over.
//!
//! Never here: where the commits come from, and when a checkpoint is written.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use imbl::OrdMap;
use uuid::Uuid;

use crate::backup::{BackupError, Content, Form, Whole, read_form};
use crate::commit::{Change, Commit};
use crate::digest::Digest;
use crate::engine::{Engine, Published};
use crate::entry::Entry;
use crate::key::Key;
use crate::recent::Applied;
use crate::restore::RestoreError;
use crate::revision::Revision;
use crate::sealed::SealedSet;
use crate::snapshot::{Head, Snapshot, State};
use crate::stage;
use crate::store::Identity;
use crate::watch::ResumeToken;

/// The feeding end of a replica; readers have its [`Engine`].
pub struct Replica {
    engine: Engine,
    identity: Identity,
    state: State,
    sealed: SealedSet,
}

/// A whole state, as a replica begins with it.
#[derive(Clone)]
pub struct ReplicaState {
    /// The store that it is of.
    pub identity: Identity,
    /// The commit that made it.
    pub head: Head,
    /// What it holds; of a key that stands twice the last entry counts.
    pub entries: Vec<ReplicaEntry>,
    /// The sealed bytes of its entries, as far as the source gives them.
    pub sealed: Vec<Arc<[u8]>>,
}

impl fmt::Debug for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, head, entries, sealed } = self;
        f.debug_struct("ReplicaState")
            .field("identity", identity)
            .field("head", head)
            .field("entries", &entries.len())
            .field("sealed", &sealed.len())
            .finish()
    }
}

/// One entry of a whole state.
#[derive(Clone)]
pub struct ReplicaEntry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Arc<[u8]>,
    /// The revision that created the key.
    pub created: Revision,
    /// The revision that wrote the value.
    pub modified: Revision,
    /// How many times it was put since it was created.
    pub version: u64,
    /// The digest of sealed bytes that belong to the value.
    pub sealed: Option<Digest>,
}

// Values are never shown: they may hold what must not be printed.
impl fmt::Debug for ReplicaEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, created: _, modified, version: _, sealed: _ } = self;
        f.debug_struct("ReplicaEntry")
            .field("key", key)
            .field("bytes", &value.len())
            .field("modified", modified)
            .finish_non_exhaustive()
    }
}

/// A commit as it reaches a replica: whole, but for what the replica does not hold.
#[derive(Clone)]
pub struct ReplicaCommit {
    /// Its number, id and time.
    pub head: Head,
    /// Who made it.
    pub author: String,
    /// Why.
    pub message: String,
    /// What it changed.
    pub changes: Vec<ReplicaChange>,
    /// The sealed bytes that its changes name, as far as the source gives them.
    pub sealed: Vec<Arc<[u8]>>,
}

impl fmt::Debug for ReplicaCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, author, message: _, changes, sealed } = self;
        f.debug_struct("ReplicaCommit")
            .field("head", head)
            .field("author", author)
            .field("changes", changes)
            .field("sealed", &sealed.len())
            .finish_non_exhaustive()
    }
}

/// One change of a commit.
#[derive(Debug, Clone)]
pub struct ReplicaChange {
    /// The change.
    pub change: Change,
    /// The revision of the version that it replaced; none if the key was absent.
    pub previous: Option<Revision>,
}

/// What does not follow from what a replica has: it needs a whole state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// A commit replaces another version of a key than the one that is here.
    #[error("{revision} replaces `{key}` of {}, here it is of {}", shown(*expected), shown(*found))]
    Diverged {
        /// The commit.
        revision: Revision,
        /// The key.
        key: Key,
        /// The version that it replaces.
        expected: Option<Revision>,
        /// The version that is here.
        found: Option<Revision>,
    },
    /// A revision that is here already has another commit.
    #[error("{revision} is another commit there than here")]
    OtherCommit {
        /// The revision.
        revision: Revision,
    },
}

fn shown(revision: Option<Revision>) -> String {
    revision.map_or_else(|| "nothing".to_owned(), |revision| revision.to_string())
}

impl Default for Replica {
    fn default() -> Self {
        Self::new()
    }
}

impl Replica {
    /// A replica of no store yet.
    #[must_use]
    pub fn new() -> Self {
        let identity = Identity { store: Uuid::nil(), epoch: 0 };
        Self::of(ReplicaState { identity, head: Head::default(), entries: Vec::new(), sealed: Vec::new() })
    }

    /// A replica that begins with a state.
    #[must_use]
    pub fn of(begin: ReplicaState) -> Self {
        let ReplicaState { identity, head, entries, sealed } = begin;
        let entries = entries.into_iter().map(ReplicaEntry::into_entry).collect();
        let state = State { head, entries };
        let sealed = named(&state, sealed);
        let published = Published { snapshot: Snapshot::new(state.clone()), sealed: sealed.clone() };
        Self { engine: Engine::replica(identity, published), identity, state, sealed }
    }

    /// The engine that readers have.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where to go on.
    #[must_use]
    pub fn token(&self) -> ResumeToken {
        ResumeToken { identity: self.identity, revision: self.state.head.revision }
    }

    /// Takes a commit and publishes it. Says whether it was new; one that is here already changes nothing.
    ///
    /// # Errors
    /// If it does not follow from what is here; nothing is changed then.
    pub fn install(&mut self, commit: ReplicaCommit) -> Result<bool, ReplicaError> {
        self.install_all(vec![commit]).map(|new| new > 0)
    }

    /// Takes commits, oldest first, and publishes them as one: nobody sees a state between them, a watch shows each of them. Says
    /// how many were new.
    ///
    /// # Errors
    /// If one does not follow from what is before it; nothing is changed then.
    pub fn install_all(&mut self, commits: Vec<ReplicaCommit>) -> Result<usize, ReplicaError> {
        let (mut state, mut sealed) = (self.state.clone(), self.sealed.clone());
        let mut applied = Vec::with_capacity(commits.len());
        for commit in commits {
            if is_new(state.head, commit.head)? {
                applied.push(step(&mut state, &mut sealed, commit)?);
            }
        }
        if applied.is_empty() {
            return Ok(0);
        }
        let replaced = applied.iter().flat_map(|applied| applied.previous.iter().flatten().filter_map(Entry::sealed));
        sealed.sweep(replaced.collect::<Vec<_>>());
        (self.state, self.sealed) = (state, sealed);
        self.engine.core().publish_replica(self.published(), &applied);
        Ok(applied.len())
    }

    /// Moves the head over commits that changed nothing here. Says whether it moved.
    ///
    /// # Errors
    /// If the revision is here already, under another commit.
    pub fn advance(&mut self, head: Head) -> Result<bool, ReplicaError> {
        if !is_new(self.state.head, head)? {
            return Ok(false);
        }
        self.state.head = head;
        self.engine.core().publish_moved(self.published(), std::iter::empty());
        Ok(true)
    }

    /// Replaces everything by a whole state, at once. Entries that are as they were stay what they are.
    ///
    /// A state of another store or epoch, or one that goes back, does not follow from the one before: watches begin again, and
    /// nothing that was read before counts as current any more.
    pub fn reset(&mut self, begin: ReplicaState) {
        let ReplicaState { identity, head, entries, sealed } = begin;
        let (mut next, mut touched) = (OrdMap::new(), Vec::new());
        for entry in entries {
            let (key, entry) = entry.into_entry();
            let same = self.state.entries.get(key.as_str()).filter(|old| **old == entry).cloned();
            if same.is_none() {
                touched.push(key.clone());
            }
            next.insert(key, same.unwrap_or(entry));
        }
        let gone = self.state.entries.keys().filter(|key| !next.contains_key(key.as_str()));
        touched.extend(gone.cloned());
        let before = self.state.head.revision;
        let follows =
            identity == self.identity && (head.revision > before || head.revision == before && touched.is_empty());
        (self.identity, self.state) = (identity, State { head, entries: next });
        self.sealed = named(&self.state, sealed);
        let (published, core) = (self.published(), self.engine.core());
        match follows {
            true => core.publish_moved(published, touched.iter().map(Key::as_str)),
            false => core.publish_other(identity, published),
        }
    }

    fn published(&self) -> Published {
        Published { snapshot: Snapshot::new(self.state.clone()), sealed: self.sealed.clone() }
    }
}

/// Whether a commit is newer than a head.
fn is_new(here: Head, head: Head) -> Result<bool, ReplicaError> {
    match head.revision == here.revision && head.id != here.id {
        true => Err(ReplicaError::OtherCommit { revision: head.revision }),
        false => Ok(head.revision > here.revision),
    }
}

/// Makes a commit in a state, if it follows from it.
fn step(state: &mut State, sealed: &mut SealedSet, commit: ReplicaCommit) -> Result<Arc<Applied>, ReplicaError> {
    let ReplicaCommit { head, author, message, changes, sealed: bytes } = commit;
    for ReplicaChange { change, previous } in &changes {
        let key = change.key();
        let found = state.entries.get(key.as_str()).map(Entry::modified);
        if found != *previous {
            let (key, expected) = (key.clone(), *previous);
            return Err(ReplicaError::Diverged { revision: head.revision, key, expected, found });
        }
    }
    let offered: Vec<Digest> = bytes.iter().map(|bytes| offer(sealed, bytes)).collect();
    let commit = Commit {
        revision: head.revision,
        id: head.id,
        parent: state.head.id,
        time: head.time,
        author,
        message,
        source: None,
        request_id: None,
        annotations: Default::default(),
        changes: changes.into_iter().map(|changed| changed.change).collect(),
        marks: Vec::new(),
    };
    let applied = stage::apply(state, sealed, commit);
    // What no change names is not kept.
    sealed.sweep(offered);
    Ok(applied)
}

/// The sealed bytes that a state names.
fn named(state: &State, bytes: Vec<Arc<[u8]>>) -> SealedSet {
    let mut sealed = SealedSet::default();
    sealed.name_all(state.entries.values());
    let offered: Vec<Digest> = bytes.iter().map(|bytes| offer(&mut sealed, bytes)).collect();
    sealed.sweep(offered);
    sealed
}

fn offer(sealed: &mut SealedSet, bytes: &Arc<[u8]>) -> Digest {
    let digest = Digest::of(bytes);
    sealed.offer(digest, bytes);
    digest
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("head", &self.state.head.revision).finish_non_exhaustive()
    }
}

impl ReplicaEntry {
    fn into_entry(self) -> (Key, Entry) {
        let Self { key, value, created, modified, version, sealed } = self;
        (key, Entry::new(value, sealed, created, modified, version))
    }
}

/// A checkpoint has the frames of a backup, and is none: it may lack keys, and bytes that are sealed.
const CHECKPOINT: Form = Form { magic: b"HFREPLIC", domain: "holdfast/replica/1" };

/// Why a checkpoint was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("the checkpoint cannot be read")]
    Read(#[source] io::Error),
    /// It is not what was written, or a later version wrote it.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(String),
}

/// Writes the state of a replica into `out`, which the caller makes durable.
///
/// # Errors
/// If it cannot be written.
pub fn write_checkpoint(engine: &Engine, out: &mut dyn Write) -> io::Result<ResumeToken> {
    // In this order, and looked at again: a state of another store must not go under this one's name.
    let (identity, (snapshot, sealed)) = loop {
        let (generation, identity) = (engine.core().generation(), engine.identity());
        let published = engine.published();
        if generation == engine.core().generation() && identity == engine.identity() {
            break (identity, published);
        }
    };
    let whole = Whole { identity, snapshot: &snapshot, sealed: &sealed, requests: Vec::new() };
    match whole.write(CHECKPOINT, out, &mut |_, _| ControlFlow::Continue(())) {
        Ok(_) => Ok(ResumeToken { identity, revision: snapshot.revision() }),
        Err(BackupError::Write(error)) => Err(error),
        Err(BackupError::Stopped | BackupError::Closed) => Err(io::Error::other("the checkpoint was stopped")),
    }
}

/// Reads a checkpoint to its end and checks all of it.
///
/// # Errors
/// If it cannot be read, or is not exactly what was written.
pub fn read_checkpoint(input: &mut dyn BufRead) -> Result<ReplicaState, CheckpointError> {
    let content = read_form(CHECKPOINT, input).map_err(|error| match error {
        RestoreError::Read(error) => CheckpointError::Read(error),
        RestoreError::NotABackup => CheckpointError::Damaged("it does not begin as one".to_owned()),
        error => CheckpointError::Damaged(error.to_string()),
    })?;
    let Content { header, entries, sealed, .. } = content;
    let entries = entries.into_iter().map(|(key, entry)| ReplicaEntry {
        key,
        value: Arc::clone(entry.value()),
        created: entry.created(),
        modified: entry.modified(),
        version: entry.version(),
        sealed: entry.sealed(),
    });
    let sealed = sealed.into_iter().map(|(_, bytes)| bytes).collect();
    Ok(ReplicaState { identity: header.identity, head: header.head, entries: entries.collect(), sealed })
}
