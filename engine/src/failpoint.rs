//! Failpoints: named places, one at every step that writes, at which a test can end the process; and damage on purpose.
//!
//! Never here: anything in a build that is shipped. They exist only with the feature `failpoints` and debug assertions, and do
//! nothing until a test arms one.

/// A place of this name is passed.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub(crate) const fn failpoint(_name: &str) {}

#[cfg(all(feature = "failpoints", debug_assertions))]
pub(crate) use armed::failpoint;

#[cfg(all(feature = "failpoints", debug_assertions))]
pub use {
    crate::store::tamper::{damage_a_reminder, damage_newest_base},
    armed::{arm, count, counted},
};

#[cfg(all(feature = "failpoints", debug_assertions))]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    static ARMED: OnceLock<Armed> = OnceLock::new();
    static COUNTING: AtomicBool = AtomicBool::new(false);
    static COUNTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

    struct Armed {
        name: String,
        left: AtomicU64,
        deed: Box<dyn Fn() + Send + Sync>,
    }

    /// Has `deed` done when the place `name` is passed for the `nth` time from now on. Only the first call in a process counts.
    pub fn arm(name: &str, nth: u64, deed: impl Fn() + Send + Sync + 'static) {
        let armed = Armed { name: name.to_owned(), left: AtomicU64::new(nth), deed: Box::new(deed) };
        drop(ARMED.set(armed));
    }

    /// From now on it is counted how often each place is passed.
    pub fn count() {
        COUNTING.store(true, Ordering::Relaxed);
    }

    /// How often each place was passed.
    #[must_use]
    pub fn counted() -> BTreeMap<String, u64> {
        COUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn failpoint(name: &str) {
        if COUNTING.load(Ordering::Relaxed) {
            *COUNTS.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += 1;
        }
        if let Some(armed) = ARMED.get()
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            (armed.deed)();
        }
    }
}
