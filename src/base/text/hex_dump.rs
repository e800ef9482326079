//! Bytes as rows of hex and text, in the layout of `hexdump -C`.
//!
//! ```text
//! 00000000  68 65 6c 6c 6f 0a                                 |hello.|
//! offset    16 bytes, with a gap behind the eighth            the same as text
//! ```
//!
//! In the text a byte that is no printable ASCII is a point. Each row ends with a line feed, except
//! the last one. Nothing is allocated: the rows go straight to their writer. See hexdump(1).

use std::fmt::{self, Write};
use std::str;

/// Bytes of a row.
pub const ROW: usize = 16;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Columns of the hex part: three for each byte, and one for the gap.
const COLUMNS: usize = 3 * ROW + 1;

/// Displays `bytes` as rows. The first one is at `offset`.
#[derive(Clone, Copy, Debug)]
pub struct HexDump<'a> {
    /// Where the bytes begin in what they are a part of.
    pub offset: usize,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl fmt::Display for HexDump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.bytes.chunks(ROW).enumerate() {
            if number > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{:08x}  ", self.offset + number * ROW)?;
            f.write_str(text_of(&hex(row)))?;
            f.write_str(" |")?;
            f.write_str(text_of(&printable(row)[..row.len()]))?;
            f.write_char('|')?;
        }
        Ok(())
    }
}

fn hex(row: &[u8]) -> [u8; COLUMNS] {
    let mut columns = [b' '; COLUMNS];
    for (place, byte) in row.iter().enumerate() {
        let at = 3 * place + usize::from(place >= ROW / 2);
        columns[at] = DIGITS[usize::from(byte >> 4)];
        columns[at + 1] = DIGITS[usize::from(byte & 15)];
    }
    columns
}

fn printable(row: &[u8]) -> [u8; ROW] {
    let mut text = [b'.'; ROW];
    for (letter, byte) in text.iter_mut().zip(row) {
        if matches!(byte, b' '..=b'~') {
            *letter = *byte;
        }
    }
    text
}

/// The rows are made of ASCII alone.
fn text_of(ascii: &[u8]) -> &str {
    str::from_utf8(ascii).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(offset: usize, bytes: &[u8]) -> String {
        HexDump { offset, bytes }.to_string()
    }

    #[test]
    fn a_short_row_has_its_text_in_the_column_of_a_whole_one() {
        assert_eq!(
            dump(0, b"hello\n"),
            "00000000  68 65 6c 6c 6f 0a                                 |hello.|"
        );
        assert_eq!(
            dump(0, b"0123456789abcdef"),
            "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|"
        );
        assert_eq!(dump(0, b""), "");
    }

    #[test]
    fn a_row_has_sixteen_bytes_and_the_next_one_the_next_offset() {
        for (length, rows) in [(15, 1), (16, 1), (17, 2), (32, 2), (33, 3)] {
            let text = dump(0x1230, &vec![b'x'; length]);
            assert_eq!(text.lines().count(), rows, "{length}");
            for (number, line) in text.lines().enumerate() {
                let offset = format!("{:08x}  78 ", 0x1230 + 16 * number);
                assert!(line.starts_with(&offset), "{line}");
                assert_eq!(line.find('|'), Some(60), "{line}");
            }
        }
    }

    #[test]
    fn a_byte_that_does_not_print_is_a_point() {
        let text = dump(0, b"\x00\x1f ~\x7f\x80\xff|");
        assert!(text.ends_with("|.. ~...||"), "{text}");
    }
}
