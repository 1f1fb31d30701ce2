//! Hints that a folder may have changed, from the operating system: the only user of `notify`.
//!
//! A hint says nothing but "look": which file it was about does not matter, and one that is lost costs the time until the timer's next
//! look. The folders of the project are watched one by one, not what lies below hidden ones, and the folder in which the project's own
//! name stands too, because that name may be a link. Never here: reading manifests.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// The most folders that are watched; what happens in others is seen by the timer.
const FOLDERS_MAX: usize = 4096;
/// How deep folders are watched.
const DEPTH_MAX: usize = 16;
/// After a hint so long nothing must happen before anybody is woken: who saves a project writes many files.
const QUIET: Duration = Duration::from_millis(30);
/// How long somebody is left asleep at most while things go on happening.
const NOISY_MAX: Duration = Duration::from_millis(300);

/// What the thread is told.
enum Told {
    Hint,
    Stop,
}

/// Hints about one folder, until it is dropped.
#[derive(Debug)]
pub(super) struct Waker {
    tell: Sender<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Waker {
    /// Calls `wake` whenever something may have changed in the project at `path`, but for what happens `apart` from it.
    pub(super) fn begin(
        path: PathBuf,
        apart: Vec<PathBuf>,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, notify::Error> {
        let (tell, told) = channel();
        let hint = tell.clone();
        let name = path.file_name().map(ToOwned::to_owned);
        let above = path.parent().map(Path::to_owned);
        let heard = (above.clone(), name);
        let watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
            // An error may stand for events that were lost.
            if event.map_or(true, |event| matters(&event, &heard)) {
                // Without a receiver the waker is gone.
                let _ = hint.send(Told::Hint);
            }
        })?;
        let mut folders = Folders { watcher, watched: BTreeSet::new(), path, above, apart };
        folders.follow();
        let run = move || run(&told, folders, &*wake);
        let thread = std::thread::Builder::new().name("holdfast-wake".to_owned()).spawn(run)?;
        Ok(Self { tell, thread: Some(thread) })
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        let _ = self.tell.send(Told::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic of it was reported by its hook.
            let _ = thread.join();
        }
    }
}

/// Wakes after each burst of hints, and watches the folders that it brought.
fn run(told: &Receiver<Told>, mut folders: Folders, wake: &(dyn Fn() + Send + Sync)) {
    while let Ok(Told::Hint) = told.recv() {
        let begun = Instant::now();
        while begun.elapsed() < NOISY_MAX {
            match told.recv_timeout(QUIET) {
                Ok(Told::Hint) => {}
                Ok(Told::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        // First the folders: what happens in a new one after this is heard, what happened before is seen by who is woken.
        folders.follow();
        wake();
    }
}

/// Whether an event may be a change of the project: reading it is none, and of the folder above only its own name counts.
fn matters(event: &Event, (above, name): &(Option<PathBuf>, Option<OsString>)) -> bool {
    let written = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
    if matches!(event.kind, EventKind::Access(_)) && !written {
        return false;
    }
    let beside = |path: &PathBuf| path.parent() == above.as_deref() && path.file_name() != name.as_deref();
    event.paths.is_empty() || !event.paths.iter().all(beside)
}

/// The folders of a project that are watched.
struct Folders {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    path: PathBuf,
    above: Option<PathBuf>,
    apart: Vec<PathBuf>,
}

impl Folders {
    /// Watches what the project consists of now. A link that was pointed elsewhere leads to another folder under the same name, so
    /// each is watched anew.
    fn follow(&mut self) {
        let mut found = BTreeSet::new();
        let mut open = vec![(self.path.clone(), 0)];
        while let Some((folder, depth)) = open.pop() {
            if found.len() >= FOLDERS_MAX || !found.insert(folder.clone()) || depth == DEPTH_MAX {
                continue;
            }
            // What cannot be read has nothing to tell.
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.filter_map(Result::ok) {
                let (path, hidden) = (entry.path(), entry.file_name().as_encoded_bytes().starts_with(b"."));
                // A link leads to a folder of the project, which is watched under its own name, or to none that counts.
                let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if folder && !hidden && !self.apart.contains(&path) {
                    open.push((path, depth + 1));
                }
            }
        }
        found.extend(self.above.clone());
        for gone in self.watched.difference(&found) {
            // One that was removed is watched no more anyway.
            let _ = self.watcher.unwatch(gone);
        }
        for folder in &found {
            if self.watched.contains(folder) {
                let _ = self.watcher.unwatch(folder);
            }
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, "a folder is not watched");
            }
        }
        self.watched = found;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Waits for a wake, for which a minute is more than enough.
    fn woken(wakes: &Receiver<()>) {
        wakes.recv_timeout(Duration::from_secs(60)).expect("nobody was woken");
        while wakes.recv_timeout(NOISY_MAX).is_ok() {}
    }

    #[test]
    fn whatever_changes_a_project_wakes_and_what_lies_apart_does_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["one/agents", "two/agents", "one/store"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::os::unix::fs::symlink(at("one"), at("project")).unwrap();
        let (send, wakes) = channel();
        let wake = Arc::new(move || {
            let _ = send.send(());
        });
        let _waker = Waker::begin(at("project"), vec![at("project/store")], wake).unwrap();

        std::fs::write(at("one/lobu.toml"), "a").unwrap();
        woken(&wakes);
        // As an editor does: written beside, then renamed over.
        std::fs::write(at("one/.lobu.toml.swp"), "b").unwrap();
        std::fs::rename(at("one/.lobu.toml.swp"), at("one/lobu.toml")).unwrap();
        woken(&wakes);
        // In a folder, and in one that is new.
        std::fs::write(at("one/agents/a.toml"), "a").unwrap();
        woken(&wakes);
        std::fs::create_dir(at("one/teams")).unwrap();
        woken(&wakes);
        std::fs::write(at("one/teams/b.toml"), "b").unwrap();
        woken(&wakes);
        // The project's own name is pointed elsewhere, and that is what is watched then.
        std::os::unix::fs::symlink(at("two"), at("new")).unwrap();
        std::fs::rename(at("new"), at("project")).unwrap();
        woken(&wakes);
        std::fs::write(at("two/agents/c.toml"), "c").unwrap();
        woken(&wakes);
        std::fs::remove_file(at("two/agents/c.toml")).unwrap();
        woken(&wakes);

        // What lies apart, what lies beside, and reading.
        std::os::unix::fs::symlink(at("one"), at("again")).unwrap();
        std::fs::write(at("one/store/db"), "x").unwrap();
        std::fs::write(at("one/agents/a.toml"), "nobody looks here any more").unwrap();
        std::fs::read(at("two/agents/../agents/c.toml")).unwrap_err();
        std::fs::read_dir(at("two/agents")).unwrap().for_each(drop);
        assert!(wakes.recv_timeout(NOISY_MAX * 2).is_err(), "somebody was woken for nothing");
    }
}
