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
use crate::limits::{ACCEPT_ERRORS_MAX, ACCEPTS_PER_TURN, DOOR_REST_MAX, DOOR_REST_MIN};
use crate::service::Service;

use super::Server;
use super::throttle::Throttle;

/// Whether new connections are taken in.
pub(super) struct Door<Socket> {
    state: State,
    /// One for each listener.
    strides: Vec<Stride>,
    /// How many at each listener are let in while the server shuts down.
    promised: Vec<usize>,
    /// How long the next rest will be.
    rest: Duration,
    /// Given up for a moment when there is no other descriptor.
    reserve: Option<Socket>,
    /// Accepts that failed in passing since the last one that did not.
    errors: u32,
    /// The kernel could not be told whether the door is open.
    is_mistold: bool,
    complaints: Throttle,
    crowds: Throttle,
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
    Resting(Time),
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
enum Refused {
    /// The queue is empty.
    Empty,
    /// This one is lost; the next may be well.
    Passing,
    /// Descriptors or memory are out.
    Weather,
    /// A mistake of ours.
    Bug,
}

impl<Socket> Door<Socket> {
    pub(super) fn new(reserve: Socket, listeners: usize) -> Door<Socket> {
        Door {
            state: State::Open,
            strides: vec![Stride::default(); listeners],
            promised: vec![usize::MAX; listeners],
            rest: DOOR_REST_MIN,
            reserve: Some(reserve),
            errors: 0,
            is_mistold: false,
            complaints: Throttle::default(),
            crowds: Throttle::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// From now on only as many are let in at a listener as wait there.
    pub(super) fn promise(&mut self, number: usize, waiting: usize) {
        self.promised[number] = waiting;
    }

    /// How many of those may still come.
    pub(super) fn promised(&self, number: usize) -> usize {
        self.promised[number]
    }

    pub(super) fn has_reserve(&self) -> bool {
        self.reserve.is_some()
    }

    /// When to try again by itself.
    #[inline]
    pub(super) fn deadline(&self) -> Time {
        match self.state {
            State::Resting(until) => until,
            State::Open | State::Full => Time::NEVER,
        }
    }
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Takes in what waits at one listener, up to a budget.
    pub(super) fn accept(&mut self, number: u32) {
        if self.door.is_mistold {
            // It is reported although nobody asked for it.
            self.watch_the_listeners();
        }
        let Some(stride) = self.door.strides.get_mut(number as usize) else {
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
    pub(super) fn accept_all(&mut self, number: u32) {
        if self.door.deadline() != Time::NEVER {
            // It need not be later: time is short.
            self.door.state = State::Open;
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
        let promised = self.door.promised(number as usize);
        if self.door.state != State::Open || promised == 0 {
            return Accepted::Nothing;
        }
        self.common.counters.accept4 += 1;
        match self.common.kernel.accept(listener) {
            Ok(socket) => {
                self.door.promise(number as usize, promised - 1);
                self.welcome(socket);
                Accepted::One
            }
            Err(error) => match sort(&error) {
                Refused::Empty => {
                    // It was no crowd.
                    self.door.strides[number as usize].last_turn = None;
                    Accepted::Nothing
                }
                Refused::Passing if self.door.errors < ACCEPT_ERRORS_MAX => {
                    self.common.counters.accept_errors += 1;
                    self.door.errors += 1;
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
    fn welcome(&mut self, socket: K::Socket) {
        self.door.rest = DOOR_REST_MIN;
        self.door.errors = 0;
        let address = match self.per_ip.is_on() {
            true => self.common.kernel.peer(&socket).ok(),
            false => None,
        };
        // Who has no address, or none any more, is not counted.
        let peer = match address {
            Some(Address::Tcp(peer)) => Some(peer),
            _ => None,
        };
        if let Some(peer) = peer.filter(|peer| !self.per_ip.has_room(*peer)) {
            self.common.counters.refused_per_ip += 1;
            if let Some(more) = self.door.crowds.may_speak(self.common.now) {
                log::warn!(
                    "{}: has too many connections, one more is refused{more}",
                    peer.ip()
                );
            }
            return self.common.kernel.close(socket);
        }
        self.admit(socket, peer);
        if self.peers.is_full() {
            self.common.counters.refused_slots += 1;
            self.close_the_door(State::Full);
        }
    }

    #[cold]
    fn rest(&mut self, number: u32, error: &io::Error) {
        self.door.errors = 0;
        if self.drain.is_some() {
            // Whoever waits has been promised a connection; descriptors come back as others leave.
            return self.rest_in_a_drain();
        }
        self.common.counters.refused_resources += 1;
        if let Some(more) = self.door.complaints.may_speak(self.common.now) {
            let rest = self.door.rest;
            match sort(error) {
                Refused::Bug => log::error!("accept4: {error}: this is a mistake in mynah{more}"),
                _ => log::warn!("accept4: {error}: the listener rests for {rest:?}{more}"),
            }
        }
        // After any other error there are descriptors: the peer is served when the rest is over.
        if sort(error) == Refused::Weather {
            self.turn_one_away(number);
        }
        self.restore_the_reserve();
        self.rest_for_longer_each_time();
    }

    /// Gives the reserve up so that one peer is accepted and closed: it learns at once that it is
    /// not served.
    fn turn_one_away(&mut self, number: u32) {
        let Some(reserve) = self.door.reserve.take() else {
            return;
        };
        self.common.kernel.close(reserve);
        let Some(listener) = self.listeners.get(number as usize) else {
            return;
        };
        self.common.counters.accept4 += 1;
        if let Ok(refused) = self.common.kernel.accept(listener) {
            self.common.kernel.close(refused);
        }
    }

    /// The reserve has served: there is nobody to come whom to tell.
    fn rest_in_a_drain(&mut self) {
        match self.door.reserve.take() {
            Some(reserve) => self.common.kernel.close(reserve),
            None => self.rest_for_longer_each_time(),
        }
    }

    fn rest_for_longer_each_time(&mut self) {
        let until = self.common.now.after(self.door.rest);
        self.door.rest = (self.door.rest * 2).min(DOOR_REST_MAX);
        self.close_the_door(State::Resting(until));
    }

    fn restore_the_reserve(&mut self) {
        if self.door.reserve.is_none() && self.drain.is_none() {
            self.door.reserve = self.common.kernel.reserve().ok();
        }
    }

    fn close_the_door(&mut self, state: State) {
        self.door.state = state;
        self.watch_the_listeners();
    }

    /// A connection has left: its slot and its descriptor are free for another.
    pub(super) fn reopen_the_door(&mut self) {
        if self.door.state != State::Open && !self.peers.is_full() {
            self.restore_the_reserve();
            self.door.state = State::Open;
            self.watch_the_listeners();
            if self.door.is_mistold {
                // Nothing would be reported: to be tried again.
                self.door.state = State::Resting(self.common.now.after(DOOR_REST_MAX));
            }
        }
    }

    /// The rest is over.
    pub(super) fn reopen_the_door_in_time(&mut self) {
        if self.door.deadline() <= self.common.now {
            self.reopen_the_door();
        }
    }

    /// Tells the kernel whether the door is open.
    fn watch_the_listeners(&mut self) {
        let interest = match self.door.state {
            State::Open => Interest::READ,
            State::Full | State::Resting(_) => Interest::NONE,
        };
        self.door.is_mistold = false;
        for (number, listener) in self.listeners.iter().enumerate() {
            self.common.counters.epoll_ctl += 1;
            let token = Token::listener(number as u32);
            if let Err(error) = self.common.kernel.reregister(listener, token, interest) {
                self.door.is_mistold = true;
                if let Some(more) = self.door.complaints.may_speak(self.common.now) {
                    log::warn!("epoll_ctl on a listener: {error}: tried again{more}");
                }
            }
        }
    }
}

/// Sorts an error of a call on a listener that this program has opened.
fn sort(error: &io::Error) -> Refused {
    match error.raw_os_error() {
        Some(errno::EAGAIN) => Refused::Empty,
        Some(errno::EMFILE | errno::ENFILE | errno::ENOBUFS | errno::ENOMEM) => Refused::Weather,
        Some(errno::EBADF | errno::EINVAL | errno::ENOTSOCK | errno::EFAULT) => Refused::Bug,
        // Linux passes a pending error of the new connection on as one of accept, EOPNOTSUPP among
        // them: accept(2), "Error handling". As an error of the listener it means that the socket
        // is of no stream type, and all listeners here are.
        _ => Refused::Passing,
    }
}
