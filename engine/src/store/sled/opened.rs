//! Opened: an open sled folder, and the thread that ends sled's waits for writes that have failed.
//!
//! sled 0.34 writes on threads of its own. One that fails leaves the error where the next call finds it, but after the first
//! part of a batch it wakes nobody: a flush that waits already would wait for ever. Any call wakes those who wait once the
//! error is there, so it takes a thread that looks for the error and then makes one.
//!
//! Never here: what an error means to the store (`sled.rs`).

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::planted::planted;
use crate::store::contain::contained;

/// How often the error is looked for, and so how long a write that failed may go unnoticed by who waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A sled folder that is open until this is dropped.
pub(super) struct Opened {
    /// Before `db`, because its thread has a handle of the same folder.
    _failures: Failures,
    db: sled::Db,
}

/// The thread that looks for the error; ended when this is dropped.
struct Failures {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Opened {
    /// Opens or makes the sled files in the folder `path`. May panic where sled does.
    pub(super) fn open(path: &Path) -> sled::Result<Self> {
        let config = sled::Config::default().path(path).flush_every_ms(None);
        let db = config.open()?;
        Ok(Self { _failures: Failures::watch(config, db.clone())?, db })
    }
}

impl Deref for Opened {
    type Target = sled::Db;

    fn deref(&self) -> &sled::Db {
        &self.db
    }
}

impl Failures {
    fn watch(config: sled::Config, db: sled::Db) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let look = move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                // Part of sled's undocumented surface, which the exact version in Cargo.toml keeps as it is.
                if config.global_error().is_err() && !planted("leave-waits") {
                    // Writes nothing, and gives the error back; it stays, so that no later call waits.
                    drop(contained(|| db.flush()));
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("holdfast-failures".to_owned()).spawn(look)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It contains the only call that could panic.
            let _ = thread.join();
        }
    }
}
