//! Reads HTTP/1.1 replies in whatever pieces they come, counts them, and compares each with the
//! first.
//!
//! Only what a benchmark needs to stay in step: the status must be 2xx, and the body's length must
//! be said by `Content-Length`. A chunked body is refused in words rather than guessed at. The same
//! question has the same answer: the status and the body of each reply must be those of the first
//! one of all connections (`page`). Lines are copied into a small fixed space as far as they fit; a
//! header line that does not fit is none of those looked for. A reply may say that it is the last
//! one of its connection (9.3, 9.6): what comes behind it is not looked at. Source: RFC 9112.

use super::page::{Digest, FirstPage, Page};

const LINE_MAX: usize = 56;

/// Where in a reply the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Status,
    Header,
    Body { left: u64 },
}

/// Whether a reply lets its connection stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Persists {
    /// HTTP/1.1 does.
    ByVersion,
    /// HTTP/1.0 does not.
    NotByVersion,
    /// `Connection: keep-alive`
    Kept,
    /// `Connection: close`, whatever else is said.
    Closed,
}

/// The replies of one connection.
#[derive(Clone, Debug)]
pub struct Replies {
    at: At,
    status: u16,
    length: Option<u64>,
    /// What is said of the connection behind this reply.
    persists: Persists,
    /// Whether the last of all replies has ended.
    is_over: bool,
    line: [u8; LINE_MAX],
    used: usize,
    digest: Digest,
    first: FirstPage,
}

/// Why bytes are not a reply that can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The first line is not a status line of HTTP/1.
    NotHttp,
    /// A status other than 2xx.
    Status(u16),
    /// `Content-Length` is not a number.
    BadLength,
    /// Neither `Content-Length` nor a status without a body.
    NoLength,
    /// `Transfer-Encoding` was used.
    Chunked,
    /// Another status or another body than the first reply's.
    Other {
        /// What came.
        found: Page,
        /// What came first.
        first: Page,
    },
}

impl Replies {
    /// Before the first byte; the first of all replies goes to `first`.
    pub fn new(first: &FirstPage) -> Replies {
        Replies {
            at: At::Status,
            status: 0,
            length: None,
            persists: Persists::ByVersion,
            is_over: false,
            line: [0; LINE_MAX],
            used: 0,
            digest: Digest::default(),
            first: FirstPage::clone(first),
        }
    }

    /// Before the first byte of another connection.
    pub fn restart(&mut self) {
        (self.at, self.length, self.used) = (At::Status, None, 0);
        self.is_over = false;
        self.digest = Digest::default();
    }

    /// Whether the server has said that it answers nothing more on this connection.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes `bytes` and tells how many replies ended in them. With `verify`, each must be what the
    /// first one was.
    pub fn received(&mut self, mut bytes: &[u8], verify: bool) -> Result<u32, HttpError> {
        let mut ended = 0;
        while !bytes.is_empty() && !self.is_over {
            if let At::Body { left } = &mut self.at {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                if verify {
                    self.digest.add(&bytes[..taken]);
                }
                bytes = &bytes[taken..];
            } else {
                let line_end = bytes.iter().position(|&byte| byte == b'\n');
                self.keep(&bytes[..line_end.unwrap_or(bytes.len())]);
                bytes = &bytes[line_end.map_or(bytes.len(), |end| end + 1)..];
                if line_end.is_some() {
                    self.line_ended()?;
                }
            }
            if self.at == (At::Body { left: 0 }) {
                ended += 1;
                (self.at, self.length) = (At::Status, None);
                self.is_over = matches!(self.persists, Persists::NotByVersion | Persists::Closed);
                if verify {
                    self.compare()?;
                }
            }
        }
        Ok(ended)
    }

    /// Holds the reply that has ended against the first one.
    fn compare(&mut self) -> Result<(), HttpError> {
        let found = Page::new(self.status, std::mem::take(&mut self.digest));
        match *self.first.get_or_init(|| found) {
            first if first == found => Ok(()),
            first => Err(HttpError::Other { found, first }),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(LINE_MAX - self.used);
        self.line[self.used..self.used + taken].copy_from_slice(&bytes[..taken]);
        self.used += taken;
    }

    fn line_ended(&mut self) -> Result<(), HttpError> {
        let line = self.line[..self.used].trim_ascii_end();
        self.used = 0;
        match self.at {
            At::Status => {
                let (minor, digits) = match line {
                    [
                        b'H',
                        b'T',
                        b'T',
                        b'P',
                        b'/',
                        b'1',
                        b'.',
                        minor,
                        b' ',
                        rest @ ..,
                    ] => (*minor, rest.get(..3)),
                    _ => (b'1', None),
                };
                self.persists = match minor {
                    b'0' => Persists::NotByVersion,
                    _ => Persists::ByVersion,
                };
                self.status = digits.and_then(number).ok_or(HttpError::NotHttp)? as u16;
                if self.status / 100 != 2 {
                    return Err(HttpError::Status(self.status));
                }
                self.at = At::Header;
            }
            At::Header if line.is_empty() => {
                let bodiless = (self.status == 204).then_some(0);
                self.at = At::Body {
                    left: self.length.or(bodiless).ok_or(HttpError::NoLength)?,
                };
            }
            At::Header => {
                if let Some(value) = value_of(line, b"content-length:") {
                    self.length = Some(number(value).ok_or(HttpError::BadLength)?);
                } else if value_of(line, b"transfer-encoding:").is_some() {
                    return Err(HttpError::Chunked);
                } else if let Some(value) = value_of(line, b"connection:") {
                    self.persists = self.persists.told(value);
                }
            }
            At::Body { .. } => unreachable!("a body has no lines"),
        }
        Ok(())
    }
}

impl Persists {
    /// What holds after `Connection: options`.
    fn told(self, options: &[u8]) -> Persists {
        let has = |name: &[u8]| {
            let mut options = options.split(|&byte| byte == b',');
            options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
        };
        match self {
            Persists::Closed => Persists::Closed,
            _ if has(b"close") => Persists::Closed,
            _ if has(b"keep-alive") => Persists::Kept,
            other => other,
        }
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (front, value) = line.split_at_checked(name.len())?;
    front.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::wrong::Wrong;
    use super::*;

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:  12 \r\n\
        X-Long: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n\
        Hello, WorldHTTP/1.1 204 No Content\r\n\r\n";

    #[test]
    fn replies_are_counted_in_any_pieces() {
        for piece in 1..=TWO.len() {
            let mut replies = Replies::new(&FirstPage::default());
            let counts = TWO
                .chunks(piece)
                .map(|bytes| replies.received(bytes, false).expect("well-formed"));
            assert_eq!(counts.sum::<u32>(), 2, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let cases: [(&[u8], HttpError); 5] = [
            (b"hello\n", HttpError::NotHttp),
            (b"HTTP/1.1 404 Not Found\r\n", HttpError::Status(404)),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n",
                HttpError::BadLength,
            ),
            (b"HTTP/1.1 200 OK\r\n\r\n", HttpError::NoLength),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
                HttpError::Chunked,
            ),
        ];
        for (bytes, error) in cases {
            let mut replies = Replies::new(&FirstPage::default());
            assert_eq!(replies.received(bytes, true), Err(error));
        }
    }

    #[test]
    fn a_reply_may_be_the_last_one_of_its_connection() {
        for (head, is_over) in [
            ("HTTP/1.1 200 OK\r\n", false),
            (
                "HTTP/1.1 200 OK\r\nConnection: Upgrade, keep-alive\r\n",
                false,
            ),
            ("HTTP/1.1 200 OK\r\nconnection:foo , Close\r\n", true),
            (
                "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n",
                true,
            ),
            ("HTTP/1.0 200 OK\r\n", true),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", false),
        ] {
            let reply = format!("{head}Content-Length: 2\r\n\r\nab");
            let mut replies = Replies::new(&FirstPage::default());
            // Another reply behind the last one is none.
            let count = if is_over { 1 } else { 2 };
            assert_eq!(
                replies.received(reply.repeat(2).as_bytes(), true),
                Ok(count)
            );
            assert_eq!(replies.is_over(), is_over, "{head}");
            replies.restart();
            assert!(!replies.is_over());
        }
    }

    fn page(status: u16, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn every_reply_must_be_what_the_first_one_of_all_connections_was() {
        let first = FirstPage::default();
        let good = page(200, "Hello, World, and all who live in it");
        let mut replies = Replies::new(&first);
        assert_eq!(replies.received(&good.repeat(3), true), Ok(3));
        for (bytes, told) in [
            (
                page(200, "Hello, World, and all who live in is"),
                "not the first one's",
            ),
            (page(200, "Hello, World"), "12 bytes, the first one had 36"),
            (
                page(203, "Hello, World, and all who live in it"),
                "status 203, the first one had 200",
            ),
        ] {
            for piece in [1, 7, bytes.len()] {
                let mut other = Replies::new(&first);
                let heard: Vec<_> = bytes
                    .chunks(piece)
                    .map(|bytes| other.received(bytes, true))
                    .collect();
                let wrong = heard.last().and_then(|last| last.err());
                let text = wrong.map(|wrong| Wrong::Http(wrong).to_string());
                assert!(text.is_some_and(|text| text.contains(told)), "{told}");
            }
            assert_eq!(Replies::new(&first).received(&bytes, false), Ok(1));
        }
    }
}
