//! What tests share: engines over the kinds of store, keys, a clock that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use holdfast_engine::{
    Engine, Key, MemoryStore, OpenError, Options, RequestId, SledOptions, SledStore, Timestamp, Txn,
};
use tempfile::TempDir;

/// A kind of store that can be opened again and again.
pub(crate) trait Bed {
    /// Opens the store as it is now.
    fn open(&self) -> Engine;
}

#[derive(Default)]
pub(crate) struct MemoryBed(MemoryStore);

impl Bed for MemoryBed {
    fn open(&self) -> Engine {
        open(Box::new(self.0.clone())).expect("a memory store opens")
    }
}

/// A store on the disk. With a small lag, bases are written all the time.
pub(crate) struct SledBed {
    folder: TempDir,
    lag: u64,
}

impl SledBed {
    pub(crate) fn new() -> Self {
        Self::with_lag(SledOptions::default().base_lag_bytes_min)
    }

    pub(crate) fn with_lag(lag: u64) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder for the test"), lag }
    }
}

impl Bed for SledBed {
    fn open(&self) -> Engine {
        let options = SledOptions { base_lag_bytes_min: self.lag, ..SledOptions::default() };
        let store = SledStore::open(self.folder.path(), options).expect("the store opens");
        open(Box::new(store)).expect("the store recovers")
    }
}

pub(crate) fn open(store: Box<dyn holdfast_engine::Store>) -> Result<Engine, OpenError> {
    Engine::open(store, options())
}

/// A clock that starts at zero and gives one millisecond more at each look.
pub(crate) fn options() -> Options {
    let ticks = Arc::new(AtomicI64::new(0));
    Options::new(move || Timestamp::from_millis(ticks.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("the test's keys are keys")
}

pub(crate) fn id(text: &str) -> RequestId {
    RequestId::new(text).expect("the test's ids are ids")
}

pub(crate) fn put(name: &str, value: &str) -> Txn {
    Txn::new().put(key(name), value.as_bytes())
}

pub(crate) fn value(entry: Option<&holdfast_engine::Entry>) -> Option<&str> {
    entry.map(|entry| std::str::from_utf8(entry.value()).expect("the test's values are text"))
}

/// Whether campaigns run in their long form.
pub(crate) fn is_long() -> bool {
    std::env::var_os("HOLDFAST_LONG").is_some()
}

/// Says what a campaign did; `engine/campaigns` and `--nocapture` show it.
#[expect(clippy::print_stdout, reason = "a campaign tells how many cases it ran")]
pub(crate) fn report(what: &str) {
    println!("campaign: {what}");
}

/// Raises a flag when it is dropped, also by a failure: threads that go on until then do not outlive the test.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
