//! Whether a connection opens with another protocol that a web page can make a browser speak.
//!
//! A web page can make the browser of its reader connect to any port of the reader's machine and
//! send a request there. The page chooses the body of the request and, with TLS, the server name
//! and the session ticket. A server that skips input it does not understand then finds the text of
//! the page in the rest (a cross-protocol attack). The page cannot choose how the connection
//! begins:
//!
//! ```text
//!   POST /any                method of a browser, blank, slash      HTTP, known at the slash
//!   FOO x HTTP/1.1           word, target, version (RFC 9112, 3)    HTTP, known at the last digit
//!   PRI * HTTP/2.0           the same
//!   16 03 01                 a TLS record (RFC 8446, 5.1)           TLS, known at the third byte
//! ```
//!
//! Only the first line counts, after any empty lines (RFC 9112, 2.2). How the bytes are cut into
//! reads or frames makes no difference. The caller decides what follows from the answer.

use super::hint::Hint;

/// Methods that browsers send, and the other methods of HTTP.
const METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE",
];
/// Length of the longest method above.
const METHOD_SIZE_MAX: usize = 7;
/// The end of a request line; `0` stands for any digit.
const VERSION: &[u8] = b"HTTP/0.0";

/// What the first bytes of a connection have shown so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    place: Place,
    /// The first bytes after the empty lines.
    first: [u8; METHOD_SIZE_MAX],
    /// How many bytes there were, counted up to one more than `first` can hold.
    count: u8,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The first byte, or an empty line before it.
    #[default]
    Start,
    /// The header of a TLS record.
    Record,
    Method,
    /// The first byte of the target.
    Blank,
    Target,
    /// The version; this many bytes of it have arrived.
    Version(u8),
    /// Decided: the connection does not open with another protocol.
    Passed,
}

impl Opening {
    /// That of a connection which does not open with another protocol.
    pub fn passed() -> Opening {
        Opening {
            place: Place::Passed,
            ..Opening::default()
        }
    }

    /// Whether it is decided that the connection does not open with another protocol.
    pub fn has_passed(&self) -> bool {
        self.place == Place::Passed
    }

    /// Whether anything but empty lines has arrived.
    pub fn has_begun(&self) -> bool {
        self.place != Place::Start
    }

    /// Scans the next bytes of the connection. Returns the other protocol if the connection opens
    /// with one; the caller must not call again after that.
    #[inline]
    pub fn scan(&mut self, bytes: &[u8]) -> Option<Hint> {
        if self.place == Place::Passed {
            return None;
        }
        bytes.iter().find_map(|&byte| self.step(byte))
    }

    fn step(&mut self, byte: u8) -> Option<Hint> {
        self.place = match self.place {
            Place::Passed => return None,
            Place::Start => match byte {
                b'\r' | b'\n' => Place::Start,
                0x16 => self.keep(byte, Place::Record),
                _ if is_token(byte) => self.keep(byte, Place::Method),
                _ => Place::Passed,
            },
            Place::Record => match (self.keep(byte, Place::Record), self.count, byte) {
                (next, 2, 3) => next,
                (_, 3, 0..=4) => return Some(Hint::tls(&self.first[..3])),
                _ => Place::Passed,
            },
            Place::Method => match byte {
                b' ' => Place::Blank,
                _ if is_token(byte) => self.keep(byte, Place::Method),
                _ => Place::Passed,
            },
            // Decided here, because a page chooses the length and the text of the target, and could
            // put an allowed line into it.
            Place::Blank if byte == b'/' && METHODS.contains(&self.word()) => return self.http(),
            Place::Blank if is_visible(byte) => Place::Target,
            Place::Blank => Place::Passed,
            Place::Target => match byte {
                b' ' => Place::Version(0),
                _ if is_visible(byte) => Place::Target,
                _ => Place::Passed,
            },
            Place::Version(at) => {
                let expected = VERSION[usize::from(at)];
                let fits = byte == expected || expected == b'0' && byte.is_ascii_digit();
                match (fits, usize::from(at) + 1) {
                    (false, _) => Place::Passed,
                    (true, end) if end == VERSION.len() => return self.http(),
                    (true, _) => Place::Version(at + 1),
                }
            }
        };
        None
    }

    /// Stores one of the first bytes, if there is room, and returns `next`.
    fn keep(&mut self, byte: u8, next: Place) -> Place {
        if let Some(space) = self.first.get_mut(usize::from(self.count)) {
            *space = byte;
        }
        self.count = (self.count + 1).min(METHOD_SIZE_MAX as u8 + 1);
        next
    }

    /// The method; empty if it is longer than all of [`METHODS`].
    fn word(&self) -> &[u8] {
        self.first
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }

    fn http(&self) -> Option<Hint> {
        let kept = usize::from(self.count).min(METHOD_SIZE_MAX);
        Some(Hint::http(&self.first[..kept]))
    }
}

/// Whether a method can contain the byte (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a target can contain the byte; more is accepted here than in RFC 3986.
fn is_visible(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Option<String> {
        let hint = Opening::default().scan(bytes);
        hint.map(|hint| hint.to_string())
    }

    /// How many bytes are needed to recognise the protocol. A cut at any place must not change the
    /// answer.
    fn known_after(bytes: &[u8]) -> Option<usize> {
        let by_bytes = |opening: &mut Opening, bytes: &[u8]| {
            let known = |&byte: &u8| opening.scan(&[byte]).is_some();
            bytes.iter().position(known).map(|at| at + 1)
        };
        let known = by_bytes(&mut Opening::default(), bytes);
        for cut in 0..=bytes.len() {
            let (mut opening, (front, back)) = (Opening::default(), bytes.split_at(cut));
            let found = opening.scan(front).is_some() || opening.scan(back).is_some();
            assert_eq!(found, known.is_some(), "{:?}", bytes.escape_ascii());
        }
        known
    }

    #[test]
    fn requests_are_recognised_as_soon_as_they_can_be() {
        for (bytes, after) in [
            (&b"GET / HTTP/1.1\r\n"[..], 5),
            (b"POST /x HTTP/1.1", 6),
            (b"OPTIONS /", 9),
            (b"CONNECT /", 9),
            (b"\r\n\n\rHEAD /", 10),
            (b"GET http://a/ HTTP/1.0\n", 22),
            (b"CONNECT a:443 HTTP/1.1", 22),
            (b"OPTIONS * HTTP/1.1", 18),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 14),
            (b"x y HTTP/9.7", 12),
            (b"M-SEARCH-AND-MORE * HTTP/1.1", 28),
            (b"GET \xc3\xa9 HTTP/1.1", 15),
        ] {
            let text = bytes.escape_ascii();
            assert_eq!(known_after(bytes), Some(after), "{text}");
        }
    }

    #[test]
    fn tls_records_are_recognised_in_every_version() {
        for version in 0..=4 {
            assert_eq!(known_after(&[0x16, 3, version, 1, 0]), Some(3));
        }
        assert_eq!(known_after(&[0x16, 3, 5, 1, 0]), None);
        assert_eq!(known_after(&[0x16, 2, 1]), None);
        assert_eq!(known_after(&[0x16, 0x16, 3, 1]), None);
    }

    #[test]
    fn commands_and_frames_pass() {
        for bytes in [
            &b""[..],
            b"uname -s\n",
            b"ls -l / \n",
            b"echo a b c\n",
            b"curl http://a/ HTTP\n",
            b"curl http://a/ HTTP/1\n",
            b"curl http://a/ HTTP/1.x",
            b"curl http://a/ http/1.1\n",
            b"GET x\nGET / HTTP/1.1\n",
            b"GET\nGET / HTTP/1.1\n",
            b"GET  / HTTP/1.1\n",
            b"GETS /x\n",
            b"get /x\n",
            b"OPTIONSX /x\n",
            b" GET / HTTP/1.1\n",
            b"GET\t/ HTTP/1.1\n",
            b"GET x\0 HTTP/1.1\n",
            b"uname -s\nPOST / HTTP/1.1\r\n",
            b"\x04true",
            b"\0\x04true",
            b"\x0bGET / HTTP/",
            b"\x0aecho a b c",
            b"4:true,",
        ] {
            assert_eq!(known_after(bytes), None, "{:?}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_hint_shows_the_first_bytes() {
        let http = told(b"POST / HTTP/1.1");
        let expected = r#"50 4f 53 54 is "POST": the peer seems to speak HTTP"#;
        assert_eq!(http.as_deref(), Some(expected));
        let expected = r#"47 45 54 is "GET": the peer seems to speak HTTP"#;
        assert_eq!(told(b"\r\nGET / HTTP/1.1").as_deref(), Some(expected));
        let expected = r#"4d 2d 53 45 is "M-SE": the peer seems to speak HTTP"#;
        assert_eq!(told(b"M-SEARCHES * HTTP/1.1").as_deref(), Some(expected));
        let tls = told(b"\x16\x03\x01");
        let expected = "16 03 01 is a TLS record: the peer seems to speak TLS";
        assert_eq!(tls.as_deref(), Some(expected));
    }
}
