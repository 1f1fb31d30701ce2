//! Revision numbers and commit times.
//!
//! Never here: a clock. Times are passed in, and how they look to a person is decided at the edge.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of a commit: 1, 2, 3, ... `Revision::ZERO` is the state before the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// The state before the first commit.
    pub const ZERO: Self = Self(0);

    /// Makes a revision of a number that came from outside.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision that follows.
    ///
    /// # Panics
    /// After 2^64 - 1 commits.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("fewer than 2^64 commits are ever made"))
    }

    /// The revision before; zero stays zero.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// A text that is no revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no revision, expected `r` and a number, as in `r41`")]
pub struct RevisionError {
    text: String,
    source: ParseIntError,
}

impl FromStr for Revision {
    type Err = RevisionError;

    /// Accepts `r41` and `41`.
    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let digits = text.strip_prefix('r').unwrap_or(text);
        // `u64::from_str` takes a plus sign; a revision has none.
        let digits = if digits.starts_with('+') { "" } else { digits };
        digits.parse().map(Self).map_err(|source| RevisionError { text: text.to_owned(), source })
    }
}

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const ZERO: Self = Self(0);

    /// A time from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        assert_eq!("r41".parse(), Ok(Revision::new(41)));
        assert_eq!("41".parse(), Ok(Revision::new(41)));
        assert_eq!(Revision::new(41).to_string(), "r41");
    }

    #[test]
    fn what_is_no_revision_is_refused() {
        for bad in ["", "r", "r-1", "r+1", "+1", "41 ", "rr1", "18446744073709551616"] {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?} is no revision");
        }
    }
}
