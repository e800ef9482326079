//! The target of a request: a path, a URI, or a host and a port (RFC 9112, 3.2; RFC 3986).
//!
//! Bytes above 0x7f, the blank, control bytes and `"#<>` are refused in a target. RFC 3986 also
//! excludes the eight bytes of [`UNESCAPED`]. Browsers send them unescaped (WHATWG URL, query
//! percent-encode set), and all servers agree where such a target ends, so they are accepted.

use crate::protocol::http::token::{alphanumeric_and, are_all, split_at_byte};

/// Bytes that RFC 3986 wants escaped and browsers leave unescaped in a query.
const UNESCAPED: &[u8; 8] = b"[]{}|\\^`";

/// The bytes of a path with its query: unreserved ones, sub-delimiters, and `:@/?%` (RFC 3986, 3.3
/// and 3.4).
const PATH: [bool; 256] = {
    let mut table = alphanumeric_and(b"-._~!$&'()*+,;=:@/?%");
    let mut at = 0;
    while at < UNESCAPED.len() {
        table[UNESCAPED[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether these bytes are a path, with or without a query.
pub(super) fn is_path(target: &[u8]) -> bool {
    target.starts_with(b"/") && are_all(&PATH, target)
}

/// Whether these bytes are an `http` or `https` URI. A URI without a host or with user information
/// is refused (RFC 9110, 4.2).
pub(super) fn is_uri(target: &[u8]) -> bool {
    let after = |scheme: &[u8]| {
        let (front, rest) = target.split_at_checked(scheme.len())?;
        front.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else {
        return false;
    };
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    is_host(authority) && !matches!(authority, [] | [b':', ..]) && are_all(&PATH, path)
}

/// Whether these bytes are a host and a port to connect to; both are required (RFC 9112, 3.2.3).
pub(super) fn is_authority(target: &[u8]) -> bool {
    let Some(colon) = target.iter().rposition(|byte| *byte == b':') else {
        return false;
    };
    let port = std::str::from_utf8(&target[colon + 1..]).unwrap_or_default();
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    colon > 0 && is_port && is_host(target)
}

fn is_port(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
}

/// Whether these bytes can be a host with or without a port, or nothing (RFC 3986, 3.2.2 and
/// 3.2.3).
pub(super) fn is_host(bytes: &[u8]) -> bool {
    const NAME: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=%");
    let port = match bytes {
        [b'[', rest @ ..] => match split_at_byte(rest, b']') {
            Some((address, port)) if is_address(address) => port,
            _ => return false,
        },
        _ => match bytes.iter().position(|byte| !NAME[usize::from(*byte)]) {
            Some(end) => &bytes[end..],
            None => return true,
        },
    };
    match port {
        [] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    }
}

/// Whether these bytes can stand in brackets: an IPv6 address, or `v1.x` of a later version.
fn is_address(bytes: &[u8]) -> bool {
    const LATER: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+,;=:");
    let [b'v' | b'V', rest @ ..] = bytes else {
        return is_ipv6(bytes);
    };
    let Some((version, address)) = split_at_byte(rest, b'.') else {
        return false;
    };
    let is_version = !version.is_empty() && version.iter().all(u8::is_ascii_hexdigit);
    is_version && !address.is_empty() && are_all(&LATER, address)
}

/// Eight groups, or fewer around `::`, which stands for at least one group.
fn is_ipv6(bytes: &[u8]) -> bool {
    match bytes.windows(2).position(|two| two == b"::") {
        None => groups(bytes) == Some(8),
        Some(at) => match (groups(&bytes[..at]), groups(&bytes[at + 2..])) {
            // An IPv4 address may stand only at the end.
            (Some(front), Some(back)) => front + back <= 7 && !bytes[..at].contains(&b'.'),
            _ => false,
        },
    }
}

/// How many groups of 16 bits these bytes hold, separated by colons; `None` if a part is no group.
fn groups(bytes: &[u8]) -> Option<usize> {
    if bytes.is_empty() {
        return Some(0);
    }
    let (mut count, mut parts) = (0, bytes.split(|byte| *byte == b':').peekable());
    while let Some(part) = parts.next() {
        let is_group = (1..=4).contains(&part.len()) && part.iter().all(u8::is_ascii_hexdigit);
        count += match is_group {
            true => 1,
            false if parts.peek().is_none() && is_ipv4(part) => 2,
            false => return None,
        };
    }
    Some(count)
}

/// Four numbers up to 255 without leading zeros.
fn is_ipv4(bytes: &[u8]) -> bool {
    let is_octet = |part: &[u8]| {
        let text = std::str::from_utf8(part).unwrap_or_default();
        let is_short = part.len() == 1 || !part.starts_with(b"0");
        is_short && part.iter().all(u8::is_ascii_digit) && text.parse::<u8>().is_ok()
    };
    let parts = || bytes.split(|byte| *byte == b'.');
    parts().count() == 4 && parts().all(is_octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_has_eight_groups_or_stands_for_them() {
        for text in [
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::3:4:5:6:7:8",
            "ABCD::ef01",
            "::1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
            "::ffff:0.0.0.255",
            "1:2:3:4:5::1.2.3.4",
        ] {
            assert!(is_ipv6(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            ":",
            "1",
            ":1",
            "1:",
            ":::",
            "1:::2",
            "1::2::3",
            "1:2:3:4:5:6:7",
            "::1:",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
            "12345::",
            "g::",
            "1 ::",
            "::1%1",
            "::1.2.3",
            "::1.2.3.4.5",
            "::256.2.3.4",
            "::01.2.3.4",
            "::1.2.3.4:5",
            "1.2.3.4::",
            "1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "1:2:3:4:5:6::1.2.3.4",
            "::1.2..4",
            "::+1.2.3.4",
        ] {
            assert!(!is_ipv6(text.as_bytes()), "{text}");
        }
    }
}
