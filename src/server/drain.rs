//! Shutting down without losing a byte.
//!
//! What is in the queues of datagram sockets is answered; nothing is added to them any more.
//!
//! The listeners come first. The kernel has completed the handshakes of the connections in their
//! queues, so the server accepts these connections and then closes the listeners. Before that it
//! makes the kernel put no more connections into the queues: the kernel resets what is in the queue
//! of a listener that is closed. While every slot or descriptor is taken, queued connections stay
//! queued and are accepted as other connections end. Connections that arrive after the drain began
//! are not accepted: a stream of them would postpone the end. Connections that are still queued at
//! the drain time-out count as cut.
//!
//! Every connection is read to the last byte that has arrived, answered, and ended. After the
//! reading time the server takes one more request from a peer that keeps sending. A connection that
//! had no chance to be read by then, for want of memory or of time, is still read. At the drain
//! time-out the server closes connections that are owed replies, also replies that only the kernel
//! still holds, and connections that were not read yet. These count as cut.

use std::time::Duration;

use crate::kernel::{Opener, Poller, Time};
use crate::limits::DRAIN_READ_TIMEOUT;
use crate::protocol::service::Service;

use super::admission::acceptor::Acceptor;
use super::pump::ReadPolicy;
use super::reactor::Reactor;

/// A shutdown under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    stage: Stage,
    until: Time,
    /// Connections closed at the time-out that were owed replies or were still queued.
    cut: u64,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// What has arrived is read, until this time at the latest.
    Reading(Time),
    /// What is owed is written. Connections that could not be read yet are read.
    Writing,
}

impl Drain {
    /// Begins to shut down.
    pub(super) fn begin<K, S>(
        reactor: &mut Reactor<K, S>,
        acceptor: &mut Acceptor<K::Socket>,
    ) -> Drain
    where
        K: Poller + Opener,
        S: Service,
    {
        let pump = reactor.pump_mut();
        pump.now = pump.kernel.now();
        let now = pump.now;
        let (timeout, backlog) = (
            reactor.settings().drain_timeout,
            reactor.settings().backlog as usize,
        );
        acceptor.begin_drain();
        reactor.begin_drain(ReadPolicy::UntilEmpty);
        acceptor.stop_queueing(reactor.pump_mut());
        Drain::accept_queued(reactor, acceptor);
        acceptor.accept_only_queued(reactor.pump_mut(), backlog);
        Drain::new(now, timeout)
    }

    fn new(now: Time, timeout: Duration) -> Drain {
        let stage = Stage::Reading(now.after(DRAIN_READ_TIMEOUT));
        Drain {
            stage,
            until: now.after(timeout),
            cut: 0,
        }
    }

    /// Connections closed at the time-out that were owed replies or were still queued.
    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    /// The next time at which the drain has to act without an event. Without connections and
    /// listeners it is over and has no deadline.
    pub(super) fn deadline<K: Poller, S: Service>(
        &self,
        reactor: &Reactor<K, S>,
        acceptor: &Acceptor<K::Socket>,
    ) -> Time {
        if Drain::may_accept_queued(acceptor) {
            return reactor.pump().now;
        }
        match self.stage {
            _ if reactor.serves_nothing() && acceptor.listeners() == 0 => Time::NEVER,
            Stage::Reading(until) => until.min(self.until),
            Stage::Writing => self.until,
        }
    }

    /// Continues the drain: accepts queued connections and acts on its deadlines.
    pub(super) fn advance<K, S>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        acceptor: &mut Acceptor<K::Socket>,
    ) where
        K: Poller + Opener,
        S: Service,
    {
        if Drain::may_accept_queued(acceptor) {
            Drain::accept_queued(reactor, acceptor);
        }
        let now = reactor.pump().now;
        match self.stage {
            _ if now >= self.until => self.cut_all(reactor, acceptor),
            Stage::Reading(until) if now >= until => {
                self.stage = Stage::Writing;
                reactor.begin_drain(ReadPolicy::LastRequest);
            }
            Stage::Reading(_) | Stage::Writing => {}
        }
    }

    /// Whether a queued connection may wait for a slot or a descriptor that is free again.
    fn may_accept_queued<Socket>(acceptor: &Acceptor<Socket>) -> bool {
        acceptor.listeners() > 0 && acceptor.is_open()
    }

    /// Accepts the queued connections, and closes the listeners unless slots or descriptors are too
    /// few for all of them.
    fn accept_queued<K, S>(reactor: &mut Reactor<K, S>, acceptor: &mut Acceptor<K::Socket>)
    where
        K: Poller + Opener,
        S: Service,
    {
        if acceptor.accept_queued(reactor) {
            acceptor.close_listeners(reactor.pump_mut());
        }
    }

    /// Closes all connections at the drain time-out. Queued connections are accepted only to be
    /// counted.
    fn cut_all<K, S>(&mut self, reactor: &mut Reactor<K, S>, acceptor: &mut Acceptor<K::Socket>)
    where
        K: Poller + Opener,
        S: Service,
    {
        self.cut += reactor.cut_datagrams();
        self.cut_connections(reactor, acceptor);
        // Connections on their way to this worker are cut too.
        while acceptor.take_last_handed(reactor) {
            self.cut_connections(reactor, acceptor);
        }
        // With one slot, a full queue takes as many rounds as it has entries. Connections that
        // arrive meanwhile must not prolong this.
        for _ in 0..reactor.settings().backlog {
            if acceptor.listeners() == 0 {
                return;
            }
            Drain::accept_queued(reactor, acceptor);
            if reactor.len() == 0 {
                break;
            }
            self.cut_connections(reactor, acceptor);
        }
        self.cut += acceptor.not_accepted(reactor.pump_mut());
        acceptor.close_listeners(reactor.pump_mut());
    }

    fn cut_connections<K, S>(
        &mut self,
        reactor: &mut Reactor<K, S>,
        acceptor: &mut Acceptor<K::Socket>,
    ) where
        K: Poller + Opener,
        S: Service,
    {
        self.cut += reactor.cut_all();
        acceptor.settle(reactor);
    }
}
