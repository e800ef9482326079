//! The connections of one epoll loop, and the parts of a turn that serve them.
//!
//! The fast path answers idle connections in place, in two halves: first the reactor reads all
//! ready connections and answers in one shared workspace, then it sends all the answers. In the
//! kernel, receiving and sending are different code and different data, each larger than the
//! level-1 cache. To do one of them for many connections in a row costs 2 to 3 % less than to do
//! both for each connection. A single answer is sent at once: to stage it would cost 60
//! instructions, half as many again as the whole request. What the fast path does not finish goes
//! onto a list and then takes the slow path.
//!
//! Invariants between two turns, for every connection: the registered interest follows from what it
//! waits for, or it is ready; a workspace lent to it holds bytes; its armed deadline is not later
//! than the true one. No answer is staged. While answers are staged, there is a free workspace for
//! each of them beside the shared one, so that bytes which the kernel does not take can be kept.
//!
//! Why `close` without `EPOLL_CTL_DEL` is sound: the kernel removes a registration with the last
//! descriptor of its open file. No descriptor here is duplicated, and all are close-on-exec. An
//! event that was fetched before the close finds a slot of another generation. See epoll(7),
//! "Questions and answers", 6 and 9.

mod lists;
mod slow_path;

use std::io;
use std::net::SocketAddr;

use crate::kernel::{Event, Interest, Poller, Readiness, Time, Token};
use crate::limits::{ANSWERS_PER_PHASE, ANSWERS_SIZE_PER_PHASE, EVENTS_PER_TURN};
use crate::protocol::connection::{Budget, Connection, Want};
use crate::protocol::service::{EffectEvent, Service};

use super::admission::per_address::PerIp;
use super::effects::children::PendingAnswer;
use super::link::Link;
use super::pool::{Lease, Workspaces};
use super::pump::{FastOutcome, Possible, Pump, ReadPolicy};
use super::settings::Settings;
use super::waiting::Waiting;
use crate::store::slots::Slots;
use slow_path::{Fate, Place};

pub(in crate::server) use lists::Lists;
pub(in crate::server) use slow_path::SlowPath;

/// All connections of a worker.
pub(in crate::server) struct Reactor<K: Poller, S: Service> {
    links: Slots<Token, Link<K, S>>,
    slow: SlowPath<K, S>,
    /// Connections per peer address.
    per_address: PerIp,
    events: Vec<Event>,
    /// How many events this turn has, how many were looked at, and how many of these, moved to the
    /// front, are left for the slow path.
    count: usize,
    seen: usize,
    left: usize,
    /// Connections that the fast path has left with bytes.
    unfinished: Vec<Unfinished>,
    staged: Vec<Staged>,
    /// The workspace that staged answers share.
    shared: Option<Lease>,
    /// Connections at rest may take the fast path: the service answers in place, and no drain is
    /// under way.
    fast_path_open: bool,
    /// A connection was released since this was last asked.
    has_released: bool,
    /// Full batches in a row after which the deadlines were not checked.
    full_batches: u32,
}

/// An answer, and where in the shared workspace it lies.
#[derive(Clone, Copy, Debug)]
struct Staged {
    token: Token,
    start: u32,
    end: u32,
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
            per_address: PerIp::new(settings.connections_per_ip_max, slots),
            events: vec![Event::default(); EVENTS_PER_TURN],
            count: 0,
            seen: 0,
            left: 0,
            unfinished: Vec::with_capacity(EVENTS_PER_TURN),
            staged: Vec::with_capacity(ANSWERS_PER_PHASE),
            shared: None,
            fast_path_open: service.in_place(&service.open()),
            has_released: false,
            full_batches: 0,
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

    pub(in crate::server) fn per_address(&self) -> &PerIp {
        &self.per_address
    }

    #[inline]
    pub(in crate::server) fn len(&self) -> usize {
        self.links.len()
    }

    #[inline]
    pub(in crate::server) fn is_full(&self) -> bool {
        self.links.is_full()
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
                match pump.kernel.wait(&mut self.events, Time::default())? {
                    0 => {}
                    count => return Ok(self.begin(count)),
                }
            }
        }
        pump.counters.epoll_wait += 1;
        let count = pump.kernel.wait(&mut self.events, until)?;
        Ok(self.begin(count))
    }

    #[inline]
    fn begin(&mut self, count: usize) -> usize {
        let pump = self.slow.pump_mut();
        pump.now = pump.kernel.now();
        pump.counters.events += count as u64;
        self.count = count;
        (self.seen, self.left) = (0, 0);
        count
    }

    /// Reads idle connections that have input and answers them in place, up to a bounded number of
    /// staged answers. All other events are left for the slow path. Returns whether answers are
    /// staged; more events may follow them.
    #[inline(always)]
    pub(in crate::server) fn receive(&mut self) -> bool {
        match self.count {
            _ if !self.fast_path_open => {
                self.left = self.count;
                false
            }
            1 => {
                self.answer_alone(self.events[0]);
                false
            }
            _ => self.receive_batch(),
        }
    }

    /// Answers one connection at once, and leaves any other event for the slow path.
    #[inline(always)]
    fn answer_alone(&mut self, event: Event) {
        let token = event.token();
        if let Some(link) = self
            .links
            .get_mut(token)
            .filter(|link| event.readiness() == Readiness::IN && link.is_idle())
        {
            if let Some((pump, space)) = self.slow.fast(None) {
                if link.connection.is_in_place(&pump.protocol) {
                    let outcome = match pump.receive_in_place(link, space) {
                        Ok(count) => match pump.send_in_place(link, &space[..count]) {
                            FastOutcome::Done => return,
                            outcome => outcome,
                        },
                        Err(outcome) => outcome,
                    };
                    return self.finish(token, outcome, 0);
                }
            }
        }
        self.events[self.left] = event;
        self.left += 1;
    }

    /// The same for the events of a batch that were not looked at yet.
    #[inline(never)]
    fn receive_batch(&mut self) -> bool {
        let (mut seen, mut end) = (self.seen, 0);
        while seen < self.count {
            let event = self.events[seen];
            let token = event.token();
            let free = self.slow.workspaces().free() + usize::from(self.shared.is_some());
            let count_max = ANSWERS_PER_PHASE.min(free.saturating_sub(1));
            let fast = match self.links.get_mut(token) {
                Some(link) if event.readiness() == Readiness::IN && link.is_idle() => Some(link),
                _ => None,
            };
            let (Some(link), Some((pump, space))) = (fast, self.slow.fast(self.shared.as_ref()))
            else {
                seen += 1;
                self.events[self.left] = event;
                self.left += 1;
                continue;
            };
            // Every read has at least half of the space.
            let end_max = ANSWERS_SIZE_PER_PHASE.min(space.len() / 2);
            if count_max == 0 || end_max == 0 || !link.connection.is_in_place(&pump.protocol) {
                seen += 1;
                self.answer_alone(event);
                continue;
            }
            if self.staged.len() >= count_max || end >= end_max {
                break;
            }
            seen += 1;
            match pump.receive_in_place(link, &mut space[end..]) {
                Ok(count) => {
                    link.waiting = Waiting::Staged;
                    self.staged.push(Staged {
                        token,
                        start: end as u32,
                        end: (end + count) as u32,
                    });
                    if end == 0 {
                        self.shared = self.slow.workspaces_mut().acquire();
                    }
                    end += count;
                }
                Err(outcome) => self.finish(token, outcome, end),
            }
        }
        self.seen = seen;
        !self.staged.is_empty()
    }

    /// Sends all staged answers. What the kernel does not take gets a workspace of its own.
    #[inline(never)]
    pub(in crate::server) fn send_staged(&mut self) {
        for place in 0..self.staged.len() {
            let Staged { token, start, end } = self.staged[place];
            let (start, end) = (start as usize, end as usize);
            let space = self.slow.fast(self.shared.as_ref());
            let (Some(link), Some((pump, space))) = (self.links.get_mut(token), space) else {
                unreachable!("a staged connection is not released, and its answer has a space");
            };
            link.waiting = Waiting::for_request(pump.now);
            let outcome = pump.send_in_place(link, &space[start..end]);
            if !matches!(outcome, FastOutcome::Done) {
                self.finish(token, outcome, start);
            }
        }
        self.staged.clear();
        if let Some(lease) = self.shared.take() {
            self.slow.workspaces_mut().release_workspace(lease);
        }
        if self.slow.lists().is_contended() {
            self.lend();
        }
    }

    /// Takes up what the fast path has not finished. Its bytes begin at `start`.
    #[cold]
    fn finish(&mut self, token: Token, outcome: FastOutcome, start: usize) {
        let place = Place {
            shared: self.shared.as_ref(),
            start,
        };
        let Some(link) = self.links.get_mut(token) else {
            return;
        };
        let fate = match outcome {
            FastOutcome::Done => return,
            FastOutcome::Left(at, may_read, stop) => {
                let budget = self.slow.keep_left(link, at, &place, stop);
                return self.unfinished.push(Unfinished {
                    token,
                    may_read,
                    budget,
                });
            }
            FastOutcome::Unsent(at) => self.slow.keep_unsent(token, link, at, &place),
            FastOutcome::Ended(want) => self.slow.settle(token, link, want),
        };
        self.conclude(token, fate);
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
                let fate = self.slow.run(token, link, possible, budget);
                self.conclude(token, fate);
            }
        }
        self.unfinished.clear();
    }

    /// Whether anything is left for the slow path.
    #[inline]
    pub(in crate::server) fn has_left(&self) -> bool {
        self.left > 0 || !self.unfinished.is_empty()
    }

    /// The events that are left for the slow path.
    #[inline]
    pub(in crate::server) fn left(&self) -> usize {
        self.left
    }

    /// One of them.
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
        // Every staged answer keeps a free workspace.
        while self.staged.is_empty() && self.slow.workspaces().free() > 0 {
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

    /// Ends connections whose deadline has passed, unless a full batch says that more events wait.
    /// After a stop (SIGSTOP) all deadlines have passed, and connections that sent bytes meanwhile
    /// are read first. After as many batches as all connections fill, this is done in any case.
    /// Returns whether it was done.
    pub(in crate::server) fn expire(&mut self) -> bool {
        let batches = (self.links.used() as usize / EVENTS_PER_TURN) as u32 + 1;
        if self.count == EVENTS_PER_TURN && self.full_batches < batches {
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
        let now = self.pump().now;
        let (trigger, defer_accept) = (self.settings().trigger, self.settings().defer_accept);
        let link = Link {
            socket,
            connection: Connection::new(&self.pump().protocol.service),
            lease: None,
            waiting: Waiting::for_request(now),
            registered: Interest::READ.under(trigger),
            read_to_end: false,
            drain_reads: 0,
            has_finished: false,
            has_effect: false,
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
        let counters = &mut self.pump_mut().counters;
        counters.connections_total += 1;
        counters.connections_now += 1;
        let outcome = match defer_accept && self.fast_path_open {
            true => self.answer_first(token),
            false => FastOutcome::Done,
        };
        let is_closed = matches!(outcome, FastOutcome::Ended(Want::Close));
        self.with(token, |slow, token, link| match is_closed {
            true => Fate::Closed,
            false => slow.register(token, link),
        });
        if !is_closed {
            self.finish(token, outcome, 0);
            self.run_unfinished();
        }
        self.with(token, |slow, token, link| {
            match link.connection.is_greeting() {
                true => slow.event(token, link, Readiness::NONE),
                false => Fate::Open,
            }
        });
        Some(token.index())
    }

    /// The fast path of a connection that is not registered yet.
    fn answer_first(&mut self, token: Token) -> FastOutcome {
        let (Some(link), Some((pump, space))) = (self.links.get_mut(token), self.slow.fast(None))
        else {
            return FastOutcome::Done;
        };
        if !link.connection.is_in_place(&pump.protocol) {
            return FastOutcome::Done;
        }
        match pump.receive_in_place(link, space) {
            Ok(count) => pump.send_in_place(link, &space[..count]),
            Err(outcome) => outcome,
        }
    }

    /// A drain begins, or goes on to its next stage: every connection is ready for the next turn,
    /// whether or not the kernel reports it.
    pub(in crate::server) fn begin_drain(&mut self, reading: ReadPolicy) {
        self.fast_path_open = false;
        self.pump_mut().reading = reading;
        for slot in 0..self.links.used() {
            self.visit(slot);
        }
    }

    /// Makes one connection ready for the next turn.
    pub(in crate::server) fn visit(&mut self, slot: u32) {
        self.with_link(slot, |slow, token, link| slow.visit(token, link));
    }

    /// Releases every connection after `act` has closed it.
    pub(in crate::server) fn end_all(
        &mut self,
        mut act: impl FnMut(&mut Pump<K, S>, &mut Link<K, S>),
    ) {
        for slot in 0..self.links.used() {
            self.with_slot(slot, |slow, _, link| {
                act(slow.pump_mut(), link);
                Fate::Closed
            });
        }
    }

    /// Calls `look` with every connection, and whether it is counted under its address.
    pub(in crate::server) fn for_each(
        &mut self,
        mut look: impl FnMut(&mut SlowPath<K, S>, Token, &mut Link<K, S>, bool),
    ) {
        for slot in 0..self.links.used() {
            let is_charged = self.per_address.counts(slot);
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
    pub(in crate::server) fn deliver(
        &mut self,
        token: Token,
        mut answer: PendingAnswer,
        news: EffectEvent<'_>,
    ) -> PendingAnswer {
        self.with(token, |slow, token, link| {
            slow.deliver(token, link, &mut answer, news)
        });
        answer
    }

    /// The token of the connection in `slot`.
    pub(in crate::server) fn key(&self, slot: u32) -> Option<Token> {
        self.links.key(slot)
    }
}
