//! The address of this machine that a datagram was sent to, and that its answer is sent from.
//!
//! A socket that is bound to all addresses answers from the one that routing chooses, which need
//! not be the one that was asked. With `IP_PKTINFO` or `IPV6_RECVPKTINFO` the kernel puts the
//! address that was asked into control data beside the datagram, and takes it from control data of
//! the same form beside the answer. The interface stays open, except for a link-local address,
//! which has no meaning without one. Neighbour: `datagrams`. Man pages: ip(7), ipv6(7), cmsg(3).

use std::mem;
use std::ptr;

use libc::{in_pktinfo, in6_pktinfo, msghdr};

/// Control data of one datagram: as it was received, and then as its answer is sent with.
#[derive(Clone, Copy)]
pub(crate) struct Control {
    /// Words, because the kernel aligns each message in it.
    space: [u64; 8],
    length: usize,
}

impl Control {
    /// Bytes of the space: a message with an address and one of another kind.
    pub(super) const ROOM: usize = size_of::<[u64; 8]>();

    pub(crate) const NONE: Control = Control {
        space: [0; 8],
        length: 0,
    };

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut self.space).cast()
    }

    /// Bytes that an answer is sent with; 0 if routing chooses its address.
    #[inline]
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The kernel has written `filled` bytes. Keeps the message with the address, at the front.
    pub(super) fn settle(&mut self, filled: usize) {
        self.length = 0;
        // SAFETY: the structure is numbers and pointers, for which zero is a value.
        let mut header: msghdr = unsafe { mem::zeroed() };
        header.msg_control = self.as_mut_ptr();
        header.msg_controllen = filled.min(Control::ROOM) as _;
        // SAFETY: the header names initialised bytes of ours.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&header) };
        // SAFETY: the pointer is null or leads to a message inside of the space.
        while let Some(message) = unsafe { next.as_ref() } {
            let kind = (message.cmsg_level, message.cmsg_type);
            // SAFETY: the message is inside of the space.
            let data = unsafe { libc::CMSG_DATA(message) };
            if kind == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
                // SAFETY: the kernel has written this structure there.
                let mut info: in_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                info.ipi_ifindex = 0;
                return self.put(kind, info);
            }
            if kind == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
                // SAFETY: the kernel has written this structure there.
                let mut info: in6_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                match info.ipi6_addr.s6_addr {
                    // No datagram is sent from a multicast address.
                    [0xff, ..] => return,
                    [0xfe, second, ..] if second & 0xc0 == 0x80 => {}
                    _ => info.ipi6_ifindex = 0,
                }
                return self.put(kind, info);
            }
            // SAFETY: the header names initialised bytes of ours, and the message is one of them.
            next = unsafe { libc::CMSG_NXTHDR(&header, message) };
        }
    }

    /// Puts one message into the space, in place of all others.
    fn put<T: Copy>(&mut self, (level, kind): (i32, i32), value: T) {
        let size = size_of::<T>() as libc::c_uint;
        // SAFETY: this computes a number.
        let length = unsafe { libc::CMSG_LEN(size) };
        // SAFETY: this computes a number.
        let whole = unsafe { libc::CMSG_SPACE(size) };
        assert!(whole as usize <= Control::ROOM, "a message has to fit");
        let start = self.as_mut_ptr();
        // SAFETY: the structure is plain numbers, for which zero is a value.
        let mut message: libc::cmsghdr = unsafe { mem::zeroed() };
        message.cmsg_len = length as _;
        (message.cmsg_level, message.cmsg_type) = (level, kind);
        // SAFETY: `whole` bytes from `start` are ours, and the words are aligned for a header.
        unsafe { ptr::write(start.cast(), message) };
        // SAFETY: the header is there, and room for the value behind it.
        let data = unsafe { libc::CMSG_DATA(start.cast()) };
        // SAFETY: the value fits behind the header, and need not be aligned.
        unsafe { ptr::write_unaligned(data.cast(), value) };
        self.length = whole as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: (i32, i32) = (libc::IPPROTO_IP, libc::IP_PKTINFO);
    const V6: (i32, i32) = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO);

    fn v6(first: [u8; 2]) -> in6_pktinfo {
        let mut address = [0; 16];
        address[..2].copy_from_slice(&first);
        in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: address },
            ipi6_ifindex: 3,
        }
    }

    /// What is kept of a message, as the place of its data in words behind the header.
    fn kept<T: Copy>(kind: (i32, i32), value: T) -> (usize, [u64; 8]) {
        let mut control = Control::NONE;
        control.put(kind, value);
        let filled = control.length;
        control.settle(filled);
        (control.length, control.space)
    }

    #[test]
    fn an_answer_has_the_address_that_was_asked_and_no_interface() {
        let mut asked = in_pktinfo {
            ipi_ifindex: 7,
            ipi_spec_dst: libc::in_addr { s_addr: 5 },
            ipi_addr: libc::in_addr { s_addr: 6 },
        };
        let found = kept(V4, asked);
        asked.ipi_ifindex = 0;
        assert_eq!(found, kept(V4, asked));
        assert!(found.0 > 0);
    }

    #[test]
    fn only_a_link_local_address_keeps_its_interface_and_a_multicast_one_is_left_out() {
        let mut global = v6([0x20, 1]);
        let found = kept(V6, global);
        global.ipi6_ifindex = 0;
        assert_eq!(found, kept(V6, global));
        for (second, is_kept) in [(0x7f, false), (0x80, true), (0xbf, true), (0xc0, false)] {
            let mut asked = v6([0xfe, second]);
            let found = kept(V6, asked);
            asked.ipi6_ifindex = 0;
            assert_eq!(found != kept(V6, asked), is_kept, "{second:x}");
        }
        assert_eq!(kept(V6, v6([0xff, 2])).0, 0);
    }

    #[test]
    fn what_is_no_address_is_not_sent_with_an_answer() {
        assert_eq!(kept((libc::SOL_SOCKET, libc::SO_TIMESTAMP), 1_u64).0, 0);
        let mut control = Control::NONE;
        control.settle(0);
        assert_eq!(control.length(), 0);
    }
}
