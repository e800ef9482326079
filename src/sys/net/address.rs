//! Socket addresses in the kernel's layout, and conversions in both directions.
//!
//! A `sockaddr` is one of several structures behind one pointer; its first field tells which. The
//! union expresses exactly this, and only this file accesses its members. Internet addresses are
//! converted from and to the standard library's types. Local addresses are the bytes of `sun_path`:
//! no bytes are an unnamed socket, a leading NUL marks an abstract name, anything else is a path.
//! Man pages: ip(7), ipv6(7), unix(7).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::slice;

use libc::{c_int, socklen_t};

/// Bytes of `sun_path`.
const LOCAL_NAME_SIZE_MAX: usize = 108;

/// Where the name starts in a `sockaddr_un`.
const LOCAL_NAME_START: usize = std::mem::offset_of!(libc::sockaddr_un, sun_path);

#[derive(Clone, Copy)]
#[repr(C)]
union Storage {
    any: libc::sockaddr_storage,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
    local: libc::sockaddr_un,
}

/// An address in the form that the kernel reads and writes.
pub(crate) struct RawAddress {
    storage: Storage,
    length: socklen_t,
}

/// A decoded [`RawAddress`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    Internet(SocketAddr),
    /// The bytes of `sun_path`, without the NUL that ends a path.
    Local(&'a [u8]),
    /// An address family that this program does not support.
    Unknown(c_int),
}

impl RawAddress {
    pub(crate) fn internet(address: SocketAddr) -> RawAddress {
        match address {
            SocketAddr::V4(address) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(address.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                RawAddress::new(Storage { v4 }, size_of_val(&v4))
            }
            SocketAddr::V6(address) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: address.ip().octets(),
                    },
                    sin6_scope_id: address.scope_id(),
                };
                RawAddress::new(Storage { v6 }, size_of_val(&v6))
            }
        }
    }

    /// A local address from a path, or from NUL and an abstract name. A name that does not fit is
    /// an `InvalidInput` error.
    pub(crate) fn local(name: &[u8]) -> io::Result<RawAddress> {
        let is_path = name.first() != Some(&0);
        if name.len() > LOCAL_NAME_SIZE_MAX || (is_path && name.contains(&0)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut local = libc::sockaddr_un {
            sun_family: libc::AF_UNIX as libc::sa_family_t,
            sun_path: [0; LOCAL_NAME_SIZE_MAX],
        };
        for (to, from) in local.sun_path.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        // The length ends the name, so a NUL inside an abstract name is an ordinary byte.
        Ok(RawAddress::new(
            Storage { local },
            LOCAL_NAME_START + name.len(),
        ))
    }

    fn new(storage: Storage, length: usize) -> RawAddress {
        let length = length as socklen_t;
        RawAddress { storage, length }
    }

    /// No address, with room for any.
    pub(in crate::sys) fn blank() -> RawAddress {
        // SAFETY: the structure is plain numbers, for which zero is a value.
        let any: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        RawAddress::new(Storage { any }, 0)
    }

    /// The room for an address.
    pub(in crate::sys) const ROOM: socklen_t = size_of::<Storage>() as socklen_t;

    /// Where the kernel writes an address, whose length is then set.
    pub(in crate::sys) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }

    /// The kernel has written an address of `length` bytes.
    #[inline]
    pub(in crate::sys) fn set_length(&mut self, length: socklen_t) {
        self.length = length.min(RawAddress::ROOM);
    }

    /// The port of an internet address; 0 of any other.
    #[inline]
    pub(crate) fn port(&self) -> u16 {
        // An unnamed socket has no name, and what is in the storage is of another one.
        match self.length > 2 {
            true if self.family() == libc::AF_INET || self.family() == libc::AF_INET6 => {
                // SAFETY: both families have the port at the same place, and it was written.
                u16::from_be(unsafe { self.storage.v4.sin_port })
            }
            _ => 0,
        }
    }

    /// Whether it is the name of no socket: that of a local socket that was not bound.
    #[inline]
    pub(crate) fn is_unnamed(&self) -> bool {
        self.length as usize <= LOCAL_NAME_START
    }

    /// Takes the place of another address.
    pub(crate) fn assign(&mut self, other: &RawAddress) {
        (self.storage, self.length) = (other.storage, other.length);
    }

    /// The same address.
    pub(crate) fn copy(&self) -> RawAddress {
        let RawAddress { storage, length } = *self;
        RawAddress { storage, length }
    }

    /// The address that `call` writes to the storage and length that it receives.
    #[inline]
    pub(in crate::sys) fn filled_by(
        call: impl FnOnce(*mut libc::sockaddr, *mut socklen_t) -> io::Result<()>,
    ) -> io::Result<RawAddress> {
        // SAFETY: the structure is plain numbers, for which zero is a value.
        let any: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut address = RawAddress::new(Storage { any }, size_of::<Storage>());
        call((&raw mut address.storage).cast(), &mut address.length)?;
        Ok(address)
    }

    pub(in crate::sys) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(in crate::sys) fn length(&self) -> socklen_t {
        self.length
    }

    #[inline]
    pub(in crate::sys) fn family(&self) -> c_int {
        // SAFETY: every member starts with the family, and it is always initialised.
        c_int::from(unsafe { self.storage.any.ss_family })
    }

    pub(crate) fn name(&self) -> Name<'_> {
        if self.is_unnamed() {
            return Name::Local(&[]);
        }
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says which member was written.
                let v4 = unsafe { self.storage.v4 };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                let port = u16::from_be(v4.sin_port);
                Name::Internet(SocketAddr::V4(SocketAddrV4::new(ip, port)))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says which member was written.
                let v6 = unsafe { self.storage.v6 };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                let (flow, scope) = (v6.sin6_flowinfo, v6.sin6_scope_id);
                Name::Internet(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
            }
            libc::AF_UNIX => Name::Local(self.local_name()),
            family => Name::Unknown(family),
        }
    }

    fn local_name(&self) -> &[u8] {
        // For a path that fills the field the kernel returns a length one larger, for a NUL that
        // does not fit.
        let length = (self.length as usize).saturating_sub(LOCAL_NAME_START);
        let length = length.min(LOCAL_NAME_SIZE_MAX);
        let start = self.as_ptr().cast::<u8>().wrapping_add(LOCAL_NAME_START);
        // SAFETY: these bytes lie inside the storage, were written, and are borrowed with `self`.
        let name = unsafe { slice::from_raw_parts(start, length) };
        match name {
            [0, ..] => name,
            path => path.split(|&byte| byte == 0).next().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internet_address_comes_back_as_it_went() {
        let scoped = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 9, 0x1234_5678, 3);
        let plain = [
            "127.0.0.1:7007",
            "255.1.2.3:65535",
            "[::]:0",
            "[fe80::1:2]:80",
        ];
        let plain = plain.map(|text| text.parse().expect("an address"));
        for address in plain.into_iter().chain([SocketAddr::V6(scoped)]) {
            assert_eq!(
                RawAddress::internet(address).name(),
                Name::Internet(address)
            );
        }
    }

    #[test]
    fn an_address_has_the_port_of_the_internet_or_none() -> io::Result<()> {
        for (text, port) in [("127.0.0.1:7007", 7007), ("[::1]:19", 19)] {
            let raw = RawAddress::internet(text.parse().expect("an address"));
            assert_eq!((raw.port(), raw.is_unnamed()), (port, false));
            assert_eq!(raw.copy().name(), raw.name());
        }
        let local = RawAddress::local(b"\0\x1b\x5f")?;
        assert_eq!((local.port(), local.is_unnamed()), (0, false));
        let mut blank = RawAddress::blank();
        assert_eq!((blank.port(), blank.is_unnamed()), (0, true));
        assert_eq!(blank.name(), Name::Local(b""));
        blank.assign(&local);
        blank.set_length(2);
        assert!(blank.is_unnamed());
        Ok(())
    }

    #[test]
    fn a_port_lies_in_network_order() {
        let raw = RawAddress::internet(SocketAddr::from(([1, 2, 3, 4], 0x0102)));
        let start = raw.as_ptr().cast::<u8>();
        // SAFETY: a `sockaddr_in` has sixteen initialised bytes.
        let bytes = unsafe { slice::from_raw_parts(start, 8) };
        assert_eq!(bytes[2..], [1, 2, 1, 2, 3, 4]);
        assert_eq!((raw.length(), raw.family()), (16, libc::AF_INET));
    }

    #[test]
    fn a_local_name_comes_back_as_it_went() -> io::Result<()> {
        let longest = [b'x'; LOCAL_NAME_SIZE_MAX];
        for name in [
            &b""[..],
            b"/tmp/a",
            b"\0name",
            b"\0na\0me\0",
            b"\0",
            &longest,
        ] {
            assert_eq!(RawAddress::local(name)?.name(), Name::Local(name));
        }
        Ok(())
    }

    #[test]
    fn a_local_name_that_cannot_be_is_refused() {
        assert!(RawAddress::local(&[b'x'; LOCAL_NAME_SIZE_MAX + 1]).is_err());
        assert!(RawAddress::local(b"/tmp/a\0b").is_err());
    }
}
