//! Replies of FTP: a code of three digits and a text, on one line or on several (RFC 959, 4.2).
//!
//! ```text
//!   211-Features:            the code and a hyphen
//!    REST STREAM             lines between, each behind a blank, so that none looks like the last
//!   211 End                  the code and a blank
//! ```
//!
//! A text may quote what a client has sent: control characters in it become `?`, so that one reply
//! stays one reply.

/// A reply that refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: u16,
    /// Its text.
    pub text: &'static str,
}

impl Refusal {
    /// A known command with a wrong argument.
    pub const SYNTAX: Refusal = Refusal::new(501, "The argument is missing or wrong.");
    /// A right argument that is not served.
    pub const PARAMETER: Refusal = Refusal::new(504, "This parameter is not implemented.");

    /// A refusal.
    pub const fn new(code: u16, text: &'static str) -> Refusal {
        Refusal { code, text }
    }
}

/// A reply of one line.
pub fn line(code: u16, text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut reply = format!("{code} ").into_bytes();
    push(&mut reply, text.as_ref());
    reply
}

/// A reply of several lines: the first, those between, and the last.
pub fn lines<T: AsRef<[u8]>>(
    code: u16,
    first: &str,
    between: impl IntoIterator<Item = T>,
    last: &str,
) -> Vec<u8> {
    let mut reply = format!("{code}-").into_bytes();
    push(&mut reply, first.as_bytes());
    for text in between {
        reply.push(b' ');
        push(&mut reply, text.as_ref());
    }
    reply.extend(format!("{code} ").bytes());
    push(&mut reply, last.as_bytes());
    reply
}

/// Adds a text and its end of line.
pub(super) fn push(reply: &mut Vec<u8>, text: &[u8]) {
    reply.extend(text.iter().map(|byte| match byte {
        // 255 is a command of telnet, which no UTF-8 contains.
        0..=31 | 127 | 255 => b'?',
        byte => *byte,
    }));
    reply.extend(b"\r\n");
}

/// A path in double quotes, with those inside doubled (RFC 959, appendix II).
pub fn quoted(path: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for byte in path {
        text.push(*byte);
        if *byte == b'"' {
            text.push(*byte);
        }
    }
    text.push(b'"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_reply_whatever_it_quotes() {
        assert_eq!(line(550, "a\r\n221 b\0"), b"550 a??221 b?\r\n");
        let features = lines(211, "Features:", ["SIZE", "211 x"], "End");
        assert_eq!(features, b"211-Features:\r\n SIZE\r\n 211 x\r\n211 End\r\n");
        assert_eq!(quoted(b"/a\"b"), b"\"/a\"\"b\"");
    }
}
