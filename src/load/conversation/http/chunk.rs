//! What lies between the bytes of a chunked body: the end of a chunk, and the line that tells the
//! size of the next.
//!
//! ```text
//!   5 ; name = value CR LF   h e l l o   CR LF   0 CR LF   name: value CR LF   CR LF
//!   size, extension          chunk       end     last      trailer, read by lines in `http`
//! ```
//!
//! One byte at a time, and nothing is kept but the number: a size may have any zeros in front, and
//! an extension any length. Source: RFC 9112, 7.1.

use super::HttpError;

/// Where between two chunks the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seam {
    /// The CR behind a chunk.
    Cr,
    /// The LF behind it.
    Lf,
    /// The first digit of a size.
    First,
    /// Another digit, or what ends the size so far.
    Size(u64),
    /// Blanks behind the size. Some servers pad it, which changes nothing.
    Blank(u64),
    /// An extension, which nobody needs to know.
    Extension(u64),
    /// The LF of the size's line.
    SizeLf(u64),
    /// A chunk of so many bytes begins.
    Chunk(u64),
}

impl Seam {
    /// Where the byte behind `found` stands.
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
        let digit = char::from(found).to_digit(16);
        let digit = digit.ok_or(HttpError::ChunkSize { found })?;
        let grown = size.checked_mul(16).map(|size| size | u64::from(digit));
        grown.map(Seam::Size).ok_or(HttpError::ChunkOverflow)
    }
}
