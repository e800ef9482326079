//! A delimiter of 9 to 64 bytes, such as the boundary of a multipart message.
//!
//! The rules are those of `short`, which handles the short ones. A naive search could cost 64
//! comparisons per byte. This one is Knuth-Morris-Pratt (D. E. Knuth, J. H. Morris, V. R. Pratt,
//! "Fast pattern matching in strings", 1977): it knows how many bytes before the current one match
//! the beginning of the delimiter. After a mismatch it continues with the longest shorter beginning
//! that still matches. A search compares no byte more than twice.
//!
//! ```text
//!   delimiter  a a b a a a        borders  0 1 0 1 2 2
//!   text       a a b a a b        after 5 equal bytes and a mismatch: 2 equal bytes, the "aa"
//! ```
//!
//! Between two calls only the position of a partial match at the end is kept. The next call
//! compares that part again, eight bytes at a time.

use std::fmt;
use std::ops::RangeInclusive;

use super::Ending;
use crate::base::find::find_byte;
use crate::limits::DELIMITER_MAX;
use crate::protocol::framing::{Bounds, Decode, Decoded, FrameError, Overhead};

/// Messages that end with a long delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongDelimiter {
    ending: Ending<DELIMITER_MAX>,
    /// The KMP failure function: for each prefix of the delimiter, indexed by its last byte, the
    /// length of the longest shorter prefix that is also its suffix.
    borders: [u8; DELIMITER_MAX],
}

/// The state of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Search {
    /// The next byte to compare.
    at: usize,
    /// How many bytes before `at` match the beginning of the delimiter, or all of it.
    begun: usize,
}

impl LongDelimiter {
    /// A framing by `delimiter`, which has 1 to [`DELIMITER_MAX`] bytes.
    pub(super) fn new(delimiter: &[u8]) -> LongDelimiter {
        let (mut borders, mut border) = ([0; DELIMITER_MAX], 0);
        for at in 1..delimiter.len() {
            while border > 0 && delimiter[at] != delimiter[border] {
                border = usize::from(borders[border - 1]);
            }
            border += usize::from(delimiter[at] == delimiter[border]);
            borders[at] = border as u8;
        }
        LongDelimiter {
            ending: Ending::new(delimiter),
            borders,
        }
    }

    /// The same delimiter after messages of at most `limit` bytes, not counting the delimiter.
    pub fn limited(self, limit: usize) -> LongDelimiter {
        LongDelimiter {
            ending: self.ending.limited(limit),
            ..self
        }
    }

    /// The delimiter itself.
    pub(in crate::protocol::framing) fn bytes(&self) -> &[u8] {
        self.ending.delimiter()
    }

    /// Searches the delimiter. The search ends after it, or at the end of `bytes`.
    fn search(&self, bytes: &[u8]) -> Search {
        let mut search = self.begin(bytes);
        while search.begun < self.ending.length && self.step(&mut search, bytes) {}
        search
    }

    /// Matches the front of `bytes` with the front of the delimiter. Most often this is the partial
    /// match that an earlier call has found.
    fn begin(&self, bytes: &[u8]) -> Search {
        const WORD: usize = size_of::<u64>();
        let words = bytes
            .chunks_exact(WORD)
            .zip(self.ending.delimiter().chunks_exact(WORD));
        let same = WORD * words.take_while(|(found, word)| found == word).count();
        let rest = bytes[same..].iter().zip(&self.ending.delimiter()[same..]);
        let begun = same + rest.take_while(|(found, byte)| found == byte).count();
        Search { at: begun, begun }
    }

    /// Compares one byte, or moves to the next byte that can begin a delimiter. `false` at the end.
    fn step(&self, search: &mut Search, bytes: &[u8]) -> bool {
        let Search { at, begun } = *search;
        let Some(byte) = bytes.get(at) else {
            return false;
        };
        *search = match begun {
            _ if *byte == self.ending.bytes[begun] => Search {
                at: at + 1,
                begun: begun + 1,
            },
            0 => {
                let next = find_byte(&bytes[at..], self.ending.bytes[0]);
                let at = next.map_or(bytes.len(), |next| at + next);
                Search { at, begun }
            }
            _ => Search {
                at,
                begun: usize::from(self.borders[begun - 1]),
            },
        };
        true
    }
}

impl Decode for LongDelimiter {
    fn decode(&self, bytes: &[u8], scanned: usize) -> Decoded {
        let reach = self.ending.reach(bytes.len());
        let Search { at, begun } = self.search(&bytes[scanned..reach]);
        if begun == self.ending.length {
            let frame = scanned + at;
            return Decoded::Frame(Bounds {
                frame,
                payload: 0,
                payload_end: frame - self.ending.length,
            });
        }
        // Even a delimiter that has already begun would come too late.
        if reach - begun > self.ending.limit {
            return Decoded::Wrong(self.ending.endless());
        }
        Decoded::Incomplete {
            scanned: reach - begun,
        }
    }

    fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        let Search { at, begun } = self.search(bytes);
        Ok(match begun {
            begun if begun == self.ending.length => (at, 0),
            // Bytes that may be the beginning of the delimiter stay until more bytes decide.
            begun => (bytes.len() - begun, left),
        })
    }

    fn overhead(&self) -> Overhead {
        self.ending.overhead()
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        0..=self.ending.limit
    }

    fn encode(
        &self,
        _request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        self.check_size(payload)?;
        Ok(self.ending.append(space, payload))
    }
}

impl fmt::Display for LongDelimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ending.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::find::find;
    use crate::base::random::Random;

    /// Delimiters with every kind of border. Test texts are built from their prefixes.
    const DELIMITERS: [&[u8]; 5] = [
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        b"aaaaaaaab",
        b"abaababaabaab",
        b"aabaaabaaaabaaab",
        b"--boundary--boundary--\r\n",
    ];

    #[test]
    fn a_delimiter_is_found_where_a_plain_search_finds_it_whatever_the_cuts() {
        let mut random = Random::new(31);
        for delimiter in DELIMITERS {
            let framing = LongDelimiter::new(delimiter);
            for _ in 0..400 {
                let mut text = Vec::new();
                for _ in 0..random.below(6) {
                    let part = 1 + random.below(delimiter.len() as u64) as usize;
                    text.extend_from_slice(&delimiter[..part]);
                }
                let found = find(&text, delimiter);
                let (mut scanned, mut decoded) = (0, None);
                for arrived in 1..=text.len() {
                    match framing.decode(&text[..arrived], scanned) {
                        Decoded::Incomplete { scanned: now } => scanned = now,
                        Decoded::Frame(bounds) => {
                            decoded = Some(bounds.payload_end);
                            break;
                        }
                        Decoded::Wrong(error) => panic!("{error}"),
                    }
                }
                assert_eq!(decoded, found, "{:?} in {text:?}", delimiter.escape_ascii());
            }
        }
    }

    /// Comparisons of a search, including those of [`LongDelimiter::begin`] in words and bytes.
    fn comparisons(framing: &LongDelimiter, bytes: &[u8]) -> (usize, Search) {
        let mut search = framing.begin(bytes);
        let mut count = search.begun / size_of::<u64>() + size_of::<u64>();
        while search.begun < framing.ending.length && framing.step(&mut search, bytes) {
            count += 1;
        }
        (count, search)
    }

    #[test]
    fn no_byte_of_one_arrival_is_compared_more_than_twice() {
        for delimiter in DELIMITERS {
            let framing = LongDelimiter::new(delimiter);
            // As many partial matches as possible.
            let text = delimiter[..delimiter.len() - 1].repeat(1000);
            let (count, _) = comparisons(&framing, &text);
            assert!(count <= 2 * text.len() + 16, "{count} of {}", text.len());
        }
    }

    #[test]
    fn bytes_that_come_one_by_one_cost_a_bounded_number_of_comparisons_each() {
        for delimiter in DELIMITERS {
            let framing = LongDelimiter::new(delimiter);
            let text = delimiter[..delimiter.len() - 1].repeat(100);
            let (mut scanned, mut total) = (0, 0);
            for arrived in 1..=text.len() {
                let (count, search) = comparisons(&framing, &text[scanned..arrived]);
                total += count;
                scanned = arrived - search.begun;
            }
            // Up to 7 words and 8 bytes of the partial match, and two comparisons of the new byte.
            assert!(total <= 17 * text.len(), "{total} of {}", text.len());
        }
    }

    #[test]
    fn the_limit_counts_the_payload_alone_and_waits_for_no_end() {
        let framing = LongDelimiter::new(b"----------+").limited(4);
        let endless = Decoded::Wrong(FrameError::Endless { limit: 4 });
        for (bytes, decoded) in [
            (b"abcd".as_slice(), Decoded::Incomplete { scanned: 4 }),
            (b"abcd----------", Decoded::Incomplete { scanned: 4 }),
            // The last partial match begins after the limit.
            (b"abc------------", endless),
            (b"abcde", endless),
            (b"abcd-e", endless),
            (b"abcd-----------", endless),
        ] {
            assert_eq!(framing.decode(bytes, 0), decoded, "{bytes:?}");
        }
        let frame = framing.decode(b"abcd----------+", 0);
        assert!(matches!(frame, Decoded::Frame(bounds) if bounds.payload_end == 4));
    }

    #[test]
    fn the_limit_holds_for_a_reply_too() {
        let framing = LongDelimiter::new(b"123456789").limited(4);
        assert_eq!(framing.encode(b"", &mut [0; 13], 4), Ok(13));
        let error = FrameError::TooLong { frame: 5, limit: 4 };
        assert_eq!(framing.encode(b"", &mut [0; 14], 5), Err(error));
    }
}
