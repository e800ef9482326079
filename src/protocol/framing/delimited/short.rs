//! A delimiter of one to eight bytes. Longer delimiters are in `long`.
//!
//! ```text
//!   delim:2d2d    "hello" 2D 2D    searched from the left: the first delimiter ends the frame
//!                 |payload|
//! ```
//!
//! The limit counts the payload. A payload is over the limit as soon as even a delimiter that
//! begins in the last bytes would come too late; the delimiter itself need not arrive. A search
//! continues where the previous one ended, minus the bytes that may be the beginning of a
//! delimiter.

use std::fmt;
use std::ops::RangeInclusive;

use super::Ending;
use crate::base::find::find;
use crate::limits::DELIMITER_SHORT_MAX;
use crate::protocol::framing::{Bounds, Decode, Decoded, FrameError, Overhead};

/// Messages that end with a delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter(Ending<DELIMITER_SHORT_MAX>);

impl Delimiter {
    /// A framing by `delimiter`, which has 1 to [`DELIMITER_SHORT_MAX`] bytes.
    pub(super) fn new(delimiter: &[u8]) -> Delimiter {
        Delimiter(Ending::new(delimiter))
    }

    /// The same delimiter after messages of at most `limit` bytes, not counting the delimiter.
    pub fn limited(self, limit: usize) -> Delimiter {
        Delimiter(self.0.limited(limit))
    }

    /// The delimiter itself.
    pub(in crate::protocol::framing) fn bytes(&self) -> &[u8] {
        self.0.delimiter()
    }

    /// How many of the last bytes may be the beginning of a delimiter.
    fn begun(&self, bytes: &[u8]) -> usize {
        let begins = |count: &usize| bytes.ends_with(&self.0.bytes[..*count]);
        (1..self.0.length).rev().find(begins).unwrap_or(0)
    }
}

impl Decode for Delimiter {
    fn decode(&self, bytes: &[u8], scanned: usize) -> Decoded {
        let reach = self.0.reach(bytes.len());
        let found = find(&bytes[scanned..reach], self.0.delimiter());
        match found.map(|at| scanned + at) {
            Some(payload_end) => Decoded::Frame(Bounds {
                frame: payload_end + self.0.length,
                payload: 0,
                payload_end,
            }),
            None if reach - self.begun(&bytes[..reach]) > self.0.limit => {
                Decoded::Wrong(self.0.endless())
            }
            None => Decoded::Incomplete {
                scanned: (reach + 1).saturating_sub(self.0.length),
            },
        }
    }

    fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        Ok(match find(bytes, self.0.delimiter()) {
            Some(end) => (end + self.0.length, 0),
            // Bytes that may be the beginning of the delimiter stay until more bytes decide.
            None => (bytes.len() - self.begun(bytes), left),
        })
    }

    fn overhead(&self) -> Overhead {
        self.0.overhead()
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        0..=self.0.limit
    }

    fn encode(
        &self,
        _request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        self.check_size(payload)?;
        Ok(self.0.append(space, payload))
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::limits::DELIMITER_MAX;
    use crate::protocol::framing::Framing;

    fn delimiter(digits: &str) -> Framing {
        parse(digits).unwrap().limited(4).unwrap()
    }

    fn frame(frame: usize, payload_end: usize) -> Decoded {
        Decoded::Frame(Bounds {
            frame,
            payload: 0,
            payload_end,
        })
    }

    #[test]
    fn the_first_delimiter_ends_the_message_even_after_false_starts() {
        for (digits, bytes, decoded) in [
            ("00", b"ab\0cd".as_slice(), frame(3, 2)),
            ("0D0A", b"a\rb\r\nc", frame(5, 3)),
            ("2d2d3e", b"---->", frame(5, 2)),
            (
                "0102030405060708",
                b"\x01\x02\x03\x04\x05\x06\x07\x08",
                frame(8, 0),
            ),
            ("2d2d", b"ab-", Decoded::Incomplete { scanned: 2 }),
        ] {
            assert_eq!(delimiter(digits).decode(bytes, 0), decoded, "{bytes:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_payload_alone_and_waits_for_no_end() {
        let endless = Decoded::Wrong(FrameError::Endless { limit: 4 });
        for (bytes, decoded) in [
            (b"abc-->".as_slice(), frame(6, 3)),
            (b"abcd-->", frame(7, 4)),
            (b"abcd", Decoded::Incomplete { scanned: 2 }),
            (b"abcd--", Decoded::Incomplete { scanned: 4 }),
            (b"abcde", endless),
            (b"abcd-e", endless),
            (b"abcd---", endless),
            (b"abcde-->", endless),
        ] {
            assert_eq!(delimiter("2d2d3e").decode(bytes, 0), decoded, "{bytes:?}");
        }
    }

    #[test]
    fn the_limit_holds_for_a_reply_too() {
        assert_eq!(delimiter("2d2d").encode(b"", &mut [0; 6], 4), Ok(6));
        let error = FrameError::TooLong { frame: 5, limit: 4 };
        assert_eq!(delimiter("2d2d").encode(b"", &mut [0; 7], 5), Err(error));
    }

    #[test]
    fn a_delimiter_is_1_to_64_bytes_in_hexadecimal() {
        let long = "0a".repeat(DELIMITER_MAX + 1);
        for digits in ["", "0", "0g", "+1", "0 ", "é0", &long] {
            let error = parse(digits).expect_err(digits);
            let told = "the delimiter must be 1 to 64 bytes in hexadecimal, such as 0d0a";
            assert_eq!(error, told, "{digits}");
        }
        for length in [1, 7, 8, 9, 63, 64] {
            let digits = "0D0a".repeat(32)[..2 * length].to_owned();
            let framing = parse(&digits).unwrap();
            let is_short = matches!(framing, Framing::Delimiter(_));
            assert_eq!(is_short, length <= DELIMITER_SHORT_MAX);
            let printed = format!("delim:{}", digits.to_ascii_lowercase());
            assert_eq!(framing.to_string(), printed);
            assert_eq!(framing.overhead().back, length);
        }
    }
}
