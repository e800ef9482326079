//! Replies to `--message`: where each one ends, for any protocol of requests and replies.
//!
//! ```text
//!   line       +PONG CR LF             up to and including the line feed
//!   N          STORED CR LF            so many bytes
//!   frame      00 04 P O N G           one frame of the run's framing
//! ```
//!
//! A reply may arrive in pieces of any size. Only an incomplete frame is kept, because a framing
//! decodes from the front; its size is bounded by the framing's limit. With `verify`, each reply
//! must equal the first one of the run. The module knows no request: `connection` pairs the
//! replies with the requests in flight.

use super::mismatch::Wrong;
use super::page::{Digest, FirstPage, Page};
use crate::protocol::framing::{Decoded, Framing};

/// What ends a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A line feed.
    Line,
    /// This many bytes, at least one.
    Bytes(usize),
    /// The end of a frame.
    Frame,
}

/// Room for a frame in pieces, taken before the load; a larger one takes more.
const HELD_FIRST: usize = 4 << 10;

/// The replies of one connection.
#[derive(Clone, Debug)]
pub struct Exchange {
    expect: Expect,
    framing: Framing,
    /// Bytes of the incomplete reply so far.
    size: usize,
    /// The incomplete frame.
    held: Vec<u8>,
    /// How much of `held` the framing has scanned.
    scanned: usize,
    digest: Digest,
    first: FirstPage,
}

impl Exchange {
    /// Replies that end as `expect` says. The run's first reply is stored in `first`.
    pub fn new(expect: Expect, framing: Framing, first: &FirstPage) -> Exchange {
        let room = match expect {
            Expect::Frame => HELD_FIRST,
            Expect::Line | Expect::Bytes(_) => 0,
        };
        Exchange {
            expect,
            framing,
            size: 0,
            held: Vec::with_capacity(room),
            scanned: 0,
            digest: Digest::default(),
            first: first.clone(),
        }
    }

    /// Resets to the state before the first byte of a new connection.
    pub fn restart(&mut self) {
        (self.size, self.scanned) = (0, 0);
        self.held.clear();
        self.digest = Digest::default();
    }

    /// Whether a reply is incomplete.
    pub fn is_mid_reply(&self) -> bool {
        self.size > 0
    }

    /// Takes bytes up to the end of a reply. Returns how many, and the reply if it has ended.
    pub fn take(&mut self, bytes: &[u8], verify: bool) -> Result<(usize, Option<Ended>), Wrong> {
        let (taken, ended) = match self.expect {
            Expect::Line => match bytes.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (bytes.len(), false),
            },
            Expect::Bytes(all) => {
                let taken = bytes.len().min(all - self.size);
                (taken, self.size + taken == all)
            }
            Expect::Frame => self.take_frame(bytes)?,
        };
        self.size += taken;
        if verify {
            self.digest.add(&bytes[..taken]);
        }
        if !ended {
            return Ok((taken, None));
        }
        self.size = 0;
        let digest = std::mem::take(&mut self.digest);
        let wrong = match verify {
            true => differs(&self.first, digest),
            false => None,
        };
        Ok((taken, Some(Ended { wrong })))
    }

    /// Takes a datagram, which is one whole reply. Only its size can be wrong, and its bytes with
    /// `verify`.
    pub fn datagram(&self, bytes: &[u8], verify: bool) -> Ended {
        let found = bytes.len() as u64;
        let asked = match self.expect {
            Expect::Bytes(asked) => asked as u64,
            Expect::Line | Expect::Frame => found,
        };
        if found != asked {
            let wrong = Some(Wrong::Length { found, asked });
            return Ended { wrong };
        }
        let mut digest = Digest::default();
        digest.add(bytes);
        let wrong = match verify {
            true => differs(&self.first, digest),
            false => None,
        };
        Ended { wrong }
    }

    fn take_frame(&mut self, bytes: &[u8]) -> Result<(usize, bool), Wrong> {
        let before = self.held.len();
        let decoded = match before {
            0 => self.framing.decode(bytes, 0),
            _ => {
                self.held.extend_from_slice(bytes);
                self.framing.decode(&self.held, self.scanned)
            }
        };
        match decoded {
            Decoded::Frame(bounds) => {
                self.held.clear();
                self.scanned = 0;
                Ok((bounds.frame - before, true))
            }
            Decoded::Incomplete { scanned } => {
                if before == 0 {
                    self.held.extend_from_slice(bytes);
                }
                self.scanned = scanned;
                Ok((bytes.len(), false))
            }
            Decoded::Wrong(error) => Err(Wrong::Frame(error)),
        }
    }
}

/// A complete reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it differs from the first one.
    pub wrong: Option<Wrong>,
}

/// How the reply with this digest differs from the first one of the run.
fn differs(first: &FirstPage, digest: Digest) -> Option<Wrong> {
    let found = Page::new(0, digest);
    let first = first.of(0, found);
    (first != found).then(|| Wrong::Other {
        found: found.length(),
        first: first.length(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies in `bytes`, given in pieces of `size` bytes.
    fn replies(exchange: &mut Exchange, bytes: &[u8], size: usize, verify: bool) -> usize {
        let mut count = 0;
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let (taken, ended) = exchange.take(piece, verify).expect("well-formed");
                assert!(taken > 0);
                piece = &piece[taken..];
                count += usize::from(ended.is_some_and(|ended| ended.wrong.is_none()));
            }
        }
        count
    }

    #[test]
    fn a_reply_ends_at_its_line_its_size_or_its_frame_however_it_is_cut() {
        let raw: Framing = "raw".parse().expect("known");
        let u16be: Framing = "u16be".parse().expect("known");
        for (expect, framing, bytes) in [
            (Expect::Line, &raw, &b"+PONG\r\n+PONG\r\n+PONG\r\n"[..]),
            (Expect::Bytes(7), &raw, b"+PONG\r\n+PONG\r\n+PONG\r\n"),
            (Expect::Bytes(1), &raw, b"xxx"),
            (Expect::Frame, &u16be, b"\0\x02hi\0\x02hi\0\x02hi"),
        ] {
            for size in 1..=bytes.len() {
                let mut exchange = Exchange::new(expect, *framing, &FirstPage::default());
                let count = replies(&mut exchange, bytes, size, true);
                assert_eq!(count, 3, "{expect:?} in pieces of {size}");
                assert!(!exchange.is_mid_reply());
            }
        }
    }

    #[test]
    fn a_reply_that_differs_from_the_first_is_wrong_only_if_it_is_compared() {
        let raw: Framing = "raw".parse().expect("known");
        for (verify, good) in [(true, 2), (false, 3)] {
            let mut exchange = Exchange::new(Expect::Line, raw, &FirstPage::default());
            assert_eq!(replies(&mut exchange, b"1\n2\n1\n", 2, verify), good);
        }
    }

    #[test]
    fn a_datagram_has_the_size_that_was_asked_for() {
        let raw: Framing = "raw".parse().expect("known");
        for (expect, wrong) in [
            (Expect::Bytes(4), true),
            (Expect::Bytes(5), false),
            (Expect::Bytes(6), true),
            (Expect::Line, false),
        ] {
            let exchange = Exchange::new(expect, raw, &FirstPage::default());
            let ended = exchange.datagram(b"PONG\n", false);
            assert_eq!(ended.wrong.is_some(), wrong, "{expect:?}");
        }
    }

    #[test]
    fn a_restart_forgets_the_incomplete_reply() {
        let u16be: Framing = "u16be".parse().expect("known");
        let mut exchange = Exchange::new(Expect::Frame, u16be, &FirstPage::default());
        assert_eq!(replies(&mut exchange, b"\0\x05h", 1, true), 0);
        assert!(exchange.is_mid_reply());
        exchange.restart();
        assert_eq!(replies(&mut exchange, b"\0\x02hi", 1, true), 1);
    }
}
