//! The grammar of HTTP/1.1 that a server and a client share: tokens, lists, numbers.
//!
//! Both sides read the same elements and judge them differently, so the parsers stay apart. The
//! server has whole lines in its buffer and refuses what two servers could read in two ways. The
//! client of the load generator takes pieces of any size, keeps the front of a line only, and
//! accepts what browsers accept. Neither knows where the bytes come from. Neighbours:
//! `service::http` and `load::conversation::http`. RFC 9110, 5.6; RFC 9112, 6.2 and 7.1.

pub(crate) mod chunk;
pub(crate) mod field;
pub(crate) mod token;

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// It has a byte that is no digit, or no byte.
    NoDigit,
    /// It does not fit into 64 bits.
    TooLarge,
}
