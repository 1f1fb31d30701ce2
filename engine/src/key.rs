//! Keys of the store: validated once, then carried as a type that cannot be wrong.
//!
//! Never here: what a key means. The engine knows no resource, organisation or kind.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::KEY_BYTES_MAX;

/// A key: UTF-8, 1 to 1024 bytes, no control characters. Orders by its bytes; cloning is O(1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is empty.
    #[error("a key must not be empty")]
    Empty,
    /// The text is too long.
    #[error("a key has at most {KEY_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The text has a control character.
    #[error("a key has no control characters, `{}` has one at byte {at}", text.escape_debug())]
    Control {
        /// The offending text.
        text: String,
        /// Where the character starts, in bytes.
        at: usize,
    },
}

impl Key {
    /// Checks `text` and makes a key of it.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, KeyError> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong { bytes: text.len() });
        }
        match text.char_indices().find(|(_, c)| c.is_control()) {
            Some((at, _)) => Err(KeyError::Control { text: text.to_owned(), at }),
            None => Ok(Self(text.into())),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl std::str::FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_fail_fails() {
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for bad in ["", "a\nb", "\0", "a\u{85}b", "tab\t", long.as_str()] {
            assert!(Key::new(bad).is_err(), "{bad:?} is no key");
        }
    }

    #[test]
    fn what_must_pass_passes() {
        let longest = "x".repeat(KEY_BYTES_MAX);
        for good in ["a", "org/acme/settings/triage", "ключ", " ", longest.as_str()] {
            assert_eq!(Key::new(good).expect("a key").as_str(), good);
        }
    }
}
