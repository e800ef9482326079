//! Accepts connections, and pauses the listeners when no connection can be accepted.
//!
//! All errors of accept4 are classified here. An error that belongs to the new connection is
//! counted, and the next connection is accepted in the same turn. When descriptors or memory run
//! out, the spare descriptor is closed so that one peer can be accepted and closed at once, and
//! then the listeners pause. Each pause is longer than the last: a listener that stays ready would
//! make the loop spin. The next connection that closes ends the pause. While every slot is taken
//! the listeners pause too, and new connections wait in the kernel's queue.
//!
//! A listener that workers share is registered with EPOLLEXCLUSIVE, so that a connection wakes one
//! sleeping worker and not all. The kernel wakes the worker that was registered first, and that
//! would always be the same one while the load is low. After it has accepted, a worker therefore
//! ends its registration and registers again, which puts it behind the others.
//!
//! Connections are accepted last in a turn. Neighbours: `reactor` takes them in, `drain` closes the
//! listeners. See accept(2) "ERRORS".

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::kernel::{Address, Interest, Opener, Poller, Time, Token, errno};
use crate::limits::{
    ACCEPT_ERRORS_MAX, ACCEPTS_PER_TURN, ACCEPTS_PER_TURN_SHARED, LISTENER_PAUSE_MAX,
    LISTENER_PAUSE_MIN,
};
use crate::protocol::service::Service;

use super::handoff::{Dealt, Member};
use crate::server::handover::Offered;
use crate::server::observe::log_limiter::LogLimiter;
use crate::server::pump::Pump;
use crate::server::reactor::Reactor;

/// The listeners, and whether connections are accepted from them.
pub(in crate::server) struct Acceptor<Socket> {
    listeners: Vec<Listener<Socket>>,
    state: State,
    /// A listener was reported in this turn.
    is_called: bool,
    /// Length of the next pause.
    pause: Duration,
    /// The spare descriptor, closed for a moment when there is no other.
    reserve: Option<Socket>,
    /// Transient errors of accept4 since the last success.
    errors: u32,
    /// The last change of a listener's interest failed.
    registration_failed: bool,
    is_draining: bool,
    error_log: LogLimiter,
    per_address_log: LogLimiter,
    /// Its part in handing connections over, if one worker accepts for all.
    member: Option<Member<Socket>>,
    /// An accepted connection that no worker has had room for yet.
    unplaced: Option<Socket>,
    /// Other processes may have copies of the listeners.
    has_copies: bool,
}

struct Listener<Socket> {
    socket: Socket,
    reports: Reports,
    is_called: bool,
    stride: Stride,
    /// How many connections may still be accepted during a drain.
    drain_quota: usize,
    /// No more connections enter its queue.
    is_stopped: bool,
    /// Another program has opened it and keeps it. What is changed here would stay changed there.
    is_inherited: bool,
}

/// How the poller is told to report a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reports {
    /// No other worker has it. A pause changes the interest.
    ToOne,
    /// Other workers have it too. A pause ends the registration, because the kernel refuses to
    /// change the interest.
    ToAny {
        /// Whether it is registered now.
        is_registered: bool,
    },
}

impl<Socket> Listener<Socket> {
    fn new(socket: Socket, reports: Reports) -> Listener<Socket> {
        Listener {
            socket,
            reports,
            is_called: false,
            stride: Stride::default(),
            drain_quota: usize::MAX,
            is_stopped: false,
            is_inherited: false,
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self.reports, Reports::ToAny { .. })
    }

    /// How many connections to accept in `turn`, in which it is ready.
    fn stride(&mut self, turn: u64) -> u32 {
        let most = match self.reports {
            Reports::ToOne => ACCEPTS_PER_TURN,
            Reports::ToAny { .. } => ACCEPTS_PER_TURN_SHARED,
        };
        self.stride.next(turn, most)
    }

    /// Reports the listener from now on, or stops to.
    fn report<K, S>(&mut self, pump: &mut Pump<K, S>, number: u32, on: bool) -> io::Result<()>
    where
        K: Poller<Socket = Socket>,
        S: Service,
    {
        let token = Token::listener(number);
        match &mut self.reports {
            Reports::ToOne => {
                let interest = if on { Interest::READ } else { Interest::NONE };
                pump.counters.epoll_ctl += 1;
                pump.kernel.reregister(&self.socket, token, interest)
            }
            Reports::ToAny { is_registered } if *is_registered == on => Ok(()),
            Reports::ToAny { is_registered } => {
                pump.counters.epoll_ctl += 1;
                match on {
                    true => pump.kernel.register(&self.socket, token, SHARED_INTEREST)?,
                    false => pump.kernel.deregister(&self.socket)?,
                }
                *is_registered = on;
                Ok(())
            }
        }
    }
}

/// The interest in a listener that other workers have too.
const SHARED_INTEREST: Interest = Interest::READ.union(Interest::EXCLUSIVE);

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
    fn next(&mut self, turn: u64, most: u32) -> u32 {
        self.count = match self.last_turn {
            Some(last) if last + 1 == turn => (self.count * 2).min(most),
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
enum Accepted<Socket> {
    /// A connection was accepted.
    One(Socket),
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
    pub(in crate::server) fn new(listeners: Vec<Socket>, reserve: Socket) -> Acceptor<Socket> {
        let listener = |socket| Listener::new(socket, Reports::ToOne);
        Acceptor {
            listeners: listeners.into_iter().map(listener).collect(),
            state: State::Open,
            is_called: false,
            pause: LISTENER_PAUSE_MIN,
            reserve: Some(reserve),
            errors: 0,
            registration_failed: false,
            is_draining: false,
            error_log: LogLimiter::default(),
            per_address_log: LogLimiter::default(),
            member: None,
            unplaced: None,
            has_copies: false,
        }
    }

    /// Takes part in handing connections over.
    pub(in crate::server) fn join(&mut self, member: Member<Socket>) {
        self.member = Some(member);
    }

    /// Adds a listener that other workers have too, or other programs if it is inherited, and
    /// starts to report it. If that fails, the listener is closed.
    pub(in crate::server) fn share<K, S>(
        &mut self,
        pump: &mut Pump<K, S>,
        socket: Socket,
        is_inherited: bool,
    ) -> io::Result<()>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let reports = Reports::ToAny {
            is_registered: false,
        };
        let mut listener = Listener::new(socket, reports);
        listener.is_inherited = is_inherited;
        match listener.report(pump, self.listeners.len() as u32, true) {
            Ok(()) => {
                self.listeners.push(listener);
                Ok(())
            }
            Err(error) => {
                pump.kernel.close_listener(listener.socket);
                Err(error)
            }
        }
    }

    /// Whether connections are accepted.
    pub(in crate::server) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// How many listeners are open.
    pub(in crate::server) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// How many descriptors are open here.
    pub(in crate::server) fn descriptors(&self) -> usize {
        let others = [&self.reserve, &self.unplaced];
        self.listeners.len() + others.iter().filter(|it| it.is_some()).count()
    }

    /// A listener is ready: its connections are accepted at the end of the turn.
    pub(in crate::server) fn call(&mut self, number: u32) {
        if let Some(listener) = self.listeners.get_mut(number as usize) {
            (listener.is_called, self.is_called) = (true, true);
        }
    }

    /// Accepts connections from the listeners that are ready, up to the stride of each, so that new
    /// connections cannot starve open ones.
    #[inline]
    pub(in crate::server) fn accept_pending<K, S>(&mut self, reactor: &mut Reactor<K, S>, turn: u64)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.is_called {
            self.is_called = false;
            for number in 0..self.listeners.len() {
                if std::mem::take(&mut self.listeners[number].is_called) {
                    self.accept(reactor, number as u32, turn);
                }
            }
        }
    }

    #[cold]
    fn accept<K, S>(&mut self, reactor: &mut Reactor<K, S>, number: u32, turn: u64)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let stride = self.stride(reactor.pump_mut(), number, turn);
        let mut left = stride;
        // A lost connection does not count towards the stride: the connections behind it are
        // accepted now, without another event of the listener.
        for _ in 0..ACCEPTS_PER_TURN {
            if left == 0 {
                break;
            }
            match self.accept_one(reactor, number) {
                Accepted::One(socket) => {
                    self.place(reactor, socket);
                    left -= 1;
                }
                Accepted::Lost => {}
                Accepted::Nothing => break,
            }
        }
        if left < stride {
            self.let_others_come_first(reactor.pump_mut(), number);
        }
    }

    /// Registers a shared listener again, behind the other workers.
    fn let_others_come_first<K, S>(&mut self, pump: &mut Pump<K, S>, number: u32)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if !self.is_open() {
            return;
        }
        let Some(listener) = self.listeners.get_mut(number as usize) else {
            return;
        };
        if !listener.is_shared() {
            return;
        }
        let ended = listener.report(pump, number, false);
        if let Err(error) = ended.and_then(|()| listener.report(pump, number, true)) {
            self.log_registration(pump, &error);
            // No event would be reported, so try again later.
            self.state = State::Paused(pump.now.after(LISTENER_PAUSE_MAX));
            self.register(pump);
        }
    }

    /// Accepts all connections in the queues of the listeners, while slots and descriptors last.
    /// What comes while this lasts is accepted too, but not without end: as many as a queue holds.
    /// Returns whether they lasted.
    pub(in crate::server) fn accept_queued<K, S>(&mut self, reactor: &mut Reactor<K, S>) -> bool
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let settings = reactor.settings();
        let most = settings.connections_max.max(settings.backlog as usize + 1);
        let mut lasted = true;
        for number in 0..self.listeners.len() {
            self.end_pause();
            // Some accepts may fail with a transient error. The bound ends the loop if the error
            // persists.
            for _ in 0..most + ACCEPTS_PER_TURN as usize {
                match self.accept_one(reactor, number as u32) {
                    Accepted::One(socket) => self.place(reactor, socket),
                    Accepted::Lost => {}
                    Accepted::Nothing => break,
                }
            }
            // Seen before another listener, or a connection that was released, ends the pause.
            lasted &= self.is_open();
        }
        self.settle(reactor);
        lasted
    }

    /// Gives a connection to the worker whose turn it is, and pauses the listeners if that took the
    /// last slot.
    fn place<K, S>(&mut self, reactor: &mut Reactor<K, S>, socket: Socket)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let has_room = !reactor.is_full();
        let dealt = match &mut self.member {
            Some(member) => member.deal(socket, has_room),
            None => Dealt::Here(socket),
        };
        match dealt {
            Dealt::Here(socket) => self.take_in(reactor, socket),
            Dealt::Away => {}
            // A worker has closed its inbox since there was room.
            Dealt::Nowhere(socket) => self.unplaced = Some(socket),
        }
        if !self.has_room(reactor) {
            self.pause_while_full(reactor);
        }
    }

    /// Whether this worker, or one that it accepts for, has a free slot.
    fn has_room<K, S>(&self, reactor: &Reactor<K, S>) -> bool
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.unplaced.is_none()
            && (!reactor.is_full() || self.member.as_ref().is_some_and(Member::others_have_room))
    }

    /// Takes in the connections that were handed to this worker, as many as in a turn are accepted;
    /// the others follow in the next turn. After a wake-up, whose report was reset before.
    pub(in crate::server) fn take_handed<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let Some(member) = &self.member else {
            return;
        };
        if member.is_first() {
            // Another worker has room, or has released a descriptor.
            self.resume_if_possible(reactor);
            return;
        }
        self.take_some(reactor, ACCEPTS_PER_TURN);
        if let Some(member) = &self.member {
            member.take_later_if_any();
        }
    }

    fn take_some<K, S>(&mut self, reactor: &mut Reactor<K, S>, most: u32)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for _ in 0..most {
            let Some(socket) = self.member.as_mut().and_then(Member::take) else {
                break;
            };
            self.take_in(reactor, socket);
        }
        if let Some(member) = &mut self.member {
            member.give_back(reactor.len());
        }
    }

    /// Closes the inbox, and takes in what it holds, as far as there are slots. Returns whether it
    /// took in any connection.
    pub(in crate::server) fn take_last_handed<K, S>(&mut self, reactor: &mut Reactor<K, S>) -> bool
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        match &self.member {
            Some(member) if !member.is_first() => member.close(),
            _ => return false,
        }
        let before = reactor.len();
        self.take_some(reactor, u32::MAX);
        reactor.len() > before
    }

    /// The worker has failed. Returns the connections that were handed to it and not taken in.
    #[cold]
    pub(in crate::server) fn abandon_handed(&mut self) -> VecDeque<Socket> {
        let handed = self.member.as_ref().map(Member::abandon);
        let mut left = handed.unwrap_or_default();
        left.extend(self.unplaced.take());
        left
    }

    /// Takes in `connections` of a worker that has failed, as far as there are slots.
    #[cold]
    pub(in crate::server) fn adopt_handed<K, S>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        connections: &mut VecDeque<Socket>,
    ) where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        while !reactor.is_full() {
            let Some(socket) = connections.pop_front() else {
                return;
            };
            self.take_in(reactor, socket);
        }
    }

    /// Whether no connection can come from another worker any more.
    pub(in crate::server) fn is_finished(&self) -> bool {
        self.member.as_ref().is_none_or(Member::is_finished)
    }

    /// Adds a connection, unless its address has too many.
    fn take_in<K, S>(&mut self, reactor: &mut Reactor<K, S>, socket: Socket)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if let Some((socket, address)) = self.check_address(reactor, socket) {
            self.admit(reactor, socket, address);
        }
    }

    /// Adds a connection.
    fn admit<K, S>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        socket: Socket,
        address: Option<SocketAddr>,
    ) where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let slot = reactor.insert(socket, address);
        if let Some(error) = reactor.take_refused() {
            return self.pause_without_service(reactor.pump_mut(), &error);
        }
        // In a drain it is read to its last byte and ended, like those that were there before.
        if let (true, Some(slot)) = (self.is_draining, slot) {
            reactor.visit(slot);
        }
    }

    /// Resumes the listeners after a connection has closed. Returns whether one has.
    #[inline]
    pub(in crate::server) fn settle<K, S>(&mut self, reactor: &mut Reactor<K, S>) -> bool
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let has_released = reactor.take_released();
        if has_released {
            self.resume_after_release(reactor);
        }
        has_released
    }

    /// Takes in a connection that was not accepted here.
    pub(in crate::server) fn adopt<K, S>(&mut self, reactor: &mut Reactor<K, S>, socket: Socket)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.take_in(reactor, socket);
    }

    #[cold]
    fn resume_after_release<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if let Some(member) = &mut self.member {
            member.give_back(reactor.len());
        }
        self.resume_if_possible(reactor);
    }

    /// Resumes the listeners if a slot is free.
    pub(in crate::server) fn resume_if_possible<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if let Some(socket) = self.unplaced.take() {
            self.place(reactor, socket);
        }
        if self.has_room(reactor) {
            self.resume(reactor.pump_mut());
        } else if let State::Paused(_) = self.state {
            // The deadline of the pause would end every wait.
            self.pause_while_full(reactor);
        }
    }

    /// When to resume even if no connection closes.
    #[inline]
    pub(in crate::server) fn deadline(&self) -> Time {
        match self.state {
            State::Paused(until) => until,
            State::Open | State::Full => Time::NEVER,
        }
    }

    /// A listener is ready in `turn`. Returns how many connections to accept now.
    fn stride<K, S>(&mut self, pump: &mut Pump<K, S>, number: u32, turn: u64) -> u32
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.registration_failed {
            // The listener reported readiness although its interest is off, so set the interest
            // again.
            self.register(pump);
        }
        let listener = self.listeners.get_mut(number as usize);
        listener.map_or(0, |listener| listener.stride(turn))
    }

    /// Calls accept4 once.
    fn accept_one<K, S>(&mut self, reactor: &mut Reactor<K, S>, number: u32) -> Accepted<Socket>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let is_open = self.is_open();
        let pump = reactor.pump_mut();
        let Some(listener) = self.listeners.get_mut(number as usize) else {
            return Accepted::Nothing;
        };
        if !is_open || listener.drain_quota == 0 {
            return Accepted::Nothing;
        }
        pump.counters.accept4 += 1;
        match pump.kernel.accept(&listener.socket) {
            Ok(socket) => {
                listener.drain_quota -= 1;
                self.pause = LISTENER_PAUSE_MIN;
                self.errors = 0;
                Accepted::One(socket)
            }
            Err(error) => match sort(&error) {
                AcceptError::Empty => {
                    // The queue is empty: the next event starts with a stride of one.
                    listener.stride.last_turn = None;
                    Accepted::Nothing
                }
                AcceptError::Passing if self.errors < ACCEPT_ERRORS_MAX => {
                    pump.counters.accept_errors += 1;
                    self.errors += 1;
                    Accepted::Lost
                }
                _ => {
                    self.pause_for(pump, number, &error);
                    Accepted::Lost
                }
            },
        }
    }

    /// Closes a connection whose address has reached its limit. Otherwise returns it, with its
    /// address if that counts towards a limit.
    fn check_address<K, S>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        socket: Socket,
    ) -> Option<(Socket, Option<SocketAddr>)>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let address = match reactor.per_address().is_on() {
            true => reactor.pump_mut().kernel.peer(&socket).ok(),
            false => None,
        };
        // A connection without a peer address, or one whose peer is gone already, is not counted.
        let Some(Address::Tcp(peer)) = address else {
            return Some((socket, None));
        };
        if reactor.per_address().has_room(peer) {
            return Some((socket, Some(peer)));
        }
        let pump = reactor.pump_mut();
        pump.counters.refused_per_ip += 1;
        if let Some(more) = self.per_address_log.admit(pump.now) {
            log::warn!(
                "{}: has too many connections, one more is refused{more}",
                peer.ip()
            );
        }
        pump.kernel.close(socket);
        None
    }

    #[cold]
    fn pause_for<K, S>(&mut self, pump: &mut Pump<K, S>, number: u32, error: &io::Error)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.errors = 0;
        if self.is_draining {
            // The queued connections must still be accepted; descriptors become free as others
            // close. No connection that comes later has to be turned away.
            return match self.reserve.take() {
                Some(reserve) => pump.kernel.close(reserve),
                None => self.pause_longer(pump),
            };
        }
        pump.counters.refused_resources += 1;
        if let Some(more) = self.error_log.admit(pump.now) {
            let pause = self.pause;
            match sort(error) {
                AcceptError::Bug => {
                    log::error!("accept4: {error}: this is a mistake in mynah{more}")
                }
                _ => log::warn!("accept4: {error}: the listener rests for {pause:?}{more}"),
            }
        }
        // After any other error there are descriptors: the peer is accepted after the pause.
        if sort(error) == AcceptError::Exhausted {
            self.turn_one_away(pump, number);
        }
        self.restore_reserve(pump);
        self.pause_longer(pump);
    }

    /// No thread or process can be started for a connection, which is closed.
    #[cold]
    fn pause_without_service<K, S>(&mut self, pump: &mut Pump<K, S>, error: &io::Error)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        pump.counters.refused_resources += 1;
        if let Some(more) = self.error_log.admit(pump.now) {
            let pause = self.pause;
            log::warn!(
                "a connection cannot be served: {error}: it is closed, and the listener rests for \
                 {pause:?}{more}"
            );
        }
        self.pause_longer(pump);
    }

    /// Closes the spare descriptor, accepts one connection and closes it, so that this peer learns
    /// at once that it is not served.
    fn turn_one_away<K, S>(&mut self, pump: &mut Pump<K, S>, number: u32)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let Some(reserve) = self.reserve.take() else {
            return;
        };
        pump.kernel.close(reserve);
        let Some(listener) = self.listeners.get(number as usize) else {
            return;
        };
        pump.counters.accept4 += 1;
        if let Ok(refused) = pump.kernel.accept(&listener.socket) {
            pump.kernel.close(refused);
        }
    }

    fn pause_longer<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.state = State::Paused(pump.now.after(self.pause));
        self.pause = (self.pause * 2).min(LISTENER_PAUSE_MAX);
        self.await_room(true);
        self.register(pump);
    }

    /// From now on, or no longer, a worker that this one accepts for wakes it when it has room.
    fn await_room(&self, on: bool) {
        if let Some(member) = self.member.as_ref().filter(|member| member.is_first()) {
            member.await_room(on);
        }
    }

    fn restore_reserve<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.reserve.is_none() && !self.is_draining {
            self.reserve = pump.kernel.reserve().ok();
        }
    }

    /// Every slot is taken: the listeners pause until a connection closes.
    fn pause_while_full<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.await_room(true);
        // A worker that has released a connection before that does not wake this one.
        if self.has_room(reactor) {
            return self.await_room(false);
        }
        let pump = reactor.pump_mut();
        pump.counters.refused_slots += 1;
        self.state = State::Full;
        self.register(pump);
    }

    /// There is a slot, and perhaps a descriptor: the pause ends.
    pub(in crate::server) fn resume<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.is_open() {
            return;
        }
        self.restore_reserve(pump);
        self.await_room(false);
        self.state = State::Open;
        self.register(pump);
        if self.registration_failed {
            // No event would be reported, so try again later.
            self.state = State::Paused(pump.now.after(LISTENER_PAUSE_MAX));
        }
    }

    /// Ends a pause early, because the time for a drain is limited.
    fn end_pause(&mut self) {
        if let State::Paused(_) = self.state {
            self.state = State::Open;
        }
    }

    /// Sets the listeners' interest according to the state.
    fn register<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let on = self.is_open();
        self.registration_failed = false;
        for number in 0..self.listeners.len() {
            let listener = &mut self.listeners[number];
            if let Err(error) = listener.report(pump, number as u32, on) {
                self.registration_failed = true;
                self.log_registration(pump, &error);
            }
        }
    }

    #[cold]
    fn log_registration<K, S>(&mut self, pump: &Pump<K, S>, error: &io::Error)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if let Some(more) = self.error_log.admit(pump.now) {
            log::warn!("epoll_ctl on a listener: {error}: tried again{more}");
        }
    }

    /// A drain has begun: no spare descriptor is needed any more.
    pub(in crate::server) fn begin_drain(&mut self) {
        self.is_draining = true;
    }

    /// Makes the kernel put no more connections into the queues: one that came between the last
    /// accept and the close would be reset. Where the kernel refuses, connections still come, and
    /// into the queue of an inherited listener too: its next user accepts them.
    pub(in crate::server) fn stop_queueing<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for listener in self.listeners.iter_mut().filter(|it| !it.is_inherited) {
            let stopped = pump.kernel.stop_handshakes(&listener.socket).or_else(|_| {
                if pump.kernel.queue_length(&listener.socket).is_ok() {
                    // A TCP listener would drop its queue.
                    return Err(io::ErrorKind::Unsupported.into());
                }
                pump.counters.shutdown += 1;
                pump.kernel.stop_queueing(&listener.socket)
            });
            listener.is_stopped = stopped.is_ok();
        }
    }

    /// From here on a listener accepts only the connections that are in its queue now; `backlog` of
    /// them where the kernel does not tell.
    pub(in crate::server) fn accept_only_queued<K, S>(
        &mut self,
        pump: &mut Pump<K, S>,
        backlog: usize,
    ) where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for listener in &mut self.listeners {
            listener.drain_quota = match listener.is_stopped {
                true => usize::MAX,
                false => (pump.kernel.queue_length(&listener.socket)).unwrap_or(backlog),
            };
        }
    }

    /// How many connections wait in the queues that a drain should have accepted.
    pub(in crate::server) fn not_accepted<K, S>(&self, pump: &mut Pump<K, S>) -> u64
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let waiting = |listener: &Listener<Socket>| {
            let queued = pump.kernel.queue_length(&listener.socket).unwrap_or(0);
            queued.min(listener.drain_quota) as u64
        };
        let unplaced = u64::from(self.unplaced.is_some());
        self.listeners.iter().map(waiting).sum::<u64>() + unplaced
    }

    /// Gives the listeners away as they are, each with whether it is inherited. Their queues stay.
    pub(in crate::server) fn release_listeners<K, S>(
        &mut self,
        pump: &mut Pump<K, S>,
    ) -> Vec<(Socket, bool)>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let listeners = std::mem::take(&mut self.listeners).into_iter();
        let released = listeners.map(|listener| {
            // The poller may be what has failed.
            let _ = pump.kernel.deregister(&listener.socket);
            (listener.socket, listener.is_inherited)
        });
        released.collect()
    }

    /// Other processes may get copies of the listeners from now on.
    pub(in crate::server) fn expect_copies(&mut self) {
        self.has_copies = true;
    }

    /// The listeners, for another process.
    pub(in crate::server) fn offered(&self) -> Vec<Offered<'_, Socket>> {
        let offered = self.listeners.iter().map(|listener| Offered {
            socket: &listener.socket,
            is_inherited: listener.is_inherited,
            is_shared: listener.is_shared(),
        });
        offered.collect()
    }

    /// Another descriptor of the listener at `place`.
    pub(in crate::server) fn copy_of<K, S>(
        &mut self,
        pump: &mut Pump<K, S>,
        place: usize,
    ) -> Option<io::Result<Socket>>
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let listener = self.listeners.get(place)?;
        Some(pump.kernel.share(&listener.socket))
    }

    /// The paths of the listeners belong to this process from now on.
    pub(in crate::server) fn own_paths<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for listener in self.listeners.iter().filter(|it| !it.is_inherited) {
            pump.kernel.own_path(&listener.socket);
        }
    }

    /// Leaves the listeners to another process: the queues and the paths stay. A connection that
    /// was accepted already stays here.
    pub(in crate::server) fn leave_listeners<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for listener in &self.listeners {
            pump.kernel.leave_path(&listener.socket);
        }
        let unplaced = self.unplaced.take();
        self.close_listeners(pump);
        self.unplaced = unplaced;
    }

    /// Whether an accepted connection waits for room.
    pub(in crate::server) fn has_unplaced(&self) -> bool {
        self.unplaced.is_some()
    }

    /// Closes the listeners, and removes the paths of the local ones. The workers that this one
    /// accepts for learn that nothing more comes.
    pub(in crate::server) fn close_listeners<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for mut listener in std::mem::take(&mut self.listeners) {
            if listener.is_shared() {
                // Other workers keep the listener open, and with it the registration.
                let _ = listener.report(pump, 0, false);
            } else if self.has_copies {
                let _ = pump.kernel.deregister(&listener.socket);
            }
            pump.kernel.close_listener(listener.socket);
        }
        if let Some(socket) = self.unplaced.take() {
            pump.kernel.close(socket);
        }
        if let Some(member) = self.member.as_ref().filter(|member| member.is_first()) {
            member.finish();
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
