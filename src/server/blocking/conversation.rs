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
        // A read that has filled its space is repeated at once, which saves a wait.
        let pump = Pump::new(kernel, protocol, ReadPolicy::WhileFull, &settings);
        Ok(Conversation {
            reactor: Reactor::new(pump, workspaces, settings),
            commands,
            next_tick: Time::default(),
            order: Order::default(),
            cut: 0,
        })
    }

    /// The page of this conversation in what all of them share.
    pub(super) fn take_page(&mut self, page: u32) {
        if let Some(announced) = &mut self.reactor.pump_mut().announced {
            announced.take_page(page);
        }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::kernel::blocking::{Blocking, WakeUps};
    use crate::kernel::{Socket, Trigger};
    use crate::limits::{FRAMES_PER_EVENT, STALL_SIZE_MIN_DEFAULT};
    use crate::protocol::connection::CloseReason;
    use crate::protocol::framing::{Framing, OnTooLong};
    use crate::protocol::service::{AnyService, Echo};
    use crate::server::pace::Pacing;
    use crate::server::pool::WorkspaceSize;

    type Talk = Conversation<Blocking, AnyService>;

    fn talk(idle_timeout: Option<Duration>) -> io::Result<Talk> {
        let settings = Settings {
            connections_max: 1,
            workspaces: 1,
            workspace: WorkspaceSize {
                inbound: 4096,
                outbound: 0,
            },
            trigger: Trigger::Level,
            defer_accept: false,
            frames_per_event: FRAMES_PER_EVENT,
            spin: None,
            idle_timeout,
            stall_timeout: None,
            stall_size_min: STALL_SIZE_MIN_DEFAULT,
            frame_timeout: None,
            connections_per_ip_max: None,
            backlog: 1,
            drain_timeout: Duration::ZERO,
            wiretap: None,
            trace: None,
            pacing: Pacing::default(),
            auth: None,
            proxy: None,
        };
        let protocol = Protocol {
            framing: Framing::parse("u32be").expect("a framing"),
            on_too_long: OnTooLong::Close,
            service: AnyService::from(Echo),
        };
        Conversation::new(Blocking::new(WakeUps::prepare()?), protocol, settings)
    }

    /// Begins a connection and returns its peer.
    fn begin(talk: &mut Talk) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        talk.begin(Socket::from(OwnedFd::from(ours)));
        Ok(theirs)
    }

    fn turn(talk: &mut Talk) -> io::Result<()> {
        let count = talk.wait(Time::NEVER)?;
        talk.act(count);
        Ok(())
    }

    fn closed(talk: &Talk, reason: CloseReason) -> u64 {
        talk.counters().0.closed[reason as usize]
    }

    #[test]
    fn one_connection_follows_another_in_the_same_memory() -> io::Result<()> {
        let mut talk = talk(None)?;
        for number in 1..=2 {
            let mut peer = begin(&mut talk)?;
            peer.write_all(&[0, 0, 0, 1, b'x'])?;
            turn(&mut talk)?;
            let mut reply = [0; 5];
            peer.read_exact(&mut reply)?;
            assert_eq!(reply, [0, 0, 0, 1, b'x']);
            assert!(!talk.is_over());
            drop(peer);
            while !talk.is_over() {
                turn(&mut talk)?;
            }
            let (counters, _) = talk.counters();
            assert_eq!(counters.connections_total, number);
            assert_eq!((counters.connections_now, counters.epoll_ctl), (0, 0));
            assert!(counters.poll > 0 && counters.epoll_wait == 0);
        }
        Ok(())
    }

    #[test]
    fn a_deadline_ends_a_wait_without_an_event() -> io::Result<()> {
        let mut talk = talk(Some(Duration::from_millis(5)))?;
        let _peer = begin(&mut talk)?;
        while !talk.is_over() {
            turn(&mut talk)?;
        }
        assert_eq!(closed(&talk, CloseReason::Idle), 1);
        Ok(())
    }

    #[test]
    fn a_drain_ends_a_connection_at_rest_and_lets_a_begun_request_finish() -> io::Result<()> {
        let mut talk = talk(None)?;
        let mut peer = begin(&mut talk)?;
        peer.write_all(&[0, 0])?;
        turn(&mut talk)?;
        talk.follow(Order::Drain);
        turn(&mut talk)?;
        assert!(!talk.is_over());
        peer.write_all(&[0, 1, b'x'])?;
        while !talk.is_over() {
            turn(&mut talk)?;
        }
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest)?;
        assert_eq!(rest, [0, 0, 0, 1, b'x']);
        assert_eq!(closed(&talk, CloseReason::Shutdown), 1);
        // The next one comes from the queue, and is read to its last byte.
        let _peer = begin(&mut talk)?;
        while !talk.is_over() {
            turn(&mut talk)?;
        }
        assert_eq!(closed(&talk, CloseReason::Shutdown), 2);
        Ok(())
    }

    #[test]
    fn an_order_to_cut_counts_a_connection_and_those_that_come_later() -> io::Result<()> {
        let mut talk = talk(None)?;
        let _peer = begin(&mut talk)?;
        talk.follow(Order::Cut);
        talk.follow(Order::Cut);
        assert!(talk.is_over());
        let _late = begin(&mut talk)?;
        assert!(talk.is_over());
        assert_eq!((talk.counters().1, closed(&talk, CloseReason::Cut)), (2, 2));
        Ok(())
    }
}
