//! A poller for one thread with few descriptors: poll(2) instead of epoll(7).
//!
//! The descriptors that are watched are a short list, passed to the kernel in each wait: that of a
//! connection, and while a command runs for it, those of its output and its end. There is no timer
//! and no wake-up descriptor. A signal wakes the thread, see `sys::poll`; such a wait returns no
//! event. Edge-triggered here means reported once, until the interest is set again.
//!
//! Invariant: the list holds no closed descriptor, because `close` removes it. Sockets and programs
//! are those of [`Linux`](super::Linux). Neighbours: `sys::poll`; `server::blocking`, the only
//! user. Man page: poll(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::journal::{Name, Recordable};
use super::{
    Address, Child, Command, Event, Interest, Poller, Readiness, Signal, Socket, Sockets, Spawner,
    Time, Token, lines, outlet,
};
use crate::sys::net::socket;
use crate::sys::poll::{self, Waits, Watched};
use crate::sys::process::{self, child, fork, spawn};

/// Descriptors that one thread can watch: a connection, the two of its command, and a control.
const WATCHED_MAX: usize = 4;

/// The kernel of one thread that blocks.
pub struct Blocking {
    waits: Waits,
    entries: [Option<Entry>; WATCHED_MAX],
    /// The last reading of the clock, from which waits count.
    clock: Time,
}

#[derive(Clone, Copy)]
struct Entry {
    descriptor: RawFd,
    token: Token,
    interest: Interest,
    /// Reported once, and not asked for again.
    is_spent: bool,
}

/// How threads that block are woken: to be prepared in the first thread, before it starts others.
#[derive(Clone, Copy)]
pub struct WakeUps(Waits);

impl WakeUps {
    /// Prepares the signal that wakes.
    ///
    /// # Errors
    ///
    /// The error of the kernel.
    pub fn prepare() -> io::Result<WakeUps> {
        Waits::prepare().map(WakeUps)
    }

    /// Ends the wait of `thread`, or its next one. The thread must not be joined yet.
    pub fn wake_thread<T>(thread: &JoinHandle<T>) {
        poll::wake_thread(thread);
    }

    /// Sleeps for what a thread watches beside its own poller.
    #[cfg(feature = "auth")]
    pub(super) fn poll(
        &self,
        watched: &mut [Watched],
        span: Option<Duration>,
    ) -> io::Result<usize> {
        self.0.poll(watched, span)
    }

    /// The same for a child process, which must not be reaped yet.
    ///
    /// # Errors
    ///
    /// The error of kill(2).
    pub fn wake_process(id: u32) -> io::Result<()> {
        poll::wake_process(id)
    }
}

/// Which of two processes this is after [`fork`].
pub enum Forked {
    /// The parent, with the number of its child.
    Parent(u32),
    /// The child.
    Child,
}

/// Copies this process, which has no other thread: fork(2). The child is killed when the thread
/// that has called this ends.
///
/// # Errors
///
/// The error of fork(2).
pub fn fork() -> io::Result<Forked> {
    Ok(match fork::fork()? {
        fork::Forked::Parent(id) => Forked::Parent(id),
        fork::Forked::Child => {
            lines::forget_rests();
            Forked::Child
        }
    })
}

/// Kills a child process, which must not be reaped yet.
///
/// # Errors
///
/// The error of kill(2).
pub fn kill_process(id: u32) -> io::Result<()> {
    fork::send(id, fork::Sent::Kill)
}

/// The number of a child of the calling thread that has ended and is not reaped, if there is one.
///
/// # Errors
///
/// The error of waitid(2).
pub fn ended_child() -> io::Result<Option<u32>> {
    child::ended()
}

/// Reaps a child that has ended.
///
/// # Errors
///
/// The error of waitid(2).
pub fn reap_child(id: u32) -> io::Result<()> {
    child::reap(id)
}

/// In a child: closes all descriptors but `socket`, the standard streams and what the lines of the
/// log are written to. The values that hold them must not be used any more, so the child ends by
/// [`exit_at_once`].
pub fn close_all_but(socket: &Socket) {
    let mut kept = vec![socket.as_fd().as_raw_fd()];
    kept.extend(outlet::numbers());
    fork::close_all_but(&mut kept);
}

/// Ends a child without anything that the parent would do at its end.
pub fn exit_at_once(code: i32) -> ! {
    fork::exit_at_once(code)
}

impl Blocking {
    /// A kernel without descriptors.
    pub fn new(wake_ups: WakeUps) -> Blocking {
        Blocking {
            waits: wake_ups.0,
            entries: [None; WATCHED_MAX],
            clock: Time::from_nanos(process::monotonic_nanoseconds()),
        }
    }

    fn entry(&mut self, socket: &Socket) -> Option<&mut Option<Entry>> {
        let descriptor = socket.as_fd().as_raw_fd();
        let is_it = |entry: &Option<Entry>| entry.is_some_and(|it| it.descriptor == descriptor);
        self.entries.iter_mut().find(|entry| is_it(entry))
    }
}

impl Entry {
    fn new(socket: &Socket, token: Token, interest: Interest) -> Entry {
        Entry {
            descriptor: socket.as_fd().as_raw_fd(),
            token,
            interest,
            is_spent: false,
        }
    }

    /// The entry as poll(2) takes it. The bits of poll(2) are those of epoll.
    fn watched(entry: &Option<Entry>) -> Watched {
        match entry {
            Some(entry) if !entry.is_spent => {
                let mut events = Readiness::NONE;
                if entry.interest.contains(Interest::READ) {
                    events |= Readiness::IN;
                }
                if entry.interest.contains(Interest::WRITE) {
                    events |= Readiness::OUT;
                }
                Watched::new(entry.descriptor, events.bits())
            }
            _ => Watched::new(-1, 0),
        }
    }
}

impl Recordable for Blocking {
    const WAIT: Name = Name::Poll;
    const REGISTERS: bool = false;

    fn number(socket: &Socket) -> u32 {
        socket.as_fd().as_raw_fd() as u32
    }

    fn time(&self) -> Time {
        Time::from_nanos(process::monotonic_nanoseconds())
    }

    fn own_address(&self, socket: &Socket) -> io::Result<Address> {
        Address::from_raw(&socket::local(socket.as_fd())?)
    }
}

impl Sockets for Blocking {
    type Socket = Socket;

    fn accept(&mut self, listener: &Socket) -> io::Result<Socket> {
        socket::accept(listener.as_fd()).map(Socket::from)
    }

    #[inline]
    fn read(&mut self, socket: &Socket, space: &mut [u8]) -> io::Result<usize> {
        socket::receive(socket.as_fd(), space)
    }

    #[inline]
    fn write(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        socket::send(socket.as_fd(), bytes)
    }

    fn shutdown(&mut self, socket: &Socket) -> io::Result<()> {
        socket::shutdown_write(socket.as_fd())
    }

    fn unacknowledged(&mut self, socket: &Socket) -> io::Result<usize> {
        socket::unacknowledged(socket.as_fd())
    }

    fn take_error(&mut self, socket: &Socket) -> io::Result<()> {
        socket::take_error(socket.as_fd())
    }

    fn peer(&mut self, socket: &Socket) -> io::Result<Address> {
        Address::from_raw(&socket::peer(socket.as_fd())?)
    }

    #[cfg(feature = "auth")]
    fn random(&mut self, bytes: &mut [u8; 32]) -> io::Result<()> {
        crate::sys::random::fill(bytes)
    }

    fn close(&mut self, socket: Socket) {
        if let Some(entry) = self.entry(&socket) {
            *entry = None;
        }
        drop(socket);
    }
}

impl Poller for Blocking {
    fn register(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        let free = self.entries.iter_mut().find(|entry| entry.is_none());
        // epoll_ctl(2) refuses with the same error when no more descriptors can be watched.
        let free = free.ok_or(io::Error::from_raw_os_error(super::errno::ENOSPC))?;
        *free = Some(Entry::new(socket, token, interest));
        Ok(())
    }

    fn reregister(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        let entry = self.entry(socket).ok_or(io::ErrorKind::NotFound)?;
        *entry = Some(Entry::new(socket, token, interest));
        Ok(())
    }

    fn deregister(&mut self, socket: &Socket) -> io::Result<()> {
        *self.entry(socket).ok_or(io::ErrorKind::NotFound)? = None;
        Ok(())
    }

    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        let mut watched = [Watched::new(-1, 0); WATCHED_MAX];
        for (entry, watched) in self.entries.iter().zip(&mut watched) {
            *watched = Entry::watched(entry);
        }
        let timeout = match until {
            Time::NEVER => None,
            until => Some(until.since(self.clock)),
        };
        match self.waits.poll(&mut watched, timeout) {
            Ok(0) => return Ok(0),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
        }
        let mut count = 0;
        for (entry, watched) in self.entries.iter_mut().zip(&watched) {
            let (Some(entry), Some(event)) = (entry, events.get_mut(count)) else {
                continue;
            };
            if watched.found() != 0 {
                *event = Event::new(entry.token, Readiness::from_bits(watched.found()));
                entry.is_spent = entry.interest.contains(Interest::EDGE);
                count += 1;
            }
        }
        Ok(count)
    }

    #[inline]
    fn now(&mut self) -> Time {
        self.clock = Time::from_nanos(process::monotonic_nanoseconds());
        self.clock
    }

    fn time_of_day(&mut self) -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }

    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        Ok(None)
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spawner for Blocking {
    type Command = Command;

    /// The first thread of the process has done this.
    fn supervise(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn prepare(&mut self, line: &str) -> io::Result<Command> {
        Command::prepare(line)
    }

    fn spawn(&mut self, command: &Command) -> io::Result<Child<Socket>> {
        command.start()
    }

    fn take_output(&mut self, pipe: &Socket, space: &mut [u8]) -> io::Result<usize> {
        spawn::read(pipe.as_fd(), space)
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        child::end_group(id, child::Ending::Forced)
    }

    fn reap(&mut self, exit: &Socket) -> io::Result<bool> {
        spawn::reap(exit.as_fd())
    }

    fn has_ended(&mut self, exit: &Socket) -> io::Result<bool> {
        spawn::has_ended(exit.as_fd())
    }

    fn take_child_report(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Orphans become children of the first thread of the process.
    fn ended_child(&mut self) -> io::Result<Option<u32>> {
        Ok(None)
    }

    fn reap_orphan(&mut self, id: u32) -> io::Result<()> {
        child::reap(id)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    const NOW: Time = Time::from_nanos(0);

    fn pair() -> io::Result<(Socket, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Socket::from(OwnedFd::from(ours)), theirs))
    }

    fn reported(kernel: &mut Blocking) -> io::Result<Vec<(Token, Readiness)>> {
        let mut events = [Event::default(); 8];
        let count = kernel.wait(&mut events, NOW)?;
        let report = |event: &Event| (event.token(), event.readiness());
        Ok(events[..count].iter().map(report).collect())
    }

    #[test]
    fn a_level_is_reported_until_it_is_read_and_an_edge_once() -> io::Result<()> {
        for (mode, again) in [(Interest::NONE, 1), (Interest::EDGE, 0)] {
            let mut kernel = Blocking::new(WakeUps::prepare()?);
            let (socket, mut peer) = pair()?;
            let token = Token::new(3, 7);
            kernel.register(&socket, token, Interest::READ | mode)?;
            assert_eq!(reported(&mut kernel)?, []);
            peer.write_all(b"abc")?;
            assert_eq!(reported(&mut kernel)?, [(token, Readiness::IN)]);
            assert_eq!(reported(&mut kernel)?.len(), again);
            kernel.reregister(&socket, token, Interest::READ | mode)?;
            assert_eq!(reported(&mut kernel)?.len(), 1);
            let mut space = [0; 8];
            assert_eq!(kernel.read(&socket, &mut space)?, 3);
            assert_eq!(reported(&mut kernel)?, []);
        }
        Ok(())
    }

    #[test]
    fn an_empty_interest_still_reports_a_hang_up() -> io::Result<()> {
        let mut kernel = Blocking::new(WakeUps::prepare()?);
        let (socket, peer) = pair()?;
        kernel.register(&socket, Token::new(0, 1), Interest::NONE)?;
        drop(peer);
        assert_eq!(reported(&mut kernel)?, [(Token::new(0, 1), Readiness::HUP)]);
        kernel.deregister(&socket)?;
        assert_eq!(reported(&mut kernel)?, []);
        Ok(())
    }

    #[test]
    fn a_closed_socket_leaves_the_list_and_a_full_list_refuses() -> io::Result<()> {
        let mut kernel = Blocking::new(WakeUps::prepare()?);
        let mut pairs = Vec::new();
        for _ in 0..=WATCHED_MAX {
            pairs.push(pair()?);
        }
        for (socket, _) in &pairs[..WATCHED_MAX] {
            kernel.register(socket, Token::new(0, 1), Interest::READ)?;
        }
        let (last, _peer) = pairs.pop().expect("a pair");
        assert!(
            kernel
                .register(&last, Token::new(0, 1), Interest::READ)
                .is_err()
        );
        let (closed, _peer) = pairs.pop().expect("a pair");
        kernel.close(closed);
        kernel.register(&last, Token::new(0, 1), Interest::READ)
    }
}
