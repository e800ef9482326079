//! One connection and the thread that waits for it: a turn of a loop that has nothing else.
//!
//! ```text
//!   wait      sleep until the socket is ready, a deadline, or an order
//!   follow    what the server has ordered meanwhile
//!   act       the events, the deadlines, the command that a request waits for
//! ```
//!
//! A conversation has room for one connection at a time, and keeps its memory for the next one. It
//! uses the slow path of `reactor` in a table of one slot, so a connection is served as in the
//! epoll loop. Invariant: orders are followed before events, so what arrives after an order is
//! handled by it. Neighbours: `ledger`, the drivers.

use std::io;

use crate::kernel::{Source, Spawner, Time};
use crate::protocol::connection::Protocol;
use crate::protocol::service::Service;
use crate::server::effects::commands::Commands;
use crate::server::observe::counters::Counters;
use crate::server::observe::log_limiter::CloseLog;
use crate::server::pool::Workspaces;
use crate::server::pump::{Pump, ReadPolicy};
use crate::server::reactor::Reactor;
use crate::server::settings::Settings;

use super::Order;

/// The one connection of a thread.
pub(super) struct Conversation<K: Spawner, S: Service> {
    reactor: Reactor<K, S>,
    commands: Commands<K>,
    /// When the service gets the time again.
    next_tick: Time,
    /// The last order that was followed.
    order: Order,
    /// Connections that were cut while they were owed something.
    cut: u64,
}

impl<K: Spawner, S: Service> Conversation<K, S> {
    /// Allocates all memory. `settings` are those of a loop with one connection.
    pub(super) fn new(
        mut kernel: K,
        protocol: Protocol<S>,
        settings: Settings,
    ) -> io::Result<Conversation<K, S>> {
        let commands = Commands::prepare(&mut kernel, &protocol, settings.connections_max)?;
        let workspaces = Workspaces::new(settings.workspaces, settings.workspace)?;
        let pump = Pump {
            close_log: CloseLog::default(),
            tap: settings.wiretap.clone(),
            now: kernel.now(),
            kernel,
            protocol,
            counters: Counters::default(),
            reading: ReadPolicy::WhileFull,
        };
        Ok(Conversation {
            reactor: Reactor::new(pump, workspaces, settings),
            commands,
            next_tick: Time::default(),
            order: Order::default(),
            cut: 0,
        })
    }

    pub(super) fn kernel_mut(&mut self) -> &mut K {
        &mut self.reactor.pump_mut().kernel
    }

    /// Begins to serve a connection. The one before it has ended.
    pub(super) fn begin(&mut self, socket: K::Socket) {
        let pump = self.reactor.pump_mut();
        pump.now = pump.kernel.now();
        // A greeting may have a clock.
        self.tick_if_due();
        let slot = self.reactor.insert(socket, None);
        match (self.order, slot) {
            (Order::Drain | Order::Finish, Some(slot)) => self.reactor.visit(slot),
            (Order::Cut, _) => self.cut += self.reactor.cut_all(),
            _ => {}
        }
    }

    /// Whether the connection has ended, and with it its command.
    pub(super) fn is_over(&self) -> bool {
        self.reactor.len() == 0 && self.commands.descriptors() == 0
    }

    /// The counters, and how many connections were cut. The waits of a conversation are calls of
    /// poll(2), and its registrations none at all.
    pub(super) fn counters(&self) -> (Counters, u64) {
        let mut counters = self.reactor.pump().counters.clone();
        counters.poll = std::mem::take(&mut counters.epoll_wait);
        (counters.epoll_ctl, counters.interest_changes) = (0, 0);
        (counters, self.cut)
    }

    /// Whether process `id` is its command.
    pub(super) fn has_process(&self, id: u32) -> bool {
        self.commands.has_process(id)
    }

    /// Sleeps until an event, `until`, or a wake-up. Returns the number of events.
    pub(super) fn wait(&mut self, until: Time) -> io::Result<usize> {
        let count = self.reactor.wait(self.deadline().min(until))?;
        self.tick_if_due();
        Ok(count)
    }

    fn deadline(&self) -> Time {
        self.reactor
            .deadline()
            .min(self.commands.deadline(&self.reactor))
    }

    fn tick_if_due(&mut self) {
        let pump = self.reactor.pump_mut();
        if pump.now >= self.next_tick && pump.protocol.service.clock().is_some() {
            self.next_tick = pump.tick();
        }
    }

    /// The time of the last turn.
    pub(super) fn now(&self) -> Time {
        self.reactor.pump().now
    }

    /// The last order that was followed.
    pub(super) fn last_order(&self) -> Order {
        self.order
    }

    /// Waits for the end of its command, which was killed.
    pub(super) fn reap(&mut self) {
        while !self.is_over() {
            match self.wait(Time::NEVER) {
                Ok(count) => _ = self.act(count),
                Err(_) => return,
            }
        }
    }

    /// Follows the last order of the server.
    pub(super) fn follow(&mut self, order: Order) {
        if order == self.order {
            return;
        }
        self.order = order;
        match order {
            Order::Serve => {}
            Order::Drain => self.reactor.begin_drain(ReadPolicy::UntilEmpty),
            Order::Finish => self.reactor.begin_drain(ReadPolicy::LastRequest),
            Order::Cut => {
                self.cut += self.reactor.cut_all();
                self.commands.end_all(&mut self.reactor);
            }
        }
    }

    /// Uses another service of the same kind.
    pub(super) fn replace(&mut self, service: S) {
        self.reactor.pump_mut().protocol.service = service;
        self.next_tick = Time::default();
    }

    /// Handles the events of the last wait, and what is due. Returns whether the control of the
    /// thread is among the events.
    pub(super) fn act(&mut self, count: usize) -> bool {
        let ready = self.reactor.lists().ready();
        let mut is_called = false;
        for place in 0..count {
            let event = self.reactor.event(place);
            match event.token().source() {
                Source::Connection => self.reactor.run_slow(event),
                Source::Child {
                    place,
                    generation,
                    end,
                } => {
                    let reactor = &mut self.reactor;
                    self.commands.child_event(reactor, place, generation, end);
                }
                _ => is_called = true,
            }
        }
        self.reactor.run_ready(ready);
        if self.deadline() <= self.reactor.pump().now && self.reactor.expire(count) {
            self.commands.expire(&mut self.reactor);
        }
        self.commands.start(&mut self.reactor);
        is_called
    }
}
