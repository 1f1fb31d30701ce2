//! Giving up the past by itself while a server runs: now and then, what no rule of the policy keeps.
//!
//! Never here: the rule itself (the plane's), and a default: without a rule nothing is ever given up.

use std::time::Duration;

use holdfast_reconciler::Plane;
use holdfast_reconciler::plane::Retention;
use tokio::task::JoinHandle;

/// Begins to carry the policy out: at once, and then every so often. A compaction that fails is logged and tried again the
/// next time.
pub(crate) fn begin(plane: Plane, retention: Retention, every: Duration) -> Option<JoinHandle<()>> {
    plane.keeps(retention);
    if retention.keeps_all() {
        return None;
    }
    Some(tokio::spawn(async move {
        let mut due = tokio::time::interval(every);
        // A compaction that takes long must not be followed by a burst.
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let plane = plane.clone();
            match tokio::task::spawn_blocking(move || plane.retain(retention)).await {
                Ok(Ok(_)) => {}
                Ok(Err(problem)) => {
                    tracing::warn!(code = problem.code, "cannot give up old commits: {}", problem.message)
                }
                Err(error) => tracing::error!(%error, "cannot give up old commits"),
            }
        }
    }))
}
