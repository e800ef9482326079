//! Shutting down without losing a byte.
//!
//! First the listeners: whoever waits in their queues has been promised a connection, so the queues
//! are served and then closed. While every slot or descriptor is taken, who waits there waits on,
//! and is let in as others leave, but nobody who comes later, or a stream of newcomers would put
//! off the end; who still waits when time is up counts as cut. Every connection
//! is read to the last byte that has arrived, answered, and ended. Peers that go on talking are cut
//! off from reading after a while; but not who could not be heard by then, because others had all
//! the memory or all the time. Peers that do not take their answers are cut off at the drain
//! time-out, from us or from the kernel, and so is who could not be heard until then: these count
//! as cut.

use std::time::Duration;

use crate::kernel::{Opener, Spawner, Time};
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
    /// Connections closed at the end of the time-out although they were owed something, or a place.
    cut: u64,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// What has arrived is still read, until this time at the latest.
    Reading(Time),
    /// What is owed is written, and who could not be heard yet is.
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

    /// Takes in who waits at the listeners and may come, and closes these unless there are too few
    /// slots or descriptors.
    fn accept_queued(&mut self) {
        for number in 0..self.acceptor.listeners() {
            self.accept_all(number as u32);
        }
        if self.acceptor.is_open() {
            self.acceptor.close_listeners(&mut self.pump);
        }
    }

    /// Whether somebody has left for whom somebody else may be waiting.
    #[inline]
    fn may_accept_queued(&self) -> bool {
        self.acceptor.listeners() > 0 && self.acceptor.is_open()
    }

    /// Closes the listeners, and removes the paths of the local ones.
    pub(crate) fn close_listeners(&mut self) {
        self.acceptor.close_listeners(&mut self.pump);
    }

    /// Whether it was drained and the last connection is gone.
    pub fn is_done(&self) -> bool {
        self.drain.is_some() && self.links.is_empty() && self.acceptor.listeners() == 0
    }

    /// When a shutdown has something to do even if nothing happens.
    #[inline]
    pub(in crate::server) fn drain_deadline(&self) -> Time {
        match &self.drain {
            Some(_) if self.may_accept_queued() => self.pump.now,
            // Once everybody is gone there is nothing to be late for.
            Some(drain) if !self.links.is_empty() || self.acceptor.listeners() > 0 => {
                drain.deadline()
            }
            _ => Time::NEVER,
        }
    }

    /// Every connection is looked at in the next turn, whether or not the kernel reports it.
    fn visit_all(&mut self) {
        for slot in 0..self.links.used() {
            if self.links.key(slot).is_some() {
                self.ready.push(slot);
            }
        }
    }

    /// Connections that a shutdown closed although they were owed something, or never let in.
    pub fn cut(&self) -> u64 {
        self.drain.map_or(0, |drain| drain.cut)
    }

    /// Does what a shutdown has to do at its deadlines.
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

    /// Time is up: for those inside, and for those who still wait at the listeners, who are taken
    /// in only to be counted.
    fn cut_all(&mut self) {
        self.cut_connections();
        // With one slot, full queues take so many rounds. More connections may come meanwhile.
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
            // Who lingers has all its replies, unless the kernel still holds some.
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
