//! What can be wrong with a reply, and how it is told.
//!
//! A kind for each way in which `connection` finds that what came back is not what had to come
//! back; a byte is named by its request and place, so that a server's mistake can be found from the
//! line alone.

use std::fmt;

use super::http::HttpError;

/// What some bytes brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Heard {
    /// Replies that ended in them, as they had to.
    pub answers: u32,
    /// What is wrong with the bytes behind those.
    pub wrong: Option<Wrong>,
}

/// A reply that is not the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Another byte than the one that was sent.
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
    /// A datagram of another size than the one that was sent.
    Size {
        /// What was sent, in bytes.
        expected: usize,
        /// What came back.
        found: usize,
    },
    /// More came than was asked for.
    Surplus,
    /// Not a reply in HTTP that can be followed.
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
