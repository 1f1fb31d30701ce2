//! Following an organisation: every commit that touches its keys, once, in order, whole; as plain data that any face can send.
//!
//! Never here: how a watch finds its commits (the engine does), HTTP, and keys or values of another organisation.

use std::pin::Pin;
use std::str::FromStr;

use holdfast_engine::{
    Change, Entry, Key, ResumeToken, ResyncReason, Revision, Snapshot, Watch, WatchError, WatchEvent, WatchFrom,
    WatchOptions, WatchedChange, WatchedCommit,
};

use crate::embedded::{Plane, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::resource::{OrgId, keys};

/// Where a watch begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WatchStart {
    /// With the commits after the head.
    #[default]
    Now,
    /// With the commits after this revision.
    After(Revision),
    /// Where another watch was: its token. From another store or epoch the watch begins with a resync.
    Token(String),
}

/// Asks to follow an organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchRequest {
    /// The organisation; without it the plane's rule decides, once, when the watch begins.
    pub org: Option<OrgId>,
    /// Only keys that begin so, inside the organisation: `kv/`, `live/settings/`; empty for all.
    pub prefix: String,
    /// Where the watch begins.
    pub start: WatchStart,
}

/// One change of a watched commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchChange {
    /// The key inside the organisation.
    pub key: String,
    /// The new value; none for a delete.
    pub value: Option<Vec<u8>>,
    /// The revision that the change replaced; none if the key was absent.
    pub previous: Option<Revision>,
}

/// A commit, with those of its changes that the watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchCommit {
    /// Its revision.
    pub revision: Revision,
    /// Its id in hex.
    pub commit: String,
    /// When, in RFC 3339.
    pub time: String,
    /// Who.
    pub author: String,
    /// Why.
    pub message: String,
    /// In the commit's order.
    pub changes: Vec<WatchChange>,
}

/// One entry of the state that a resync starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEntry {
    /// The key inside the organisation.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision that last touched it.
    pub modified: Revision,
}

/// A page of the state that a resync starts from. What is in no page of it does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchResync {
    /// The revision of the state; the commits after it follow.
    pub revision: Revision,
    /// Why, in one word: `compacted` or `other_epoch`.
    pub reason: String,
    /// Whether the state begins here; a resync that was cut off begins again with its first page.
    pub first: bool,
    /// In the order of keys.
    pub entries: Vec<WatchEntry>,
    /// Whether another page follows.
    pub more: bool,
}

/// What a watch gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// A commit.
    Commit(WatchCommit),
    /// The watch could not go on where it was: everything known of the organisation is replaced by what follows.
    Resync(WatchResync),
}

/// What [`WatchFeed::next`] answers.
pub type WatchNext<'f> = Pin<Box<dyn Future<Output = Result<WatchItem, Problem>> + Send + 'f>>;
/// What [`WatchFeed::bookmark`] answers.
pub type WatchMark<'f> = Pin<Box<dyn Future<Output = Result<String, Problem>> + Send + 'f>>;

/// A running watch. It is a cursor: what nobody asks it for costs nobody anything.
pub trait WatchFeed: Send {
    /// The next item; waits for it. May be cancelled and called again: nothing is lost or given twice.
    fn next(&mut self) -> WatchNext<'_>;

    /// The token to resume from: everything up to its revision that the watch shows has been given out.
    fn bookmark(&mut self) -> WatchMark<'_>;
}

/// The revision that a resume token stands at.
///
/// # Errors
/// `Invalid` for a text that is no token.
pub fn token_revision(token: &str) -> Result<Revision, Problem> {
    parse_token(token).map(|token| token.revision)
}

fn parse_token(token: &str) -> Result<ResumeToken, Problem> {
    ResumeToken::from_str(token).map_err(|error| {
        Problem::from_error(ProblemKind::Invalid, "E_TOKEN", &error)
            .help("use a revision, or a token that a watch gave")
    })
}

/// How many bytes of values a page of a resync holds at most, but for a last one that is larger by itself.
const RESYNC_PAGE_BYTES: usize = 1 << 20;
/// How many entries a page of a resync holds at most.
const RESYNC_PAGE_ENTRIES: usize = 1_000;

/// Begins a watch on the plane in this process.
pub(crate) fn begin(plane: &Plane, request: &WatchRequest) -> Result<Box<dyn WatchFeed>, Problem> {
    let org = plane.org(request.org.as_ref(), &plane.engine().snapshot());
    let root = keys::org(&org);
    let prefix = format!("{root}{}", request.prefix);
    let from = match &request.start {
        WatchStart::Now => WatchFrom::Now,
        WatchStart::After(revision) => WatchFrom::After(*revision),
        WatchStart::Token(token) => WatchFrom::Token(parse_token(token)?),
    };
    let options = WatchOptions { prefix: prefix.clone(), from, ..WatchOptions::default() };
    let watch = plane.engine().watch(options).map_err(|error| watch_problem(&error))?;
    let token = match &request.start {
        WatchStart::Token(token) => token.clone(),
        WatchStart::Now | WatchStart::After(_) => watch.token().to_string(),
    };
    Ok(Box::new(Feed { watch, root, prefix, resync: None, token }))
}

struct Feed {
    watch: Watch,
    /// What stands before every key of the organisation.
    root: String,
    prefix: String,
    resync: Option<Resync>,
    /// Where to resume; in the middle of a resync still the place before it, because half a state is none.
    token: String,
}

/// A resync of which pages are left.
struct Resync {
    snapshot: Snapshot,
    reason: ResyncReason,
    /// The first key of the next page.
    from: Option<Key>,
}

impl WatchFeed for Feed {
    fn next(&mut self) -> WatchNext<'_> {
        Box::pin(async move {
            let item = match self.resync.take() {
                Some(resync) => WatchItem::Resync(self.page(resync)),
                None => match self.watch.next().await {
                    Ok(WatchEvent::Commit(commit)) => WatchItem::Commit(self.commit(commit)),
                    Ok(WatchEvent::Resync { reason, snapshot }) => {
                        WatchItem::Resync(self.page(Resync { snapshot, reason, from: None }))
                    }
                    Err(error) => return Err(watch_problem(&error)),
                },
            };
            if self.resync.is_none() {
                self.token = self.watch.token().to_string();
            }
            Ok(item)
        })
    }

    fn bookmark(&mut self) -> WatchMark<'_> {
        Box::pin(async move {
            // A resync that has not begun is seen by the next item, not passed over here.
            if self.resync.is_none() && self.same_place() {
                self.watch.bookmark().await;
                self.token = self.watch.token().to_string();
            }
            Ok(self.token.clone())
        })
    }
}

impl Feed {
    /// Whether the watch is where the token says; not so before the first item of a watch with a foreign token.
    fn same_place(&self) -> bool {
        parse_token(&self.token).is_ok_and(|token| token.identity == self.watch.token().identity)
    }

    fn commit(&self, WatchedCommit { commit, changes }: WatchedCommit) -> WatchCommit {
        let change = |WatchedChange { change, mark, previous: _ }: WatchedChange| {
            let key = self.relative(change.key());
            let value = match change {
                Change::Put { value, .. } => Some(value.to_vec()),
                Change::Delete { .. } => None,
            };
            let previous = (mark.previous != Revision::ZERO).then_some(mark.previous);
            WatchChange { key, value, previous }
        };
        WatchCommit {
            revision: commit.revision,
            commit: commit.id.to_string(),
            time: rfc3339(commit.time),
            author: commit.author.clone(),
            message: commit.message.clone(),
            changes: changes.into_iter().map(change).collect(),
        }
    }

    /// The next page of a resync; keeps what is left of it.
    fn page(&mut self, Resync { snapshot, reason, from }: Resync) -> WatchResync {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut next = None;
        let begin = from.as_ref().map_or(self.prefix.as_str(), Key::as_str);
        for (key, entry) in snapshot.range(begin..).take_while(|(key, _)| key.as_str().starts_with(&self.prefix)) {
            if entries.len() == RESYNC_PAGE_ENTRIES || bytes >= RESYNC_PAGE_BYTES {
                next = Some(key.clone());
                break;
            }
            bytes += entry.value().len();
            entries.push(WatchEntry {
                key: self.relative(key),
                value: entry.value().to_vec(),
                modified: Entry::modified(entry),
            });
        }
        let reason_word = match reason {
            ResyncReason::Compacted { .. } => "compacted",
            ResyncReason::OtherEpoch => "other_epoch",
        };
        let (revision, first, more) = (snapshot.revision(), from.is_none(), next.is_some());
        self.resync = next.map(|key| Resync { snapshot, reason, from: Some(key) });
        WatchResync { revision, reason: reason_word.to_owned(), first, entries, more }
    }

    fn relative(&self, key: &Key) -> String {
        key.as_str().strip_prefix(&self.root).unwrap_or_default().to_owned()
    }
}

pub(crate) fn watch_problem(error: &WatchError) -> Problem {
    let (kind, code, help) = match error {
        WatchError::Future { .. } => (ProblemKind::NotFound, "E_FUTURE", "begin at the head, or before it"),
        WatchError::Closed => (ProblemKind::Unavailable, "E_CLOSED", "begin again with the last token"),
        _ => (ProblemKind::Internal, "E_STORE", "run `reconcile verify`"),
    };
    Problem::from_error(kind, code, error).help(help)
}
