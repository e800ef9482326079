//! Until when a worker process has to report that it is alive.
//!
//! A process that hangs or is stopped accepts no connection, but it holds those that it has, and
//! their peers wait. A worker reports every `--alive`; after five missing reports it is killed. The
//! first report may come later, because the worker starts.
//!
//! The supervisor may be stopped itself, or the whole machine may stand still. Then all reports are
//! late for that reason, and every process gets its time anew. Pure: `now` is a parameter.
//! Neighbour: `place`.

use std::time::Duration;

use crate::kernel::Time;
use crate::limits::{ALIVE_MISSES, PROCESS_START_MAX};

/// The time between two reports, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Liveness {
    period: Option<Duration>,
}

impl Liveness {
    /// Reports are due every `period`; without one a silent process is never killed.
    pub(super) fn new(period: Option<Duration>) -> Liveness {
        Liveness { period }
    }

    /// The deadline of a process that has started now.
    pub(super) fn of_started(self, now: Time) -> Time {
        self.within(now, PROCESS_START_MAX)
    }

    /// The deadline of a process that has reported now.
    pub(super) fn of_heard(self, now: Time) -> Time {
        self.within(now, Duration::ZERO)
    }

    fn within(self, now: Time, least: Duration) -> Time {
        self.period.map_or(Time::NEVER, |period| {
            now.after((period * ALIVE_MISSES).max(least))
        })
    }

    /// Whether the supervisor, which wanted to wake up at `until`, has slept so long that no
    /// process can be blamed for silence.
    pub(super) fn has_overslept(self, until: Time, now: Time) -> bool {
        (self.period).is_some_and(|period| now.since(until) >= period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANOSECOND: Duration = Duration::from_nanos(1);

    #[test]
    fn a_process_may_be_silent_for_five_periods() {
        let start = Time::from_nanos(7);
        for period in [Duration::from_millis(10), Duration::from_secs(1)] {
            let deadline = Liveness::new(Some(period)).of_heard(start);
            assert_eq!(deadline, start.after(period * 5));
            assert!(start.after(period * 5 - NANOSECOND) < deadline);
        }
        assert_eq!(Liveness::new(None).of_heard(start), Time::NEVER);
    }

    #[test]
    fn a_process_has_longer_to_start() {
        let start = Time::from_nanos(7);
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(60));
        let deadline = |period| Liveness::new(period).of_started(start);
        assert_eq!(deadline(Some(short)), start.after(PROCESS_START_MAX));
        assert_eq!(deadline(Some(long)), start.after(long * 5));
        assert_eq!(deadline(None), Time::NEVER);
    }

    #[test]
    fn a_supervisor_that_overslept_by_a_period_blames_no_process() {
        let period = Duration::from_secs(1);
        let (liveness, until) = (Liveness::new(Some(period)), Time::from_nanos(5));
        for (late, overslept) in [
            (Duration::ZERO, false),
            (period - NANOSECOND, false),
            (period, true),
            (period + NANOSECOND, true),
        ] {
            let now = until.after(late);
            assert_eq!(liveness.has_overslept(until, now), overslept, "{late:?}");
            assert!(!Liveness::new(None).has_overslept(until, now));
        }
        assert!(!liveness.has_overslept(Time::NEVER, until));
    }
}
