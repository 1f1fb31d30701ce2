//! The clocks, which are passed into everything that needs the time: the one of the wall, which people set, and one that nobody sets.

use std::sync::Arc;
use std::time::Instant;

use holdfast_engine::{Clock, Timestamp};
use holdfast_reconciler::Elapsed;

/// The system's clock. A time before the epoch counts as the epoch.
pub(crate) fn system() -> Clock {
    Arc::new(|| Timestamp::from_millis(jiff::Timestamp::now().as_millisecond().max(0)))
}

/// How much time went by since now.
pub(crate) fn elapsed() -> Elapsed {
    let begun = Instant::now();
    Arc::new(move || begun.elapsed())
}
