//! What happens when nothing happens: deadlines, and what becomes of those that miss theirs.
//!
//! What a connection waits for decides which time-out it is under; when bytes last moved, from when
//! it counts. Both are read off the connection, so there is nothing to keep in step but the armed
//! deadline, which may be early and must not be late: it is set anew when the kind of waiting
//! changes, and looked at again when it comes.

use crate::connection::CloseReason;
use crate::kernel::{Interest, Opener, Poller, Time, Token};
use crate::limits::LINGER_TIMEOUT;
use crate::service::Service;

use super::pump::Peer;
use super::{Server, Settings};

impl<K: Poller + Opener, S: Service> Server<K, S> {
    /// Sets the deadline of a connection anew, because what it waits for has changed.
    pub(super) fn arm(&mut self, token: Token) {
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        match self.settings.deadline(peer) {
            Time::NEVER => self.timers.disarm(token.index()),
            deadline => self.timers.arm(token.index(), deadline),
        }
    }

    /// Ends those whose time is over. Activity has only moved true deadlines away from the armed
    /// ones, so each one that comes is looked at again.
    pub(super) fn expire(&mut self) {
        while let Some(slot) = self.timers.pop_due(self.now) {
            let Some(token) = self.peers.token(slot) else {
                continue;
            };
            let Some(peer) = self.peers.get_mut(token) else {
                continue;
            };
            if self.settings.deadline(peer) > self.now {
                self.arm(token);
                continue;
            }
            if !peer.connection.is_lingering() {
                let stalled = peer.registered.contains(Interest::WRITE);
                let reason = if stalled {
                    CloseReason::Stalled
                } else {
                    CloseReason::Idle
                };
                peer.connection.close(reason);
            }
            self.release(token);
        }
        self.reopen_the_door_in_time();
        self.drain_on();
    }
}

impl Settings {
    /// When `peer` is to be closed if nothing moves until then.
    fn deadline<K: Poller, S: Service>(&self, peer: &Peer<K, S>) -> Time {
        let timeout = if peer.connection.is_lingering() {
            Some(LINGER_TIMEOUT)
        } else if peer.registered.contains(Interest::WRITE) {
            self.stall_timeout
        } else {
            self.idle_timeout
        };
        timeout.map_or(Time::NEVER, |timeout| peer.active_at.after(timeout))
    }
}
