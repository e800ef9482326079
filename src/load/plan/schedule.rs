//! When requests are due in an open loop.
//!
//! Users who do not know each other do not wait for each other's replies: their requests come at a
//! rate, however slow the server is. A [`Schedule`] knows the moment at which the next request is
//! due and nothing else: not whether it could be sent, and no clock. A request's clock starts when
//! it was due, so a server that stalls is charged for every request that had to wait (Tene, "How
//! NOT to measure latency").
//!
//! Nothing is queued: the next moment is computed when the request before it has been begun, so
//! that falling behind costs no memory. Each request goes to the connection that has been free
//! longest, which spreads the phase evenly over connections.

use crate::base::random::Random;
use crate::base::time::Time;

/// How the gaps between requests are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// All gaps are equal.
    Fixed,
    /// Independent users: gaps are exponential with the same mean.
    Poisson,
}

/// So many requests are passed over one by one; of more, the number is computed.
const STEPS_MAX: u64 = 1 << 16;

/// The moments at which one worker's requests are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    start_ns: u64,
    gap_ns: f64,
    arrivals: Arrivals,
    /// How far after the start the next request is due.
    offset_ns: f64,
    random: Random,
}

impl Schedule {
    /// `rate` requests a second in all, dealt to `workers` in turn: this is the schedule of worker
    /// `index`.
    pub fn new(
        rate: f64,
        arrivals: Arrivals,
        index: usize,
        workers: usize,
        start: Time,
    ) -> Schedule {
        let gap_ns = 1e9 / rate * workers as f64;
        let mut random = Random::new(0x0a11 + index as u64);
        let offset_ns = match arrivals {
            Arrivals::Fixed => gap_ns * index as f64 / workers as f64,
            Arrivals::Poisson => random.exponential(gap_ns),
        };
        Schedule {
            start_ns: start.as_nanos(),
            gap_ns,
            arrivals,
            offset_ns,
            random,
        }
    }

    /// When the next request is due.
    pub fn due(&self) -> Time {
        Time::from_nanos(self.start_ns.saturating_add(self.offset_ns as u64))
    }

    /// The next request was begun, or given up: on to the one after it.
    pub fn advance(&mut self) {
        self.offset_ns += match self.arrivals {
            Arrivals::Fixed => self.gap_ns,
            Arrivals::Poisson => self.random.exponential(self.gap_ns),
        };
    }

    /// Passes over the requests that are due before `end`, and tells how many they are (of very
    /// many with gaps that vary: about how many).
    pub fn pass(&mut self, end: Time) -> u64 {
        let mut passed = 0;
        while self.due() < end && passed < STEPS_MAX {
            self.advance();
            passed += 1;
        }
        if self.due() < end {
            let left_ns = end.since(self.due()).as_nanos() as f64;
            let more = (left_ns / self.gap_ns).ceil();
            self.offset_ns += more * self.gap_ns;
            passed += more as u64;
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(schedule.due().as_nanos());
            schedule.advance();
        }
        list
    }

    #[test]
    fn two_workers_together_keep_equal_gaps() {
        let start = Time::from_nanos(500);
        let mut all = Vec::new();
        for index in 0..2 {
            all.extend(due(
                &mut Schedule::new(1e6, Arrivals::Fixed, index, 2, start),
                4,
            ));
        }
        all.sort_unstable();
        assert_eq!(all, [500, 1500, 2500, 3500, 4500, 5500, 6500, 7500]);
    }

    #[test]
    fn a_fixed_rate_does_not_drift() {
        let mut schedule = Schedule::new(30_000.0, Arrivals::Fixed, 0, 1, Time::default());
        let last = due(&mut schedule, 3_000_001)[3_000_000];
        assert!(last.abs_diff(100_000_000_000) < 1000, "{last}");
    }

    #[test]
    fn ever_so_many_requests_are_passed_over_at_once() {
        let hour = Time::from_nanos(3_600_000_000_000);
        for arrivals in [Arrivals::Fixed, Arrivals::Poisson] {
            let mut schedule = Schedule::new(1e9, arrivals, 0, 1, Time::default());
            let passed = schedule.pass(hour);
            assert!(passed.abs_diff(3_600_000_000_000) < 2000, "{passed}");
            assert!(schedule.due() >= hour && schedule.pass(hour) == 0);
        }
        let mut schedule = Schedule::new(1000.0, Arrivals::Fixed, 0, 1, Time::default());
        assert_eq!(schedule.pass(Time::from_nanos(5_000_001)), 6);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_scatter_as_they_should() {
        let mut schedule = Schedule::new(1000.0, Arrivals::Poisson, 0, 1, Time::default());
        let moments = due(&mut schedule, 100_000);
        let gaps: Vec<f64> = moments
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64 / 1e6)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
    }
}
