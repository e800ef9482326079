//! A length in decimal digits, padded with zeros to a fixed width.
//!
//! ```text
//!   ascii:8     "00000012" "hello, world"         ascii:1     "6" "hello,"
//!               | header  ||   payload  |
//! ```
//!
//! The limit counts the payload. The first digits already give a lower bound of the length, so a
//! length over the limit is refused at the digit that exceeds it. A byte that is not a digit is
//! refused as soon as it arrives.

use std::ops::RangeInclusive;

use super::{Bounds, Decode, Decoded, FrameError, Overhead, step_over};

/// A length in a fixed number of decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ascii {
    pub(super) digits: usize,
    limit: u64,
}

/// Every number of this many digits fits into 64 bits.
const DIGITS_MAX: usize = 19;

impl Ascii {
    /// Parses the number of digits.
    pub fn parse(count: &str) -> Result<Ascii, String> {
        let plain = count.bytes().all(|digit| digit.is_ascii_digit());
        match count.parse() {
            Ok(digits) if plain && (1..=DIGITS_MAX).contains(&digits) => Ok(Ascii {
                digits,
                limit: u64::MAX,
            }),
            _ => Err(format!("the digits must be 1 to {DIGITS_MAX}")),
        }
    }

    /// The same framing with at most `limit` bytes of payload.
    pub fn limited(self, limit: usize) -> Ascii {
        let limit = limit as u64;
        Ascii { limit, ..self }
    }

    /// The length at the front of `bytes`, once all its digits have arrived; at most `limit`.
    fn length(&self, bytes: &[u8], limit: u64) -> Result<Option<u64>, FrameError> {
        let append = |length: u64, byte: &u8| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            Some(10 * length + digit)
        };
        let digits = bytes.get(..self.digits);
        let length = digits.and_then(|digits| digits.iter().try_fold(0, append));
        match length {
            Some(length) if length <= limit => Ok(Some(length)),
            _ => self.judge(bytes, limit).map(|()| None),
        }
    }

    /// The first wrong byte decides the error, even when all digits have arrived.
    #[cold]
    fn judge(&self, bytes: &[u8], limit: u64) -> Result<(), FrameError> {
        let (mut least, mut place) = (0, 10_u64.pow(self.digits as u32 - 1));
        for byte in bytes.iter().take(self.digits) {
            if !byte.is_ascii_digit() {
                return Err(FrameError::Corrupted("the length is not all digits"));
            }
            least += place * u64::from(byte - b'0');
            match (least > limit, place) {
                (false, _) => place /= 10,
                (true, 1) => {
                    return Err(FrameError::TooLong {
                        frame: least,
                        limit,
                    });
                }
                (true, _) => return Err(FrameError::Longer { least, limit }),
            }
        }
        Ok(())
    }
}

impl Decode for Ascii {
    fn decode(&self, bytes: &[u8], _scanned: usize) -> Decoded {
        let length = match self.length(bytes, self.limit) {
            Ok(Some(length)) => length,
            Ok(None) => return Decoded::Incomplete { scanned: 0 },
            Err(error) => return Decoded::Wrong(error),
        };
        // The length fits into a usize, but length plus digits may overflow.
        let frame = (length as usize).saturating_add(self.digits);
        if bytes.len() < frame {
            return Decoded::Incomplete { scanned: 0 };
        }
        Decoded::Frame(Bounds {
            frame,
            payload: self.digits,
            payload_end: frame,
        })
    }

    fn span(&self, bytes: &[u8]) -> u64 {
        match self.length(bytes, u64::MAX) {
            Ok(Some(length)) => length.saturating_add(self.digits as u64),
            _ => u64::MAX,
        }
    }

    fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        let left = match left {
            // The digits were judged before all had arrived, and are still at the front.
            u64::MAX => match self.length(bytes, u64::MAX)? {
                Some(length) => length.saturating_add(self.digits as u64),
                None => return Ok((0, left)),
            },
            left => left,
        };
        Ok(step_over(left, bytes))
    }

    fn overhead(&self) -> Overhead {
        Overhead {
            front: self.digits,
            back: 0,
        }
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        let most = (10_u64.pow(self.digits as u32) - 1).min(self.limit);
        0..=usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn encode(
        &self,
        _request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        self.check_size(payload)?;
        let mut rest = payload;
        for place in space[..self.digits].iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Ok(self.digits + payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascii(digits: &str, limit: usize) -> Ascii {
        Ascii::parse(digits).unwrap().limited(limit)
    }

    fn frame(frame: usize, payload: usize) -> Decoded {
        Decoded::Frame(Bounds {
            frame,
            payload,
            payload_end: frame,
        })
    }

    #[test]
    fn the_digits_tell_how_many_bytes_follow_them() {
        assert_eq!(ascii("1", 9).decode(b"6hello,7", 0), frame(7, 1));
        assert_eq!(ascii("1", 9).decode(b"0", 0), frame(1, 1));
        assert_eq!(ascii("3", 9).decode(b"002ab", 0), frame(5, 3));
        let incomplete = Decoded::Incomplete { scanned: 0 };
        assert_eq!(ascii("3", 9).decode(b"00", 0), incomplete);
        assert_eq!(ascii("3", 9).decode(b"002a", 0), incomplete);
    }

    #[test]
    fn a_byte_that_is_not_a_digit_is_refused_at_once() {
        for bytes in [b" ".as_slice(), b"0 ", b"-01", b"+01", b"0x1", b"GET"] {
            let decoded = ascii("3", 9).decode(bytes, 0);
            assert!(
                matches!(decoded, Decoded::Wrong(FrameError::Corrupted(_))),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn the_limit_counts_the_payload_alone_and_is_judged_with_the_digit_that_passes_it() {
        let incomplete = Decoded::Incomplete { scanned: 0 };
        let longer = |least| Decoded::Wrong(FrameError::Longer { least, limit: 120 });
        let frame = 121;
        let too_long = Decoded::Wrong(FrameError::TooLong { frame, limit: 120 });
        for (bytes, decoded) in [
            (b"01".as_slice(), incomplete),
            (b"012", incomplete),
            (b"0119", incomplete),
            (b"0120", incomplete),
            (b"0121", too_long),
            (b"013", longer(130)),
            (b"013x", longer(130)),
            (b"02", longer(200)),
            (b"1", longer(1000)),
            (b"1234", longer(1000)),
        ] {
            assert_eq!(ascii("4", 120).decode(bytes, 0), decoded, "{bytes:?}");
        }
        assert_eq!(ascii("4", 120).span(b"0121"), 125);
        assert_eq!(ascii("4", 120).span(b"013"), u64::MAX);
    }

    #[test]
    fn digits_that_were_judged_before_the_last_are_kept_until_they_tell_their_length() {
        let ascii = ascii("4", 120);
        assert_eq!(ascii.skip(u64::MAX, b"012"), Ok((0, u64::MAX)));
        assert_eq!(ascii.skip(u64::MAX, b"0130ab"), Ok((6, 128)));
        let error = FrameError::Corrupted("the length is not all digits");
        assert_eq!(ascii.skip(u64::MAX, b"013x"), Err(error));
    }

    #[test]
    fn a_reply_is_padded_and_one_beyond_the_digits_or_the_limit_is_refused() {
        let mut space = *b"....hello";
        assert_eq!(ascii("4", 9).encode(b"", &mut space, 5), Ok(9));
        assert_eq!(&space, b"0005hello");
        let error = FrameError::TooLong {
            frame: 10,
            limit: 9,
        };
        assert_eq!(ascii("1", 20).encode(b"", &mut [0; 11], 10), Err(error));
        assert_eq!(ascii("2", 9).encode(b"", &mut [0; 11], 9), Ok(11));
        assert_eq!(ascii("2", 9).encode(b"", &mut [0; 12], 10), Err(error));
    }

    #[test]
    fn there_are_1_to_19_digits() {
        for count in ["", "0", "20", "-1", "+1", "x"] {
            assert!(Ascii::parse(count).is_err(), "{count}");
        }
        let widest = ascii("19", 9);
        let error = FrameError::Longer {
            least: 9_000_000_000_000_000_000,
            limit: 9,
        };
        assert_eq!(widest.decode(&[b'9'; 19], 0), Decoded::Wrong(error));
        assert_eq!(widest.span(&[b'9'; 19]), 9_999_999_999_999_999_999 + 19);
    }
}
