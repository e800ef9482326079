//! Why bytes are not a reply that can be followed, and how it is told.

use std::fmt;

use crate::limits::LOAD_HEAD_MAX;

use super::super::page::Page;

/// What of a reply is no body, and is not waited for without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All up to its body, the interim replies before it included.
    Head,
    /// The line that tells the size of a chunk.
    ChunkLine,
    /// What comes behind the last chunk.
    Trailer,
}

/// Why bytes are not a reply that can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The first line is not a status line of HTTP/1.
    NotHttp,
    /// A status that is neither 2xx nor an interim one, or a change of the protocol.
    Status(u16),
    /// `Content-Length` is not a number, or there are two that differ.
    BadLength,
    /// Blanks before the colon of a field that tells where the reply ends.
    FieldName,
    /// A `Transfer-Encoding` other than `chunked`.
    Coding,
    /// A byte in a chunk's size that is no hexadecimal digit.
    ChunkSize {
        /// That byte.
        found: u8,
    },
    /// A chunk's size that does not fit.
    ChunkOverflow,
    /// The line of a chunk's size does not end with CR LF.
    ChunkLine {
        /// What stands there.
        found: u8,
    },
    /// A chunk does not end with CR LF where its size says.
    ChunkEnd {
        /// What stands there.
        found: u8,
    },
    /// A part of more than [`LOAD_HEAD_MAX`] bytes.
    TooLong(Part),
    /// Another status or another body than the first reply's.
    Other {
        /// What came.
        found: Page,
        /// What came first.
        first: Page,
    },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::NotHttp => f.write_str("the reply is not HTTP/1"),
            HttpError::Status(status) => {
                write!(f, "the reply has status {status}, wanted is 2xx")
            }
            HttpError::BadLength => {
                f.write_str("the reply's Content-Length is not a number, or not the same twice")
            }
            HttpError::FieldName => f.write_str(
                "the reply has blanks before the colon of a field that tells where it ends",
            ),
            HttpError::Coding => f.write_str(
                "the reply's Transfer-Encoding is not chunked alone, and no other is supported",
            ),
            HttpError::ChunkSize { found } => write!(
                f,
                "the reply has a chunk size with {found:#04x}, which is no hexadecimal digit"
            ),
            HttpError::ChunkOverflow => {
                f.write_str("the reply has a chunk size that does not fit 64 bits")
            }
            HttpError::ChunkLine { found } => write!(
                f,
                "the reply has {found:#04x} where CR LF must end the line of a chunk size"
            ),
            HttpError::ChunkEnd { found } => {
                write!(f, "the reply has {found:#04x} where CR LF must end a chunk")
            }
            HttpError::TooLong(part) => {
                let part = match part {
                    Part::Head => "head",
                    Part::ChunkLine => "line of a chunk size",
                    Part::Trailer => "trailer",
                };
                write!(
                    f,
                    "the {part} of the reply is longer than {LOAD_HEAD_MAX} bytes"
                )
            }
            HttpError::Other { found, first } => found.tell_from(first, f),
        }
    }
}
