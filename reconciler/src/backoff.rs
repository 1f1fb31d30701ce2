//! Backoff: how long to wait before something that failed is tried again; exponential, with full jitter, bounded.
//!
//! Full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): the wait is drawn evenly from everything up to
//! a ceiling that doubles, so that many that failed together do not come back together. Never here: randomness, clocks and
//! sleeping; the caller has them.

use std::time::Duration;

/// How the waits grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub first: Duration,
    /// The highest ceiling.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The longest wait after so many failures in a row, of which there is at least one.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|factor| self.first.checked_mul(factor));
        doubled.unwrap_or(self.most).min(self.most)
    }

    /// The wait after so many failures in a row: at least a millisecond, at most [`Backoff::ceiling`], evenly drawn by `random`.
    pub fn wait(&self, failures: u32, random: u64) -> Duration {
        let millis = u64::try_from(self.ceiling(failures).as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(random % millis + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(10) };

    #[test]
    fn the_ceiling_doubles_up_to_its_bound() {
        let ceilings: Vec<u128> = (0..12).map(|failures| BACKOFF.ceiling(failures).as_millis()).collect();
        assert_eq!(ceilings, [100, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000]);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.most);
        let endless = Backoff { first: Duration::MAX, most: Duration::MAX };
        assert_eq!(endless.ceiling(40), Duration::MAX);
    }

    #[test]
    fn a_wait_is_anything_up_to_the_ceiling_and_never_nothing() {
        let waits = |failures, random| BACKOFF.wait(failures, random).as_millis();
        assert_eq!([waits(1, 0), waits(1, 99), waits(1, 100)], [1, 100, 1]);
        let mut seen = std::collections::BTreeSet::new();
        for step in 0..10_000_u64 {
            let wait = waits(3, step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
            assert!((1..=400).contains(&wait), "{wait}");
            seen.insert(wait / 100);
        }
        assert!(seen.len() >= 4, "waits are spread: {seen:?}");
        let none = Backoff { first: Duration::ZERO, most: Duration::ZERO };
        assert_eq!(none.wait(7, 12345).as_millis(), 1, "nothing is tried again without a pause");
    }
}
