//! Version 1: a line of text, for people.
//!
//! ```text
//!   PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n
//!   PROXY TCP6 SOURCE DESTINATION PORT PORT\r\n
//!   PROXY UNKNOWN ...\r\n                          anything up to the end of the line
//! ```
//!
//! One blank between two words, decimal numbers without leading zeros, nothing left out: a sender
//! is a program. Section 2.1 of the specification.

use super::{Parsed, Source};
use crate::limits::PROXY_LINE_MAX;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// `bytes` agree with the signature as far as both go.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let head = &bytes[..bytes.len().min(PROXY_LINE_MAX)];
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return match head.len() {
            PROXY_LINE_MAX => Parsed::Wrong("the line is longer than 107 bytes"),
            _ => Parsed::Incomplete,
        };
    };
    let line = (head[..end].strip_suffix(b"\r")).and_then(|line| line.strip_prefix(SIGNATURE));
    match line.and_then(source) {
        Some(source) => Parsed::Header {
            size: end + 1,
            source,
        },
        None => Parsed::Wrong("the line is not TCP4, TCP6 or UNKNOWN with its addresses"),
    }
}

/// The client of a line, without its signature and its end.
fn source(line: &[u8]) -> Option<Source> {
    let mut words = line.split(|byte| *byte == b' ');
    let family = words.next()?;
    if family == b"UNKNOWN" {
        return Some(Source::Peer);
    }
    let [from, to, from_port, to_port] = [(); 4].map(|()| words.next());
    let port = number(from_port?, u16::MAX)?;
    number(to_port?, u16::MAX)?;
    let source = match family {
        b"TCP4" => {
            ipv4(to?)?;
            Source::Ipv4(ipv4(from?)?, port)
        }
        b"TCP6" => {
            ipv6(to?)?;
            Source::Ipv6(ipv6(from?)?, port)
        }
        _ => return None,
    };
    words.next().is_none().then_some(source)
}

/// A decimal number up to `most`, without leading zeros.
fn number(text: &[u8], most: u16) -> Option<u16> {
    let is_plain = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= 5;
    let digits = is_plain.then_some(text)?;
    let add = |sum: u32, digit: &u8| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u32::from(digit - b'0'))
    };
    let number = digits.iter().try_fold(0, add)?;
    (number <= u32::from(most)).then_some(number as u16)
}

fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    let mut parts = text.split(|byte| *byte == b'.');
    let mut address = [0; 4];
    for byte in &mut address {
        *byte = number(parts.next()?, u8::MAX.into())? as u8;
    }
    parts.next().is_none().then_some(address)
}

/// An IPv6 address as RFC 4291, 2.2 writes it: groups of hex digits, of which one run of zeros may
/// be left out, and an IPv4 address in place of the last two.
fn ipv6(text: &[u8]) -> Option<[u8; 16]> {
    let gap = text.windows(2).position(|pair| pair == b"::");
    let (front, back) = match gap {
        Some(place) => (&text[..place], &text[place + 2..]),
        None => (text, &[][..]),
    };
    let mut address = [0; 16];
    let count = groups(front, gap.is_none(), &mut address)?;
    let mut rest = [0; 16];
    let behind = groups(back, true, &mut rest)?;
    match gap {
        None if count < 16 => return None,
        // At least one group is left out.
        Some(_) if count + behind > 14 => return None,
        _ => {}
    }
    address[16 - behind..].copy_from_slice(&rest[..behind]);
    Some(address)
}

/// Writes the groups of `text` to the front of `address`. Returns their bytes.
fn groups(text: &[u8], is_last: bool, address: &mut [u8; 16]) -> Option<usize> {
    let mut at = 0;
    if text.is_empty() {
        return Some(0);
    }
    let mut parts = text.split(|byte| *byte == b':').peekable();
    while let Some(part) = parts.next() {
        if is_last && parts.peek().is_none() && part.contains(&b'.') {
            address.get_mut(at..at + 4)?.copy_from_slice(&ipv4(part)?);
            return Some(at + 4);
        }
        let is_group = (1..=4).contains(&part.len()) && part.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(is_group.then_some(part)?).ok()?;
        let group = u16::from_str_radix(text, 16).ok()?;
        address
            .get_mut(at..at + 2)?
            .copy_from_slice(&group.to_be_bytes());
        at += 2;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_no_leading_zero_and_no_sign() {
        let number = |text: &str| number(text.as_bytes(), 65535);
        assert_eq!([number("0"), number("65535")], [Some(0), Some(65535)]);
        for text in ["", "00", "01", "+1", "-1", "65536", "655350", "1a", " 1"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
