//! The times at which requests are due in an open loop.
//!
//! Independent users do not wait for each other's replies: their requests arrive at a rate, even if
//! the server is slow. A [`Schedule`] knows only the time at which the next request is due. It does
//! not know whether the request could be sent, and has no clock. The clock of a request starts when
//! the request is due, so a stalled server is charged for every request that had to wait (Tene,
//! "How NOT to measure latency").
//!
//! The schedule has no queue: the next time is computed when the previous request has begun, so a
//! backlog takes no memory. Each request goes to the connection that has been free longest, which
//! spreads the requests evenly over the connections.

use crate::base::random::Random;
use crate::base::time::Time;

/// The distribution of the gaps between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// All gaps are equal.
    Fixed,
    /// Independent users: gaps are exponential with the same mean.
    Poisson,
}

/// Up to this many requests are skipped one by one; a larger number is computed.
const STEPS_MAX: u64 = 1 << 16;

/// The moments at which one worker's requests are due.
#[derive(Clone, Debug)]
pub struct Schedule {
    start_ns: u64,
    gap_ns: f64,
    arrivals: Arrivals,
    /// The time from the start until the next request is due.
    offset_ns: f64,
    random: Random,
}

impl Schedule {
    /// Creates the schedule of worker `index`: `rate` requests per second in total, dealt to
    /// `workers` in turn.
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

    /// Moves on to the next request, after one was begun or given up.
    pub fn advance(&mut self) {
        self.offset_ns += match self.arrivals {
            Arrivals::Fixed => self.gap_ns,
            Arrivals::Poisson => self.random.exponential(self.gap_ns),
        };
    }

    /// Skips the requests that are due before `end`, and returns their number. For very many
    /// requests with random gaps, the number is approximate.
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
