//! The address of a socket: its type, its conversion to and from the kernel's form, and its text.
//!
//! [`address_text`](super::address_text) parses what is printed here. A peer chooses its own local
//! name, so printing escapes its bytes. The interface of a link-local address is printed by name.
//! Whether a server is listening there is not known here. Man pages: ip(7), ipv6(7), unix(7),
//! getpeername(2).

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::text::escape::escape;
use crate::sys::net::address::{Name, RawAddress};
use crate::sys::net::interface;

/// The address to which a socket is bound, or at which it can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A local stream socket.
    Unix(UnixName),
    /// Datagrams over IPv4 or IPv6.
    Udp(SocketAddr),
    /// A local datagram socket.
    Unixgram(UnixName),
}

/// The name of a local socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A path. The file remains when the socket is closed.
    Path(PathBuf),
    /// A name in the abstract namespace, without its leading NUL. It disappears with its last
    /// socket.
    Abstract(Vec<u8>),
    /// No name, as for most clients.
    Unnamed,
}

impl Address {
    pub(super) fn to_raw(&self) -> io::Result<RawAddress> {
        match self {
            Address::Tcp(address) | Address::Udp(address) => Ok(RawAddress::internet(*address)),
            Address::Unix(name) | Address::Unixgram(name) => match name {
                UnixName::Path(path) => RawAddress::local(path.as_os_str().as_bytes()),
                UnixName::Abstract(name) => RawAddress::local(&[b"\0", &name[..]].concat()),
                UnixName::Unnamed => RawAddress::local(b""),
            },
        }
    }

    /// The same name of a datagram socket: the kernel's form does not distinguish the two.
    #[must_use]
    pub fn of_datagrams(self) -> Address {
        match self {
            Address::Tcp(address) => Address::Udp(address),
            Address::Unix(name) => Address::Unixgram(name),
            datagrams => datagrams,
        }
    }

    /// Whether it is the address of a datagram socket.
    pub fn is_datagrams(&self) -> bool {
        matches!(self, Address::Udp(_) | Address::Unixgram(_))
    }

    /// Whether only this machine reaches it: a loopback address or a local socket.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Address::Tcp(at) | Address::Udp(at) => at.ip().to_canonical().is_loopback(),
            Address::Unix(_) | Address::Unixgram(_) => true,
        }
    }

    /// The file of a local socket, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Address::Unix(UnixName::Path(path)) | Address::Unixgram(UnixName::Path(path)) => {
                Some(path)
            }
            _ => None,
        }
    }

    /// The octets of the IP address, and the port; none of a local socket.
    pub fn octets(&self) -> (Vec<u8>, u16) {
        match self {
            Address::Tcp(address) | Address::Udp(address) => {
                let octets = match address.ip() {
                    IpAddr::V4(ip) => ip.octets().to_vec(),
                    IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                (octets, address.port())
            }
            _ => (Vec::new(), 0),
        }
    }

    /// The address of a stream socket; the kernel's form does not distinguish TCP from UDP.
    pub(super) fn from_raw(raw: &RawAddress) -> io::Result<Address> {
        match raw.name() {
            Name::Internet(address) => Ok(Address::Tcp(address)),
            Name::Local([]) => Ok(Address::Unix(UnixName::Unnamed)),
            Name::Local([0, name @ ..]) => Ok(Address::Unix(UnixName::Abstract(name.to_vec()))),
            Name::Local(path) => {
                let path = PathBuf::from(OsStr::from_bytes(path));
                Ok(Address::Unix(UnixName::Path(path)))
            }
            Name::Unknown(family) => Err(io::Error::other(format!("address family {family}"))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write_socket(f, "tcp", address),
            Address::Udp(address) => write_socket(f, "udp", address),
            Address::Unix(name) => write_local(f, "unix:", name),
            Address::Unixgram(name) => write_local(f, "unixgram:", name),
        }
    }
}

fn write_local(f: &mut fmt::Formatter<'_>, scheme: &str, name: &UnixName) -> fmt::Result {
    f.write_str(scheme)?;
    match name {
        UnixName::Path(path) => write_name(f, path.as_os_str().as_bytes()),
        UnixName::Abstract(name) => {
            f.write_str("@")?;
            write_name(f, name)
        }
        UnixName::Unnamed => Ok(()),
    }
}

fn write_socket(f: &mut fmt::Formatter<'_>, scheme: &str, address: &SocketAddr) -> fmt::Result {
    match address {
        SocketAddr::V4(address) => write!(f, "{scheme}://{address}"),
        SocketAddr::V6(address) => {
            write!(f, "{scheme}://[{}]:{}", zoned(address), address.port())
        }
    }
}

/// The IP address alone, with its interface where it has one: `fe80::1%eth0`.
pub fn ip_text(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => zoned(address),
    }
}

fn zoned(address: &SocketAddrV6) -> String {
    match (address.ip(), address.scope_id()) {
        (ip, 0) => ip.to_string(),
        (ip, number) => {
            // The interface may have been removed since.
            let name = interface::name(number).unwrap_or_else(|| number.to_string());
            format!("{ip}%{}", escape(&name))
        }
    }
}

/// The reason for which the kernel refuses `address`, if it is link-local and without an interface.
/// bind(2) and connect(2) only return `EINVAL` then (ipv6(7)).
pub fn lacks_interface(address: &SocketAddr) -> Option<String> {
    match address {
        SocketAddr::V6(address) if address.scope_id() == 0 && is_link_local(address.ip()) => {
            let ip = address.ip();
            Some(format!(
                "{ip} is link-local and needs its interface, such as {ip}%eth0"
            ))
        }
        _ => None,
    }
}

/// Whether `ip` is link-local unicast, or multicast to one interface or one link (RFC 4291, 2.5.6
/// and 2.7).
fn is_link_local(ip: &Ipv6Addr) -> bool {
    let [first, ..] = ip.segments();
    first & 0xffc0 == 0xfe80 || matches!(first & 0xff0f, 0xff01 | 0xff02)
}

/// Whether a socket that is bound to `local` and was connected to `to` is connected to itself.
///
/// If no server has the port, the kernel may choose this very port for the socket. TCP then
/// connects the socket to itself (RFC 9293, 3.5: simultaneous open), and a datagram that it sends
/// comes back to it.
pub fn is_itself(local: &Address, to: &Address) -> bool {
    use Address::{Tcp, Udp};
    let (Tcp(local) | Udp(local), Tcp(to) | Udp(to)) = (local, to) else {
        return false;
    };
    let (near, far) = (local.ip().to_canonical(), to.ip().to_canonical());
    // For an unspecified destination the kernel connects to this machine: with IPv4 to the socket's
    // own address, with IPv6 to ::1.
    let same = match far.is_unspecified() {
        true => near.is_ipv4() || near.is_loopback(),
        false => near == far,
    };
    same && local.port() == to.port()
}

/// A peer chooses its own name, so bytes that could break a line of the log are escaped.
fn write_name(f: &mut fmt::Formatter<'_>, name: &[u8]) -> fmt::Result {
    f.write_str(&escape(&String::from_utf8_lossy(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_in_again() {
        for text in [
            "tcp://127.0.0.1:7007",
            "tcp://[::1]:7",
            "unix:/path",
            "unix:@name",
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
            let raw = address.to_raw().expect("it fits");
            assert_eq!(Address::from_raw(&raw).ok(), Some(address));
        }
        let datagrams: Address = "udp://[::1]:7".parse().expect("an address");
        assert_eq!(datagrams.to_string(), "udp://[::1]:7");
        for text in ["udp://[::1]:7", "unixgram:/path", "unixgram:@name"] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
            let raw = address.to_raw().expect("it fits");
            let found = Address::from_raw(&raw).map(Address::of_datagrams);
            assert_eq!(found.ok(), Some(address));
        }
        let unnamed = Address::Unix(UnixName::Unnamed);
        assert_eq!(unnamed.to_string(), "unix:");
        let raw = unnamed.to_raw().expect("it fits");
        assert_eq!(Address::from_raw(&raw).ok(), Some(unnamed));
    }

    #[test]
    fn an_address_of_this_machine_is_loopback_or_local() {
        for (text, is) in [
            ("udp://127.3.0.1:7", true),
            ("udp://[::1]:7", true),
            ("udp://[::ffff:127.0.0.1]:7", true),
            ("unixgram:@name", true),
            ("unix:/path", true),
            ("udp://0.0.0.0:7", false),
            ("udp://[::]:7", false),
            ("192.0.2.1:7", false),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.is_of_this_machine(), is, "{text}");
            let is_datagrams = text.starts_with("u") && !text.starts_with("unix:");
            assert_eq!(address.is_datagrams(), is_datagrams, "{text}");
        }
    }

    #[test]
    fn an_interface_is_printed_by_its_name() {
        let lo = interface::number("lo").expect("every machine has it");
        let numbered = SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, 1].into(), 7, 0, lo);
        assert_eq!(
            Address::Tcp(numbered.into()).to_string(),
            "tcp://[fe80::1%lo]:7"
        );
        assert_eq!(
            Address::Udp(numbered.into()).to_string(),
            "udp://[fe80::1%lo]:7"
        );
        assert_eq!(ip_text(&numbered.into()), "fe80::1%lo");
        let gone = SocketAddrV6::new(*numbered.ip(), 7, 0, u32::MAX);
        assert_eq!(ip_text(&gone.into()), "fe80::1%4294967295");
        assert_eq!(ip_text(&([127, 0, 0, 1], 7).into()), "127.0.0.1");
    }

    #[test]
    fn a_link_local_address_needs_its_interface() {
        for (text, needs) in [
            ("[fe80::1]:7", true),
            ("[febf::1]:7", true),
            ("[ff02::1]:7", true),
            ("[ff31::1]:7", true),
            ("[fe80::1%1]:7", false),
            ("[fec0::1]:7", false),
            ("[fe7f::1]:7", false),
            ("[ff05::1]:7", false),
            ("[::1]:7", false),
            ("169.254.0.1:7", false),
        ] {
            let address = text.parse().expect("a socket address");
            assert_eq!(lacks_interface(&address).is_some(), needs, "{text}");
        }
    }

    #[test]
    fn a_socket_that_is_connected_to_itself_has_the_same_address_at_both_ends() {
        let tcp = |text: &str| Address::Tcp(text.parse().expect("a socket address"));
        for (local, to, is) in [
            ("127.0.0.1:7", "127.0.0.1:7", true),
            ("127.0.0.1:8", "127.0.0.1:7", false),
            ("127.0.0.2:7", "127.0.0.1:7", false),
            ("[::1]:7", "[::1]:7", true),
            ("[::1]:8", "[::1]:7", false),
            // Only the IP address and the port are compared: a flow label or a zone may be present
            // at one end only.
            ("[fe80::1%3]:7", "[fe80::1]:7", true),
            ("127.0.0.1:7", "0.0.0.0:7", true),
            ("127.0.0.9:7", "0.0.0.0:7", true),
            ("[::1]:7", "[::]:7", true),
            ("[fd00::1]:7", "[::]:7", false),
            ("[::ffff:127.0.0.1]:7", "[::ffff:127.0.0.1]:7", true),
            ("[::ffff:127.0.0.1]:7", "[::ffff:0.0.0.0]:7", true),
        ] {
            assert_eq!(is_itself(&tcp(local), &tcp(to)), is, "{local} to {to}");
        }
        let datagrams = Address::Udp(([127, 0, 0, 1], 7).into());
        // getsockname(2) does not distinguish TCP from UDP.
        assert!(is_itself(&tcp("127.0.0.1:7"), &datagrams));
        let unnamed = Address::Unix(UnixName::Unnamed);
        assert!(!is_itself(&unnamed, &unnamed));
    }

    #[test]
    fn a_name_cannot_break_the_line_it_is_printed_in() {
        let name = Address::Unix(UnixName::Abstract(b"a\nb\x1b\xff".to_vec()));
        assert_eq!(name.to_string(), "unix:@a\\nb\\u{1b}\u{fffd}");
    }
}
