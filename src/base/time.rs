//! Points in time, as plain numbers.
//!
//! The standard library's clock type can be made only by reading the clock, so code that takes one
//! can be tested only by waiting. [`Time`] is a count of nanoseconds since an arbitrary start. The
//! kernel layer reads it once a turn; a test sets it as needed. Spans are [`std::time::Duration`].
//! A *deadline* is a `Time`, a *timeout* is a span. Only `kernel` reads the real clock.

use std::time::Duration;

/// A point in time: nanoseconds since an arbitrary start that is the same for the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// A deadline that never comes, some 584 years from the start.
    pub const NEVER: Time = Time(u64::MAX);

    /// The point `nanoseconds` after the start.
    pub const fn from_nanos(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The point `span` later; a sum past the end of time is [`Time::NEVER`].
    pub fn after(self, span: Duration) -> Time {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(span))
    }

    /// The span from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_past_the_end_of_time_is_never() {
        let late = Time::from_nanos(u64::MAX - 1);
        assert_eq!(late.after(Duration::from_nanos(1)), Time::NEVER);
        assert_eq!(late.after(Duration::from_nanos(2)), Time::NEVER);
        assert_eq!(Time::default().after(Duration::MAX), Time::NEVER);
    }

    #[test]
    fn a_span_never_runs_backwards() {
        let (early, late) = (Time::from_nanos(5), Time::from_nanos(9));
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
