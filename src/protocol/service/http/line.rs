//! Where a line of HTTP ends: at its first control byte, which must be the CR of CR LF.
//!
//! One scan finds the end and every byte that a line must not contain: a NUL, or a CR or an LF
//! alone, which servers treat differently (RFC 9112, 2.2). Each byte is scanned once, however the
//! line is cut. A line that is too long is refused before its end has arrived.

use super::head::METHOD_NOT_IMPLEMENTED;
use super::{Refusal, Stage};
use crate::base::find::find_byte;
use crate::limits::{HTTP_CHUNK_LINE_MAX, HTTP_HEAD_MAX, HTTP_REQUEST_LINE_MAX};

const URI_TOO_LONG: Refusal = Refusal {
    status: "414 URI Too Long",
    reason: "the request line is too long",
};
const FIELDS_TOO_LARGE: Refusal = Refusal {
    status: "431 Request Header Fields Too Large",
    reason: "the head is too long",
};

/// How far the lines of a head have been read.
#[derive(Debug, Default)]
pub(super) struct HeadLines {
    /// Bytes of the next line that were scanned without finding its end.
    scanned: usize,
    /// Bytes of all lines so far.
    size: usize,
}

impl HeadLines {
    /// The line at the front of `bytes`, without its end; `None` if its end has not arrived.
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        bytes: &'a [u8],
        stage: Stage,
    ) -> Result<Option<&'a [u8]>, Refusal> {
        // If there is little room for replies, the caller may pass fewer bytes than last time.
        let scanned = self.scanned.min(bytes.len());
        let end = scanned + plain(&bytes[scanned..]);
        let size = self.size + end + "\r\n".len();
        match stage {
            // RFC 9112, 3: a method longer than all known methods gets 501.
            Stage::RequestLine if end > HTTP_REQUEST_LINE_MAX => {
                return Err(match find_byte(&bytes[..end], b' ') {
                    Some(_) => URI_TOO_LONG,
                    None => METHOD_NOT_IMPLEMENTED,
                });
            }
            Stage::ChunkLine if end > HTTP_CHUNK_LINE_MAX => {
                return Err(Refusal::bad("a chunk extension is too long"));
            }
            Stage::ChunkEnd if end > 0 => {
                return Err(Refusal::bad("a chunk is longer than its size"));
            }
            Stage::RequestLine | Stage::Field | Stage::Trailer if size > HTTP_HEAD_MAX => {
                return Err(FIELDS_TOO_LARGE);
            }
            _ => {}
        }
        match bytes[end..] {
            [] | [b'\r'] => {
                self.scanned = end;
                Ok(None)
            }
            [b'\r', b'\n', ..] => {
                self.scanned = 0;
                self.size = size;
                Ok(Some(&bytes[..end]))
            }
            [b'\r', ..] => Err(Refusal::bad("a CR without its LF")),
            [b'\n', ..] => Err(Refusal::bad("an LF without its CR")),
            _ => Err(Refusal::bad("a control byte")),
        }
    }

    /// Starts over for lines with a limit of their own.
    pub(super) fn restart(&mut self) {
        *self = HeadLines::default();
    }
}

/// How many bytes come before the first control byte. A tab is not a control byte here.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk() {
        let found = controls(u64::from_le_bytes(*word));
        at += found.trailing_zeros() as usize / 8;
        if found != 0 {
            if bytes[at] != b'\t' {
                return at;
            }
            at += 1;
        }
    }
    let rest = bytes[at..].iter();
    at + rest
        .take_while(|byte| **byte == b'\t' || !byte.is_ascii_control())
        .count()
}

/// Sets the high bit of the lowest control byte in `word`, and maybe of bytes above it; 0 if there
/// is no control byte (H. S. Warren, "Hacker's Delight", 6-1).
#[inline]
fn controls(word: u64) -> u64 {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below_blank = word.wrapping_sub(LOW_BITS * 0x20) & !word;
    let apart = word ^ (LOW_BITS * 0x7f);
    let delete = apart.wrapping_sub(LOW_BITS) & !apart;
    (below_blank | delete) & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_stops_at_any_control_byte_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let control = byte != b'\t' && byte.is_ascii_control();
            for at in 0..40 {
                let mut bytes = [b'x'; 40];
                bytes[at] = byte;
                assert_eq!(plain(&bytes), if control { at } else { 40 }, "{byte:#x}");
            }
        }
    }

    #[test]
    fn scanned_bytes_are_not_scanned_again() {
        let mut lines = HeadLines::default();
        assert_eq!(lines.next(b"Host: x\r", Stage::Field), Ok(None));
        assert_eq!(lines.scanned, 7);
        let line = lines.next(b"Host: x\r\nrest", Stage::Field);
        assert_eq!(line, Ok(Some(&b"Host: x"[..])));
        assert_eq!((lines.scanned, lines.size), (0, 9));
    }

    #[test]
    fn fewer_bytes_than_already_scanned_are_incomplete() {
        let mut lines = HeadLines::default();
        assert_eq!(lines.next(b"Host: x", Stage::Field), Ok(None));
        assert_eq!(lines.next(b"Host", Stage::Field), Ok(None));
        let line = lines.next(b"Host: x\r\n", Stage::Field);
        assert_eq!(line, Ok(Some(&b"Host: x"[..])));
    }
}
