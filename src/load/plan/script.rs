//! The bytes that a connection sends and expects: one table of whole requests, used as a ring.
//!
//! All connections share the table. Each one starts at a different request, and neighbouring
//! requests differ, so a reply that is lost, repeated, truncated or sent to the wrong connection
//! does not compare equal. An echo returns the bytes that were sent, framed or not. So the sent and
//! the expected data are two positions in one table: sending takes a slice, and verifying compares
//! two slices.
//!
//! ```text
//!  | request 0 | request 1 | ... | request K-1 | request 0 | ... |   K is odd, so that the table
//!  |<--------------- period ------------------>|<- margin ------>|   repeats at no buffer's size
//! ```
//!
//! Invariant: from any position within the period, at least `margin` bytes are contiguous.

use crate::base::random::Random;
use crate::protocol::framing::{Decoded, FrameError, Framing};

/// The table size for small requests: large enough to distinguish connections, small enough to stay
/// in the cache together with the kernel's data.
const TABLE_BYTES: usize = 64 << 10;
/// The size limit of a table with requests of different sizes.
const VARIED_BYTES: usize = 4 << 20;
/// The approximate size limit of one write of pipelined requests.
const MARGIN_MAX: usize = 1 << 20;

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// The table of requests.
#[derive(Debug)]
pub struct Script {
    bytes: Vec<u8>,
    /// The start of each request; the last entry is the period.
    starts: Vec<usize>,
}

impl Script {
    /// Builds echo requests in `framing`, with payloads of `least` to `most` bytes, for `depth`
    /// requests in flight. The error is the line to print.
    pub fn echo(
        framing: &Framing,
        least: usize,
        most: usize,
        depth: usize,
    ) -> Result<Script, String> {
        // Payloads contain any byte if the framing allows that. Otherwise they contain letters
        // without the delimiter's first byte, so that no delimiter occurs in a payload. Excluding
        // all bytes of a delimiter could exclude every letter.
        let own = own_bytes(framing);
        let mut letters = LETTERS.to_vec();
        letters.retain(|letter| own.first() != Some(letter));
        Script::framed(framing, least, most, depth, None)
            .or_else(|_| Script::framed(framing, least, most, depth, Some(&letters)))
    }

    /// The same request repeated.
    pub fn same(request: &[u8], depth: usize) -> Script {
        Script::in_turn(&[request.to_vec()], depth)
    }

    /// The requests in turn, repeated: request number `index` of the table is number `index` modulo
    /// their count.
    pub fn in_turn(requests: &[Vec<u8>], depth: usize) -> Script {
        let size: usize = requests.iter().map(Vec::len).sum();
        let rounds = (TABLE_BYTES / size.max(1)) | 1;
        let (mut bytes, mut starts) = (Vec::with_capacity(size * rounds), vec![0]);
        for request in std::iter::repeat_n(requests, rounds).flatten() {
            bytes.extend_from_slice(request);
            starts.push(bytes.len());
        }
        Script { bytes, starts }.with_margin(depth)
    }

    fn framed(
        framing: &Framing,
        least: usize,
        most: usize,
        depth: usize,
        letters: Option<&[u8]>,
    ) -> Result<Script, String> {
        let overhead = framing.overhead();
        let total = if least == most {
            TABLE_BYTES
        } else {
            VARIED_BYTES
        };
        let average = (least + most) / 2 + overhead.front + overhead.back;
        let most_count = if least == most { usize::MAX } else { 1024 };
        let count = (total / average.max(1)).clamp(2, most_count) | 1;
        let mut random = Random::new(0x6d79_6e61_6800 + count as u64);
        let longest = overhead.front + most + overhead.back;
        let mut space = room(longest)?;
        space.resize(longest, 0);
        let mut script = Script {
            bytes: room(count * average + margin(longest, depth))?,
            starts: vec![0],
        };
        for _ in 0..count {
            let payload = least + random.below((most - least + 1) as u64) as usize;
            let body = &mut space[overhead.front..overhead.front + payload];
            body.iter_mut().for_each(|byte| {
                let bits = random.bits();
                *byte =
                    letters.map_or(bits as u8, |letters| letters[bits as usize % letters.len()]);
            });
            let length = framing
                .encode(&[], &mut space, payload)
                .map_err(|error| misfit(framing, payload, Some(error)))?;
            match framing.decode(&space[..length], 0) {
                Decoded::Frame(bounds) if bounds.frame == length && length > 0 => {}
                _ => return Err(misfit(framing, payload, None)),
            }
            script.bytes.extend_from_slice(&space[..length]);
            script.starts.push(script.bytes.len());
        }
        Ok(script.with_margin(depth))
    }

    /// Appends the start of the table to its end, so that `depth` requests are one slice from any
    /// position.
    fn with_margin(mut self, depth: usize) -> Script {
        let longest = (0..self.count())
            .map(|index| self.length(index))
            .max()
            .unwrap_or(0);
        let margin = margin(longest, depth);
        let period = self.period();
        self.bytes.reserve_exact(margin);
        for position in 0..margin {
            self.bytes.push(self.bytes[position % period]);
        }
        self
    }

    /// The number of requests in the table.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of bytes before the table repeats.
    pub fn period(&self) -> usize {
        self.starts[self.count()]
    }

    /// The position of request `index`.
    pub fn start(&self, index: usize) -> usize {
        self.starts[index]
    }

    /// The length of request `index`.
    pub fn length(&self, index: usize) -> usize {
        self.starts[index + 1] - self.starts[index]
    }

    /// The bytes of request `index`.
    pub fn request(&self, index: usize) -> &[u8] {
        &self.bytes[self.starts[index]..self.starts[index + 1]]
    }

    /// The request after `index`.
    pub fn following(&self, index: usize) -> usize {
        if index + 1 == self.count() {
            0
        } else {
            index + 1
        }
    }

    /// The request before `index`.
    pub fn preceding(&self, index: usize) -> usize {
        index.checked_sub(1).unwrap_or(self.count() - 1)
    }

    /// The position `count` bytes after `position`.
    pub fn advance(&self, position: usize, count: usize) -> usize {
        let moved = position + count;
        if moved < self.period() {
            moved
        } else {
            moved % self.period()
        }
    }

    /// The bytes from `position` on: `length` bytes, or as many as are contiguous.
    pub fn slice(&self, position: usize, length: usize) -> &[u8] {
        let end = (position + length).min(self.bytes.len());
        &self.bytes[position..end]
    }
}

/// The number of repeated bytes, so that `depth` requests of up to `longest` bytes are one slice.
fn margin(longest: usize, depth: usize) -> usize {
    longest.saturating_mul(depth).min(MARGIN_MAX).max(longest)
}

/// Allocates `size` bytes for the table. The error is the line to print.
fn room(size: usize) -> Result<Vec<u8>, String> {
    let mut room = Vec::new();
    match room.try_reserve_exact(size) {
        Ok(()) => Ok(room),
        Err(_) => Err(format!("--size: no memory for {size} bytes of requests")),
    }
}

/// The encoding of an empty payload: the delimiter, for framings with a delimiter.
fn own_bytes(framing: &Framing) -> Vec<u8> {
    let overhead = framing.overhead();
    let mut space = vec![0; overhead.front + overhead.back];
    let sealed = framing.encode(&[], &mut space, 0);
    space.truncate(sealed.unwrap_or(0));
    space
}

/// The error line: the requested size, the reason, and the limit.
fn misfit(framing: &Framing, payload: usize, error: Option<FrameError>) -> String {
    let why = match (framing, error) {
        (Framing::Raw(_), _) => "; nothing has no echo, --size must be at least 1".to_owned(),
        (Framing::Fixed(_), _) => {
            let size = framing.frame_size_max(usize::MAX);
            format!("; --size must be {size}")
        }
        (_, Some(error)) => format!(": {error}; --size must be less"),
        (_, None) => "; --size must be less".to_owned(),
    };
    format!("--size {payload}: does not fit the framing '{framing}'{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(spec: &str) -> Framing {
        Framing::parse(spec).expect("the test's own framing")
    }

    fn frame_of(framing: &Framing, bytes: &[u8]) -> Option<usize> {
        match framing.decode(bytes, 0) {
            Decoded::Frame(bounds) => Some(bounds.frame),
            _ => None,
        }
    }

    #[test]
    fn a_slice_from_any_position_repeats_the_table() {
        let script = Script::echo(&framing("raw"), 64, 64, 16).expect("raw takes all");
        assert_eq!(
            (script.count() % 2, script.period()),
            (1, script.count() * 64)
        );
        for position in [0, 1, script.period() - 1] {
            let slice = script.slice(position, 1024);
            assert_eq!(slice.len(), 1024);
            assert!((0..1024).all(|at| slice[at] == script.bytes[script.advance(position, at)]));
        }
    }

    #[test]
    fn framed_requests_decode_to_themselves_and_vary_within_their_range() {
        let framing = framing("u16be");
        let script = Script::echo(&framing, 10, 300, 1).expect("fits 16 bits");
        let mut lengths: Vec<usize> = (0..script.count())
            .map(|index| script.length(index))
            .collect();
        for index in 0..script.count() {
            let bytes = script.slice(script.start(index), script.length(index));
            assert!(frame_of(&framing, bytes) == Some(bytes.len()));
        }
        lengths.sort_unstable();
        assert!(lengths[0] >= 12 && lengths[lengths.len() - 1] <= 302 && lengths[0] < lengths[500]);
    }

    #[test]
    fn no_payload_has_the_end_of_its_frame_in_it() {
        for spec in [
            "line",
            "delim:61",
            "delim:6162",
            "delim:4142434445464748",
            "delim:2b2b",
            "delim:00",
            "delim:ff",
            "delim:616161616161616161616162",
        ] {
            let framing = framing(spec);
            let script = Script::echo(&framing, 0, 300, 1).expect(spec);
            for index in 0..script.count() {
                let bytes = script.request(index);
                assert_eq!(frame_of(&framing, bytes), Some(bytes.len()), "{spec}");
            }
        }
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_where_the_delimiter_has_every_letter() {
        let digits: String = LETTERS.iter().map(|byte| format!("{byte:02x}")).collect();
        let framing = framing(&format!("delim:{digits}")).limited(100);
        let framing = framing.expect("a limit");
        assert!(Script::echo(&framing, 100, 100, 1).is_ok());
        let error = Script::echo(&framing, 101, 101, 1).expect_err("the limit is 100");
        assert!(error.contains("--size must be less"), "{error}");
    }

    #[test]
    fn a_payload_that_the_length_field_cannot_say_is_refused() {
        let error = Script::echo(&framing("u8"), 300, 300, 1).expect_err("one byte says 255");
        assert!(error.contains("does not fit the framing 'u8'"), "{error}");
    }

    #[test]
    fn a_request_of_no_bytes_has_no_reply_and_is_refused() {
        let error = Script::echo(&framing("raw"), 0, 10, 1).expect_err("no bytes, no reply");
        assert!(error.contains("--size must be at least 1"), "{error}");
        let error = Script::echo(&framing("fixed:8"), 64, 64, 1).expect_err("not as long");
        assert!(error.contains("--size must be 8"), "{error}");
        assert!(Script::echo(&framing("u32be"), 0, 0, 1).is_ok());
    }

    #[test]
    fn large_requests_take_few_tables() {
        let script = Script::echo(&framing("raw"), 1 << 20, 1 << 20, 4).expect("raw takes all");
        assert_eq!((script.count(), script.bytes.len()), (3, 4 << 20));
    }
}
