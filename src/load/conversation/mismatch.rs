//! The ways in which a reply can be wrong, and their messages.
//!
//! Each variant is one difference that `connection` finds between the received and the expected
//! bytes. A wrong byte is reported with its request and its offset, so that the line alone is
//! enough to find the mistake in the server.

use std::fmt;

use super::http::HttpError;
use crate::protocol::framing::{FrameError, Hint};

/// The result of receiving some bytes: a run of replies, and what stands behind them.
///
/// A run ends with the bytes, with an error, or with a reply whose status differs from the one
/// before. So two statuses describe any run, and usually one run takes all bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Heard {
    /// Correct replies that ended in these bytes.
    pub answers: u32,
    /// The HTTP status of all these replies but the last; 0 for other protocols.
    pub status: u16,
    /// The status of the last one.
    pub last: u16,
    /// How many of the bytes were used. The rest belongs to the next run.
    pub taken: usize,
    /// The error in the bytes after those replies.
    pub wrong: Option<Wrong>,
}

/// A reply that differs from the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A byte that differs from the byte that was sent.
    Byte {
        /// Which request of the connection, counted from 1.
        request: u64,
        /// Which byte of that request, counted from 0.
        offset: usize,
        /// What was sent.
        expected: u8,
        /// What came back.
        found: u8,
        /// What the server seems to speak instead, if its first bytes tell.
        hint: Option<Spoken>,
    },
    /// A datagram whose size differs from the size that was sent.
    Size {
        /// What was sent, in bytes.
        expected: usize,
        /// What came back.
        found: usize,
    },
    /// More bytes arrived than were requested.
    Surplus,
    /// A reply of a `--message` that differs from the first one.
    Other {
        /// The size of the reply in bytes.
        found: u64,
        /// The size of the first reply.
        first: u64,
    },
    /// A datagram that has not the length of `--expect N`.
    Length {
        /// The size of the datagram in bytes.
        found: u64,
        /// The size that was asked for.
        asked: u64,
    },
    /// A reply of a `--message` that is not a frame of the framing.
    Frame(FrameError),
    /// Bytes that are not a usable HTTP reply.
    Http(HttpError),
}

impl Wrong {
    /// Whether both are of one kind, whatever the positions and the sizes.
    pub fn is_like(&self, other: &Wrong) -> bool {
        use std::mem::discriminant;
        match (self, other) {
            (Wrong::Http(one), Wrong::Http(other)) => discriminant(one) == discriminant(other),
            (Wrong::Frame(one), Wrong::Frame(other)) => discriminant(one) == discriminant(other),
            (one, other) => discriminant(one) == discriminant(other),
        }
    }

    /// Whether the reply is complete, so that the next one on this connection can still be read.
    pub fn leaves_framing(&self) -> bool {
        matches!(
            self,
            Wrong::Other { .. } | Wrong::Length { .. } | Wrong::Http(HttpError::Other { .. })
        )
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Byte {
                request,
                offset,
                expected,
                found,
                hint,
            } => {
                write!(
                    f,
                    "wrong reply: byte {offset} of request {request} is {found:#04x}, \
                     sent was {expected:#04x}"
                )?;
                match hint {
                    Some(hint) => write!(f, "; {hint}"),
                    None => Ok(()),
                }
            }
            Wrong::Size { expected, found } => write!(
                f,
                "wrong reply: a datagram of {found} bytes, sent were {expected}"
            ),
            Wrong::Surplus => f.write_str("more came back than was sent"),
            Wrong::Other { found, first } => write!(
                f,
                "wrong reply: {found} bytes that are not the first one's {first}"
            ),
            Wrong::Length { found, asked } => write!(
                f,
                "wrong reply: a datagram of {found} bytes, --expect is {asked}"
            ),
            Wrong::Frame(error) => write!(f, "the reply is no frame: {error}"),
            Wrong::Http(error) => error.fmt(f),
        }
    }
}

/// Another protocol, recognised by the first bytes of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP, by the beginning of its status line.
    Http,
    /// Another protocol that `framing` knows.
    Known(Hint),
}

impl Spoken {
    /// What begins with `bytes`.
    pub fn of(bytes: &[u8]) -> Option<Spoken> {
        match bytes.starts_with(b"HTTP/") {
            true => Some(Spoken::Http),
            false => Hint::beside_http(bytes).map(Spoken::Known),
        }
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spoken::Http => f.write_str("the server speaks HTTP, give --protocol http"),
            Spoken::Known(hint) => hint.fmt(f),
        }
    }
}
