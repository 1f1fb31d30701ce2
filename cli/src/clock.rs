//! The clock, which is passed into everything that needs the time.

use std::sync::Arc;

use holdfast_engine::{Clock, Timestamp};

/// The system's clock. A time before the epoch counts as the epoch.
pub(crate) fn system() -> Clock {
    Arc::new(|| Timestamp::from_millis(jiff::Timestamp::now().as_millisecond().max(0)))
}
