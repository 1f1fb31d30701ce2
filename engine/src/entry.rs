//! Entry: the value of a key with its place in history.
//!
//! Never here: how a value is to be read. A caller passes the decoder; the entry only remembers its result.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::digest::Digest;
use crate::revision::Revision;

/// One version of a key's value. Immutable; cloning is O(1).
#[derive(Clone)]
pub struct Entry(Arc<Inner>);

struct Inner {
    value: Arc<[u8]>,
    created: Revision,
    modified: Revision,
    version: u64,
    // Boxed: few entries have one, and a million entries are held in memory.
    sealed: Option<Box<Digest>>,
    decoded: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Entry {
    pub(crate) fn new(
        value: Arc<[u8]>,
        sealed: Option<Digest>,
        created: Revision,
        modified: Revision,
        version: u64,
    ) -> Self {
        let sealed = sealed.map(Box::new);
        Self(Arc::new(Inner { value, created, modified, version, sealed, decoded: OnceLock::new() }))
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &Arc<[u8]> {
        &self.0.value
    }

    /// The revision that created the key; a delete and a new put start again.
    #[must_use]
    pub fn created(&self) -> Revision {
        self.0.created
    }

    /// The revision that wrote this version.
    #[must_use]
    pub fn modified(&self) -> Revision {
        self.0.modified
    }

    /// How many times the key was put since it was created; the first put is 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// The digest under which sealed bytes of this entry lie in the side area.
    #[must_use]
    pub fn sealed(&self) -> Option<Digest> {
        self.0.sealed.as_deref().copied()
    }

    /// The value decoded by `decode`; the result is kept with this version, so that later calls with the same type cost one
    /// pointer. An error is not kept.
    ///
    /// The first type that was decoded is the one that is kept; another type is decoded anew at each call.
    ///
    /// # Errors
    /// Whatever `decode` returns.
    pub fn decoded<T, E>(&self, decode: impl FnOnce(&[u8]) -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
    {
        if let Some(kept) = self.0.decoded.get()
            && let Ok(kept) = Arc::clone(kept).downcast::<T>()
        {
            return Ok(kept);
        }
        let fresh = Arc::new(decode(&self.0.value)?);
        // Another thread, or another type, may have been first: its result stays, ours is as good.
        let _ = self.0.decoded.set(Arc::clone(&fresh) as Arc<dyn Any + Send + Sync>);
        Ok(fresh)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        let Inner { value, created, modified, version, sealed, decoded: _ } = &*self.0;
        Arc::ptr_eq(&self.0, &other.0)
            || (*value == other.0.value
                && *created == other.0.created
                && *modified == other.0.modified
                && *version == other.0.version
                && *sealed == other.0.sealed)
    }
}

impl Eq for Entry {}

// A value may be anything, a secret's envelope too: it is never shown, only its length.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("bytes", &self.0.value.len())
            .field("created", &self.0.created)
            .field("modified", &self.0.modified)
            .field("version", &self.0.version)
            .field("sealed", &self.0.sealed)
            .finish_non_exhaustive()
    }
}
