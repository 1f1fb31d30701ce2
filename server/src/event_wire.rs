//! The data of a watch's events on the wire.
//!
//! Never here: reading or writing a connection, and how events stand in a stream (`sse.rs`).

use holdfast_engine::Revision;
use holdfast_reconciler::raw_value::RawValue;
use holdfast_reconciler::watch::{WatchChange, WatchCommit, WatchEntry, WatchItem, WatchResync};
use serde::{Deserialize, Serialize};

use crate::events::RESYNC;

/// The data of a commit in a watch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CommitEvent {
    revision: Revision,
    commit: String,
    time: String,
    author: String,
    message: String,
    changes: Vec<ChangeEvent>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ChangeEvent {
    key: String,
    op: ChangeOp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<RawValue>,
    modified: Revision,
    previous: Option<Revision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChangeOp {
    Put,
    Delete,
}

/// The data of a page of a resync.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ResyncEvent {
    revision: Revision,
    reason: String,
    first: bool,
    entries: Vec<EntryEvent>,
    more: bool,
    /// Where to resume from; on the last page only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryEvent {
    key: String,
    value: RawValue,
    modified: Revision,
}

/// The data of a bookmark.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BookmarkEvent {
    pub(crate) revision: Revision,
    pub(crate) token: String,
}

/// What a watch gave as a JSON document: a commit as the data of its event, a resync with `"event": "resync"` in front.
pub fn watch_document(item: &WatchItem) -> impl Serialize + use<> {
    match item.clone() {
        WatchItem::Commit(commit) => WatchDocument::Commit(CommitEvent::new(commit)),
        WatchItem::Resync(resync) => WatchDocument::Resync { event: RESYNC, resync: ResyncEvent::new(resync, None) },
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum WatchDocument {
    Commit(CommitEvent),
    Resync {
        event: &'static str,
        #[serde(flatten)]
        resync: ResyncEvent,
    },
}

impl CommitEvent {
    pub(crate) fn new(commit: WatchCommit) -> Self {
        let WatchCommit { revision, commit, time, author, message, changes } = commit;
        let change = |WatchChange { key, value, previous }: WatchChange| {
            let op = if value.is_some() { ChangeOp::Put } else { ChangeOp::Delete };
            let value = value.as_deref().map(RawValue::new);
            ChangeEvent { key, op, value, modified: revision, previous }
        };
        Self { revision, commit, time, author, message, changes: changes.into_iter().map(change).collect() }
    }

    /// What was sent; none if a value is not base64, or a put has none.
    pub(crate) fn into_commit(self) -> Option<WatchCommit> {
        let Self { revision, commit, time, author, message, changes } = self;
        let change = |ChangeEvent { key, op, value, modified: _, previous }: ChangeEvent| {
            let value = match (op, value) {
                (ChangeOp::Put, Some(value)) => Some(value.into_bytes()?),
                (ChangeOp::Delete, None) => None,
                (ChangeOp::Put, None) | (ChangeOp::Delete, Some(_)) => return None,
            };
            Some(WatchChange { key, value, previous })
        };
        let changes = changes.into_iter().map(change).collect::<Option<_>>()?;
        Some(WatchCommit { revision, commit, time, author, message, changes })
    }
}

impl ResyncEvent {
    pub(crate) fn new(resync: WatchResync, token: Option<String>) -> Self {
        let WatchResync { revision, reason, first, entries, more } = resync;
        let entry = |WatchEntry { key, value, modified }: WatchEntry| {
            let value = RawValue::new(&value);
            EntryEvent { key, value, modified }
        };
        Self { revision, reason, first, entries: entries.into_iter().map(entry).collect(), more, token }
    }

    /// What was sent; none if a value is not base64.
    pub(crate) fn into_resync(self) -> Option<WatchResync> {
        let Self { revision, reason, first, entries, more, token: _ } = self;
        let entry = |EntryEvent { key, value, modified }: EntryEvent| {
            let value = value.into_bytes()?;
            Some(WatchEntry { key, value, modified })
        };
        let entries = entries.into_iter().map(entry).collect::<Option<_>>()?;
        Some(WatchResync { revision, reason, first, entries, more })
    }
}
