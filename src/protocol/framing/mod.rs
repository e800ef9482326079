//! Where a message ends. Bytes only: no socket, no clock, no idea of what a message means.
//!
//! A framing is a value: `--frame` is parsed into one, and it answers [`Decode::decode`] with one
//! of three things: a whole frame is here, more bytes are needed, or this can never become a frame.
//! The caller keeps the cursor, and tells how far an earlier, incomplete look went, so that a scan
//! never looks twice at a byte.
//!
//! **When a verdict comes.** With the first byte that makes it certain, and it is the same verdict
//! however the bytes are cut. A length in digits is judged digit by digit: as soon as no further
//! digit could bring it within the limit, it is too long. A text without a length is too long with
//! the first byte that can neither be a part of it nor of its end. A binary length field is one
//! number and is judged when it is whole, as Netty does, and not byte by byte: these few bytes also
//! show what a wrong peer speaks. No byte of a body is needed for any of them.
//!
//! On the way of a byte: `connection` asks, `service` is handed the payload. One file a framing,
//! one row in [`FRAMINGS`].

mod ascii;
mod delimiter;
mod fixed;
mod hint;
mod length_field;
mod line;
mod long_delimiter;
mod netstring;
mod opening;
mod raw;
mod table;

use std::fmt;
use std::str::FromStr;

use crate::limits::FRAME_MAX_MAX;

pub use ascii::Ascii;
pub use delimiter::Delimiter;
pub use fixed::Fixed;
pub use hint::{HINT_SIZE, Hint};
pub use length_field::{LengthField, Order};
pub use line::Line;
pub use long_delimiter::LongDelimiter;
pub use netstring::Netstring;
pub use opening::Opening;
pub use raw::Raw;
pub use table::{FRAMINGS, Row};

/// How a stream is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// A plain tag: hidden in another variant's spare values it costs three instructions a read.
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

/// What is done about a frame over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTooLong {
    /// The stream ends there.
    Close,
    /// It is thrown away as it arrives, and the stream goes on behind it.
    Discard,
}

/// What every framing can be asked.
pub trait Decode {
    /// Looks at the front of `bytes`, of which `scanned` were seen by an earlier call that answered
    /// [`Decoded::Incomplete`] with that number. `bytes` is never empty.
    fn decode(&self, bytes: &[u8], scanned: usize) -> Decoded;

    /// Bytes of the whole frame at the front of `bytes`, which was refused as too long, by what its
    /// header announces; `u64::MAX` when only its end, or the rest of its header, will tell.
    fn span(&self, _bytes: &[u8]) -> u64 {
        u64::MAX
    }

    /// Steps over what `bytes` hold of a frame that is thrown away, of which `left` bytes, more
    /// than none, are still to come: how many of `bytes` those are, and how many are left then.
    /// `u64::MAX` is what [`Decode::span`] means by it, and stays so until more is known.
    fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        Ok(step_over(left, bytes))
    }

    /// Bytes that [`Decode::encode`] may need in front of and behind a payload, and that a request
    /// may have there.
    fn overhead(&self) -> Overhead {
        Overhead::default()
    }

    /// Makes a frame of `payload` bytes that lie in `space` behind [`Overhead::front`] bytes, and
    /// returns its length. Header and trailer take after `request`, the frame it answers, with the
    /// length rewritten; an empty `request` gives the plainest ones there are. The limit holds for
    /// both ways: a peer that was told the same one would refuse what is longer.
    fn encode(&self, request: &[u8], space: &mut [u8], payload: usize)
    -> Result<usize, FrameError>;
}

/// A framing's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole frame stands at the front.
    Frame(Bounds),
    /// More bytes are needed; the first `scanned` need not be looked at again.
    Incomplete {
        /// How far this look went.
        scanned: usize,
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
        /// Bytes that it announces: of the whole frame, or of the payload, as the limit counts.
        frame: u64,
        /// The limit.
        limit: u64,
    },
    /// The same, known before all digits of the length were there.
    Longer {
        /// The least that it can come to announce.
        least: u64,
        /// The limit.
        limit: u64,
    },
    /// No end within the limit.
    Endless {
        /// The limit.
        limit: u64,
    },
    /// The header contradicts itself.
    Corrupted(&'static str),
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes that had arrived of it; 0 where a service finds the bounds of its messages and
        /// nothing is kept of them.
        held: usize,
    },
    /// The service, which finds the bounds of its messages itself, says that this is none, and why.
    Refused(&'static str),
}

impl FrameError {
    /// Whether the frame may be right, but for its length.
    pub const fn is_too_long(&self) -> bool {
        matches!(
            self,
            FrameError::TooLong { .. } | FrameError::Longer { .. } | FrameError::Endless { .. }
        )
    }

    /// Refuses what has more than `limit` bytes.
    fn if_over(frame: u64, limit: u64) -> Result<(), FrameError> {
        match frame > limit {
            true => Err(FrameError::TooLong { frame, limit }),
            false => Ok(()),
        }
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

/// Steps over `left` bytes, or over as many of them as `bytes` hold: how many those are, and how
/// many are left then.
fn step_over(left: u64, bytes: &[u8]) -> (usize, u64) {
    let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (here, left - here as u64)
}

/// Asks the framing that it is; the choice is made once, and the call is direct.
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

impl Framing {
    /// Reads `spec` as `--frame` gives it, with the longest limit there is; the error is one line
    /// without the word itself.
    pub fn parse(spec: &str) -> Result<Framing, String> {
        table::parse(spec)?.limited(FRAME_MAX_MAX)
    }

    /// The same framing with a limit, which is on the whole frame for length fields and on the
    /// payload alone where the rest is made of text; refuses a limit that admits no frame.
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

    /// See [`Decode::encode`].
    pub fn encode(
        &self,
        request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        each!(self, framing => framing.encode(request, space, payload))
    }

    /// Bytes of the longest whole frame under a limit of `frame_max`.
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

    /// Whether the payload is a whole message, as opposed to whatever has arrived.
    pub fn has_boundaries(&self) -> bool {
        !matches!(self, Framing::Raw(_))
    }

    /// Bytes at the front of a frame that are stripped of what `decode` shows. A service is never
    /// handed a length field to change, which may be stripped for none.
    pub fn strip(&self, bounds: &Bounds) -> usize {
        match self {
            Framing::LengthField(field) => field.strip(),
            _ => bounds.payload,
        }
    }

    /// What a peer seems to be speaking whose frame, of which `bytes` came, was refused.
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

    /// The same of one whose frame was not refused and has no end, for the stream has, or its time
    /// is up: its length field was believed, so that text in it says nothing, but a known beginning
    /// does.
    pub fn hint_of_partial(&self, bytes: &[u8]) -> Option<Hint> {
        match self {
            Framing::LengthField(_) => hint::language(bytes),
            _ => None,
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
