//! Hex, input and output: two digits per byte.
//!
//! In the input each line is one arrival, and blanks between bytes are ignored. A line may be
//! longer than the memory: it is read digit by digit and arrives in several pieces.

use std::io::{self, BufRead, Write};

use super::{Arrivals, DecodeError};

/// Lines of hex digits.
#[derive(Debug)]
pub struct HexLines<R> {
    input: io::Bytes<R>,
    /// The number of the current line, from 1.
    line: u64,
}

impl<R: BufRead> HexLines<R> {
    /// Reads lines of hex from `input`.
    pub fn new(input: R) -> HexLines<R> {
        HexLines {
            input: input.bytes(),
            line: 1,
        }
    }

    /// The next byte of the input text.
    fn byte(&mut self) -> Result<Option<u8>, DecodeError> {
        self.input.next().transpose().map_err(DecodeError::Input)
    }

    fn error(&self, why: &'static str) -> DecodeError {
        DecodeError::Hex(self.line, why)
    }
}

impl<R: BufRead> Arrivals for HexLines<R> {
    fn next(&mut self, space: &mut [u8]) -> Result<Option<usize>, DecodeError> {
        let mut filled = 0;
        while filled < space.len() {
            let high = match self.byte()? {
                None => return Ok((filled > 0).then_some(filled)),
                Some(b'\n') => {
                    self.line += 1;
                    return Ok(Some(filled));
                }
                Some(b' ' | b'\t' | b'\r') => continue,
                Some(byte) => byte,
            };
            let Some(high) = digit(high) else {
                return Err(self.error("not a hex digit"));
            };
            let Some(low) = self.byte()?.and_then(digit) else {
                return Err(self.error("a byte is two hex digits"));
            };
            space[filled] = high << 4 | low;
            filled += 1;
        }
        Ok(Some(filled))
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Writes `bytes` as lower-case digits without separators.
pub(super) fn write(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 512];
    for piece in bytes.chunks(text.len() / 2) {
        for (two, byte) in text.chunks_exact_mut(2).zip(piece) {
            two.copy_from_slice(&[
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
        output.write_all(&text[..2 * piece.len()])?;
    }
    Ok(())
}
