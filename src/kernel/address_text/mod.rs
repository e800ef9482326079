//! Parser for addresses as people write them.
//!
//! One syntax for every option that takes an address: `7007`, `host:port`, `[::1]:port`,
//! `tcp://host:port`, `udp://host:port`, `unix:/path`, `unix:@name`, `unixgram:/path`,
//! `unixgram:@name`, `fd://3`. Schemes are case-insensitive (RFC 3986, 3.1). A link-local address
//! may have the name or the number of its interface: `[fe80::1%eth0]:port` (RFC 4007, 11). The only
//! system call of the parser looks up the number of a named interface; a host name is looked up
//! later. A host that ends in a number, such as `0x7f.1` or `127.0.01`, is never looked up, because
//! resolvers read it as an old form of another address.
//!
//! An error is one line: what is wrong, and what is right. `mistakes` works out what the input was
//! probably meant to be. Man pages: ip(7), ipv6(7), unix(7), getaddrinfo(3).

mod mistakes;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use super::address::{Address, UnixName, lacks_interface};
use super::endpoint::{Carrier, Endpoint, HostName};
use super::passed::PASSED_FIRST;
use crate::sys::net::interface;

/// The longest local name: unix(7) has 108 bytes for a path with its NUL, or for a NUL with an
/// abstract name.
const UNIX_NAME_SIZE_MAX: usize = 107;

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(input: &str) -> Result<Endpoint, String> {
        parse(input)
    }
}

/// Refuses a host name, which only an [`Endpoint`] may have.
impl FromStr for Address {
    type Err = String;

    fn from_str(input: &str) -> Result<Address, String> {
        match parse(input)? {
            Endpoint::At(address) => Ok(address),
            Endpoint::Named(HostName { host, .. }) => {
                Err(format!("{host:?} is a host name; write its number"))
            }
            Endpoint::Passed(_) => Err("a descriptor has no address of its own".to_owned()),
        }
    }
}

/// A local address to connect from: `127.0.0.2`, `::1`, `fe80::1%eth0`. The kernel chooses the
/// port.
///
/// # Errors
///
/// One line that says what is wrong.
pub fn source(text: &str) -> Result<Address, String> {
    let malformed = || format!("{text:?} is not an IP address; write one like 127.0.0.2 or ::1");
    let address = match text.parse::<Ipv4Addr>() {
        Ok(ip) => SocketAddr::from((ip, 0)),
        Err(_) => {
            let (ip, scope) = zoned(text).ok_or_else(malformed)??;
            SocketAddrV6::new(ip, 0, 0, scope).into()
        }
    };
    match lacks_interface(&address) {
        None => Ok(Address::Tcp(address)),
        Some(line) => Err(line),
    }
}

fn parse(input: &str) -> Result<Endpoint, String> {
    if let Some(name) = after_scheme(input, "unix:") {
        return parse_unix(name, "unix:").map(|name| Endpoint::At(Address::Unix(name)));
    }
    if let Some(name) = after_scheme(input, "unixgram:") {
        return parse_unix(name, "unixgram:").map(|name| Endpoint::At(Address::Unixgram(name)));
    }
    if let Some(number) = after_scheme(input, "fd://") {
        return parse_descriptor(number);
    }
    if input.contains(char::is_whitespace) {
        return Err(mistakes::blanks(input));
    }
    for carrier in [Carrier::Tcp, Carrier::Udp] {
        if let Some(rest) = after_scheme(input, carrier.scheme()) {
            return parse_internet(rest, carrier, carrier.scheme());
        }
    }
    match mistakes::scheme(input) {
        Some(line) => Err(line),
        None => parse_internet(input, Carrier::Tcp, ""),
    }
}

/// The rest of `input` after `scheme`, if it begins with it in any case.
fn after_scheme<'a>(input: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = input.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn parse_descriptor(number: &str) -> Result<Endpoint, String> {
    let parsed = is_digits(number).then(|| number.parse::<i32>().ok());
    match parsed.flatten().map(i32::unsigned_abs) {
        Some(number) if number >= PASSED_FIRST => Ok(Endpoint::Passed(number)),
        Some(_) => Err(format!(
            "0 to 2 are the standard streams; write fd://{PASSED_FIRST} or more, or --inetd"
        )),
        None => Err(format!(
            "the descriptor {number:?} is wrong; write its number, such as fd://{PASSED_FIRST}"
        )),
    }
}

fn parse_unix(name: &str, scheme: &str) -> Result<UnixName, String> {
    // The form of a URL is unix:///run/x, with no host between the second and the third slash.
    let name = match name.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(rest) => return Err(mistakes::unix_with_a_host(rest, scheme)),
        None => name,
    };
    let (name, found) = match name.strip_prefix('@') {
        Some(name) => (name, UnixName::Abstract(name.into())),
        None => (name, UnixName::Path(name.into())),
    };
    let size = name.len();
    match found {
        _ if size == 0 => Err(mistakes::no_name(scheme)),
        _ if size > UNIX_NAME_SIZE_MAX => Err(format!(
            "the name has {size} bytes; {UNIX_NAME_SIZE_MAX} is the kernel's limit"
        )),
        UnixName::Path(_) if name.contains('\0') => Err(format!(
            "a path cannot hold a NUL byte; write {scheme}/PATH without it"
        )),
        found => Ok(found),
    }
}

/// Parses the part after `scheme`. A suggestion repeats the scheme as written.
fn parse_internet(input: &str, carrier: Carrier, scheme: &str) -> Result<Endpoint, String> {
    if is_digits(input) {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, parse_port(input)?));
        return Ok(Endpoint::At(carrier.at(here)));
    }
    if let Some(line) = mistakes::internet(input, carrier, scheme) {
        return Err(line);
    }
    // The last colon of `[::1]` belongs to the address, not to a port.
    let parts = if input.ends_with(']') {
        None
    } else {
        input.rsplit_once(':')
    };
    let Some((host, port)) = parts else {
        return Err(mistakes::no_port(input, carrier, scheme));
    };
    if port.is_empty() {
        return Err(mistakes::no_port(host, carrier, scheme));
    }
    if host.starts_with('[') {
        let port = parse_port(port)?;
        let (ip, scope) = bracketed(host, port, scheme)?;
        let address = SocketAddrV6::new(ip, port, 0, scope);
        return Ok(Endpoint::At(carrier.at(address.into())));
    }
    if host.contains(':') {
        return Err(mistakes::no_brackets(host, port, scheme));
    }
    parse_host(host, parse_port(port)?, carrier, scheme)
}

/// The address in brackets, and the number of its interface, or 0.
fn bracketed(host: &str, port: u16, scheme: &str) -> Result<(Ipv6Addr, u32), String> {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner.and_then(zoned) {
        Some(found) => found,
        None => Err(mistakes::brackets(host, port, scheme)),
    }
}

/// Parses `fe80::1` or `fe80::1%eth0`; `None` if the text is not an IPv6 address.
fn zoned(text: &str) -> Option<Result<(Ipv6Addr, u32), String>> {
    let (ip, zone) = match text.split_once('%') {
        None => return text.parse().ok().map(|ip| Ok((ip, 0))),
        Some((ip, zone)) => (ip.parse().ok()?, zone),
    };
    let number = match is_digits(zone) {
        true => zone.parse().ok(),
        false => interface::number(zone),
    };
    Some(match number {
        Some(number) => Ok((ip, number)),
        None => Err(mistakes::interface(ip, zone)),
    })
}

fn parse_host(host: &str, port: u16, carrier: Carrier, scheme: &str) -> Result<Endpoint, String> {
    if host.is_empty() {
        return Err(format!(
            "the host is missing; write {scheme}127.0.0.1:{port} for this machine, \
             or {scheme}0.0.0.0:{port} to listen on all addresses"
        ));
    }
    if ends_in_a_number(host) {
        let quad: Ipv4Addr = host.parse().map_err(|_| {
            let right = format!(
                "write four numbers up to 255 without leading zeros, {scheme}127.0.0.1:{port}"
            );
            format!("{host} is not a dotted quad; {right}")
        })?;
        return Ok(Endpoint::At(carrier.at((quad, port).into())));
    }
    if !is_host_name(host) {
        return Err(mistakes::host(host, port, scheme));
    }
    Ok(Endpoint::Named(HostName {
        host: host.to_owned(),
        port,
        carrier,
    }))
}

fn is_host_name(host: &str) -> bool {
    let letter = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    !host.is_empty() && host.chars().all(letter)
}

/// Whether `host` ends in a number by the rule of the URL standard (3.5).
fn ends_in_a_number(host: &str) -> bool {
    let mut labels = host.trim_end_matches('.').rsplit('.');
    let last = labels.next().unwrap_or("").to_ascii_lowercase();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => last.bytes().all(|digit| digit.is_ascii_digit()),
    }
}

/// Whether `text` has at least one digit and nothing else.
fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_port(port: &str) -> Result<u16, String> {
    // The digits are checked because the standard parser also accepts a plus sign.
    let number = is_digits(port).then(|| port.parse().ok());
    let malformed = || format!("the port {port:?} is wrong; write a number from 0 to 65535");
    number.flatten().ok_or_else(malformed)
}

#[cfg(test)]
mod tests;
