//! Messages of one length: every N bytes are a frame, without header or trailer.
//!
//! Decoding never fails. A reply of another length is refused, because the peer would lose the
//! frame boundaries for the rest of the connection.

use std::ops::RangeInclusive;

use super::{Bounds, Decode, Decoded, FrameError};
use crate::limits::FRAME_MAX_MAX;

/// Frames of `size` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Bytes of every frame, at least one.
    pub(super) size: usize,
}

impl Fixed {
    /// Parses the size in bytes.
    pub fn parse(digits: &str) -> Result<Fixed, String> {
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        match digits.parse() {
            Ok(size) if plain && (1..=FRAME_MAX_MAX).contains(&size) => Ok(Fixed { size }),
            _ => Err(format!("the size must be 1 to {FRAME_MAX_MAX} bytes")),
        }
    }

    /// Bytes of every frame.
    pub fn frame_size(&self) -> usize {
        self.size
    }

    /// The same framing, if its frames have at most `frame_max` bytes.
    pub fn limited(self, frame_max: usize) -> Result<Fixed, String> {
        if self.size > frame_max {
            return Err(format!("every frame has {} bytes", self.size));
        }
        Ok(self)
    }
}

impl Decode for Fixed {
    fn decode(&self, bytes: &[u8], _scanned: usize) -> Decoded {
        if bytes.len() < self.size {
            return Decoded::Incomplete { scanned: 0 };
        }
        Decoded::Frame(Bounds {
            frame: self.size,
            payload: 0,
            payload_end: self.size,
        })
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        self.size..=self.size
    }

    fn size_error(&self, _size: usize) -> FrameError {
        FrameError::Corrupted("not the length that every frame has")
    }

    fn encode(
        &self,
        _request: &[u8],
        _space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        self.check_size(payload)?;
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_n_bytes_are_a_frame() {
        let fixed = Fixed::parse("3").unwrap();
        let frame = Decoded::Frame(Bounds {
            frame: 3,
            payload: 0,
            payload_end: 3,
        });
        assert_eq!(fixed.decode(b"ab", 0), Decoded::Incomplete { scanned: 0 });
        assert_eq!(fixed.decode(b"abc", 0), frame);
        assert_eq!(fixed.decode(b"abcd", 0), frame);
    }

    #[test]
    fn a_reply_of_another_length_is_refused() {
        let fixed = Fixed::parse("3").unwrap();
        assert_eq!(fixed.encode(b"", &mut [0; 3], 3), Ok(3));
        assert!(fixed.encode(b"", &mut [0; 2], 2).is_err());
    }

    #[test]
    fn a_size_is_a_number_that_the_limit_admits() {
        for digits in ["", "0", "-1", "+1", "1k", "99999999999999999999"] {
            assert!(Fixed::parse(digits).is_err(), "{digits}");
        }
        let fixed = Fixed::parse("4").unwrap();
        assert!(fixed.limited(3).is_err());
        assert!(fixed.limited(4).is_ok());
    }
}
