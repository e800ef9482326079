//! The pause before a slot is opened again, which grows with each failure in a row.
//!
//! The first pause is short, so that a server that resets one request of many loses almost no
//! load. Each further failure without a reply in between doubles the pause, up to a bound at which
//! a server that restarts is found soon and one that is gone is not flooded with connects. A reply
//! forgets all failures.

use std::time::Duration;

/// The pause after the first failure.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
pub(in crate::load::worker) const PAUSE_MAX: Duration = Duration::from_millis(512);
/// How often a connection is tried before the load begins without it.
const BEFORE_LOAD_MAX: u8 = 8;

/// Failures of one slot since its last reply.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::load::worker) struct Failures {
    count: u8,
}

impl Failures {
    /// Counts a failure, and returns the pause before the next try.
    pub(in crate::load::worker) fn add(&mut self) -> Duration {
        let doublings = u32::from(self.count).min(16);
        self.count = self.count.saturating_add(1);
        PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX)
    }

    /// Forgets all failures, because a reply came.
    #[inline]
    pub(in crate::load::worker) fn forget(&mut self) {
        self.count = 0;
    }

    /// Whether the last try failed.
    pub(in crate::load::worker) fn is_any(self) -> bool {
        self.count > 0
    }

    /// Whether the load should begin without this connection.
    pub(in crate::load::worker) fn are_too_many_before_load(self) -> bool {
        self.count >= BEFORE_LOAD_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_begin_anew_after_a_reply() {
        let mut failures = Failures::default();
        let pauses: Vec<u128> = (0..12).map(|_| failures.add().as_millis()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]);
        (0..300).for_each(|_| assert!(failures.add() <= PAUSE_MAX));
        failures.forget();
        assert!(!failures.is_any());
        assert_eq!(failures.add(), PAUSE_MIN);
    }
}
