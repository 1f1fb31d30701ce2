//! A moment of a store's past, as people name it: a revision, or a time.
//!
//! Never here: finding the revision of a time; the plane does it.

use std::fmt;
use std::str::FromStr;

use holdfast_engine::{Revision, RevisionError, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment of a store's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A revision.
    Revision(Revision),
    /// What was in force at this time.
    Time(Timestamp),
}

/// A text that names no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// It looks like a revision and is none.
    #[error(transparent)]
    Revision(RevisionError),
    /// It is no revision, and no time.
    #[error("`{text}` is neither a revision, as in `r41`, nor a time, as in `2026-11-22T14:03:00Z`")]
    Time {
        /// The text.
        text: String,
    },
}

impl FromStr for Moment {
    type Err = MomentError;

    /// Accepts `r41`, `41` and times of RFC 3339 with their offset.
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let like_a_time = text.chars().skip(1).any(|char| matches!(char, ':' | '-' | 'T'));
        let like_a_revision = text.trim_start_matches('r').chars().all(|char| char.is_ascii_digit());
        if !like_a_time && like_a_revision {
            return text.parse().map(Self::Revision).map_err(MomentError::Revision);
        }
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Self::Time(Timestamp::from_millis(time.as_millisecond()))),
            Err(_) => Err(MomentError::Time { text: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => revision.fmt(out),
            Self::Time(time) => out.write_str(&crate::embedded::rfc3339(*time)),
        }
    }
}

impl Serialize for Moment {
    /// A revision is its number, a time its text.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Revision(revision) => revision.serialize(to),
            Self::Time(_) => to.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a moment is a revision or a time of RFC 3339")]
        enum Form {
            Revision(Revision),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Revision(revision) => Ok(Self::Revision(revision)),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_and_times_are_told_apart_and_come_back_as_text() {
        for (text, moment) in [
            ("r41", Moment::Revision(Revision::new(41))),
            ("41", Moment::Revision(Revision::new(41))),
            ("2023-11-14T22:13:20Z", Moment::Time(Timestamp::from_millis(1_700_000_000_000))),
            ("2023-11-14T23:13:20.5+01:00", Moment::Time(Timestamp::from_millis(1_700_000_000_500))),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
            assert_eq!(moment.to_string().parse(), Ok(moment), "{text}");
        }
        for bad in ["", "r", "yesterday", "2023-11-14", "14:03", "2023-11-14T22:13:20", "-5", "é"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad:?}");
        }
        for (bad, time) in [("yesterday", true), ("x", true), ("r99999999999999999999", false)] {
            let told = bad.parse::<Moment>().unwrap_err().to_string().contains("nor a time");
            assert_eq!(told, time, "{bad}: a time is possible too");
        }
    }
}
