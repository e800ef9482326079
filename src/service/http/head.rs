//! What the lines of a request mean: the request line, the few fields that change what is done, and
//! the line in front of a chunk (RFC 9112, 3, 5, 6 and 7).
//!
//! A field that is not listed in [`Head::field`] is checked for its form and forgotten.

use super::Refusal;
use crate::base::find::find_byte;
use crate::limits::HTTP_BODY_MAX;

const METHOD_NOT_ALLOWED: Refusal = Refusal {
    status: "405 Method Not Allowed\r\nAllow: GET, HEAD, POST, PUT",
    reason: "the method is none of GET, HEAD, POST and PUT",
};
const VERSION_NOT_SUPPORTED: Refusal = Refusal {
    status: "505 HTTP Version Not Supported",
    reason: "the version is neither HTTP/1.1 nor HTTP/1.0",
};
const CODING_NOT_IMPLEMENTED: Refusal = Refusal {
    status: "501 Not Implemented",
    reason: "a transfer coding beside chunked",
};
/// The body is over the limit.
pub(super) const BODY_TOO_LONG: Refusal = Refusal {
    status: "413 Content Too Large",
    reason: "the body is too long",
};

/// What is known of a request so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    is_head: bool,
    version: Version,
    has_host: bool,
    /// Content-Length.
    length: Option<u64>,
    /// Transfer-Encoding: chunked.
    is_chunked: bool,
    /// Connection: close.
    closes: bool,
    /// Connection: keep-alive.
    keeps_alive: bool,
    /// Expect: 100-continue.
    expects: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Version {
    Http10,
    /// Or a later one of the same major version.
    #[default]
    Http11,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    /// So many bytes, at least one.
    Length(u64),
    Chunked,
}

impl Head {
    /// Begins with the request line.
    pub(super) fn parse(line: &[u8]) -> Result<Head, Refusal> {
        let not_three = Refusal::bad("a request line is METHOD TARGET VERSION");
        let (method, rest) = split_at_byte(line, b' ').ok_or(not_three)?;
        let (target, version) = split_at_byte(rest, b' ').ok_or(not_three)?;
        let version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
                Version::Http11
            }
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(VERSION_NOT_SUPPORTED);
            }
            _ => return Err(not_three),
        };
        if !is_token(method) {
            return Err(Refusal::bad("the method has a byte that no method has"));
        }
        if !matches!(method, b"GET" | b"HEAD" | b"POST" | b"PUT") {
            return Err(METHOD_NOT_ALLOWED);
        }
        let is_target = target.starts_with(b"/") || is_uri(target);
        if !is_target || target.contains(&b'\t') {
            return Err(Refusal::bad("the target is neither a path nor a URI"));
        }
        Ok(Head {
            is_head: method == b"HEAD",
            version,
            ..Head::default()
        })
    }

    /// Takes note of one field.
    pub(super) fn field(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let (name, value) = divide(line)?;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            4 if is("Host") => {
                if self.has_host {
                    return Err(Refusal::bad("two Host fields"));
                }
                if !is_host(value) {
                    return Err(Refusal::bad("the Host field holds no host"));
                }
                self.has_host = true;
            }
            6 if is("Expect") => self.expects |= value.eq_ignore_ascii_case(b"100-continue"),
            10 if is("Connection") => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.closes |= option.eq_ignore_ascii_case(b"close");
                    self.keeps_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is("Content-Length") => {
                if self.length.is_some() {
                    return Err(Refusal::bad("two Content-Length fields"));
                }
                self.length = Some(content_length(value)?);
            }
            17 if is("Transfer-Encoding") => self.transfer_encoding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
        if self.is_chunked {
            return Err(Refusal::bad("two Transfer-Encoding fields"));
        }
        if chunked(value) {
            self.is_chunked = true;
            return Ok(());
        }
        // Without chunked at its end nobody can tell where the body ends.
        match value.rsplit(|byte| *byte == b',').next() {
            Some(last) if chunked(last) => Err(CODING_NOT_IMPLEMENTED),
            _ => Err(Refusal::bad("the last transfer coding is not chunked")),
        }
    }

    /// What follows, now that the head is whole.
    pub(super) fn body(&self) -> Result<Body, Refusal> {
        match (self.version, self.is_chunked, self.length) {
            (Version::Http11, ..) if !self.has_host => {
                Err(Refusal::bad("HTTP/1.1 without a Host field"))
            }
            (_, true, Some(_)) => Err(Refusal::bad("both Content-Length and Transfer-Encoding")),
            (Version::Http10, true, None) => Err(Refusal::bad("HTTP/1.0 with Transfer-Encoding")),
            (Version::Http11, true, None) => Ok(Body::Chunked),
            (_, false, None | Some(0)) => Ok(Body::None),
            (_, false, Some(length)) => Ok(Body::Length(length)),
        }
    }

    /// Whether the reply goes without its body.
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether the peer waits for `100 Continue`, which HTTP/1.0 does not know.
    pub(super) fn expects_continue(&self) -> bool {
        self.expects && self.version == Version::Http11
    }

    /// Whether the reply is the last.
    pub(super) fn ends(&self) -> bool {
        self.closes || (self.version == Version::Http10 && !self.keeps_alive)
    }

    /// What the reply says about it, where the version does not say it already.
    pub(super) fn connection(&self) -> &'static str {
        match self.version {
            _ if self.ends() => "Connection: close\r\n",
            Version::Http10 => "Connection: keep-alive\r\n",
            Version::Http11 => "",
        }
    }
}

/// The name and the value of a field.
pub(super) fn divide(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if let [b' ' | b'\t', ..] = line {
        return Err(Refusal::bad("a field is folded over two lines"));
    }
    let Some((name, value)) = split_at_byte(line, b':') else {
        return Err(Refusal::bad("a field without a colon"));
    };
    if !is_token(name) {
        return Err(Refusal::bad("a field name has a byte that no name has"));
    }
    Ok((name, value.trim_ascii()))
}

/// What comes before the first `byte`, and what comes after it.
#[inline]
fn split_at_byte(line: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = find_byte(line, byte)?;
    Some((&line[..at], &line[at + 1..]))
}

/// The size of a chunk, from the line in front of it. Blanks may stand before an extension, and
/// nowhere else (RFC 9112, 7.1.1).
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let count = digits.clone().count();
    let rest = &line[count..];
    if count == 0 || !(rest.is_empty() || rest.trim_ascii_start().starts_with(b";")) {
        return Err(Refusal::bad("a chunk size is hexadecimal digits"));
    }
    let value = |digit: &u8| u64::from((*digit as char).to_digit(16).unwrap_or(0));
    // What does not fit is over any limit.
    let add = |size: u64, digit| size.checked_mul(16)?.checked_add(value(digit));
    let size = digits.clone().try_fold(0, add);
    size.ok_or(BODY_TOO_LONG)
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::bad("a Content-Length is decimal digits"));
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    match value.iter().try_fold(0, add) {
        Some(length) if length <= HTTP_BODY_MAX => Ok(length),
        _ => Err(BODY_TOO_LONG),
    }
}

/// Whether these bytes can be a name (RFC 9110, 5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    const TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// Whether these bytes can be a host and a port, or nothing (RFC 3986, 3.2.2 and 3.2.3).
fn is_host(bytes: &[u8]) -> bool {
    const NAME: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=%");
    const ADDRESS: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=:");
    let are =
        |known: &[bool; 256], bytes: &[u8]| bytes.iter().all(|byte| known[usize::from(*byte)]);
    let port = match bytes {
        [b'[', rest @ ..] => match split_at_byte(rest, b']') {
            Some((address, port)) if !address.is_empty() && are(&ADDRESS, address) => port,
            _ => return false,
        },
        _ => match bytes.iter().position(|byte| !NAME[usize::from(*byte)]) {
            Some(end) => &bytes[end..],
            None => return true,
        },
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Whether these bytes begin as a URI of HTTP does; one without a host is none, and names of users
/// have no place in it (RFC 9110, 4.2).
fn is_uri(target: &[u8]) -> bool {
    let after = |scheme: &[u8]| {
        let (front, rest) = target.split_at_checked(scheme.len())?;
        front.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else {
        return false;
    };
    let end = rest.iter().position(|byte| b"/?#".contains(byte));
    let authority = &rest[..end.unwrap_or(rest.len())];
    is_host(authority) && !matches!(authority, [] | [b':', ..])
}

/// A table of letters, digits, and `others`.
const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}
