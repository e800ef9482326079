//! The part that all bare loops share: a listener and its connections in one level-triggered epoll.
//!
//! There is no state per connection: the descriptor is the token. See epoll(7).

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::ptr;

const EVENTS: usize = 256;

/// Calls `readable` with each readable descriptor. The descriptor is closed if it returns false.
pub(super) fn run(listener: TcpListener, mut readable: impl FnMut(i32) -> bool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let door = listener.as_raw_fd();
    // SAFETY: the call takes no pointer.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    watch(epoll, door)?;
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    loop {
        // SAFETY: `events` is writable for EVENTS entries.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, -1) };
        for event in &events[..usize::try_from(count).unwrap_or(0)] {
            let socket = event.u64 as i32;
            if socket == door {
                while let Ok((stream, _)) = listener.accept() {
                    watch(epoll, prepared(stream)?)?;
                }
            } else if !readable(socket) {
                // SAFETY: this program owns the descriptor, and this was its last event.
                unsafe { libc::close(socket) };
            }
        }
    }
}

fn prepared(stream: TcpStream) -> io::Result<i32> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream.into_raw_fd())
}

fn watch(epoll: i32, socket: i32) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: socket as u64,
    };
    // SAFETY: `event` is read during the call only.
    match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &mut event) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Receives into `space`. Returns 0 at the end of the stream and after an error, which ends it too.
#[inline]
pub(super) fn receive(socket: i32, space: &mut [u8]) -> usize {
    // SAFETY: `space` is writable for its length.
    let count = unsafe { libc::recv(socket, space.as_mut_ptr().cast(), space.len(), 0) };
    usize::try_from(count).unwrap_or(0)
}

/// Sends all of `bytes`. There is no buffer for the rest, so the call waits while the socket is
/// full.
#[inline]
pub(super) fn send(socket: i32, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let (start, length) = (bytes.as_ptr().cast(), bytes.len());
        // SAFETY: `bytes` is readable for its length.
        let count = unsafe { libc::send(socket, start, length, libc::MSG_NOSIGNAL) };
        match usize::try_from(count) {
            Ok(count) => bytes = &bytes[count..],
            Err(_) if !wait_for_room(socket) => return false,
            Err(_) => {}
        }
    }
    true
}

#[cold]
fn wait_for_room(socket: i32) -> bool {
    if io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock {
        return false;
    }
    let mut poll = libc::pollfd {
        fd: socket,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: the pointer is valid for the one entry that is passed.
    unsafe { libc::poll(ptr::from_mut(&mut poll), 1, -1) > 0 }
}
