//! Error messages for mistyped addresses, with a suggestion.
//!
//! Every line says what is wrong and gives a form that is right, made from the input where
//! possible. A suggestion is always an address that the parser accepts. If the input could mean
//! several things, or nothing, the line lists the possible forms. Neighbour: `address_text`, the
//! parser that calls these functions.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::endpoint::Carrier;
use super::{ends_in_a_number, is_digits, is_host_name, parse_internet, parse_port, zoned};
use crate::base::text::suggest::suggest;
use crate::sys::net::interface;

const EMPTY: &str = "it is empty; write a port such as 7007, or HOST:PORT";

/// The port in a suggestion when none was given.
const PORT: u16 = 7007;

/// The error for an address with blanks in it.
pub(super) fn blanks(input: &str) -> String {
    let words: Vec<&str> = input.split_whitespace().collect();
    match words[..] {
        [] => EMPTY.to_owned(),
        [word] => format!("there are blanks around it; write {word}"),
        [host, port] if parse_port(port).is_ok() && is_host(host) => {
            let host = match host.parse::<Ipv6Addr>() {
                Ok(ip) => format!("[{ip}]"),
                Err(_) => host.to_owned(),
            };
            format!("the port follows a colon; write {host}:{port}")
        }
        _ => "an address has no blanks; write HOST:PORT, such as localhost:7007".to_owned(),
    }
}

fn is_host(host: &str) -> bool {
    let quad = !ends_in_a_number(host) || host.parse::<Ipv4Addr>().is_ok();
    host.parse::<Ipv6Addr>().is_ok() || is_host_name(host) && quad
}

/// The error for an unknown scheme in `input`, if it has one. The caller has already removed known
/// schemes.
pub(super) fn scheme(input: &str) -> Option<String> {
    for word in ["tcp", "udp"] {
        // tcp:7007, tcp:/host:7007, tcp//host:7007, tcp alone.
        let start = input.split([':', '/']).next().unwrap_or("");
        if start.eq_ignore_ascii_case(word) {
            let rest = input[word.len()..].trim_start_matches([':', '/']);
            return Some(format!(
                "{word} is followed by ://; write {}",
                internet_or(rest, word, "HOST:PORT")
            ));
        }
    }
    if input.eq_ignore_ascii_case("unix") {
        return Some(no_name("unix:"));
    }
    let (scheme, rest) = input.split_once("://")?;
    let right = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => internet_or(&authority(rest, 80), "tcp", "HOST:80"),
        "https" | "wss" => {
            let right = internet_or(&authority(rest, 443), "tcp", "HOST:443");
            return Some(format!(
                "the scheme {scheme:?} is not known, and TLS is not spoken; write {right}"
            ));
        }
        "file" if rest.starts_with('/') => format!("unix:{rest}"),
        other => match suggest(other, ["tcp", "udp", "unix", "unixgram"].into_iter()) {
            Some("unix") => format!("unix:{rest}"),
            Some(near) => internet_or(rest, near, "HOST:PORT"),
            None => "tcp://HOST:PORT, udp://HOST:PORT or unix:/PATH".to_owned(),
        },
    };
    Some(format!("the scheme {scheme:?} is not known; write {right}"))
}

/// `scheme://rest` if this is an address, else `scheme://form`.
fn internet_or(rest: &str, scheme: &str, form: &str) -> String {
    let is_address = parse_internet(rest, Carrier::Tcp, "").is_ok();
    format!("{scheme}://{}", if is_address { rest } else { form })
}

/// The host and the port of a URL whose part after the scheme is `rest`.
fn authority(rest: &str, default_port: u16) -> String {
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = host.trim_end_matches(':');
    // A URL may have user information in front of an @.
    let host = host.rsplit('@').next().unwrap_or(host);
    match host.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => host.to_owned(),
        _ => format!("{host}:{default_port}"),
    }
}

/// The error for `unix://` followed by `rest` without a third slash.
pub(super) fn unix_with_a_host(rest: &str, scheme: &str) -> String {
    match rest.is_empty() {
        true => no_name(scheme),
        false => format!(
            "{scheme}// is followed by another slash; write {scheme}/{rest} or {scheme}{rest}"
        ),
    }
}

/// The error for a local address without a name.
pub(super) fn no_name(scheme: &str) -> String {
    format!("the name is missing; write {scheme}/PATH or {scheme}@NAME")
}

/// The error if `input`, the part after `scheme`, is not a host and a port; `None` if it may be.
pub(super) fn internet(input: &str, carrier: Carrier, scheme: &str) -> Option<String> {
    if input.is_empty() {
        return Some(EMPTY.to_owned());
    }
    let unsigned = input.trim_start_matches(['+', '-']);
    if unsigned.len() < input.len() && parse_port(unsigned).is_ok() {
        return Some(format!("a port has no sign; write {scheme}{unsigned}"));
    }
    let is_address = |text: &str| parse_internet(text, carrier, scheme).is_ok();
    if let Some((first, _)) = input.split_once([',', ';']) {
        if is_address(first) {
            return Some(format!(
                "it is more than one address; write {scheme}{first}"
            ));
        }
    }
    let end = input.find(['/', '?', '#'])?;
    let (front, path) = input.split_at(end);
    match path.strip_prefix('/') {
        // The port in /etc/services.
        Some(word @ ("tcp" | "udp")) if scheme.is_empty() && is_address(front) => {
            return Some(format!("the protocol comes first; write {word}://{front}"));
        }
        Some(port) if is_host(front) && parse_port(port).is_ok() => {
            return Some(format!(
                "the port follows a colon; write {scheme}{front}:{port}"
            ));
        }
        _ => {}
    }
    let is_path = scheme.is_empty() && path.starts_with('/');
    if is_path && ["", ".", "..", "~"].contains(&front) {
        return Some(format!("it looks like a path; write unix:{input}"));
    }
    Some(match parse_internet(front, carrier, scheme) {
        Ok(_) => format!("an address has no path; write {scheme}{front}"),
        Err(_) if is_path && path.len() > 1 && !front.contains(':') => {
            format!("it is no HOST:PORT; a path is written unix:{input}")
        }
        Err(line) => line,
    })
}

/// The error for a `host` without a port.
pub(super) fn no_port(host: &str, carrier: Carrier, scheme: &str) -> String {
    if is_digits(host) && parse_port(host).is_ok() {
        return format!("the host is missing; write {scheme}{host}, or HOST:{host}");
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return no_brackets(host, "", scheme);
    }
    if is_host_and_port(host) {
        return format!("there is a colon behind the port; write {scheme}{host}");
    }
    if let Some(front) = host
        .strip_suffix(']')
        .filter(|front| is_host_and_port(front))
    {
        return format!("there is a bracket behind the port; write {scheme}{front}");
    }
    let whole = format!("{host}:{PORT}");
    match parse_internet(&whole, carrier, scheme) {
        Ok(_) => format!("the port is missing; write HOST:PORT, such as {scheme}{whole}"),
        Err(_) => "the port is missing; write HOST:PORT, such as localhost:7007".to_owned(),
    }
}

/// Whether `text` is a host without colons and a port. This does not call the parser: the parser
/// calls this file for its errors, and would recurse for the same text.
fn is_host_and_port(text: &str) -> bool {
    let parts = text.split_once(':');
    parts.is_some_and(|(host, port)| is_host(host) && parse_port(port).is_ok())
}

/// The error for an IPv6 address without brackets, whose last group may be the port.
pub(super) fn no_brackets(host: &str, port: &str, scheme: &str) -> String {
    if is_host_and_port(host) {
        return format!("there is a second port; write {scheme}{host}");
    }
    let whole = format!("{host}:{port}");
    let right = match (host.parse::<Ipv6Addr>(), whole.parse::<Ipv6Addr>()) {
        (Ok(ip), _) if parse_port(port).is_ok() => format!("[{ip}]:{port}"),
        (Ok(ip), _) | (_, Ok(ip)) => format!("[{ip}]:{PORT}"),
        _ => format!("[::1]:{PORT}"),
    };
    format!("an IPv6 address goes in brackets; write it like {scheme}{right}")
}

/// The error for a `host` that begins with a bracket and is no IPv6 address in brackets.
pub(super) fn brackets(host: &str, port: u16, scheme: &str) -> String {
    let inner = host.trim_matches(['[', ']']);
    let right = match (zoned(inner), is_host(inner)) {
        (Some(_), _) => format!("[{inner}]:{port}"),
        (None, true) => format!("{inner}:{port}"),
        (None, false) => format!("[::1]:{port}"),
    };
    format!("{host} is not an IPv6 address in brackets; write one like {scheme}{right}")
}

/// The error for a `zone` that is no interface of this machine.
pub(super) fn interface(ip: Ipv6Addr, zone: &str) -> String {
    if zone.is_empty() {
        return format!("the interface is missing behind %; write {ip}%eth0");
    }
    // A URL writes the percent sign itself as %25 (RFC 6874).
    match zone.strip_prefix("25") {
        Some(name) if interface::number(name).is_some() => {
            format!("there is no interface {zone:?}; write {ip}%{name}")
        }
        _ => format!("there is no interface {zone:?}; ip link lists those of this machine"),
    }
}

/// The error for a `host` with characters that no host name has.
pub(super) fn host(host: &str, port: u16, scheme: &str) -> String {
    let right = match host.rsplit_once('@') {
        _ if host == "*" => format!("write {scheme}0.0.0.0:{port} to listen on all addresses"),
        Some((_, host)) if is_host(host) => format!("write {scheme}{host}:{port}"),
        _ => format!("write one like {scheme}localhost:{port}"),
    };
    format!("{host:?} is not a host name; {right}")
}

#[cfg(test)]
mod tests;
