//! Byte classes of HTTP: the bytes of a token, and tables of other classes.
//!
//! Neighbours: `service::http`, which checks methods, names and targets with them. RFC 9110, 5.6.2;
//! RFC 3986, 2.

use crate::base::find::find_byte;

/// Whether these bytes are a token (RFC 9110, 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_size(bytes) == bytes.len()
}

/// How many bytes at the front belong to a token.
pub(crate) fn token_size(bytes: &[u8]) -> usize {
    const TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");
    let other = bytes.iter().position(|byte| !TOKEN[usize::from(*byte)]);
    other.unwrap_or(bytes.len())
}

/// Whether all of `bytes` are in `table`.
pub(crate) fn are_all(table: &[bool; 256], bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| table[usize::from(*byte)])
}

/// The parts before and after the first `byte`.
#[inline]
pub(crate) fn split_at_byte(line: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = find_byte(line, byte)?;
    Some((&line[..at], &line[at + 1..]))
}

/// A table of letters, digits, and `others`.
pub(crate) const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}
