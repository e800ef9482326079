//! Parses HTTP/1.1 replies in pieces of any size, counts them, and compares each reply with the
//! first one.
//!
//! The parser checks only what a benchmark needs to stay in step. A reply of any status is an
//! answer; interim replies (1xx) are skipped, and 101 is an error. The end of the body follows RFC
//! 9112, 6.3: at once for a status without a body or after HEAD, with the last chunk, after
//! `Content-Length` bytes, or with the connection. `chunked` overrides `Content-Length`. Any other
//! transfer coding is an error.
//!
//! ```text
//!   Status -> Header -+-> Body ------------------------+-> Status, or over
//!      ^        |1xx  +-> Seam <-> Chunk, then Trailer +
//!      +--------+     +-> UntilEnd --------------------+
//! ```
//!
//! Equal requests must have equal replies: a body of status 2xx must be that of the first reply to
//! this URL, on any connection, if both have the same status (`page`). Error pages and redirects
//! are not compared. The chunk sizes may differ. Lines are copied into a small fixed buffer;
//! longer lines are cut. Head, chunk line and trailer have a size limit. A reply may be the last
//! one of its connection (9.3, 9.6); bytes after such a reply are ignored.

mod chunk;
mod error;
pub mod request;
#[cfg(test)]
mod tests;

use crate::limits::LOAD_HEAD_MAX;
use crate::protocol::http::field::{decimal, elements};

use super::mismatch::{Heard, Wrong};
use super::page::{Digest, FirstPage, Page};
use chunk::Seam;
pub use error::{HttpError, Part};

/// The part of a line that is stored. A length of 20 digits, a coding name, and some connection
/// options fit.
const LINE_MAX: usize = 56;

/// The first bytes of each reply.
const PREFIX: &[u8] = b"HTTP/1.";

/// The position of the next byte in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Status,
    Header,
    Body { left: u64 },
    Chunk { left: u64 },
    Seam(Seam),
    Trailer,
    UntilEnd,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// By the end of the connection only.
    Unsaid,
    Bytes(u64),
    /// `Content-Length` is not valid.
    Bad,
    /// `Transfer-Encoding: chunked`, which overrides `Content-Length`.
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// What a reply says about the future of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Persistence {
    Unsaid,
    /// `Connection: keep-alive`
    Kept,
    /// `Connection: close`, which overrides `keep-alive`.
    Closed,
}

/// The replies of one connection.
#[derive(Clone, Debug)]
pub struct Replies {
    at: At,
    status: u16,
    version: Version,
    length: Length,
    persistence: Persistence,
    /// Whether the last reply of the connection has ended.
    is_over: bool,
    line: [u8; LINE_MAX],
    /// Length of the current line so far; `line` holds its first bytes.
    used: usize,
    /// Size of the current [`Part`] so far.
    part_size: usize,
    digest: Digest,
    first: FirstPage,
    /// The URL of the next reply.
    url: usize,
    /// Whether the replies answer HEAD and have no body.
    is_bodiless: bool,
    /// Whether a request waits for the next reply.
    is_asked: bool,
    /// Whether a reply of this connection has ended.
    is_used: bool,
}

/// A server may send 408 on a connection that was idle, before it closes the connection (RFC 9110,
/// 15.5.9). Then it answers no request.
pub const REQUEST_TIMEOUT: u16 = 408;

impl Replies {
    /// Creates the state before the first byte. The run's first reply is stored in `first`.
    pub fn new(first: &FirstPage) -> Replies {
        Replies {
            at: At::Status,
            status: 0,
            version: Version::Http11,
            length: Length::Unsaid,
            persistence: Persistence::Unsaid,
            is_over: false,
            line: [0; LINE_MAX],
            used: 0,
            part_size: 0,
            digest: Digest::default(),
            first: FirstPage::clone(first),
            url: 0,
            is_bodiless: false,
            is_asked: true,
            is_used: false,
        }
    }

    /// The replies to HEAD, which have no body whatever their head says (RFC 9112, 6.3).
    pub fn without_bodies(self) -> Replies {
        Replies {
            is_bodiless: true,
            ..self
        }
    }

    /// Resets to the state before the first byte of a new connection, whose first request is for
    /// URL number `url`.
    pub fn restart(&mut self, url: usize) {
        (self.at, self.used, self.part_size) = (At::Status, 0, 0);
        (self.is_over, self.is_used) = (false, false);
        self.digest = Digest::default();
        self.url = url % self.first.urls();
    }

    /// Notes whether a request waits for the next reply.
    #[inline]
    pub fn ask(&mut self, is_asked: bool) {
        self.is_asked = is_asked;
    }

    /// Whether the server sends no more replies on this connection.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether a reply is incomplete that only the end of the connection completes.
    pub fn awaits_end(&self) -> bool {
        self.at == At::UntilEnd
    }

    /// Whether a reply is incomplete.
    pub fn is_mid_message(&self) -> bool {
        self.at != At::Status || self.part_size > 0
    }

    /// Parses `bytes` up to the end of a run, and returns the replies that ended. With `verify`,
    /// each page must equal the first one.
    pub fn received(&mut self, bytes: &[u8], verify: bool) -> Heard {
        let mut heard = Heard::default();
        let taken = self.take(bytes, verify, &mut heard);
        heard.wrong = taken.err().map(Wrong::Http);
        heard
    }

    fn take(&mut self, mut bytes: &[u8], verify: bool, heard: &mut Heard) -> Result<(), HttpError> {
        while !bytes.is_empty() && !self.is_over {
            let taken = match self.at {
                At::Status | At::Header | At::Trailer => self.take_line(bytes)?,
                At::Seam(seam) => {
                    let after = seam.after(bytes[0])?;
                    self.grow(1)?;
                    match after {
                        Seam::First => self.begin(At::Seam(after)),
                        Seam::Chunk(0) => self.begin(At::Trailer),
                        Seam::Chunk(left) => self.begin(At::Chunk { left }),
                        _ => self.at = At::Seam(after),
                    }
                    1
                }
                At::Body { left } => {
                    let taken = self.take_body(bytes, left, verify);
                    let left = left - taken as u64;
                    self.at = At::Body { left };
                    taken
                }
                At::Chunk { left } => {
                    let taken = self.take_body(bytes, left, verify);
                    self.at = match left - taken as u64 {
                        0 => At::Seam(Seam::Cr),
                        left => At::Chunk { left },
                    };
                    taken
                }
                At::UntilEnd => self.take_body(bytes, u64::MAX, verify),
            };
            bytes = &bytes[taken..];
            heard.taken += taken;
            if self.at == (At::Body { left: 0 }) {
                self.end(verify)?;
                if heard.answers == 0 {
                    heard.status = self.status;
                }
                heard.answers += 1;
                heard.last = self.status;
                if heard.last != heard.status {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Handles the end of the connection. Returns how many replies (0 or 1) ended with it.
    pub fn connection_ended(&mut self, verify: bool) -> Heard {
        if self.at != At::UntilEnd {
            return Heard::default();
        }
        let wrong = self.end(verify).err().map(Wrong::Http);
        self.is_over = true;
        Heard {
            answers: u32::from(wrong.is_none()),
            status: self.status,
            last: self.status,
            taken: 0,
            wrong,
        }
    }

    /// Ends the reply and compares it with the first one.
    fn end(&mut self, verify: bool) -> Result<(), HttpError> {
        self.at = At::Status;
        self.is_over = match (self.version, self.persistence) {
            (_, Persistence::Closed) | (Version::Http10, Persistence::Unsaid) => true,
            // The framing of a chunked HTTP/1.0 message is not reliable, so the connection must
            // close (6.1).
            (Version::Http10, Persistence::Kept) => self.length == Length::Chunked,
            (Version::Http11, _) => false,
        };
        let url = self.url;
        self.url = if url + 1 >= self.first.urls() {
            0
        } else {
            url + 1
        };
        self.is_used = true;
        if !verify {
            return Ok(());
        }
        let found = Page::new(self.status, std::mem::take(&mut self.digest));
        if !(200..300).contains(&self.status) {
            return Ok(());
        }
        let first = self.first.of(url, found);
        match first == found || first.status() != found.status() {
            true => Ok(()),
            false => Err(HttpError::Other { found, first }),
        }
    }

    /// Consumes up to `left` bytes of the body.
    fn take_body(&mut self, bytes: &[u8], left: u64, verify: bool) -> usize {
        let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if verify {
            self.digest.add(&bytes[..taken]);
        }
        taken
    }

    /// Consumes a line, or its next piece, and evaluates a complete line.
    fn take_line(&mut self, bytes: &[u8]) -> Result<usize, HttpError> {
        let line_end = bytes.iter().position(|&byte| byte == b'\n');
        let piece = &bytes[..line_end.unwrap_or(bytes.len())];
        let room = LINE_MAX.saturating_sub(self.used);
        let kept = &piece[..piece.len().min(room)];
        self.line[LINE_MAX - room..][..kept.len()].copy_from_slice(kept);
        self.used = self.used.saturating_add(piece.len());
        // A peer that speaks another protocol may never end a line.
        if self.at == At::Status && !self.may_be_http() {
            return Err(HttpError::NotHttp);
        }
        let taken = line_end.map_or(bytes.len(), |end| end + 1);
        self.grow(taken)?;
        match line_end {
            Some(_) => self.line_ended().map(|()| taken),
            None => Ok(taken),
        }
    }

    /// Adds `count` bytes to the part, and checks the limit.
    fn grow(&mut self, count: usize) -> Result<(), HttpError> {
        self.part_size = self.part_size.saturating_add(count);
        match self.at {
            _ if self.part_size <= LOAD_HEAD_MAX => Ok(()),
            At::Trailer => Err(HttpError::TooLong(Part::Trailer)),
            At::Seam(_) => Err(HttpError::TooLong(Part::ChunkLine)),
            _ => Err(HttpError::TooLong(Part::Head)),
        }
    }

    /// Starts the next part.
    fn begin(&mut self, at: At) {
        (self.at, self.part_size) = (at, 0);
    }

    fn may_be_http(&self) -> bool {
        let kept = &self.line[..self.used.min(LINE_MAX)];
        let both = kept.len().min(PREFIX.len());
        kept[..both] == PREFIX[..both]
    }

    fn line_ended(&mut self) -> Result<(), HttpError> {
        let line = &self.line[..self.used.min(LINE_MAX)];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_whole = self.used <= LINE_MAX;
        self.used = 0;
        match self.at {
            At::Status => {
                let (version, status) = status_line(line).ok_or(HttpError::NotHttp)?;
                let is_end = status == REQUEST_TIMEOUT && (self.is_used || !self.is_asked);
                if is_end || !matches!(status, 100 | 102..=999) {
                    return Err(HttpError::Status(status));
                }
                (self.version, self.status) = (version, status);
                (self.length, self.persistence) = (Length::Unsaid, Persistence::Unsaid);
                self.at = At::Header;
            }
            At::Header if line.is_empty() => {
                if self.status < 200 {
                    self.at = At::Status;
                    return Ok(());
                }
                self.begin(match (self.status, self.length) {
                    (204 | 304, _) => At::Body { left: 0 },
                    _ if self.is_bodiless => At::Body { left: 0 },
                    (_, Length::Chunked) => At::Seam(Seam::First),
                    (_, Length::Bytes(left)) => At::Body { left },
                    (_, Length::Bad) => return Err(HttpError::BadLength),
                    (_, Length::Unsaid) => At::UntilEnd,
                });
            }
            At::Header => {
                if let Some(value) = value_of(line, b"content-length")? {
                    let numbers = elements(value);
                    let told = |length: Length, number| length.told(number, is_whole);
                    self.length = numbers.fold(self.length, told);
                } else if let Some(value) = value_of(line, b"transfer-encoding")? {
                    let once = is_whole && self.length != Length::Chunked;
                    if !once || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(HttpError::Coding);
                    }
                    self.length = Length::Chunked;
                } else if let Some(value) = value_of(line, b"connection")? {
                    self.persistence = self.persistence.told(value);
                }
            }
            At::Trailer if line.is_empty() => self.begin(At::Body { left: 0 }),
            At::Trailer => {}
            At::Body { .. } | At::Chunk { .. } | At::Seam(_) | At::UntilEnd => {
                unreachable!("a body has no lines")
            }
        }
        Ok(())
    }
}

impl Length {
    /// The length after the field `Content-Length: digits`. The same number may be repeated.
    fn told(self, digits: &[u8], is_whole: bool) -> Length {
        match (self, decimal(digits).ok().filter(|_| is_whole)) {
            (Length::Chunked, _) => Length::Chunked,
            (Length::Unsaid, Some(bytes)) => Length::Bytes(bytes),
            (Length::Bytes(before), Some(bytes)) if before == bytes => self,
            _ => Length::Bad,
        }
    }
}

impl Persistence {
    /// The persistence after the field `Connection: options`.
    fn told(self, options: &[u8]) -> Persistence {
        let has = |name: &[u8]| elements(options).any(|option| option.eq_ignore_ascii_case(name));
        match self {
            Persistence::Closed => Persistence::Closed,
            _ if has(b"close") => Persistence::Closed,
            _ if has(b"keep-alive") => Persistence::Kept,
            other => other,
        }
    }
}

/// The version and the status of a status line. The reason phrase is ignored.
fn status_line(line: &[u8]) -> Option<(Version, u16)> {
    let (version, rest) = match line.strip_prefix(PREFIX)? {
        [b'0', b' ', rest @ ..] => (Version::Http10, rest),
        [b'1'..=b'9', b' ', rest @ ..] => (Version::Http11, rest),
        _ => return None,
    };
    let (digits, reason) = rest.split_at_checked(3)?;
    let status = decimal(digits)
        .ok()
        .filter(|_| matches!(reason, [] | [b' ', ..]))?;
    Some((version, u16::try_from(status).ok()?))
}

/// The value of the field, if its name is `name`. Blanks before the colon are an error: some
/// clients accept the field, and others do not (RFC 9112, 5.1).
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Result<Option<&'a [u8]>, HttpError> {
    let Some((front, rest)) = line.split_at_checked(name.len()) else {
        return Ok(None);
    };
    match rest {
        _ if !front.eq_ignore_ascii_case(name) => Ok(None),
        [b':', value @ ..] => Ok(Some(value.trim_ascii())),
        _ if rest.trim_ascii_start().starts_with(b":") => Err(HttpError::FieldName),
        _ => Ok(None),
    }
}
