//! Accepts connections, and pauses the listeners when no connection can be accepted.
//!
//! An error that belongs to the new connection is counted, and the next connection is accepted in
//! the same turn. When descriptors or memory run out, the spare descriptor is closed so that one
//! peer can be accepted and closed at once, and then the listeners pause (`pause`). The next
//! connection that closes ends the pause. While every slot is taken the listeners pause too, and
//! new connections wait in the kernel's queue.
//!
//! The kernel wakes the worker that was registered first for a shared listener, and that would
//! always be the same one while the load is low. After it has accepted, a worker therefore ends its
//! registration and registers again, which puts it behind the others.
//!
//! Connections are accepted last in a turn. Neighbours: `listener` makes the calls, `placement`
//! says which worker serves a connection, `reactor` takes it in, `drain` closes the listeners.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use crate::kernel::{Address, Opener, Poller, Time};
use crate::limits::ACCEPTS_PER_TURN;
use crate::protocol::service::Service;

use super::handoff::Member;
use super::listener::Listener;
use super::pause::{AcceptError, Pause};
use super::placement::Placement;
use crate::server::handover::Offered;
use crate::server::observe::log_limiter::LogLimiter;
use crate::server::pump::Pump;
use crate::server::reactor::Reactor;

/// The listeners, and whether connections are accepted from them.
pub(in crate::server) struct Acceptor<Socket> {
    listeners: Vec<Listener<Socket>>,
    pause: Pause,
    /// A listener was reported in this turn.
    is_called: bool,
    /// The spare descriptor, closed for a moment when there is no other.
    reserve: Option<Socket>,
    /// The last change of a listener's interest failed.
    registration_failed: bool,
    is_draining: bool,
    error_log: LogLimiter,
    per_address_log: LogLimiter,
    placement: Placement<Socket>,
    /// Other processes may have copies of the listeners.
    has_copies: bool,
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

impl<Socket> Acceptor<Socket> {
    pub(in crate::server) fn new(listeners: Vec<Socket>, reserve: Socket) -> Acceptor<Socket> {
        Acceptor {
            listeners: listeners.into_iter().map(Listener::own).collect(),
            pause: Pause::none(),
            is_called: false,
            reserve: Some(reserve),
            registration_failed: false,
            is_draining: false,
            error_log: LogLimiter::default(),
            per_address_log: LogLimiter::default(),
            placement: Placement::here(),
            has_copies: false,
        }
    }

    /// Takes part in handing connections over.
    pub(in crate::server) fn join(&mut self, member: Member<Socket>) {
        self.placement.join(member);
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
        let mut listener = Listener::shared(socket, is_inherited);
        match listener.report(pump, self.listeners.len() as u32, true) {
            Ok(()) => {
                self.listeners.push(listener);
                Ok(())
            }
            Err(error) => {
                listener.close(pump, false);
                Err(error)
            }
        }
    }

    /// Whether connections are accepted.
    pub(in crate::server) fn is_open(&self) -> bool {
        self.pause.is_open()
    }

    /// How many listeners are open.
    pub(in crate::server) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// How many descriptors are open here.
    pub(in crate::server) fn descriptors(&self) -> usize {
        let others = [self.reserve.is_some(), self.placement.has_unplaced()];
        self.listeners.len() + others.iter().filter(|is_there| **is_there).count()
    }

    /// A listener is ready: its connections are accepted at the end of the turn.
    pub(in crate::server) fn call(&mut self, number: u32) {
        if let Some(listener) = self.listeners.get_mut(number as usize) {
            listener.call();
            self.is_called = true;
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
                if self.listeners[number].take_call() {
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
            self.pause.longest(pump.now);
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
        if let Some(socket) = self.placement.deal(socket, !reactor.is_full()) {
            self.take_in(reactor, socket);
        }
        self.rest_if_full(reactor);
    }

    /// A connection of another process is in `slot`.
    pub(in crate::server) fn has_taken_over<K, S>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        slot: Option<u32>,
    ) where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        // In a drain only a visit finds out that nothing is owed: no event will come.
        if let (true, Some(slot)) = (self.is_draining, slot) {
            reactor.visit(slot);
        }
        self.rest_if_full(reactor);
    }

    /// Whether another worker accepts for this one.
    pub(in crate::server) fn is_served(&self) -> bool {
        self.placement.is_served()
    }

    /// Pauses the listeners if the last slot is taken: the next connection stays in the queue.
    fn rest_if_full<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
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
        self.placement.has_room(reactor.is_full())
    }

    /// Takes in the connections that were handed to this worker, as many as in a turn are accepted;
    /// the others follow in the next turn. After a wake-up, whose report was reset before.
    pub(in crate::server) fn take_handed<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if self.placement.is_first() {
            // Another worker has room, or has released a descriptor.
            self.resume_if_possible(reactor);
        } else if self.placement.is_served() {
            self.take_some(reactor, ACCEPTS_PER_TURN);
            self.placement.take_later_if_any();
        }
    }

    fn take_some<K, S>(&mut self, reactor: &mut Reactor<K, S>, most: u32)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for _ in 0..most {
            let Some(socket) = self.placement.take() else {
                break;
            };
            self.take_in(reactor, socket);
        }
        self.placement.give_back(reactor.len());
    }

    /// Closes the inbox, and takes in what it holds, as far as there are slots. Returns whether it
    /// took in any connection.
    pub(in crate::server) fn take_last_handed<K, S>(&mut self, reactor: &mut Reactor<K, S>) -> bool
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if !self.placement.is_served() {
            return false;
        }
        self.placement.close();
        let before = reactor.len();
        self.take_some(reactor, u32::MAX);
        reactor.len() > before
    }

    /// The worker has failed. Returns the connections that were handed to it and not taken in.
    #[cold]
    pub(in crate::server) fn abandon_handed(&mut self) -> VecDeque<Socket> {
        self.placement.abandon()
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
        self.placement.is_finished()
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
        self.rest_if_full(reactor);
    }

    #[cold]
    fn resume_after_release<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.placement.give_back(reactor.len());
        self.resume_if_possible(reactor);
    }

    /// Resumes the listeners if a slot is free.
    pub(in crate::server) fn resume_if_possible<K, S>(&mut self, reactor: &mut Reactor<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        if let Some(socket) = self.placement.take_unplaced() {
            self.place(reactor, socket);
        }
        if self.has_room(reactor) {
            self.resume(reactor.pump_mut());
        } else if self.pause.is_timed() {
            // The deadline of the pause would end every wait.
            self.pause_while_full(reactor);
        }
    }

    /// When to resume even if no connection closes.
    #[inline]
    pub(in crate::server) fn deadline(&self) -> Time {
        self.pause.deadline()
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
        if !is_open {
            return Accepted::Nothing;
        }
        match listener.accept(pump) {
            None => Accepted::Nothing,
            Some(Ok(socket)) => {
                self.pause.accepted();
                Accepted::One(socket)
            }
            Some(Err(error)) => match AcceptError::of(&error) {
                AcceptError::Empty => {
                    listener.end_stride();
                    Accepted::Nothing
                }
                AcceptError::Passing if self.pause.pass() => {
                    pump.counters.accept_errors += 1;
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
        self.pause.forget_errors();
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
            let pause = self.pause.span();
            match AcceptError::of(error) {
                AcceptError::Bug => {
                    log::error!("accept4: {error}: this is a mistake in mynah{more}")
                }
                _ => log::warn!("accept4: {error}: the listener rests for {pause:?}{more}"),
            }
        }
        // After any other error there are descriptors: the peer is accepted after the pause.
        if AcceptError::of(error) == AcceptError::Exhausted {
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
            let pause = self.pause.span();
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
        if let Ok(refused) = listener.accept_beyond(pump) {
            pump.kernel.close(refused);
        }
    }

    fn pause_longer<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        self.pause.longer(pump.now);
        self.placement.await_room(true);
        self.register(pump);
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
        self.placement.await_room(true);
        // A worker that has released a connection before that does not wake this one.
        if self.has_room(reactor) {
            return self.placement.await_room(false);
        }
        let pump = reactor.pump_mut();
        pump.counters.refused_slots += 1;
        self.pause.while_full();
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
        self.placement.await_room(false);
        self.pause.end();
        self.register(pump);
        if self.registration_failed {
            // No event would be reported, so try again later.
            self.pause.longest(pump.now);
        }
    }

    /// Ends a pause early, because the time for a drain is limited.
    fn end_pause(&mut self) {
        if self.pause.is_timed() {
            self.pause.end();
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

    /// Makes the kernel put no more connections into the queues.
    pub(in crate::server) fn stop_queueing<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for listener in &mut self.listeners {
            listener.stop_queueing(pump);
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
            listener.accept_only_queued(pump, backlog);
        }
    }

    /// How many connections wait in the queues that a drain should have accepted.
    pub(in crate::server) fn not_accepted<K, S>(&self, pump: &mut Pump<K, S>) -> u64
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        let listeners = self.listeners.iter();
        let queued: u64 = listeners.map(|listener| listener.not_accepted(pump)).sum();
        queued + u64::from(self.placement.has_unplaced())
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
        listeners.map(|listener| listener.release(pump)).collect()
    }

    /// Other processes may get copies of the listeners from now on.
    pub(in crate::server) fn expect_copies(&mut self) {
        self.has_copies = true;
    }

    /// The listeners, for another process.
    pub(in crate::server) fn offered(&self) -> Vec<Offered<'_, Socket>> {
        self.listeners.iter().map(Listener::offered).collect()
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
        Some(self.listeners.get(place)?.copy(pump))
    }

    /// The paths of the listeners belong to this process from now on.
    pub(in crate::server) fn own_paths<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for listener in &self.listeners {
            listener.own_path(pump);
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
            listener.leave_path(pump);
        }
        let unplaced = self.placement.take_unplaced();
        self.close_listeners(pump);
        self.placement.keep_unplaced(unplaced);
    }

    /// Whether an accepted connection waits for room.
    pub(in crate::server) fn has_unplaced(&self) -> bool {
        self.placement.has_unplaced()
    }

    /// Closes the listeners, and removes the paths of the local ones. The workers that this one
    /// accepts for learn that nothing more comes.
    pub(in crate::server) fn close_listeners<K, S>(&mut self, pump: &mut Pump<K, S>)
    where
        K: Poller + Opener<Socket = Socket>,
        S: Service,
    {
        for listener in std::mem::take(&mut self.listeners) {
            listener.close(pump, self.has_copies);
        }
        if let Some(socket) = self.placement.take_unplaced() {
            pump.kernel.close(socket);
        }
        self.placement.finish();
    }
}
