//! The running process of a takeover, as a state machine. It knows no socket and no clock.
//!
//! ```text
//!   Free -- a process comes --> Asked -- Hello that fits --> Offered -- Serving --> Left
//!    ^                            |                             |
//!    +--- it ends, is late, or says anything else --------------+
//! ```
//!
//! Invariant: until `Left` nothing has changed. Every listener is open and accepted from, and no
//! connection is passed, whatever the other process does. Neighbours: `message` has the bytes,
//! `host` carries out what is decided here.

use super::message::{Message, VERSIONS};
use crate::kernel::Time;
use crate::limits::{TAKEOVER_HELLO_TIMEOUT, TAKEOVER_START_TIMEOUT};

/// Where a takeover stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No other process.
    Free,
    /// One has come, and has to say what it would serve.
    Asked { until: Time },
    /// It has copies of the listeners, and has to say that it can serve.
    Offered { until: Time },
    /// It serves. There is no way back.
    Left,
}

/// What the holder wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Nothing,
    /// Send copies of the listeners, in this version.
    Offer(u16),
    /// Say that the other process serves, and if that can be said, leave: then call
    /// [`Holder::left`].
    Leave {
        /// How many connections it has room for.
        room: u32,
        /// How many it takes in one message.
        batch: u8,
    },
    /// Tell the other process the reason, if there is one to tell, and close its connection.
    TurnAway(Option<String>),
}

/// The running process.
#[derive(Debug)]
pub(super) struct Holder {
    identity: String,
    state: State,
}

impl Holder {
    pub(super) fn new(identity: String) -> Holder {
        Holder {
            identity,
            state: State::Free,
        }
    }

    /// A process has come. Returns why it is turned away, if another one is there.
    pub(super) fn come(&mut self, now: Time) -> Result<(), String> {
        match self.state {
            State::Free => {
                let until = now.after(TAKEOVER_HELLO_TIMEOUT);
                self.state = State::Asked { until };
                Ok(())
            }
            _ => Err("another process takes over already".to_owned()),
        }
    }

    /// The process has sent a message.
    pub(super) fn hear(&mut self, bytes: &[u8], now: Time) -> Step {
        match (self.state, Message::from_bytes(bytes)) {
            (
                State::Asked { .. },
                Some(Message::Hello {
                    oldest,
                    newest,
                    identity,
                }),
            ) => self.decide(oldest, newest, &identity, now),
            (State::Offered { .. }, Some(Message::Serving { room, batch })) => {
                Step::Leave { room, batch }
            }
            _ => self.turn_away(Some(
                "it said something that is not expected here".to_owned(),
            )),
        }
    }

    fn decide(&mut self, oldest: u16, newest: u16, identity: &str, now: Time) -> Step {
        let (our_oldest, our_newest) = VERSIONS;
        if oldest > our_newest || newest < our_oldest {
            return self.turn_away(Some(format!(
                "the running server speaks versions {our_oldest} to {our_newest} of the takeover, \
                 and this one {oldest} to {newest}"
            )));
        }
        if identity != self.identity {
            return self.turn_away(Some(format!(
                "the running server has {}, and this one {identity}",
                self.identity
            )));
        }
        let until = now.after(TAKEOVER_START_TIMEOUT);
        self.state = State::Offered { until };
        Step::Offer(newest.min(our_newest))
    }

    /// The process has ended, or cannot be spoken to.
    pub(super) fn ended(&mut self) -> Step {
        self.turn_away(None)
    }

    /// It was told that it serves.
    pub(super) fn left(&mut self) {
        debug_assert!(matches!(self.state, State::Offered { .. }));
        self.state = State::Left;
    }

    /// When [`Holder::expire`] has something to do.
    pub(super) fn deadline(&self) -> Time {
        match self.state {
            State::Asked { until } | State::Offered { until } => until,
            State::Free | State::Left => Time::NEVER,
        }
    }

    /// Gives up a process that is late.
    pub(super) fn expire(&mut self, now: Time) -> Step {
        match self.deadline() <= now {
            true => self.turn_away(Some("it took too long".to_owned())),
            false => Step::Nothing,
        }
    }

    fn turn_away(&mut self, reason: Option<String>) -> Step {
        match self.state {
            State::Free | State::Left => Step::Nothing,
            State::Asked { .. } | State::Offered { .. } => {
                self.state = State::Free;
                Step::TurnAway(reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Time = Time::from_nanos(1_000);
    const SERVING: Message = Message::Serving { room: 9, batch: 3 };

    fn hello(oldest: u16, newest: u16, identity: &str) -> Vec<u8> {
        let identity = identity.to_owned();
        Message::Hello {
            oldest,
            newest,
            identity,
        }
        .to_bytes()
    }

    /// A holder that has taken `steps` of a takeover.
    fn after(steps: usize) -> Holder {
        let mut holder = Holder::new("echo".to_owned());
        if steps > 0 {
            assert_eq!(holder.come(NOW), Ok(()));
        }
        if steps > 1 {
            assert_eq!(holder.hear(&hello(1, 1, "echo"), NOW), Step::Offer(1));
        }
        if steps > 2 {
            let leave = Step::Leave { room: 9, batch: 3 };
            assert_eq!(holder.hear(&SERVING.to_bytes(), NOW), leave);
        }
        holder
    }

    #[test]
    fn a_process_that_ends_at_any_step_leaves_a_holder_that_is_free_for_the_next() {
        for steps in 0..=3 {
            let mut holder = after(steps);
            let gone = match steps {
                0 => Step::Nothing,
                _ => Step::TurnAway(None),
            };
            assert_eq!(holder.ended(), gone, "{steps}");
            assert_eq!(holder.deadline(), Time::NEVER);
            assert_eq!(holder.come(NOW), Ok(()), "{steps}");
            assert_eq!(holder.hear(&hello(1, 1, "echo"), NOW), Step::Offer(1));
        }
    }

    #[test]
    fn there_is_no_way_back_once_the_other_process_serves() {
        let mut holder = after(3);
        holder.left();
        assert_eq!(holder.ended(), Step::Nothing);
        assert_eq!(holder.hear(&SERVING.to_bytes(), NOW), Step::Nothing);
        assert!(holder.come(NOW).is_err());
        assert_eq!(holder.deadline(), Time::NEVER);
    }

    #[test]
    fn anything_but_the_next_message_ends_the_takeover() {
        let wrong: [&[u8]; 4] = [b"", b"GET / HTTP/1.1", &[5], &[9; 500]];
        for steps in 1..=2 {
            let serving = SERVING.to_bytes();
            let hello = hello(1, 1, "echo");
            let other = if steps == 1 { &serving } else { &hello };
            for bytes in wrong.iter().copied().chain([&other[..]]) {
                let mut holder = after(steps);
                let step = holder.hear(bytes, NOW);
                assert!(matches!(step, Step::TurnAway(Some(_))), "{bytes:?}");
                assert_eq!(holder.come(NOW), Ok(()));
            }
        }
    }

    #[test]
    fn a_second_process_is_turned_away_while_the_first_is_there() {
        for steps in 1..=3 {
            assert!(after(steps).come(NOW).is_err(), "{steps}");
        }
    }

    #[test]
    fn a_process_that_is_late_is_given_up_and_one_that_is_not_is_waited_for() {
        let nanosecond = Duration::from_nanos(1);
        for (steps, span) in [(1, TAKEOVER_HELLO_TIMEOUT), (2, TAKEOVER_START_TIMEOUT)] {
            let mut holder = after(steps);
            assert_eq!(holder.deadline(), NOW.after(span));
            assert_eq!(holder.expire(NOW.after(span - nanosecond)), Step::Nothing);
            let step = holder.expire(NOW.after(span));
            assert!(matches!(step, Step::TurnAway(Some(_))), "{steps}");
            assert_eq!(holder.expire(Time::NEVER), Step::Nothing);
        }
    }

    #[test]
    fn versions_and_services_must_fit() {
        for (bytes, expected) in [
            (hello(1, 9, "echo"), Some(1)),
            (hello(0, 1, "echo"), Some(1)),
            (hello(2, 9, "echo"), None),
            (hello(0, 0, "echo"), None),
            (hello(1, 1, "upper"), None),
        ] {
            let mut holder = after(1);
            match (holder.hear(&bytes, NOW), expected) {
                (Step::Offer(version), Some(expected)) => assert_eq!(version, expected),
                (Step::TurnAway(Some(reason)), None) => {
                    assert!(reason.starts_with("the running server "), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
