//! The connections of one epoll loop, and the parts of a turn that serve them.
//!
//! The fast path answers idle connections in place, in two halves: first the reactor reads all
//! ready connections and answers in one shared workspace, then it sends all the answers. In the
//! kernel, receiving and sending are different code and different data, each larger than the
//! level-1 cache. To do one of them for many connections in a row costs 2 to 3 % less than to do
//! both for each connection. A single answer is sent at once: to stage it would cost 60
//! instructions, half as many again as the whole request. What the fast path does not finish goes
//! onto a list: after the sends it gets a workspace, and then takes the slow path.
//!
//! Invariants between two turns, for every connection: the registered interest follows from what it
//! waits for, or it is ready; a workspace lent to it holds bytes; its armed deadline is not later
//! than the true one. No answer is staged. Staged answers lie in the workspace that would be lent
//! next, and no workspace is lent while they do. Beside it there is a free workspace for each of
//! them, so that bytes which the kernel does not take can be kept.
//!
//! Why `close` without `EPOLL_CTL_DEL` is sound: the kernel removes a registration with the last
//! descriptor of its open file. No connection has a second descriptor, and all are close-on-exec.
//! (A listener that workers share has several; `acceptor` deregisters it before it closes it.) An
//! event that was fetched before the close finds a slot of another generation. See epoll(7),
//! "Questions and answers", 6 and 9.

mod at_once;
mod datagrams;
mod handover;
mod lists;
mod slow_path;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use crate::kernel::{Event, Interest, Poller, Readiness, Time, Token};
use crate::limits::{ANSWERS_PER_PHASE, ANSWERS_SIZE_PER_PHASE, EVENTS_PER_TURN};
use crate::protocol::connection::{Budget, CloseReason, Connection, Want};
use crate::protocol::service::{EffectEvent, Service};

use super::admission::per_address::PerIp;
use super::blocking::{Driver, Order};
use super::datagram::DatagramServer;
use super::effects::children::PendingAnswer;
use super::link::Link;
use super::observe::counters::Counters;
use super::observe::tap::{Tap, Told};
use super::pool::Workspaces;
use super::pump::{FastOutcome, Possible, Pump, ReadPolicy};
use super::settings::Settings;
use super::waiting::Waiting;
use crate::store::slots::Slots;
use at_once::AtOnce;
use slow_path::{Fate, Place};

pub(in crate::server) use lists::Lists;
pub(in crate::server) use slow_path::SlowPath;

/// All connections of a worker.
pub(in crate::server) struct Reactor<K: Poller, S: Service> {
    links: Slots<Token, Link<K, S>>,
    slow: SlowPath<K, S>,
    /// Connections per peer address.
    per_address: PerIp,
    events: Box<[Event; EVENTS_PER_TURN]>,
    /// Events of a batch that are left for the slow path.
    left: Vec<Event>,
    /// Answers that are sent next.
    staged: Vec<Staged>,
    /// The batch of calls that the kernel makes at once, if it can.
    at_once: AtOnce,
    /// Connections that left the fast path in this phase.
    exceptions: Vec<Exception>,
    /// Connections that the fast path has left with bytes.
    unfinished: Vec<Unfinished>,
    /// Connections at rest may take the fast path: the service answers in place or not at all,
    /// there is no wiretap and no rate, and no drain is under way.
    fast_path_open: bool,
    /// A connection was released since this was last asked.
    has_released: bool,
    /// Serves the connections in place of this loop.
    driver: Option<Box<dyn Driver<K::Socket, S>>>,
    /// Why the driver could not serve the last connection.
    refused: Option<io::Error>,
    /// Full batches in a row after which the deadlines were not checked.
    full_batches: u32,
    /// The datagram sockets of this loop.
    datagrams: Option<Box<DatagramServer<K, S>>>,
    /// The last command was started for a datagram.
    datagrams_first: bool,
}

/// An answer. The answers lie in the workspace one behind the other.
#[derive(Clone, Copy, Debug)]
struct Staged {
    token: Token,
    size: u32,
}

/// A connection that left the fast path, and where in the workspace its bytes begin.
struct Exception {
    token: Token,
    outcome: FastOutcome,
    start: usize,
}

/// A connection that continues in this turn with bytes that the fast path has read.
#[derive(Debug)]
struct Unfinished {
    token: Token,
    /// The kernel may have more bytes.
    may_read: bool,
    budget: Budget,
}

impl<K: Poller, S: Service> Reactor<K, S> {
    /// Memory of one connection in bytes, without a workspace.
    pub(in crate::server) fn slot_size(has_effects: bool) -> usize {
        Slots::<Token, Link<K, S>>::SLOT_SIZE + Lists::slot_size(has_effects)
    }

    pub(in crate::server) fn new(
        pump: Pump<K, S>,
        workspaces: Workspaces,
        settings: Settings,
    ) -> Reactor<K, S> {
        let slots = settings.connections_max;
        let service = &pump.protocol.service;
        Reactor {
            links: Slots::new(slots),
            per_address: PerIp::new(by_peer(&settings), slots),
            events: Box::new([Event::default(); EVENTS_PER_TURN]),
            left: Vec::with_capacity(EVENTS_PER_TURN),
            staged: Vec::with_capacity(ANSWERS_PER_PHASE),
            exceptions: Vec::with_capacity(ANSWERS_PER_PHASE.max(pump.kernel.batch_max())),
            at_once: AtOnce::new(&pump.kernel),
            unfinished: Vec::with_capacity(EVENTS_PER_TURN),
            fast_path_open: (service.in_place(&service.open()) || service.is_silent())
                && !pump.tap.as_ref().is_some_and(Tap::sees_bytes)
                && pump.pace.is_none(),
            has_released: false,
            driver: None,
            refused: None,
            full_batches: 0,
            datagrams: None,
            datagrams_first: false,
            slow: SlowPath::new(pump, workspaces, settings),
        }
    }

    #[inline]
    pub(in crate::server) fn pump(&self) -> &Pump<K, S> {
        self.slow.pump()
    }

    #[inline]
    pub(in crate::server) fn pump_mut(&mut self) -> &mut Pump<K, S> {
        self.slow.pump_mut()
    }

    #[inline]
    pub(in crate::server) fn settings(&self) -> &Settings {
        self.slow.settings()
    }

    #[inline]
    pub(in crate::server) fn lists(&self) -> &Lists {
        self.slow.lists()
    }

    #[inline]
    pub(in crate::server) fn lists_mut(&mut self) -> &mut Lists {
        self.slow.lists_mut()
    }

    pub(in crate::server) fn workspaces(&self) -> &Workspaces {
        self.slow.workspaces()
    }

    /// The connections by the address of their peer, which the acceptor knows.
    pub(in crate::server) fn per_address(&self) -> &PerIp {
        &self.per_address
    }

    /// The connections by the address under which they are counted.
    pub(in crate::server) fn charges(&self) -> &PerIp {
        match &self.pump().announced {
            Some(announced) => announced.counts(),
            None => &self.per_address,
        }
    }

    #[inline]
    pub(in crate::server) fn len(&self) -> usize {
        match &self.driver {
            Some(driver) => driver.len(),
            None => self.links.len(),
        }
    }

    #[inline]
    pub(in crate::server) fn is_full(&self) -> bool {
        match &self.driver {
            Some(driver) => driver.len() >= driver.capacity(),
            None => self.links.is_full(),
        }
    }

    /// Has the connections served by `driver` from now on.
    pub(in crate::server) fn hand_out(&mut self, driver: Box<dyn Driver<K::Socket, S>>) {
        let slots = driver.capacity();
        self.per_address = PerIp::new(by_peer(self.slow.settings()), slots);
        self.driver = Some(driver);
    }

    /// The driver that serves the connections in place of this loop.
    pub(in crate::server) fn driver(&self) -> Option<&dyn Driver<K::Socket, S>> {
        self.driver.as_deref()
    }

    /// The same, to be changed.
    pub(in crate::server) fn driver_mut(&mut self) -> Option<&mut dyn Driver<K::Socket, S>> {
        match &mut self.driver {
            Some(driver) => Some(driver.as_mut()),
            None => None,
        }
    }

    /// Whether process `id` is one of the driver.
    #[cold]
    pub(in crate::server) fn has_process(&self, id: u32) -> bool {
        (self.driver.as_ref()).is_some_and(|driver| driver.has_process(id))
    }

    /// Why the last connection could not be served by the driver, once.
    pub(in crate::server) fn take_refused(&mut self) -> Option<io::Error> {
        self.refused.take()
    }

    /// Frees the slots of connections that have ended with the driver.
    #[cold]
    pub(in crate::server) fn collect(&mut self) {
        let (per_address, has_released) = (&mut self.per_address, &mut self.has_released);
        if let Some(driver) = &mut self.driver {
            driver.collect(&mut |slot| {
                per_address.leave(slot);
                *has_released = true;
            });
        }
    }

    /// The counters of this loop and of all that the driver serves.
    #[cold]
    pub(in crate::server) fn sum(&self) -> Counters {
        let mut sum = self.pump().counters.clone();
        if let Some(driver) = &self.driver {
            driver.add_counters(&mut sum);
        }
        sum
    }

    /// Passes a connection to the driver.
    #[cold]
    fn pass(&mut self, socket: K::Socket, address: Option<SocketAddr>) -> Option<u32> {
        match self.driver.as_mut()?.serve(socket) {
            Ok(slot) => {
                if let Some(address) = address {
                    self.per_address.enter(slot, address);
                }
                Some(slot)
            }
            Err(error) => {
                self.refused = Some(error);
                None
            }
        }
    }

    /// Whether a connection was released since the last call.
    #[inline]
    pub(in crate::server) fn take_released(&mut self) -> bool {
        // Most turns release none, and then nothing is written.
        self.has_released && std::mem::take(&mut self.has_released)
    }

    /// When the connections have to be served without an event.
    #[inline]
    pub(in crate::server) fn deadline(&self) -> Time {
        let lists = self.slow.lists();
        match lists.ready() {
            0 => lists.next_deadline(),
            _ => self.pump().now,
        }
    }

    /// Fetches a batch of events. Polls for the time of `--spin` first, then sleeps until `until`.
    /// Then reads the clock, once a turn.
    #[inline]
    pub(in crate::server) fn wait(&mut self, until: Time) -> io::Result<usize> {
        let spin = self.slow.settings().spin;
        let pump = self.slow.pump_mut();
        if let Some(span) = spin {
            let spin_until = pump.now.after(span).min(until);
            while pump.kernel.now() < spin_until {
                pump.counters.epoll_wait += 1;
                match pump.kernel.wait(&mut self.events[..], Time::default())? {
                    0 => {}
                    count => return Ok(self.begin(count)),
                }
            }
        }
        pump.counters.epoll_wait += 1;
        let count = pump.kernel.wait(&mut self.events[..], until)?;
        Ok(self.begin(count))
    }

    #[inline]
    fn begin(&mut self, count: usize) -> usize {
        let pump = self.slow.pump_mut();
        pump.now = pump.kernel.now();
        pump.counters.events += count as u64;
        count
    }

    /// Reads idle connections that have input and answers them in place, up to a bounded number of
    /// staged answers. Takes their events from the front of `events`; what stays there or is left
    /// behind takes the slow path. Returns whether anything is staged.
    #[inline(always)]
    pub(in crate::server) fn receive(&mut self, events: &mut Range<usize>) -> bool {
        if !self.fast_path_open {
            return false;
        }
        if events.end == 1 {
            events.start = usize::from(self.answer_alone(self.events[0]));
            return false;
        }
        events.start = self.receive_batch(events.start, events.end);
        !self.staged.is_empty() || !self.exceptions.is_empty() || self.at_once.has_staged()
    }

    /// Answers one connection at once. Returns `false` if its event takes the slow path.
    #[inline(always)]
    fn answer_alone(&mut self, event: Event) -> bool {
        let token = event.token();
        let Some((pump, space)) = self.slow.fast() else {
            return false;
        };
        let link = match self.links.get_mut(token) {
            Some(link) if is_fast(event, link, pump) => link,
            _ => return false,
        };
        let mut outcome = FastOutcome::Done;
        if let Some(count) = pump.receive_in_place(link, space, &mut outcome) {
            outcome = match pump.send_in_place(link, &space[..count]) {
                FastOutcome::Done => return true,
                outcome => outcome,
            };
        } else if matches!(outcome, FastOutcome::Done) {
            // A silent service has taken everything.
            return true;
        }
        self.finish_alone(token, outcome);
        true
    }

    /// The same for the events of a batch, when there are too few workspaces to stage answers.
    #[cold]
    fn answer_each_alone(&mut self, start: usize, end: usize) -> usize {
        for place in start..end {
            let event = self.events[place];
            if !self.answer_alone(event) {
                self.left.push(event);
            }
        }
        end
    }

    /// Reads and answers the connections of the events from `start` to `end`, until there is enough
    /// to send. Returns the place of the next event.
    #[inline(never)]
    fn receive_batch(&mut self, start: usize, end: usize) -> usize {
        if self.at_once.is_on() {
            if let Some(next) = self.receive_at_once(start, end) {
                return next;
            }
        }
        // Worked out once: for each event this would cost 30 instructions.
        let free = self.slow.workspaces().free();
        let mut count_max = ANSWERS_PER_PHASE.min(free.saturating_sub(1));
        let (pump, mut space) = match self.slow.fast() {
            Some((pump, space)) if count_max > 0 && space.len() > 1 => (pump, space),
            _ => return self.answer_each_alone(start, end),
        };
        // Every read has at least half of the space.
        let rest_min = space.len() - ANSWERS_SIZE_PER_PHASE.min(space.len() / 2);
        let mut outcome = FastOutcome::Done;
        let mut events = self.events[start..end].iter();
        while let Some(&event) = events.next() {
            let token = event.token();
            let link = match self.links.get_mut(token) {
                Some(link) if is_fast(event, link, pump) => link,
                _ => {
                    self.left.push(event);
                    continue;
                }
            };
            if self.staged.len() == count_max || space.len() <= rest_min {
                return end - events.len() - 1;
            }
            link.is_staged = true;
            match pump.receive_in_place(link, space, &mut outcome) {
                Some(count) => {
                    self.staged.push(Staged {
                        token,
                        size: count as u32,
                    });
                    space = &mut space[count..];
                }
                None if matches!(outcome, FastOutcome::Done) => link.is_staged = false,
                None => {
                    let outcome = std::mem::replace(&mut outcome, FastOutcome::Done);
                    // Its bytes move to the back, so that the answers stay one behind the other.
                    let count = outcome.size();
                    let rest = space.len() - count;
                    space.copy_within(..count, rest);
                    space = &mut space[..rest];
                    let before: usize = self.staged.iter().map(|it| it.size as usize).sum();
                    self.exceptions.push(Exception {
                        token,
                        outcome,
                        start: before + rest,
                    });
                    count_max -= 1;
                }
            }
        }
        end
    }

    /// Sends all staged answers. What the kernel does not take gets a workspace of its own.
    #[inline(never)]
    pub(in crate::server) fn send_staged(&mut self) {
        if self.at_once.has_staged() {
            self.send_at_once();
        }
        let Some((pump, space)) = self.slow.fast() else {
            unreachable!("the workspace of staged answers is free");
        };
        let mut answers = &*space;
        for &Staged { token, size } in &self.staged {
            let Some(link) = self.links.get_mut(token) else {
                unreachable!("no connection is released while answers are staged");
            };
            link.is_staged = false;
            let (answer, behind) = answers.split_at(size as usize);
            match pump.send_in_place(link, answer) {
                FastOutcome::Done => {}
                outcome => self.exceptions.push(Exception {
                    token,
                    outcome,
                    start: space.len() - answers.len(),
                }),
            }
            answers = behind;
        }
        self.staged.clear();
        if !self.exceptions.is_empty() {
            self.finish_batch();
        }
    }

    /// Takes up what the fast path has not finished of a batch. All bytes lie in one workspace,
    /// which is lent until each connection has its own.
    #[cold]
    fn finish_batch(&mut self) {
        let shared = self.slow.workspaces_mut().acquire();
        let mut exceptions = std::mem::take(&mut self.exceptions);
        for exception in exceptions.drain(..) {
            let place = Place {
                shared: shared.as_ref(),
                start: exception.start,
            };
            self.finish(exception.token, exception.outcome, &place);
        }
        self.exceptions = exceptions;
        if let Some(lease) = shared {
            self.slow.workspaces_mut().release_workspace(lease);
        }
        self.lend();
    }

    /// The same for one connection. Its bytes are at the front of the workspace.
    #[cold]
    fn finish_alone(&mut self, token: Token, outcome: FastOutcome) {
        let place = Place {
            shared: None,
            start: 0,
        };
        self.finish(token, outcome, &place);
        self.lend();
    }

    /// Takes up what the fast path has not finished of one connection.
    fn finish(&mut self, token: Token, outcome: FastOutcome, place: &Place<'_>) {
        let Some(link) = self.links.get_mut(token) else {
            return;
        };
        link.is_staged = false;
        let fate = match outcome {
            FastOutcome::Done => return,
            FastOutcome::Left(at, may_read, stop) => {
                let budget = self.slow.keep_left(link, at, place, stop);
                return self.unfinished.push(Unfinished {
                    token,
                    may_read,
                    budget,
                });
            }
            FastOutcome::Unsent(at) => self.slow.keep_unsent(token, link, at, place),
            FastOutcome::Ended => {
                let want = link.connection.wants(false);
                self.slow.settle(token, link, want)
            }
        };
        if fate == Fate::Closed {
            self.release(token);
        }
    }

    /// Continues the connections that the fast path has left with bytes.
    #[inline]
    pub(in crate::server) fn run_unfinished(&mut self) {
        for place in 0..self.unfinished.len() {
            let Unfinished {
                token,
                may_read,
                budget,
            } = &mut self.unfinished[place];
            let token = *token;
            let possible = Possible {
                read: *may_read,
                write: true,
            };
            if let Some(link) = self.links.get_mut(token) {
                link.is_staged = false;
                let fate = self.slow.run(token, link, possible, budget);
                self.conclude(token, fate);
            }
        }
        self.unfinished.clear();
    }

    /// Whether anything but the events that were not taken is left for the slow path.
    #[inline]
    pub(in crate::server) fn has_left(&self) -> bool {
        // `|` instead of `||` saves a jump per turn.
        self.left.len() | self.unfinished.len() != 0
    }

    /// The number of events of a batch that are left for the slow path.
    pub(in crate::server) fn left(&self) -> usize {
        self.left.len()
    }

    /// One of them.
    pub(in crate::server) fn event_left(&self, place: usize) -> Event {
        self.left[place]
    }

    /// All of them are handled.
    pub(in crate::server) fn clear_left(&mut self) {
        self.left.clear();
    }

    /// One event of this turn.
    #[inline]
    pub(in crate::server) fn event(&self, place: usize) -> Event {
        self.events[place]
    }

    /// Handles one event of a connection on the slow path.
    #[inline]
    pub(in crate::server) fn run_slow(&mut self, event: Event) {
        let token = event.token();
        let Some(link) = self.links.get_mut(token) else {
            self.pump_mut().counters.stale_events += 1;
            return;
        };
        let fate = self.slow.event(token, link, event.readiness());
        self.conclude(token, fate);
    }

    /// Continues the first `count` ready connections, but not more than one batch has events: in a
    /// drain all connections are ready, and signals must be handled in between.
    pub(in crate::server) fn run_ready(&mut self, count: usize) {
        for _ in 0..count.min(EVENTS_PER_TURN) {
            let Some(slot) = self.slow.lists_mut().next_ready() else {
                return;
            };
            self.with_slot(slot, SlowPath::turn);
        }
    }

    /// Calls `act` with the connection in `slot`, and releases the connection if it has closed.
    fn with_slot(
        &mut self,
        slot: u32,
        act: impl FnOnce(&mut SlowPath<K, S>, Token, &mut Link<K, S>) -> Fate,
    ) {
        let Some(token) = self.links.key(slot) else {
            return;
        };
        self.with(token, act);
    }

    /// The same for the connection of `token`.
    pub(in crate::server) fn with(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut SlowPath<K, S>, Token, &mut Link<K, S>) -> Fate,
    ) {
        let Some(link) = self.links.get_mut(token) else {
            return;
        };
        let fate = act(&mut self.slow, token, link);
        self.conclude(token, fate);
    }

    /// Releases a connection that has closed, and lends free workspaces.
    #[inline]
    fn conclude(&mut self, token: Token, fate: Fate) {
        if fate == Fate::Closed {
            self.release(token);
        }
        if self.slow.lists().is_contended() {
            self.lend();
        }
    }

    /// Lends free workspaces to the connections that have waited longest.
    #[cold]
    fn lend(&mut self) {
        while self.slow.workspaces().free() > 0 {
            let Some(slot) = self.slow.lists_mut().next_starved() else {
                return;
            };
            self.with_link(slot, |slow, token, link| slow.lend(token, link));
        }
    }

    fn with_link(
        &mut self,
        slot: u32,
        act: impl FnOnce(&mut SlowPath<K, S>, Token, &mut Link<K, S>),
    ) {
        let token = self.links.key(slot);
        let link = token.and_then(|token| Some((token, self.links.get_mut(token)?)));
        if let Some((token, link)) = link {
            act(&mut self.slow, token, link);
        }
    }

    /// The only place where a connection ends.
    #[cold]
    fn release(&mut self, token: Token) {
        if let Some(link) = self.links.remove(token) {
            self.per_address.leave(token.index());
            self.has_released = true;
            self.slow.release(token, link);
        }
    }

    /// Ends connections whose deadline has passed, unless a full batch of `events` says that more
    /// events wait. After a stop (SIGSTOP) all deadlines have passed, and connections that sent
    /// bytes meanwhile are read first. After as many batches as all connections fill, this is done
    /// in any case. Returns whether it was done.
    pub(in crate::server) fn expire(&mut self, events: usize) -> bool {
        let batches = (self.links.used() as usize / EVENTS_PER_TURN) as u32 + 1;
        if events == EVENTS_PER_TURN && self.full_batches < batches {
            self.full_batches += 1;
            return false;
        }
        self.full_batches = 0;
        let now = self.pump().now;
        while let Some(slot) = self.slow.lists_mut().pop_due(now) {
            self.with_slot(slot, SlowPath::expire);
        }
        true
    }

    /// Gives a connection a slot and registers it with epoll, or closes it if that fails. With
    /// `--defer-accept` the first data has arrived already and is answered first, which saves a
    /// wait.
    pub(in crate::server) fn insert(
        &mut self,
        socket: K::Socket,
        address: Option<SocketAddr>,
    ) -> Option<u32> {
        if self.driver.is_some() {
            return self.pass(socket, address);
        }
        let now = self.pump().now;
        let defer_accept = self.settings().defer_accept;
        let mut connection = Connection::new(&self.pump().protocol.service);
        if self.pump().auth.is_some() {
            connection.expect_challenge();
        }
        let expect_header = |pump: &mut Pump<K, S>, link: &mut Link<K, S>, slot| {
            if pump.announced.is_some() {
                pump.expect_header(slot, link);
            }
        };
        let waiting = Waiting::for_request(now);
        let token = self.enter(socket, address, connection, waiting, expect_header)?;
        let outcome = match defer_accept && self.fast_path_open {
            true => self.answer_first(token),
            false => FastOutcome::Done,
        };
        self.with(token, |slow, token, link| {
            // It has ended, or its address has too many. One that has to greet wants no event.
            let connection = &link.connection;
            match !connection.is_greeting() && connection.wants(false) == Want::Close {
                true => Fate::Closed,
                false => slow.register(token, link),
            }
        });
        self.finish_alone(token, outcome);
        self.run_unfinished();
        self.with(token, |slow, token, link| {
            match link.connection.is_greeting() {
                true => slow.event(token, link, Readiness::NONE),
                false => Fate::Open,
            }
        });
        Some(token.index())
    }

    /// Gives a connection a slot, and closes it if there is none. `begin` gets it before anything
    /// else sees it.
    fn enter(
        &mut self,
        socket: K::Socket,
        address: Option<SocketAddr>,
        connection: Connection<S>,
        waiting: Waiting,
        begin: impl FnOnce(&mut Pump<K, S>, &mut Link<K, S>, u32),
    ) -> Option<Token> {
        let link = Link {
            socket,
            connection,
            lease: None,
            waiting,
            registered: Interest::READ.under(self.settings().trigger),
            read_to_end: false,
            is_staged: false,
            drain_reads: 0,
            has_finished: false,
            has_effect: false,
            number: 0,
            told: Told::default(),
        };
        let token = match self.links.insert(link) {
            Ok(token) => token,
            Err(link) => {
                self.pump_mut().kernel.close(link.socket);
                return None;
            }
        };
        if let Some(address) = address {
            self.per_address.enter(token.index(), address);
        }
        self.look_at(token, |pump, link| {
            begin(pump, link, token.index());
            if pump.tap.is_some() {
                pump.tell_new(token, link);
            }
            if let Some(pace) = &mut pump.pace {
                pace.open(token.index(), pump.now);
            }
            pump.counters.connections_total += 1;
            pump.counters.connections_now += 1;
        });
        Some(token)
    }

    /// The fast path of a connection that is not registered yet.
    fn answer_first(&mut self, token: Token) -> FastOutcome {
        let (Some(link), Some((pump, space))) = (self.links.get_mut(token), self.slow.fast())
        else {
            return FastOutcome::Done;
        };
        if !link.connection.is_open() || !link.connection.is_in_place(&pump.protocol) {
            return FastOutcome::Done;
        }
        let mut outcome = FastOutcome::Done;
        match pump.receive_in_place(link, space, &mut outcome) {
            Some(count) => pump.send_in_place(link, &space[..count]),
            None => outcome,
        }
    }

    /// A drain begins, or goes on to its next stage: every connection is ready for the next turn,
    /// whether or not the kernel reports it.
    pub(in crate::server) fn begin_drain(&mut self, reading: ReadPolicy) {
        self.fast_path_open = false;
        self.pump_mut().reading = reading;
        if let Some(pace) = &mut self.pump_mut().pace {
            pace.lift();
        }
        if let Some(driver) = &mut self.driver {
            driver.order(match reading {
                ReadPolicy::LastRequest => Order::Finish,
                _ => Order::Drain,
            });
        }
        for slot in 0..self.links.used() {
            self.visit(slot);
        }
        self.drain_datagrams(reading);
    }

    /// Makes one connection ready for the next turn.
    pub(in crate::server) fn visit(&mut self, slot: u32) {
        self.with_link(slot, |slow, token, link| slow.visit(token, link));
    }

    /// Ends every connection at the drain time-out. Returns how many of them were owed replies or
    /// had not been read.
    pub(in crate::server) fn cut_all(&mut self) -> u64 {
        let mut cut = 0;
        for slot in 0..self.links.used() {
            self.with_slot(slot, |slow, _, link| {
                // A lingering connection has all its replies, unless the kernel still holds some.
                let is_owed = match link.connection.is_lingering() {
                    true => link.unacknowledged_replies(&mut slow.pump_mut().kernel) > 0,
                    false => true,
                };
                cut += u64::from(is_owed);
                link.connection.close(CloseReason::Cut);
                Fate::Closed
            });
        }
        if let Some(driver) = &mut self.driver {
            driver.order(Order::Cut);
            self.has_released = true;
        }
        cut
    }

    /// Calls `look` with every connection, and whether it is counted under its address.
    pub(in crate::server) fn for_each(
        &mut self,
        mut look: impl FnMut(&mut SlowPath<K, S>, Token, &mut Link<K, S>, bool),
    ) {
        for slot in 0..self.links.used() {
            let is_charged = self.charges().counts(slot);
            self.with_link(slot, |slow, token, link| {
                look(slow, token, link, is_charged)
            });
        }
    }

    /// Calls `act` with the connection of `token`, if it is still there.
    pub(in crate::server) fn look_at(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Pump<K, S>, &mut Link<K, S>),
    ) {
        if let Some(link) = self.links.get_mut(token) {
            act(self.slow.pump_mut(), link);
        }
    }

    /// Delivers an effect event to a connection, which then continues as far as it can.
    fn deliver_to_connection(
        &mut self,
        token: Token,
        mut answer: PendingAnswer,
        event: EffectEvent<'_>,
    ) -> PendingAnswer {
        self.with(token, |slow, token, link| {
            slow.deliver(token, link, &mut answer, event)
        });
        answer
    }

    /// The token of the connection in `slot`.
    pub(in crate::server) fn key(&self, slot: u32) -> Option<Token> {
        self.links.key(slot)
    }
}

/// The limit for the connections of one peer. Behind a load balancer it holds for the addresses
/// that are announced, see `admission::announced`.
fn by_peer(settings: &Settings) -> Option<u32> {
    settings
        .connections_per_ip_max
        .filter(|_| settings.proxy.is_none())
}

/// Whether an event takes the fast path: its connection is at rest and has nothing but input, which
/// the service answers in place or not at all.
#[inline(always)]
fn is_fast<K: Poller, S: Service>(event: Event, link: &Link<K, S>, pump: &Pump<K, S>) -> bool {
    event.readiness() == Readiness::IN
        && link.is_idle()
        && link.connection.is_in_place(&pump.protocol)
}
