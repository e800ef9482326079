//! One worker: the connections, the listeners, the effects and the drain, and the turn that serves
//! them all. One [`Server::turn`] waits for events once and handles them.
//!
//! Neighbours: `reactor` serves the connections, `admission` accepts new ones, `effects` runs what
//! requests wait for, `drain` ends the server. `workers` calls the turns.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::kernel::{
    Datagrams, Event, Interest, Opener, Socket, Source, Spawner, Time, Token, Trigger,
};
use crate::protocol::connection::Protocol;
use crate::protocol::service::{Scrape, Service};

use super::admission::acceptor::Acceptor;
use super::admission::handoff::{Handoff, Member};
use super::admission::per_address::PerIp;
use super::blocking::Drive;
#[cfg(feature = "auth")]
use super::blocking::Driver;
use super::datagram::DatagramSocket;
use super::drain::Drain;
use super::effects::commands::Commands;
use super::observe::counters::Counters;
use super::observe::snapshot::{Entries, Snapshot};
use super::pool::Workspaces;
use super::pump::{Pump, ReadPolicy};
use super::reactor::Reactor;
use super::scrapes::{Pages, watch};
use super::settings::Settings;
use super::tasks::{Handle, Loop, Tasks};

/// What a turn found that its caller has to handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeups {
    /// Signals wait to be taken from the kernel.
    pub signals: bool,
    /// Another thread has woken this one.
    pub wake_up: bool,
}

/// One worker: a kernel, a fixed number of connections, a service.
pub struct Server<K: Spawner + Opener, S: Service> {
    pub(super) reactor: Reactor<K, S>,
    pub(super) acceptor: Acceptor<K::Socket>,
    /// Commands that connections wait for; none, unless the service awaits any.
    commands: Commands<K>,
    /// Tasks of other threads, and timers.
    tasks: Tasks,
    /// Carries out the drains that tasks ask for; without it they drain this loop alone.
    drain_all: Option<Box<dyn Fn() + Send>>,
    drain: Option<Drain>,
    turns: u64,
    /// When the service gets the time again.
    next_tick: Time,
    /// The time without a connection after which the server drains by itself.
    idle_span: Option<Duration>,
    /// When it does so; never, while there is a connection.
    idle_until: Time,
    /// Pages of the server about itself.
    scrapes: Option<Box<dyn Pages<K::Socket>>>,
    /// A scrape waits.
    is_scraped: bool,
    /// Another process asks for the sockets, or says or passes something.
    pub(super) is_asked: bool,
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Allocates all memory of the server, and registers `listeners`.
    pub fn new(
        mut kernel: K,
        listeners: Vec<K::Socket>,
        protocol: Protocol<S>,
        settings: Settings,
    ) -> io::Result<Server<K, S>> {
        let taken = Server::take_resources(&mut kernel, &listeners, &protocol, &settings);
        let (commands, reserve, workspaces) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                let close = |listener| kernel.close_listener(listener);
                listeners.into_iter().for_each(close);
                return Err(error);
            }
        };
        let reading = match settings.trigger {
            Trigger::Level => ReadPolicy::Once,
            Trigger::Edge => ReadPolicy::WhileFull,
        };
        let mut pump = Pump::new(kernel, protocol, reading, &settings);
        pump.counters.epoll_ctl = listeners.len() as u64;
        Ok(Server {
            reactor: Reactor::new(pump, workspaces, settings),
            acceptor: Acceptor::new(listeners, reserve),
            commands,
            tasks: Tasks::new(),
            drain_all: None,
            drain: None,
            turns: 0,
            next_tick: Time::default(),
            idle_span: None,
            idle_until: Time::NEVER,
            scrapes: None,
            is_scraped: false,
            is_asked: false,
        })
    }

    /// Accepts from `listener` too, a descriptor of a listener that other workers have as well; see
    /// [`Opener::share`]. Each of them shares it, under any of its descriptors.
    ///
    /// # Errors
    ///
    /// Why it cannot be registered. It is closed then.
    pub fn share_listener(&mut self, listener: K::Socket) -> io::Result<()> {
        let pump = self.reactor.pump_mut();
        self.acceptor.share(pump, listener, false)
    }

    /// The same for a listener that another program has opened and may keep. A drain changes
    /// nothing of it: it accepts what is in the queue, and closes this descriptor.
    ///
    /// # Errors
    ///
    /// Those of [`Server::share_listener`].
    pub fn inherit_listener(&mut self, listener: K::Socket) -> io::Result<()> {
        let pump = self.reactor.pump_mut();
        self.acceptor.share(pump, listener, true)
    }

    /// Serves a connection that was accepted elsewhere.
    pub fn adopt(&mut self, connection: K::Socket) {
        self.acceptor.adopt(&mut self.reactor, connection);
        self.note_release();
    }

    /// Serves these pages too. Each event of theirs ends a turn.
    ///
    /// # Errors
    ///
    /// The poller cannot watch them.
    pub fn serve_scrapes(&mut self, scrapes: Box<dyn Pages<K::Socket>>) -> io::Result<()> {
        watch(self.kernel_mut(), &*scrapes)?;
        self.scrapes = Some(scrapes);
        Ok(())
    }

    /// Serves the pages no more.
    pub(crate) fn close_scrapes(&mut self) {
        if let Some(scrapes) = self.scrapes.take() {
            let _ = self.kernel_mut().deregister(scrapes.descriptor());
        }
    }

    /// Whether a scrape waits since this was last asked, so that counts are to be collected.
    pub(crate) fn take_scraped(&mut self) -> bool {
        std::mem::take(&mut self.is_scraped)
    }

    /// Whether there are pages.
    pub(crate) fn has_scrapes(&self) -> bool {
        self.scrapes.is_some()
    }

    /// Answers the scrapes that wait. Returns whether late ones must be looked for later.
    pub(crate) fn answer_scrapes(&mut self, pages: Scrape) -> bool {
        self.scrapes.as_mut().is_some_and(|scrapes| {
            scrapes.answer(pages);
            scrapes.needs_a_look()
        })
    }

    /// Drains by itself after `span` without a connection or a datagram, counted from now on.
    pub fn end_after_idle(&mut self, span: Duration) {
        self.idle_span = Some(span);
        self.note_release();
    }

    /// Takes part in `handoff` as the worker at `place`. The first one accepts for all.
    pub fn join_handoff(&mut self, handoff: Arc<Handoff<K::Socket>>, place: usize) {
        self.acceptor.join(Member::new(handoff, place));
    }

    /// Takes from the kernel what it may refuse, and registers `listeners`: the prepared commands,
    /// the spare descriptor, the workspaces.
    fn take_resources(
        kernel: &mut K,
        listeners: &[K::Socket],
        protocol: &Protocol<S>,
        settings: &Settings,
    ) -> io::Result<(Commands<K>, K::Socket, Workspaces)> {
        for (number, listener) in listeners.iter().enumerate() {
            kernel.register(listener, Token::listener(number as u32), Interest::READ)?;
        }
        Ok((
            Commands::prepare(kernel, protocol, settings.connections_max)?,
            kernel.reserve()?,
            Workspaces::new(settings.workspaces, settings.workspace)?,
        ))
    }

    /// Memory of one connection in bytes, without a workspace: more if there is a limit per
    /// address, or if requests wait for effects of `service`.
    pub fn slot_size(service: &S, per_ip: bool) -> usize {
        let counted = if per_ip { PerIp::SLOT_SIZE } else { 0 };
        Reactor::<K, S>::slot_size(service.effects().is_some()) + counted
    }

    /// Runs turns until the caller has something to handle, the drain is over, or `until`.
    pub fn run(&mut self, until: Time) -> io::Result<Wakeups> {
        loop {
            let wakeups = self.turn(until)?;
            if wakeups != Wakeups::default() || self.now() >= until || self.is_done() {
                return Ok(wakeups);
            }
        }
    }

    /// Serves the connections with threads or processes of their own from now on.
    ///
    /// # Errors
    ///
    /// Memory, a thread or a program that the kernel refuses.
    pub fn hand_out(&mut self, drive: Drive<S>) -> io::Result<()>
    where
        K: Spawner<Socket = Socket>,
        S: Service<State: Send> + Clone + Send + 'static,
    {
        self.reactor.hand_out(drive.start()?);
        Ok(())
    }

    /// Serves the connections with `driver` from now on.
    #[cfg(feature = "auth")]
    pub(in crate::server) fn hand_out_to(&mut self, driver: Box<dyn Driver<K::Socket, S>>) {
        self.reactor.hand_out(driver);
    }

    /// Whether each connection gets a process, so that this process must have no other thread.
    pub fn forks(&self) -> bool {
        self.reactor.driver().is_some_and(|driver| driver.forks())
    }

    /// The same as [`Server::run`], where the connections are handed out. One that is served on
    /// this thread is served until something else has to be done.
    pub(crate) fn run_with_driver(&mut self, until: Time) -> io::Result<Wakeups> {
        loop {
            let deadline = self.deadline().min(until);
            let has_served = match self.reactor.driver_mut() {
                Some(driver) => driver.work(deadline)?,
                None => false,
            };
            self.reactor.collect();
            let wakeups = self.turn(if has_served { Time::default() } else { until })?;
            if wakeups != Wakeups::default() || self.now() >= until || self.is_done() {
                return Ok(wakeups);
            }
        }
    }

    /// Whether the connections are handed out.
    pub(crate) fn has_driver(&self) -> bool {
        self.reactor.driver().is_some()
    }

    /// Waits for events, `until` at the latest, and handles them.
    #[inline]
    pub fn turn(&mut self, until: Time) -> io::Result<Wakeups> {
        let ready = self.reactor.lists().ready();
        let deadline = self.deadline();
        let count = self.wait(deadline.min(until))?;
        let mut events = 0..count;
        while self.reactor.receive(&mut events) {
            self.reactor.send_staged();
        }
        let wakeups = self.run_slow(events, ready);
        self.acceptor.accept_pending(&mut self.reactor, self.turns);
        if self.now() >= deadline {
            self.expire(count);
        }
        // Behind the deadlines, which may end connections whose commands are to be killed.
        self.commands.start(&mut self.reactor);
        if self.acceptor.settle(&mut self.reactor) {
            self.note_release();
        }
        Ok(wakeups)
    }

    /// A connection may have been the last one.
    #[cold]
    fn note_release(&mut self) {
        if let (Some(span), 0) = (self.idle_span, self.reactor.len()) {
            self.idle_until = self.now().after(span);
            self.settle_tasks(false);
        }
    }

    /// Sleeps until the next event or `until`. Returns the number of events.
    #[inline]
    fn wait(&mut self, until: Time) -> io::Result<usize> {
        let count = self.reactor.wait(until)?;
        self.turns += 1;
        if self.now() >= self.next_tick
            && self.reactor.pump_mut().protocol.service.clock().is_some()
        {
            self.tick();
        }
        Ok(count)
    }

    /// When the loop has to act without an event.
    #[inline]
    fn deadline(&self) -> Time {
        let next = self.reactor.deadline().min(self.acceptor.deadline());
        let next = match &self.drain {
            None => next,
            Some(drain) => next.min(drain.deadline(&self.reactor, &self.acceptor)),
        };
        match self.has_effects() {
            true => next.min(self.commands.deadline(&self.reactor)),
            false => next,
        }
    }

    /// Handles what the fast path has left: connections one at a time, and the descriptors that are
    /// not connections. Then the first `ready` of the connections that continue without an event.
    #[inline]
    fn run_slow(&mut self, events: Range<usize>, ready: usize) -> Wakeups {
        let mut wakeups = Wakeups::default();
        if self.reactor.has_left() {
            self.run_left(&mut wakeups);
        }
        for place in events {
            self.handle(self.reactor.event(place), &mut wakeups);
        }
        if ready > 0 {
            self.reactor.run_ready(ready);
        }
        wakeups
    }

    #[inline(never)]
    fn run_left(&mut self, wakeups: &mut Wakeups) {
        self.reactor.run_unfinished();
        for place in 0..self.reactor.left() {
            self.handle(self.reactor.event_left(place), wakeups);
        }
        self.reactor.clear_left();
    }

    #[inline]
    fn handle(&mut self, event: Event, wakeups: &mut Wakeups) {
        match event.token() {
            token if token.generation() == 0 => self.dispatch(token, wakeups),
            _ => self.reactor.run_slow(event),
        }
    }

    /// Handles an event of a descriptor that is not a connection.
    #[cold]
    fn dispatch(&mut self, token: Token, wakeups: &mut Wakeups) {
        match token.source() {
            Source::Signals => wakeups.signals = true,
            Source::WakeUp => {
                wakeups.wake_up = true;
                self.reactor.collect();
            }
            Source::Listener(number) => self.acceptor.call(number),
            // The caller, which asks, is the one that takes signals.
            Source::Scrapes => (self.is_scraped, wakeups.signals) = (true, true),
            Source::Takeover => (self.is_asked, wakeups.wake_up) = (true, true),
            Source::Datagram(number) => {
                self.reactor.serve_datagrams(number);
                if let Some(span) = self.idle_span {
                    self.idle_until = self.now().after(span);
                }
                self.arm_own();
            }
            Source::ChildEnded => {
                self.commands.hear_of_children(&mut self.reactor);
                self.reactor.collect();
            }
            Source::Child {
                place,
                generation,
                end,
            } => {
                self.commands
                    .child_event(&mut self.reactor, place, generation, end);
            }
            Source::Timer | Source::Stream(_) | Source::Connection => {}
        }
    }

    /// Acts on the deadlines that have passed.
    #[cold]
    fn expire(&mut self, events: usize) {
        if !self.reactor.expire(events) {
            return;
        }
        if self.tasks.next_deadline() <= self.now() {
            let drains = self.tasks.fire(self.now(), &self.reactor.pump().counters);
            self.settle_tasks(drains);
        }
        if self.reactor.has_datagrams() {
            self.reactor.expire_datagrams();
            self.arm_own();
        }
        if self.idle_until <= self.now() {
            self.idle_until = Time::NEVER;
            self.settle_tasks(self.reactor.len() == 0);
        }
        if self.has_effects() {
            self.commands.expire(&mut self.reactor);
        }
        if self.acceptor.deadline() <= self.now() {
            self.acceptor.resume_if_possible(&mut self.reactor);
        }
        if let Some(drain) = &mut self.drain {
            self.acceptor.settle(&mut self.reactor);
            drain.advance(&mut self.reactor, &mut self.acceptor);
            self.arm_own();
        }
    }

    /// Passes the time of day to the service, and computes when the next second begins.
    #[cold]
    fn tick(&mut self) {
        self.next_tick = self.reactor.pump_mut().tick();
    }

    /// A handle with which other threads give this loop tasks. `wake` makes the kernel report a
    /// wake-up; that of the first call is kept.
    pub fn task_handle(&mut self, wake: impl Fn() + Send + Sync + 'static) -> Handle {
        self.tasks.handle(wake)
    }

    /// `drain_all` begins the drain of every loop of the server when a task or a timer asks for it.
    pub(crate) fn drain_with(&mut self, drain_all: impl Fn() + Send + 'static) {
        self.drain_all = Some(Box::new(drain_all));
    }

    /// Resets the wake-up that a turn has reported, takes in the connections that another worker
    /// has handed over, and runs the tasks that wait.
    ///
    /// # Errors
    ///
    /// The error of the kernel.
    pub fn take_wake_up(&mut self) -> io::Result<()> {
        // First of all, so that a task or a connection that is given from here on wakes the loop
        // again.
        self.kernel_mut().take_wake_up()?;
        self.acceptor.take_handed(&mut self.reactor);
        let drains = self.tasks.run(self.now(), &self.reactor.pump().counters);
        self.settle_tasks(drains);
        Ok(())
    }

    /// Calls `act` with what a task may use, on this thread.
    pub fn with_loop<T>(&mut self, act: impl FnOnce(&mut Loop<'_>) -> T) -> T {
        // The last turn may be long ago.
        let now = self.kernel_mut().now();
        let counters = &self.reactor.pump().counters;
        let (outcome, drains) = self.tasks.with(now, counters, act);
        self.settle_tasks(drains);
        outcome
    }

    /// The loop ends: runs the tasks that were accepted, and refuses others.
    pub fn finish_tasks(&mut self) {
        self.tasks.finish(self.now(), &self.reactor.pump().counters);
    }

    /// Tasks or timers have run.
    fn settle_tasks(&mut self, drains: bool) {
        self.arm_own();
        match &self.drain_all {
            _ if !drains => {}
            Some(drain_all) => drain_all(),
            None => self.drain(),
        }
    }

    /// Sets the deadline of what is no connection.
    fn arm_own(&mut self) {
        let next = self.tasks.next_deadline();
        let next = next.min(self.idle_until);
        let next = next.min(self.reactor.datagram_deadline());
        self.reactor.lists_mut().arm_own(next);
    }

    /// Serves datagram `sockets` too, which this worker was not given before.
    ///
    /// # Errors
    ///
    /// Memory that is missing, or a socket that cannot be registered. All of them are closed then.
    pub fn serve_datagrams(&mut self, sockets: Vec<DatagramSocket<K::Socket>>) -> io::Result<()>
    where
        K: Datagrams,
    {
        self.reactor.add_datagrams(sockets)
    }

    /// Begins to shut down; [`Server::is_done`] tells when it is over.
    pub fn drain(&mut self) {
        if self.drain.is_none() {
            self.drain = Some(Drain::begin(&mut self.reactor, &mut self.acceptor));
            self.arm_own();
        }
    }

    /// Whether the drain is over: no connection and no listener is left.
    pub fn is_done(&self) -> bool {
        self.drain.is_some()
            && self.reactor.serves_nothing()
            && self.acceptor.listeners() == 0
            && self.acceptor.is_finished()
    }

    /// Connections closed at the drain time-out that were owed replies or were still queued.
    pub fn cut(&self) -> u64 {
        let by_driver = self.reactor.driver().map_or(0, |driver| driver.cut());
        by_driver + self.drain.map_or(0, |drain| drain.cut())
    }

    /// Closes the listeners, and removes the paths of the local ones.
    pub(crate) fn close_listeners(&mut self) {
        self.acceptor.close_listeners(self.reactor.pump_mut());
        self.reactor.leave_datagrams();
    }

    /// Gives the listeners away with what is in their queues, each with whether it is inherited.
    pub(crate) fn release_listeners(&mut self) -> Vec<(K::Socket, bool)> {
        self.acceptor.release_listeners(self.reactor.pump_mut())
    }

    /// Gives up the connections that another worker has handed to this one, which has failed.
    pub(crate) fn abandon_handed(&mut self) -> VecDeque<K::Socket> {
        self.acceptor.abandon_handed()
    }

    /// Serves `connections` of a worker that has failed, as far as there are slots.
    pub(crate) fn adopt_handed(&mut self, connections: &mut VecDeque<K::Socket>) {
        self.acceptor.adopt_handed(&mut self.reactor, connections);
        self.note_release();
    }

    /// Accepts from all listeners as if they had been reported: another process may have been told
    /// of a connection and have ended since.
    pub fn look_at_listeners(&mut self) {
        for number in 0..self.acceptor.listeners() {
            self.acceptor.call(number as u32);
        }
        self.acceptor.accept_pending(&mut self.reactor, self.turns);
        self.reactor.look_at_datagrams();
        self.arm_own();
    }

    /// Replaces the service by another of the same kind, for open connections too.
    pub fn replace_service(&mut self, service: S) {
        if let Some(driver) = self.reactor.driver_mut() {
            driver.replace(&service);
        }
        self.reactor.pump_mut().protocol.service = service;
        self.next_tick = Time::default();
    }

    /// Whether answers may wait for effects. A constant for an echo, so without cost there.
    #[inline]
    pub(crate) fn has_effects(&self) -> bool {
        self.reactor.pump().protocol.service.effects().is_some()
    }

    /// The totals since the start, with those of connections that other threads or processes serve.
    pub fn sum(&self) -> Counters {
        self.reactor.sum()
    }

    /// The totals of this loop since the start.
    pub fn counters(&self) -> &Counters {
        &self.reactor.pump().counters
    }

    /// The time of the last turn.
    #[inline]
    pub fn now(&self) -> Time {
        self.reactor.pump().now
    }

    /// The kernel underneath.
    pub fn kernel_mut(&mut self) -> &mut K {
        &mut self.reactor.pump_mut().kernel
    }

    /// Workspaces on loan now.
    pub fn workspaces_acquired(&self) -> usize {
        self.reactor.workspaces().lent()
    }

    /// Number of workspaces, lent and free.
    pub fn workspaces(&self) -> usize {
        self.reactor.workspaces().count()
    }

    /// Counts the entries that the loop keeps for its connections.
    pub fn entries(&self) -> Entries {
        Entries::of(&self.reactor)
    }

    /// Calls `look` with the state of every connection.
    pub fn for_each_connection(&mut self, look: impl FnMut(Snapshot)) {
        Snapshot::of_each(&mut self.reactor, look);
    }

    /// Number of descriptors held by the server, without those of the kernel layer.
    pub fn descriptors(&self) -> usize {
        let others = self.commands.descriptors() + self.acceptor.descriptors();
        self.reactor.len() + self.reactor.datagram_sockets() + others
    }

    /// Whether new connections are accepted.
    pub fn is_open(&self) -> bool {
        self.acceptor.is_open() && self.acceptor.listeners() > 0
    }

    /// Whether every slot is taken.
    pub fn is_full(&self) -> bool {
        self.reactor.is_full()
    }

    /// Whether a connection has more to do, so that the loop must not sleep.
    pub fn has_more(&self) -> bool {
        self.reactor.lists().ready() > 0
    }
}

impl<K: Spawner + Opener, S: Service> Drop for Server<K, S> {
    /// No command outlives the server, however it ends.
    fn drop(&mut self) {
        if self.has_effects() {
            self.commands.end_all(&mut self.reactor);
        }
    }
}
