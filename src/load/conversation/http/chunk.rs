//! The bytes between the chunks of a chunked body: the end of a chunk, and the size line of the
//! next one.
//!
//! ```text
//!   5 ; name = value CR LF   h e l l o   CR LF   0 CR LF   name: value CR LF   CR LF
//!   size, extension          chunk       end     last      trailer, read by lines in `http`
//! ```
//!
//! The parser takes one byte at a time and stores only the number. A size may have any number of
//! leading zeros, and an extension may have any length (`http` bounds the line). Source: RFC 9112,
//! 7.1.

use super::HttpError;
use crate::protocol::http::NumberError;
use crate::protocol::http::chunk::with_digit;

/// The position of the next byte between two chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seam {
    /// The CR after a chunk.
    Cr,
    /// The LF after that CR.
    Lf,
    /// The first digit of a size.
    First,
    /// Another digit, or the byte that ends the size.
    Size(u64),
    /// Blanks after the size. Some servers pad the size with them.
    Blank(u64),
    /// A chunk extension, which is ignored.
    Extension(u64),
    /// The LF at the end of the size line.
    SizeLf(u64),
    /// The start of a chunk of this many bytes.
    Chunk(u64),
}

impl Seam {
    /// The position after the byte `found`.
    pub(super) fn after(self, found: u8) -> Result<Seam, HttpError> {
        match (self, found) {
            (Seam::Cr, b'\r') => Ok(Seam::Lf),
            (Seam::Lf, b'\n') => Ok(Seam::First),
            (Seam::Cr | Seam::Lf, _) => Err(HttpError::ChunkEnd { found }),
            (Seam::First, _) => Seam::digit(0, found),
            (Seam::Size(size) | Seam::Blank(size) | Seam::Extension(size), b'\r') => {
                Ok(Seam::SizeLf(size))
            }
            (Seam::Size(_) | Seam::Blank(_) | Seam::Extension(_), b'\n') => {
                Err(HttpError::ChunkLine { found })
            }
            (Seam::Size(size) | Seam::Blank(size), b';') => Ok(Seam::Extension(size)),
            (Seam::Size(size) | Seam::Blank(size), b' ' | b'\t') => Ok(Seam::Blank(size)),
            (Seam::Size(size), _) => Seam::digit(size, found),
            (Seam::Blank(_), _) => Err(HttpError::ChunkSize { found }),
            (Seam::Extension(size), _) => Ok(Seam::Extension(size)),
            (Seam::SizeLf(size), b'\n') => Ok(Seam::Chunk(size)),
            (Seam::SizeLf(_), _) => Err(HttpError::ChunkLine { found }),
            (Seam::Chunk(_), _) => unreachable!("a chunk's own bytes are no seam"),
        }
    }

    fn digit(size: u64, found: u8) -> Result<Seam, HttpError> {
        match with_digit(size, found) {
            Ok(size) => Ok(Seam::Size(size)),
            Err(NumberError::NoDigit) => Err(HttpError::ChunkSize { found }),
            Err(NumberError::TooLarge) => Err(HttpError::ChunkOverflow),
        }
    }
}
