//! Messages that end with bytes which are not part of them: a line feed or a delimiter.
//!
//! ```text
//!   line    a line feed, with a carriage return before it or without
//!   short   a delimiter of 1 to 8 bytes, compared anew at each place where it may begin
//!   long    a delimiter of 9 to 64 bytes, searched without comparing a byte more than twice
//! ```
//!
//! [`Ending`] has what the two delimiters share: their bytes, the limit, and how a reply ends.
//! Invariant: a limit counts the payload and not what ends it.

mod line;
mod long;
mod short;

use std::fmt;

use super::{FrameError, Framing, Overhead};
use crate::limits::{DELIMITER_MAX, DELIMITER_SHORT_MAX};

pub use line::Line;
pub use long::LongDelimiter;
pub use short::Delimiter;

/// Parses a delimiter, short or long, from hexadecimal digits.
pub(super) fn parse(digits: &str) -> Result<Framing, String> {
    let whole = digits.len() % 2 == 0 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !whole || !(1..=DELIMITER_MAX).contains(&(digits.len() / 2)) {
        return Err(format!(
            "the delimiter must be 1 to {DELIMITER_MAX} bytes in hexadecimal, such as 0d0a"
        ));
    }
    let mut bytes = Vec::new();
    for at in (0..digits.len()).step_by(2) {
        let byte = u8::from_str_radix(&digits[at..at + 2], 16);
        bytes.push(byte.map_err(|why| why.to_string())?);
    }
    Ok(match bytes.len() {
        ..=DELIMITER_SHORT_MAX => Framing::Delimiter(Delimiter::new(&bytes)),
        _ => Framing::LongDelimiter(LongDelimiter::new(&bytes)),
    })
}

/// The delimiter behind each message, of at most `MAX` bytes, and the largest message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ending<const MAX: usize> {
    bytes: [u8; MAX],
    length: usize,
    limit: usize,
}

impl<const MAX: usize> Ending<MAX> {
    /// A delimiter of 1 to `MAX` bytes behind messages of any size.
    fn new(delimiter: &[u8]) -> Ending<MAX> {
        let mut bytes = [0; MAX];
        bytes[..delimiter.len()].copy_from_slice(delimiter);
        Ending {
            bytes,
            length: delimiter.len(),
            limit: usize::MAX,
        }
    }

    /// The same delimiter behind messages of at most `limit` bytes.
    fn limited(self, limit: usize) -> Ending<MAX> {
        Ending { limit, ..self }
    }

    fn delimiter(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// How many of `count` bytes matter: behind the largest message and its delimiter, none does.
    fn reach(&self, count: usize) -> usize {
        count.min(self.limit.saturating_add(self.length))
    }

    /// The error of a message that has not ended within the limit.
    fn endless(&self) -> FrameError {
        FrameError::Endless {
            limit: self.limit as u64,
        }
    }

    fn overhead(&self) -> Overhead {
        Overhead {
            front: 0,
            back: self.length,
        }
    }

    /// Puts the delimiter behind a payload, which lies at the front of `space` and is not over the
    /// limit. Returns the length of the frame.
    fn append(&self, space: &mut [u8], payload: usize) -> usize {
        let frame = payload + self.length;
        space[payload..frame].copy_from_slice(self.delimiter());
        frame
    }
}

/// The form that [`parse`] reads.
impl<const MAX: usize> fmt::Display for Ending<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("delim:")?;
        let mut bytes = self.delimiter().iter();
        bytes.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
