//! The summary of an HTTP reply, used to compare each reply with the first one.
//!
//! A page is the status, the body length and a digest of the body. The body arrives in pieces, and
//! storing all of it would need memory without a bound. The digest consumes eight bytes at a time.
//! A change of any one word changes the digest, but the digest does not protect against a
//! deliberate collision. The module sees bytes only: no socket, no clock.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// The first pages of a run, one for each URL, shared by all connections.
#[derive(Clone, Debug)]
pub struct FirstPage(Arc<[OnceLock<Page>]>);

impl Default for FirstPage {
    fn default() -> FirstPage {
        FirstPage::new(1)
    }
}

impl FirstPage {
    /// No page yet for each of `urls` URLs, at least one.
    pub fn new(urls: usize) -> FirstPage {
        FirstPage((0..urls.max(1)).map(|_| OnceLock::new()).collect())
    }

    /// The number of URLs.
    pub fn urls(&self) -> usize {
        self.0.len()
    }

    /// The first page of URL number `url`, which is `found` if there was none before.
    pub fn of(&self, url: usize, found: Page) -> Page {
        *self.0[url % self.0.len()].get_or_init(|| found)
    }
}

/// An odd multiplier with as many ones as zeros: the fraction of the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The digest of a body that is not complete yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Digest {
    hash: u64,
    /// Bytes that do not fill a word yet; the first byte is the lowest.
    held: u64,
    length: u64,
}

impl Digest {
    /// Takes the next bytes of the body.
    #[inline]
    pub fn add(&mut self, mut bytes: &[u8]) {
        while self.length % 8 != 0 && !bytes.is_empty() {
            self.take(bytes[0]);
            bytes = &bytes[1..];
        }
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            self.mix(u64::from_le_bytes(eight));
            self.length += 8;
        }
        words.remainder().iter().for_each(|&byte| self.take(byte));
    }

    #[inline]
    fn take(&mut self, byte: u8) {
        self.held |= u64::from(byte) << (self.length % 8 * 8);
        self.length += 1;
        if self.length % 8 == 0 {
            self.mix(self.held);
            self.held = 0;
        }
    }

    /// Two different words never turn the same hash into the same result.
    #[inline]
    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(23) ^ word).wrapping_mul(SPREAD);
    }
}

/// The summary of a complete page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    status: u16,
    length: u64,
    hash: u64,
}

impl Page {
    /// A page with this status and a complete body.
    pub fn new(status: u16, mut body: Digest) -> Page {
        body.mix(body.held);
        Page {
            status,
            length: body.length,
            hash: body.hash,
        }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The length of the body in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes how this page differs from `first`, which has the same status.
    pub fn tell_from(&self, first: &Page, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.length;
        if length != first.length {
            let before = first.length;
            write!(
                f,
                "wrong reply: a body of {length} bytes, the first one had {before}"
            )
        } else {
            write!(
                f,
                "wrong reply: a body of {length} bytes that are not the first one's"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(pieces: &[&[u8]]) -> Page {
        let mut digest = Digest::default();
        pieces.iter().for_each(|piece| digest.add(piece));
        Page::new(200, digest)
    }

    #[test]
    fn a_body_in_any_two_pieces_is_the_same_page() {
        let body: Vec<u8> = (0..50).collect();
        for cut in 0..=body.len() {
            let (front, back) = body.split_at(cut);
            assert_eq!(page(&[front, back]), page(&[&body]), "cut at {cut}");
        }
    }

    #[test]
    fn any_bit_and_any_length_makes_another_page() {
        let body = [0x5a; 21];
        for bit in 0..body.len() * 8 {
            let mut other = body;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(page(&[&other]), page(&[&body]), "bit {bit}");
        }
        let zeros = [0; 20];
        assert_ne!(page(&[&zeros[..19]]), page(&[&zeros]));
    }
}
