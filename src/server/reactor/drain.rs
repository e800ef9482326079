//! Shutting down without losing a byte.
//!
//! The listeners come first. The kernel has completed the handshakes of the connections in their
//! queues, so the server accepts these connections and then closes the listeners. While every slot
//! or descriptor is taken, queued connections stay queued and are accepted as other connections
//! end. Connections that arrive after the drain began are not accepted: a stream of them would
//! postpone the end. Connections that are still queued at the drain time-out count as cut.
//!
//! Every connection is read to the last byte that has arrived, answered, and ended. After the
//! reading time the server takes one more request from a peer that keeps sending. A connection that
//! had no chance to be read by then, for want of memory or of time, is still read. At the drain
//! time-out the server closes connections that are owed replies, also replies that only the kernel
//! still holds, and connections that were not read yet. These count as cut.

use std::time::Duration;

use crate::kernel::{Opener, Spawner, Time, Token};
use crate::limits::DRAIN_READ_TIMEOUT;
use crate::protocol::connection::CloseReason;
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::pump::ReadPolicy;

/// A shutdown under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Drain {
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
    fn new(now: Time, timeout: Duration) -> Drain {
        let stage = Stage::Reading(now.after(DRAIN_READ_TIMEOUT));
        Drain {
            stage,
            until: now.after(timeout),
            cut: 0,
        }
    }

    /// The next time at which something has to be done.
    fn deadline(&self) -> Time {
        match self.stage {
            Stage::Reading(until) => until.min(self.until),
            Stage::Writing => self.until,
        }
    }
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Begins to shut down; [`Server::is_done`] tells when it is over.
    pub fn drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        self.pump.now = self.pump.kernel.now();
        self.fast_path_open = false;
        self.pump.reading = ReadPolicy::UntilEmpty;
        self.drain = Some(Drain::new(self.pump.now, self.settings.drain_timeout));
        self.acceptor.begin_drain();
        self.accept_queued();
        let backlog = self.settings.backlog as usize;
        self.acceptor.accept_only_queued(&mut self.pump, backlog);
        self.visit_all();
    }

    /// Accepts the queued connections, and closes the listeners unless slots or descriptors are too
    /// few for all of them.
    fn accept_queued(&mut self) {
        for number in 0..self.acceptor.listeners() {
            self.accept_all(number as u32);
        }
        if self.acceptor.is_open() {
            self.acceptor.close_listeners(&mut self.pump);
        }
    }

    /// Whether a queued connection may wait for a slot or a descriptor that is free again.
    #[inline]
    fn may_accept_queued(&self) -> bool {
        self.acceptor.listeners() > 0 && self.acceptor.is_open()
    }

    /// Closes the listeners, and removes the paths of the local ones.
    pub(crate) fn close_listeners(&mut self) {
        self.acceptor.close_listeners(&mut self.pump);
    }

    /// Whether the drain is over: no connection and no listener is left.
    pub fn is_done(&self) -> bool {
        self.drain.is_some() && self.links.is_empty() && self.acceptor.listeners() == 0
    }

    /// The next time at which the drain has to act without an event.
    #[inline]
    pub(in crate::server) fn drain_deadline(&self) -> Time {
        match &self.drain {
            Some(_) if self.may_accept_queued() => self.pump.now,
            // Without connections and listeners the drain is over and has no deadline.
            Some(drain) if !self.links.is_empty() || self.acceptor.listeners() > 0 => {
                drain.deadline()
            }
            _ => Time::NEVER,
        }
    }

    /// Makes every connection ready for the next turn, whether or not the kernel reports it.
    fn visit_all(&mut self) {
        for slot in 0..self.links.used() {
            let Some(token) = self.links.key(slot) else {
                continue;
            };
            self.visit(token);
        }
    }

    /// Makes one connection ready for the next turn.
    #[cold]
    pub(in crate::server) fn visit(&mut self, token: Token) {
        let peer = self.links.get_mut(token);
        if peer.is_some_and(|peer| peer.waiting.visit(self.pump.now)) {
            self.ready.push(token.index());
        }
    }

    /// Connections closed at the time-out that were owed replies or were still queued.
    pub fn cut(&self) -> u64 {
        self.drain.map_or(0, |drain| drain.cut)
    }

    /// Continues the drain: accepts queued connections and acts on its deadlines.
    pub(in crate::server) fn continue_drain(&mut self) {
        if self.drain.is_some() && self.may_accept_queued() {
            self.accept_queued();
        }
        let Some(drain) = &mut self.drain else { return };
        match drain.stage {
            _ if self.pump.now >= drain.until => self.cut_all(),
            Stage::Reading(until) if self.pump.now >= until => {
                drain.stage = Stage::Writing;
                self.pump.reading = ReadPolicy::LastRequest;
                self.visit_all();
            }
            Stage::Reading(_) | Stage::Writing => {}
        }
    }

    /// Closes all connections at the drain time-out. Queued connections are accepted only to be
    /// counted.
    fn cut_all(&mut self) {
        self.cut_connections();
        // With one slot, a full queue takes as many rounds as it has entries. Connections that
        // arrive meanwhile must not prolong this.
        for _ in 0..self.settings.backlog {
            if self.acceptor.listeners() == 0 {
                return;
            }
            self.accept_queued();
            if self.links.is_empty() {
                break;
            }
            self.cut_connections();
        }
        let not_accepted = self.acceptor.not_accepted(&mut self.pump);
        if let Some(drain) = &mut self.drain {
            drain.cut += not_accepted;
        }
        self.close_listeners();
    }

    fn cut_connections(&mut self) {
        for slot in 0..self.links.used() {
            let Some(token) = self.links.key(slot) else {
                continue;
            };
            let Some(peer) = self.links.get_mut(token) else {
                continue;
            };
            // A lingering connection has all its replies, unless the kernel still holds some.
            let is_owed = match peer.connection.is_lingering() {
                true => peer.unacknowledged_replies(&mut self.pump.kernel) > 0,
                false => true,
            };
            if let (Some(drain), true) = (&mut self.drain, is_owed) {
                drain.cut += 1;
            }
            peer.connection.close(CloseReason::Cut);
            self.release(token);
        }
    }
}
