//! The kernel traits implemented with Linux system calls.
//!
//! One epoll instance with its wake-up, its timer and, if requested, its signals; everything else
//! is a thin call into `sys`. There is no table of sockets, because a [`Socket`] owns its
//! descriptor.
//!
//! **Closing without `EPOLL_CTL_DEL` is sound here.** The kernel drops a registration with the last
//! descriptor of its open file. A connection has only one such descriptor: nothing here duplicates
//! it, and all are close-on-exec, so no started program keeps one open. A listener that several
//! workers share has several: see [`Opener::share`](super::Opener::share), whose user deregisters
//! before it closes. Between fork and exec a new process briefly has a copy (see `spawner`). Events
//! of the closed socket that are still reported carry a token whose generation is old. Neighbours:
//! the traits in `kernel`, and `sys`. Man pages: epoll(7), signalfd(2).

pub(in crate::kernel) mod local_path;
pub(in crate::kernel) mod opener;
pub(in crate::kernel) mod processes;
pub(in crate::kernel) mod signals;
pub(in crate::kernel) mod spawner;
pub(in crate::kernel) mod streams;
pub(in crate::kernel) mod timer;

use std::fmt;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::batch::{self, BATCH_MAX, Made, Outcome, make_all};
use super::journal::Recordable;
use super::{
    Address, DatagramBatch, Datagrams, Event, Interest, Poller, Sender, Signal, Sockets, Time,
    Token, datagrams,
};
use crate::limits::RING_CALLS_MIN;
use crate::sys::epoll::Epoll;
use crate::sys::net::socket;
use crate::sys::ring::{Batch, Ring};
use crate::sys::{epoll, eventfd, process};
use local_path::BoundPath;
#[cfg(test)]
pub(in crate::kernel) use local_path::tests::Scratch;
use signals::Signals;
use timer::Timer;

/// An open descriptor, closed once. Its `Debug` form is its number.
pub struct Socket(OwnedFd);

impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Socket {
        Socket(descriptor)
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.0
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_raw_fd().fmt(f)
    }
}

/// The real kernel: system calls on this machine.
pub struct Linux {
    pub(super) epoll: Epoll,
    timer: Timer,
    /// The last reading of the clock, from which timeouts count.
    clock: Time,
    wake_up: Arc<OwnedFd>,
    pub(super) signals: Option<Signals>,
    /// Reports SIGCHLD; see [`super::Spawner::supervise`].
    pub(super) ended_children: Option<OwnedFd>,
    /// The paths of listeners that are open, by descriptor.
    pub(super) bound: Vec<(RawFd, BoundPath)>,
    /// Makes the calls of a batch; without it each is a call of its own.
    ring: Option<Ring>,
}

impl Linux {
    /// Opens a poller with its wake-up. With `signals` it also reports the signals of
    /// [`super::block_signals`], and blocks them if that has not been done. At most one of several
    /// pollers should receive signals.
    pub fn new(signals: bool) -> io::Result<Linux> {
        let epoll = Epoll::new()?;
        let wake_up = Arc::new(eventfd::create()?);
        epoll.add(wake_up.as_fd(), Token::WAKE_UP.bits(), epoll::IN)?;
        let mut linux = Linux {
            timer: Timer::new(&epoll)?,
            clock: Time::from_nanos(process::monotonic_nanoseconds()),
            epoll,
            wake_up,
            signals: None,
            ended_children: None,
            bound: Vec::new(),
            ring: None,
        };
        if signals {
            let signals = Signals::new()?;
            let token = Token::SIGNALS;
            linux
                .epoll
                .add(signals.descriptor(), token.bits(), epoll::IN)?;
            linux.signals = Some(signals);
        }
        Ok(linux)
    }

    /// Another descriptor of the poller itself: readable while an event waits to be taken.
    ///
    /// # Errors
    ///
    /// The error of fcntl(2).
    pub fn descriptor(&self) -> io::Result<Socket> {
        self.epoll.descriptor().try_clone_to_owned().map(Socket)
    }

    /// Makes up to `calls` receives or sends in one system call from now on, through a submission
    /// ring: a power of two, at most [`BATCH_MAX`].
    ///
    /// # Errors
    ///
    /// Why there is no ring here: ENOSYS, EPERM and ENOMEM of io_uring_setup(2) are usual. Each
    /// call then stays a system call of its own.
    pub fn submit_by_ring(&mut self, calls: usize) -> io::Result<()> {
        debug_assert!(calls <= BATCH_MAX);
        self.ring = Some(Ring::open(calls as u32)?);
        Ok(())
    }

    /// After a batch. A ring that does not work any longer is given up.
    #[inline]
    fn settle_batch(&mut self, made: Made) -> usize {
        if let Some(error) = made.broken {
            self.give_up_the_ring(&error);
        }
        made.enters
    }

    #[cold]
    fn give_up_the_ring(&mut self, error: &io::Error) {
        log::warn!("io_uring_enter: {error}; each receive and send is a system call from now on");
        self.ring = None;
    }

    /// A handle with which other threads wake this poller.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake_up))
    }
}

/// Wakes one poller out of its wait, from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Makes the poller report [`Token::WAKE_UP`]. Several calls before it does so are reported
    /// once.
    pub fn wake(&self) {
        // The call fails only if the counter is full, and then a wake-up is already pending.
        let _ = eventfd::add(self.0.as_fd(), 1);
    }
}

impl Recordable for Linux {
    fn number(socket: &Socket) -> u32 {
        socket.0.as_raw_fd() as u32
    }

    fn time(&self) -> Time {
        Time::from_nanos(process::monotonic_nanoseconds())
    }

    fn own_address(&self, socket: &Socket) -> io::Result<Address> {
        let address = Address::from_raw(&socket::local(socket.as_fd())?)?;
        Ok(match socket::carries_datagrams(socket.as_fd())? {
            true => address.of_datagrams(),
            false => address,
        })
    }
}

impl Sockets for Linux {
    type Socket = Socket;

    #[inline]
    fn accept(&mut self, listener: &Socket) -> io::Result<Socket> {
        socket::accept(listener.as_fd()).map(Socket)
    }

    #[inline]
    fn read(&mut self, socket: &Socket, space: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!space.is_empty(), "0 would mean the end of the stream");
        socket::receive(socket.as_fd(), space)
    }

    #[inline]
    fn write(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        socket::send(socket.as_fd(), bytes)
    }

    fn batch_max(&self) -> usize {
        self.ring.as_ref().map_or(0, Ring::capacity)
    }

    fn batch_min(&self) -> usize {
        RING_CALLS_MIN
    }

    fn receive_batch<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a Socket> + Clone,
        space: &mut [u8],
        size: usize,
        results: &mut Vec<Outcome>,
    ) -> usize {
        let calls = sockets.zip(space.chunks_exact_mut(size));
        let Some(ring) = &mut self.ring else {
            results.clear();
            results.extend(calls.map(|(socket, room)| {
                let received = socket::receive(socket.as_fd(), room);
                Outcome::from(received)
            }));
            return 0;
        };
        let made = ring.with_batch(|batch| {
            for (socket, room) in calls {
                let fits = batch.push_receive(socket.as_fd(), room);
                debug_assert!(fits, "more than batch_max");
            }
            make_all(batch, batch.len(), results)
        });
        self.settle_batch(made)
    }

    fn send_batch<'a>(
        &mut self,
        sends: impl Iterator<Item = (&'a Socket, &'a [u8])> + Clone,
        results: &mut Vec<Outcome>,
    ) -> usize {
        let Some(ring) = &mut self.ring else {
            results.clear();
            results.extend(sends.map(|(socket, bytes)| {
                let sent = socket::send(socket.as_fd(), bytes);
                Outcome::from(sent)
            }));
            return 0;
        };
        let made = ring.with_batch(|batch| {
            for (socket, bytes) in sends {
                let fits = batch.push_send(socket.as_fd(), bytes);
                debug_assert!(fits, "more than batch_max");
            }
            make_all(batch, batch.len(), results)
        });
        self.settle_batch(made)
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
        drop(socket);
    }
}

impl batch::Ring for Batch<'_, '_> {
    #[inline]
    fn enter(&mut self, count: usize, wait: usize) -> io::Result<usize> {
        Batch::enter(self, count, wait)
    }

    #[inline]
    fn take(&mut self) -> Option<(usize, Outcome)> {
        let (place, number) = Batch::take(self)?;
        Some((place, Outcome::of_number(number)))
    }

    fn call(&mut self, place: usize) -> io::Result<usize> {
        Batch::call(self, place)
    }
}

impl Datagrams for Linux {
    fn carries_datagrams(&mut self, socket: &Socket) -> io::Result<bool> {
        socket::carries_datagrams(socket.as_fd())
    }

    #[inline]
    fn receive_datagrams(
        &mut self,
        socket: &Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        batch.receive(socket.as_fd(), count)
    }

    #[inline]
    fn send_datagrams(
        &mut self,
        socket: &Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        batch.send(socket.as_fd(), count)
    }

    fn send_datagram(&mut self, socket: &Socket, bytes: &[u8], to: &Sender) -> io::Result<usize> {
        datagrams::send_one(socket.as_fd(), bytes, to)
    }

    fn stop_arrivals(&mut self, socket: &Socket) -> io::Result<()> {
        socket::ignore_arrivals(socket.as_fd())
    }

    fn owns(&mut self, ip: IpAddr) -> bool {
        // bind(2) refuses an address that is not of this machine.
        UdpSocket::bind((ip, 0)).is_ok()
    }
}

impl Poller for Linux {
    #[inline]
    fn register(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.epoll.add(socket.as_fd(), token.bits(), mask(interest))
    }

    #[inline]
    fn reregister(&mut self, socket: &Socket, token: Token, interest: Interest) -> io::Result<()> {
        self.epoll
            .modify(socket.as_fd(), token.bits(), mask(interest))
    }

    fn deregister(&mut self, socket: &Socket) -> io::Result<()> {
        self.epoll.delete(socket.as_fd())
    }

    #[inline]
    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        let timeout = self.timer.cover(until, self.clock);
        self.epoll.wait(events, timeout)
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
        self.signals.as_ref().map_or(Ok(None), Signals::take)
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        match eventfd::take(self.wake_up.as_fd()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

/// The mask of epoll_ctl(2) that asks for `interest`.
const fn mask(interest: Interest) -> u32 {
    let mut mask = 0;
    if interest.contains(Interest::READ) {
        mask |= epoll::IN;
    }
    if interest.contains(Interest::WRITE) {
        mask |= epoll::OUT;
    }
    if interest.contains(Interest::EDGE) {
        mask |= epoll::EDGE;
    }
    if interest.contains(Interest::EXCLUSIVE) {
        mask |= epoll::EXCLUSIVE;
    }
    // A level-triggered report repeats while data is left, so no event is lost after a short read.
    // An edge reports once, so the end of the stream and an urgent byte need bits of their own.
    if interest.contains(Interest::READ.union(Interest::EDGE)) {
        mask |= epoll::RDHUP | epoll::PRI;
    }
    mask
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::super::Readiness;
    use super::*;
    use crate::sys::process::signal;

    /// A time in the past: the wait does not sleep.
    const NOW: Time = Time::from_nanos(0);

    fn pair() -> io::Result<(Socket, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Socket::from(OwnedFd::from(ours)), theirs))
    }

    fn reported(linux: &mut Linux) -> io::Result<Vec<(Token, Readiness)>> {
        let mut events = [Event::default(); 8];
        let count = linux.wait(&mut events, NOW)?;
        let report = |event: &Event| (event.token(), event.readiness());
        Ok(events[..count].iter().map(report).collect())
    }

    #[test]
    fn each_interest_asks_for_its_own_mask() {
        let (read, write, edge) = (Interest::READ, Interest::WRITE, Interest::EDGE);
        let read_edge = epoll::IN | epoll::PRI | epoll::RDHUP | epoll::EDGE;
        for (interest, expected) in [
            (Interest::NONE, 0),
            (read, epoll::IN),
            (write, epoll::OUT),
            (edge, epoll::EDGE),
            (write | edge, epoll::OUT | epoll::EDGE),
            (read | edge, read_edge),
            (read | write, epoll::IN | epoll::OUT),
            (read | Interest::EXCLUSIVE, epoll::IN | epoll::EXCLUSIVE),
        ] {
            assert_eq!(mask(interest), expected, "{interest:?}");
        }
    }

    #[test]
    fn a_level_is_reported_until_it_is_read_and_an_edge_once() -> io::Result<()> {
        for (mode, again) in [(Interest::NONE, 1), (Interest::EDGE, 0)] {
            let mut linux = Linux::new(false)?;
            let (socket, mut peer) = pair()?;
            let token = Token::new(3, 7);
            linux.register(&socket, token, Interest::READ | mode)?;
            assert_eq!(reported(&mut linux)?, []);
            peer.write_all(b"abc")?;
            assert_eq!(reported(&mut linux)?, [(token, Readiness::IN)]);
            assert_eq!(reported(&mut linux)?.len(), again);
            let mut space = [0; 8];
            assert_eq!(linux.read(&socket, &mut space)?, 3);
            assert_eq!(reported(&mut linux)?, []);
        }
        Ok(())
    }

    #[test]
    fn the_end_that_came_with_data_shows_in_the_same_edge() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let (socket, mut peer) = pair()?;
        linux.register(&socket, Token::new(0, 1), Interest::READ | Interest::EDGE)?;
        peer.write_all(b"abc")?;
        peer.shutdown(std::net::Shutdown::Write)?;
        let both = Readiness::IN | Readiness::RDHUP;
        assert_eq!(reported(&mut linux)?, [(Token::new(0, 1), both)]);
        Ok(())
    }

    #[test]
    fn an_empty_interest_still_reports_a_hang_up() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let (socket, peer) = pair()?;
        linux.register(&socket, Token::new(0, 1), Interest::READ)?;
        linux.reregister(&socket, Token::new(0, 2), Interest::NONE)?;
        drop(peer);
        assert_eq!(reported(&mut linux)?, [(Token::new(0, 2), Readiness::HUP)]);
        linux.deregister(&socket)?;
        assert_eq!(reported(&mut linux)?, []);
        Ok(())
    }

    #[test]
    fn a_closed_socket_is_reported_no_more() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let (socket, mut peer) = pair()?;
        linux.register(&socket, Token::new(0, 1), Interest::READ)?;
        peer.write_all(b"abc")?;
        linux.close(socket);
        assert_eq!(reported(&mut linux)?, []);
        Ok(())
    }

    #[test]
    fn another_thread_ends_a_wait_that_has_no_end() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let waker = linux.waker();
        let thread = std::thread::spawn(move || {
            waker.wake();
            waker.wake();
        });
        let mut events = [Event::default(); 8];
        assert_eq!(linux.wait(&mut events, Time::NEVER)?, 1);
        assert_eq!(events[0].token(), Token::WAKE_UP);
        assert!(thread.join().is_ok());
        linux.take_wake_up()?;
        linux.take_wake_up()?;
        assert_eq!(reported(&mut linux)?, []);
        Ok(())
    }

    #[test]
    fn signals_are_reported_and_taken_as_the_requests_they_stand_for() -> io::Result<()> {
        let mut linux = Linux::new(true)?;
        assert_eq!(linux.take_signal()?, None);
        for (number, meaning) in [
            (signal::USR1, Signal::Statistics),
            (signal::HUP, Signal::Reload),
            (signal::TERM, Signal::Terminate(signal::TERM)),
            (signal::INT, Signal::Terminate(signal::INT)),
        ] {
            signal::raise(number)?;
            assert_eq!(reported(&mut linux)?, [(Token::SIGNALS, Readiness::IN)]);
            assert_eq!(linux.take_signal()?, Some(meaning));
            assert_eq!(linux.take_signal()?, None);
        }
        Ok(())
    }

    #[test]
    fn a_poller_without_signals_never_reports_one() -> io::Result<()> {
        assert_eq!(Linux::new(false)?.take_signal()?, None);
        Ok(())
    }

    #[test]
    fn the_clock_moves_with_the_kernels() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let until = linux.now().after(Duration::from_micros(100));
        linux.wait(&mut [Event::default()], until)?;
        assert!(linux.now() >= until);
        Ok(())
    }

    #[test]
    fn a_far_deadline_is_met_by_the_timer() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let start = linux.now();
        for milliseconds in [15, 30] {
            let until = start.after(Duration::from_millis(milliseconds));
            let mut events = [Event::default(); 4];
            let count = linux.wait(&mut events, until)?;
            assert!(
                events[..count]
                    .iter()
                    .all(|event| event.token() == Token::TIMER)
            );
            assert!(linux.now() >= until);
        }
        Ok(())
    }
}
