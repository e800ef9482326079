//! The event loop. One [`Server::turn`] waits for events once, handles them, continues connections
//! that have more to do, and ends connections whose deadline has passed.
//!
//! Invariants between two turns, for every connection: the registered interest is what the
//! connection wants, or the connection is in a queue; a workspace lent to it holds bytes; its armed
//! deadline is not later than the true one.
//!
//! Why `close` without `EPOLL_CTL_DEL` is sound: the kernel removes a registration with the last
//! descriptor of its open file. No descriptor here is duplicated, and all are close-on-exec. An
//! event that was fetched before the close finds a slot of another generation. See epoll(7),
//! "Questions and answers", 6 and 9.

pub(in crate::server) mod accept;
pub(in crate::server) mod batch;
pub(in crate::server) mod drain;
pub(in crate::server) mod expire;
pub(in crate::server) mod lease;
pub(in crate::server) mod resources;
pub(in crate::server) mod slow_path;

use std::io;
use std::time::Duration;

use crate::kernel::{Event, Opener, Readiness, Source, Spawner, Time, Token, Trigger};
use crate::limits::{ANSWERS_PER_PHASE, EVENTS_PER_TURN};
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;

use super::admission::acceptor::Acceptor;
use super::admission::per_address::PerIp;
use super::effects::children::Children;
use super::link::Link;
use super::observe::counters::Counters;
use super::observe::log_limiter::CloseLog;
use super::pool::Workspaces;
use super::pump::Pump;
use super::pump::ReadPolicy;
use super::settings::Settings;
use super::waiting::Timeouts;
use crate::store::queue::Queue;
use crate::store::slots::Slots;
use crate::store::timers::Timers;
use batch::Answer;
use drain::Drain;
use resources::Resources;

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
    pub(super) pump: Pump<K, S>,
    pub(super) settings: Settings,
    pub(super) timeouts: Timeouts,
    pub(super) acceptor: Acceptor<K::Socket>,
    pub(super) links: Slots<Token, Link<K, S>>,
    pub(super) drain: Option<Drain>,
    /// Connections that continue without an event: their budget was spent, or they were just lent a
    /// workspace.
    pub(super) ready: Queue,
    pub(super) turns: u64,
    /// Full batches in a row after which the deadlines were not checked.
    pub(super) full_batches: u32,
    /// When the service gets the time again.
    next_tick: Time,
    /// Connections at rest may take the fast path: the service answers in place, and no drain is
    /// under way.
    pub(super) fast_path_open: bool,
    /// Connections that wait for a workspace.
    pub(super) waiting: Queue,
    pub(super) timers: Timers,
    pub(super) workspaces: Workspaces,
    /// Commands that connections wait for; none, unless the service awaits any.
    pub(super) children: Children<K>,
    /// Answers of the current batch, sent in its second phase. Empty between two batches.
    pub(super) answers: Vec<Answer>,
    pub(super) events: Vec<Event>,
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Allocates all memory of the server, and registers `listeners`.
    pub fn new(
        mut kernel: K,
        listeners: Vec<K::Socket>,
        protocol: Protocol<S>,
        settings: Settings,
    ) -> io::Result<Server<K, S>> {
        let taken = Resources::take(&mut kernel, &listeners, &protocol, &settings);
        let Resources {
            children,
            reserve,
            workspaces,
        } = match taken {
            Ok(resources) => resources,
            Err(error) => {
                let close = |listener| kernel.close_listener(listener);
                listeners.into_iter().for_each(close);
                return Err(error);
            }
        };
        let counters = Counters {
            epoll_ctl: listeners.len() as u64,
            ..Counters::default()
        };
        let slots = settings.connections_max;
        let per_address = PerIp::new(settings.connections_per_ip_max, slots);
        Ok(Server {
            turns: 0,
            full_batches: 0,
            next_tick: Time::default(),
            acceptor: Acceptor::new(listeners, reserve, per_address),
            links: Slots::new(slots),
            drain: None,
            ready: Queue::new(slots),
            fast_path_open: protocol.service.in_place(&protocol.service.open()),
            waiting: Queue::new(slots),
            timers: Timers::new(slots),
            workspaces,
            children,
            answers: Vec::with_capacity(ANSWERS_PER_PHASE),
            events: vec![Event::default(); EVENTS_PER_TURN],
            pump: Pump {
                close_log: CloseLog::default(),
                now: kernel.now(),
                kernel,
                protocol,
                counters,
                reading: match settings.trigger {
                    Trigger::Level => ReadPolicy::Once,
                    Trigger::Edge => ReadPolicy::WhileFull,
                },
            },
            timeouts: Timeouts::of(&settings),
            settings,
        })
    }

    /// Memory of one connection in bytes, without a workspace: more if there is a limit per
    /// address, or if requests wait for effects of `service`.
    pub fn slot_size(service: &S, per_ip: bool) -> usize {
        let counted = if per_ip { PerIp::SLOT_SIZE } else { 0 };
        let queues = match service.effects() {
            Some(_) => 3,
            None => 2,
        };
        Slots::<Token, Link<K, S>>::SLOT_SIZE
            + Timers::SLOT_SIZE
            + queues * Queue::SLOT_SIZE
            + counted
    }

    /// Runs turns until the caller has something to handle, the drain is over, or `until`.
    pub fn run(&mut self, until: Time) -> io::Result<Wakeups> {
        loop {
            let wakeups = self.turn(until)?;
            if wakeups != Wakeups::default() || self.pump.now >= until || self.is_done() {
                return Ok(wakeups);
            }
        }
    }

    /// Waits for events, `until` at the latest, and handles them.
    #[inline]
    pub fn turn(&mut self, until: Time) -> io::Result<Wakeups> {
        let had_more_to_do = self.ready.len();
        let deadline = self.deadline();
        let count = self.wait(deadline.min(until))?;
        self.turns += 1;
        self.pump.now = self.pump.kernel.now();
        if self.pump.now >= self.next_tick && self.pump.protocol.service.clock().is_some() {
            self.tick();
        }
        self.pump.counters.events += count as u64;
        let mut wakeups = Wakeups::default();
        let mut place = 0;
        while place < count {
            // Two phases save nothing for one event.
            let next = match count {
                1 => place,
                _ => self.run_batch(place..count),
            };
            if next > place {
                place = next;
                continue;
            }
            let event = self.events[place];
            match event.token() {
                token if token.generation() == 0 => self.dispatch(token, &mut wakeups),
                token => self.handle_event(token, event.readiness()),
            }
            place += 1;
        }
        if had_more_to_do > 0 {
            self.resume(had_more_to_do);
        }
        if self.pump.now >= deadline {
            self.expire_unless_busy(count);
        }
        if self.has_effects() {
            self.reap_orphans();
            self.start_command();
        }
        Ok(wakeups)
    }

    /// Fetches a batch of events. Polls for the time of `--spin` first, then sleeps until `until`.
    #[inline]
    fn wait(&mut self, until: Time) -> io::Result<usize> {
        if let Some(span) = self.settings.spin {
            let spin_until = self.pump.now.after(span).min(until);
            while self.pump.kernel.now() < spin_until {
                self.pump.counters.epoll_wait += 1;
                match self.pump.kernel.wait(&mut self.events, Time::default())? {
                    0 => {}
                    count => return Ok(count),
                }
            }
        }
        self.pump.counters.epoll_wait += 1;
        self.pump.kernel.wait(&mut self.events, until)
    }

    /// Replaces the service by another of the same kind, for open connections too.
    pub fn replace_service(&mut self, service: S) {
        self.pump.protocol.service = service;
        self.next_tick = Time::default();
    }

    /// Whether answers may wait for effects. A constant for an echo, so without cost there.
    #[inline]
    pub(crate) fn has_effects(&self) -> bool {
        self.pump.protocol.service.effects().is_some()
    }

    /// The totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.pump.counters
    }

    /// The time of the last turn.
    pub fn now(&self) -> Time {
        self.pump.now
    }

    /// The kernel underneath.
    pub fn kernel_mut(&mut self) -> &mut K {
        &mut self.pump.kernel
    }

    /// Workspaces on loan now.
    pub fn workspaces_acquired(&self) -> usize {
        self.workspaces.lent()
    }

    /// When the loop has to act without an event.
    #[inline]
    fn deadline(&self) -> Time {
        if !self.ready.is_empty() {
            return self.pump.now;
        }
        let next = self.timers.next().min(self.acceptor.deadline());
        let next = next.min(self.drain_deadline());
        match self.has_effects() {
            true => next.min(self.children.next_deadline(self.pump.now)),
            false => next,
        }
    }

    /// Passes the time of day to the service, and computes when the next second begins.
    #[cold]
    fn tick(&mut self) {
        let since_1970 = self.pump.kernel.time_of_day();
        if let Some(clock) = self.pump.protocol.service.clock() {
            clock.tick(since_1970.as_secs());
        }
        let gone = Duration::from_nanos(u64::from(since_1970.subsec_nanos()));
        self.next_tick = self.pump.now.after(Duration::from_secs(1) - gone);
    }

    /// Handles an event of a descriptor that is not a connection.
    fn dispatch(&mut self, token: Token, wakeups: &mut Wakeups) {
        match token.source() {
            Source::Signals => wakeups.signals = true,
            Source::WakeUp => wakeups.wake_up = true,
            Source::Listener(number) => self.accept(number),
            Source::ChildEnded => self.hear_of_children(),
            Source::Child {
                place,
                generation,
                end,
            } => self.child_event(place, generation, end),
            Source::Timer | Source::Stream(_) | Source::Connection => {}
        }
    }

    /// Continues the first `count` ready connections, but not more than one batch has events: in a
    /// drain all connections are ready, and signals must be handled in between.
    fn resume(&mut self, count: usize) {
        for _ in 0..count.min(EVENTS_PER_TURN) {
            let Some(slot) = self.ready.pop() else { return };
            if let Some(token) = self.links.key(slot) {
                self.run_slow(token, Readiness::IN | Readiness::OUT);
            }
        }
    }

    /// The only place where a connection ends.
    pub(super) fn release(&mut self, token: Token) {
        let Some(peer) = self.links.remove(token) else {
            return;
        };
        let slot = token.index();
        self.timers.disarm(slot);
        self.ready.remove(slot);
        self.waiting.remove(slot);
        self.acceptor.leave(slot);
        if self.has_effects() {
            self.abandon_effect(token);
        }
        self.pump.counters.connections_now -= 1;
        self.pump.counters.close += 1;
        let cause = peer.connection.cause();
        self.pump.counters.closed[cause.reason as usize] += 1;
        log::debug!("connection {token:?} closed: {}", cause.reason.name());
        if let Some(error) = &cause.error {
            self.pump.counters.refused(error);
        }
        let now = self.pump.now;
        self.pump.close_log.log_close(&cause, now);
        self.pump.kernel.close(peer.socket);
        if let Some(lease) = peer.lease {
            self.workspaces.release_workspace(lease);
            self.serve_workspace_queue();
        }
        if !self.links.is_full() {
            self.acceptor.resume(&mut self.pump);
        }
    }
}
