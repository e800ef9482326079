//! The HTTP requests of a run: one path or several on one host, sent again and again.
//!
//! Method, path, host and fields are sent exactly as typed, so all are checked first: a line end in
//! any of them would change the request. Without a host, `Host` is the server's address as the user
//! wrote it, as in curl and browsers; a server with several hosts selects the host by this field.
//! Source: RFC 9112, 3; RFC 9110, 7.2.

use std::fmt;
use std::net::Ipv6Addr;

use crate::kernel::Endpoint;
use crate::limits::{LOAD_FIELD_MAX, LOAD_HOST_MAX, LOAD_METHOD_MAX, LOAD_PATH_MAX, LOAD_URLS_MAX};

/// What to request: one page or several, each by the same method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path and query of each page, at least one. They are requested in turn.
    pub paths: Vec<String>,
    /// The host of the pages; the server's address if none is given.
    pub host: Option<String>,
    /// Further fields, each a whole line without its end.
    pub fields: Vec<String>,
    /// The body of each request.
    pub body: Vec<u8>,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            method: GET.to_owned(),
            paths: vec!["/".to_owned()],
            host: None,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }
}

const GET: &str = "GET";
const HEAD: &str = "HEAD";
/// Methods whose requests usually have a body. Without one they say that its length is 0 (RFC
/// 9110, 8.6).
const WITH_BODY: [&str; 3] = ["POST", "PUT", "PATCH"];
/// Methods that may be sent again when it is not known whether they have arrived (RFC 9110, 9.2.2).
const IDEMPOTENT: [&str; 6] = [GET, HEAD, "OPTIONS", "TRACE", "PUT", "DELETE"];

impl Request {
    /// The bytes of each request for the server at `to`.
    pub fn to_bytes(&self, to: &Endpoint) -> Vec<Vec<u8>> {
        const DEFAULT_PORT: u16 = 80;
        let host = match &self.host {
            Some(host) => host.clone(),
            None => to.authority(DEFAULT_PORT),
        };
        let method = &self.method;
        let mut rest = match self.names("Host") {
            true => String::new(),
            false => format!("Host: {host}\r\n"),
        };
        self.fields.iter().for_each(|field| {
            rest += field;
            rest += "\r\n";
        });
        if !self.body.is_empty() || WITH_BODY.contains(&method.as_str()) {
            rest += &format!("Content-Length: {}\r\n", self.body.len());
        }
        rest += "\r\n";
        let bytes = |path: &String| {
            let head = format!("{method} {path} HTTP/1.1\r\n{rest}");
            [head.as_bytes(), &self.body].concat()
        };
        self.paths.iter().map(bytes).collect()
    }

    /// Whether a field with this name was given.
    fn names(&self, name: &str) -> bool {
        let name_of = |field: &String| field.split(':').next().map(str::to_owned);
        let mut names = self.fields.iter().filter_map(name_of);
        names.any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Whether the replies have no bodies.
    pub fn is_bodiless(&self) -> bool {
        self.method == HEAD
    }

    /// Whether a request may be sent again that may or may not have arrived.
    pub fn is_repeatable(&self) -> bool {
        IDEMPOTENT.contains(&self.method.as_str())
    }

    /// Whether equal requests should have equal replies.
    pub fn is_constant(&self) -> bool {
        [GET, HEAD].contains(&self.method.as_str())
    }
}

/// `GET / HTTP/1.1`, and the host if one was given.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.paths, &self.method) {
            ([path], method) => write!(f, "{method} {path} HTTP/1.1")?,
            (paths, method) => write!(f, "{method} of {} URLs HTTP/1.1", paths.len())?,
        }
        if !self.body.is_empty() {
            write!(f, " with {} bytes", self.body.len())?;
        }
        match &self.host {
            Some(host) => write!(f, " of {host}"),
            None => Ok(()),
        }
    }
}

/// A byte of a method or a field name (`tchar`, RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Parses a method. The error says what is accepted.
pub fn method(text: &str) -> Result<String, String> {
    let is_fine = (1..=LOAD_METHOD_MAX).contains(&text.len()) && text.bytes().all(is_token);
    let upper = text.to_ascii_uppercase();
    match text {
        _ if !is_fine => Err("must be a method, such as GET, HEAD, POST or PUT".to_owned()),
        "CONNECT" => Err("opens a tunnel, in which no HTTP is spoken".to_owned()),
        // Methods are case-sensitive, and all usual ones are in upper case.
        _ if text != upper => Err(format!("methods are in upper case; write {upper}")),
        _ => Ok(text.to_owned()),
    }
}

/// Parses a field, `Name: value`. The error says what is accepted.
pub fn field(text: &str) -> Result<String, String> {
    let wrong = || "must be a header field, such as 'Accept: text/html'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let is_plain = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(is_plain) {
        return Err(wrong());
    }
    let own = ["Content-Length", "Transfer-Encoding"];
    match own.iter().find(|own| own.eq_ignore_ascii_case(name)) {
        Some(own) => Err(format!("{own} follows from --body")),
        None if text.len() > LOAD_FIELD_MAX => {
            let size = text.len();
            Err(format!(
                "must be at most {LOAD_FIELD_MAX} bytes, not {size}"
            ))
        }
        None => Ok(format!("{name}: {}", value.trim())),
    }
}

/// Splits an HTTP URL into the address of its server, with a port, and its path. The error says
/// what is accepted.
pub fn url(text: &str) -> Result<(String, String), String> {
    let wrong = || "must be a URL, such as http://example.org:8080/index.html?x=y".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(format!("{scheme} is not known; {}", wrong())),
    };
    // A fragment never leaves the client (RFC 9110, 4.2.5).
    let rest = rest.split('#').next().unwrap_or_default();
    let (place, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if place.contains('@') {
        return Err("a URL with a user is not supported; give -H 'Authorization: ...'".to_owned());
    }
    host(place)?;
    let has_port = match place.rsplit_once(':') {
        Some((_, port)) => !port.ends_with(']'),
        None => false,
    };
    let place = if has_port {
        place.to_owned()
    } else {
        format!("{place}:{port}")
    };
    let tail = if tail.starts_with('/') {
        tail.to_owned()
    } else {
        format!("/{tail}")
    };
    Ok((place, path(&tail)?))
}

/// Parses the lines of `--urls`: paths, or URLs of the server that `is_same` accepts. Empty lines
/// and lines that begin with `#` are skipped. The error names the line.
pub fn urls(text: &str, is_same: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = match line.contains("://") {
            false => path(line),
            true => url(line).and_then(|(place, path)| match is_same(&place) {
                true => Ok(path),
                false => Err(format!("{place} is another server than the first")),
            }),
        };
        paths.push(read.map_err(|why| format!("line {}: {why}", index + 1))?);
        if paths.len() > LOAD_URLS_MAX {
            return Err(format!("must be at most {LOAD_URLS_MAX} lines"));
        }
    }
    match paths.is_empty() {
        true => Err("has no path and no URL".to_owned()),
        false => Ok(paths),
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
            String::from_utf8(request.to_bytes(&address).remove(0)).expect("all of it is ASCII")
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
        request.paths = vec!["/x?y".to_owned()];
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
            paths: vec![format!("/{}", long(LOAD_PATH_MAX - 1))],
            ..Request::default()
        };
        let bytes = request
            .to_bytes(&"unix:x".parse().expect("an address"))
            .remove(0);
        let line_end = bytes.iter().position(|&byte| byte == b'\r');
        assert_eq!(line_end, Some(8000));
        for size in [LOAD_HOST_MAX - 1, LOAD_HOST_MAX, LOAD_HOST_MAX + 1] {
            let read = host(&long(size));
            assert_eq!(read.is_ok(), size <= LOAD_HOST_MAX, "{read:?}");
        }
    }

    #[test]
    fn method_fields_and_body_are_in_the_request() {
        let request = Request {
            method: "POST".to_owned(),
            paths: vec!["/a".to_owned(), "/b".to_owned()],
            host: None,
            fields: vec!["Accept: x".to_owned(), "host: y".to_owned()],
            body: b"{}".to_vec(),
        };
        let bytes = request.to_bytes(&"127.0.0.1:80".parse().expect("an address"));
        let rest = "Accept: x\r\nhost: y\r\nContent-Length: 2\r\n\r\n{}";
        let expected = ["/a", "/b"].map(|path| format!("POST {path} HTTP/1.1\r\n{rest}"));
        let texts: Vec<_> = bytes.iter().map(|it| String::from_utf8_lossy(it)).collect();
        assert_eq!(texts, expected);
        assert!(!request.is_repeatable() && Request::default().is_repeatable());
        let empty = Request {
            body: Vec::new(),
            ..request
        };
        let bytes = empty.to_bytes(&"127.0.0.1:80".parse().expect("an address"));
        assert!(bytes[0].ends_with(b"Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn a_method_and_a_field_are_well_formed() {
        for text in ["GET", "M-SEARCH", "PROPFIND"] {
            assert_eq!(method(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "G T",
            "get",
            "CONNECT",
            "G\r\n",
            &"X".repeat(LOAD_METHOD_MAX + 1),
        ] {
            assert!(method(text).is_err(), "{text:?}");
        }
        assert_eq!(field("A:b ").as_deref(), Ok("A: b"));
        assert_eq!(field("X-Empty:").as_deref(), Ok("X-Empty: "));
        for text in [
            "",
            "A",
            ": b",
            "A b: c",
            "A: b\r\nC: d",
            "content-length: 5",
            "A: \0",
        ] {
            assert!(field(text).is_err(), "{text:?}");
        }
        let long = |size: usize| format!("A:{}", "x".repeat(size - 2));
        for size in [LOAD_FIELD_MAX - 1, LOAD_FIELD_MAX, LOAD_FIELD_MAX + 1] {
            assert_eq!(field(&long(size)).is_ok(), size <= LOAD_FIELD_MAX, "{size}");
        }
    }

    #[test]
    fn a_url_is_an_address_and_a_path() {
        for (text, place, path) in [
            ("http://x", "x:80", "/"),
            ("HTTP://x:8080/a?b#c", "x:8080", "/a?b"),
            ("http://[::1]/", "[::1]:80", "/"),
            ("http://[::1]:7?q", "[::1]:7", "/?q"),
            ("https://x/a", "x:443", "/a"),
        ] {
            assert_eq!(url(text), Ok((place.to_owned(), path.to_owned())), "{text}");
        }
        for text in ["x", "ftp://x", "http://", "http://a@x/", "http://x/a b"] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lines_are_paths_or_urls_of_one_server() {
        let same = |place: &str| place == "x:80";
        let read = urls("/a\n\n# no\nhttp://x/b\r\n", same);
        assert_eq!(read, Ok(vec!["/a".to_owned(), "/b".to_owned()]));
        for (text, told) in [
            ("", "has no path"),
            ("# only\n", "has no path"),
            ("/a\nb\n", "line 2: must begin with /"),
            ("/a\nhttp://y/\n", "line 2: y:80 is another server"),
        ] {
            let error = urls(text, same).expect_err(text);
            assert!(error.contains(told), "{error}");
        }
        for count in [LOAD_URLS_MAX, LOAD_URLS_MAX + 1] {
            let read = urls(&"/\n".repeat(count), same);
            assert_eq!(read.is_ok(), count <= LOAD_URLS_MAX);
        }
    }
}
