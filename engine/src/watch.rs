//! Watch: every commit that touches a prefix, once, in order, whole; from any revision that is kept (P9).
//!
//! A watch is a cursor, not a queue: nothing is stored for it, and a slow one costs nobody anything. The cursor decides in a
//! pure step what is needed next; the shell around it reads or waits.
//!
//! Never here: raising counters or keeping commits for watchers. A writer does not know who watches.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Poll;

use uuid::Uuid;

use crate::commit::{Change, Commit, Mark};
use crate::counter::{Counter, scope_around};
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::{AtError, StoreError};
use crate::pending::block_on;
use crate::planted::planted;
use crate::revision::Revision;
use crate::snapshot::{Head, Snapshot};
use crate::store::Identity;

mod cursor;

use cursor::{Cursor, Need, View};

/// What a watch shows.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only changes of this kind.
    pub ops: WatchOps,
    /// Whether the entry that a change replaced is read too.
    pub previous: bool,
    /// Where the watch begins.
    pub from: WatchFrom,
}

/// Which changes a watch shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchOps {
    /// All.
    #[default]
    All,
    /// Only puts.
    Puts,
    /// Only deletes.
    Deletes,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchFrom {
    /// With the commits after the head.
    #[default]
    Now,
    /// With the commits after this revision.
    After(Revision),
    /// Where another watch was, perhaps in another epoch.
    Token(ResumeToken),
}

/// Where a watch is: it has shown everything up to this revision of this store in this epoch. As text `uuid:epoch:revision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumeToken {
    /// The store and its epoch.
    pub identity: Identity,
    /// The last revision that was examined.
    pub revision: Revision,
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity: Identity { store, epoch }, revision } = self;
        write!(f, "{store}:{epoch}:{}", revision.get())
    }
}

/// A text that is no resume token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no resume token, expected `store:epoch:revision`")]
pub struct ResumeTokenError;

impl FromStr for ResumeToken {
    type Err = ResumeTokenError;

    fn from_str(text: &str) -> Result<Self, ResumeTokenError> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(ResumeTokenError);
        let store = Uuid::parse_str(part()?).map_err(|_| ResumeTokenError)?;
        let epoch = part()?.parse().map_err(|_| ResumeTokenError)?;
        let revision = part()?.parse().map_err(|_| ResumeTokenError)?;
        Ok(Self { identity: Identity { store, epoch }, revision: Revision::new(revision) })
    }
}

/// What a watch gives.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// A commit, with those of its changes that the watch shows.
    Commit(WatchedCommit),
    /// The watch cannot go on where it was. This snapshot stands for everything up to its revision; commits after it follow.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// The state to start again from.
        snapshot: Snapshot,
    },
}

/// Why a watch has to start again from a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResyncReason {
    /// The commits that would come next are compacted.
    Compacted {
        /// The oldest revision after which commits are kept.
        oldest: Revision,
    },
    /// The token is from another store, or from before a backup was restored.
    OtherEpoch,
}

/// A commit as a watch shows it.
#[derive(Debug, Clone)]
pub struct WatchedCommit {
    /// The commit, with all of its changes.
    pub commit: Arc<Commit>,
    /// Those that the watch shows, in the commit's order.
    pub changes: Vec<WatchedChange>,
}

/// A change as a watch shows it.
#[derive(Debug, Clone)]
pub struct WatchedChange {
    /// The change.
    pub change: Change,
    /// Where it stands in the history of its key; `mark.previous` is the revision that it replaced.
    pub mark: Mark,
    /// What it replaced, if that was asked for.
    pub previous: Previous,
}

/// What a change replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previous {
    /// It was not asked for.
    NotAsked,
    /// The key was absent.
    Absent,
    /// This entry.
    Entry(Entry),
    /// It is compacted away.
    Compacted,
}

/// Why a watch cannot begin or go on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It should begin after a revision that does not exist yet.
    #[error("cannot watch after {revision}, which does not exist yet: the head is {head}")]
    Future {
        /// What was asked for.
        revision: Revision,
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

/// A running watch.
pub struct Watch {
    engine: Engine,
    counter: Counter,
    cursor: Cursor,
    previous: bool,
    /// Read and not given out yet: at most one page.
    ready: VecDeque<WatchedCommit>,
    /// The first event, if the watch has to begin with a resync.
    resync: Option<ResyncReason>,
    /// Which of a replica's states the cursor runs over.
    generation: u64,
    /// Told by [`Watch::next_or_moved`]: everything up to here.
    told: Revision,
    /// The counter of everything, once somebody waits for the head to move.
    all: Option<Counter>,
}

impl Engine {
    /// Begins a watch. It holds no place in any queue: what it does not ask for costs nobody anything.
    ///
    /// # Errors
    /// If it should begin after a revision that does not exist yet. A compacted or foreign place is no error: the watch
    /// begins with a [`WatchEvent::Resync`].
    pub fn watch(&self, options: WatchOptions) -> Result<Watch, WatchError> {
        let WatchOptions { prefix, ops, previous, from } = options;
        // First: a state that replaces this one later is noticed.
        let generation = self.core().generation();
        let counter = self.counter(scope_around(&prefix));
        let head = self.head().revision;
        let (revision, resync) = match from {
            WatchFrom::Now => (head, None),
            WatchFrom::After(revision) => (revision, None),
            WatchFrom::Token(token) if token.identity == self.identity() => (token.revision, None),
            WatchFrom::Token(_) => (head, Some(ResyncReason::OtherEpoch)),
        };
        if revision > head {
            return Err(WatchError::Future { revision, head });
        }
        let cursor = Cursor { prefix, ops, revision };
        let (engine, ready) = (self.clone(), VecDeque::new());
        Ok(Watch { engine, counter, cursor, previous, ready, resync, generation, told: revision, all: None })
    }
}

impl Watch {
    /// The next event; waits for it. May be cancelled and called again: nothing is lost or given twice.
    ///
    /// # Errors
    /// If the store fails or the engine is closed.
    pub async fn next(&mut self) -> Result<WatchEvent, WatchError> {
        loop {
            if let Some(event) = self.step().await? {
                return Ok(event);
            }
            let seen = self.cursor.revision;
            self.counter.changed(seen).await;
            if self.engine.core().notified() <= seen && self.engine.core().is_closed() {
                return Err(WatchError::Closed);
            }
        }
    }

    /// As [`Watch::next`], blocking the thread, for programs without a runtime; gives nothing once `stop` is ready. What was ready
    /// once is not given as `stop` again.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn wait(&mut self, stop: impl Future<Output = ()>) -> Result<Option<WatchEvent>, WatchError> {
        let (mut stop, mut next) = (std::pin::pin!(stop), std::pin::pin!(self.next()));
        block_on(std::future::poll_fn(|context| match stop.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Ok(None)),
            Poll::Pending => next.as_mut().poll(context).map(|event| event.map(Some)),
        }))
    }

    /// The next event, or none as soon as the head has moved over revisions that the watch shows nothing of: everything up to
    /// the bookmark is known then. May be cancelled and called again.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub async fn next_or_moved(&mut self) -> Result<Option<WatchEvent>, WatchError> {
        loop {
            if let Some(event) = self.step().await? {
                self.told = self.told.max(self.examined());
                return Ok(Some(event));
            }
            let seen = self.cursor.revision;
            if seen > self.told {
                self.told = seen;
                return Ok(None);
            }
            let engine = &self.engine;
            self.all.get_or_insert_with(|| engine.counter("")).changed(seen).await;
            if self.engine.core().notified() <= seen && self.engine.core().is_closed() {
                return Err(WatchError::Closed);
            }
        }
    }

    /// The next event if there is one now.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub async fn step(&mut self) -> Result<Option<WatchEvent>, WatchError> {
        if let Some(reason) = self.resync.take() {
            return Ok(Some(self.begin_again(reason)));
        }
        loop {
            if let Some(commit) = self.ready.pop_front() {
                return Ok(Some(WatchEvent::Commit(commit)));
            }
            if self.generation != self.engine.core().generation() {
                return Ok(Some(self.begin_other()));
            }
            let core = self.engine.core();
            // In this order: what is notified is in the touches that are read after it.
            let notified = core.notified();
            let compacted = core.compacted().revision;
            let cursor = &mut self.cursor;
            let need = self.counter.with_touches(|touches| cursor.step(&View { notified, compacted, touches }));
            match need {
                Need::Touch => return Ok(None),
                Need::Resync { oldest } => return Ok(Some(self.begin_again(ResyncReason::Compacted { oldest }))),
                Need::Commits { from, through } => self.read(from, through).await?,
            }
        }
    }

    /// The last revision that was examined: everything up to it that the watch shows has been given out. Looks for itself, so
    /// that it advances on a watch whose scope nobody touches.
    pub async fn bookmark(&mut self) -> Revision {
        let core = self.engine.core();
        let notified = core.notified();
        let is_through = self.ready.is_empty() && self.resync.is_none();
        if is_through && self.counter.get() <= self.cursor.revision || planted("bookmark-ahead") {
            self.cursor.revision = self.cursor.revision.max(notified);
        }
        self.examined()
    }

    /// Where to resume, from here or in another process.
    #[must_use]
    pub fn token(&self) -> ResumeToken {
        ResumeToken { identity: self.engine.identity(), revision: self.examined() }
    }

    /// Commits that are read but not given out are not examined yet.
    fn examined(&self) -> Revision {
        let next = self.ready.front().filter(|_| !planted("token-ahead"));
        next.map_or(self.cursor.revision, |next| next.commit.revision.previous())
    }

    /// The commit of the last revision that was examined, if that is known without looking far.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub async fn place(&mut self) -> Result<Option<Head>, WatchError> {
        let revision = self.examined();
        let (head, compacted) = (self.engine.head(), self.engine.core().compacted());
        if let Some(known) = [head, compacted].into_iter().find(|known| known.revision == revision) {
            return Ok(Some(known));
        }
        match self.engine.page(revision, revision).await {
            Ok(page) => Ok(page.first().filter(|commit| commit.revision == revision).map(|commit| commit.head())),
            Err(AtError::Storage(error)) if revision > compacted.revision => Err(WatchError::Storage(error)),
            Err(AtError::Closed) => Err(WatchError::Closed),
            Err(_) => Ok(None),
        }
    }

    /// Begins again in a state that does not follow from the one before.
    fn begin_other(&mut self) -> WatchEvent {
        self.generation = self.engine.core().generation();
        // The counters of the state before do not move any more.
        self.counter = self.engine.counter(scope_around(&self.cursor.prefix));
        (self.all, self.told) = (None, Revision::ZERO);
        self.begin_again(ResyncReason::OtherEpoch)
    }

    fn begin_again(&mut self, reason: ResyncReason) -> WatchEvent {
        let snapshot = self.engine.snapshot();
        self.cursor.revision = snapshot.revision();
        self.ready.clear();
        WatchEvent::Resync { reason, snapshot }
    }

    /// Reads the commits of a range; the cursor moves past them once they are all there.
    async fn read(&mut self, from: Revision, through: Revision) -> Result<(), WatchError> {
        let commits = match self.engine.page(from, through).await {
            Ok(commits) => commits,
            // Compacted meanwhile: the next step sees it.
            Err(AtError::Compacted { .. }) => return Ok(()),
            Err(AtError::Storage(error)) => return Err(WatchError::Storage(error)),
            Err(AtError::Closed | AtError::Future { .. } | AtError::NoHistory { .. }) => {
                return Err(WatchError::Closed);
            }
        };
        let mut ready = VecDeque::new();
        // A replica's page is all that there is of its range.
        let mut end = if self.engine.core().is_replica { through } else { self.cursor.revision };
        for commit in commits {
            end = commit.revision;
            let shown = self.cursor.shown(&commit);
            if shown.is_empty() {
                continue;
            }
            let mut changes = Vec::with_capacity(shown.len());
            for at in shown {
                let (change, mark) = (commit.changes[at].clone(), commit.marks()[at]);
                let previous = if self.previous { self.previous(&change, mark).await? } else { Previous::NotAsked };
                changes.push(WatchedChange { change, mark, previous });
            }
            ready.push_back(WatchedCommit { commit, changes });
        }
        self.ready = ready;
        self.cursor.revision = end.max(self.cursor.revision);
        Ok(())
    }

    async fn previous(&self, change: &Change, mark: Mark) -> Result<Previous, WatchError> {
        if mark.previous == Revision::ZERO {
            return Ok(Previous::Absent);
        }
        match self.engine.version(change.key(), mark.previous).await {
            Ok(entry) => Ok(Previous::Entry(entry)),
            Err(AtError::Storage(error)) => match &*error {
                // Below the compacted revision only what that revision's state needs is kept.
                StoreError::Damaged(_) | StoreError::Missing { .. }
                    if mark.previous <= self.engine.core().compacted().revision =>
                {
                    Ok(Previous::Compacted)
                }
                _ => Err(WatchError::Storage(error)),
            },
            Err(AtError::Compacted { .. } | AtError::NoHistory { .. }) => Ok(Previous::Compacted),
            Err(AtError::Closed | AtError::Future { .. }) => Err(WatchError::Closed),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips() {
        let identity = Identity { store: Uuid::from_u128(7), epoch: 3 };
        let token = ResumeToken { identity, revision: Revision::new(41) };
        assert_eq!(token.to_string().parse(), Ok(token));
        for bad in ["", "x:1:2", "00000000-0000-0000-0000-000000000007:1", "00000000-0000-0000-0000-000000000007:1:2:3"]
        {
            assert_eq!(bad.parse::<ResumeToken>(), Err(ResumeTokenError));
        }
    }
}
