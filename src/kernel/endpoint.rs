//! A listen or connect target, before its host name is looked up.
//!
//! A name is looked up where it is used, not where it is parsed. It has any number of addresses, in
//! the order in which they are to be tried (RFC 6724). The lookup is a parameter, so tests need no
//! resolver. [`address_text`](super::address_text) parses the text form. Man page: getaddrinfo(3).

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::address::Address;
use crate::limits::NAME_ADDRESSES_MAX;

/// The target of a listen or a connect, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address that needs no lookup.
    At(Address),
    /// A host name.
    Named(HostName),
    /// A socket that is open already, by its number. Only a server can use one.
    Passed(u32),
}

/// A host name with its port and protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) carrier: Carrier,
}

/// The protocol over IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Tcp,
    Udp,
}

impl Carrier {
    pub(super) fn at(self, address: SocketAddr) -> Address {
        match self {
            Carrier::Tcp => Address::Tcp(address),
            Carrier::Udp => Address::Udp(address),
        }
    }

    pub(super) fn scheme(self) -> &'static str {
        match self {
            Carrier::Tcp => "tcp://",
            Carrier::Udp => "udp://",
        }
    }
}

impl Endpoint {
    /// Refuses what cannot be connected to.
    ///
    /// # Errors
    ///
    /// One line without the endpoint.
    pub fn check_remote(&self) -> Result<(), String> {
        match self {
            Endpoint::Passed(_) => Err(NOT_AN_ADDRESS.to_owned()),
            Endpoint::At(_) | Endpoint::Named(_) => Ok(()),
        }
    }

    /// The address to listen on. For a name it is the first IPv4 address, so that `localhost` means
    /// the same address as a port alone; otherwise the first address. Only one address is used,
    /// because two listeners need two options. If that address is in use no other is tried, because
    /// the port then belongs to another server.
    ///
    /// # Errors
    ///
    /// The name has no address: one line that names it.
    pub fn listen_address(&self) -> Result<Address, String> {
        let addresses = self.resolve()?;
        let is_ipv4 = |address: &&Address| match address {
            Address::Tcp(at) | Address::Udp(at) => at.is_ipv4(),
            Address::Unix(_) | Address::Unixgram(_) => false,
        };
        let preferred = addresses.iter().find(is_ipv4).or(addresses.first());
        preferred
            .cloned()
            .ok_or_else(|| "it has no address".to_owned())
    }

    /// All addresses, in the order in which they are to be tried: at least one, and at most
    /// [`NAME_ADDRESSES_MAX`]. Blocks while a name is looked up.
    ///
    /// # Errors
    ///
    /// The name has no address: one line that names it.
    pub fn resolve(&self) -> Result<Vec<Address>, String> {
        self.resolve_with(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    /// Like [`Endpoint::resolve`], with `look_up` in place of the resolver of this machine.
    ///
    /// # Errors
    ///
    /// As for [`Endpoint::resolve`].
    pub fn resolve_with(
        &self,
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<Vec<Address>, String> {
        let HostName {
            host,
            port,
            carrier,
        } = match self {
            Endpoint::At(address) => return Ok(vec![address.clone()]),
            Endpoint::Named(name) => name,
            Endpoint::Passed(_) => return Err(NOT_AN_ADDRESS.to_owned()),
        };
        let found = look_up(host, *port).map_err(|error| {
            let text = error.to_string();
            // The standard library's own prefix, which this line repeats in other words.
            let reason = text.trim_start_matches("failed to lookup address information: ");
            format!("{host:?} cannot be looked up ({reason}); write its number")
        })?;
        let mut addresses = Vec::new();
        for address in found {
            let address = carrier.at(address);
            if !addresses.contains(&address) && addresses.len() < NAME_ADDRESSES_MAX {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(format!("{host:?} has no address; write its number")),
            false => Ok(addresses),
        }
    }

    /// Whether the target uses datagrams.
    pub fn is_datagrams(&self) -> bool {
        match self {
            Endpoint::At(address) => address.is_datagrams(),
            Endpoint::Named(name) => name.carrier == Carrier::Udp,
            Endpoint::Passed(_) => false,
        }
    }

    /// Whether the target is a local socket.
    pub fn is_local(&self) -> bool {
        matches!(self, Endpoint::At(Address::Unix(_) | Address::Unixgram(_)))
    }

    /// Whether the target is a local socket with a file.
    pub fn is_path(&self) -> bool {
        matches!(self, Endpoint::At(address) if address.path().is_some())
    }

    /// Whether the target is a host name.
    pub fn is_named(&self) -> bool {
        matches!(self, Endpoint::Named(_))
    }

    /// The host alone, as a certificate names it: a name, an IP address, or `localhost` for a local
    /// socket.
    pub fn host(&self) -> String {
        match self {
            Endpoint::At(Address::Unix(_) | Address::Unixgram(_)) | Endpoint::Passed(_) => {
                "localhost".to_owned()
            }
            Endpoint::At(Address::Tcp(at) | Address::Udp(at)) => at.ip().to_string(),
            Endpoint::Named(name) => name.host.clone(),
        }
    }

    /// The host in a URL for this target, with the port unless it is `default_port` (RFC 9110,
    /// 4.2.1 and 7.2).
    ///
    /// A zone has no meaning on another machine and is left out. A local socket has no host;
    /// `localhost` is what curl sends for one.
    pub fn authority(&self, default_port: u16) -> String {
        let (host, port) = match self {
            Endpoint::At(Address::Unix(_) | Address::Unixgram(_)) => {
                return "localhost".to_owned();
            }
            Endpoint::At(Address::Tcp(at) | Address::Udp(at)) => {
                let host = match at {
                    SocketAddr::V4(v4) => v4.ip().to_string(),
                    SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
                };
                (host, at.port())
            }
            Endpoint::Named(name) => (percent_encoded(&name.host), name.port),
            Endpoint::Passed(_) => return self.to_string(),
        };
        match port == default_port {
            true => host,
            false => format!("{host}:{port}"),
        }
    }
}

/// A host name in the form of a URL: bytes outside ASCII are percent-encoded (RFC 3986, 3.2.2).
fn percent_encoded(host: &str) -> String {
    let mut text = String::new();
    for byte in host.bytes() {
        match byte.is_ascii() {
            true => text.push(char::from(byte)),
            false => text += &format!("%{byte:02X}"),
        }
    }
    text
}

/// Why a socket that is open already cannot be looked up.
const NOT_AN_ADDRESS: &str = "is a descriptor; only mynah serve --listen takes one";

impl From<&Address> for Endpoint {
    fn from(address: &Address) -> Endpoint {
        Endpoint::At(address.clone())
    }
}

impl From<&Endpoint> for Endpoint {
    fn from(endpoint: &Endpoint) -> Endpoint {
        endpoint.clone()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::At(address) => address.fmt(f),
            Endpoint::Named(name) => {
                let HostName {
                    host,
                    port,
                    carrier,
                } = name;
                write!(f, "{}{host}:{port}", carrier.scheme())
            }
            Endpoint::Passed(number) => write!(f, "fd://{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().expect("an endpoint")
    }

    fn socket(text: &str) -> SocketAddr {
        text.parse().expect("a socket address")
    }

    #[test]
    fn an_address_is_not_looked_up() {
        for text in ["127.0.0.1:7", "udp://[::1]:7", "unix:/x"] {
            let never =
                |_: &str, _: u16| -> io::Result<Vec<SocketAddr>> { panic!("{text} is an address") };
            let address: Address = text.parse().expect("an address");
            assert_eq!(endpoint(text).resolve_with(never), Ok(vec![address]));
        }
    }

    #[test]
    fn all_addresses_of_a_name_are_kept_in_the_resolvers_order_and_once() {
        let look_up = |host: &str, port: u16| {
            assert_eq!((host, port), ("both", 7));
            let found = ["[::1]:7", "127.0.0.2:7", "127.0.0.1:7", "[::1]:7"];
            Ok(found.map(socket).to_vec())
        };
        let expected = ["[::1]:7", "127.0.0.2:7", "127.0.0.1:7"].map(socket);
        let tcp = endpoint("both:7").resolve_with(look_up);
        assert_eq!(tcp, Ok(expected.map(Address::Tcp).to_vec()));
        let udp = endpoint("udp://both:7").resolve_with(look_up);
        assert_eq!(udp, Ok(expected.map(Address::Udp).to_vec()));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        for count in [
            NAME_ADDRESSES_MAX - 1,
            NAME_ADDRESSES_MAX,
            NAME_ADDRESSES_MAX + 1,
        ] {
            let many = |_: &str, port: u16| {
                let last = 1..=count as u8;
                Ok(last.map(|last| ([127, 0, 0, last], port).into()).collect())
            };
            let found = endpoint("many:7").resolve_with(many).expect("addresses");
            assert_eq!(found.len(), count.min(NAME_ADDRESSES_MAX));
        }
    }

    #[test]
    fn a_name_without_an_address_is_one_line_that_names_it() {
        let unknown = |_: &str, _: u16| {
            Err(io::Error::other(
                "failed to lookup address information: Name or service not known",
            ))
        };
        let told = endpoint("nowhere:7").resolve_with(unknown);
        let line = "\"nowhere\" cannot be looked up (Name or service not known); write its number";
        assert_eq!(told, Err(line.to_owned()));
        let told = endpoint("nowhere:7").resolve_with(|_, _| Ok(Vec::new()));
        assert!(told.is_err_and(|line| line == "\"nowhere\" has no address; write its number"));
    }

    #[test]
    fn localhost_is_found_without_a_network() {
        for address in endpoint("localhost:7007").resolve().expect("a hosts file") {
            let Address::Tcp(found) = address else {
                panic!("{address} is not over TCP");
            };
            assert!(found.ip().is_loopback() && found.port() == 7007);
        }
    }

    #[test]
    fn a_listener_has_the_address_of_the_carrier_that_was_written() {
        let address = endpoint("udp://localhost:7007").listen_address();
        assert!(
            matches!(address, Ok(Address::Udp(at)) if at.ip().is_loopback() && at.port() == 7007)
        );
        assert!(endpoint("udp://localhost:7").is_datagrams());
        assert!(endpoint("unixgram:@x").is_datagrams() && endpoint("unixgram:@x").is_local());
        assert!(endpoint("unixgram:/x").is_path() && !endpoint("unix:/x").is_datagrams());
    }

    #[test]
    fn the_authority_is_what_was_written() {
        for (text, authority) in [
            ("localhost:8080", "localhost:8080"),
            ("LocalHost:8080", "LocalHost:8080"),
            ("localhost:80", "localhost"),
            ("ex\u{e4}mple:81", "ex%C3%A4mple:81"),
            ("8080", "127.0.0.1:8080"),
            ("80", "127.0.0.1"),
            ("127.0.0.1:443", "127.0.0.1:443"),
            ("[::1]:7007", "[::1]:7007"),
            ("[::1]:80", "[::1]"),
            ("[fe80::1%3]:7007", "[fe80::1]:7007"),
            ("unix:/run/x", "localhost"),
        ] {
            assert_eq!(endpoint(text).authority(80), authority, "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_in_again() {
        for text in ["tcp://localhost:7", "udp://a.example:70", "tcp://[::1]:7"] {
            assert_eq!(endpoint(text).to_string(), text);
        }
    }
}
