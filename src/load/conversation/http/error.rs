//! Why bytes are not a usable HTTP reply, and the messages.

use std::fmt;

use crate::limits::LOAD_HEAD_MAX;

use super::super::page::Page;

/// The parts of a reply outside the body. Each has a size limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All bytes before the body, including interim replies.
    Head,
    /// The size line of a chunk.
    ChunkLine,
    /// The bytes after the last chunk.
    Trailer,
}

/// Why bytes are not a usable HTTP reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The first line is not a status line of HTTP/1.
    NotHttp,
    /// A status that answers no request: a protocol switch (101), one that does not exist, or 408
    /// on a connection that was idle.
    Status(u16),
    /// `Content-Length` is not a number, or appears twice with different values.
    BadLength,
    /// Blanks before the colon of a field that decides where the reply ends.
    FieldName,
    /// A `Transfer-Encoding` other than `chunked`.
    Coding,
    /// A byte in a chunk size that is not a hexadecimal digit.
    ChunkSize {
        /// The unexpected byte.
        found: u8,
    },
    /// A chunk size that does not fit into 64 bits.
    ChunkOverflow,
    /// A chunk's size line does not end with CR LF.
    ChunkLine {
        /// The byte in that place.
        found: u8,
    },
    /// A chunk does not end with CR LF at the place that its size gives.
    ChunkEnd {
        /// The byte in that place.
        found: u8,
    },
    /// A part of more than [`LOAD_HEAD_MAX`] bytes.
    TooLong(Part),
    /// The status or the body differs from the first reply's.
    Other {
        /// The page that arrived.
        found: Page,
        /// The first page of the run.
        first: Page,
    },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::NotHttp => f.write_str("the reply is not HTTP/1"),
            HttpError::Status(status) => {
                write!(f, "the reply has status {status}, which answers no request")
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
