//! The conversation of one load connection: the requests still to send, and the replies expected
//! next.
//!
//! The type handles bytes only: no descriptor, no clock. `begin` commits to one more request.
//! `outgoing` and `sent` pass the bytes to any number of writes. `received` takes replies in pieces
//! of any size, compares each byte with the expected one, and returns how many requests were
//! answered.
//!
//! ```text
//!   table   ... | answered | on its way: sent, unanswered | owed: begun, unsent | not begun ...
//!               inbound ->                                outbound ->
//! ```
//!
//! A datagram is one whole request or reply. At most one datagram request is in flight. The
//! datagram may be lost; then the connection gives the request up and continues with the next one.
//!
//! Invariant: `unanswered` is the distance in bytes from `inbound` to `outbound` for an echo. For
//! HTTP, `unanswered` is always 0.

#[cfg(test)]
mod tests;

use super::exchange::Exchange;
use super::http::{HttpError, Replies};
use super::late_datagrams::Lost;
use super::mismatch::{Heard, Spoken, Wrong};
use super::page::FirstPage;
use crate::kernel::Address;
use crate::load::plan::Protocol;
use crate::load::plan::script::Script;

/// How many settled requests are recognised when their datagram comes again. The table has more, so
/// that a reply to another connection is mostly told as such.
const SETTLED_KNOWN: usize = 128;

/// How requests and replies are carried and matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// A byte stream; a reply equals its request.
    Stream,
    /// Echo datagrams; each request and each reply is one datagram.
    Datagrams,
    /// A byte stream of HTTP/1.1.
    Http,
    /// A byte stream of any requests and replies.
    Exchange,
}

impl Speech {
    /// How `protocol` is spoken with the server at `target`.
    pub fn of(protocol: Protocol, target: &Address) -> Speech {
        match protocol {
            Protocol::Http => Speech::Http,
            Protocol::Echo | Protocol::Message if target.is_datagrams() => Speech::Datagrams,
            Protocol::Echo => Speech::Stream,
            Protocol::Message => Speech::Exchange,
        }
    }
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
    exchange: Option<Box<Exchange>>,
    lost: Option<Box<Lost>>,
}

impl Connection {
    /// A connection that has sent nothing. HTTP replies are compared with `first`.
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
            exchange: None,
            lost: (speech == Speech::Datagrams).then(Box::default),
        }
    }

    /// The same connection whose HTTP replies have no bodies.
    pub fn without_bodies(mut self) -> Connection {
        let replies = self.replies.take();
        self.replies = replies.map(|replies| Box::new(replies.without_bodies()));
        self
    }

    /// The same connection whose replies are those of `exchange`.
    pub fn exchanging(self, exchange: Exchange) -> Connection {
        Connection {
            exchange: Some(Box::new(exchange)),
            ..self
        }
    }

    /// Resets in place, and starts at the script's request for connection number `voice`.
    pub fn reset(&mut self, script: &Script, voice: u64) {
        // Neighbouring numbers start far apart in the table, so that the data in one server buffer
        // does not repeat.
        let index = (voice.wrapping_mul(0x9e37_79b9) % script.count() as u64) as usize;
        (self.next, self.awaited) = (index, index);
        (self.outbound, self.inbound) = (script.start(index), script.start(index));
        self.left = script.length(index);
        (self.owed, self.unanswered) = (0, 0);
        (self.begun, self.answered) = (0, 0);
        if let Some(replies) = &mut self.replies {
            replies.restart(index);
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.restart();
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

    /// Bytes of an echo that were written and have not been returned.
    pub fn under_way(&self) -> usize {
        self.unanswered
    }

    /// Whether the server has announced that it sends no more replies on this connection.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.replies
            .as_ref()
            .is_some_and(|replies| replies.is_over())
    }

    /// Gives up the first request in flight, whose reply was complete and wrong.
    pub fn fail_one(&mut self) {
        assert!(self.in_flight() > 0);
        self.answered += 1;
    }

    /// Forgets all requests in flight.
    pub fn abandon(&mut self) {
        self.answered = self.begun;
    }

    /// Whether bytes of a request are still to be written.
    #[inline]
    pub fn owes(&self) -> bool {
        self.owed > 0
    }

    /// The bytes to write next; empty when nothing is owed.
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

    /// Takes received bytes up to the end of a run of replies, and returns how many requests they
    /// completed. Without `verify`, only lengths are checked.
    ///
    /// Only the choice is inlined: another copy of [`Heard`] costs more than the call.
    #[inline(always)]
    pub fn received(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Heard {
        match self.speech {
            Speech::Stream => self.echoed(script, bytes, verify),
            Speech::Datagrams => self.datagram(script, bytes, verify),
            Speech::Http => self.page(bytes, verify),
            Speech::Exchange => self.exchanged(script, bytes, verify),
        }
    }

    /// Handles the replies of HTTP.
    fn page(&mut self, bytes: &[u8], verify: bool) -> Heard {
        let is_asked = self.in_flight() > 0;
        let Some(replies) = &mut self.replies else {
            return Heard::default();
        };
        replies.ask(is_asked);
        let heard = replies.received(bytes, verify);
        let is_mid_message = replies.is_mid_message();
        self.asked_for(heard, is_mid_message)
    }

    /// Handles the end of the connection. The end completes a request only for an HTTP reply
    /// without a length.
    pub fn ended(&mut self, verify: bool) -> Heard {
        match &mut self.replies {
            Some(replies) => {
                let heard = replies.connection_ended(verify);
                self.asked_for(heard, false)
            }
            None => Heard::default(),
        }
    }

    /// Whether a reply of HTTP or of a message is incomplete.
    pub fn is_mid_message(&self) -> bool {
        let (replies, exchange) = (self.replies.as_ref(), self.exchange.as_ref());
        replies.is_some_and(|replies| replies.is_mid_message())
            || exchange.is_some_and(|exchange| exchange.is_mid_reply())
    }

    /// Whether a reply is incomplete that only the end of the connection completes.
    pub fn awaits_end(&self) -> bool {
        self.replies
            .as_ref()
            .is_some_and(|replies| replies.awaits_end())
    }

    /// Limits HTTP replies to the requests in flight. Further replies are surplus, and so is an
    /// incomplete reply when no request is left.
    #[inline]
    fn asked_for(&mut self, heard: Heard, is_mid_message: bool) -> Heard {
        let awaited = u32::try_from(self.in_flight()).unwrap_or(u32::MAX);
        let answers = heard.answers.min(awaited);
        self.answered += u64::from(answers);
        let is_surplus = heard.answers > awaited || answers == awaited && is_mid_message;
        let surplus = is_surplus.then_some(Wrong::Surplus);
        let wrong = match heard.wrong {
            // A page that differs, and that no request asked for.
            Some(wrong) if wrong.leaves_framing() && answers == awaited => Some(Wrong::Surplus),
            wrong => wrong.or(surplus),
        };
        let heard = Heard {
            answers,
            wrong,
            ..heard
        };
        match heard.wrong {
            Some(_) => self.without_spoilt(heard),
            None => heard,
        }
    }

    /// Takes back the answer of a reply with more bytes behind it than were asked for: such a reply
    /// is wrong, and its request has failed. A status that answers no request belongs to no reply.
    #[cold]
    fn without_spoilt(&mut self, heard: Heard) -> Heard {
        let is_apart = match heard.wrong {
            Some(Wrong::Http(HttpError::Status(_))) | None => true,
            Some(wrong) => wrong.leaves_framing(),
        };
        if is_apart || heard.answers == 0 || self.in_flight() > 0 {
            return heard;
        }
        self.answered -= 1;
        Heard {
            answers: heard.answers - 1,
            last: heard.status,
            ..heard
        }
    }

    /// Handles the replies to a message: their number, and where one ends.
    fn exchanged(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Heard {
        let mut heard = Heard::default();
        while heard.taken < bytes.len() {
            // A reply to a request that has not been written in full answers something else.
            if self.unanswered < self.left {
                heard.wrong = Some(Wrong::Surplus);
                return self.without_spoilt(heard);
            }
            let Some(exchange) = &mut self.exchange else {
                return heard;
            };
            let (taken, ended) = match exchange.take(&bytes[heard.taken..], verify) {
                Ok(both) => both,
                Err(wrong) => {
                    heard.wrong = Some(wrong);
                    return heard;
                }
            };
            heard.taken += taken;
            if let Some(ended) = ended {
                self.pass_over_one(script);
                heard.wrong = ended.wrong;
                if heard.wrong.is_some() {
                    return heard;
                }
                heard.answers += 1;
                self.answered += 1;
            }
        }
        heard
    }

    /// Moves on to the next reply without looking at its bytes.
    fn pass_over_one(&mut self, script: &Script) {
        self.inbound = script.advance(self.inbound, self.left);
        self.unanswered -= self.left;
        self.awaited = script.following(self.awaited);
        self.left = script.length(self.awaited);
    }

    /// Handles a datagram: the expected reply, or a late or repeated reply to an earlier request.
    fn datagram(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Heard {
        let taken = bytes.len();
        if let Some(exchange) = &self.exchange {
            // Any datagram is the reply; one that no request waits for is late.
            let mut heard = Heard {
                taken,
                ..Heard::default()
            };
            if self.unanswered > 0 {
                heard.wrong = exchange.datagram(bytes, verify).wrong;
                self.pass_over_one(script);
                heard.answers = u32::from(heard.wrong.is_none());
                self.answered += u64::from(heard.answers);
            }
            return heard;
        }
        if self.unanswered > 0 && bytes == script.request(self.awaited) {
            return self.echoed(script, bytes, false);
        }
        // Short requests may be equal, so the expected reply is compared first.
        let is_late = self.unanswered == 0
            || self.is_settled(script, bytes)
            || self
                .lost
                .as_ref()
                .is_some_and(|lost| lost.has(script, bytes));
        if is_late {
            return Heard {
                taken,
                ..Heard::default()
            };
        }
        if bytes.len() != self.left {
            let (expected, found) = (self.left, bytes.len());
            return Heard {
                taken,
                wrong: Some(Wrong::Size { expected, found }),
                ..Heard::default()
            };
        }
        self.echoed(script, bytes, verify)
    }

    /// Whether `bytes` is the reply to one of the last settled requests. A network may double a
    /// datagram, and others may overtake the copy.
    #[cold]
    fn is_settled(&self, script: &Script, bytes: &[u8]) -> bool {
        let settled = usize::try_from(self.answered).unwrap_or(usize::MAX);
        let mut place = self.awaited;
        (0..settled.min(SETTLED_KNOWN).min(script.count() - 1)).any(|_| {
            place = script.preceding(place);
            bytes == script.request(place)
        })
    }

    /// Gives up the unanswered request, if there is one. Returns whether there was one.
    pub fn give_up(&mut self, script: &Script) -> bool {
        if self.unanswered == 0 {
            return false;
        }
        if let Some(lost) = &mut self.lost {
            lost.note(self.awaited);
        }
        self.pass_over_one(script);
        self.answered += 1;
        true
    }

    #[inline]
    fn echoed(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Heard {
        let awaited = &bytes[..bytes.len().min(self.unanswered)];
        let good = match verify {
            true => self.same(script, awaited),
            false => awaited.len(),
        };
        self.unanswered -= good;
        self.inbound = script.advance(self.inbound, good);
        let (mut count, mut answers) = (good, 0);
        while count >= self.left {
            count -= self.left;
            answers += 1;
            self.awaited = script.following(self.awaited);
            self.left = script.length(self.awaited);
        }
        self.left -= count;
        self.answered += u64::from(answers);
        let wrong = match bytes.get(good) {
            None => None,
            Some(_) if good == awaited.len() => Some(Wrong::Surplus),
            Some(_) => Some(self.difference(script, &bytes[good..])),
        };
        let heard = Heard {
            answers,
            taken: bytes.len(),
            wrong,
            ..Heard::default()
        };
        match heard.wrong {
            Some(_) => self.without_spoilt(heard),
            None => heard,
        }
    }

    /// How many of `bytes` match, up to the first difference.
    #[inline]
    fn same(&self, script: &Script, bytes: &[u8]) -> usize {
        let mut compared = 0;
        while compared < bytes.len() {
            let position = script.advance(self.inbound, compared);
            let expected = script.slice(position, bytes.len() - compared);
            let found = &bytes[compared..][..expected.len()];
            if expected != found {
                let both = expected.iter().zip(found);
                return compared + both.take_while(|(one, other)| one == other).count();
            }
            compared += expected.len();
        }
        compared
    }

    /// The error for the next bytes, of which the first is wrong.
    #[cold]
    fn difference(&self, script: &Script, bytes: &[u8]) -> Wrong {
        let offset = script.length(self.awaited) - self.left;
        let is_first = self.answered == 0 && offset == 0;
        Wrong::Byte {
            request: self.answered + 1,
            offset,
            expected: script.slice(self.inbound, 1)[0],
            found: bytes[0],
            hint: Spoken::of(bytes).filter(|_| is_first),
        }
    }
}
