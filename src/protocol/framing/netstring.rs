//! Netstrings: a length in decimal digits without leading zeros, a colon, the payload, a comma.
//!
//! ```text
//!             "12" ":" "hello world!" ","
//!             |header||   payload   |trailer
//! ```
//!
//! See D. J. Bernstein, "Netstrings" (1997). A leading zero is refused, so each length has one
//! spelling. Any byte but a comma after the payload is refused, because then the two sides disagree
//! about the length. The limit counts the payload. Each further digit makes the length larger, so
//! the digit that exceeds the limit ends the scan. A header has at most 21 bytes.

use std::ops::RangeInclusive;

use super::{Bounds, Decode, Decoded, FrameError, Overhead};

/// Netstrings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netstring {
    limit: u64,
}

/// Decimal digits of the largest 64-bit number.
const DIGITS_MAX: usize = 20;
const NO_COMMA: FrameError = FrameError::Corrupted("no comma where the netstring ends");

impl Netstring {
    /// Netstrings with at most `limit` bytes of payload.
    pub fn limited(limit: usize) -> Netstring {
        let limit = limit as u64;
        Netstring { limit }
    }
}

/// The header at the front of `bytes`, once it is complete: its size and the length that it
/// announces, which is at most `limit`.
fn header(bytes: &[u8], limit: u64) -> Result<Option<(usize, u64)>, FrameError> {
    let mut length: u64 = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at > 0 && length == 0 => {
                return Err(FrameError::Corrupted("the length has a leading zero"));
            }
            b'0'..=b'9' => {
                let tens = length.checked_mul(10);
                let longer = tens.and_then(|tens| tens.checked_add(u64::from(byte - b'0')));
                length = longer.unwrap_or(u64::MAX);
                if length > limit || longer.is_none() {
                    let least = length;
                    return Err(FrameError::Longer { least, limit });
                }
            }
            _ if at == 0 => {
                return Err(FrameError::Corrupted("a netstring begins with its length"));
            }
            b':' => return Ok(Some((at + 1, length))),
            _ => return Err(FrameError::Corrupted("no colon after the length")),
        }
    }
    Ok(None)
}

impl Decode for Netstring {
    fn decode(&self, bytes: &[u8], _scanned: usize) -> Decoded {
        let (payload, length) = match header(bytes, self.limit) {
            Ok(Some(header)) => header,
            Ok(None) => return Decoded::Incomplete { scanned: 0 },
            Err(error) => return Decoded::Wrong(error),
        };
        let payload_end = (length as usize).saturating_add(payload);
        match bytes.get(payload_end) {
            None => Decoded::Incomplete { scanned: 0 },
            Some(b',') => Decoded::Frame(Bounds {
                frame: payload_end + 1,
                payload,
                payload_end,
            }),
            Some(_) => Decoded::Wrong(NO_COMMA),
        }
    }

    fn span(&self, bytes: &[u8]) -> u64 {
        match header(bytes, u64::MAX) {
            Ok(Some((header, length))) => length.saturating_add(header as u64 + 1),
            _ => u64::MAX,
        }
    }

    fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        let left = match left {
            // The header was judged before it was complete, and is still at the front.
            u64::MAX => match header(bytes, u64::MAX)? {
                Some((header, length)) => length.saturating_add(header as u64 + 1),
                None => return Ok((0, left)),
            },
            left => left,
        };
        match usize::try_from(left)
            .ok()
            .and_then(|left| bytes.get(left - 1))
        {
            None => Ok((bytes.len(), left - bytes.len() as u64)),
            Some(b',') => Ok((left as usize, 0)),
            Some(_) => Err(NO_COMMA),
        }
    }

    fn overhead(&self) -> Overhead {
        Overhead {
            front: DIGITS_MAX + 1,
            back: 1,
        }
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        0..=usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn encode(
        &self,
        _request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        self.check_size(payload)?;
        let digits = payload.checked_ilog10().map_or(1, |log| log as usize + 1);
        let mut rest = payload;
        for place in space[..digits].iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        space[digits] = b':';
        // A service writes the payload after room for the longest header. This header is usually
        // shorter.
        let written = self.overhead().front;
        space.copy_within(written..written + payload, digits + 1);
        space[digits + 1 + payload] = b',';
        Ok(digits + payload + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETSTRING: Netstring = Netstring { limit: 12 };

    #[test]
    fn the_example_of_the_netstring_author_is_decoded() {
        let decoded = NETSTRING.decode(b"12:hello world!,", 0);
        let bounds = Bounds {
            frame: 16,
            payload: 3,
            payload_end: 15,
        };
        assert_eq!(decoded, Decoded::Frame(bounds));
        let empty = Bounds {
            frame: 3,
            payload: 2,
            payload_end: 2,
        };
        assert_eq!(NETSTRING.decode(b"0:,", 0), Decoded::Frame(empty));
    }

    #[test]
    fn an_invalid_netstring_is_refused_at_the_first_wrong_byte() {
        for bytes in [
            b":".as_slice(),
            b",",
            b"x",
            b"00",
            b"01:",
            b"1x",
            b"1 :",
            b"3:abc;",
            b"0::",
        ] {
            let decoded = NETSTRING.decode(bytes, 0);
            let corrupted = matches!(decoded, Decoded::Wrong(FrameError::Corrupted(_)));
            assert!(corrupted, "{bytes:?}");
        }
        for bytes in [b"0".as_slice(), b"12", b"12:", b"3:abc"] {
            let incomplete = Decoded::Incomplete { scanned: 0 };
            assert_eq!(NETSTRING.decode(bytes, 0), incomplete, "{bytes:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_payload_alone_and_is_judged_with_the_digit_that_passes_it() {
        let longer = |least| Decoded::Wrong(FrameError::Longer { least, limit: 12 });
        for (bytes, decoded, span) in [
            (b"13".as_slice(), longer(13), u64::MAX),
            (b"13:", longer(13), 17),
            (b"1200x", longer(120), u64::MAX),
            (b"18446744073709551600:", longer(18), u64::MAX),
            (b"2", Decoded::Incomplete { scanned: 0 }, u64::MAX),
            (b"12", Decoded::Incomplete { scanned: 0 }, u64::MAX),
        ] {
            assert_eq!(NETSTRING.decode(bytes, 0), decoded, "{bytes:?}");
            if !matches!(decoded, Decoded::Incomplete { .. }) {
                assert_eq!(NETSTRING.span(bytes), span, "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_payload_is_moved_to_its_header() {
        let netstring = Netstring { limit: 100 };
        for payload in [&[][..], b"a", b"hello world!", &[b'x'; 100]] {
            let front = netstring.overhead().front;
            let mut space = [&vec![b'.'; front], payload, b"."].concat();
            let encoded = netstring.encode(b"", &mut space, payload.len()).unwrap();
            let text = String::from_utf8_lossy(payload);
            let frame = format!("{}:{text},", payload.len());
            assert_eq!(&space[..encoded], frame.as_bytes());
        }
    }

    #[test]
    fn the_limit_holds_for_a_reply_too() {
        assert_eq!(NETSTRING.encode(b"", &mut [0; 34], 12), Ok(16));
        let (frame, limit) = (13, 12);
        let error = FrameError::TooLong { frame, limit };
        assert_eq!(NETSTRING.encode(b"", &mut [0; 35], 13), Err(error));
    }

    #[test]
    fn a_frame_that_is_thrown_away_must_end_with_a_comma_too() {
        assert_eq!(NETSTRING.skip(6, b"3:abc"), Ok((5, 1)));
        assert_eq!(NETSTRING.skip(6, b"3:abc,3"), Ok((6, 0)));
        assert_eq!(NETSTRING.skip(6, b"3:abc;"), Err(NO_COMMA));
    }

    #[test]
    fn a_header_that_was_judged_before_its_end_is_kept_until_it_tells_its_length() {
        for header in ["1", "13", "18446744073709551615"] {
            assert_eq!(
                NETSTRING.skip(u64::MAX, header.as_bytes()),
                Ok((0, u64::MAX))
            );
        }
        assert_eq!(NETSTRING.skip(u64::MAX, b"13:ab"), Ok((5, 12)));
        assert_eq!(NETSTRING.skip(u64::MAX, b"3:abc,3"), Ok((6, 0)));
        for (header, kind) in [
            ("13x", "corrupted"),
            ("18446744073709551616", "too_long"),
            ("100000000000000000000", "too_long"),
        ] {
            let error = NETSTRING.skip(u64::MAX, header.as_bytes());
            assert_eq!(error.map_err(|error| error.kind()), Err(kind), "{header}");
        }
    }
}
