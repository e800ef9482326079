//! Reads HTTP/1.1 replies in whatever pieces they come, and counts them.
//!
//! Only what a benchmark needs to stay in step: the status must be 2xx, and the body's length must
//! be said by `Content-Length`. A chunked body is refused in words rather than guessed at. Lines
//! are copied into a small fixed space as far as they fit; a header line that does not fit is none
//! of those looked for. Source: RFC 9112.

const LINE_MAX: usize = 56;

/// Where in a reply the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Status,
    Header,
    Body { left: u64 },
}

/// The replies of one connection.
#[derive(Clone, Debug)]
pub struct Replies {
    at: At,
    status: u16,
    length: Option<u64>,
    line: [u8; LINE_MAX],
    used: usize,
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
}

impl Default for Replies {
    fn default() -> Replies {
        Replies::new()
    }
}

impl Replies {
    /// Before the first byte.
    pub fn new() -> Replies {
        Replies {
            at: At::Status,
            status: 0,
            length: None,
            line: [0; LINE_MAX],
            used: 0,
        }
    }

    /// Takes `bytes` and tells how many replies ended in them.
    pub fn received(&mut self, mut bytes: &[u8]) -> Result<u32, HttpError> {
        let mut ended = 0;
        while !bytes.is_empty() {
            if let At::Body { left } = &mut self.at {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
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
            }
        }
        Ok(ended)
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
                let digits = match line {
                    [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', rest @ ..] => rest.get(..3),
                    _ => None,
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
                }
            }
            At::Body { .. } => unreachable!("a body has no lines"),
        }
        Ok(())
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
    use super::*;

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:  12 \r\n\
        X-Long: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n\
        Hello, WorldHTTP/1.1 204 No Content\r\n\r\n";

    #[test]
    fn replies_are_counted_in_any_pieces() {
        for piece in 1..=TWO.len() {
            let mut replies = Replies::new();
            let counts = TWO
                .chunks(piece)
                .map(|bytes| replies.received(bytes).expect("well-formed"));
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
            assert_eq!(Replies::new().received(bytes), Err(error));
        }
    }
}
