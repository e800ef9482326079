//! The door: taking connections in, and when not to.
//!
//! The errors of accept are sorted here and nowhere else. An error that was pending on the new
//! connection is counted, and the next connection is taken in the same turn. That descriptors or
//! memory are out is weather: a descriptor kept in reserve is given up for a moment so that one
//! peer learns of it, and then the listeners rest,
//! growing a little longer each time, because a listener that stays ready would turn the loop into
//! a spin. The first connection that leaves ends the rest. While every slot is taken they rest too,
//! and the kernel's queue holds who comes. See accept(2), "Errors".

use std::io;
use std::time::Duration;

use crate::kernel::{Address, Interest, Opener, Spawner, Time, Token, errno};
use crate::limits::{ACCEPT_ERRORS_MAX, ACCEPTS_PER_TURN, LISTENER_PAUSE_MAX, LISTENER_PAUSE_MIN};
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::observe::log_limiter::LogLimiter;

/// Whether new connections are taken in.
pub(in crate::server) struct Acceptor<Socket> {
    state: State,
    /// One for each listener.
    strides: Vec<Stride>,
    /// How many at each listener are let in while the server shuts down.
    drain_quota: Vec<usize>,
    /// How long the next rest will be.
    rest: Duration,
    /// Given up for a moment when there is no other descriptor.
    reserve: Option<Socket>,
    /// Accepts that failed in passing since the last one that did not.
    errors: u32,
    /// The kernel could not be told whether the door is open.
    registration_failed: bool,
    error_log: LogLimiter,
    per_address_log: LogLimiter,
}

/// How many to take in at one event of a listener: one, doubled while it is ready turn after turn.
/// So a single connection costs no second accept4 that finds nothing, and a crowd no wait for each
/// of its members.
#[derive(Clone, Copy, Default)]
struct Stride {
    count: u32,
    /// The turn in which the listener was last ready.
    last_turn: Option<u64>,
}

impl Stride {
    fn next(&mut self, turn: u64) -> u32 {
        self.count = match self.last_turn {
            Some(last) if last + 1 == turn => (self.count * 2).min(ACCEPTS_PER_TURN),
            _ => 1,
        };
        self.last_turn = Some(turn);
        self.count
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Every slot is taken.
    Full,
    /// Descriptors or memory are out; tried again at this time.
    Paused(Time),
}

/// What one call of accept came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    /// A connection was taken from the queue.
    One,
    /// A connection was lost, or refused for now; the next one can be taken.
    Lost,
    /// The queue is empty, or the door is shut.
    Nothing,
}

/// What an error of accept means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptError {
    /// The queue is empty.
    Empty,
    /// This one is lost; the next may be well.
    Passing,
    /// Descriptors or memory are out.
    Exhausted,
    /// A mistake of ours.
    Bug,
}

impl<Socket> Acceptor<Socket> {
    pub(in crate::server) fn new(reserve: Socket, listeners: usize) -> Acceptor<Socket> {
        Acceptor {
            state: State::Open,
            strides: vec![Stride::default(); listeners],
            drain_quota: vec![usize::MAX; listeners],
            rest: LISTENER_PAUSE_MIN,
            reserve: Some(reserve),
            errors: 0,
            registration_failed: false,
            error_log: LogLimiter::default(),
            per_address_log: LogLimiter::default(),
        }
    }

    pub(in crate::server) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// From now on only as many are let in at a listener as wait there.
    pub(in crate::server) fn set_drain_quota(&mut self, number: usize, waiting: usize) {
        self.drain_quota[number] = waiting;
    }

    /// How many of those may still come.
    pub(in crate::server) fn drain_quota(&self, number: usize) -> usize {
        self.drain_quota[number]
    }

    pub(in crate::server) fn has_reserve(&self) -> bool {
        self.reserve.is_some()
    }

    /// When to try again by itself.
    #[inline]
    pub(in crate::server) fn deadline(&self) -> Time {
        match self.state {
            State::Paused(until) => until,
            State::Open | State::Full => Time::NEVER,
        }
    }
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Takes in what waits at one listener, up to a budget.
    pub(in crate::server) fn accept(&mut self, number: u32) {
        if self.acceptor.registration_failed {
            // It is reported although nobody asked for it.
            self.register_listeners();
        }
        let Some(stride) = self.acceptor.strides.get_mut(number as usize) else {
            return;
        };
        let mut left = stride.next(self.turns);
        // A lost connection does not use up the stride: the ones behind it are taken now, and need
        // no further event of the listener.
        for _ in 0..ACCEPTS_PER_TURN {
            match self.accept_one(number) {
                Accepted::One => left -= 1,
                Accepted::Lost => {}
                Accepted::Nothing => return,
            }
            if left == 0 {
                return;
            }
        }
    }

    /// Takes in all that wait at a listener, as long as there are slots and descriptors for them.
    pub(in crate::server) fn accept_all(&mut self, number: u32) {
        if self.acceptor.deadline() != Time::NEVER {
            // It need not be later: time is short.
            self.acceptor.state = State::Open;
        }
        // Some of those that wait may fail in passing; but not for ever, should an error stay.
        for _ in 0..self.settings.connections_max + ACCEPTS_PER_TURN as usize {
            if self.accept_one(number) == Accepted::Nothing {
                return;
            }
        }
    }

    /// Calls accept once.
    fn accept_one(&mut self, number: u32) -> Accepted {
        let Some(listener) = self.listeners.get(number as usize) else {
            return Accepted::Nothing;
        };
        let drain_quota = self.acceptor.drain_quota(number as usize);
        if self.acceptor.state != State::Open || drain_quota == 0 {
            return Accepted::Nothing;
        }
        self.pump.counters.accept4 += 1;
        match self.pump.kernel.accept(listener) {
            Ok(socket) => {
                self.acceptor
                    .set_drain_quota(number as usize, drain_quota - 1);
                self.admit_socket(socket);
                Accepted::One
            }
            Err(error) => match sort(&error) {
                AcceptError::Empty => {
                    // It was no crowd.
                    self.acceptor.strides[number as usize].last_turn = None;
                    Accepted::Nothing
                }
                AcceptError::Passing if self.acceptor.errors < ACCEPT_ERRORS_MAX => {
                    self.pump.counters.accept_errors += 1;
                    self.acceptor.errors += 1;
                    Accepted::Lost
                }
                _ => {
                    self.rest(number, &error);
                    Accepted::Lost
                }
            },
        }
    }

    /// Takes one in, unless its address has as many as it may have.
    fn admit_socket(&mut self, socket: K::Socket) {
        self.acceptor.rest = LISTENER_PAUSE_MIN;
        self.acceptor.errors = 0;
        let address = match self.per_ip.is_on() {
            true => self.pump.kernel.peer(&socket).ok(),
            false => None,
        };
        // Who has no address, or none any more, is not counted.
        let peer = match address {
            Some(Address::Tcp(peer)) => Some(peer),
            _ => None,
        };
        if let Some(peer) = peer.filter(|peer| !self.per_ip.has_room(*peer)) {
            self.pump.counters.refused_per_ip += 1;
            if let Some(more) = self.acceptor.per_address_log.admit(self.pump.now) {
                log::warn!(
                    "{}: has too many connections, one more is refused{more}",
                    peer.ip()
                );
            }
            return self.pump.kernel.close(socket);
        }
        self.admit(socket, peer);
        if self.links.is_full() {
            self.pump.counters.refused_slots += 1;
            self.pause_listeners(State::Full);
        }
    }

    #[cold]
    fn rest(&mut self, number: u32, error: &io::Error) {
        self.acceptor.errors = 0;
        if self.drain.is_some() {
            // Whoever waits has been promised a connection; descriptors come back as others leave.
            return self.pause_in_drain();
        }
        self.pump.counters.refused_resources += 1;
        if let Some(more) = self.acceptor.error_log.admit(self.pump.now) {
            let rest = self.acceptor.rest;
            match sort(error) {
                AcceptError::Bug => {
                    log::error!("accept4: {error}: this is a mistake in mynah{more}")
                }
                _ => log::warn!("accept4: {error}: the listener rests for {rest:?}{more}"),
            }
        }
        // After any other error there are descriptors: the peer is served when the rest is over.
        if sort(error) == AcceptError::Exhausted {
            self.turn_one_away(number);
        }
        self.restore_reserve();
        self.pause_longer();
    }

    /// Gives the reserve up so that one peer is accepted and closed: it learns at once that it is
    /// not served.
    fn turn_one_away(&mut self, number: u32) {
        let Some(reserve) = self.acceptor.reserve.take() else {
            return;
        };
        self.pump.kernel.close(reserve);
        let Some(listener) = self.listeners.get(number as usize) else {
            return;
        };
        self.pump.counters.accept4 += 1;
        if let Ok(refused) = self.pump.kernel.accept(listener) {
            self.pump.kernel.close(refused);
        }
    }

    /// The reserve has served: there is nobody to come whom to tell.
    fn pause_in_drain(&mut self) {
        match self.acceptor.reserve.take() {
            Some(reserve) => self.pump.kernel.close(reserve),
            None => self.pause_longer(),
        }
    }

    fn pause_longer(&mut self) {
        let until = self.pump.now.after(self.acceptor.rest);
        self.acceptor.rest = (self.acceptor.rest * 2).min(LISTENER_PAUSE_MAX);
        self.pause_listeners(State::Paused(until));
    }

    fn restore_reserve(&mut self) {
        if self.acceptor.reserve.is_none() && self.drain.is_none() {
            self.acceptor.reserve = self.pump.kernel.reserve().ok();
        }
    }

    fn pause_listeners(&mut self, state: State) {
        self.acceptor.state = state;
        self.register_listeners();
    }

    /// A connection has left: its slot and its descriptor are free for another.
    pub(in crate::server) fn resume_listeners(&mut self) {
        if self.acceptor.state != State::Open && !self.links.is_full() {
            self.restore_reserve();
            self.acceptor.state = State::Open;
            self.register_listeners();
            if self.acceptor.registration_failed {
                // Nothing would be reported: to be tried again.
                self.acceptor.state = State::Paused(self.pump.now.after(LISTENER_PAUSE_MAX));
            }
        }
    }

    /// The rest is over.
    pub(in crate::server) fn resume_listeners_when_due(&mut self) {
        if self.acceptor.deadline() <= self.pump.now {
            self.resume_listeners();
        }
    }

    /// Tells the kernel whether the door is open.
    fn register_listeners(&mut self) {
        let interest = match self.acceptor.state {
            State::Open => Interest::READ,
            State::Full | State::Paused(_) => Interest::NONE,
        };
        self.acceptor.registration_failed = false;
        for (number, listener) in self.listeners.iter().enumerate() {
            self.pump.counters.epoll_ctl += 1;
            let token = Token::listener(number as u32);
            if let Err(error) = self.pump.kernel.reregister(listener, token, interest) {
                self.acceptor.registration_failed = true;
                if let Some(more) = self.acceptor.error_log.admit(self.pump.now) {
                    log::warn!("epoll_ctl on a listener: {error}: tried again{more}");
                }
            }
        }
    }
}

/// Sorts an error of a call on a listener that this program has opened.
fn sort(error: &io::Error) -> AcceptError {
    match error.raw_os_error() {
        Some(errno::EAGAIN) => AcceptError::Empty,
        Some(errno::EMFILE | errno::ENFILE | errno::ENOBUFS | errno::ENOMEM) => {
            AcceptError::Exhausted
        }
        Some(errno::EBADF | errno::EINVAL | errno::ENOTSOCK | errno::EFAULT) => AcceptError::Bug,
        // Linux passes a pending error of the new connection on as one of accept, EOPNOTSUPP among
        // them: accept(2), "Error handling". As an error of the listener it means that the socket
        // is of no stream type, and all listeners here are.
        _ => AcceptError::Passing,
    }
}
