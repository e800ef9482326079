//! A codec between framing and service: how a payload is written inside its frame.
//!
//! ```text
//!   frame     00 00 00 08 | 61 47 56 73 62 47 38 3d     "aGVsbG8="
//!   service                 68 65 6c 6c 6f              "hello"
//! ```
//!
//! A codec works on whole payloads, so it needs a framing with boundaries. The limit of the framing
//! counts encoded bytes. Neighbours: `service::coded` puts a codec in front of a service; `client`
//! and `decode` use it as it is.

pub mod base64;

use super::framing::{FrameError, Framing};

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Base64 of RFC 4648, section 4, with padding.
    Base64,
}

impl Codec {
    /// Bytes that a payload of `size` bytes has in its frame.
    pub fn encoded_size(self, size: usize) -> usize {
        match self {
            Codec::Base64 => base64::encoded_size(size),
        }
    }

    /// Encodes the first `count` bytes of `space`, which has room for [`Codec::encoded_size`].
    pub fn encode(self, space: &mut [u8], count: usize) {
        match self {
            Codec::Base64 => _ = base64::encode(space, count),
        }
    }

    /// Decodes `payload` into its front, and returns what is there.
    ///
    /// # Errors
    ///
    /// [`FrameError::Corrupted`], and the payload is as it was.
    pub fn decode(self, payload: &mut [u8]) -> Result<&[u8], FrameError> {
        let decoded = match self {
            Codec::Base64 => base64::decode(payload),
        };
        let count = decoded.map_err(FrameError::Corrupted)?;
        Ok(&payload[..count])
    }

    /// Checks whether frames of `framing` can hold encoded payloads, and end where they end.
    ///
    /// # Errors
    ///
    /// One line that names neither option.
    pub fn check(self, framing: &Framing) -> Result<(), String> {
        let wrong = |reason: &str| Err(reason.to_owned());
        match framing {
            Framing::Raw(_) => wrong("needs messages with an end, such as line or u32be"),
            Framing::Fixed(fixed) if fixed.frame_size() % base64::GROUP_SIZE != 0 => {
                wrong("encoded messages have a multiple of 4 bytes, and fixed:N must be one")
            }
            _ if framing.ending().is_some_and(base64::has_only_digits) => {
                wrong("an encoded message may have the delimiter in it, choose other bytes")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(spec: &str) -> Result<(), String> {
        Codec::Base64.check(&spec.parse().expect("a framing"))
    }

    #[test]
    fn a_framing_without_boundaries_has_no_codec() {
        assert!(checked("raw").is_err_and(|why| why.contains("line or u32be")));
        for spec in [
            "line",
            "u8",
            "ascii:4",
            "netstring",
            "delim:0d0a",
            "fixed:4",
        ] {
            assert_eq!(checked(spec), Ok(()), "{spec}");
        }
    }

    #[test]
    fn fixed_frames_hold_whole_groups() {
        for (size, is_fine) in [(3, false), (4, true), (5, false), (8, true)] {
            assert_eq!(checked(&format!("fixed:{size}")).is_ok(), is_fine, "{size}");
        }
    }

    #[test]
    fn a_delimiter_of_digits_is_refused() {
        for spec in [
            "delim:41",
            "delim:3d",
            "delim:2b2f",
            "delim:414243444546474849",
        ] {
            assert!(
                checked(spec).is_err_and(|why| why.contains("delimiter")),
                "{spec}"
            );
        }
        for spec in ["delim:2d", "delim:4100", "delim:41424344454647480a"] {
            assert_eq!(checked(spec), Ok(()), "{spec}");
        }
    }
}
