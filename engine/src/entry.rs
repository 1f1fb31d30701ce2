//! Entry: the value of a key with its place in history.
//!
//! Never here: how a value is to be read. A caller passes the decoder; the entry only remembers its result.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::digest::Digest;
use crate::limits::DECODED_TYPES_MAX;
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
    decoded: Slot,
}

/// Where a decoded value is kept, once there is one.
type Slot = OnceLock<Box<Decoded>>;

/// A decoded value of one type, and the slot of the next type.
struct Decoded {
    value: Arc<dyn Any + Send + Sync>,
    next: Slot,
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

    /// An entry of the first revision, for a [`Snapshot::of`](crate::Snapshot::of) values that no store has.
    #[must_use]
    pub fn of(value: Arc<[u8]>) -> Self {
        let first = Revision::ZERO.next();
        Self::new(value, None, first, first, 1)
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
    /// Each of the first [`DECODED_TYPES_MAX`] types that are asked for is kept; others are decoded anew at each call.
    ///
    /// # Errors
    /// Whatever `decode` returns.
    pub fn decoded<T, E>(&self, decode: impl FnOnce(&[u8]) -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
    {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let fresh = Arc::new(decode(&self.0.value)?);
        let mut slot = &self.0.decoded;
        for _ in 0..DECODED_TYPES_MAX {
            let ours =
                || Box::new(Decoded { value: Arc::clone(&fresh) as Arc<dyn Any + Send + Sync>, next: Slot::new() });
            let kept = slot.get_or_init(ours);
            if kept.value.is::<T>() {
                // Ours, or that of another thread that was first, which is as good.
                break;
            }
            slot = &kept.next;
        }
        Ok(fresh)
    }

    fn kept<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let mut next = self.0.decoded.get();
        while let Some(kept) = next {
            if kept.value.is::<T>() {
                return Arc::clone(&kept.value).downcast().ok();
            }
            next = kept.next.get();
        }
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_decoded_once_up_to_the_most_that_are_kept() {
        let entry = Entry::new(b"41".as_slice().into(), None, Revision::ZERO, Revision::ZERO, 1);
        let calls = std::cell::Cell::new(0);
        fn parse<T: std::str::FromStr>(calls: &std::cell::Cell<u32>) -> impl FnOnce(&[u8]) -> Result<T, T::Err> + '_ {
            |bytes| {
                calls.set(calls.get() + 1);
                std::str::from_utf8(bytes).expect("it is text").parse()
            }
        }
        for round in 1..=3 {
            assert_eq!(entry.decoded(parse::<u8>(&calls)).map(|kept| *kept), Ok(41));
            assert_eq!(entry.decoded(parse::<u16>(&calls)).map(|kept| *kept), Ok(41));
            assert_eq!(entry.decoded(parse::<u32>(&calls)).map(|kept| *kept), Ok(41));
            assert_eq!(entry.decoded(parse::<String>(&calls)).map(|kept| kept.len()), Ok(2));
            assert_eq!(calls.get(), 4, "round {round}");
        }
        for more in 1..=2 {
            assert_eq!(entry.decoded(parse::<u64>(&calls)).map(|kept| *kept), Ok(41));
            assert_eq!(calls.get(), 4 + more, "a fifth type is decoded each time");
        }
        assert!(entry.decoded(parse::<bool>(&calls)).is_err());
    }
}
