//! Addresses as people write them.
//!
//! One syntax for every place that takes one: `7007`, `host:port`, `[::1]:port`, `tcp://host:port`,
//! `udp://host:port`, `unix:/path`, `unix:@name`. The parser is pure; only a host name is then
//! looked up, and one that ends in a number, `0x7f.1` or `127.0.01`, never is, because resolvers
//! take it for an old spelling of something else. A refusal is one line: the input, what is wrong,
//! what is right.
//!
//! Its only neighbour is the type it yields. Man pages: ip(7), unix(7), getaddrinfo(3).

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::str::FromStr;

use super::address::{Address, UnixName};

/// The bytes that unix(7) has for a path and its NUL, or for a NUL and an abstract name.
const UNIX_NAME_SIZE_MAX: usize = 107;

impl FromStr for Address {
    type Err = String;

    fn from_str(input: &str) -> Result<Address, String> {
        match parse(input)? {
            Parsed::Address(address) => Ok(address),
            Parsed::Host(host, port, carrier) => resolve(host, port).map(carrier.at()),
        }
    }
}

/// What an input says by itself.
#[derive(Debug, PartialEq, Eq)]
enum Parsed<'a> {
    Address(Address),
    /// A name that has to be looked up.
    Host(&'a str, u16, Carrier),
}

/// What runs over IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Tcp,
    Udp,
}

impl Carrier {
    fn at(self) -> fn(SocketAddr) -> Address {
        match self {
            Carrier::Tcp => Address::Tcp,
            Carrier::Udp => Address::Udp,
        }
    }
}

fn parse(input: &str) -> Result<Parsed<'_>, String> {
    if let Some(name) = input.strip_prefix("unix:") {
        return parse_unix(name);
    }
    for word in ["unixgram:", "fd://"] {
        if input.starts_with(word) {
            return Err(format!(
                "{word} is not supported yet; write tcp://HOST:PORT or unix:/PATH"
            ));
        }
    }
    match input.split_once("://") {
        None => parse_internet(input, Carrier::Tcp),
        Some(("tcp", rest)) => parse_internet(rest, Carrier::Tcp),
        Some(("udp", rest)) => parse_internet(rest, Carrier::Udp),
        Some((scheme, _)) => Err(format!(
            "the scheme {scheme:?} is not known; write tcp://HOST:PORT or unix:/PATH"
        )),
    }
}

fn parse_unix(name: &str) -> Result<Parsed<'_>, String> {
    let (name, found) = match name.strip_prefix('@') {
        Some(name) => (name, UnixName::Abstract(name.into())),
        None => (name, UnixName::Path(name.into())),
    };
    let size = name.len();
    match found {
        _ if size == 0 => Err("the name is missing; write unix:/PATH or unix:@NAME".into()),
        _ if size > UNIX_NAME_SIZE_MAX => Err(format!(
            "the name has {size} bytes; {UNIX_NAME_SIZE_MAX} is the kernel's limit"
        )),
        UnixName::Path(_) if name.contains('\0') => {
            Err("a path cannot hold a NUL byte; write unix:/PATH without it".into())
        }
        found => Ok(Parsed::Address(Address::Unix(found))),
    }
}

fn parse_internet(input: &str, carrier: Carrier) -> Result<Parsed<'_>, String> {
    if input.is_empty() {
        return Err("it is empty; write a port such as 7007, or HOST:PORT".into());
    }
    if input.bytes().all(|byte| byte.is_ascii_digit()) {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, parse_port(input)?));
        return Ok(Parsed::Address(carrier.at()(here)));
    }
    // The last colon of `[::1]` is its own, not the port's.
    let parts = if input.ends_with(']') {
        None
    } else {
        input.rsplit_once(':')
    };
    let Some((host, port)) = parts else {
        return Err(format!(
            "the port is missing; write HOST:PORT, such as {:?}",
            format!("{input}:7007")
        ));
    };
    if host.starts_with('[') {
        parse_port(port)?;
        let address: SocketAddrV6 = input.parse().map_err(|_| {
            format!("{host} is not an IPv6 address in brackets; write one like [::1]:{port}")
        })?;
        return Ok(Parsed::Address(carrier.at()(address.into())));
    }
    if host.contains(':') {
        return Err("an IPv6 address goes in brackets; write it like [::1]:7007".into());
    }
    parse_host(host, parse_port(port)?, carrier)
}

fn parse_host(host: &str, port: u16, carrier: Carrier) -> Result<Parsed<'_>, String> {
    if host.is_empty() {
        return Err(format!(
            "the host is missing; write 127.0.0.1:{port}, or 0.0.0.0:{port} for all"
        ));
    }
    if ends_in_a_number(host) {
        let quad: Ipv4Addr = host.parse().map_err(|_| {
            let right =
                format!("write four numbers up to 255 without leading zeros, 127.0.0.1:{port}");
            format!("{host} is not a dotted quad; {right}")
        })?;
        return Ok(Parsed::Address(carrier.at()((quad, port).into())));
    }
    if !host
        .chars()
        .all(|letter| letter.is_alphanumeric() || "-_.".contains(letter))
    {
        return Err(format!(
            "{host:?} is not a host name; write one like localhost:{port}"
        ));
    }
    Ok(Parsed::Host(host, port, carrier))
}

/// Whether the last label of `host` makes it a number, by the URL standard's rule (3.5).
fn ends_in_a_number(host: &str) -> bool {
    let mut labels = host.trim_end_matches('.').rsplit('.');
    let last = labels.next().unwrap_or("").to_ascii_lowercase();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => last.bytes().all(|digit| digit.is_ascii_digit()),
    }
}

fn parse_port(port: &str) -> Result<u16, String> {
    // The digits are looked at because the standard parser takes a plus sign too.
    let number = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok());
    let wrong = || format!("the port {port:?} is wrong; write a number from 0 to 65535");
    number.flatten().ok_or_else(wrong)
}

/// The first IPv4 address of `host` if it has one, so that `localhost` is where `7007` is.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let known = (host, port).to_socket_addrs();
    let known: Vec<_> = known
        .map_err(|error| format!("{host:?} cannot be looked up ({error}); write its number"))?
        .collect();
    let first = known
        .iter()
        .find(|address| address.is_ipv4())
        .or(known.first());
    first
        .copied()
        .ok_or_else(|| format!("{host:?} has no address; write its number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().expect("an address"))
    }

    fn refusal(input: &str) -> String {
        match parse(input) {
            Ok(parsed) => panic!("{input:?} was taken for {parsed:?}"),
            Err(reason) => reason,
        }
    }

    #[test]
    fn a_port_alone_is_on_this_machine() {
        for (input, address) in [
            ("7007", "127.0.0.1:7007"),
            ("0", "127.0.0.1:0"),
            ("65535", "127.0.0.1:65535"),
            ("007", "127.0.0.1:7"),
            ("tcp://7007", "127.0.0.1:7007"),
        ] {
            assert_eq!(parse(input), Ok(Parsed::Address(tcp(address))), "{input}");
        }
    }

    #[test]
    fn a_number_and_a_port_need_no_lookup() {
        for input in [
            "127.0.0.1:7",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "[::]:0",
            "[::1]:7007",
        ] {
            assert_eq!(parse(input), Ok(Parsed::Address(tcp(input))));
            let long = format!("tcp://{input}");
            assert_eq!(parse(&long), Ok(Parsed::Address(tcp(input))));
        }
        assert_eq!(
            parse("[fe80::1%3]:9"),
            Ok(Parsed::Address(tcp("[fe80::1%3]:9")))
        );
    }

    #[test]
    fn another_host_is_left_to_the_resolver() {
        for host in [
            "localhost",
            "example.org",
            "a-b_c.d",
            "10.example",
            "0x7f.0xg",
            "localhost.",
            "ex\u{e4}mple",
        ] {
            let input = format!("{host}:80");
            assert_eq!(parse(&input), Ok(Parsed::Host(host, 80, Carrier::Tcp)));
        }
    }

    #[test]
    fn a_host_that_ends_in_a_number_is_a_dotted_quad_or_nothing() {
        let digits = "127.0.01 127.0.1 1 256.0.0.1 127.0.0.01 1.2.3.4.5 127.0.0.1. 1.. .. .";
        let hex = "0x7f.0.0.1 0x7f.1 0X7f.1. 0x7f000001 127.0.0.0x1 127.0.0.0X1. 0x a.0xF a.1";
        for host in digits.split(' ').chain(hex.split(' ')) {
            let reason = refusal(&format!("{host}:80"));
            assert!(
                reason.starts_with(&format!("{host} is not a dotted quad")),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_wrong_port_is_named() {
        for port in [
            "65536",
            "99999999999",
            "+80",
            "-1",
            "80a",
            "",
            " 80",
            "0x50",
        ] {
            let reason = refusal(&format!("127.0.0.1:{port}"));
            assert!(
                reason.starts_with(&format!("the port {port:?} is wrong")),
                "{reason}"
            );
        }
        assert!(refusal("65536").starts_with("the port \"65536\" is wrong"));
        assert!(refusal("[::1]:x").starts_with("the port \"x\" is wrong"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (input, missing) in [
            ("", "it is empty"),
            ("tcp://", "it is empty"),
            ("localhost", "the port is missing"),
            ("127.0.0.1", "the port is missing"),
            ("[::1]", "the port is missing"),
            (":7007", "the host is missing"),
            ("unix:", "the name is missing"),
            ("unix:@", "the name is missing"),
        ] {
            let reason = refusal(input);
            assert!(reason.starts_with(missing), "{input:?}: {reason}");
        }
    }

    #[test]
    fn an_ipv6_address_wants_proper_brackets() {
        for input in ["::1:7007", "::1", "fe80::1:80", "a:b:80"] {
            assert!(
                refusal(input).starts_with("an IPv6 address goes in brackets"),
                "{input}"
            );
        }
        for input in [
            "[::1:80",
            "[127.0.0.1]:80",
            "[]:80",
            "[::g]:80",
            "[::1]x:80",
            "[::1%eth0]:80",
        ] {
            assert!(
                refusal(input).contains("is not an IPv6 address in brackets"),
                "{input}"
            );
        }
    }

    #[test]
    fn a_host_that_cannot_be_a_name_is_not_looked_up() {
        for host in ["a b", "a/b", "user@host", "*", "a\nb", "a\0b"] {
            assert!(
                refusal(&format!("{host}:80")).contains("is not a host name"),
                "{host:?}"
            );
        }
    }

    #[test]
    fn a_known_word_that_is_not_supported_is_told_apart_from_an_unknown_one() {
        for input in ["unixgram:/a", "fd://3"] {
            assert!(refusal(input).contains("is not supported yet"), "{input}");
        }
        for input in [
            "http://localhost:80",
            "://1",
            "TCP://1.2.3.4:5",
            "tcp4://1.2.3.4:5",
        ] {
            assert!(
                refusal(input).contains("is not known; write tcp://HOST:PORT"),
                "{input}"
            );
        }
    }

    #[test]
    fn a_local_name_is_a_path_or_abstract() {
        for (input, name) in [
            ("unix:/tmp/echo", UnixName::Path("/tmp/echo".into())),
            ("unix:echo.sock", UnixName::Path("echo.sock".into())),
            ("unix:/a b:80", UnixName::Path("/a b:80".into())),
            ("unix:@echo", UnixName::Abstract(b"echo".to_vec())),
            ("unix:@/tmp/echo", UnixName::Abstract(b"/tmp/echo".to_vec())),
        ] {
            assert_eq!(
                parse(input),
                Ok(Parsed::Address(Address::Unix(name))),
                "{input}"
            );
        }
        assert!(refusal("unix:/a\0b").contains("NUL"));
    }

    #[test]
    fn a_local_name_has_the_kernels_length_at_most() {
        for start in ["", "@"] {
            let longest = format!("unix:{start}{}", "x".repeat(UNIX_NAME_SIZE_MAX));
            let address: Address = longest.parse().expect("it fits");
            assert!(address.to_raw().is_ok());
            assert!(refusal(&format!("{longest}x")).starts_with("the name has 108 bytes"));
        }
    }

    #[test]
    fn a_refusal_is_one_line_with_reason_and_remedy() {
        let error = "127.0.01:80\n".parse::<Address>().expect_err("a port");
        let wrong = "the port \"80\\n\" is wrong; write a number from 0 to 65535";
        assert_eq!(error, wrong);
        let error = "127.0.01:80".parse::<Address>().expect_err("not a quad");
        assert!(
            error.contains("127.0.01 is not a dotted quad; write four numbers"),
            "{error}"
        );
    }

    #[test]
    fn localhost_is_found_without_a_network() {
        let Ok(Address::Tcp(found)) = "localhost:7007".parse() else {
            panic!("localhost is in every hosts file");
        };
        assert!(found.ip().is_loopback() && found.port() == 7007);
    }
}
