//! No boundary: all bytes that have arrived are passed on.
//!
//! ```text
//!   sent:     "hello," "world"          arrives, for example:   "hello,worl" "d"
//! ```
//!
//! TCP keeps order and completeness, but not the boundaries of writes. A protocol that needs
//! messages uses another framing. Decoding is never wrong and never incomplete.

use std::ops::RangeInclusive;

use super::{Bounds, Decode, Decoded, FrameError};

/// The framing without frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw;

impl Decode for Raw {
    #[inline]
    fn decode(&self, bytes: &[u8], _scanned: usize) -> Decoded {
        Decoded::Frame(Bounds {
            frame: bytes.len(),
            payload: 0,
            payload_end: bytes.len(),
        })
    }

    #[inline]
    fn has_boundaries(&self) -> bool {
        false
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        0..=usize::MAX
    }

    fn encode(
        &self,
        _request: &[u8],
        _space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_arrived_is_the_message() {
        let Decoded::Frame(bounds) = Raw.decode(b"hello,worl", 0) else {
            panic!("raw is never incomplete")
        };
        assert_eq!(
            bounds,
            Bounds {
                frame: 10,
                payload: 0,
                payload_end: 10
            }
        );
    }
}
