//! One connection of the load: what it still has to say, and what it must hear next.
//!
//! Bytes only: no descriptor, no clock. `begin` commits to one more request, `outgoing` and `sent`
//! move it out in as many writes as it takes, `received` takes replies in any pieces, compares each
//! byte with what must stand there and tells how many requests were answered.
//!
//! ```text
//!   table   ... | answered | on its way: sent, unanswered | owed: begun, unsent | not begun ...
//!               inbound ->                                outbound ->
//! ```
//!
//! A datagram is a request or a reply as a whole, there is one in flight, and it may be lost; then
//! its connection gives it up and goes on with the next.
//!
//! Invariant: `unanswered` is the distance from `inbound` to `outbound` (of an echo; of HTTP it
//! stays 0).

use super::http::Replies;
use super::lost::Lost;
use super::page::FirstPage;
use super::script::Script;
use super::wrong::Wrong;

/// How requests and replies lie in what is written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// One after the other; a reply is the bytes of its request.
    Stream,
    /// The same, each in a datagram of its own.
    Datagrams,
    /// One after the other, in HTTP/1.1.
    Http,
}

/// The state of one connection's conversation.
#[derive(Clone, Debug)]
pub struct Connection {
    speech: Speech,
    outbound: usize,
    owed: usize,
    next: usize,
    inbound: usize,
    awaited: usize,
    left: usize,
    unanswered: usize,
    begun: u64,
    answered: u64,
    replies: Option<Box<Replies>>,
    lost: Option<Box<Lost>>,
}

impl Connection {
    /// A connection that has said nothing. Replies in HTTP are held against `first`.
    pub fn new(speech: Speech, first: &FirstPage) -> Connection {
        let replies = (speech == Speech::Http).then(|| Box::new(Replies::new(first)));
        Connection {
            speech,
            outbound: 0,
            owed: 0,
            next: 0,
            inbound: 0,
            awaited: 0,
            left: 0,
            unanswered: 0,
            begun: 0,
            answered: 0,
            replies,
            lost: (speech == Speech::Datagrams).then(Box::default),
        }
    }

    /// Starts over at the request of the script that belongs to `voice`, in place.
    pub fn reset(&mut self, script: &Script, voice: u64) {
        // Neighbouring voices stand far apart in the table, so that what one server buffer holds at
        // a time never repeats itself.
        let index = (voice.wrapping_mul(0x9e37_79b9) % script.count() as u64) as usize;
        (self.next, self.awaited) = (index, index);
        (self.outbound, self.inbound) = (script.start(index), script.start(index));
        self.left = script.length(index);
        (self.owed, self.unanswered) = (0, 0);
        (self.begun, self.answered) = (0, 0);
        if let Some(replies) = &mut self.replies {
            replies.restart();
        }
        if let Some(lost) = &mut self.lost {
            **lost = Lost::default();
        }
    }

    /// Commits to one more request.
    #[inline]
    pub fn begin(&mut self, script: &Script) {
        self.owed += script.length(self.next);
        self.next = script.following(self.next);
        self.begun += 1;
    }

    /// Requests begun so far.
    #[inline]
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Requests begun and not answered.
    pub fn in_flight(&self) -> u64 {
        self.begun - self.answered
    }

    /// Whether the other side has said that it answers nothing more here.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.replies
            .as_ref()
            .is_some_and(|replies| replies.is_over())
    }

    /// Gives up on every reply that is still to come.
    pub fn abandon(&mut self) {
        self.answered = self.begun;
    }

    /// What to write next; empty when nothing is owed.
    #[inline]
    pub fn outgoing<'a>(&self, script: &'a Script) -> &'a [u8] {
        script.slice(self.outbound, self.owed)
    }

    /// Notes that the first `count` bytes of [`Connection::outgoing`] were written.
    #[inline]
    pub fn sent(&mut self, script: &Script, count: usize) {
        assert!(count <= self.owed);
        self.owed -= count;
        self.outbound = script.advance(self.outbound, count);
        if self.replies.is_none() {
            self.unanswered += count;
        }
    }

    /// Takes what came back and tells how many requests it completed. Without `verify` only lengths
    /// count.
    #[inline]
    pub fn received(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Result<u32, Wrong> {
        let answers = match (&mut self.replies, self.speech) {
            (Some(replies), _) => replies.received(bytes, verify).map_err(Wrong::Http)?,
            (None, Speech::Datagrams) => self.datagram(script, bytes, verify)?,
            (None, _) => self.echoed(script, bytes, verify)?,
        };
        if u64::from(answers) > self.in_flight() {
            return Err(Wrong::Surplus);
        }
        self.answered += u64::from(answers);
        Ok(answers)
    }

    /// The one reply that is waited for; or one to an earlier request, late or for the second time.
    fn datagram(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Result<u32, Wrong> {
        if self.unanswered > 0 && bytes == script.request(self.awaited) {
            return self.echoed(script, bytes, false);
        }
        // Short ones may say the same, so the one that is waited for comes first.
        let is_late = self.unanswered == 0
            || self.answered > 0 && bytes == script.request(script.preceding(self.awaited))
            || self
                .lost
                .as_ref()
                .is_some_and(|lost| lost.has(script, bytes));
        if is_late {
            return Ok(0);
        }
        if bytes.len() != self.left {
            let (expected, found) = (self.left, bytes.len());
            return Err(Wrong::Size { expected, found });
        }
        self.echoed(script, bytes, verify)
    }

    /// Stops waiting for the request that has been sent and not answered, if there is one.
    pub fn give_up(&mut self, script: &Script) -> bool {
        if self.unanswered == 0 {
            return false;
        }
        if let Some(lost) = &mut self.lost {
            lost.note(self.awaited);
        }
        self.inbound = script.advance(self.inbound, self.left);
        self.unanswered -= self.left;
        self.awaited = script.following(self.awaited);
        self.left = script.length(self.awaited);
        self.answered += 1;
        true
    }

    #[inline]
    fn echoed(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Result<u32, Wrong> {
        if bytes.len() > self.unanswered {
            return Err(Wrong::Surplus);
        }
        if verify {
            self.verify(script, bytes)?;
        }
        self.unanswered -= bytes.len();
        self.inbound = script.advance(self.inbound, bytes.len());
        let (mut count, mut answers) = (bytes.len(), 0);
        while count >= self.left {
            count -= self.left;
            answers += 1;
            self.awaited = script.following(self.awaited);
            self.left = script.length(self.awaited);
        }
        self.left -= count;
        Ok(answers)
    }

    #[inline]
    fn verify(&self, script: &Script, bytes: &[u8]) -> Result<(), Wrong> {
        let mut compared = 0;
        while compared < bytes.len() {
            let position = script.advance(self.inbound, compared);
            let expected = script.slice(position, bytes.len() - compared);
            if expected != &bytes[compared..compared + expected.len()] {
                return Err(self.first_difference(script, bytes));
            }
            compared += expected.len();
        }
        Ok(())
    }

    #[cold]
    fn first_difference(&self, script: &Script, bytes: &[u8]) -> Wrong {
        let (mut awaited, mut request) = (self.awaited, self.answered + 1);
        let (mut position, mut offset) = (self.inbound, script.length(awaited) - self.left);
        for &found in bytes {
            let expected = script.slice(position, 1)[0];
            if found != expected {
                return Wrong::Byte {
                    request,
                    offset,
                    expected,
                    found,
                };
            }
            position = script.advance(position, 1);
            offset += 1;
            if offset == script.length(awaited) {
                awaited = script.following(awaited);
                (request, offset) = (request + 1, 0);
            }
        }
        unreachable!("the slices compared different")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::framing::Framing;

    fn script(spec: &str, least: usize, most: usize) -> Script {
        Script::echo(&Framing::parse(spec).expect("known"), least, most, 8).expect("fits")
    }

    fn fresh(script: &Script, voice: u64) -> Connection {
        let mut connection = Connection::new(Speech::Stream, &FirstPage::default());
        connection.reset(script, voice);
        connection
    }

    #[test]
    fn an_echo_in_any_pieces_is_accepted_and_counted() {
        let mut random = Random::new(5);
        for (spec, least, most) in [
            ("raw", 1, 1),
            ("raw", 64, 64),
            ("u32be", 0, 900),
            ("u16le", 7, 7),
        ] {
            let script = script(spec, least, most);
            let mut connection = fresh(&script, 3);
            let (mut wire, mut answers) = (Vec::new(), 0);
            while connection.answered() < 2000 {
                if connection.in_flight() < 8 {
                    connection.begin(&script);
                }
                let outgoing = connection.outgoing(&script);
                let written = random.below(outgoing.len() as u64 + 1) as usize;
                wire.extend_from_slice(&outgoing[..written]);
                connection.sent(&script, written);
                let read = random.below(wire.len() as u64 + 1) as usize;
                let bytes: Vec<u8> = wire.drain(..read).collect();
                if !bytes.is_empty() {
                    answers += u64::from(
                        connection
                            .received(&script, &bytes, true)
                            .expect("a true echo"),
                    );
                }
                assert_eq!(answers, connection.answered());
            }
        }
    }

    #[test]
    fn one_wrong_byte_is_found_and_named() {
        let script = script("raw", 10, 10);
        let mut connection = fresh(&script, 0);
        (0..3).for_each(|_| connection.begin(&script));
        let mut bytes = connection.outgoing(&script).to_vec();
        connection.sent(&script, bytes.len());
        assert_eq!(connection.received(&script, &bytes[..4], true), Ok(0));
        bytes[23] ^= 1;
        let (found, expected) = (bytes[23], bytes[23] ^ 1);
        let wrong = Wrong::Byte {
            request: 3,
            offset: 3,
            expected,
            found,
        };
        assert_eq!(connection.received(&script, &bytes[4..], true), Err(wrong));
        let mut careless = fresh(&script, 0);
        (0..3).for_each(|_| careless.begin(&script));
        careless.sent(&script, bytes.len());
        assert_eq!(careless.received(&script, &bytes, false), Ok(3));
    }

    #[test]
    fn another_connections_reply_is_not_taken_for_ones_own() {
        let script = script("raw", 64, 64);
        let (mut one, mut other) = (fresh(&script, 0), fresh(&script, 1));
        one.begin(&script);
        other.begin(&script);
        let theirs = other.outgoing(&script).to_vec();
        one.sent(&script, 64);
        assert!(matches!(
            one.received(&script, &theirs, true),
            Err(Wrong::Byte { request: 1, .. })
        ));
    }

    #[test]
    fn a_lost_datagram_is_given_up_and_its_late_reply_passed_over() {
        let script = script("raw", 8, 8);
        let mut connection = Connection::new(Speech::Datagrams, &FirstPage::default());
        connection.reset(&script, 0);
        assert!(!connection.give_up(&script));
        let say = |connection: &mut Connection| {
            connection.begin(&script);
            let bytes = connection.outgoing(&script).to_vec();
            connection.sent(&script, bytes.len());
            bytes
        };
        let lost = say(&mut connection);
        assert!(connection.give_up(&script));
        assert_eq!((connection.answered(), connection.in_flight()), (1, 0));
        assert_eq!(connection.received(&script, &lost, true), Ok(0));
        let next = say(&mut connection);
        assert_eq!(connection.received(&script, &lost, true), Ok(0));
        assert_eq!(connection.received(&script, &next, true), Ok(1));
        // Twice the same reply: nobody waits for the second.
        assert_eq!(connection.received(&script, &next, true), Ok(0));
        let last = say(&mut connection);
        let size = Wrong::Size {
            expected: 8,
            found: 7,
        };
        assert_eq!(connection.received(&script, &last[..7], true), Err(size));
        assert!(connection.received(&script, b"12345678", true).is_err());
    }

    #[test]
    fn more_replies_than_requests_leave_those_in_flight_as_they_were() {
        let script = Script::http(4);
        let mut connection = Connection::new(Speech::Http, &FirstPage::default());
        connection.reset(&script, 0);
        (0..4).for_each(|_| connection.begin(&script));
        let bytes = b"HTTP/1.1 204 No Content\r\n\r\n".repeat(8);
        let surplus = connection.received(&script, &bytes, true);
        assert_eq!(surplus, Err(Wrong::Surplus));
        assert_eq!((connection.answered(), connection.in_flight()), (0, 4));
    }

    #[test]
    fn more_than_was_sent_is_refused() {
        let script = script("raw", 4, 4);
        let mut connection = fresh(&script, 0);
        connection.begin(&script);
        let bytes = script.slice(0, 5).to_vec();
        connection.sent(&script, 4);
        assert_eq!(
            connection.received(&script, &bytes, true),
            Err(Wrong::Surplus)
        );
    }
}
