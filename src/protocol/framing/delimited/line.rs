//! Lines: a line feed ends a message. A carriage return before it belongs to the end.
//!
//! ```text
//!   frame     "hello" 0A        "hello" 0D 0A      a reply ends as its request did
//!             |payload|         |payload|
//! ```
//!
//! The limit counts the payload. A peer that never ends its line is refused one byte past the
//! limit, without waiting for an end. A carriage return elsewhere is data, and so is NUL. Bytes
//! after the last line feed of a stream are truncated, as in every other framing: half a command
//! cannot be told from a whole one.

use std::ops::RangeInclusive;

use crate::base::find::find_byte;
use crate::protocol::framing::{Bounds, Decode, Decoded, FrameError, Overhead};

/// Lines that end with LF or CR LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    limit: usize,
}

const CRLF: &[u8] = b"\r\n";

impl Line {
    /// Lines of at most `limit` bytes, not counting the line end.
    pub fn limited(limit: usize) -> Line {
        Line { limit }
    }
}

impl Decode for Line {
    fn decode(&self, bytes: &[u8], scanned: usize) -> Decoded {
        let reach = bytes.len().min(self.limit.saturating_add(CRLF.len()));
        let line_feed = find_byte(&bytes[scanned..reach], b'\n').map(|at| scanned + at);
        let text = &bytes[..line_feed.unwrap_or(reach)];
        let payload_end = text.strip_suffix(b"\r").unwrap_or(text).len();
        match line_feed {
            _ if payload_end > self.limit => Decoded::Wrong(FrameError::Endless {
                limit: self.limit as u64,
            }),
            Some(line_feed) => Decoded::Frame(Bounds {
                frame: line_feed + 1,
                payload: 0,
                payload_end,
            }),
            None => Decoded::Incomplete { scanned: reach },
        }
    }

    fn skip(&self, left: u64, bytes: &[u8]) -> Result<(usize, u64), FrameError> {
        Ok(match find_byte(bytes, b'\n') {
            Some(line_feed) => (line_feed + 1, 0),
            None => (bytes.len(), left),
        })
    }

    fn overhead(&self) -> Overhead {
        Overhead {
            front: 0,
            back: CRLF.len(),
        }
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        0..=self.limit
    }

    fn encode(
        &self,
        request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        self.check_size(payload)?;
        let end: &[u8] = if request.ends_with(CRLF) { CRLF } else { b"\n" };
        let frame = payload + end.len();
        space[payload..frame].copy_from_slice(end);
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line { limit: 4 };

    fn frame(frame: usize, payload_end: usize) -> Decoded {
        Decoded::Frame(Bounds {
            frame,
            payload: 0,
            payload_end,
        })
    }

    #[test]
    fn a_line_ends_with_lf_or_crlf_and_with_nothing_else() {
        for (bytes, decoded) in [
            (b"ab\ncd\n".as_slice(), frame(3, 2)),
            (b"ab\r\n", frame(4, 2)),
            (b"\n", frame(1, 0)),
            (b"\r\n", frame(2, 0)),
            (b"a\rb\n", frame(4, 3)),
            (b"ab\r\r\n", frame(5, 3)),
            (b"\0\0\n", frame(3, 2)),
            (b"ab\r", Decoded::Incomplete { scanned: 3 }),
        ] {
            assert_eq!(LINE.decode(bytes, 0), decoded, "{bytes:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_payload_alone_and_waits_for_no_end() {
        let endless = Decoded::Wrong(FrameError::Endless { limit: 4 });
        for (bytes, decoded) in [
            (b"abc\n".as_slice(), frame(4, 3)),
            (b"abcd\n", frame(5, 4)),
            (b"abcd\r\n", frame(6, 4)),
            (b"abcd", Decoded::Incomplete { scanned: 4 }),
            // The CR may still be the first byte of a line end.
            (b"abcd\r", Decoded::Incomplete { scanned: 5 }),
            (b"abcde", endless),
            (b"abcd\r\r", endless),
            (b"abcde\n", endless),
            (b"abcdefghijkl\n", endless),
        ] {
            assert_eq!(LINE.decode(bytes, 0), decoded, "{bytes:?}");
        }
    }

    #[test]
    fn a_reply_ends_as_its_request_did() {
        for (request, reply) in [
            (b"a\n".as_slice(), b"xyz\n".as_slice()),
            (b"a\r\n", b"xyz\r\n"),
            (b"", b"xyz\n"),
        ] {
            let mut space = *b"xyz..";
            let encoded = LINE.encode(request, &mut space, 3);
            assert_eq!(encoded, Ok(reply.len()));
            assert_eq!(&space[..reply.len()], reply);
        }
    }

    #[test]
    fn the_limit_holds_for_a_reply_too() {
        assert_eq!(LINE.encode(b"", &mut [0; 6], 4), Ok(5));
        let error = FrameError::TooLong { frame: 5, limit: 4 };
        assert_eq!(LINE.encode(b"", &mut [0; 7], 5), Err(error));
    }
}
