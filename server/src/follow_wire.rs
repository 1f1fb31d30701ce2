//! What a follower is fed, on the wire: the data of the events of `GET /v1/follow`, and the body of its reports.
//!
//! Never here: reading or writing a connection, and how events stand in a stream (`sse.rs`).

use std::sync::Arc;

use holdfast_engine::{
    Change, Digest, Head, Identity, Key, ReplicaChange, ReplicaCommit, ReplicaEntry, ResumeToken, Revision, Timestamp,
};
use holdfast_reconciler::follow::{FollowItem, FollowPage};
use holdfast_reconciler::raw_value::RawValue;
use serde::{Deserialize, Serialize};

/// The name of the event that is a page of a whole state.
pub(crate) const STATE: &str = "state";
/// The name of the event that moves the head over what shows nothing.
pub(crate) const MOVED: &str = "moved";
/// The name of the event that says that the server lives.
pub(crate) const ALIVE: &str = "alive";

/// The body of `PUT /v1/followers/{id}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowerBody {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) place: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<String>,
}

/// A commit as a head.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct HeadEvent {
    revision: Revision,
    commit: Digest,
    time_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StateEvent {
    /// The store, its epoch and the revision of the state.
    token: String,
    #[serde(flatten)]
    head: HeadEvent,
    first: bool,
    entries: Vec<FedEntry>,
    sealed: Vec<RawValue>,
    more: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct FedEntry {
    key: Key,
    value: RawValue,
    created: Revision,
    modified: Revision,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FedCommit {
    #[serde(flatten)]
    head: HeadEvent,
    author: String,
    message: String,
    changes: Vec<FedChange>,
    sealed: Vec<RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FedChange {
    key: Key,
    /// The new value; none for a delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Digest>,
    previous: Option<Revision>,
}

/// The data of an event, by the event that it is of.
#[derive(Debug)]
pub(crate) enum Fed {
    State(StateEvent),
    Commit(FedCommit),
    Moved(HeadEvent),
}

impl HeadEvent {
    fn new(Head { revision, id, time }: Head) -> Self {
        Self { revision, commit: id, time_ms: time.as_millis() }
    }

    pub(crate) fn into_head(self) -> Head {
        Head { revision: self.revision, id: self.commit, time: Timestamp::from_millis(self.time_ms) }
    }
}

impl Fed {
    pub(crate) fn new(item: FollowItem) -> Self {
        match item {
            FollowItem::State(page) => Self::State(StateEvent::new(page)),
            FollowItem::Commit(commit) => Self::Commit(FedCommit::new(commit)),
            FollowItem::Moved(head) => Self::Moved(HeadEvent::new(head)),
        }
    }

    /// What was sent; none if it is not what this protocol sends.
    pub(crate) fn into_item(self) -> Option<FollowItem> {
        Some(match self {
            Self::State(event) => FollowItem::State(event.into_page()?),
            Self::Commit(event) => FollowItem::Commit(event.into_commit()?),
            Self::Moved(head) => FollowItem::Moved(head.into_head()),
        })
    }
}

impl StateEvent {
    fn new(page: FollowPage) -> Self {
        let FollowPage { identity, head, first, entries, sealed, more } = page;
        let entry = |entry: ReplicaEntry| {
            let ReplicaEntry { key, value, created, modified, version, sealed } = entry;
            FedEntry { key, value: RawValue::new(&value), created, modified, version, sealed }
        };
        Self {
            token: ResumeToken { identity, revision: head.revision }.to_string(),
            head: HeadEvent::new(head),
            first,
            entries: entries.into_iter().map(entry).collect(),
            sealed: encoded(&sealed),
            more,
        }
    }

    fn into_page(self) -> Option<FollowPage> {
        let Self { token, head, first, entries, sealed, more } = self;
        let identity: Identity = token.parse::<ResumeToken>().ok()?.identity;
        let entry = |entry: FedEntry| {
            let FedEntry { key, value, created, modified, version, sealed } = entry;
            let value = value.into_bytes()?.into();
            Some(ReplicaEntry { key, value, created, modified, version, sealed })
        };
        let entries = entries.into_iter().map(entry).collect::<Option<_>>()?;
        Some(FollowPage { identity, head: head.into_head(), first, entries, sealed: decoded(sealed)?, more })
    }
}

impl FedCommit {
    fn new(commit: ReplicaCommit) -> Self {
        let ReplicaCommit { head, author, message, changes, sealed } = commit;
        let change = |ReplicaChange { change, previous }: ReplicaChange| match change {
            Change::Put { key, value, sealed } => {
                FedChange { key, value: Some(RawValue::new(&value)), sealed, previous }
            }
            Change::Delete { key } => FedChange { key, value: None, sealed: None, previous },
        };
        let changes = changes.into_iter().map(change).collect();
        Self { head: HeadEvent::new(head), author, message, changes, sealed: encoded(&sealed) }
    }

    fn into_commit(self) -> Option<ReplicaCommit> {
        let Self { head, author, message, changes, sealed } = self;
        let change = |FedChange { key, value, sealed, previous }: FedChange| {
            let change = match value {
                Some(value) => Change::Put { key, value: value.into_bytes()?.into(), sealed },
                None => Change::Delete { key },
            };
            Some(ReplicaChange { change, previous })
        };
        let changes = changes.into_iter().map(change).collect::<Option<_>>()?;
        Some(ReplicaCommit { head: head.into_head(), author, message, changes, sealed: decoded(sealed)? })
    }
}

fn encoded(sealed: &[Arc<[u8]>]) -> Vec<RawValue> {
    sealed.iter().map(|bytes| RawValue::new(bytes)).collect()
}

fn decoded(sealed: Vec<RawValue>) -> Option<Vec<Arc<[u8]>>> {
    sealed.into_iter().map(|value| value.into_bytes().map(Arc::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let head = Head { revision: Revision::new(7), id: Digest::of(b"x"), time: Timestamp::from_millis(-5) };
        let key = |text: &str| Key::new(text).unwrap();
        let sealed: Vec<Arc<[u8]>> = vec![b"\x00\xffsealed".as_slice().into()];
        let identity = "00000000-0000-0000-0000-000000000001:3:0".parse::<ResumeToken>().unwrap().identity;
        let entry = ReplicaEntry {
            key: key("org/a/live/x/y"),
            value: b"\xff\x00".as_slice().into(),
            created: Revision::new(1),
            modified: Revision::new(6),
            version: 3,
            sealed: Some(Digest::of(&sealed[0])),
        };
        let page = FollowPage { identity, head, first: true, entries: vec![entry], sealed: sealed.clone(), more: true };
        let put = Change::Put { key: key("a"), value: b"{}".as_slice().into(), sealed: None };
        let changes = vec![
            ReplicaChange { change: put, previous: None },
            ReplicaChange { change: Change::Delete { key: key("b") }, previous: Some(Revision::new(2)) },
        ];
        let commit = ReplicaCommit { head, author: "me".into(), message: "line\nline".into(), changes, sealed };
        let again = |item: FollowItem| match Fed::new(item) {
            Fed::State(event) => Fed::State(serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap()),
            Fed::Commit(event) => Fed::Commit(serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap()),
            Fed::Moved(event) => Fed::Moved(serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap()),
        };
        match again(FollowItem::State(page.clone())).into_item().unwrap() {
            FollowItem::State(read) => {
                assert_eq!((read.identity, read.head, read.first, read.more), (identity, head, true, true));
                assert_eq!((&read.entries[0].value, &read.sealed), (&page.entries[0].value, &page.sealed));
                assert_eq!(read.entries[0].sealed, page.entries[0].sealed);
            }
            other => panic!("{other:?}"),
        }
        match again(FollowItem::Commit(commit.clone())).into_item().unwrap() {
            FollowItem::Commit(read) => {
                assert_eq!((read.head, &read.message, &read.sealed), (head, &commit.message, &commit.sealed));
                let pairs = read.changes.iter().zip(&commit.changes);
                assert!(
                    pairs.clone().all(|(read, sent)| (&read.change, read.previous) == (&sent.change, sent.previous))
                );
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(again(FollowItem::Moved(head)).into_item(), Some(FollowItem::Moved(read)) if read == head));
        let broken = r#"{"revision":1,"commit":"00","time_ms":0,"author":"","message":"","changes":[],"sealed":[]}"#;
        assert!(serde_json::from_str::<FedCommit>(broken).is_err(), "a digest is one");
    }
}
