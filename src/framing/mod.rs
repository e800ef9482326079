//! Where a message ends. Bytes only: no socket, no clock, no idea of what a message means.
//!
//! A framing is a value: `--frame` is parsed into one, and it answers [`Decode::decode`] with one
//! of three things: a whole frame is here, more bytes are needed, or this can never become a frame.
//! The caller keeps the cursor, and tells how far an earlier, incomplete look went, so that a scan
//! never looks twice at a byte. A length is judged at the header, before a byte of the body is
//! kept.
//!
//! On the way of a byte: `connection` asks, `service` is handed the payload. One file a framing,
//! one row in [`Framing::parse`].

mod length_field;
mod raw;

use std::fmt;
use std::str::FromStr;

use crate::limits::FRAME_MAX_MAX;

pub use length_field::{LengthField, Order};
pub use raw::Raw;

/// How a stream is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No boundary: what arrived is the message.
    Raw(Raw),
    /// A binary length field in a header.
    LengthField(LengthField),
}

/// The one question every framing answers.
pub trait Decode {
    /// Looks at the front of `bytes`, of which `looked` were seen by an earlier call that answered
    /// [`Decoded::Incomplete`] with that number. `bytes` is never empty.
    fn decode(&self, bytes: &[u8], looked: usize) -> Decoded;
}

/// A framing's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole frame stands at the front.
    Frame(Bounds),
    /// More bytes are needed; the first `looked` need not be looked at again.
    Incomplete {
        /// How far this look went.
        looked: usize,
    },
    /// This can never become a frame.
    Wrong(FrameError),
}

/// Where the parts of a frame lie, counted from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes in the whole frame.
    pub frame: usize,
    /// Where the service's part begins; what is before it is the header.
    pub payload: usize,
    /// Where the service's part ends; what is after it is the trailer.
    pub payload_end: usize,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame is longer than the limit.
    TooLong {
        /// Bytes of the whole frame as announced, or as many as came without an end.
        frame: u64,
        /// The limit.
        limit: u64,
    },
    /// The header contradicts itself.
    Corrupted(&'static str),
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes that had arrived of it.
        held: usize,
    },
}

impl FrameError {
    /// The name of the kind, as logs, statistics and `decode` print it.
    pub const fn kind(&self) -> &'static str {
        match self {
            FrameError::TooLong { .. } => "too_long",
            FrameError::Corrupted(_) => "corrupted",
            FrameError::Truncated { .. } => "truncated",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong {
                frame: u64::MAX,
                limit,
            } => {
                write!(f, "the frame is beyond 64 bits, the limit is {limit} bytes")
            }
            FrameError::TooLong { frame, limit } => {
                write!(f, "the frame has {frame} bytes, the limit is {limit}")
            }
            FrameError::Corrupted(why) => f.write_str(why),
            FrameError::Truncated { held } => {
                write!(f, "the stream ended {held} bytes into a frame")
            }
        }
    }
}

impl Framing {
    /// Reads `spec` as `--frame` gives it, with the longest limit there is; the error is one line
    /// without the word itself.
    pub fn parse(spec: &str) -> Result<Framing, String> {
        if spec == "raw" {
            return Ok(Framing::Raw(Raw));
        }
        if let Some(field) = LengthField::parse(spec)? {
            return Ok(Framing::LengthField(field.limited(FRAME_MAX_MAX)?));
        }
        Err("not a framing; try raw, u8, u16be, u32be, i32le, ... or \
             len:offset=0,size=4,order=be,adjust=0,strip=0"
            .to_string())
    }

    /// The same framing with `frame_max` as the limit of a whole frame; refuses a limit that admits
    /// no frame.
    pub fn limited(self, frame_max: usize) -> Result<Framing, String> {
        Ok(match self {
            Framing::Raw(raw) => Framing::Raw(raw),
            Framing::LengthField(field) => Framing::LengthField(field.limited(frame_max)?),
        })
    }

    /// The same framing, asked through its common name.
    pub fn decode(&self, bytes: &[u8], looked: usize) -> Decoded {
        match self {
            Framing::Raw(raw) => raw.decode(bytes, looked),
            Framing::LengthField(field) => field.decode(bytes, looked),
        }
    }

    /// Whether the payload is a whole message, as opposed to whatever has arrived.
    pub fn has_boundaries(&self) -> bool {
        !matches!(self, Framing::Raw(_))
    }

    /// Bytes that [`Framing::seal`] may need in front of and behind a payload.
    pub fn overhead(&self) -> Overhead {
        match self {
            Framing::Raw(_) => Overhead { front: 0, back: 0 },
            Framing::LengthField(field) => Overhead {
                front: field.header(),
                back: 0,
            },
        }
    }

    /// Makes a frame of `payload` bytes that lie in `space` behind [`Overhead::front`] bytes, and
    /// returns its length. The header takes after `request`, the frame it answers, with its length
    /// rewritten; an empty `request` gives a header of zeros and the length.
    pub fn seal(
        &self,
        request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        match self {
            Framing::Raw(_) => Ok(payload),
            Framing::LengthField(field) => field.seal(request, space, payload),
        }
    }
}

/// What a framing adds to a payload, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead {
    /// Bytes before the payload.
    pub front: usize,
    /// Bytes after it.
    pub back: usize,
}

impl FromStr for Framing {
    type Err = String;

    fn from_str(spec: &str) -> Result<Framing, String> {
        Framing::parse(spec)
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Framing::Raw(_) => f.write_str("raw"),
            Framing::LengthField(field) => field.fmt(f),
        }
    }
}
