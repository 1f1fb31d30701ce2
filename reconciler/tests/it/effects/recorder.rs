//! An actuator that records every call, and does as it is told: succeed, fail, stall, panic or wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};

use holdfast_engine::Revision;
use holdfast_reconciler::actuator::{Actuator, ActuatorError, Errand, Observed, Wanted};
use holdfast_reconciler::resource::{Address, KindName};

use super::kind;

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Made(String, Revision),
    Removed(String),
}

/// How the next calls for a resource end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Transient,
    Stalled,
    Panics,
    /// They wait until somebody says otherwise.
    Waits,
}

#[derive(Default)]
struct Inner {
    did: Vec<Did>,
    /// What is there: revision and the value of `content`.
    there: BTreeMap<String, (Revision, String)>,
    ends: BTreeMap<String, Ends>,
    running: BTreeSet<String>,
    calls: BTreeMap<String, u64>,
    broken: Vec<String>,
}

/// Records calls. Clones share it.
#[derive(Clone)]
pub(super) struct Recorder {
    kind: KindName,
    inner: Arc<(Mutex<Inner>, Condvar)>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { kind: kind(), inner: Arc::default() }
    }

    pub(super) fn shared(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.0.lock().unwrap())
    }

    /// Says how calls for a resource end from now on.
    pub(super) fn ends(&self, name: &str, ends: Option<Ends>) {
        self.with(|inner| match ends {
            Some(ends) => drop(inner.ends.insert(name.to_owned(), ends)),
            None => drop(inner.ends.remove(name)),
        });
        self.inner.1.notify_all();
    }

    /// What was done so far.
    pub(super) fn did(&self) -> Vec<Did> {
        self.with(|inner| inner.did.clone())
    }

    /// What is there.
    pub(super) fn there(&self) -> BTreeMap<String, String> {
        self.with(|inner| inner.there.iter().map(|(name, (_, content))| (name.clone(), content.clone())).collect())
    }

    /// Changes what is there behind everybody's back.
    pub(super) fn meddle(&self, name: &str, content: Option<&str>) {
        self.with(|inner| match content {
            Some(content) => drop(inner.there.insert(name.to_owned(), (Revision::ZERO, content.to_owned()))),
            None => drop(inner.there.remove(name)),
        });
    }

    /// How often `make` and `remove` were called for a resource.
    pub(super) fn calls(&self, name: &str) -> u64 {
        self.with(|inner| inner.calls.get(name).copied().unwrap_or_default())
    }

    /// Whether a call for a resource runs.
    pub(super) fn runs(&self, name: &str) -> bool {
        self.with(|inner| inner.running.contains(name))
    }

    /// What was against the rules: two calls at a time for a resource, or an older state after a newer one.
    pub(super) fn broken(&self) -> Vec<String> {
        self.with(|inner| inner.broken.clone())
    }

    fn call(&self, errand: &Errand, done: impl FnOnce(&mut Inner, &str)) -> Result<(), ActuatorError> {
        let name = errand.address.name.to_string();
        self.with(|inner| {
            *inner.calls.entry(name.clone()).or_default() += 1;
            if !inner.running.insert(name.clone()) {
                inner.broken.push(format!("two calls at a time for {name}"));
            }
        });
        let (lock, changed) = &*self.inner;
        let waits = |inner: &mut Inner| inner.ends.get(&name) == Some(&Ends::Waits);
        let mut inner = changed.wait_while(lock.lock().unwrap(), waits).unwrap();
        inner.running.remove(&name);
        let ends = inner.ends.get(&name).copied();
        if ends.is_none() {
            done(&mut inner, &name);
        }
        drop(inner);
        match ends {
            Some(Ends::Transient) => Err(ActuatorError::transient("no answer")),
            Some(Ends::Stalled) => Err(ActuatorError::stalled("denied", "may not")),
            Some(Ends::Panics) => panic!("a bug in {name}"),
            Some(Ends::Waits) | None => Ok(()),
        }
    }
}

impl Actuator for Recorder {
    fn kind(&self) -> &KindName {
        &self.kind
    }

    fn needs(&self, wanted: &Wanted) -> Vec<Address> {
        let after = wanted.fields.get("after").and_then(|after| after.as_array()).into_iter().flatten();
        after.map(|name| super::address(name.as_str().unwrap())).collect()
    }

    fn observe(&self, errand: &Errand) -> Result<Observed, ActuatorError> {
        let there = self.with(|inner| inner.there.get(errand.address.name.as_str()).cloned());
        Ok(there.map_or(Observed::Absent, |(_, content)| {
            Observed::Fields(BTreeMap::from([("content".to_owned(), content.into())]))
        }))
    }

    fn make(&self, errand: &Errand, wanted: &Wanted) -> Result<(), ActuatorError> {
        let content = wanted.fields["content"].as_str().unwrap().to_owned();
        self.call(errand, |inner, name| {
            if inner.there.get(name).is_some_and(|(made, _)| *made > wanted.revision) {
                inner.broken.push(format!("{name} of {} after a newer one", wanted.revision));
            }
            inner.there.insert(name.to_owned(), (wanted.revision, content));
            inner.did.push(Did::Made(name.to_owned(), wanted.revision));
        })
    }

    fn remove(&self, errand: &Errand) -> Result<(), ActuatorError> {
        self.call(errand, |inner, name| {
            inner.there.remove(name);
            inner.did.push(Did::Removed(name.to_owned()));
        })
    }
}
