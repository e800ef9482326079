//! Plain system calls on descriptor numbers, for the experiments of `lab`.
//!
//! The experiments ask what the kernel does, also with a number that is closed, used twice or of
//! the wrong kind. Therefore these functions take numbers where the rest of the folder takes owned
//! descriptors. A call that waits is repeated after EINTR: no experiment asks about signals, and a
//! process that is stopped and continued would report a difference, see signal(7). A number can
//! name any descriptor of the process, so only `lab` imports this file, and `lab` passes only
//! numbers that it got here. Man pages: the name of each function, section 2; tcp(7) and socket(7)
//! for the options.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::ptr;

use libc::{c_int, socklen_t};

use super::{check, retry};

pub(crate) use libc::{
    AF_INET, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL,
    MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SHUT_RD, SHUT_RDWR, SHUT_WR, SO_ERROR, SO_RCVBUF,
    SO_RCVLOWAT, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET,
    TCP_CORK, TCP_DEFER_ACCEPT, TCP_NODELAY, TCP_NOTSENT_LOWAT, TCP_QUICKACK,
};

/// The level of the options of TCP.
pub(crate) const TCP: c_int = libc::IPPROTO_TCP;

/// A number that is not negative, or the error of errno.
fn number(answer: c_int) -> io::Result<i32> {
    check(answer)
}

/// A socket that blocks unless it is told otherwise.
pub(crate) fn socket(domain: c_int, kind: c_int) -> io::Result<i32> {
    // SAFETY: the call takes no pointer.
    number(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) })
}

/// Two connected local sockets.
pub(crate) fn socketpair(kind: c_int) -> io::Result<[i32; 2]> {
    let mut pair = [0; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: the call writes two numbers, and `pair` has room for both.
    number(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) })?;
    Ok(pair)
}

/// The two ends of a pipe: to read from, to write to.
pub(crate) fn pipe() -> io::Result<[i32; 2]> {
    let mut pair = [0; 2];
    // SAFETY: the call writes two numbers, and `pair` has room for both.
    number(unsafe { libc::pipe2(pair.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(pair)
}

/// A file, to be read.
pub(crate) fn open(path: &str) -> io::Result<i32> {
    let path = std::ffi::CString::new(path)?;
    // SAFETY: the path ends in a zero byte and outlives the call.
    number(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })
}

/// 127.0.0.1 and a port.
fn loopback(port: u16) -> (libc::sockaddr_in, socklen_t) {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    (address, size_of::<libc::sockaddr_in>() as socklen_t)
}

/// Binds to a port of 127.0.0.1; 0 lets the kernel choose one.
pub(crate) fn bind(fd: i32, port: u16) -> io::Result<()> {
    let (address, size) = loopback(port);
    // SAFETY: `size` bytes of `address` are initialised and outlive the call.
    number(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    Ok(())
}

pub(crate) fn listen(fd: i32, backlog: i32) -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    number(unsafe { libc::listen(fd, backlog) })?;
    Ok(())
}

/// Connects to a port of 127.0.0.1. After EINTR the same call waits for the same connection.
pub(crate) fn connect(fd: i32, port: u16) -> io::Result<()> {
    let (address, size) = loopback(port);
    // SAFETY: `size` bytes of `address` are initialised and outlive the call.
    retry(|| unsafe { libc::connect(fd, (&raw const address).cast(), size) })?;
    Ok(())
}

/// Takes one connection; the new socket blocks.
pub(crate) fn accept(fd: i32) -> io::Result<i32> {
    let (address, size) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: null pointers mean that the address is not asked for.
    retry(|| unsafe { libc::accept4(fd, address, size, libc::SOCK_CLOEXEC) })
}

/// The port that a socket is bound to.
pub(crate) fn port(fd: i32) -> io::Result<u16> {
    let (mut address, mut size) = loopback(0);
    // SAFETY: `size` says how many bytes of `address` may be written.
    number(unsafe { libc::getsockname(fd, (&raw mut address).cast(), &mut size) })?;
    Ok(u16::from_be(address.sin_port))
}

pub(crate) fn send(fd: i32, bytes: &[u8], flags: c_int) -> io::Result<usize> {
    let start = bytes.as_ptr().cast::<c_void>();
    // SAFETY: the length is that of `bytes`, which outlives the call.
    let send = || unsafe { libc::send(fd, start, bytes.len(), flags) };
    Ok(retry(send)? as usize)
}

pub(crate) fn recv(fd: i32, space: &mut [u8], flags: c_int) -> io::Result<usize> {
    let start = space.as_mut_ptr().cast::<c_void>();
    // SAFETY: the length is that of `space`, which is ours to write and outlives the call.
    let recv = || unsafe { libc::recv(fd, start, space.len(), flags) };
    Ok(retry(recv)? as usize)
}

/// Receives one message. Returns its bytes in `space`, and the flags that the kernel set.
pub(crate) fn recvmsg(fd: i32, space: &mut [u8], flags: c_int) -> io::Result<(usize, c_int)> {
    let mut part = libc::iovec {
        iov_base: space.as_mut_ptr().cast(),
        iov_len: space.len(),
    };
    // SAFETY: the structure is numbers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    // SAFETY: `message` has one part, which is `space`; all of them outlive the call.
    let count = retry(|| unsafe { libc::recvmsg(fd, &mut message, flags) })?;
    Ok((count as usize, message.msg_flags))
}

pub(crate) fn read(fd: i32, space: &mut [u8]) -> io::Result<usize> {
    let start = space.as_mut_ptr().cast::<c_void>();
    // SAFETY: the length is that of `space`, which is ours to write and outlives the call.
    Ok(check(unsafe { libc::read(fd, start, space.len()) })? as usize)
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> io::Result<usize> {
    let start = bytes.as_ptr().cast::<c_void>();
    // SAFETY: the length is that of `bytes`, which outlives the call.
    Ok(check(unsafe { libc::write(fd, start, bytes.len()) })? as usize)
}

pub(crate) fn shutdown(fd: i32, how: c_int) -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    number(unsafe { libc::shutdown(fd, how) })?;
    Ok(())
}

pub(crate) fn close(fd: i32) -> io::Result<()> {
    // SAFETY: the call takes no pointer, and the number came from this file.
    number(unsafe { libc::close(fd) })?;
    Ok(())
}

pub(crate) fn dup(fd: i32) -> io::Result<i32> {
    // SAFETY: the call takes no pointer.
    number(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) })
}

/// Gives `fd` the number `to` as well.
pub(crate) fn dup2(fd: i32, to: i32) -> io::Result<i32> {
    // SAFETY: the call takes no pointer, and both numbers came from this file.
    number(unsafe { libc::dup3(fd, to, libc::O_CLOEXEC) })
}

/// Whether a descriptor has this number.
pub(crate) fn is_open(fd: i32) -> bool {
    // SAFETY: the call takes no pointer.
    number(unsafe { libc::fcntl(fd, libc::F_GETFD) }).is_ok()
}

/// Calls no longer wait, or wait again.
pub(crate) fn set_nonblocking(fd: i32, on: bool) -> io::Result<()> {
    let mut on = c_int::from(on);
    // SAFETY: the call reads one int, which outlives the call.
    number(unsafe { libc::ioctl(fd, libc::FIONBIO, &mut on) })?;
    Ok(())
}

/// Sets an option whose value is one int.
pub(crate) fn setsockopt(fd: i32, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let (start, size) = ((&raw const value).cast(), size_of::<c_int>() as socklen_t);
    // SAFETY: `size` bytes from `start` are those of `value`, which outlives the call.
    number(unsafe { libc::setsockopt(fd, level, name, start, size) })?;
    Ok(())
}

pub(crate) fn getsockopt(fd: i32, level: c_int, name: c_int) -> io::Result<c_int> {
    let (mut value, mut size) = (0, size_of::<c_int>() as socklen_t);
    let start = (&raw mut value).cast();
    // SAFETY: `size` bytes from `start` are those of `value`, which outlives the call.
    number(unsafe { libc::getsockopt(fd, level, name, start, &mut size) })?;
    Ok(value)
}

/// `SO_LINGER` of zero seconds: close(2) sends RST instead of FIN.
pub(crate) fn reset_on_close(fd: i32) -> io::Result<()> {
    let value = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let (start, size) = ((&raw const value).cast(), size_of_val(&value) as socklen_t);
    // SAFETY: `size` bytes from `start` are those of `value`, which outlives the call.
    number(unsafe { libc::setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, start, size) })?;
    Ok(())
}

/// No receive and no send waits longer than 2 s, so that an unexpected answer cannot stop a program
/// for ever: `SO_RCVTIMEO` and `SO_SNDTIMEO`.
pub(crate) fn bound_waits(fd: i32) -> io::Result<()> {
    let value = libc::timeval {
        tv_sec: 2,
        tv_usec: 0,
    };
    let (start, size) = ((&raw const value).cast(), size_of_val(&value) as socklen_t);
    for name in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        // SAFETY: `size` bytes from `start` are those of `value`, which outlives the call.
        number(unsafe { libc::setsockopt(fd, SOL_SOCKET, name, start, size) })?;
    }
    Ok(())
}

/// A count of bytes that ioctl(2) tells about a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Queue {
    /// `SIOCINQ`: arrived and not read.
    Unread,
    /// `SIOCOUTQ`: sent and not acknowledged.
    Unacknowledged,
    /// `SIOCOUTQNSD`: not yet sent to the peer.
    Unsent,
}

pub(crate) fn queued(fd: i32, queue: Queue) -> io::Result<usize> {
    /// linux/sockios.h; the C library has no name for this request.
    const SIOCOUTQNSD: libc::c_ulong = 0x894b;
    let request = match queue {
        Queue::Unread => libc::FIONREAD,
        Queue::Unacknowledged => libc::TIOCOUTQ,
        Queue::Unsent => SIOCOUTQNSD as _,
    };
    let mut bytes: c_int = 0;
    // SAFETY: each of these requests writes one int, which outlives the call.
    number(unsafe { libc::ioctl(fd, request, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// What `TCP_INFO` tells, as far as the experiments use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpInfo {
    /// The state of the connection: include/net/tcp_states.h of Linux.
    pub(crate) state: u8,
    /// Segments not acknowledged; of a listener, the length of its queue.
    pub(crate) unacknowledged: u32,
    /// Of a listener, the largest length of its queue.
    pub(crate) queue_max: u32,
    /// Segments with data that were sent.
    pub(crate) data_segments_sent: u32,
}

pub(crate) fn tcp_info(fd: i32) -> io::Result<TcpInfo> {
    // The C library's structure ends before the fields that Linux 4.6 added: these bytes hold both.
    let mut raw = [0_u8; 256];
    let mut size = raw.len() as socklen_t;
    let start = raw.as_mut_ptr().cast();
    // SAFETY: `size` says how many bytes of `raw` may be written.
    number(unsafe { libc::getsockopt(fd, TCP, libc::TCP_INFO, start, &mut size) })?;
    let word = |at: usize| {
        let bytes = raw[at..at + 4].try_into().unwrap_or_default();
        u32::from_ne_bytes(bytes)
    };
    // Offsets of struct tcp_info, linux/tcp.h: eight bytes, then 32-bit numbers, then 64-bit ones.
    Ok(TcpInfo {
        state: raw[0],
        unacknowledged: word(24),
        queue_max: word(28),
        data_segments_sent: word(156),
    })
}

pub(crate) fn epoll_create() -> io::Result<i32> {
    // SAFETY: the call takes no pointer.
    number(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

pub(crate) fn epoll_ctl(
    epoll: i32,
    operation: c_int,
    fd: i32,
    events: u32,
    data: u64,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the kernel reads one event, which outlives the call.
    number(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) })?;
    Ok(())
}

/// The most events of one wait.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Waits at most `timeout` milliseconds. Returns events and data of each.
pub(crate) fn epoll_wait(epoll: i32, room: usize, timeout: c_int) -> io::Result<Vec<(u32, u64)>> {
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; room.clamp(1, EVENTS_MAX)];
    let start = events.as_mut_ptr();
    let room = events.len() as c_int;
    // SAFETY: `room` is the length of `events`, which is ours to write and outlives the call.
    let count = retry(|| unsafe { libc::epoll_wait(epoll, start, room, timeout) })?;
    let told = events.iter().take(count as usize);
    Ok(told.map(|event| (event.events, event.u64)).collect())
}

/// A counter in the kernel, non-blocking.
pub(crate) fn eventfd(semaphore: bool) -> io::Result<i32> {
    let kind = if semaphore { libc::EFD_SEMAPHORE } else { 0 };
    // SAFETY: the call takes no pointer.
    number(unsafe { libc::eventfd(0, kind | libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// A timer that ends first after `nanoseconds`, and then again and again if `repeats`.
pub(crate) fn timerfd(nanoseconds: i64, repeats: bool) -> io::Result<i32> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: the call takes no pointer.
    let fd = number(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    let span = libc::timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds as _,
    };
    let none = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let value = libc::itimerspec {
        it_interval: if repeats { span } else { none },
        it_value: span,
    };
    // SAFETY: the kernel reads one value, which outlives the call; null means that the old value is
    // not asked for.
    number(unsafe { libc::timerfd_settime(fd, 0, &value, ptr::null_mut()) })?;
    Ok(fd)
}

/// A second process that continues here: 0 in the new one, else its number.
pub(crate) fn fork() -> io::Result<i32> {
    // SAFETY: the program has one thread while an experiment runs, so no lock is held by another.
    number(unsafe { libc::fork() })
}

/// Ends this process at once, without its destructors.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// How a child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// With this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// Waits for a child to end.
pub(crate) fn waitpid(child: i32) -> io::Result<ChildEnd> {
    let mut status = 0;
    // SAFETY: the call writes one int, which outlives the call.
    number(unsafe { libc::waitpid(child, &mut status, 0) })?;
    Ok(match libc::WIFSIGNALED(status) {
        true => ChildEnd::Signal(libc::WTERMSIG(status)),
        false => ChildEnd::Exit(libc::WEXITSTATUS(status)),
    })
}

/// SIGPIPE ends this process again, as it does before the standard library ignores the signal.
pub(crate) fn let_sigpipe_act() {
    // SAFETY: SIG_DFL is a valid disposition, and no handler is replaced that others rely on.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Lowers the limit of descriptors of this process.
pub(crate) fn limit_descriptors(count: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: count as _,
        rlim_max: count as _,
    };
    // SAFETY: the kernel reads one value, which outlives the call.
    number(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(())
}
