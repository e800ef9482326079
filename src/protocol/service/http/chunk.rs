//! The line before a chunk: its size, and extensions, which are ignored (RFC 9112, 7.1).
//!
//! ```text
//!   1a ; name ; name = token ; name = "quoted \" text"
//! ```

use super::Refusal;
use super::head::BODY_TOO_LONG;
use crate::protocol::http::chunk::with_digit;
use crate::protocol::http::token::token_size;

/// The size of a chunk, from the line before it. Blanks may stand around the `;` and `=` of an
/// extension and nowhere else. An extension has a name.
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let count = digits.clone().count();
    let rest = &line[count..];
    if count == 0 || !(rest.is_empty() || blanks(rest).starts_with(b";")) {
        return Err(Refusal::bad("a chunk size is hexadecimal digits"));
    }
    if !are_extensions(rest) {
        return Err(Refusal::bad("a chunk extension is ;NAME or ;NAME=VALUE"));
    }
    let add = |size, digit: &u8| with_digit(size, *digit);
    // A size that overflows is over any limit.
    digits.clone().try_fold(0, add).map_err(|_| BODY_TOO_LONG)
}

fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(name) = blanks(rest).strip_prefix(b";").map(blanks) else {
            return false;
        };
        let Some(behind_name) = behind_token(name) else {
            return false;
        };
        let value = blanks(behind_name).strip_prefix(b"=").map(blanks);
        rest = match value.map(|value| behind_text(value).or_else(|| behind_token(value))) {
            None => behind_name,
            Some(Some(behind_value)) => behind_value,
            Some(None) => return false,
        };
    }
    true
}

/// The rest after the blanks at the front.
fn blanks(bytes: &[u8]) -> &[u8] {
    let other = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    &bytes[other.unwrap_or(bytes.len())..]
}

/// The rest after the token at the front, if there is one.
fn behind_token(bytes: &[u8]) -> Option<&[u8]> {
    let size = token_size(bytes);
    (size > 0).then(|| &bytes[size..])
}

/// The rest after the quoted string at the front, if there is one. A line has no control bytes, and
/// all other bytes may stand in the string (RFC 9110, 5.6.4).
fn behind_text(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_any_zeros_in_front_and_64_bits() {
        for (line, size) in [
            ("0", 0),
            ("000000000000000000000000000000000000000a", 10),
            ("fF", 255),
            ("0000ffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(chunk_size(line.as_bytes()), Ok(size), "{line}");
        }
        for line in ["10000000000000000", "00010000000000000000"] {
            assert_eq!(chunk_size(line.as_bytes()), Err(BODY_TOO_LONG), "{line}");
        }
    }

    #[test]
    fn an_extension_follows_the_grammar() {
        for line in [
            "2;a",
            "2 ;a",
            "2; a",
            "2\t;\ta",
            "2;a;b",
            "2;a=b",
            "2 ; a = b ; c = d",
            "2;a=\"\"",
            "2;a=\"b;c=\\\" d\"",
            "2;a=\"\\\\\"",
            "2;a=\"\u{e9}\";b",
            "2;1=!#$%&'*+-.^_`|~",
        ] {
            assert_eq!(chunk_size(line.as_bytes()), Ok(2), "{line:?}");
        }
        for line in [
            "2;",
            "2 ;",
            "2; ",
            "2;;a",
            "2;a;",
            "2;a ",
            "2;a=",
            "2;a= ",
            "2;=b",
            "2;a b",
            "2;a=b c",
            "2;a=\"",
            "2;a=\"b",
            "2;a=\"b\\\"",
            "2;a=\"b\"c",
            "2;a==b",
            "2;(a)",
            "2;\u{e9}",
            "2;a=b\"c\"",
            "2;\"a\"",
        ] {
            let refused = chunk_size(line.as_bytes());
            let reason = refused.map_err(|refusal| refusal.reason);
            let told = Err("a chunk extension is ;NAME or ;NAME=VALUE");
            assert_eq!(reason, told, "{line:?}");
        }
    }
}
