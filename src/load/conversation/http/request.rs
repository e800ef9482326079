//! The HTTP request of a run: one path on one host, sent again and again.
//!
//! Path and host are sent exactly as typed, so both are checked first: a blank or a line end in
//! either would change the request. Without a host, `Host` is the server's address as the user
//! wrote it, as in curl and browsers; a server with several hosts selects the host by this field.
//! Source: RFC 9112, 3; RFC 9110, 7.2.

use std::fmt;
use std::net::Ipv6Addr;

use crate::kernel::Endpoint;
use crate::limits::{LOAD_HOST_MAX, LOAD_PATH_MAX};

/// A page to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path and query.
    pub path: String,
    /// The host of the page; the server's address if none is given.
    pub host: Option<String>,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            path: "/".to_owned(),
            host: None,
        }
    }
}

impl Request {
    /// The request bytes for the server at `to`.
    pub fn to_bytes(&self, to: &Endpoint) -> Vec<u8> {
        const DEFAULT_PORT: u16 = 80;
        let path = &self.path;
        let host = match &self.host {
            Some(host) => host.clone(),
            None => to.authority(DEFAULT_PORT),
        };
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
    }
}

/// `GET / HTTP/1.1`, and the host if one was given.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.host {
            Some(host) => write!(f, "GET {path} HTTP/1.1 of {host}"),
            None => write!(f, "GET {path} HTTP/1.1"),
        }
    }
}

/// Parses a path with its query. The error says what is accepted.
pub fn path(text: &str) -> Result<String, String> {
    let odd = |byte: &u8| !byte.is_ascii_graphic() || *byte == b'#';
    match text.bytes().find(odd) {
        _ if !text.starts_with('/') => Err("must begin with /, such as /index.html?x=y".to_owned()),
        Some(byte) => Err(format!(
            "has {byte:#04x}, which goes over the wire as %{byte:02X}"
        )),
        None if text.len() > LOAD_PATH_MAX => {
            let size = text.len();
            Err(format!("must be at most {LOAD_PATH_MAX} bytes, not {size}"))
        }
        None => Ok(text.to_owned()),
    }
}

/// Parses a host, with or without a port. The error says what is accepted.
pub fn host(text: &str) -> Result<String, String> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ip, port)) => (ip.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            (!name.is_empty() && name.bytes().all(plain), port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => digits
            .parse::<u16>()
            .is_ok_and(|_| !digits.starts_with('+')),
        None => port.is_empty(),
    };
    match name && port {
        true if text.len() > LOAD_HOST_MAX => {
            let size = text.len();
            Err(format!("must be at most {LOAD_HOST_MAX} bytes, not {size}"))
        }
        true => Ok(text.to_owned()),
        false => Err("must be a host, such as example.org, 10.0.0.1:8080 or [::1]:80".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_at_its_host_or_at_the_address() {
        let asked = |request: &Request, address: &str| {
            let address = address.parse().expect("the test's own address");
            String::from_utf8(request.to_bytes(&address)).expect("all of it is ASCII")
        };
        let mut request = Request::default();
        for (address, host) in [
            ("localhost:8080", "localhost:8080"),
            ("localhost:80", "localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("127.0.0.1:81", "127.0.0.1:81"),
            ("[::1]:7007", "[::1]:7007"),
            ("[fe80::1%3]:7007", "[fe80::1]:7007"),
            ("unix:/run/x", "localhost"),
        ] {
            let expected = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(asked(&request, address), expected);
        }
        request.path = "/x?y".to_owned();
        request.host = Some("example.org".to_owned());
        assert_eq!(
            asked(&request, "127.0.0.1:80"),
            "GET /x?y HTTP/1.1\r\nHost: example.org\r\n\r\n"
        );
    }

    #[test]
    fn a_path_goes_out_as_it_was_typed_or_not_at_all() {
        for text in ["/", "/x?y=z&a", "//x", "/%20;~'\"{}|", "/?http://x"] {
            assert_eq!(path(text).as_deref(), Ok(text));
        }
        for (text, told) in [
            ("", "must begin with /"),
            ("x", "must begin with /"),
            ("http://x/", "must begin with /"),
            ("*", "must begin with /"),
            ("/a b", "has 0x20, which goes over the wire as %20"),
            ("/a#b", "as %23"),
            ("/a\r\nX: y", "as %0D"),
            ("/\u{e4}", "has 0xc3, which goes over the wire as %C3"),
            ("/\u{7f}", "as %7F"),
        ] {
            let error = path(text).expect_err(text);
            assert!(error.contains(told) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for text in [
            "x",
            "a_b.example-1.org",
            "10.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "x:0",
            "xn--4ca:65535",
        ] {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            ":80",
            "x:",
            "x:y",
            "x:+8",
            "x:65536",
            "::1",
            "[::1",
            "[x]",
            "[::1]80",
            "a b",
            "a/b",
            "http://x",
            "me@x",
            "\u{e4}.org",
            "x\r\nY: z",
        ] {
            let error = host(text).expect_err(text);
            assert!(error.contains("such as example.org"), "{text}: {error}");
        }
    }

    #[test]
    fn the_longest_path_and_host_pass_and_one_byte_more_does_not() {
        let long = |size: usize| "x".repeat(size);
        for size in [LOAD_PATH_MAX - 1, LOAD_PATH_MAX, LOAD_PATH_MAX + 1] {
            let read = path(&format!("/{}", long(size - 1)));
            assert_eq!(read.is_ok(), size <= LOAD_PATH_MAX, "{read:?}");
        }
        let request = Request {
            path: format!("/{}", long(LOAD_PATH_MAX - 1)),
            host: None,
        };
        let bytes = request.to_bytes(&"unix:x".parse().expect("an address"));
        let line_end = bytes.iter().position(|&byte| byte == b'\r');
        assert_eq!(line_end, Some(8000));
        for size in [LOAD_HOST_MAX - 1, LOAD_HOST_MAX, LOAD_HOST_MAX + 1] {
            let read = host(&long(size));
            assert_eq!(read.is_ok(), size <= LOAD_HOST_MAX, "{read:?}");
        }
    }
}
