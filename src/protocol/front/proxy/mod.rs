//! The PROXY protocol: the first bytes of a connection announce the client behind a load balancer.
//!
//! ```text
//!   version 1   PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n
//!   version 2   12 bytes of signature | version, command | family | length | addresses | TLVs
//! ```
//!
//! [`parse`] is pure: the bytes so far in, one of four answers out. It keeps nothing between two
//! calls. A header of version 1 has at most 107 bytes; that of version 2 tells its length in its
//! first 16 bytes, and only a whole one is looked into, so bytes that arrive one by one cost no
//! more than a header each. The specification is `proxy-protocol.txt` of HAProxy ("The PROXY
//! protocol, versions 1 & 2"). Neighbours: `v1`, `v2`, `write`.

mod crc32c;
mod v1;
mod v2;
mod write;

pub use write::{Version, write};

/// What the bytes at the front of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header, or of a signature.
    Incomplete,
    /// A header.
    Header {
        /// Its bytes.
        size: usize,
        /// The client that it announces.
        source: Source,
    },
    /// Not a header: they do not begin with a signature.
    Absent,
    /// They begin with a signature, and are not a header.
    Wrong(&'static str),
}

/// The client that a header announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// None: the peer of the connection is meant.
    #[default]
    Peer,
    /// An IPv4 address and a port.
    Ipv4([u8; 4], u16),
    /// An IPv6 address and a port.
    Ipv6([u8; 16], u16),
    /// A local socket, by its name as the kernel has it.
    Local(LocalName),
}

/// The name of a local socket: a path, or a NUL and a name of the abstract namespace, padded with
/// NULs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalName([u8; LOCAL_SIZE]);

/// Bytes of the name of a local socket: `sun_path` of unix(7).
const LOCAL_SIZE: usize = 108;

impl Source {
    /// The client at the IP address of these octets, 4 or 16; without them at no known address.
    pub fn at(octets: &[u8], port: u16) -> Source {
        match (octets.try_into(), octets.try_into()) {
            (Ok(ipv4), _) => Source::Ipv4(ipv4, port),
            (_, Ok(ipv6)) => Source::Ipv6(ipv6, port),
            _ => Source::Peer,
        }
    }
}

impl Source {
    /// Adds the client as bytes, whose number tells the kind.
    pub fn write_to(&self, bytes: &mut Vec<u8>) {
        let (octets, port): (&[u8], _) = match self {
            Source::Peer => return,
            Source::Local(name) => return bytes.extend(name.0),
            Source::Ipv4(octets, port) => (octets, port),
            Source::Ipv6(octets, port) => (octets, port),
        };
        bytes.extend(octets);
        bytes.extend(port.to_be_bytes());
    }

    /// The client that these bytes of [`Source::write_to`] tell of; `None` if they tell of none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Source> {
        if let Ok(name) = bytes.try_into() {
            return Some(Source::Local(LocalName(name)));
        }
        let (octets, port) = match bytes.split_last_chunk() {
            Some((octets, port)) => (octets, u16::from_be_bytes(*port)),
            None if bytes.is_empty() => return Some(Source::Peer),
            None => return None,
        };
        Some(Source::at(octets, port)).filter(|source| *source != Source::Peer)
    }
}

impl LocalName {
    /// The name without its padding.
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().rposition(|byte| *byte != 0);
        let name = &self.0[..end.map_or(0, |last| last + 1)];
        match name.first() {
            // A name of the abstract namespace may contain any byte.
            None | Some(0) => name,
            // A path ends at its first NUL.
            Some(_) => name.split(|byte| *byte == 0).next().unwrap_or(name),
        }
    }
}

/// What `bytes`, the first of a connection, are.
pub fn parse(bytes: &[u8]) -> Parsed {
    if begins(bytes, v1::SIGNATURE) {
        return v1::parse(bytes);
    }
    if begins(bytes, v2::SIGNATURE) {
        return v2::parse(bytes);
    }
    Parsed::Absent
}

/// Whether `bytes` are only a part of a signature, so that more bytes may show that they are none.
pub fn is_undecided(bytes: &[u8]) -> bool {
    let is_part = |signature: &[u8]| bytes.len() < signature.len() && begins(bytes, signature);
    is_part(v1::SIGNATURE) || is_part(v2::SIGNATURE)
}

/// The header with which a client announces itself: its connection is one from `near` to `far`,
/// each the octets of an IP address and a port.
pub fn header(version: Version, near: &(Vec<u8>, u16), far: &(Vec<u8>, u16)) -> Vec<u8> {
    let [near, far] = [near, far].map(|(octets, port)| Source::at(octets, *port));
    write(version, &near, &far)
}

/// Whether `bytes` and `signature` agree as far as both go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes
        .iter()
        .zip(signature)
        .all(|(byte, other)| byte == other)
}

#[cfg(test)]
mod tests;
