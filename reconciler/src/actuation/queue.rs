//! The queue: which resource is looked at next. Each is in it at most once, and never handed out twice at a time.
//!
//! Time is a number of milliseconds that the caller counts. Never here: why a resource is due, and what is done with it.

use std::collections::{BTreeMap, BTreeSet};

/// Keys with the time from which each is due.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    /// In the order in which they are due.
    order: BTreeSet<(u64, K)>,
    due: BTreeMap<K, u64>,
    /// Those that were handed out, with what became due of each meanwhile.
    running: BTreeMap<K, Meanwhile>,
}

/// When a key that is handed out is due again.
#[derive(Debug, Default)]
struct Meanwhile {
    /// In any case.
    again: Option<u64>,
    /// Unless it is to be left alone for a while.
    unless_left_alone: Option<u64>,
}

impl<K: Ord + Clone> Queue<K> {
    pub(crate) fn new() -> Self {
        Self { order: BTreeSet::new(), due: BTreeMap::new(), running: BTreeMap::new() }
    }

    /// Has a key handed out from `at` on. One that is due earlier stays so; one that is handed out comes back after that.
    pub(crate) fn add(&mut self, key: &K, at: u64) {
        if let Some(Meanwhile { again, .. }) = self.running.get_mut(key) {
            *again = Some(again.map_or(at, |known| known.min(at)));
            return;
        }
        match self.due.get(key).copied() {
            Some(known) if known <= at => return,
            Some(known) => drop(self.order.remove(&(known, key.clone()))),
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.order.insert((at, key.clone()));
    }

    /// Adds a key that is not waiting yet: one that is left alone for a while stays so, also one that comes back to be.
    pub(crate) fn add_absent(&mut self, key: &K, at: u64) {
        if let Some(meanwhile) = self.running.get_mut(key) {
            meanwhile.unless_left_alone.get_or_insert(at);
        } else if !self.due.contains_key(key) {
            self.add(key, at);
        }
    }

    /// Hands out the key that has been due longest.
    pub(crate) fn take(&mut self, now: u64) -> Option<K> {
        let (at, key) = self.order.first()?;
        if *at > now {
            return None;
        }
        let key = key.clone();
        self.order.pop_first();
        self.due.remove(&key);
        self.running.insert(key.clone(), Meanwhile::default());
        Some(key)
    }

    /// Takes back a key that was handed out; it is due again if somebody said so meanwhile, or at `again`.
    pub(crate) fn done(&mut self, key: &K, again: Option<u64>) {
        let meanwhile = self.running.remove(key).unwrap_or_default();
        if let Some(at) = meanwhile.again.into_iter().chain(again).min().or(meanwhile.unless_left_alone) {
            self.add(key, at);
        }
    }

    /// When the next key is due.
    pub(crate) fn next(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Whether nothing is handed out and nothing is due by `now`.
    pub(crate) fn is_quiet(&self, now: u64) -> bool {
        self.running.is_empty() && self.next().is_none_or(|at| at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_once_at_its_earliest_time() {
        let mut queue = Queue::new();
        queue.add(&"a", 50);
        queue.add(&"a", 20);
        queue.add(&"a", 30);
        queue.add(&"b", 10);
        assert_eq!((queue.take(9), queue.next()), (None, Some(10)));
        assert_eq!([queue.take(20), queue.take(20), queue.take(99)], [Some("b"), Some("a"), None]);
    }

    #[test]
    fn a_key_that_is_handed_out_is_not_handed_out_again_before_it_is_back() {
        let mut queue = Queue::new();
        queue.add(&"a", 0);
        assert_eq!(queue.take(0), Some("a"));
        queue.add(&"a", 5);
        queue.add(&"a", 3);
        assert_eq!((queue.take(99), queue.is_quiet(99)), (None, false));
        queue.done(&"a", Some(80));
        assert_eq!((queue.take(2), queue.take(3)), (None, Some("a")), "what came meanwhile is earlier");
        queue.done(&"a", None);
        assert!(queue.is_quiet(99) && queue.next().is_none());
    }

    #[test]
    fn what_is_left_alone_for_a_while_stays_so_unless_it_changes() {
        let mut queue = Queue::new();
        queue.add(&"a", 1000);
        queue.add_absent(&"a", 0);
        queue.add_absent(&"b", 0);
        assert_eq!([queue.take(0), queue.take(0)], [Some("b"), None]);
        queue.add(&"a", 0);
        assert_eq!(queue.take(0), Some("a"));
    }
    #[test]
    fn one_that_is_handed_out_meanwhile_is_left_alone_too() {
        let mut queue = Queue::new();
        for again in [Some(1000), None] {
            queue.add(&"a", 0);
            assert_eq!(queue.take(0), Some("a"));
            queue.add_absent(&"a", 5);
            queue.done(&"a", again);
            assert_eq!(queue.next(), again.or(Some(5)), "it is looked at again unless it waits for its next try");
            assert_eq!(queue.take(1000), Some("a"));
            queue.done(&"a", None);
        }
    }
}
