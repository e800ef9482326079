//! The challenge that a peer has to answer before its first frame.
//!
//! ```text
//!   Greeting --- the challenge is owed ---> Pending --- the right digest ---> Open (and greet)
//!                                              |
//!                                              +--- wrong ---> Draining
//!                                              +--- short, late ---> Closed
//! ```
//!
//! The challenge is an answer in place: it needs no room in outbound. The bytes of an unfinished
//! digest lie in the workspace, like those of a frame, and have the time of one. An open connection
//! is as fast as any: nothing here is asked about it. Neighbour: `front::auth`.

use super::{Budget, Cause, CloseReason, Connection, Progress, Protocol, State, Workspace};
use crate::protocol::front::auth::{CHALLENGE_SIZE, Expected};
use crate::protocol::service::Service;

impl<S: Service> Connection<S> {
    /// A new connection is to be challenged before anything else.
    #[cold]
    pub fn expect_challenge(&mut self) {
        debug_assert!(matches!(self.state, State::Greeting | State::Open));
        self.state = State::Greeting;
    }

    /// Sends `challenge`, which `expected` answers. What has come before it is no answer.
    #[cold]
    pub fn challenge(
        &mut self,
        challenge: &[u8; CHALLENGE_SIZE],
        expected: Expected,
        workspace: &mut Workspace<'_>,
    ) {
        debug_assert!(!workspace.owes());
        // A header in front of the challenge has had its time.
        self.ended = true;
        if !workspace.inbound.undecoded().is_empty() {
            return self.refuse_digest(workspace);
        }
        workspace.inbound.spare()[..CHALLENGE_SIZE].copy_from_slice(challenge);
        workspace.inbound.advance(CHALLENGE_SIZE);
        workspace.inbound.answer(CHALLENGE_SIZE);
        self.state = State::Pending(expected);
    }

    /// Whether the digest has still to come.
    #[inline]
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending(_))
    }

    /// Takes the digest once all of it has arrived.
    #[cold]
    pub(super) fn take_digest(
        &mut self,
        expected: Expected,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        let bytes = workspace.inbound.undecoded();
        let Some(digest) = bytes.get(..expected.size()) else {
            return Progress::default();
        };
        if !expected.is_met_by(digest) {
            self.refuse_digest(workspace);
            return Progress::default();
        }
        workspace.inbound.consume(expected.size());
        // What follows is not a part of the digest, which has had its time.
        self.ended = true;
        self.state = State::Open;
        let behind = workspace.inbound.undecoded().len();
        self.screen(behind, workspace, protocol);
        if self.is_open() && protocol.service.greeting().is_some() {
            self.begin(workspace, protocol);
            return Progress::default();
        }
        self.resume(workspace, protocol, budget)
    }

    #[cold]
    fn refuse_digest(&mut self, workspace: &mut Workspace<'_>) {
        self.state = State::Draining(CloseReason::Unauthorised.into());
        workspace.inbound.drop_undecoded();
    }

    /// The cause of an end that begins now: a peer that is late with its digest is not authorised.
    pub(super) fn in_place_of(&self, cause: Cause) -> Cause {
        let is_late = matches!(
            cause.reason,
            CloseReason::SlowFrame | CloseReason::Idle | CloseReason::EndOfStream
        );
        match is_late && self.is_pending() {
            true => CloseReason::Unauthorised.into(),
            false => cause,
        }
    }
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use super::super::{Cursors, Want};
    use super::*;
    use crate::base::digest::Keyed;
    use crate::protocol::framing::{Framing, OnTooLong};
    use crate::protocol::service::{AnyService, Echo, Robot};

    /// A connection that has been challenged, and its buffers.
    struct Play {
        connection: Connection<AnyService>,
        protocol: Protocol<AnyService>,
        memory: (Vec<u8>, Vec<u8>),
        at: Cursors,
        heard: Vec<u8>,
    }

    const CHALLENGE: [u8; CHALLENGE_SIZE] = [7; CHALLENGE_SIZE];

    fn key(is_md5: bool) -> Keyed {
        Keyed::new(is_md5, b"key")
    }

    fn digest(is_md5: bool) -> Vec<u8> {
        let key = key(is_md5);
        key.digest(&CHALLENGE)[..key.size()].to_vec()
    }

    impl Play {
        fn new(service: impl Into<AnyService>, frame: &str, is_md5: bool) -> Play {
            let framing = Framing::parse(frame).and_then(|framing| framing.limited(100));
            let protocol = Protocol {
                framing: framing.expect("a framing"),
                on_too_long: OnTooLong::Close,
                service: service.into(),
            };
            let mut connection = Connection::new(&protocol.service);
            connection.expect_challenge();
            let mut play = Play {
                connection,
                protocol,
                memory: (vec![0; 200], vec![0; 200]),
                at: Cursors::default(),
                heard: Vec::new(),
            };
            assert!(play.connection.is_greeting());
            let expected = Expected::new(&key(is_md5), &CHALLENGE);
            play.with(|connection, workspace, _| {
                connection.challenge(&CHALLENGE, expected, workspace);
            });
            play.send();
            assert_eq!(play.heard, CHALLENGE);
            play.heard.clear();
            play
        }

        fn with<T>(
            &mut self,
            act: impl FnOnce(
                &mut Connection<AnyService>,
                &mut Workspace<'_>,
                &mut Protocol<AnyService>,
            ) -> T,
        ) -> T {
            let (inbound, outbound) = &mut self.memory;
            let mut workspace = Workspace::new(inbound, outbound, self.at);
            let outcome = act(&mut self.connection, &mut workspace, &mut self.protocol);
            self.at = workspace.cursors();
            outcome
        }

        /// Takes all that is owed, a byte at a time.
        fn send(&mut self) {
            while let Some(byte) = self.with(|connection, workspace, protocol| {
                let byte = *workspace.owed().first()?;
                let mut budget = Budget::new(100);
                let _ = connection.sent(1, workspace, protocol, &mut budget);
                Some(byte)
            }) {
                self.heard.push(byte);
            }
        }

        fn say(&mut self, bytes: &[u8]) {
            if bytes.is_empty() || self.wants() != Want::Read {
                return;
            }
            self.with(|connection, workspace, protocol| {
                workspace.inbound.spare()[..bytes.len()].copy_from_slice(bytes);
                let mut budget = Budget::new(100);
                let _ = connection.received(bytes.len(), workspace, protocol, &mut budget);
            });
            self.send();
        }

        fn wants(&mut self) -> Want {
            self.with(|connection, workspace, _| connection.wants(workspace.owes()))
        }
    }

    #[test]
    fn p13_a_digest_cut_anywhere_opens_the_connection_and_what_follows_is_answered() {
        for is_md5 in [false, true] {
            let all = [&digest(is_md5)[..], b"\0\x02hi\0\0\0\x01x"].concat();
            for first in 0..=all.len() {
                for second in first..=all.len() {
                    let mut play = Play::new(Echo, "u16be", is_md5);
                    assert!(play.connection.is_pending() && play.connection.is_mid_message());
                    for piece in [&all[..first], &all[first..second], &all[second..]] {
                        play.say(piece);
                    }
                    assert!(play.connection.is_open());
                    assert_eq!(play.heard, b"\0\x02hi\0\0\0\x01x", "{first} {second}");
                }
            }
        }
    }

    #[test]
    fn p13_a_wrong_digest_ends_the_connection_and_nothing_behind_it_is_answered() {
        for place in 0..32 {
            let mut wrong = digest(false);
            wrong[place] ^= 1;
            let mut play = Play::new(Echo, "raw", false);
            play.say(&[&wrong[..], b"hello"].concat());
            assert_eq!((play.wants(), play.heard.len()), (Want::Shutdown, 0));
            assert_eq!(play.connection.reason(), CloseReason::Unauthorised);
        }
    }

    #[test]
    fn p13_an_end_of_the_stream_inside_a_digest_is_unauthorised() {
        for count in 0..32 {
            let mut play = Play::new(Echo, "line", false);
            play.say(&digest(false)[..count]);
            play.with(|connection, workspace, protocol| connection.ended(workspace, protocol));
            assert_eq!(play.wants(), Want::Close);
            assert_eq!(play.connection.reason(), CloseReason::Unauthorised);
        }
    }

    #[test]
    fn p13_a_late_digest_is_unauthorised_and_a_drain_is_a_drain() {
        for (reason, counted) in [
            (CloseReason::SlowFrame, CloseReason::Unauthorised),
            (CloseReason::Idle, CloseReason::Unauthorised),
            (CloseReason::Reset, CloseReason::Reset),
            (CloseReason::Cut, CloseReason::Cut),
        ] {
            let mut play = Play::new(Echo, "raw", false);
            play.connection.close(reason);
            assert_eq!(play.connection.reason(), counted);
        }
        let mut play = Play::new(Echo, "raw", false);
        play.say(b"part");
        play.with(|connection, workspace, _| connection.drain(CloseReason::Shutdown, workspace));
        assert_eq!(play.connection.reason(), CloseReason::Shutdown);
        assert_eq!(play.wants(), Want::Shutdown);
    }

    #[test]
    fn p13_a_greeting_comes_behind_the_digest_and_before_the_answers() {
        let mut play = Play::new(Robot, "line", false);
        assert_eq!(play.heard, b"");
        play.say(&[&digest(false)[..], b"0\n"].concat());
        let said = String::from_utf8_lossy(&play.heard).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].starts_with("欢迎致电"), "{said}");
        assert!(lines[1].starts_with("通过可能会被录音"), "{said}");
    }

    #[test]
    fn p13_bytes_before_the_challenge_are_no_answer() {
        let mut play = Play::new(Echo, "raw", false);
        play.connection.expect_challenge_again();
        play.with(|connection, workspace, _| {
            workspace.inbound.spare()[..3].copy_from_slice(b"abc");
            workspace.inbound.advance(3);
            let expected = Expected::new(&key(false), &CHALLENGE);
            connection.challenge(&CHALLENGE, expected, workspace);
        });
        assert_eq!(play.connection.reason(), CloseReason::Unauthorised);
    }

    impl Connection<AnyService> {
        fn expect_challenge_again(&mut self) {
            self.state = State::Greeting;
        }
    }
}
