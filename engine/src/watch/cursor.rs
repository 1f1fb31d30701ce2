//! The pure part of a watch: where it stands, and what it needs next.
//!
//! Never here: reading, waiting, and what a watch shows of a commit's past.

use super::WatchOps;
use crate::commit::{Change, Commit};
use crate::counter::Touches;
use crate::limits::WATCH_PAGE_COMMITS;
use crate::planted::planted;
use crate::revision::Revision;

/// The pure part of a watch.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) prefix: String,
    pub(super) ops: WatchOps,
    /// Everything up to here was examined.
    pub(super) revision: Revision,
}

/// What a cursor is shown of the engine.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// Up to here all counters are raised.
    pub(super) notified: Revision,
    pub(super) compacted: Revision,
    pub(super) touches: &'a Touches,
}

/// What a cursor needs next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The commits of this range.
    Commits { from: Revision, through: Revision },
    /// Commits that are gone.
    Resync { oldest: Revision },
    /// Nothing up to the revision it now stands at: a touch of its scope.
    Touch,
}

impl Cursor {
    /// Moves over what is known not to touch the scope and says what is needed.
    pub(super) fn step(&mut self, view: &View<'_>) -> Need {
        if self.revision < view.compacted && !planted("watch-skips-the-compacted")
            || planted("off-by-one-at-the-compacted")
                && self.revision == view.compacted
                && view.compacted > Revision::ZERO
        {
            return Need::Resync { oldest: view.compacted };
        }
        if self.revision >= view.notified {
            return Need::Touch;
        }
        if view.touches.complete_after > self.revision {
            // Whether the scope was touched between is not known: look at every commit, a page at a time.
            let page_end = Revision::new(self.revision.get() + WATCH_PAGE_COMMITS);
            return Need::Commits { from: self.revision.next(), through: page_end.min(view.notified) };
        }
        let next = view.touches.listed.iter().copied().find(|touch| *touch > self.revision && *touch <= view.notified);
        match next {
            Some(touch) => Need::Commits { from: touch, through: touch },
            None => {
                self.revision = view.notified;
                Need::Touch
            }
        }
    }

    /// The changes of `commit` that the watch shows, by their place.
    pub(super) fn shown(&self, commit: &Commit) -> Vec<usize> {
        let shows = |change: &Change| {
            change.key().as_str().starts_with(&self.prefix)
                && match (self.ops, change) {
                    (WatchOps::All, _)
                    | (WatchOps::Puts, Change::Put { .. })
                    | (WatchOps::Deletes, Change::Delete { .. }) => true,
                    (WatchOps::Puts, Change::Delete { .. }) | (WatchOps::Deletes, Change::Put { .. }) => false,
                }
        };
        let most = if planted("watch-splits-commits") { 1 } else { usize::MAX };
        commit.changes.iter().enumerate().filter(|(_, change)| shows(change)).map(|(at, _)| at).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touches(complete_after: u64, listed: &[u64]) -> Touches {
        let listed = listed.iter().copied().map(Revision::new).collect();
        Touches { complete_after: Revision::new(complete_after), listed }
    }

    fn view(notified: u64, compacted: u64, touches: &Touches) -> View<'_> {
        View { notified: Revision::new(notified), compacted: Revision::new(compacted), touches }
    }

    fn step(at: u64, view: &View<'_>) -> (Need, u64) {
        let mut cursor = Cursor { prefix: String::new(), ops: WatchOps::All, revision: Revision::new(at) };
        let need = cursor.step(view);
        (need, cursor.revision.get())
    }

    fn commits(from: u64, through: u64) -> Need {
        Need::Commits { from: Revision::new(from), through: Revision::new(through) }
    }

    #[test]
    fn a_cursor_jumps_to_the_next_touch() {
        let touches = touches(10, &[20, 30, 101]);
        let view = view(100, 0, &touches);
        assert_eq!(step(10, &view), (commits(20, 20), 10));
        assert_eq!(step(20, &view), (commits(30, 30), 20));
        assert_eq!(step(30, &view), (Need::Touch, 100), "r101 is not notified yet");
        assert_eq!(step(100, &view), (Need::Touch, 100));
        assert_eq!(step(5, &view), (commits(6, 100), 5), "touches before r10 are not known");
    }

    #[test]
    fn a_cursor_below_the_compacted_revision_begins_again_and_one_at_it_does_not() {
        let touches = touches(0, &[60]);
        let view = view(100, 50, &touches);
        assert_eq!(step(49, &view).0, Need::Resync { oldest: Revision::new(50) });
        assert_eq!(step(50, &view).0, commits(60, 60));
    }
}
