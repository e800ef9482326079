//! Limits each kind of log line to one per second, or to a burst and then one per second. The next
//! line reports how many were suppressed.

use std::fmt;
use std::time::Duration;

use crate::base::time::Time;
use crate::protocol::connection::{Cause, CloseReason};
use crate::protocol::framing::{FrameError, Hint};

const PAUSE: Duration = Duration::from_secs(1);

/// The rate limit of one kind of log line.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogLimiter {
    silent_until: Time,
    swallowed: u64,
}

/// Number of lines suppressed since the last one. Displays as nothing if the number is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl LogLimiter {
    /// Returns what to append to the line if a line may be written now.
    pub(crate) fn admit(&mut self, now: Time) -> Option<Suppressed> {
        self.admit_burst(now, 1)
    }

    /// The same, for `burst` lines at once after a silence of as many seconds.
    pub(crate) fn admit_burst(&mut self, now: Time, burst: u32) -> Option<Suppressed> {
        if now.after(PAUSE * burst.saturating_sub(1)) < self.silent_until {
            self.swallowed += 1;
            return None;
        }
        // Each line takes a second of silence, and those of a burst take it in advance.
        self.silent_until = self.silent_until.max(now).after(PAUSE);
        Some(Suppressed(std::mem::take(&mut self.swallowed)))
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like this were not logged)"),
        }
    }
}

/// Suffix that names the protocol the peer seems to use. Displays as nothing without a hint.
pub(crate) struct HintSuffix(pub(crate) Option<Hint>);

impl fmt::Display for HintSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(hint) => write!(f, "; {hint}"),
        }
    }
}

/// One limiter per close reason.
#[derive(Debug, Default)]
pub(crate) struct CloseLog {
    reasons: [LogLimiter; CloseReason::ALL.len()],
    lingers: LogLimiter,
}

impl CloseLog {
    /// The limiter of `reason`.
    pub(crate) fn of(&mut self, reason: CloseReason) -> &mut LogLimiter {
        &mut self.reasons[reason as usize]
    }

    /// Logs a frame error; `outcome` says whether the frame is discarded or the connection closed.
    #[cold]
    pub(crate) fn log_frame_error(
        &mut self,
        error: &FrameError,
        hint: Option<Hint>,
        outcome: &str,
        now: Time,
    ) {
        if let Some(more) = self.of(CloseReason::from(error)).admit(now) {
            let (kind, seems) = (error.kind(), HintSuffix(hint));
            log::warn!("{kind}: {error}{seems}: the {outcome}{more}");
        }
    }

    /// Logs that a connection was closed, if the cause is a frame error, a limit of the server, or
    /// a failed call. An idle peer is not an error, so that line is informational.
    pub(crate) fn log_close(&mut self, cause: &Cause, now: Time) {
        if let Some(error) = &cause.error {
            return self.log_frame_error(error, cause.hint, "connection is closed", now);
        }
        let reason = cause.reason;
        let Some(what) = cause.limit() else { return };
        if let Some(more) = self.of(reason).admit(now) {
            let (name, seems) = (reason.name(), HintSuffix(cause.hint));
            let level = match reason {
                CloseReason::Idle => log::Level::Info,
                _ => log::Level::Warn,
            };
            log::log!(
                level,
                "{name}: {what}{seems}: the connection is closed{more}"
            );
        }
    }

    /// Logs that a connection is closed after our FIN, with replies that the peer did not
    /// acknowledge.
    pub(crate) fn log_linger(&mut self, unacknowledged: u32, now: Time) {
        if let Some(more) = self.lingers.admit(now) {
            log::warn!(
                "lingers_cut: {unacknowledged} bytes of its last replies were not taken in time: \
                 the connection is closed{more}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limiter_admits_one_line_a_second_and_counts_the_suppressed_ones() {
        let mut throttle = LogLimiter::default();
        let start = Time::from_nanos(5);
        assert_eq!(throttle.admit(start), Some(Suppressed(0)));
        assert_eq!(throttle.admit(start), None);
        assert_eq!(
            throttle.admit(start.after(PAUSE - Duration::from_nanos(1))),
            None
        );
        assert_eq!(throttle.admit(start.after(PAUSE)), Some(Suppressed(2)));
        assert_eq!(
            Suppressed(2).to_string(),
            " (2 more like this were not logged)"
        );
    }

    #[test]
    fn a_burst_is_written_at_once_and_then_one_line_a_second() {
        let mut throttle = LogLimiter::default();
        let start = Time::from_nanos(5);
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut lines = |seconds, tries| {
            let admitted = (0..tries).filter_map(|_| throttle.admit_burst(at(seconds), 4));
            admitted.collect::<Vec<_>>()
        };
        assert_eq!(lines(0, 100), [Suppressed(0); 4]);
        assert_eq!(lines(1, 100), [Suppressed(96)]);
        assert_eq!(lines(2, 1), [Suppressed(99)]);
        // After a silence of as many seconds the next burst is written at once.
        assert_eq!(lines(6, 5), [Suppressed(0); 4]);
        assert_eq!(lines(9, 5).len(), 3);
    }

    #[test]
    fn each_reason_has_its_own() {
        let mut complaints = CloseLog::default();
        let mut speaks = |reason| complaints.of(reason).admit(Time::default()).is_some();
        assert!(speaks(CloseReason::Stalled));
        assert!(speaks(CloseReason::SlowFrame));
        assert!(!speaks(CloseReason::Stalled));
    }
}
