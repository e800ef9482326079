//! Where a message ends. Bytes only: no socket, no clock, no knowledge of what a message means.
//!
//! A framing is a value parsed from `--frame`. [`Decode::decode`] gives one of three answers: a
//! whole frame, more bytes needed, or an error that no further byte can repair. The caller keeps
//! the cursor and passes in how many bytes an earlier, incomplete call has scanned, so no scan
//! repeats.
//!
//! **When an error is reported.** With the first byte that makes it certain. Where reads cut the
//! stream makes no difference. A length in digits is judged digit by digit: it is too long as soon
//! as no further digit can bring it within the limit. A payload without a length is too long at the
//! first byte that can belong neither to the payload nor to its end. A binary length field is
//! judged when all its bytes are there, as in Netty; those bytes also show which protocol a wrong
//! peer speaks. No error waits for a byte of the body.
//!
//! Neighbours: `protocol::connection` calls the framing and passes the payload to `service`. One
//! file per framing, one row in [`FRAMINGS`].

mod ascii;
mod delimited;
mod fixed;
mod hint;
mod length_field;
mod netstring;
mod opening;
mod raw;
mod table;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::limits::FRAME_MAX_MAX;

pub use ascii::Ascii;
pub use delimited::{Delimiter, Line, LongDelimiter};
pub use fixed::Fixed;
pub use hint::{HINT_SIZE, Hint};
pub use length_field::{LengthField, Order};
pub use netstring::Netstring;
pub use opening::Opening;
pub use raw::Raw;
pub use table::{FRAMINGS, Row};

/// How a stream is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A plain tag. Stored in the spare values of another variant, the tag costs three instructions more
// per read.
#[repr(u8)]
pub enum Framing {
    /// No boundary: what arrived is the message.
    Raw(Raw),
    /// A binary length field in a header.
    LengthField(LengthField),
    /// A line feed ends a message.
    Line(Line),
    /// A few bytes end a message.
    Delimiter(Delimiter),
    /// Many bytes end a message.
    LongDelimiter(LongDelimiter),
    /// Messages of one length.
    Fixed(Fixed),
    /// A length of decimal digits.
    Ascii(Ascii),
    /// `12:hello world!,`
    Netstring(Netstring),
}

/// What happens to a frame over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTooLong {
    /// The stream ends there.
    Close,
    /// The frame is discarded as it arrives; the stream continues after it.
    Discard,
}

/// The operations of a framing.
pub trait Decode {
    /// Decodes the frame at the front of `bytes`. An earlier call has scanned the first `scanned`
    /// bytes: it answered [`Decoded::Incomplete`] with that number. `bytes` is never empty.
    fn decode(&self, bytes: &[u8], scanned: usize) -> Decoded;

    /// Whether a payload is a whole message, and not just the bytes that have arrived so far.
    #[inline]
    fn has_boundaries(&self) -> bool {
        true
    }

    /// Bytes of the whole frame at the front of `bytes`, as its header announces. That frame was
    /// refused as too long. `u64::MAX` if the length is not known before the frame's end or the
    /// rest of its header has arrived.
    fn span(&self, _bytes: &[u8]) -> u64 {
        u64::MAX
    }

    /// Skips the part of a discarded frame that `bytes` hold. `left` bytes of the frame, at least
    /// one, are still to come. Returns how many of `bytes` to skip and how many bytes are left
    /// after them. A `left` of `u64::MAX` means unknown, as in [`Decode::span`], and stays until
    /// the length is known.
    fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        Ok(step_over(left, bytes))
    }

    /// The most bytes that [`Decode::encode`] needs before and after a payload, and that a request
    /// can have there.
    fn overhead(&self) -> Overhead {
        Overhead::default()
    }

    /// The sizes of payload that a frame can hold, from the smallest to the largest.
    fn payload_sizes(&self) -> RangeInclusive<usize>;

    /// The error of a payload whose `size` is not one of [`Decode::payload_sizes`]. In most
    /// framings a frame may be empty, so the size is too large.
    fn size_error(&self, size: usize) -> FrameError {
        FrameError::TooLong {
            frame: size as u64,
            limit: *self.payload_sizes().end() as u64,
        }
    }

    /// Whether a frame can hold a payload of `size` bytes.
    #[inline]
    fn check_size(&self, size: usize) -> Result<(), FrameError> {
        match self.payload_sizes().contains(&size) {
            true => Ok(()),
            false => Err(self.size_error(size)),
        }
    }

    /// Encodes a frame in `space` and returns its length. `payload` bytes are already in `space`,
    /// after [`Overhead::front`] bytes. Header and trailer are copied from `request`, the frame
    /// being answered, with a new length; an empty `request` gives the simplest header and trailer.
    /// The limit applies in both directions, because a peer with the same limit would refuse a
    /// longer frame.
    ///
    /// # Errors
    ///
    /// [`Decode::size_error`], and nothing is written.
    fn encode(&self, request: &[u8], space: &mut [u8], payload: usize)
    -> Result<usize, FrameError>;
}

/// The result of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole frame is at the front.
    Frame(Bounds),
    /// More bytes are needed; the first `scanned` need not be scanned again.
    Incomplete {
        /// Bytes scanned so far.
        scanned: usize,
    },
    /// These bytes can never become a frame.
    Wrong(FrameError),
}

/// The parts of a frame, as offsets from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes in the whole frame.
    pub frame: usize,
    /// Where the payload begins; the bytes before it are the header.
    pub payload: usize,
    /// Where the payload ends; the bytes after it are the trailer.
    pub payload_end: usize,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame is longer than the limit.
    TooLong {
        /// Bytes that the header announces: of the whole frame or of the payload, as the limit
        /// counts.
        frame: u64,
        /// The limit.
        limit: u64,
    },
    /// The same, known before all digits of the length have arrived.
    Longer {
        /// The smallest length that the digits so far can lead to.
        least: u64,
        /// The limit.
        limit: u64,
    },
    /// No delimiter within the limit.
    Endless {
        /// The limit.
        limit: u64,
    },
    /// The header contradicts itself.
    Corrupted(&'static str),
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes of the frame that had arrived. 0 if the service finds the message bounds itself
        /// and keeps no bytes.
        held: usize,
    },
    /// The service finds the message bounds itself and refuses these bytes, for this reason.
    Refused(&'static str),
}

impl FrameError {
    /// Whether the length is the only thing wrong with the frame.
    pub const fn is_too_long(&self) -> bool {
        matches!(
            self,
            FrameError::TooLong { .. } | FrameError::Longer { .. } | FrameError::Endless { .. }
        )
    }

    /// The name of the kind, as logs, statistics and `decode` print it.
    pub const fn kind(&self) -> &'static str {
        match self {
            FrameError::TooLong { .. } | FrameError::Longer { .. } | FrameError::Endless { .. } => {
                "too_long"
            }
            FrameError::Corrupted(_) => "corrupted",
            FrameError::Truncated { .. } => "truncated",
            FrameError::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { frame, limit } => {
                write!(f, "{frame} bytes, the limit is {limit}")
            }
            FrameError::Longer {
                limit: u64::MAX, ..
            } => f.write_str("a length beyond 64 bits"),
            FrameError::Longer { least, limit } => {
                write!(f, "at least {least} bytes, the limit is {limit}")
            }
            FrameError::Endless { limit } => write!(f, "no end within {limit} bytes"),
            FrameError::Corrupted(why) | FrameError::Refused(why) => f.write_str(why),
            FrameError::Truncated { held: 0 } => f.write_str("the stream ended inside a message"),
            FrameError::Truncated { held } => {
                write!(f, "the stream ended {held} bytes into a frame")
            }
        }
    }
}

/// Skips `left` bytes, or as many of them as `bytes` hold. Returns how many of `bytes` are skipped
/// and how many bytes are left after them.
fn step_over(left: u64, bytes: &[u8]) -> (usize, u64) {
    let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (here, left - here as u64)
}

/// Calls the framing in the variant. The choice is made once; the call is direct.
macro_rules! each {
    ($framing:expr, $is:ident => $asked:expr) => {
        match $framing {
            Framing::Raw($is) => $asked,
            Framing::LengthField($is) => $asked,
            Framing::Line($is) => $asked,
            Framing::Delimiter($is) => $asked,
            Framing::LongDelimiter($is) => $asked,
            Framing::Fixed($is) => $asked,
            Framing::Ascii($is) => $asked,
            Framing::Netstring($is) => $asked,
        }
    };
}

pub(in crate::protocol) use each;

impl Framing {
    /// Parses `spec` as given to `--frame`, with the largest possible limit.
    ///
    /// # Errors
    ///
    /// One line that does not repeat `spec`.
    pub fn parse(spec: &str) -> Result<Framing, String> {
        table::parse(spec)?.limited(FRAME_MAX_MAX)
    }

    /// The same framing with a limit. The limit counts the whole frame for length fields and fixed
    /// sizes, and the payload alone for the other framings. Raw ignores it.
    ///
    /// # Errors
    ///
    /// No frame fits the limit.
    pub fn limited(self, frame_max: usize) -> Result<Framing, String> {
        Ok(match self {
            Framing::Raw(raw) => Framing::Raw(raw),
            Framing::LengthField(field) => Framing::LengthField(field.limited(frame_max)?),
            Framing::Line(_) => Framing::Line(Line::limited(frame_max)),
            Framing::Delimiter(delimiter) => Framing::Delimiter(delimiter.limited(frame_max)),
            Framing::LongDelimiter(long) => Framing::LongDelimiter(long.limited(frame_max)),
            Framing::Fixed(fixed) => Framing::Fixed(fixed.limited(frame_max)?),
            Framing::Ascii(ascii) => Framing::Ascii(ascii.limited(frame_max)),
            Framing::Netstring(_) => Framing::Netstring(Netstring::limited(frame_max)),
        })
    }

    /// See [`Decode::decode`].
    pub fn decode(&self, bytes: &[u8], scanned: usize) -> Decoded {
        each!(self, framing => framing.decode(bytes, scanned))
    }

    /// See [`Decode::span`].
    pub fn span(&self, bytes: &[u8]) -> u64 {
        each!(self, framing => framing.span(bytes))
    }

    /// See [`Decode::skip`].
    pub fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        each!(self, framing => framing.skip(left, bytes))
    }

    /// See [`Decode::overhead`].
    pub fn overhead(&self) -> Overhead {
        each!(self, framing => framing.overhead())
    }

    /// See [`Decode::payload_sizes`].
    pub fn payload_sizes(&self) -> RangeInclusive<usize> {
        each!(self, framing => framing.payload_sizes())
    }

    /// See [`Decode::check_size`].
    pub fn check_size(&self, size: usize) -> Result<(), FrameError> {
        each!(self, framing => framing.check_size(size))
    }

    /// See [`Decode::encode`].
    pub fn encode(
        &self,
        request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        each!(self, framing => framing.encode(request, space, payload))
    }

    /// Bytes of the largest whole frame under a limit of `frame_max`.
    pub fn frame_size_max(&self, frame_max: usize) -> usize {
        match self {
            Framing::Raw(_) | Framing::LengthField(_) => frame_max,
            Framing::Fixed(fixed) => fixed.size,
            _ => {
                let Overhead { front, back } = self.overhead();
                frame_max.saturating_add(front + back)
            }
        }
    }

    /// See [`Decode::has_boundaries`].
    #[inline]
    pub fn has_boundaries(&self) -> bool {
        each!(self, framing => framing.has_boundaries())
    }

    /// The delimiter behind each message, if it was chosen by the user.
    pub fn ending(&self) -> Option<&[u8]> {
        match self {
            Framing::Delimiter(delimiter) => Some(delimiter.bytes()),
            Framing::LongDelimiter(delimiter) => Some(delimiter.bytes()),
            _ => None,
        }
    }

    /// Bytes at the front of a frame that `decode` does not show. A service never gets the length
    /// field, even if `strip` is shorter than the header.
    pub fn strip(&self, bounds: &Bounds) -> usize {
        match self {
            Framing::LengthField(field) => field.strip(),
            _ => bounds.payload,
        }
    }

    /// What the peer seems to speak. `bytes` are the front of a frame that was refused.
    pub fn hint(&self, bytes: &[u8]) -> Option<Hint> {
        let bytes = &bytes[..bytes.len().min(HINT_SIZE)];
        match self {
            Framing::Raw(_) => None,
            Framing::LengthField(field) => {
                let header = field.place().end.clamp(4, HINT_SIZE).min(bytes.len());
                hint::language(bytes).or_else(|| hint::text(&bytes[..header]))
            }
            _ => hint::language(bytes),
        }
    }

    /// The same for a frame that was not refused but stays incomplete, because the stream has ended
    /// or the deadline has passed. Its length field was legal, so text in it proves nothing; only a
    /// known beginning counts. A line may begin like a request of HTTP, but not like a TLS record.
    pub fn hint_of_partial(&self, bytes: &[u8]) -> Option<Hint> {
        match self {
            Framing::Raw(_) => None,
            Framing::LengthField(_) => hint::language(bytes),
            _ => hint::language(bytes).filter(Hint::is_tls),
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
            Framing::Line(_) => f.write_str("line"),
            Framing::Delimiter(delimiter) => delimiter.fmt(f),
            Framing::LongDelimiter(delimiter) => delimiter.fmt(f),
            Framing::Fixed(fixed) => write!(f, "fixed:{}", fixed.size),
            Framing::Ascii(ascii) => write!(f, "ascii:{}", ascii.digits),
            Framing::Netstring(_) => f.write_str("netstring"),
        }
    }
}
