//! The life of a follower: connect, take what comes, write the state now and then, and come back after every end, with growing waits.
//!
//! Never here: reading a connection (`feed.rs`), files (`disk.rs`), and answering anybody.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use holdfast_engine::{Change, Digest, Head, Key, Replica, ReplicaCommit, ReplicaError, ReplicaState, ResumeToken};
use holdfast_reconciler::backoff::Backoff;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::follow::{FollowItem, FollowPage};
use holdfast_reconciler::resource::{OrgId, keys};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::disk::{Folder, Writer};
use super::feed::{Feed, Place};
use super::report::{self, Asked};
use super::shared::{Shared, in_line};
use crate::endpoint::Endpoint;
use crate::limits::{
    FOLLOWER_BACKOFF_FIRST, FOLLOWER_BACKOFF_MOST, FOLLOWER_CHECKPOINT_EVERY, FOLLOWER_HELD_BACK_MAX,
    FOLLOWER_PENDING_MAX,
};

/// The code of a token that lacks a role.
const NO_ROLE: &str = "E_ROLE";

/// A follower at work.
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) replica: Replica,
    pub(super) folder: Folder,
    pub(super) endpoint: Endpoint,
    pub(super) name: String,
    /// Whether what is here is of no use to go on from.
    pub(super) whole: bool,
}

/// What a connection has brought and is not in force yet.
#[derive(Default)]
struct Pending {
    /// Whether sealed bytes come with what names them.
    sealed: bool,
    /// The pages of a whole state that came so far.
    state: Option<ReplicaState>,
    commits: Vec<ReplicaCommit>,
    /// Keys whose sealed bytes did not come, because a later commit that is on its way replaced them.
    lacking: BTreeSet<Key>,
    /// Until when they are waited for.
    until: Option<Instant>,
}

/// When the state is written.
struct Checkpoints {
    writer: Writer,
    written: Option<ResumeToken>,
    running: Option<JoinHandle<std::io::Result<ResumeToken>>>,
    due: Instant,
}

impl Work {
    /// Follows until the sender of `stopped` is gone.
    pub(super) async fn run(mut self, asked: Asked, mut stopped: watch::Receiver<()>) {
        let shared = Arc::clone(&self.shared);
        let who = report::Who::new(self.folder.id(), self.folder.identity(), self.name.clone());
        let telling = report::tell(shared, self.endpoint.clone(), who, stopped.clone());
        let telling = tokio::spawn(telling);
        let answering = tokio::spawn(report::answer(self.endpoint.clone(), asked));
        let mut checkpoints = Checkpoints {
            writer: self.folder.writer(),
            written: self.shared.place(),
            running: None,
            due: Instant::now() + FOLLOWER_CHECKPOINT_EVERY,
        };
        tokio::select! {
            () = self.follow(&mut checkpoints) => {}
            _ = stopped.changed() => {}
        }
        self.shared.disconnected(None);
        answering.abort();
        checkpoints.last(&self.shared, self.whole).await;
        let _ = telling.await;
    }

    /// Follows for ever.
    async fn follow(&mut self, checkpoints: &mut Checkpoints) {
        let backoff = Backoff { first: FOLLOWER_BACKOFF_FIRST, most: FOLLOWER_BACKOFF_MOST };
        let mut failures = 0_u32;
        let mut told = String::new();
        loop {
            let head = self.shared.plane.engine().head();
            let from = self.shared.place().filter(|_| !self.whole).map(|place| (place, head.id));
            let mut got = false;
            let problem = match self.connect(from).await {
                Ok((feed, _)) if self.folder.scope().as_ref() != Some(&feed.scope) => {
                    checkpoints.settle().await;
                    match self.begin_anew(&feed.scope) {
                        // At once, and from the beginning.
                        Ok(()) => continue,
                        Err(problem) => problem,
                    }
                }
                Ok((feed, sealed)) => {
                    self.shared.connected();
                    tracing::info!(server = %self.endpoint, from = %head.revision, sealed, "following");
                    self.take_all(feed, sealed, checkpoints, &mut got).await
                }
                Err(problem) => problem,
            };
            failures = if got { 1 } else { failures.saturating_add(1) };
            let error = in_line(&problem);
            // A server that is away for long is no news each time.
            if failures.is_power_of_two() || error != told {
                let help = problem.help.as_deref();
                tracing::warn!(server = %self.endpoint, error, help, failures, "not following, it is tried again");
                told = error;
            }
            self.shared.disconnected(Some(problem));
            let wait = backoff.wait(failures, Uuid::new_v4().as_u64_pair().0);
            tokio::select! {
                () = sleep(wait) => {}
                never = checkpoints.now_and_then(&self.shared), if !self.whole => match never {},
            }
        }
    }

    /// Connects; with the sealed bytes if the token allows it.
    async fn connect(&self, from: Option<Place>) -> Result<(Feed, bool), Problem> {
        match Feed::begin(&self.endpoint, from, true).await {
            Err(problem) if problem.code == NO_ROLE => {
                Feed::begin(&self.endpoint, from, false).await.map(|feed| (feed, false))
            }
            begun => begun.map(|feed| (feed, true)),
        }
    }

    /// What the server gives is of other organisations than what is here, or with more or less of what is sealed: none of this is kept.
    fn begin_anew(&mut self, scope: &str) -> Result<(), Problem> {
        tracing::info!(scope, "what is followed is new here, the state is fetched anew");
        self.whole = true;
        self.folder.begin_anew(scope).map_err(|error| {
            Problem::from_error(ProblemKind::Failed, "E_FOLLOW_FOLDER", &error)
                .help("check the room and the rights there")
        })
    }

    /// Takes what comes over a connection, until it ends; gives why. `got` says whether anything came.
    async fn take_all(
        &mut self,
        mut feed: Feed,
        sealed: bool,
        checkpoints: &mut Checkpoints,
        got: &mut bool,
    ) -> Problem {
        let mut pending = Pending { sealed, ..Pending::default() };
        loop {
            let until = pending.until;
            let held_back = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let items = tokio::select! {
                items = feed.next() => items,
                () = held_back => Ok(Vec::new()),
                // A state that is about to be replaced is not worth writing, and may be of more than is followed now.
                never = checkpoints.now_and_then(&self.shared), if !self.whole => match never {},
            };
            let items = match items {
                Ok(items) => items,
                Err(problem) => return problem,
            };
            *got |= !items.is_empty();
            let overdue = until.is_some_and(|until| Instant::now() >= until);
            if let Err(error) = self.take(items, &mut pending, overdue) {
                self.whole = true;
                return Problem::from_error(ProblemKind::Internal, "E_DIVERGED", &error)
                    .help("the whole state is fetched anew");
            }
        }
    }

    /// Takes some items and brings in force what can be.
    fn take(&mut self, items: Vec<FollowItem>, pending: &mut Pending, overdue: bool) -> Result<(), ReplicaError> {
        for item in items {
            match item {
                FollowItem::State(page) => {
                    if let Some(state) = pending.page(page) {
                        *pending = Pending { sealed: pending.sealed, ..Pending::default() };
                        self.note_other_store(&state);
                        self.replica.reset(state);
                        self.whole = false;
                        self.keys_may_have_changed();
                        self.shared.moved(true);
                    }
                }
                FollowItem::Commit(commit) => pending.commit(commit, &self.replica),
                FollowItem::Moved(head) => {
                    // Everything before has come.
                    self.install(pending)?;
                    self.advance(head)?;
                }
            }
        }
        if pending.lacking.is_empty() || overdue || pending.commits.len() >= FOLLOWER_PENDING_MAX {
            self.install(pending)?;
        }
        Ok(())
    }

    /// Says so if what is taken comes from another store than what is here: that may be a mistake of whoever named the server.
    fn note_other_store(&self, state: &ReplicaState) {
        let Some(place) = self.shared.place() else { return };
        let (before, now) = (place.identity, state.identity);
        let (revision, server) = (state.head.revision, &self.endpoint);
        if before.store != now.store {
            tracing::warn!(%server, before = %before.store, now = %now.store, %revision, "the server holds another store than before, its state is taken");
        } else if before.epoch != now.epoch {
            tracing::warn!(%server, before = before.epoch, now = now.epoch, %revision, "the store was restored, its state is taken");
        }
    }

    fn advance(&mut self, head: Head) -> Result<(), ReplicaError> {
        if self.replica.advance(head)? {
            self.shared.moved(false);
        }
        Ok(())
    }

    fn install(&mut self, pending: &mut Pending) -> Result<(), ReplicaError> {
        let Pending { sealed: _, state: _, commits, lacking, until } = pending;
        lacking.clear();
        *until = None;
        if commits.is_empty() {
            return Ok(());
        }
        let commits = std::mem::take(commits);
        if commits.iter().any(changes_sealing_key) {
            // Before the commit is in force: what it seals is under the new key.
            self.keys_may_have_changed();
        }
        if self.replica.install_all(commits)? > 0 {
            self.shared.moved(false);
        }
        Ok(())
    }

    /// A rotation puts a new key where the host's comes from, if that is the same place or was given it before.
    fn keys_may_have_changed(&self) {
        if let Err(problem) = self.shared.plane.read_keys_again() {
            tracing::warn!(error = problem.message, "the master key cannot be read");
        }
    }
}

/// Whether a commit says which master key seals for an organisation.
fn changes_sealing_key(commit: &ReplicaCommit) -> bool {
    commit.changes.iter().any(|changed| {
        let key = changed.change.key().as_str();
        let org = keys::org_of(key).and_then(|org| OrgId::new(org).ok());
        org.is_some_and(|org| key == keys::sealing(&org))
    })
}

impl Pending {
    /// Takes a page of a whole state; gives it with its last page.
    fn page(&mut self, page: FollowPage) -> Option<ReplicaState> {
        let FollowPage { identity, head, first, entries, sealed, more } = page;
        if first {
            self.state = Some(ReplicaState { identity, head, entries: Vec::new(), sealed: Vec::new() });
        }
        let state = self.state.as_mut()?;
        state.entries.extend(entries);
        state.sealed.extend(sealed);
        if more { None } else { self.state.take() }
    }

    /// Takes a commit, and notes which of its sealed bytes are lacking.
    fn commit(&mut self, commit: ReplicaCommit, replica: &Replica) {
        let came: BTreeSet<Digest> = commit.sealed.iter().map(|bytes| Digest::of(bytes)).collect();
        for changed in &commit.changes {
            let key = changed.change.key();
            match &changed.change {
                Change::Put { sealed: Some(digest), .. }
                    if self.sealed && !came.contains(digest) && replica.engine().sealed(digest).is_none() =>
                {
                    self.lacking.insert(key.clone());
                }
                Change::Put { .. } | Change::Delete { .. } => {
                    self.lacking.remove(key);
                }
            }
        }
        if !self.lacking.is_empty() && self.until.is_none() {
            self.until = Some(Instant::now() + FOLLOWER_HELD_BACK_MAX);
        }
        self.commits.push(commit);
    }
}

impl Checkpoints {
    /// Writes the state whenever it is due; never ends.
    async fn now_and_then(&mut self, shared: &Shared) -> Infallible {
        loop {
            match &mut self.running {
                Some(running) => {
                    let written = running.await;
                    self.running = None;
                    self.took(written.unwrap_or_else(|error| Err(error.into())));
                }
                None => {
                    sleep_until(self.due).await;
                    self.due = Instant::now() + FOLLOWER_CHECKPOINT_EVERY;
                    if shared.place() != self.written {
                        let (writer, engine) = (self.writer.clone(), shared.plane.engine().clone());
                        self.running = Some(tokio::task::spawn_blocking(move || writer.write(&engine)));
                    }
                }
            }
        }
    }

    /// Waits for a state that is being written; none counts as written after this.
    async fn settle(&mut self) {
        self.finish().await;
        self.written = None;
    }

    async fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            let written = running.await;
            self.took(written.unwrap_or_else(|error| Err(error.into())));
        }
    }

    /// Writes the state once more, if it is not written yet and is of what the folder says.
    async fn last(mut self, shared: &Shared, whole: bool) {
        self.finish().await;
        if whole {
            return;
        }
        if shared.place() != self.written {
            let written = self.writer.write(shared.plane.engine());
            self.took(written);
        }
    }

    fn took(&mut self, written: std::io::Result<ResumeToken>) {
        match written {
            Ok(place) => self.written = Some(place),
            Err(error) => {
                tracing::warn!(%error, "the state of the follower was not written; a restart will fetch more")
            }
        }
    }
}
