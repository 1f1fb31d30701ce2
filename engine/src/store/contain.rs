//! Containment: a panic of sled becomes a reason, and says nothing on stderr.
//!
//! Never here: containing panics of our own code; those are bugs and must be seen.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `foreign`, turning a panic into its message. The panic hook stays quiet for this thread meanwhile; all other threads
/// keep the hook that the program has.
///
/// What `foreign` was using may be left half way: the caller must not use it again.
pub(crate) fn contained<T>(foreign: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(foreign));
    QUIET.set(outer);
    result.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(contained(|| 7), Ok(7));
        let number = 5;
        assert_eq!(contained(|| panic!("page {number}")), Err::<(), _>("it panicked: page 5".to_owned()));
    }
}
