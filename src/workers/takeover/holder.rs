//! The running process of a takeover, as a state machine. It knows no socket and no clock.
//!
//! ```text
//!   Free -- a process comes --> Asked -- Hello that fits --> Offered -- Serving --> Promised
//!    ^                            |                             |                  |    |
//!    +--- it ends, is late, or says anything else --------------+                  |  Taken
//!    +--- it ends, or says anything else ------------------------------------------+    |
//!                                                                                       v
//!                                                                                      Left
//! ```
//!
//! Invariant: until `Left` nothing has changed. Every listener is open and accepted from, and no
//! connection is passed, whatever the other process does. In `Promised` both processes serve, and
//! the death of either leaves the other one. `Promised` has no time limit: a process that is late
//! may have read that it serves, so only its end is an answer. Version 1 has no such answer, and
//! goes to `Left` at once. Neighbours: `message` has the bytes, `host` carries out what is decided
//! here.

use super::message::{CONFIRMED, Message, VERSIONS};
use crate::kernel::Time;
use crate::limits::{TAKEOVER_ANSWER_TIMEOUT, TAKEOVER_HELLO_TIMEOUT, TAKEOVER_START_TIMEOUT};

/// Where a takeover stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No other process.
    Free,
    /// One has come, and has to say what it would serve.
    Asked { until: Time },
    /// It has copies of the listeners, and has to say that it can serve.
    Offered { until: Time, version: u16 },
    /// It was told that it serves, and has to say that it has heard that. If it has not done so by
    /// then, that is logged.
    Promised { until: Time, terms: Terms },
    /// It serves. There is no way back.
    Left,
}

/// What the other process takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::workers) struct Terms {
    /// How many connections it has room for.
    pub(in crate::workers) room: u32,
    /// How many it takes in one message.
    pub(in crate::workers) batch: u8,
}

/// What the holder wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Nothing,
    /// Send copies of the listeners, in this version.
    Offer(u16),
    /// Say that the other process serves, and if that can be said, call [`Holder::promised`].
    Promise(Terms),
    /// Leave, and call [`Holder::left`].
    Leave(Terms),
    /// Tell in the log that the other process has not confirmed yet.
    Remind,
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
                Step::Promise(Terms { room, batch })
            }
            (State::Promised { terms, .. }, Some(Message::Taken)) => Step::Leave(terms),
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
        let (until, version) = (now.after(TAKEOVER_START_TIMEOUT), newest.min(our_newest));
        self.state = State::Offered { until, version };
        Step::Offer(version)
    }

    /// The process has ended, or cannot be spoken to.
    pub(super) fn ended(&mut self) -> Step {
        self.turn_away(None)
    }

    /// It was told that it serves, and takes this.
    pub(super) fn promised(&mut self, terms: Terms, now: Time) -> Step {
        let State::Offered { version, .. } = self.state else {
            return Step::Nothing;
        };
        let until = now.after(TAKEOVER_ANSWER_TIMEOUT);
        self.state = State::Promised { until, terms };
        match version {
            CONFIRMED.. => Step::Nothing,
            _ => Step::Leave(terms),
        }
    }

    /// Whether the other process was told that it serves.
    pub(super) fn has_promised(&self) -> bool {
        matches!(self.state, State::Promised { .. })
    }

    /// This process has left.
    pub(super) fn left(&mut self) {
        debug_assert!(self.has_promised());
        self.state = State::Left;
    }

    /// When [`Holder::expire`] has something to do.
    pub(super) fn deadline(&self) -> Time {
        match self.state {
            State::Asked { until }
            | State::Offered { until, .. }
            | State::Promised { until, .. } => until,
            State::Free | State::Left => Time::NEVER,
        }
    }

    /// Gives up a process that is late.
    pub(super) fn expire(&mut self, now: Time) -> Step {
        if self.deadline() > now {
            return Step::Nothing;
        }
        match &mut self.state {
            State::Promised { until, .. } => {
                *until = Time::NEVER;
                Step::Remind
            }
            _ => self.turn_away(Some("it took too long".to_owned())),
        }
    }

    fn turn_away(&mut self, reason: Option<String>) -> Step {
        match self.state {
            State::Free | State::Left => Step::Nothing,
            State::Asked { .. } | State::Offered { .. } | State::Promised { .. } => {
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
    const TERMS: Terms = Terms { room: 9, batch: 3 };

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
            assert_eq!(holder.hear(&hello(1, 2, "echo"), NOW), Step::Offer(2));
        }
        if steps > 2 {
            let promise = Step::Promise(TERMS);
            assert_eq!(holder.hear(&SERVING.to_bytes(), NOW), promise);
        }
        if steps > 3 {
            assert_eq!(holder.promised(TERMS, NOW), Step::Nothing);
            assert!(holder.has_promised());
        }
        holder
    }

    #[test]
    fn a_process_that_ends_at_any_step_leaves_a_holder_that_is_free_for_the_next() {
        for steps in 0..=4 {
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
        let mut holder = after(4);
        let taken = Message::Taken.to_bytes();
        assert_eq!(holder.hear(&taken, NOW), Step::Leave(TERMS));
        holder.left();
        assert_eq!(holder.ended(), Step::Nothing);
        assert_eq!(holder.hear(&SERVING.to_bytes(), NOW), Step::Nothing);
        assert!(holder.come(NOW).is_err());
        assert_eq!(holder.deadline(), Time::NEVER);
    }

    #[test]
    fn anything_but_the_next_message_ends_the_takeover() {
        let wrong: [&[u8]; 4] = [b"", b"GET / HTTP/1.1", &[5], &[9; 500]];
        let (serving, taken) = (SERVING.to_bytes(), Message::Taken.to_bytes());
        let hello = hello(1, 2, "echo");
        for (steps, others) in [
            (1, [&serving, &taken]),
            (2, [&hello, &taken]),
            (4, [&hello, &serving]),
        ] {
            for bytes in wrong.iter().copied().chain(others.map(|it| &it[..])) {
                let mut holder = after(steps);
                let step = holder.hear(bytes, NOW);
                assert!(matches!(step, Step::TurnAway(Some(_))), "{bytes:?}");
                assert_eq!(holder.come(NOW), Ok(()));
            }
        }
    }

    #[test]
    fn a_second_process_is_turned_away_while_the_first_is_there() {
        for steps in 1..=4 {
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
    fn a_process_that_was_told_to_serve_is_waited_for_until_it_ends() {
        let mut holder = after(4);
        let until = NOW.after(TAKEOVER_ANSWER_TIMEOUT);
        assert_eq!(
            (holder.deadline(), holder.expire(NOW)),
            (until, Step::Nothing)
        );
        assert_eq!(holder.expire(until), Step::Remind);
        assert_eq!(holder.deadline(), Time::NEVER);
        assert!(holder.has_promised());
        assert_eq!(holder.ended(), Step::TurnAway(None));
    }

    #[test]
    fn a_process_of_the_first_version_confirms_nothing() {
        let mut holder = after(1);
        assert_eq!(holder.hear(&hello(1, 1, "echo"), NOW), Step::Offer(1));
        assert_eq!(holder.hear(&SERVING.to_bytes(), NOW), Step::Promise(TERMS));
        assert_eq!(holder.promised(TERMS, NOW), Step::Leave(TERMS));
        holder.left();
        assert_eq!(holder.ended(), Step::Nothing);
    }

    #[test]
    fn versions_and_services_must_fit() {
        for (bytes, expected) in [
            (hello(1, 9, "echo"), Some(2)),
            (hello(0, 1, "echo"), Some(1)),
            (hello(2, 9, "echo"), Some(2)),
            (hello(3, 9, "echo"), None),
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
