//! Many datagrams in one call: recvmmsg(2), sendmmsg(2).
//!
//! ```text
//!   headers[n] --> parts[n] --> space[n * stride ..]     n-th place: one datagram that arrives
//!              |-> names[n]                              and its sender
//!              `-> controls[n]                           and the address that it was sent to
//!   outgoing   --> out_parts --> space or replies        answers, in the order of their staging
//! ```
//!
//! The kernel writes through the pointers in the headers, so everything that they point to is
//! allocated once and never moves. Places are a line of the cache further apart than a power of
//! two: at a power of two all of them would share a few lines of each cache level. Only a socket
//! that is bound to all addresses has controls. Which datagrams are answered is not known here.
//! Neighbours: `kernel::datagrams`, `asked_address`. Man pages: recvmmsg(2), sendmmsg(2), udp(7),
//! unix(7).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{iovec, mmsghdr};

use super::address::RawAddress;
use super::asked_address::Control;
use crate::sys::memory::Mapping;
use crate::sys::retry;

/// A line of the cache of the usual processors.
const LINE: usize = 64;

/// Places for datagrams that arrive, and a list of answers.
pub(crate) struct Messages {
    headers: Box<[mmsghdr]>,
    parts: Box<[iovec]>,
    names: Box<[RawAddress]>,
    /// Empty if every answer leaves from the address of the socket.
    controls: Box<[Control]>,
    space: Mapping,
    size: usize,
    /// Answers that are not where their request is.
    replies: Mapping,
    /// Bytes of `replies` that hold answers.
    filled: usize,
    outgoing: Box<[mmsghdr]>,
    out_parts: Box<[iovec]>,
    /// How many answers are in the list.
    staged: usize,
    /// How many of them are sent.
    sent: usize,
    /// Bytes of all answers in the list.
    staged_size: usize,
}

// SAFETY: the pointers in the headers lead into the other fields, which belong to the process and
// not to a thread.
unsafe impl Send for Messages {}

impl Messages {
    /// Places for `count` datagrams of at most `size` bytes, and `room` bytes for answers that are
    /// not where their request is. An answer of a socket that `is_wildcard` leaves from the address
    /// that its request was sent to.
    pub(crate) fn new(
        count: usize,
        size: usize,
        room: usize,
        is_wildcard: bool,
    ) -> io::Result<Messages> {
        let controls = if is_wildcard { count } else { 0 };
        let space = Mapping::new(Messages::space_size(count, size))?;
        let nothing = || iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let mut messages = Messages {
            headers: (0..count).map(|_| blank()).collect(),
            parts: (0..count).map(|_| nothing()).collect(),
            names: (0..count).map(|_| RawAddress::blank()).collect(),
            controls: vec![Control::NONE; controls].into(),
            space,
            size,
            replies: Mapping::new(room)?,
            filled: 0,
            outgoing: (0..count).map(|_| blank()).collect(),
            out_parts: (0..count).map(|_| nothing()).collect(),
            staged: 0,
            sent: 0,
            staged_size: 0,
        };
        for place in 0..count {
            let start = place * (size + LINE);
            messages.parts[place] = iovec {
                iov_base: messages.space[start..start + size].as_mut_ptr().cast(),
                iov_len: size,
            };
            let header = &mut messages.headers[place].msg_hdr;
            header.msg_name = messages.names[place].as_mut_ptr().cast();
            header.msg_namelen = RawAddress::ROOM;
            header.msg_iov = &raw mut messages.parts[place];
            header.msg_iovlen = 1;
            if let Some(control) = messages.controls.get_mut(place) {
                header.msg_control = control.as_mut_ptr();
                header.msg_controllen = Control::ROOM as _;
            }
            let header = &mut messages.outgoing[place].msg_hdr;
            header.msg_iov = &raw mut messages.out_parts[place];
            header.msg_iovlen = 1;
        }
        Ok(messages)
    }

    /// Bytes of the space for `count` datagrams.
    pub(crate) const fn space_size(count: usize, size: usize) -> usize {
        count * (size + LINE)
    }

    /// Bytes of everything else for each datagram.
    pub(crate) const PLACE_SIZE: usize = 2 * (size_of::<mmsghdr>() + size_of::<iovec>())
        + size_of::<RawAddress>()
        + size_of::<Control>();

    /// Receives up to `count` datagrams that have arrived, into the first places. Returns their
    /// number, which is not 0, and their bytes.
    pub(crate) fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        count: usize,
    ) -> io::Result<(usize, usize)> {
        let count = count.min(self.headers.len());
        let start = self.headers.as_mut_ptr();
        let flags = libc::MSG_DONTWAIT;
        let received = retry(|| {
            // SAFETY: `count` headers from `start` are ours, and what they point to is too.
            unsafe {
                libc::recvmmsg(
                    fd.as_raw_fd(),
                    start,
                    count as libc::c_uint,
                    flags as _,
                    ptr::null_mut(),
                )
            }
        })? as usize;
        let mut size = 0;
        for (header, name) in self.headers[..received].iter_mut().zip(&mut self.names) {
            name.set_length(header.msg_hdr.msg_namelen);
            header.msg_hdr.msg_namelen = RawAddress::ROOM;
            size += header.msg_len as usize;
        }
        for (header, control) in self.headers[..received].iter_mut().zip(&mut self.controls) {
            control.settle(header.msg_hdr.msg_controllen as _);
            header.msg_hdr.msg_controllen = Control::ROOM as _;
        }
        Ok((received, size))
    }

    /// Puts a datagram into `place` as if it had arrived: for a kernel that is simulated. Returns
    /// how many of its bytes there is room for.
    pub(crate) fn put(&mut self, place: usize, bytes: &[u8], from: RawAddress) -> usize {
        let kept = bytes.len().min(self.size);
        let start = place * (self.size + LINE);
        self.space[start..start + kept].copy_from_slice(&bytes[..kept]);
        self.names[place].assign(&from);
        self.headers[place].msg_len = kept as libc::c_uint;
        let is_cut = kept < bytes.len();
        self.headers[place].msg_hdr.msg_flags = if is_cut { libc::MSG_TRUNC } else { 0 };
        kept
    }

    /// Whether the datagram in `place` was longer than its place.
    #[inline]
    pub(crate) fn is_truncated(&self, place: usize) -> bool {
        self.headers[place].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    /// How many bytes the datagram in `place` has.
    #[inline]
    pub(crate) fn size(&self, place: usize) -> usize {
        self.headers[place].msg_len as usize
    }

    /// The bytes of the datagram in `place`, and the room for an answer elsewhere.
    #[inline]
    pub(crate) fn payload(&mut self, place: usize) -> (&mut [u8], &mut [u8]) {
        let length = self.size(place);
        let start = place * (self.size + LINE);
        let bytes = &mut self.space[start..start + length];
        (bytes, &mut self.replies[self.filled..])
    }

    /// Bytes that an answer elsewhere may have now.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.replies.len() - self.filled
    }

    /// The sender of the datagram in `place`.
    #[inline]
    pub(crate) fn name(&self, place: usize) -> &RawAddress {
        &self.names[place]
    }

    /// The address that the datagram in `place` was sent to, as an answer is sent with it.
    pub(crate) fn control(&self, place: usize) -> Control {
        self.controls.get(place).copied().unwrap_or(Control::NONE)
    }

    /// Adds the first `length` bytes in `place` to the answers, for the sender of the datagram.
    #[inline]
    pub(crate) fn stage(&mut self, place: usize, length: usize) {
        let start = self.parts[place].iov_base;
        debug_assert!(length <= self.size);
        self.stage_part(place, start.cast(), length);
    }

    /// Adds the first `length` bytes of the room for answers, which are taken, to the answers.
    #[inline]
    pub(crate) fn stage_reply(&mut self, place: usize, length: usize) {
        let answer = &mut self.replies[self.filled..][..length];
        let start = answer.as_mut_ptr();
        self.filled += length;
        self.stage_part(place, start, length);
    }

    #[inline]
    fn stage_part(&mut self, place: usize, start: *mut u8, length: usize) {
        let part = &mut self.out_parts[self.staged];
        part.iov_base = start.cast();
        part.iov_len = length;
        let header = &mut self.outgoing[self.staged].msg_hdr;
        header.msg_name = self.names[place].as_mut_ptr().cast();
        header.msg_namelen = self.names[place].length();
        if let Some(control) = self.controls.get_mut(place) {
            header.msg_control = control.as_mut_ptr();
            header.msg_controllen = control.length() as _;
        }
        self.staged += 1;
        self.staged_size += length;
    }

    /// How many answers are staged and not sent.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        self.staged - self.sent
    }

    /// Bytes of the next `count` answers that are not sent.
    #[inline]
    pub(crate) fn unsent_sizes(&self, count: usize) -> usize {
        match (self.sent, count == self.staged) {
            // All of them, as nearly always.
            (0, true) => self.staged_size,
            _ => (0..count).map(|ahead| self.unsent_size(ahead)).sum(),
        }
    }

    /// The size of the `ahead`-th answer that is not sent.
    #[inline]
    pub(crate) fn unsent_size(&self, ahead: usize) -> usize {
        self.out_parts[self.sent + ahead].iov_len
    }

    /// The bytes and the receiver of the `ahead`-th answer that is not sent.
    pub(crate) fn unsent_answer(&self, ahead: usize) -> (&[u8], RawAddress) {
        let place = self.sent + ahead;
        assert!(place < self.staged, "there is no such answer");
        let (part, header) = (&self.out_parts[place], &self.outgoing[place].msg_hdr);
        // SAFETY: an answer lies in `space` or in `replies`, which are borrowed with `self`.
        let bytes = unsafe { std::slice::from_raw_parts(part.iov_base.cast(), part.iov_len) };
        let is_it = |name: &&RawAddress| ptr::eq(name.as_ptr().cast(), header.msg_name);
        let name = self.names.iter().find(is_it);
        (bytes, name.map_or_else(RawAddress::blank, RawAddress::copy))
    }

    /// The answers from the `count` next ones on are done, sent or not.
    #[inline]
    pub(crate) fn pass(&mut self, count: usize) {
        self.sent += count;
        debug_assert!(self.sent <= self.staged);
        if self.sent == self.staged {
            self.clear();
        }
    }

    /// Forgets all answers.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.staged, self.sent, self.filled, self.staged_size) = (0, 0, 0, 0);
    }

    /// Sends up to `count` answers, and returns how many the kernel took: not 0. The caller passes
    /// them.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let rest = &mut self.outgoing[self.sent..self.staged];
        let count = count.min(rest.len());
        let start = rest.as_mut_ptr();
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let sent = retry(|| {
            // SAFETY: `count` headers from `start` are ours, and what they point to is there too.
            unsafe { libc::sendmmsg(fd.as_raw_fd(), start, count as libc::c_uint, flags as _) }
        })?;
        Ok(sent as usize)
    }
}

/// One datagram to `to`, from the address in `control`: sendmsg(2).
pub(crate) fn send_from(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    to: &RawAddress,
    mut control: Control,
) -> io::Result<usize> {
    if control.length() == 0 {
        return send_to(fd, bytes, to);
    }
    let mut part = iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut header = blank().msg_hdr;
    (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
    (header.msg_name, header.msg_namelen) = (to.as_ptr().cast_mut().cast(), to.length());
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = control.length() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: what the header points to outlives the call, which only reads it.
    let sent = retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &header, flags) })?;
    Ok(sent as usize)
}

/// One datagram to `to`: sendto(2).
fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &RawAddress) -> io::Result<usize> {
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (name, size) = (to.as_ptr(), to.length());
    // SAFETY: `length` bytes from `start` and `size` bytes from `name` are initialised and outlive
    // the call.
    let sent = retry(|| unsafe { libc::sendto(fd.as_raw_fd(), start, length, flags, name, size) })?;
    Ok(sent as usize)
}

/// A header without name, bytes and control data.
fn blank() -> mmsghdr {
    // SAFETY: the structure is numbers and pointers, for which zero is a value.
    unsafe { mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::net::socket::Setting;

    fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
        let (near, far) = (
            UdpSocket::bind("127.0.0.1:0")?,
            UdpSocket::bind("127.0.0.1:0")?,
        );
        far.connect(near.local_addr()?)?;
        Ok((near, far))
    }

    #[test]
    fn datagrams_are_received_together_and_answered_together() -> io::Result<()> {
        let (near, far) = pair()?;
        let mut messages = Messages::new(4, 8, 16, false)?;
        let none = messages.receive(near.as_fd(), 4).map_err(|it| it.kind());
        assert_eq!(none, Err(io::ErrorKind::WouldBlock));
        for bytes in [&b"one"[..], b"", b"12345678", b"123456789"] {
            far.send(bytes)?;
        }
        assert_eq!(messages.receive(near.as_fd(), 3)?, (3, 11));
        assert_eq!(messages.receive(near.as_fd(), 4)?, (1, 8));
        assert!(messages.is_truncated(0));
        assert_eq!(messages.payload(0).0, b"12345678");
        for bytes in [&b"one"[..], b"", b"two"] {
            far.send(bytes)?;
        }
        assert_eq!(messages.receive(near.as_fd(), 4)?, (3, 6));
        assert!(!messages.is_truncated(0));
        assert_eq!(messages.payload(0).0, b"one");
        assert!(messages.payload(1).0.is_empty());
        messages.stage(2, 3);
        messages.stage(1, 0);
        messages.payload(0).1[..4].copy_from_slice(b"more");
        messages.stage_reply(0, 4);
        assert_eq!(messages.room(), 12);
        assert_eq!((messages.unsent(), messages.unsent_size(2)), (3, 4));
        assert_eq!((messages.unsent_sizes(2), messages.unsent_sizes(3)), (3, 7));
        assert_eq!(messages.unsent_answer(2).0, b"more");
        assert_eq!(messages.send(near.as_fd(), 2)?, 2);
        messages.pass(2);
        assert_eq!(messages.unsent_sizes(1), 4);
        assert_eq!(messages.send(near.as_fd(), 9)?, 1);
        messages.pass(1);
        assert_eq!((messages.unsent(), messages.room()), (0, 16));
        let mut space = [0; 16];
        for expected in [&b"two"[..], b"", b"more"] {
            let count = far.recv(&mut space)?;
            assert_eq!(&space[..count], expected);
        }
        Ok(())
    }

    #[test]
    fn a_datagram_that_was_put_is_like_one_that_arrived() -> io::Result<()> {
        let mut messages = Messages::new(2, 4, 0, false)?;
        let from = || RawAddress::internet(([127, 0, 0, 1], 9).into());
        for (bytes, kept, is_truncated) in [
            (&b"abc"[..], &b"abc"[..], false),
            (b"abcd", b"abcd", false),
            (b"abcde", b"abcd", true),
        ] {
            assert_eq!(messages.put(1, bytes, from()), kept.len());
            assert_eq!(messages.payload(1).0, kept);
            assert_eq!(messages.is_truncated(1), is_truncated);
            assert_eq!(messages.name(1).name(), from().name());
        }
        Ok(())
    }

    #[test]
    fn one_datagram_is_sent_to_a_name() -> io::Result<()> {
        let (near, far) = pair()?;
        let to = RawAddress::internet(far.local_addr()?);
        assert_eq!(send_from(near.as_fd(), b"answer", &to, Control::NONE)?, 6);
        let mut space = [0; 16];
        assert_eq!(far.recv(&mut space)?, 6);
        Ok(())
    }

    #[test]
    fn answers_leave_from_the_address_that_was_asked() -> io::Result<()> {
        let (near, far) = (
            UdpSocket::bind("0.0.0.0:0")?,
            UdpSocket::bind("127.0.0.1:0")?,
        );
        Setting::PACKET_INFO.set(near.as_fd(), 1)?;
        let mut messages = Messages::new(2, 8, 0, true)?;
        let port = near.local_addr()?.port();
        // A connected socket takes datagrams of that address alone.
        for ip in [[127, 0, 0, 1], [127, 0, 0, 5], [127, 9, 9, 9]] {
            far.connect(std::net::SocketAddr::from((ip, port)))?;
            far.send(b"asked")?;
            assert_eq!(messages.receive(near.as_fd(), 2)?, (1, 5));
            messages.stage(0, 5);
            assert_eq!(messages.send(near.as_fd(), 1)?, 1);
            messages.pass(1);
            let mut space = [0; 16];
            assert_eq!(far.recv(&mut space)?, 5);
            let to = messages.name(0).copy();
            assert_eq!(
                send_from(near.as_fd(), b"later", &to, messages.control(0))?,
                5
            );
            assert_eq!(far.recv(&mut space)?, 5);
        }
        Ok(())
    }
}
