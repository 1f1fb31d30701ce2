//! Commit: one atomic change, as it is kept for ever; and the names that come with it.
//!
//! Never here: how a commit lies on the disk (`codec.rs`), or how one comes to be (`stage.rs`).

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, Hasher};
use crate::entry::Entry;
use crate::key::Key;
use crate::limits::REQUEST_ID_BYTES_MAX;
use crate::revision::{Revision, Timestamp};
use crate::snapshot::Head;

/// One change of one key.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// The key gets a value.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Arc<[u8]>,
        /// The digest of sealed bytes that belong to the value; the bytes lie in the side area.
        sealed: Option<Digest>,
    },
    /// The key goes away.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Change {
    /// The key that changes.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// Bytes of the key and the value.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, sealed: _ } => key.as_str().len() + value.len(),
            Self::Delete { key } => key.as_str().len(),
        }
    }
}

// Values are never shown: they may hold what must not be printed.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, sealed } => {
                f.debug_struct("Put").field("key", key).field("bytes", &value.len()).field("sealed", sealed).finish()
            }
            Self::Delete { key } => f.debug_struct("Delete").field("key", key).finish(),
        }
    }
}

/// Where a change stands in the history of its key. Follows from the commits before it; kept with the commit so that the
/// past can be read backwards, one step a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The revision that created the key; of a delete, the one that had created it.
    pub created: Revision,
    /// The version count after a put; 0 for a delete.
    pub version: u64,
    /// The revision of the version that this change replaced; zero if the key was absent.
    pub previous: Revision,
}

/// One atomic change of the store: its number, its id, who made it and why, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its number.
    pub revision: Revision,
    /// Its SHA-256, which covers everything below and the parent's id.
    pub id: Digest,
    /// The id of the commit before it; [`Digest::ZERO`] for the first.
    pub parent: Digest,
    /// When it was made, by the engine's clock. Never before the time of its parent.
    pub time: Timestamp,
    /// Who made it.
    pub author: String,
    /// Why.
    pub message: String,
    /// The source of the manifests that it came from.
    pub source: Option<String>,
    /// The id that the caller gave the request.
    pub request_id: Option<RequestId>,
    /// Further facts about it, for people and for the layers above.
    pub annotations: BTreeMap<String, String>,
    /// What it changed, in the order in which the caller gave it. No key stands twice.
    pub changes: Vec<Change>,
    /// One for each change.
    pub(crate) marks: Vec<Mark>,
}

impl Commit {
    /// The mark of each change, in the order of `changes`.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The id that follows from the content.
    #[must_use]
    pub fn computed_id(&self) -> Digest {
        // A new field must be decided about here: what the id does not cover can be altered unseen.
        let Self {
            revision,
            id: _,
            parent,
            time,
            author,
            message,
            source,
            request_id,
            annotations,
            changes,
            marks: _, // follow from the commits before, which the parent's id covers
        } = self;
        let mut hasher = Hasher::new("holdfast/commit/1");
        hasher.number(revision.get());
        hasher.part(parent.as_bytes());
        hasher.number(time.as_millis().cast_unsigned());
        hasher.part(author.as_bytes());
        hasher.part(message.as_bytes());
        for optional in [source.as_deref(), request_id.as_ref().map(RequestId::as_str)] {
            hasher.number(u64::from(optional.is_some()));
            hasher.part(optional.unwrap_or_default().as_bytes());
        }
        hasher.number(annotations.len() as u64);
        for (key, value) in annotations {
            hasher.part(key.as_bytes());
            hasher.part(value.as_bytes());
        }
        hasher.number(changes.len() as u64);
        for change in changes {
            match change {
                Change::Put { key, value, sealed } => {
                    hasher.number(if sealed.is_some() { 2 } else { 1 });
                    hasher.part(key.as_str().as_bytes());
                    hasher.part(value);
                    if let Some(digest) = sealed {
                        hasher.part(digest.as_bytes());
                    }
                }
                Change::Delete { key } => {
                    hasher.number(0);
                    hasher.part(key.as_str().as_bytes());
                }
            }
        }
        hasher.finish()
    }

    /// The head that this commit makes.
    pub(crate) fn head(&self) -> Head {
        Head { revision: self.revision, id: self.id, time: self.time }
    }

    /// The entry that this commit gave `key`.
    pub(crate) fn entry(&self, key: &Key) -> Option<Entry> {
        self.place_of(key).and_then(|at| self.entry_at(at))
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let texts = self.author.len()
            + self.message.len()
            + self.source.as_ref().map_or(0, String::len)
            + self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        size_of::<Self>() + texts + self.changes.iter().map(|change| change.bytes() + 128).sum::<usize>()
    }
}

/// A name that a caller gives a request, so that sending it again does not commit it again: 1 to 128 printable ASCII
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

/// A text that is no request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a request id has 1 to {REQUEST_ID_BYTES_MAX} printable ASCII characters")]
pub struct RequestIdError;

impl RequestId {
    /// Checks `text` and makes a request id of it.
    ///
    /// # Errors
    /// If it is empty, too long, or has anything but printable ASCII.
    pub fn new(text: impl AsRef<str>) -> Result<Self, RequestIdError> {
        let text = text.as_ref();
        let fits = (1..=REQUEST_ID_BYTES_MAX).contains(&text.len());
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if fits && printable { Ok(Self(text.into())) } else { Err(RequestIdError) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RequestId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
