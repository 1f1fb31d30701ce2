//! Whether what somebody read is still what a reader would see now: told by the engine's counters, without looking again.
//!
//! Never here: what was read for, and reading it again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;

use holdfast_engine::{Counter, Engine, Entry, Key, Revision, Snapshot};

/// The scopes that were read in one snapshot: keys, and prefixes that end with `/`.
#[derive(Debug)]
pub(crate) struct Freshness {
    scopes: Vec<String>,
    /// Made when somebody asks first: most sessions end before anybody does.
    watch: OnceLock<Watch>,
}

#[derive(Debug)]
struct Watch {
    counters: Vec<Counter>,
    /// Everything up to this revision has been compared.
    since: Revision,
    /// Whether a scope had been touched before the counters were there.
    stale: bool,
}

impl Freshness {
    pub(crate) fn new(scopes: Vec<String>) -> Self {
        Self { scopes, watch: OnceLock::new() }
    }

    /// Whether no commit since the snapshot was taken touched what was read: one atomic load for each scope.
    pub(crate) fn is_current(&self, engine: &Engine, read_in: &Snapshot) -> bool {
        self.watch(engine, read_in).is_current()
    }

    /// Waits until a commit touches what was read, or the engine is closed. May be cancelled.
    pub(crate) async fn changed(&self, engine: &Engine, read_in: &Snapshot) {
        let watch = self.watch(engine, read_in);
        if watch.stale {
            return;
        }
        let waits = watch.counters.iter().map(|counter| Box::pin(counter.changed(watch.since)));
        let mut waits: Vec<Pin<Box<dyn Future<Output = Revision> + Send + '_>>> =
            waits.map(|wait| wait as Pin<Box<dyn Future<Output = Revision> + Send + '_>>).collect();
        poll_fn(|context| match waits.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    fn watch(&self, engine: &Engine, read_in: &Snapshot) -> &Watch {
        self.watch.get_or_init(|| {
            // The counters come first: a commit after `head` raises them above its revision, so that none is missed.
            let counters = self.scopes.iter().map(|scope| engine.counter_from_head(scope)).collect();
            let head = engine.snapshot();
            let stale = self.scopes.iter().any(|scope| touched(scope, read_in, &head));
            Watch { counters, since: head.revision(), stale }
        })
    }
}

impl Watch {
    fn is_current(&self) -> bool {
        !self.stale && self.counters.iter().all(|counter| counter.get() <= self.since)
    }
}

fn touched(scope: &str, before: &Snapshot, after: &Snapshot) -> bool {
    if before.revision() == after.revision() && before.commit_id() == after.commit_id() {
        return false;
    }
    if scope.ends_with('/') {
        let entries = |(key, entry)| -> (&Key, Revision) { (key, Entry::modified(entry)) };
        return !before.prefix(scope).map(entries).eq(after.prefix(scope).map(entries));
    }
    before.get(scope).map(Entry::modified) != after.get(scope).map(Entry::modified)
}
