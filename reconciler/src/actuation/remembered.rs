//! What is remembered of a resource that may exist outside: the reminder of the store that stands from before the first `make`
//! until after `remove`. It is the finalizer of other systems, without a revision of its own.
//!
//! Never here: values of the resource, secret or not.

use std::collections::BTreeSet;

use holdfast_engine::{Engine, Key, ReminderError, Revision};
use serde::{Deserialize, Serialize};

use super::Target;
use crate::resource::{Address, OrgId};

/// What stands before the keys of all reminders of effects.
const PREFIX: &str = "outside/";

/// What may exist outside, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The revision of the resource that was made, or was about to be.
    pub(crate) revision: Revision,
    /// Whether it was made: the observed revision. Else it may be there or not, whole or in part.
    pub(crate) made: bool,
    /// What it needs, as it was made or was about to be: none of these may be removed before it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) needs: BTreeSet<Address>,
}

fn key(target: &Target) -> Option<Key> {
    Key::new(format!("{PREFIX}{}/{}", target.org, target.address)).ok()
}

fn target(key: &Key) -> Option<Target> {
    let (org, address) = key.as_str().strip_prefix(PREFIX)?.split_once('/')?;
    Some(Target { org: OrgId::new(org).ok()?, address: address.parse().ok()? })
}

impl Remembered {
    /// Makes it durable.
    pub(crate) fn write(&self, engine: &Engine, about: &Target) -> Result<(), ReminderError> {
        let bytes = serde_json::to_vec(self).expect("a reminder is always JSON");
        let Some(key) = key(about) else { return Err(ReminderError::TooLarge { bytes: bytes.len() }) };
        engine.remind(&key, &bytes)
    }

    /// Takes it away.
    pub(crate) fn forget(engine: &Engine, about: &Target) -> Result<(), ReminderError> {
        key(about).map_or(Ok(()), |key| engine.forget(&key))
    }

    /// Everything that is remembered. What does not say how far it came counts as not made.
    pub(crate) fn all(engine: &Engine) -> Result<Vec<(Target, Self)>, ReminderError> {
        let reminders = engine.reminders(PREFIX)?;
        let read = reminders.into_iter().filter_map(|reminder| {
            Some((target(&reminder.key)?, serde_json::from_slice(&reminder.bytes).unwrap_or_default()))
        });
        Ok(read.collect())
    }

    /// Whether anything of an organisation may exist outside.
    pub(crate) fn is_any(engine: &Engine, org: &OrgId) -> Result<bool, ReminderError> {
        engine.reminders(&format!("{PREFIX}{org}/")).map(|found| !found.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use holdfast_engine::{MemoryStore, Options, Timestamp};

    use super::*;

    #[test]
    fn what_is_remembered_comes_back_under_its_resource() {
        let engine = Engine::open(Box::new(MemoryStore::new()), Options::new(|| Timestamp::ZERO)).unwrap();
        let about = |org: &str, address: &str| Target { org: org.parse().unwrap(), address: address.parse().unwrap() };
        let needs = BTreeSet::from(["net/a".parse().unwrap()]);
        let made = Remembered { revision: Revision::new(7), made: true, needs };
        made.write(&engine, &about("acme", "file/a/b c")).unwrap();
        Remembered::default().write(&engine, &about("b", "file/x")).unwrap();
        let all = Remembered::all(&engine).unwrap();
        assert_eq!(all, [(about("acme", "file/a/b c"), made), (about("b", "file/x"), Remembered::default())]);
        let acme = OrgId::new("acme").unwrap();
        assert!(Remembered::is_any(&engine, &acme).unwrap());
        Remembered::forget(&engine, &about("acme", "file/a/b c")).unwrap();
        assert!(!Remembered::is_any(&engine, &acme).unwrap());
    }
}
