//! What is asked of sessions. What they are given is [`SessionContext`](crate::agents::context::SessionContext).
//!
//! Never here: how it is answered.

use std::fmt;
use std::str::FromStr;

use holdfast_engine::{Revision, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::agents::profile::EphemeralProfile;
use crate::resource::OrgId;

/// A point in the past: a revision, or a time, which stands for the newest revision that was there then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// As of this revision.
    Revision(Revision),
    /// As of this time.
    Time(Timestamp),
}

/// A text that is neither a revision nor a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no revision such as `r41` and no time such as `2026-05-04T14:03:00Z`")]
pub struct AtTextError(String);

impl FromStr for At {
    type Err = AtTextError;
    fn from_str(text: &str) -> Result<Self, AtTextError> {
        if let Ok(revision) = text.parse() {
            return Ok(Self::Revision(revision));
        }
        let time: jiff::Timestamp =
            text.parse().map_err(|_| AtTextError(text.chars().take(80).flat_map(char::escape_default).collect()))?;
        Ok(Self::Time(Timestamp::from_millis(time.as_millisecond())))
    }
}

impl fmt::Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(out, "{revision}"),
            Self::Time(time) => out.write_str(&crate::embedded::rfc3339(*time)),
        }
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Revision(revision) => revision.serialize(to),
            Self::Time(_) => to.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
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

/// Asks for a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionRequest {
    /// The organisation; without it the plane's rule decides.
    pub org: Option<OrgId>,
    /// The agent.
    pub agent: String,
    /// The user.
    pub user: Option<String>,
    /// As of this revision or time; only for looking.
    pub at: Option<At>,
    /// Answer also if no credential is usable, for hosts that add keys elsewhere.
    pub allow_missing: bool,
    /// Credentials that the host has for this session alone, in process; they rank after the owner's profiles.
    #[serde(skip)]
    pub ephemeral: Vec<EphemeralProfile>,
}
