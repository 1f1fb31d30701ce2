//! Feeding a follower: the state of its organisations, then every commit that touches them, once, in order, whole, and the head
//! whenever it moves over what does not.
//!
//! What a follower gets of a key is all that a replica needs: its place in history, and on request its sealed bytes. Never here:
//! how a watch finds its commits (the engine does), HTTP, and keys of an organisation that was not asked for.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use holdfast_engine::{
    Change, Digest, Engine, Entry, Head, Identity, Key, ReplicaChange, ReplicaCommit, ReplicaEntry, ResumeToken,
    Revision, SealedView, Snapshot, Watch, WatchError, WatchEvent, WatchFrom, WatchOptions, WatchedChange,
    WatchedCommit,
};

use crate::error::{Problem, ProblemKind};
use crate::plane::{FollowRequest, Reach};
use crate::resource::keys;
use crate::watch::watch_problem;

/// How many bytes of values a page of a state holds at most, but for a last one that is larger by itself.
const PAGE_BYTES: usize = 1 << 20;
/// How many entries a page of a state holds at most.
const PAGE_ENTRIES: usize = 1_000;

/// A page of a whole state. What is in no page of it does not exist.
#[derive(Clone, Debug)]
pub struct FollowPage {
    /// The store.
    pub identity: Identity,
    /// The commit that made the state; the commits after it follow.
    pub head: Head,
    /// Whether the state begins here; one that was cut off begins again with its first page.
    pub first: bool,
    /// In the order of keys.
    pub entries: Vec<ReplicaEntry>,
    /// The sealed bytes of the entries, if they were asked for.
    pub sealed: Vec<Arc<[u8]>>,
    /// Whether another page follows.
    pub more: bool,
}

/// What a follower is fed.
#[derive(Clone, Debug)]
pub enum FollowItem {
    /// A whole state replaces everything.
    State(FollowPage),
    /// A commit. Sealed bytes that a later commit replaced already are not there any more.
    Commit(ReplicaCommit),
    /// The head moved here over commits that show nothing; everything before was given out.
    Moved(Head),
}

/// What [`FollowFeed::next`] answers.
pub type FollowNext<'f> = Pin<Box<dyn Future<Output = Result<FollowItem, Problem>> + Send + 'f>>;

/// What feeds a follower. It is a cursor: what nobody asks it for costs nobody anything.
pub trait FollowFeed: Send {
    /// The next item; waits for it. May be cancelled and called again: nothing is lost or given twice.
    fn next(&mut self) -> FollowNext<'_>;
}

/// Begins to feed a follower from an engine.
pub(crate) fn begin(engine: &Engine, request: &FollowRequest) -> Result<Box<dyn FollowFeed>, Problem> {
    let FollowRequest { reach, sealed, from, commit } = request.clone();
    let token = from.map(|text| ResumeToken::from_str(&text)).transpose().map_err(|error| {
        Problem::from_error(ProblemKind::Invalid, "E_TOKEN", &error).help("use a token that this route gave")
    })?;
    let token = token.filter(|token| follows(engine, *token, commit));
    let prefix = match (&reach, reach.only()) {
        (_, Some(org)) => keys::org(org),
        (Reach::All, None) if sealed => String::new(),
        (Reach::All | Reach::Orgs(_), None) => "org/".to_owned(),
    };
    let options = |from| WatchOptions { prefix: prefix.clone(), from, ..WatchOptions::default() };
    let (watch, pages) = match token {
        Some(token) => (engine.watch(options(WatchFrom::Token(token))), None),
        None => {
            let pages = Pages::begin(engine);
            (engine.watch(options(WatchFrom::After(pages.head.revision))), Some(pages))
        }
    };
    let watch = watch.map_err(|error| watch_problem(&error))?;
    Ok(Box::new(Feed { engine: engine.clone(), watch, prefix, reach, sealed, pages, given: Revision::ZERO }))
}

/// Whether what comes after a place follows from what a follower has of it. A store whose files were put back has the same identity,
/// and then other commits, or none yet.
fn follows(engine: &Engine, token: ResumeToken, commit: Option<Digest>) -> bool {
    let known = || engine.head_at(token.revision).ok().map(|head| head.id);
    token.identity == engine.identity()
        && token.revision <= engine.head().revision
        && commit.is_none_or(|commit| known() == Some(commit))
}

struct Feed {
    engine: Engine,
    watch: Watch,
    /// Every key that may be given begins so.
    prefix: String,
    reach: Reach,
    sealed: bool,
    /// What is left of a state.
    pages: Option<Pages>,
    /// The revision of the last state that was given: commits up to it are part of it.
    given: Revision,
}

/// A state of which pages are left.
struct Pages {
    identity: Identity,
    head: Head,
    snapshot: Snapshot,
    sealed: SealedView,
    /// The first key of the next page.
    from: Option<Key>,
}

impl Pages {
    fn begin(engine: &Engine) -> Self {
        let (snapshot, sealed) = engine.snapshot_with_sealed();
        Self { identity: engine.identity(), head: snapshot.head(), snapshot, sealed, from: None }
    }
}

impl FollowFeed for Feed {
    fn next(&mut self) -> FollowNext<'_> {
        Box::pin(self.item())
    }
}

impl Feed {
    async fn item(&mut self) -> Result<FollowItem, Problem> {
        loop {
            if let Some(pages) = self.pages.take() {
                return Ok(FollowItem::State(self.page(pages)));
            }
            match self.watch.next_or_moved().await.map_err(|error| watch_problem(&error))? {
                Some(WatchEvent::Commit(commit)) if commit.commit.revision <= self.given => {}
                Some(WatchEvent::Commit(commit)) => return Ok(self.commit(commit)),
                // A newer state than the watch has, because this one comes with its sealed bytes.
                Some(WatchEvent::Resync { .. }) => self.pages = Some(Pages::begin(&self.engine)),
                None => {
                    let place = self.watch.place().await.map_err(|error: WatchError| watch_problem(&error))?;
                    if let Some(head) = place.filter(|head| head.revision > self.given) {
                        return Ok(FollowItem::Moved(head));
                    }
                }
            }
        }
    }

    fn shows(&self, key: &Key) -> bool {
        match (&self.reach, keys::org_of(key.as_str())) {
            (Reach::All, _) => true,
            (Reach::Orgs(orgs), Some(org)) => orgs.iter().any(|known| known.as_str() == org),
            (Reach::Orgs(_), None) => false,
        }
    }

    fn commit(&self, WatchedCommit { commit, changes }: WatchedCommit) -> FollowItem {
        let head = Head { revision: commit.revision, id: commit.id, time: commit.time };
        let shown = changes.into_iter().filter(|changed| self.shows(changed.change.key()));
        let changes: Vec<_> = shown
            .map(|WatchedChange { change, mark, previous: _ }| {
                let previous = (mark.previous != Revision::ZERO).then_some(mark.previous);
                ReplicaChange { change, previous }
            })
            .collect();
        if changes.is_empty() {
            return FollowItem::Moved(head);
        }
        let digests = changes.iter().filter_map(|changed| match &changed.change {
            Change::Put { sealed, .. } if self.sealed => *sealed,
            Change::Put { .. } | Change::Delete { .. } => None,
        });
        let sealed = digests.filter_map(|digest| self.engine.sealed(&digest)).collect();
        let (author, message) = (commit.author.clone(), commit.message.clone());
        FollowItem::Commit(ReplicaCommit { head, author, message, changes, sealed })
    }

    /// The next page of a state; keeps what is left of it.
    fn page(&mut self, pages: Pages) -> FollowPage {
        let Pages { identity, head, snapshot, sealed: view, from } = pages;
        let (mut entries, mut sealed, mut bytes, mut next) = (Vec::new(), Vec::new(), 0, None);
        let begin = from.as_ref().map_or(self.prefix.as_str(), Key::as_str);
        let shown = snapshot.range(begin..).take_while(|(key, _)| key.as_str().starts_with(&self.prefix));
        for (key, entry) in shown.filter(|(key, _)| self.shows(key)) {
            if entries.len() == PAGE_ENTRIES || bytes >= PAGE_BYTES {
                next = Some(key.clone());
                break;
            }
            if let Some(found) = entry.sealed().filter(|_| self.sealed).and_then(|digest| view.get(&digest)) {
                bytes += found.len();
                sealed.push(found);
            }
            bytes += entry.value().len();
            entries.push(fed(key, entry));
        }
        let (first, more) = (from.is_none(), next.is_some());
        self.given = head.revision;
        self.pages = next.map(|key| Pages { identity, head, snapshot, sealed: view, from: Some(key) });
        FollowPage { identity, head, first, entries, sealed, more }
    }
}

fn fed(key: &Key, entry: &Entry) -> ReplicaEntry {
    ReplicaEntry {
        key: key.clone(),
        value: Arc::clone(entry.value()),
        created: entry.created(),
        modified: entry.modified(),
        version: entry.version(),
        sealed: entry.sealed(),
    }
}
