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

#[cfg(test)]
mod tests;

use super::http::Replies;
use super::late_datagrams::Lost;
use super::mismatch::{Heard, Wrong};
use super::page::FirstPage;
use crate::load::plan::script::Script;

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

    /// Bytes of an echo that were written and have not come back.
    pub fn under_way(&self) -> usize {
        self.unanswered
    }

    /// Whether the other side answers nothing more here, by its own word.
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
    pub fn received(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Heard {
        match (&mut self.replies, self.speech) {
            (Some(replies), _) => {
                let heard = replies.received(bytes, verify);
                let is_mid_message = replies.is_mid_message();
                self.asked_for(heard, is_mid_message)
            }
            (None, Speech::Datagrams) => self.datagram(script, bytes, verify),
            (None, _) => self.echoed(script, bytes, verify),
        }
    }

    /// The other side has ended the connection: tells whether that completed a request, which only
    /// a reply in HTTP without a length does.
    pub fn ended(&mut self, verify: bool) -> Heard {
        match &mut self.replies {
            Some(replies) => {
                let heard = replies.connection_ended(verify);
                self.asked_for(heard, false)
            }
            None => Heard::default(),
        }
    }

    /// Whether a part of a reply in HTTP has come, and not all of it.
    pub fn is_mid_message(&self) -> bool {
        self.replies
            .as_ref()
            .is_some_and(|replies| replies.is_mid_message())
    }

    /// Whether a reply has begun that only the end of the connection completes.
    pub fn awaits_end(&self) -> bool {
        self.replies
            .as_ref()
            .is_some_and(|replies| replies.awaits_end())
    }

    /// Counts replies in HTTP. Those that nobody asked for are none, and neither is one that has
    /// begun when no other is waited for.
    #[inline]
    fn asked_for(&mut self, heard: Heard, is_mid_message: bool) -> Heard {
        let awaited = u32::try_from(self.in_flight()).unwrap_or(u32::MAX);
        let answers = heard.answers.min(awaited);
        self.answered += u64::from(answers);
        let is_surplus = heard.answers > awaited || answers == awaited && is_mid_message;
        let surplus = is_surplus.then_some(Wrong::Surplus);
        let wrong = heard.wrong.or(surplus);
        Heard { answers, wrong }
    }

    /// The one reply that is waited for; or one to an earlier request, late or for the second time.
    fn datagram(&mut self, script: &Script, bytes: &[u8], verify: bool) -> Heard {
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
            return Heard::default();
        }
        if bytes.len() != self.left {
            let (expected, found) = (self.left, bytes.len());
            return Heard {
                answers: 0,
                wrong: Some(Wrong::Size { expected, found }),
            };
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
            Some(&found) => Some(self.difference(script, found)),
        };
        Heard { answers, wrong }
    }

    /// How many of `bytes` come as they must, up to the first that does not.
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

    /// What is wrong with the next byte, which is `found`.
    #[cold]
    fn difference(&self, script: &Script, found: u8) -> Wrong {
        Wrong::Byte {
            request: self.answered + 1,
            offset: script.length(self.awaited) - self.left,
            expected: script.slice(self.inbound, 1)[0],
            found,
        }
    }
}
