//! Counters: for each scope that somebody asked for, the newest revision that touched it.
//!
//! A scope is a key, or a prefix that ends with `/`, or the empty prefix: so the scopes that a key touches are found by its
//! own segments, and a commit costs nothing for the scopes that it does not touch.
//!
//! Never here: what changed. A counter says that something did, and when.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::commit::{Change, Commit};
use crate::engine::Engine;
use crate::entry::Entry;
use crate::limits::TOUCHES_KEPT;
use crate::planted::planted;
use crate::recent::Recent;
use crate::revision::Revision;
use crate::snapshot::Snapshot;

/// The newest revision that touched a scope. Reading it is one atomic load; cloning shares it.
#[derive(Clone)]
pub struct Counter(Arc<Slot>);

struct Slot {
    scope: Box<str>,
    revision: AtomicU64,
    touches: Mutex<Touches>,
    raised: Notify,
    closed: Arc<AtomicBool>,
}

/// The newest revisions that touched a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touches {
    /// All touches after this revision are listed.
    pub(crate) complete_after: Revision,
    /// In ascending order.
    pub(crate) listed: VecDeque<Revision>,
}

impl Counter {
    /// The scope.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.0.scope
    }

    /// The newest revision that touched the scope. A counter that is asked for late may name a later one than the last that
    /// did, never an earlier one.
    #[must_use]
    pub fn get(&self) -> Revision {
        Revision::new(self.0.revision.load(Ordering::Acquire))
    }

    /// Waits until a revision after `since` has touched the scope, or the engine is closed, and gives the newest. May be
    /// cancelled and called again; nothing is missed.
    pub async fn changed(&self, since: Revision) -> Revision {
        loop {
            let mut raised = std::pin::pin!(self.0.raised.notified());
            // Registered before the look, so that a raise between the two is not missed.
            raised.as_mut().enable();
            let now = self.get();
            if now > since || self.0.closed.load(Ordering::Acquire) {
                return now;
            }
            raised.await;
        }
    }

    /// Shows `look` the newest touches; nobody can raise the counter meanwhile.
    pub(crate) fn with_touches<T>(&self, look: impl FnOnce(&Touches) -> T) -> T {
        look(&self.0.touches())
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").field("scope", &self.0.scope).field("revision", &self.get()).finish()
    }
}

impl Slot {
    fn touches(&self) -> MutexGuard<'_, Touches> {
        self.touches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, revision: Revision) {
        {
            let mut touches = self.touches();
            if touches.listed.back().copied().unwrap_or(touches.complete_after) >= revision {
                return;
            }
            touches.listed.push_back(revision);
            if touches.listed.len() > TOUCHES_KEPT
                && let Some(oldest) = touches.listed.pop_front()
            {
                touches.complete_after = oldest;
            }
        }
        self.revision.fetch_max(revision.get(), Ordering::AcqRel);
        self.raised.notify_waiters();
    }
}

/// All scopes that somebody holds a counter of.
#[derive(Default)]
pub(crate) struct Counters {
    slots: Mutex<Slots>,
    closed: Arc<AtomicBool>,
}

#[derive(Default)]
struct Slots {
    by_scope: HashMap<Box<str>, Weak<Slot>>,
    sweep_at: usize,
}

impl Counters {
    /// Raises the counters of the scopes that `commit` touches.
    pub(crate) fn raise<'a>(&self, commits: impl Iterator<Item = &'a Commit>) {
        let slots = self.slots();
        if slots.by_scope.is_empty() {
            return;
        }
        for commit in commits {
            for change in &commit.changes {
                if planted("deletes-raise-no-counter") && matches!(change, Change::Delete { .. }) {
                    continue;
                }
                for scope in scopes_of(change.key().as_str()) {
                    if let Some(slot) = slots.by_scope.get(scope).and_then(Weak::upgrade) {
                        slot.touch(commit.revision);
                    }
                }
            }
        }
    }

    /// Raises the counters of the scopes that `keys` lie in, and always that of everything.
    pub(crate) fn raise_keys<'k>(&self, revision: Revision, keys: impl Iterator<Item = &'k str>) {
        let slots = self.slots();
        let touch = |scope: &str| {
            if let Some(slot) = slots.by_scope.get(scope).and_then(Weak::upgrade) {
                slot.touch(revision);
            }
        };
        touch("");
        keys.flat_map(scopes_of).for_each(touch);
    }

    /// Raises every counter for good: what was read by them is over. Who asks again gets counters that begin anew.
    pub(crate) fn retire(&self) {
        let retired = std::mem::take(&mut self.slots().by_scope);
        for slot in retired.values().filter_map(Weak::upgrade) {
            slot.touches().complete_after = Revision::new(u64::MAX);
            slot.revision.store(u64::MAX, Ordering::Release);
            slot.raised.notify_waiters();
        }
    }

    /// Wakes everybody for the last time.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.slots().by_scope.values().filter_map(Weak::upgrade).for_each(|slot| slot.raised.notify_waiters());
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Begins a counter at `newest`; its touches are listed from those after `head` on.
    fn begin(&mut self, scope: &str, newest: Revision, head: Revision, closed: &Arc<AtomicBool>) -> Counter {
        let slot = Arc::new(Slot {
            scope: scope.into(),
            revision: AtomicU64::new(newest.get()),
            touches: Mutex::new(Touches { complete_after: head, listed: VecDeque::new() }),
            raised: Notify::new(),
            closed: Arc::clone(closed),
        });
        if self.by_scope.len() >= self.sweep_at {
            self.by_scope.retain(|_, slot| slot.strong_count() > 0);
            self.sweep_at = (self.by_scope.len() * 2).max(64);
        }
        self.by_scope.insert(scope.into(), Arc::downgrade(&slot));
        Counter(slot)
    }
}

/// The scopes that a key lies in: nothing, each of its segments with what is before it, itself.
fn scopes_of(key: &str) -> impl Iterator<Item = &str> {
    let segments = key.match_indices('/').map(|(at, _)| &key[..=at]);
    let whole = (!key.ends_with('/')).then_some(key);
    std::iter::once("").chain(segments).chain(whole)
}

/// The smallest scope that holds every key with `prefix`.
pub(crate) fn scope_around(prefix: &str) -> &str {
    prefix.rfind('/').map_or("", |at| &prefix[..=at])
}

impl Engine {
    /// The counter of `scope`: a key, or a prefix that ends with `/`, or the empty prefix for everything. Anything else is
    /// taken for a key.
    #[must_use]
    pub fn counter(&self, scope: &str) -> Counter {
        let core = self.core();
        if let Some(slot) = core.counters.slots().by_scope.get(scope).and_then(Weak::upgrade) {
            return Counter(slot);
        }
        // A large scope takes a while to look through, so that is done without the lock that the writer needs too.
        let before = self.snapshot();
        let newest = newest_put(scope, &before);
        let mut slots = core.counters.slots();
        if let Some(slot) = slots.by_scope.get(scope).and_then(Weak::upgrade) {
            return Counter(slot);
        }
        // Counters are raised under this lock, after the snapshot is published: what this one lacks is raised later.
        let snapshot = self.snapshot();
        let newest = newest_touch(scope, newest, snapshot.revision(), &core.recent());
        slots.begin(scope, newest, snapshot.revision(), &core.counters.closed)
    }

    /// The counter of `scope`, as [`Self::counter`] gives it, for who compares what was before in another way: one that nobody
    /// holds yet begins at the head, and nothing is looked through for it, however much the store holds.
    #[must_use]
    pub fn counter_from_head(&self, scope: &str) -> Counter {
        let core = self.core();
        let mut slots = core.counters.slots();
        if let Some(slot) = slots.by_scope.get(scope).and_then(Weak::upgrade) {
            return Counter(slot);
        }
        // Counters are raised under this lock, after the snapshot is published: what this one lacks is raised later.
        let head = self.snapshot().revision();
        slots.begin(scope, head, head, &core.counters.closed)
    }
}

/// The newest revision that put a key of `scope` which is still there.
fn newest_put(scope: &str, snapshot: &Snapshot) -> Revision {
    let put = if scope.is_empty() {
        Some(snapshot.revision())
    } else if scope.ends_with('/') {
        snapshot.prefix(scope).map(|(_, entry)| entry.modified()).max()
    } else {
        snapshot.get(scope).map(Entry::modified)
    };
    put.unwrap_or_default()
}

/// The newest revision up to `head` that can have touched `scope`, if nothing that is still there was put after `newest`.
/// Other touches are known as far back as the commits in memory reach; before that anything may have been deleted.
fn newest_touch(scope: &str, mut newest: Revision, head: Revision, recent: &Recent) -> Revision {
    let commits = recent.between(newest, head);
    let known_after = commits.first().map_or(head, |first| first.commit.revision.previous());
    newest = newest.max(known_after);
    let is_prefix = scope.is_empty() || scope.ends_with('/');
    for applied in &commits {
        let touches = |key: &str| if is_prefix { key.starts_with(scope) } else { key == scope };
        if applied.commit.changes.iter().any(|change| touches(change.key().as_str())) {
            newest = newest.max(applied.commit.revision);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_in_its_segments() {
        let scopes = |key| scopes_of(key).collect::<Vec<_>>();
        assert_eq!(scopes("org/acme/agent"), ["", "org/", "org/acme/", "org/acme/agent"]);
        assert_eq!(scopes("a"), ["", "a"]);
        assert_eq!(scopes("a/"), ["", "a/"]);
        assert_eq!(scope_around("org/ac"), "org/");
        assert_eq!(scope_around("org/"), "org/");
        assert_eq!(scope_around("or"), "");
    }
}
