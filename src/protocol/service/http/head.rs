//! The meaning of the lines of a request: the request line, and the few fields that change how the
//! request is processed (RFC 9112, 3, 5 and 6).
//!
//! The form of every other field is checked, and its value is ignored; see [`Head::field`].
//! Neighbours: `line` finds the lines, `target` and `protocol::http` check the bytes.

use super::Refusal;
use super::target;
use crate::limits::HTTP_BODY_MAX;
use crate::protocol::http::NumberError;
use crate::protocol::http::field::{decimal, elements};
use crate::protocol::http::token::{is_token, split_at_byte};

/// For a known method that is not offered, if the connection cannot continue after the request.
const METHOD_NOT_ALLOWED: Refusal = Refusal {
    status: "405 Method Not Allowed\r\nAllow: GET, HEAD, POST, PUT",
    reason: "the method is none of GET, HEAD, POST and PUT",
};
/// For a method that is defined neither in RFC 9110, 9 nor in RFC 5789.
pub(super) const METHOD_NOT_IMPLEMENTED: Refusal = Refusal {
    status: "501 Not Implemented",
    reason: "the method is not known",
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
    method: Method,
    version: Version,
    has_host: bool,
    /// Content-Length.
    length: Option<u64>,
    codings: Codings,
    /// Connection: close.
    closes: bool,
    /// Connection: keep-alive.
    keeps_alive: bool,
    /// Expect: 100-continue.
    expects: bool,
    /// The page that was asked for, where there are several.
    pub(super) page: Page,
}

/// A page of the server about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Other,
    Metrics,
    Health,
    Ready,
}

impl Page {
    /// The page of a request line, whose target is a path or a URI; a query is ignored.
    pub(super) fn of(line: &[u8]) -> Page {
        let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let path = target
            .split(|byte| *byte == b'?')
            .next()
            .unwrap_or_default();
        let path = match path.windows(3).position(|it| it == b"://") {
            Some(scheme) => {
                let rest = &path[scheme + 3..];
                let host = rest.iter().position(|byte| *byte == b'/');
                host.map_or(&b"/"[..], |end| &rest[end..])
            }
            None => path,
        };
        match path {
            b"/metrics" => Page::Metrics,
            b"/healthz" => Page::Health,
            b"/readyz" => Page::Ready,
            _ => Page::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Version {
    Http10,
    /// HTTP/1.1, or a later minor version.
    #[default]
    Http11,
}

/// What happens with a method. The reply is sent after the body of the request has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Method {
    /// GET, POST or PUT.
    #[default]
    Served,
    Head,
    /// Known but not offered.
    NotAllowed,
}

/// All Transfer-Encoding fields together: several lines are one list (RFC 9110, 5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Codings {
    #[default]
    None,
    /// Only codings that this server does not decode. Without `chunked` as the last coding, the
    /// body has no end.
    Others,
    /// `chunked` alone.
    Chunked,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    /// This many bytes, at least one.
    Length(u64),
    Chunked,
}

impl Head {
    /// Parses the request line.
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
        let is_target = target::is_path(target) || target::is_uri(target);
        let (method, is_target) = match method {
            b"GET" | b"POST" | b"PUT" => (Method::Served, is_target),
            b"HEAD" => (Method::Head, is_target),
            b"DELETE" | b"PATCH" | b"TRACE" => (Method::NotAllowed, is_target),
            b"OPTIONS" => (Method::NotAllowed, is_target || target == b"*"),
            // The bytes after the request may be meant for the far end of a tunnel, so the
            // connection closes (RFC 9110, 9.3.6).
            b"CONNECT" if target::is_authority(target) => return Err(METHOD_NOT_ALLOWED),
            b"CONNECT" => {
                return Err(Refusal::bad(
                    "the target of CONNECT is not a host and a port",
                ));
            }
            _ if is_token(method) => return Err(METHOD_NOT_IMPLEMENTED),
            _ => return Err(Refusal::bad("the method has a byte that no method has")),
        };
        if !is_target {
            return Err(Refusal::bad("the target is neither a path nor a URI"));
        }
        Ok(Head {
            method,
            version,
            ..Head::default()
        })
    }

    /// Parses one field.
    pub(super) fn field(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let (name, value) = divide(line)?;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            4 if is("Host") => {
                if self.has_host {
                    return Err(Refusal::bad("two Host fields"));
                }
                if !target::is_host(value) {
                    return Err(Refusal::bad("the Host field holds no host"));
                }
                self.has_host = true;
            }
            6 if is("Expect") => {
                let mut all = elements(value);
                self.expects |= all.any(|one| one.eq_ignore_ascii_case(b"100-continue"));
            }
            10 if is("Connection") => {
                for option in elements(value) {
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
            17 if is("Transfer-Encoding") => {
                self.codings = elements(value).try_fold(self.codings, Codings::and)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows the complete head.
    pub(super) fn body(&self) -> Result<Body, Refusal> {
        let body = match (self.version, self.codings, self.length) {
            (Version::Http11, ..) if !self.has_host => {
                return Err(Refusal::bad("HTTP/1.1 without a Host field"));
            }
            (_, Codings::Others | Codings::Chunked, Some(_)) => {
                return Err(Refusal::bad("both Content-Length and Transfer-Encoding"));
            }
            (Version::Http10, Codings::Others | Codings::Chunked, None) => {
                return Err(Refusal::bad("HTTP/1.0 with Transfer-Encoding"));
            }
            (_, Codings::Others, None) => {
                return Err(Refusal::bad("the last transfer coding is not chunked"));
            }
            (Version::Http11, Codings::Chunked, None) => Body::Chunked,
            (_, Codings::None, None | Some(0)) => Body::None,
            (_, Codings::None, Some(length)) => Body::Length(length),
        };
        // Refused at once, before the peer sends the body. The peer may or may not send the body
        // then, so the bytes after the head are ambiguous (RFC 9110, 10.1.1).
        let is_awaited = self.expects_continue() && body != Body::None;
        match self.method {
            Method::NotAllowed if is_awaited => Err(METHOD_NOT_ALLOWED),
            _ => Ok(body),
        }
    }

    /// Whether the reply is sent without its body.
    pub(super) fn is_head(&self) -> bool {
        self.method == Method::Head
    }

    /// Whether the method is known but not offered.
    pub(super) fn is_not_allowed(&self) -> bool {
        self.method == Method::NotAllowed
    }

    /// Whether the peer waits for `100 Continue`. HTTP/1.0 does not have it.
    pub(super) fn expects_continue(&self) -> bool {
        self.expects && self.version == Version::Http11
    }

    /// Whether the connection closes after the reply.
    pub(super) fn ends(&self) -> bool {
        self.closes || (self.version == Version::Http10 && !self.keeps_alive)
    }

    /// The Connection field of the reply; empty if the version already implies it.
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

impl Codings {
    /// The list with `coding` appended.
    fn and(self, coding: &[u8]) -> Result<Codings, Refusal> {
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        match self {
            // RFC 9110, 5.6.1.2 allows empty list elements, but servers differ about empty transfer
            // codings.
            _ if coding.is_empty() => Err(Refusal::bad("an empty transfer coding")),
            Codings::None if is_chunked => Ok(Codings::Chunked),
            Codings::Others if is_chunked => Err(CODING_NOT_IMPLEMENTED),
            Codings::Chunked if is_chunked => Err(Refusal::bad("chunked twice")),
            Codings::Chunked => Err(Refusal::bad("the last transfer coding is not chunked")),
            Codings::None | Codings::Others => Ok(Codings::Others),
        }
    }
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    match decimal(value) {
        Err(NumberError::NoDigit) => Err(Refusal::bad("a Content-Length is decimal digits")),
        Ok(length) if length <= HTTP_BODY_MAX => Ok(length),
        _ => Err(BODY_TOO_LONG),
    }
}
