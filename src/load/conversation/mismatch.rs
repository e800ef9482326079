//! The ways in which a reply can be wrong, and their messages.
//!
//! Each variant is one difference that `connection` finds between the received and the expected
//! bytes. A wrong byte is reported with its request and its offset, so that the line alone is
//! enough to find the mistake in the server.

use std::fmt;

use super::http::HttpError;

/// The result of receiving some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Heard {
    /// Correct replies that ended in these bytes.
    pub answers: u32,
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
    /// Bytes that are not a usable HTTP reply.
    Http(HttpError),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Byte {
                request,
                offset,
                expected,
                found,
            } => write!(
                f,
                "wrong reply: byte {offset} of request {request} is {found:#04x}, \
                 sent was {expected:#04x}"
            ),
            Wrong::Size { expected, found } => write!(
                f,
                "wrong reply: a datagram of {found} bytes, sent were {expected}"
            ),
            Wrong::Surplus => f.write_str("more came back than was sent"),
            Wrong::Http(error) => error.fmt(f),
        }
    }
}
