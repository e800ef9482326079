//! Sockets: one function for each system call.
//!
//! Every socket is non-blocking and close-on-exec from its creation. A flag that is set later would
//! leave a gap in which another thread can fork. The calls of the data path are inlined and add
//! only the check of the result to what the C library does. Which errors matter and which options
//! are useful is not known here. Man pages: socket(2), socket(7), tcp(7), ipv6(7), unix(7).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, socklen_t};

use super::address::RawAddress;
use crate::sys::{check, retry};

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    Datagrams,
    /// A stream that keeps the boundaries of messages: SOCK_SEQPACKET of unix(7).
    Packets,
}

/// What an open socket carries; `None` for a type that is not served.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<Option<Kind>> {
    Ok(match Setting::TYPE.get(fd)? {
        libc::SOCK_STREAM => Some(Kind::Stream),
        libc::SOCK_DGRAM => Some(Kind::Datagrams),
        _ => None,
    })
}

/// A new socket of the family of `address`.
pub(crate) fn open(address: &RawAddress, kind: Kind) -> io::Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => libc::SOCK_STREAM,
        Kind::Datagrams => libc::SOCK_DGRAM,
        Kind::Packets => libc::SOCK_SEQPACKET,
    };
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes no pointer.
    let number = retry(|| unsafe { libc::socket(address.family(), kind, 0) })?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Two connected sockets that keep the boundaries of messages, and tell when the other one is
/// closed: unix(7), SOCK_SEQPACKET.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the two numbers are ours to write and outlive the call.
    retry(|| unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    // SAFETY: both descriptors are new and have no other owner.
    let [one, other] = ends.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    Ok((one, other))
}

pub(crate) fn bind(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    let (start, length) = (address.as_ptr(), address.length());
    // SAFETY: `length` bytes from `start` are initialised and outlive the call.
    retry(|| unsafe { libc::bind(fd.as_raw_fd(), start, length) })?;
    Ok(())
}

pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = c_int::try_from(backlog).unwrap_or(c_int::MAX);
    // SAFETY: the call takes no pointer.
    retry(|| unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
    Ok(())
}

/// Starts to connect. `EINPROGRESS` and `EINTR` both mean that the connect continues by itself:
/// connect(2).
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    let (start, length) = (address.as_ptr(), address.length());
    // SAFETY: `length` bytes from `start` are initialised and outlive the call.
    check(unsafe { libc::connect(fd.as_raw_fd(), start, length) })?;
    Ok(())
}

/// Takes one connection from the queue, without its address: [`peer`] returns it when it is needed.
#[inline]
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (address, length) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: null pointers mean that the address is not requested.
    let number = retry(|| unsafe { libc::accept4(fd.as_raw_fd(), address, length, flags) })?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[inline]
pub(crate) fn receive(fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (space.as_mut_ptr().cast(), space.len());
    // SAFETY: `length` bytes from `start` are ours to write and outlive the call.
    let count = retry(|| unsafe { libc::recv(fd.as_raw_fd(), start, length, 0) })?;
    Ok(count as usize)
}

#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `length` bytes from `start` are initialised and outlive the call.
    let count = retry(|| unsafe { libc::send(fd.as_raw_fd(), start, length, libc::MSG_NOSIGNAL) })?;
    Ok(count as usize)
}

/// Ends our sending direction; the receiving direction stays open.
pub(crate) fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    retry(|| unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) })?;
    Ok(())
}

/// Ends the receiving direction. A listener of unix(7) then refuses new connections and keeps its
/// queue.
pub(crate) fn shutdown_read(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    retry(|| unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RD) })?;
    Ok(())
}

/// Makes a TCP listener ignore the first segment of every new connection: `SO_ATTACH_FILTER` of
/// socket(7). Handshakes under way go on, and the queue stays. The peer repeats the segment after a
/// second, and is refused if the listener is closed by then.
pub(crate) fn ignore_handshakes(fd: BorrowedFd<'_>) -> io::Result<()> {
    if Setting::DOMAIN.get(fd)? == libc::AF_UNIX {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let step = |code: u32, unequal: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: unequal,
        k,
    };
    /// The offset of the flags in a TCP header (RFC 9293), where the filter of a TCP socket begins.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    // Drops SYN without ACK. Accepted sockets inherit the filter, and no connection needs such a
    // segment after its handshake.
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, FLAGS),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, SYN | ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
    ];
    attach(fd, &mut steps)
}

/// Makes a datagram socket take no more datagrams; those in its queue stay there:
/// `SO_ATTACH_FILTER` of socket(7). All descriptors of the socket are affected.
pub(crate) fn ignore_arrivals(fd: BorrowedFd<'_>) -> io::Result<()> {
    attach(
        fd,
        &mut [libc::sock_filter {
            code: (libc::BPF_RET | libc::BPF_K) as u16,
            jt: 0,
            jf: 0,
            k: 0,
        }],
    )
}

fn attach(fd: BorrowedFd<'_>, steps: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    let (start, size) = (
        (&raw const program).cast(),
        size_of_val(&program) as socklen_t,
    );
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the program and its steps outlive the call, which copies both.
    retry(|| unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, start, size) })?;
    Ok(())
}

/// Whether the socket carries datagrams: `SO_TYPE` of socket(7).
pub(crate) fn carries_datagrams(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(Setting::TYPE.get(fd)? == libc::SOCK_DGRAM)
}

/// Bytes sent that the peer has not acknowledged: `SIOCOUTQ` of tcp(7). For a local socket
/// `SIOCOUTQ` counts unread bytes; this function returns 0 then, because those bytes are already in
/// the reader's queue and survive a close of this end.
pub(crate) fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: `TIOCOUTQ`, the same number as `SIOCOUTQ`, writes one int, which outlives the call.
    retry(|| unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) })?;
    if bytes > 0 && Setting::DOMAIN.get(fd)? == libc::AF_UNIX {
        return Ok(0);
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Connections in the queue of a TCP listener: `TCP_INFO`, whose count of unacknowledged segments
/// is the queue length if the socket listens. Other kinds of listeners do not report it.
pub(crate) fn queue_length(fd: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut size = size_of_val(&info) as socklen_t;
    let start = (&raw mut info).cast();
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: `size` bytes from `start` are those of `info`, which outlives the call.
    retry(|| unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, start, &mut size) })?;
    Ok(info.tcpi_unacked as usize)
}

/// The address that the socket is bound to.
pub(crate) fn local(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    RawAddress::filled_by(|start, length| {
        // SAFETY: `length` says how many bytes from `start` may be written.
        retry(|| unsafe { libc::getsockname(fd.as_raw_fd(), start, length) })?;
        Ok(())
    })
}

/// The address of the peer.
pub(crate) fn peer(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    RawAddress::filled_by(|start, length| {
        // SAFETY: `length` says how many bytes from `start` may be written.
        retry(|| unsafe { libc::getpeername(fd.as_raw_fd(), start, length) })?;
        Ok(())
    })
}

/// Takes the pending error of the socket.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    match Setting(libc::SOL_SOCKET, libc::SO_ERROR).get(fd)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// An option whose value is one int: its level and its name.
#[derive(Clone, Copy)]
pub(crate) struct Setting(c_int, c_int);

impl Setting {
    pub(crate) const REUSE_ADDRESS: Setting = Setting(libc::SOL_SOCKET, libc::SO_REUSEADDR);
    pub(crate) const REUSE_PORT: Setting = Setting(libc::SOL_SOCKET, libc::SO_REUSEPORT);
    pub(crate) const KEEP_ALIVE: Setting = Setting(libc::SOL_SOCKET, libc::SO_KEEPALIVE);
    /// Urgent bytes stay in the stream, as RFC 6093 recommends to all applications.
    pub(crate) const URGENT_INLINE: Setting = Setting(libc::SOL_SOCKET, libc::SO_OOBINLINE);
    const DOMAIN: Setting = Setting(libc::SOL_SOCKET, libc::SO_DOMAIN);
    /// The socket listens: 1.
    pub(crate) const LISTENS: Setting = Setting(libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
    const TYPE: Setting = Setting(libc::SOL_SOCKET, libc::SO_TYPE);
    pub(crate) const RECEIVE_BUFFER: Setting = Setting(libc::SOL_SOCKET, libc::SO_RCVBUF);
    pub(crate) const SEND_BUFFER: Setting = Setting(libc::SOL_SOCKET, libc::SO_SNDBUF);
    pub(crate) const ONLY_V6: Setting = Setting(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    /// The address that each datagram was sent to comes with it.
    pub(crate) const PACKET_INFO: Setting = Setting(libc::IPPROTO_IP, libc::IP_PKTINFO);
    pub(crate) const PACKET_INFO_V6: Setting = Setting(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO);
    /// A socket that is bound to an address without a port gets its port at connect(2), where the
    /// kernel only needs the pair of both ends to be unique.
    pub(crate) const LATE_PORT: Setting = Setting(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
    pub(crate) const NO_DELAY: Setting = Setting(libc::IPPROTO_TCP, libc::TCP_NODELAY);
    /// Seconds of silence before the first probe.
    pub(crate) const KEEP_IDLE: Setting = Setting(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
    /// Seconds between probes.
    pub(crate) const KEEP_INTERVAL: Setting = Setting(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
    /// Unanswered probes after which the connection ends.
    pub(crate) const KEEP_COUNT: Setting = Setting(libc::IPPROTO_TCP, libc::TCP_KEEPCNT);
    /// Milliseconds that data may stay unacknowledged.
    pub(crate) const USER_TIMEOUT: Setting = Setting(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
    /// Seconds to wait for the first data before a connection is reported.
    pub(crate) const DEFER_ACCEPT: Setting = Setting(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);

    pub(crate) fn set(self, fd: BorrowedFd<'_>, value: c_int) -> io::Result<()> {
        let (start, size) = ((&raw const value).cast(), size_of::<c_int>() as socklen_t);
        // SAFETY: `size` bytes from `start` are those of `value`, which outlives the call.
        retry(|| unsafe { libc::setsockopt(fd.as_raw_fd(), self.0, self.1, start, size) })?;
        Ok(())
    }

    pub(crate) fn get(self, fd: BorrowedFd<'_>) -> io::Result<c_int> {
        let (mut value, mut size) = (0, size_of::<c_int>() as socklen_t);
        let start = (&raw mut value).cast();
        // SAFETY: `size` bytes from `start` are those of `value`, which outlives the call.
        retry(|| unsafe { libc::getsockopt(fd.as_raw_fd(), self.0, self.1, start, &mut size) })?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    fn connected() -> io::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        Ok((near, listener.accept()?.0))
    }

    fn any_port(text: &str) -> RawAddress {
        RawAddress::internet(text.parse().expect("an address"))
    }

    #[test]
    fn a_fresh_socket_neither_blocks_nor_outlives_an_exec() -> io::Result<()> {
        let socket = open(&any_port("127.0.0.1:0"), Kind::Stream)?;
        // SAFETY: the call takes no pointer.
        let status = check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
        // SAFETY: as above.
        let flags = check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFD) })?;
        assert_ne!(status & libc::O_NONBLOCK, 0);
        assert_ne!(flags & libc::FD_CLOEXEC, 0);
        Ok(())
    }

    #[test]
    fn bytes_go_both_ways_and_the_end_is_zero() -> io::Result<()> {
        let address = any_port("127.0.0.1:0");
        let listener = open(&address, Kind::Stream)?;
        bind(listener.as_fd(), &address)?;
        listen(listener.as_fd(), 4)?;
        let bound = local(listener.as_fd())?;
        let near = open(&bound, Kind::Stream)?;
        let started = connect(near.as_fd(), &bound).map_err(|error| error.raw_os_error());
        assert!(matches!(started, Ok(()) | Err(Some(libc::EINPROGRESS))));
        let far = accept(listener.as_fd())?;
        take_error(near.as_fd())?;
        assert_eq!(peer(near.as_fd())?.name(), bound.name());

        let mut space = [0; 16];
        let empty = receive(far.as_fd(), &mut space).map_err(|error| error.kind());
        assert_eq!(empty, Err(io::ErrorKind::WouldBlock));
        assert_eq!(send(near.as_fd(), b"hello")?, 5);
        assert_eq!(receive(far.as_fd(), &mut space)?, 5);
        assert_eq!(&space[..5], b"hello");
        shutdown_write(near.as_fd())?;
        assert_eq!(receive(far.as_fd(), &mut space)?, 0);
        assert_eq!(send(far.as_fd(), b"yes")?, 3);
        assert_eq!(receive(near.as_fd(), &mut space)?, 3);
        Ok(())
    }

    #[test]
    fn an_empty_queue_would_block() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let none = accept(listener.as_fd()).map_err(|error| error.kind());
        assert_eq!(none.err(), Some(io::ErrorKind::WouldBlock));
        Ok(())
    }

    #[test]
    fn a_send_to_a_peer_that_left_is_an_error_and_not_a_signal() -> io::Result<()> {
        let (near, far) = connected()?;
        shutdown_write(near.as_fd())?;
        let broken = send(near.as_fd(), b"x").map_err(|error| error.kind());
        assert_eq!(broken, Err(io::ErrorKind::BrokenPipe));
        drop(far);
        Ok(())
    }

    #[test]
    fn unacknowledged_bytes_are_counted() -> io::Result<()> {
        let (near, _far) = connected()?;
        near.set_nonblocking(true)?;
        assert_eq!(unacknowledged(near.as_fd())?, 0);
        while send(near.as_fd(), &[0; 1 << 16]).is_ok() {}
        assert!(unacknowledged(near.as_fd())? > 0);
        Ok(())
    }

    #[test]
    fn bytes_sent_on_a_local_socket_stay_with_the_reader() -> io::Result<()> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        send(near.as_fd(), b"hello")?;
        assert_eq!(unacknowledged(near.as_fd())?, 0);
        // Bytes that an endpoint has not read turn the last read of its peer into a reset, as in
        // TCP.
        send(far.as_fd(), b"late")?;
        drop(near);
        let mut space = [0; 8];
        assert_eq!(receive(far.as_fd(), &mut space)?, 5);
        let reset = receive(far.as_fd(), &mut space).map_err(|error| error.kind());
        assert_eq!(reset, Err(io::ErrorKind::ConnectionReset));
        Ok(())
    }

    #[test]
    fn a_refused_connect_leaves_its_error_once() -> io::Result<()> {
        // Bound but not listening, so no other process can take the port meanwhile.
        let holder = open(&any_port("127.0.0.1:0"), Kind::Stream)?;
        bind(holder.as_fd(), &any_port("127.0.0.1:0"))?;
        let silent = local(holder.as_fd())?;
        let socket = open(&silent, Kind::Stream)?;
        let started = connect(socket.as_fd(), &silent).map_err(|error| error.raw_os_error());
        assert_eq!(started, Err(Some(libc::EINPROGRESS)));
        let refused = take_error(socket.as_fd()).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
        take_error(socket.as_fd())
    }

    #[test]
    fn every_setting_reads_back_what_was_set() -> io::Result<()> {
        let socket = open(&any_port("[::1]:0"), Kind::Stream)?;
        let fd = socket.as_fd();
        let on = [
            Setting::REUSE_ADDRESS,
            Setting::REUSE_PORT,
            Setting::KEEP_ALIVE,
            Setting::URGENT_INLINE,
        ];
        for setting in on.into_iter().chain([Setting::NO_DELAY, Setting::ONLY_V6]) {
            setting.set(fd, 1)?;
            assert_eq!(setting.get(fd)?, 1);
            setting.set(fd, 0)?;
            assert_eq!(setting.get(fd)?, 0);
        }
        for setting in [
            Setting::KEEP_IDLE,
            Setting::KEEP_INTERVAL,
            Setting::KEEP_COUNT,
        ] {
            setting.set(fd, 41)?;
            assert_eq!(setting.get(fd)?, 41);
        }
        Setting::USER_TIMEOUT.set(fd, 1_234)?;
        assert_eq!(Setting::USER_TIMEOUT.get(fd)?, 1_234);
        // The kernel doubles the size for its own bookkeeping, socket(7).
        for setting in [Setting::RECEIVE_BUFFER, Setting::SEND_BUFFER] {
            setting.set(fd, 20_000)?;
            assert_eq!(setting.get(fd)?, 40_000);
        }
        // The kernel stores this one as a number of retransmissions, after 1, 3, 7 ... seconds.
        Setting::DEFER_ACCEPT.set(fd, 5)?;
        assert_eq!(Setting::DEFER_ACCEPT.get(fd)?, 7);
        Ok(())
    }
}
