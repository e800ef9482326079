//! When to start a worker process again: pauses of 0, 1, 2, 4 ... 30 seconds.
//!
//! A process that dies as soon as it serves would otherwise be started as fast as the machine can
//! fork. A process that has lived long enough was not ended by what ended those before it, so they
//! are forgotten. One that was asked to drain did what it was asked, so its end is no failure.
//!
//! The schedule is pure: no clock and no chance. Neighbour: `place`, which has one for each
//! process.

use std::time::Duration;

use crate::limits::{PROCESS_LIFE_MIN, PROCESS_PAUSE_MAX, PROCESS_PAUSE_MIN};

/// The deaths in one place that are not forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// A process has died after it has lived for `life`. Returns the pause before the next one.
    pub(super) fn died(&mut self, life: Duration) -> Duration {
        if life >= PROCESS_LIFE_MIN {
            self.deaths = 0;
        }
        let pause = match self.deaths {
            0 => Duration::ZERO,
            deaths => PROCESS_PAUSE_MIN
                .saturating_mul(1 << (deaths - 1).min(16))
                .min(PROCESS_PAUSE_MAX),
        };
        self.deaths = self.deaths.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    fn pauses(backoff: &mut Backoff, lives: &[Duration]) -> Vec<u64> {
        let pauses = lives.iter().map(|life| backoff.died(*life).as_secs());
        pauses.collect()
    }

    #[test]
    fn pauses_double_from_one_second_after_none_to_thirty() {
        let mut backoff = Backoff::default();
        let expected = [0, 1, 2, 4, 8, 16, 30, 30];
        assert_eq!(pauses(&mut backoff, &[SHORT; 8]), expected);
        backoff.deaths = u32::MAX;
        assert_eq!(backoff.died(SHORT), PROCESS_PAUSE_MAX);
        assert_eq!(backoff.died(SHORT), PROCESS_PAUSE_MAX);
    }

    #[test]
    fn earlier_deaths_are_forgotten_after_a_minute_of_life_and_not_before() {
        let nanosecond = Duration::from_nanos(1);
        for (life, next) in [
            (PROCESS_LIFE_MIN - nanosecond, [4, 8]),
            (PROCESS_LIFE_MIN, [0, 1]),
            (PROCESS_LIFE_MIN + nanosecond, [0, 1]),
        ] {
            let mut backoff = Backoff::default();
            assert_eq!(pauses(&mut backoff, &[SHORT; 3]), [0, 1, 2]);
            assert_eq!(pauses(&mut backoff, &[life, SHORT]), next, "{life:?}");
        }
    }
}
