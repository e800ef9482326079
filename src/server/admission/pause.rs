//! Whether the listeners accept, and for how long they rest after an error of accept4.
//!
//! All errors of accept4 are classified here. Each pause after an error is longer than the last: a
//! listener that stays ready would make the loop spin. A success makes the next pause short again.
//! The type makes no call: `acceptor` sets the listeners' interest by it. See accept(2) "ERRORS".

use std::io;
use std::time::Duration;

use crate::kernel::{Time, errno};
use crate::limits::{ACCEPT_ERRORS_MAX, LISTENER_PAUSE_MAX, LISTENER_PAUSE_MIN};

/// Whether connections are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Every slot is taken.
    Full,
    /// Out of descriptors or memory; accept again at this time.
    Paused(Time),
}

/// Meaning of an error of accept4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptError {
    /// The queue is empty.
    Empty,
    /// Only this connection is lost; the next accept4 may succeed.
    Passing,
    /// Out of descriptors or memory.
    Exhausted,
    /// A bug in this program.
    Bug,
}

impl AcceptError {
    /// Classifies an error of a call on a listener that this program has opened.
    pub(super) fn of(error: &io::Error) -> AcceptError {
        match error.raw_os_error() {
            Some(errno::EAGAIN) => AcceptError::Empty,
            Some(errno::EMFILE | errno::ENFILE | errno::ENOBUFS | errno::ENOMEM) => {
                AcceptError::Exhausted
            }
            Some(errno::EBADF | errno::EINVAL | errno::ENOTSOCK | errno::EFAULT) => {
                AcceptError::Bug
            }
            // Linux passes a pending error of the new connection on as an error of accept,
            // EOPNOTSUPP among them: accept(2) "Error handling". As an error of the listener,
            // EOPNOTSUPP means that the socket is not of a stream type; all listeners here are
            // streams.
            _ => AcceptError::Passing,
        }
    }
}

/// Whether the listeners accept, and how long the next pause is.
pub(super) struct Pause {
    state: State,
    /// Length of the next pause.
    span: Duration,
    /// Transient errors of accept4 since the last success.
    errors: u32,
}

impl Pause {
    /// The listeners accept.
    pub(super) fn none() -> Pause {
        Pause {
            state: State::Open,
            span: LISTENER_PAUSE_MIN,
            errors: 0,
        }
    }

    /// Whether connections are accepted.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the pause ends by time.
    pub(super) fn is_timed(&self) -> bool {
        matches!(self.state, State::Paused(_))
    }

    /// When to accept again even if no connection closes.
    #[inline]
    pub(super) fn deadline(&self) -> Time {
        match self.state {
            State::Paused(until) => until,
            State::Open | State::Full => Time::NEVER,
        }
    }

    /// Length of the next pause.
    pub(super) fn span(&self) -> Duration {
        self.span
    }

    /// A connection was accepted.
    pub(super) fn accepted(&mut self) {
        self.span = LISTENER_PAUSE_MIN;
        self.errors = 0;
    }

    /// Counts an error that lost one connection. Returns whether the next may be accepted at once:
    /// after too many of them in a row, the listeners rest.
    pub(super) fn pass(&mut self) -> bool {
        let may_pass = self.errors < ACCEPT_ERRORS_MAX;
        self.errors += u32::from(may_pass);
        may_pass
    }

    /// Forgets the errors that lost one connection each, because the listeners rest for another.
    pub(super) fn forget_errors(&mut self) {
        self.errors = 0;
    }

    /// Accepts from now on.
    pub(super) fn end(&mut self) {
        self.state = State::Open;
    }

    /// Rests until a connection closes: every slot is taken.
    pub(super) fn while_full(&mut self) {
        self.state = State::Full;
    }

    /// Rests, for longer than the last time.
    pub(super) fn longer(&mut self, now: Time) {
        self.state = State::Paused(now.after(self.span));
        self.span = (self.span * 2).min(LISTENER_PAUSE_MAX);
    }

    /// Rests for the longest time.
    pub(super) fn longest(&mut self, now: Time) {
        self.state = State::Paused(now.after(LISTENER_PAUSE_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_bound_and_a_success_makes_them_short_again() {
        let (mut pause, now) = (Pause::none(), Time::from_nanos(7));
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            let span = pause.span();
            assert!(span >= last && (LISTENER_PAUSE_MIN..=LISTENER_PAUSE_MAX).contains(&span));
            pause.longer(now);
            assert_eq!(pause.deadline(), now.after(span));
            last = span;
        }
        assert_eq!(last, LISTENER_PAUSE_MAX);
        pause.accepted();
        assert_eq!(pause.span(), LISTENER_PAUSE_MIN);
        pause.while_full();
        assert!(!pause.is_open() && !pause.is_timed() && pause.deadline() == Time::NEVER);
    }

    #[test]
    fn transient_errors_pass_up_to_their_bound() {
        let mut pause = Pause::none();
        assert!((0..ACCEPT_ERRORS_MAX).all(|_| pause.pass()));
        assert!(!pause.pass());
        pause.forget_errors();
        assert!(pause.pass());
    }
}
