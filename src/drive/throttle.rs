//! At most one log line a second of a kind, however many peers cause it; the others are counted
//! into the next.

use std::fmt;
use std::time::Duration;

use crate::base::clock::Time;
use crate::connection::CloseReason;
use crate::framing::Guess;

const PAUSE: Duration = Duration::from_secs(1);

/// Who may speak, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttle {
    silent_until: Time,
    swallowed: u64,
}

/// How many lines were swallowed since the last one; prints as nothing when there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swallowed(u64);

impl Throttle {
    /// Whether a line may be written now, and what to add to it.
    pub(super) fn may_speak(&mut self, now: Time) -> Option<Swallowed> {
        if now < self.silent_until {
            self.swallowed += 1;
            return None;
        }
        self.silent_until = now.after(PAUSE);
        Some(Swallowed(std::mem::take(&mut self.swallowed)))
    }
}

impl fmt::Display for Swallowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like this were not logged)"),
        }
    }
}

/// What a peer seems to speak, behind what is wrong with it; prints as nothing when nobody knows.
pub(super) struct Seems(pub(super) Option<Guess>);

impl fmt::Display for Seems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(guess) => write!(f, "; {guess}"),
        }
    }
}

/// A throttle for each reason that connections end for.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    reasons: [Throttle; CloseReason::ALL.len()],
    lingers: Throttle,
}

impl Complaints {
    /// The one for `reason`.
    pub(super) fn of(&mut self, reason: CloseReason) -> &mut Throttle {
        &mut self.reasons[reason as usize]
    }

    /// Tells that a connection was closed for `reason`, if that is a limit of the server or a call
    /// that failed. A peer that has nothing to say is no fault of anybody, and no warning.
    pub(super) fn warn_of(&mut self, reason: CloseReason, guess: Option<Guess>, now: Time) {
        let Some(what) = reason.limit() else { return };
        if let Some(more) = self.of(reason).may_speak(now) {
            let (name, seems) = (reason.name(), Seems(guess));
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

    /// Tells that a connection is closed behind our FIN, with replies that its peer did not take.
    pub(super) fn warn_of_a_linger(&mut self, unsent: u32, now: Time) {
        if let Some(more) = self.lingers.may_speak(now) {
            log::warn!(
                "lingers_cut: {unsent} bytes of its last replies were not taken in time: \
                 the connection is closed{more}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_the_next_one_tells_how_many_were_swallowed() {
        let mut throttle = Throttle::default();
        let start = Time::from_nanos(5);
        assert_eq!(throttle.may_speak(start), Some(Swallowed(0)));
        assert_eq!(throttle.may_speak(start), None);
        assert_eq!(
            throttle.may_speak(start.after(PAUSE - Duration::from_nanos(1))),
            None
        );
        assert_eq!(throttle.may_speak(start.after(PAUSE)), Some(Swallowed(2)));
        assert_eq!(
            Swallowed(2).to_string(),
            " (2 more like this were not logged)"
        );
    }

    #[test]
    fn each_reason_has_its_own() {
        let mut complaints = Complaints::default();
        let mut speaks = |reason| complaints.of(reason).may_speak(Time::default()).is_some();
        assert!(speaks(CloseReason::Stalled));
        assert!(speaks(CloseReason::SlowFrame));
        assert!(!speaks(CloseReason::Stalled));
    }
}
