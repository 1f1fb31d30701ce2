//! Taking fields over: `ADDRESS FIELD=rN` says that a live value which somebody else set may be overwritten, as long as
//! its resource was last changed in the revision that the caller looked at.
//!
//! Never here: comparing it with a live record (`diff.rs`), and telling which of them came to nothing (`planner/taking.rs`).

use std::fmt;
use std::str::FromStr;

use holdfast_engine::{Revision, RevisionError};
use serde::{Deserialize, Serialize};

use crate::resource::{Address, NameError, OrgId};

/// One field that is to be taken over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Take {
    /// The organisation, if the caller names one; it must be the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The resource.
    pub address: Address,
    /// The top-level field.
    pub field: String,
    /// The revision that last changed the resource when the caller looked.
    pub revision: Revision,
}

/// A text that takes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// It lacks a part.
    #[error("`{text}` names no field and revision, as in `settings/triage soulMd=r41`")]
    Form {
        /// The text.
        text: String,
    },
    /// Its address is none.
    #[error(transparent)]
    Address(NameError),
    /// Its revision is none.
    #[error(transparent)]
    Revision(RevisionError),
}

impl FromStr for Take {
    type Err = TakeError;

    /// Reads `ADDRESS FIELD=rN`; a name may hold blanks and `=`, a field may not.
    fn from_str(text: &str) -> Result<Self, TakeError> {
        let form = || TakeError::Form { text: text.chars().take(200).collect() };
        let (what, revision) = text.trim().rsplit_once('=').ok_or_else(form)?;
        let (address, field) = what.trim_end().rsplit_once(' ').ok_or_else(form)?;
        if field.is_empty() {
            return Err(form());
        }
        let (org, address) = Address::parse_with_org(address.trim()).map_err(TakeError::Address)?;
        let revision = revision.trim().parse().map_err(TakeError::Revision)?;
        Ok(Self { org, address, field: field.to_owned(), revision })
    }
}

impl fmt::Display for Take {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, address, field, revision } = self;
        if let Some(org) = org {
            write!(out, "{org}:")?;
        }
        write!(out, "{address} {field}={revision}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_take_is_read_and_written_as_a_conflict_shows_it() {
        for text in ["settings/triage soulMd=r2", "secret/a b=c value=r41", "acme:settings/triage soulMd=r0"] {
            let take: Take = text.parse().unwrap();
            assert_eq!(take.to_string(), text);
        }
        assert_eq!("settings/triage  soulMd = 2".parse::<Take>().map(|take| take.to_string()), {
            "settings/triage soulMd=r2".parse::<Take>().map(|take| take.to_string())
        });
        for bad in [
            "",
            "settings/triage",
            "settings/triage=r2",
            "settings/triage soulMd",
            "settings/triage soulMd=x",
            "a b=r1",
        ] {
            assert!(bad.parse::<Take>().is_err(), "{bad:?}");
        }
    }
}
