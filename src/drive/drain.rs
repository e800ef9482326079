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

use crate::connection::CloseReason;
use crate::kernel::{Opener, Spawner, Time};
use crate::limits::DRAIN_READ_TIMEOUT;
use crate::service::Service;

use super::Server;
use super::pump::Reading;

/// A shutdown under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
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
        self.common.now = self.common.kernel.now();
        self.goes_straight = false;
        self.common.reading = Reading::ToTheLast;
        self.drain = Some(Drain::new(self.common.now, self.settings.drain_timeout));
        self.serve_the_queues();
        for (number, listener) in self.listeners.iter().enumerate() {
            let kernel = &mut self.common.kernel;
            // Where the kernel does not tell, who is in the queue from now on was there before.
            let waiting = kernel.queued(listener).or_else(|_| {
                self.common.counters.shutdown += 1;
                kernel.turn_away(listener).map(|()| usize::MAX)
            });
            let waiting = waiting.unwrap_or(self.settings.backlog as usize);
            self.door.promise(number, waiting);
        }
        self.visit_everyone();
    }

    /// Takes in who waits at the listeners and may come, and closes these unless there are too few
    /// slots or descriptors.
    fn serve_the_queues(&mut self) {
        for number in 0..self.listeners.len() {
            self.accept_all(number as u32);
        }
        if self.door.is_open() {
            self.close_the_listeners();
        }
    }

    /// Whether somebody has left for whom somebody else may be waiting.
    #[inline]
    fn serves_the_queues_now(&self) -> bool {
        !self.listeners.is_empty() && self.door.is_open()
    }

    /// Closes the listeners, and removes the paths of the local ones.
    pub(super) fn close_the_listeners(&mut self) {
        for listener in std::mem::take(&mut self.listeners) {
            self.common.kernel.close_listener(listener);
        }
    }

    /// Whether it was drained and the last connection is gone.
    pub fn is_done(&self) -> bool {
        self.drain.is_some() && self.peers.is_empty() && self.listeners.is_empty()
    }

    /// When a shutdown has something to do even if nothing happens.
    #[inline]
    pub(super) fn drain_deadline(&self) -> Time {
        match &self.drain {
            Some(_) if self.serves_the_queues_now() => self.common.now,
            // Once everybody is gone there is nothing to be late for.
            Some(drain) if !self.peers.is_empty() || !self.listeners.is_empty() => drain.deadline(),
            _ => Time::NEVER,
        }
    }

    /// Every connection is looked at in the next turn, whether or not the kernel reports it.
    fn visit_everyone(&mut self) {
        for slot in 0..self.peers.used() {
            if self.peers.token(slot).is_some() {
                self.ready.push(slot);
            }
        }
    }

    /// Connections that a shutdown closed although they were owed something, or never let in.
    pub fn cut(&self) -> u64 {
        self.drain.map_or(0, |drain| drain.cut)
    }

    /// Does what a shutdown has to do at its deadlines.
    pub(super) fn drain_on(&mut self) {
        if self.drain.is_some() && self.serves_the_queues_now() {
            self.serve_the_queues();
        }
        let Some(drain) = &mut self.drain else { return };
        match drain.stage {
            _ if self.common.now >= drain.until => self.cut_everyone(),
            Stage::Reading(until) if self.common.now >= until => {
                drain.stage = Stage::Writing;
                self.common.reading = Reading::NoMore;
                self.visit_everyone();
            }
            Stage::Reading(_) | Stage::Writing => {}
        }
    }

    /// Time is up: for those inside, and for those who still wait at the listeners, who are taken
    /// in only to be counted.
    fn cut_everyone(&mut self) {
        self.cut_those_inside();
        // With one slot, full queues take so many rounds. More connections may come meanwhile.
        for _ in 0..self.settings.backlog {
            if self.listeners.is_empty() {
                return;
            }
            self.serve_the_queues();
            if self.peers.is_empty() {
                break;
            }
            self.cut_those_inside();
        }
        for (number, listener) in self.listeners.iter().enumerate() {
            let waiting = self.common.kernel.queued(listener).unwrap_or(0);
            let never_let_in = waiting.min(self.door.promised(number)) as u64;
            if let Some(drain) = &mut self.drain {
                drain.cut += never_let_in;
            }
        }
        self.close_the_listeners();
    }

    fn cut_those_inside(&mut self) {
        for slot in 0..self.peers.used() {
            let Some(token) = self.peers.token(slot) else {
                continue;
            };
            let Some(peer) = self.peers.get_mut(token) else {
                continue;
            };
            // Who lingers has all its replies, unless the kernel still holds some.
            let is_owed = match peer.connection.is_lingering() {
                true => peer.still_unsent(&mut self.common.kernel) > 0,
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
