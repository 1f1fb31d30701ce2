//! P9: what watchers are given while clients commit: ordered, unique, complete, atomic, resumable, never before it is visible,
//! bookmarks not ahead of what was delivered, previous values right, and a resync that skips nothing.
//!
//! Never here: the clients (`linear.rs`).

use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_engine::{
    Change, Engine, Previous, Revision, Snapshot, Watch, WatchEvent, WatchFrom, WatchOptions, WatchedCommit,
};

use crate::linear::State;
use crate::support::value;

/// How many kinds of watchers there are: all keys, one half of each commit, one key.
pub(crate) const KINDS: u64 = 3;

/// What a watcher saw, in the order in which it saw it.
pub(crate) struct Watched {
    prefix: &'static str,
    events: Vec<Seen>,
}

enum Seen {
    /// A commit: its revision, its changes with their previous values, and the head when it was given.
    Commit { revision: u64, changes: Vec<SeenChange>, head: u64 },
    /// The watch was taken up again from its token in the place of another.
    Resumed,
    /// Everything up to here was given.
    Bookmark { revision: u64, head: u64 },
    /// The watch began again with this state.
    Resync { revision: u64, state: State },
}

/// One change: key, value, and what it replaced if that is known.
struct SeenChange {
    key: String,
    value: String,
    previous: Option<Option<String>>,
}

/// How much was seen and checked.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) commits: u64,
    pub(crate) previous: u64,
    pub(crate) bookmarks: u64,
    pub(crate) resumes: u64,
    pub(crate) resyncs: u64,
}

pub(crate) fn state(snapshot: &Snapshot) -> State {
    let known = |(key, entry): (&holdfast_engine::Key, &holdfast_engine::Entry)| {
        (key.to_string(), (value(Some(entry)).expect("text").to_owned(), entry.modified().get()))
    };
    snapshot.iter().map(known).collect()
}

/// Watches from the beginning until `done`, and then to the end.
pub(crate) fn watch(engine: &Engine, kind: u64, done: &AtomicBool) -> Watched {
    let prefix = ["", "b/", "a/k1"][usize::try_from(kind).expect("small")];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let begin = |from| {
            let options = WatchOptions { prefix: prefix.to_owned(), from, previous: true, ..WatchOptions::default() };
            engine.watch(options).expect("begins")
        };
        let mut watch = begin(WatchFrom::After(Revision::ZERO));
        let mut events = Vec::new();
        loop {
            let is_over = done.load(Ordering::SeqCst);
            match watch.step().await.expect("goes on") {
                Some(event) => events.push(seen(event, engine)),
                None if is_over => break,
                None => std::thread::yield_now(),
            }
            if events.len() % 4 == 3 {
                bookmark(&mut watch, engine, &mut events).await;
            }
            if kind > 0 && events.len() % 6 == 5 {
                let token = watch.token().to_string().parse().expect("its own text");
                watch = begin(WatchFrom::Token(token));
                events.push(Seen::Resumed);
            }
        }
        bookmark(&mut watch, engine, &mut events).await;
        Watched { prefix, events }
    })
}

async fn bookmark(watch: &mut Watch, engine: &Engine, events: &mut Vec<Seen>) {
    let revision = watch.bookmark().await.get();
    events.push(Seen::Bookmark { revision, head: engine.head().revision.get() });
}

fn seen(event: WatchEvent, engine: &Engine) -> Seen {
    match event {
        WatchEvent::Commit(WatchedCommit { commit, changes }) => {
            let changes = changes.into_iter().map(|watched| {
                let Change::Put { key, value: bytes, .. } = watched.change else { panic!("nobody deletes") };
                let previous = match watched.previous {
                    Previous::Absent => Some(None),
                    Previous::Entry(entry) => Some(value(Some(&entry)).map(str::to_owned)),
                    Previous::Compacted => None,
                    Previous::NotAsked => panic!("it was asked for"),
                };
                let value = String::from_utf8(bytes.to_vec()).expect("text");
                SeenChange { key: key.to_string(), value, previous }
            });
            let head = engine.head().revision.get();
            Seen::Commit { revision: commit.revision.get(), changes: changes.collect(), head }
        }
        WatchEvent::Resync { snapshot, .. } => {
            Seen::Resync { revision: snapshot.revision().get(), state: state(&snapshot) }
        }
    }
}

impl Watched {
    /// Checks it against the state at each revision.
    pub(crate) fn check(&self, states: &[State], counts: &mut Counts) {
        let at = |revision: u64| &states[usize::try_from(revision).expect("small")];
        let newest = states.len() as u64 - 1;
        // Everything up to here was given, or is in the state of a resync.
        let mut through = 0;
        for event in &self.events {
            match event {
                Seen::Commit { revision, changes, head } => {
                    assert!(*revision > through, "in order and once: r{revision} after r{through}");
                    assert!(revision <= head, "r{revision} was given when r{head} was the newest");
                    for skipped in through + 1..*revision {
                        assert!(self.touched(states, skipped).is_empty(), "r{skipped} is missing");
                    }
                    let wanted = self.touched(states, *revision);
                    assert!(changes.iter().map(|change| &change.key).eq(&wanted), "r{revision} is whole");
                    for change in changes {
                        assert_eq!(at(*revision)[&change.key].0, change.value, "r{revision}");
                        if let Some(previous) = &change.previous {
                            let before = at(revision - 1).get(&change.key).map(|(value, _)| value);
                            assert_eq!(previous.as_ref(), before, "what r{revision} replaced");
                            counts.previous += 1;
                        }
                    }
                    through = *revision;
                    counts.commits += 1;
                }
                Seen::Bookmark { revision, head } => {
                    assert!(revision <= head, "a bookmark is ahead of the head");
                    for skipped in through + 1..=*revision {
                        let missing = self.touched(states, skipped);
                        assert!(missing.is_empty(), "a bookmark at r{revision} is ahead of r{skipped}");
                    }
                    assert!(*revision >= through, "a bookmark is behind what was given");
                    through = *revision;
                    counts.bookmarks += 1;
                }
                Seen::Resync { revision, state } => {
                    assert!(*revision >= through, "a resync goes back from r{through} to r{revision}");
                    assert_eq!(state, at(*revision));
                    through = *revision;
                    counts.resyncs += 1;
                }
                Seen::Resumed => counts.resumes += 1,
            }
        }
        assert_eq!(through, newest, "everything was given");
    }

    /// The keys that a commit changed and that the watch shows.
    fn touched(&self, states: &[State], revision: u64) -> Vec<String> {
        let state = &states[usize::try_from(revision).expect("small")];
        let shows =
            |(key, (_, modified)): &(&String, &(String, u64))| *modified == revision && key.starts_with(self.prefix);
        state.iter().filter(shows).map(|(key, _)| key.clone()).collect()
    }
}
