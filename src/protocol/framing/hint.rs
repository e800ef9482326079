//! Guesses which protocol a peer speaks when its header was refused. Mostly the peer has connected
//! to the wrong port.
//!
//! ```text
//!   47 45 54 20    "GET "     HTTP          16 03 01    a TLS record (RFC 8446, 5.1)
//!   53 53 48 2D    "SSH-"     SSH           68 65 6C 6C any other text
//! ```
//!
//! A guess made here only serves the readers of the log: no decision depends on it. Bytes that look
//! like no known protocol give no hint. `opening` also returns a [`Hint`], by rules of its own.

use std::fmt;

/// How many bytes at the front of a frame a hint is based on.
pub const HINT_SIZE: usize = 8;

/// What the first bytes of a frame look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    language: Language,
    first: [u8; 4],
    shown: u8,
}

/// What the peer may be speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Http,
    Ssh,
    Tls,
    Text,
}

/// First bytes of requests, responses and prefaces. No other protocol known here begins like them.
const BEGINNINGS: &[(&[u8], Language)] = &[
    (b"GET ", Language::Http),
    (b"PUT ", Language::Http),
    (b"PRI ", Language::Http),
    (b"HEAD", Language::Http),
    (b"POST", Language::Http),
    (b"HTTP", Language::Http),
    (b"OPTI", Language::Http),
    (b"DELE", Language::Http),
    (b"CONN", Language::Http),
    (b"PATC", Language::Http),
    (b"TRAC", Language::Http),
    (b"SSH-", Language::Ssh),
    (b"\x16\x03\x00", Language::Tls),
    (b"\x16\x03\x01", Language::Tls),
    (b"\x16\x03\x02", Language::Tls),
    (b"\x16\x03\x03", Language::Tls),
];

/// The protocol that begins like `bytes`.
pub(super) fn language(bytes: &[u8]) -> Option<Hint> {
    let begins = |(beginning, _): &&(&[u8], Language)| bytes.starts_with(beginning);
    let (beginning, language) = BEGINNINGS.iter().find(begins)?;
    Some(Hint::new(*language, beginning))
}

/// Text, if all of `bytes` are printable ASCII, spaces, tabs and line ends.
pub(super) fn text(bytes: &[u8]) -> Option<Hint> {
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    let all = !bytes.is_empty() && bytes.iter().all(printable);
    all.then(|| Hint::new(Language::Text, bytes))
}

impl Hint {
    /// What a peer seems to speak if its bytes were expected to be an HTTP request and are not.
    pub fn beside_http(bytes: &[u8]) -> Option<Hint> {
        language(bytes).filter(|hint| hint.language != Language::Http)
    }

    /// What a peer seems to speak if its bytes were expected to be a TLS record and are not.
    pub fn beside_tls(bytes: &[u8]) -> Option<Hint> {
        let is_other = |hint: &Hint| !hint.is_tls();
        language(bytes).or_else(|| text(bytes)).filter(is_other)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.language == Language::Tls
    }

    /// HTTP, by the first bytes of a request.
    pub(super) fn http(bytes: &[u8]) -> Hint {
        Hint::new(Language::Http, bytes)
    }

    /// TLS, by the first bytes of a record.
    pub(super) fn tls(bytes: &[u8]) -> Hint {
        Hint::new(Language::Tls, bytes)
    }

    fn new(language: Language, bytes: &[u8]) -> Hint {
        let (mut first, shown) = ([0; 4], bytes.len().min(4));
        first[..shown].copy_from_slice(&bytes[..shown]);
        Hint {
            language,
            first,
            shown: shown as u8,
        }
    }
}

impl fmt::Display for Hint {
    /// For example `47 45 54 20 is "GET ": the peer seems to speak HTTP`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.first[..usize::from(self.shown)];
        for byte in first {
            write!(f, "{byte:02x} ")?;
        }
        let name = match self.language {
            Language::Http => "HTTP",
            Language::Ssh => "SSH",
            Language::Tls => return f.write_str("is a TLS record: the peer seems to speak TLS"),
            Language::Text => "text",
        };
        let text = first.escape_ascii();
        write!(f, "is \"{text}\": the peer seems to speak {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::Hint;
    use crate::protocol::framing::Framing;

    fn hint(spec: &str, bytes: &[u8]) -> String {
        let hint = spec.parse::<Framing>().unwrap().hint(bytes);
        hint.map_or(String::new(), |hint| hint.to_string())
    }

    #[test]
    fn a_header_that_is_something_else_is_recognised() {
        for (bytes, told) in [
            (
                b"GET / HT".as_slice(),
                r#"47 45 54 20 is "GET ": the peer seems to speak HTTP"#,
            ),
            (
                b"\x16\x03\x01\x02\0",
                "16 03 01 is a TLS record: the peer seems to speak TLS",
            ),
            (
                b"SSH-2.0-",
                r#"53 53 48 2d is "SSH-": the peer seems to speak SSH"#,
            ),
            (
                b"hi\r\n\0",
                r#"68 69 0d 0a is "hi\r\n": the peer seems to speak text"#,
            ),
        ] {
            for spec in ["u16be", "u24le", "u32be", "i32le"] {
                assert_eq!(hint(spec, bytes), told, "{spec}");
            }
        }
    }

    #[test]
    fn unknown_bytes_give_no_hint() {
        for bytes in [
            b"\xff\xff\xff\xff".as_slice(),
            b"ab\x7fc",
            b"\x16\x04\x01",
            b"abc\0",
        ] {
            assert_eq!(hint("u32be", bytes), "", "{bytes:?}");
        }
        // All bytes of the field must be text.
        assert_eq!(hint("u64be", b"abcd\0\0\0\0"), "");
        assert_ne!(hint("u64be", b"abcdefgh"), "");
    }

    #[test]
    fn http_in_place_of_http_gives_no_hint() {
        let hint = |bytes: &[u8]| Hint::beside_http(bytes).map(|hint| hint.to_string());
        for bytes in [
            b"GET / HTTP/1.1".as_slice(),
            b"PRI * HTTP/2.0",
            b"hello",
            b"",
        ] {
            assert_eq!(hint(bytes), None, "{bytes:?}");
        }
        let told = "16 03 01 is a TLS record: the peer seems to speak TLS";
        assert_eq!(hint(b"\x16\x03\x01\x02\0").as_deref(), Some(told));
        let told = "53 53 48 2d is \"SSH-\": the peer seems to speak SSH";
        assert_eq!(hint(b"SSH-2.0-x\r\n").as_deref(), Some(told));
    }

    #[test]
    fn text_in_a_text_framing_gives_no_hint() {
        assert_eq!(hint("netstring", b"hello"), "");
        assert_eq!(hint("ascii:4", b"9999"), "");
        assert_ne!(hint("ascii:4", b"GET / HT"), "");
        assert_eq!(hint("raw", b"GET / HT"), "");
    }
}
