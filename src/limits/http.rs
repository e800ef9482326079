//! Bounds of a request of HTTP that the server reads.
//!
//! A bound ends the connection with the status that names it: 414, 431, 413 or 400. The bounds of
//! the replies that the load generator reads are in `load`. RFC 9112.

use super::{KIB, MIB};

/// Longest request line of HTTP. RFC 9112, 3 recommends to support at least 8000 bytes.
pub const HTTP_REQUEST_LINE_MAX: usize = 8 * KIB;
/// Longest head of an HTTP request, including its request line, and longest trailer of a chunked
/// body: a little more than a browser sends with all its cookies.
pub const HTTP_HEAD_MAX: usize = 16 * KIB;
/// Longest body of an HTTP request. The body is read and dropped, so this bounds time and not
/// memory.
pub const HTTP_BODY_MAX: u64 = MIB as u64;
/// Longest line in front of a chunk, including its extensions, which are hardly used.
pub const HTTP_CHUNK_LINE_MAX: usize = 256;
