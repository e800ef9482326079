//! What a thread needs that waits for a control connection and a data connection at once: poll(2)
//! over a few descriptors, an order that many threads see, and a connect that does not wait.
//!
//! An [`Order`] is an eventfd that is never taken: once it is given, every poll that includes it is
//! ready, however many threads there are, and no wake-up can be lost. Neighbours: `blocking`, which
//! waits for one connection; `server::ftp`. Man pages: poll(2), eventfd(2), connect(2).

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::blocking::WakeUps;
use crate::sys::errno;
use crate::sys::eventfd;
use crate::sys::net::address::RawAddress;
use crate::sys::net::socket::{self, Kind};
use crate::sys::poll::{self, Watched};

/// What is asked of one descriptor, and whether it was found.
#[derive(Debug)]
pub struct Ask<'a> {
    descriptor: Option<BorrowedFd<'a>>,
    events: u32,
    /// It is ready, or it has failed: a call on it does not wait.
    pub is_ready: bool,
}

impl<'a> Ask<'a> {
    /// Waits for bytes, an end or a connection.
    pub fn read(descriptor: &'a impl AsFd) -> Ask<'a> {
        Ask::new(Some(descriptor.as_fd()), poll::READ)
    }

    /// Waits for room, or for the end of a connect.
    pub fn write(descriptor: &'a impl AsFd) -> Ask<'a> {
        Ask::new(Some(descriptor.as_fd()), poll::WRITE)
    }

    /// Waits for nothing.
    pub fn nothing() -> Ask<'a> {
        Ask::new(None, 0)
    }

    fn new(descriptor: Option<BorrowedFd<'a>>, events: u32) -> Ask<'a> {
        Ask {
            descriptor,
            events,
            is_ready: false,
        }
    }
}

/// Sleeps until one of `asked` is ready, or for `span`; `None` is no limit.
///
/// # Errors
///
/// The error of the kernel. A signal only ends the wait.
pub fn wait<const N: usize>(
    wake_ups: WakeUps,
    asked: &mut [Ask<'_>; N],
    span: Option<Duration>,
) -> io::Result<()> {
    let mut watched = [Watched::new(-1, 0); N];
    for (watched, ask) in watched.iter_mut().zip(&*asked) {
        let number = (ask.descriptor.as_ref()).map_or(-1, |fd| fd.as_raw_fd());
        *watched = Watched::new(number, ask.events);
    }
    match wake_ups.poll(&mut watched, span) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        _ => {}
    }
    for (watched, ask) in watched.iter().zip(asked) {
        ask.is_ready = watched.found() != 0;
    }
    Ok(())
}

/// An order to all threads that wait for it. It is given once and holds.
#[derive(Debug)]
pub struct Order(OwnedFd);

impl Order {
    /// One that is not given yet.
    ///
    /// # Errors
    ///
    /// The error of the kernel.
    pub fn new() -> io::Result<Order> {
        eventfd::create().map(Order)
    }

    /// Gives it. Again changes nothing.
    pub fn give(&self) {
        // A full counter is an order that was given.
        let _ = eventfd::add(self.0.as_fd(), 1);
    }
}

impl AsFd for Order {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Begins to connect from `from`, whose port may be 0, to `to`. The socket is writable once that
/// has ended, and `take_error` tells how.
///
/// # Errors
///
/// The kernel refuses at once.
pub fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let raw = RawAddress::internet(to);
    let stream = socket::open(&raw, Kind::Stream)?;
    socket::bind(stream.as_fd(), &RawAddress::internet(from))?;
    match socket::connect(stream.as_fd(), &raw) {
        Err(error) if error.raw_os_error() != Some(errno::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from(stream)),
    }
}
