//! Accepts connections, and pauses the listeners when no connection can be accepted.
//!
//! All errors of accept4 are classified here. An error that belongs to the new connection is
//! counted, and the next connection is accepted in the same turn. When descriptors or memory run
//! out, the spare descriptor is closed so that one peer can be accepted and closed at once, and
//! then the listeners pause. Each pause is longer than the last: a listener that stays ready would
//! make the loop spin. The next connection that closes ends the pause. While every slot is taken
//! the listeners pause too, and new connections wait in the kernel's queue.
//!
//! Neighbours: `per_address`, `reactor::drain`. See accept(2) "ERRORS".

use std::io;
use std::time::Duration;

use crate::kernel::{Address, Interest, Opener, Spawner, Time, Token, errno};
use crate::limits::{ACCEPT_ERRORS_MAX, ACCEPTS_PER_TURN, LISTENER_PAUSE_MAX, LISTENER_PAUSE_MIN};
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::observe::log_limiter::LogLimiter;

/// Whether connections are accepted, and the bookkeeping for it.
pub(in crate::server) struct Acceptor<Socket> {
    state: State,
    /// One per listener.
    strides: Vec<Stride>,
    /// How many connections each listener may still accept during a drain.
    drain_quota: Vec<usize>,
    /// Length of the next pause.
    rest: Duration,
    /// The spare descriptor, closed for a moment when there is no other.
    reserve: Option<Socket>,
    /// Transient errors of accept4 since the last success.
    errors: u32,
    /// The last change of a listener's interest failed.
    registration_failed: bool,
    error_log: LogLimiter,
    per_address_log: LogLimiter,
}

/// How many connections to accept per event of a listener: one, doubled while the listener is ready
/// in consecutive turns. A single connection then costs no second accept4 that returns EAGAIN, and
/// a burst does not wait one turn per connection.
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
    /// Out of descriptors or memory; accept again at this time.
    Paused(Time),
}

/// Outcome of one call of accept4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    /// A connection was accepted.
    One,
    /// A connection was lost, or refused for now; the caller may accept the next one.
    Lost,
    /// The queue is empty, or the listeners are paused.
    Nothing,
}

/// Meaning of an error of accept4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptError {
    /// The queue is empty.
    Empty,
    /// Only this connection is lost; the next accept4 may succeed.
    Passing,
    /// Out of descriptors or memory.
    Exhausted,
    /// A bug in this program.
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

    /// Limits what a listener may still accept to the `waiting` connections in its queue.
    pub(in crate::server) fn set_drain_quota(&mut self, number: usize, waiting: usize) {
        self.drain_quota[number] = waiting;
    }

    /// How many of those are not accepted yet.
    pub(in crate::server) fn drain_quota(&self, number: usize) -> usize {
        self.drain_quota[number]
    }

    pub(in crate::server) fn has_reserve(&self) -> bool {
        self.reserve.is_some()
    }

    /// When to resume even if no connection closes.
    #[inline]
    pub(in crate::server) fn deadline(&self) -> Time {
        match self.state {
            State::Paused(until) => until,
            State::Open | State::Full => Time::NEVER,
        }
    }
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Accepts connections from one listener, up to its stride.
    pub(in crate::server) fn accept(&mut self, number: u32) {
        if self.acceptor.registration_failed {
            // The listener reported readiness although its interest is off, so set the interest
            // again.
            self.register_listeners();
        }
        let Some(stride) = self.acceptor.strides.get_mut(number as usize) else {
            return;
        };
        let mut left = stride.next(self.turns);
        // A lost connection does not count towards the stride: the connections behind it are
        // accepted now, without another event of the listener.
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

    /// Accepts all connections in a listener's queue, while slots and descriptors last.
    pub(in crate::server) fn accept_all(&mut self, number: u32) {
        if self.acceptor.deadline() != Time::NEVER {
            // End the pause early: the time for a drain is limited.
            self.acceptor.state = State::Open;
        }
        // Some accepts may fail with a transient error. The bound ends the loop if the error
        // persists.
        for _ in 0..self.settings.connections_max + ACCEPTS_PER_TURN as usize {
            if self.accept_one(number) == Accepted::Nothing {
                return;
            }
        }
    }

    /// Calls accept4 once.
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
                    // The queue is empty: the next event starts with a stride of one.
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

    /// Admits an accepted connection, unless its address has reached the limit.
    fn admit_socket(&mut self, socket: K::Socket) {
        self.acceptor.rest = LISTENER_PAUSE_MIN;
        self.acceptor.errors = 0;
        let address = match self.per_ip.is_on() {
            true => self.pump.kernel.peer(&socket).ok(),
            false => None,
        };
        // A connection without a peer address, or one whose peer is gone already, is not counted.
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
            // The queued connections must still be accepted; descriptors become free as others
            // close.
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
        // After any other error there are descriptors: the peer is accepted after the pause.
        if sort(error) == AcceptError::Exhausted {
            self.turn_one_away(number);
        }
        self.restore_reserve();
        self.pause_longer();
    }

    /// Closes the spare descriptor, accepts one connection and closes it, so that this peer learns
    /// at once that it is not served.
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

    /// Closes the spare descriptor for the queued connections, or pauses if it is closed already.
    /// No connection that comes later has to be turned away.
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

    /// A connection has closed: its slot and its descriptor are free.
    pub(in crate::server) fn resume_listeners(&mut self) {
        if self.acceptor.state != State::Open && !self.links.is_full() {
            self.restore_reserve();
            self.acceptor.state = State::Open;
            self.register_listeners();
            if self.acceptor.registration_failed {
                // No event would be reported, so try again later.
                self.acceptor.state = State::Paused(self.pump.now.after(LISTENER_PAUSE_MAX));
            }
        }
    }

    /// Resumes once the pause is over.
    pub(in crate::server) fn resume_listeners_when_due(&mut self) {
        if self.acceptor.deadline() <= self.pump.now {
            self.resume_listeners();
        }
    }

    /// Sets the listeners' interest according to the state.
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

/// Classifies an error of a call on a listener that this program has opened.
fn sort(error: &io::Error) -> AcceptError {
    match error.raw_os_error() {
        Some(errno::EAGAIN) => AcceptError::Empty,
        Some(errno::EMFILE | errno::ENFILE | errno::ENOBUFS | errno::ENOMEM) => {
            AcceptError::Exhausted
        }
        Some(errno::EBADF | errno::EINVAL | errno::ENOTSOCK | errno::EFAULT) => AcceptError::Bug,
        // Linux passes a pending error of the new connection on as an error of accept, EOPNOTSUPP
        // among them: accept(2) "Error handling". As an error of the listener, EOPNOTSUPP means
        // that the socket is not of a stream type; all listeners here are streams.
        _ => AcceptError::Passing,
    }
}
