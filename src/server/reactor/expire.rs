//! Deadlines: which time-out a connection is under, and how it ends when it misses one.
//!
//! What a connection waits for selects the time-out. The time at which bytes last moved, or enough
//! of them, is the start. Both are computed from the connection when they are needed. Only the
//! armed deadline is stored. It may be early and must not be late: it is armed anew when the
//! connection waits for something else, and computed again when it is due.

use crate::kernel::{Opener, Readiness, Spawner, Time, Token};
use crate::limits::EVENTS_PER_TURN;
use crate::protocol::connection::{Budget, Cause, CloseReason, Cursors, Want, Workspace};
use crate::protocol::framing::Hint;
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::pump::{FastOutcome, Possible};
use crate::server::waiting::deadline;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Sets the deadline of a connection anew, because what it waits for has changed.
    pub(in crate::server) fn arm(&mut self, token: Token) {
        let slot = token.index();
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        match deadline(&peer.waiting, &self.timeouts).0 {
            Time::NEVER => self.timers.disarm(slot),
            deadline if peer.waiting.is_last_ack() => self.timers.arm_by(slot, deadline),
            deadline => self.timers.arm(slot, deadline),
        }
    }

    /// Ends connections whose deadline has passed, unless a full batch says that more events wait.
    /// After a stop (SIGSTOP) all deadlines have passed, and connections that sent bytes meanwhile
    /// are read first. After as many batches as all connections fill, this is done in any case.
    pub(in crate::server) fn expire_unless_busy(&mut self, events: usize) {
        let batches = (self.links.used() as usize / EVENTS_PER_TURN) as u32 + 1;
        if events == EVENTS_PER_TURN && self.full_batches < batches {
            self.full_batches += 1;
            return;
        }
        self.full_batches = 0;
        self.expire();
    }

    /// Ends connections whose deadline has passed. Activity moves the true deadline away from the
    /// armed one, so each deadline that is due is computed again.
    fn expire(&mut self) {
        while let Some(slot) = self.timers.pop_due(self.pump.now) {
            let Some(token) = self.links.key(slot) else {
                continue;
            };
            let Some(peer) = self.links.get_mut(token) else {
                continue;
            };
            if peer.waiting.is_memory() {
                peer.waiting.end_pause(self.pump.now);
                self.ready.push(slot);
                continue;
            }
            if peer.waiting.unacknowledged() > 0 && self.keep_lingering(token) {
                continue;
            }
            let Some(peer) = self.links.get_mut(token) else {
                continue;
            };
            let (deadline, reason) = deadline(&peer.waiting, &self.timeouts);
            if deadline > self.pump.now {
                self.arm(token);
                continue;
            }
            if reason == CloseReason::Stalled && self.took_enough(token) {
                continue;
            }
            let cause = match reason {
                CloseReason::SlowFrame => Cause::from(reason).hinted(self.hint_of_late(token)),
                _ => reason.into(),
            };
            let silent = matches!(reason, CloseReason::Idle | CloseReason::SlowFrame);
            if silent && self.drain_behind_replies(token, cause) {
                continue;
            }
            if let Some(peer) = self.links.get_mut(token) {
                peer.connection.close(cause);
                self.release(token);
            }
        }
        if self.has_effects() {
            self.expire_commands();
        }
        if self.acceptor.deadline() <= self.pump.now && !self.links.is_full() {
            self.acceptor.resume(&mut self.pump);
        }
        self.continue_drain();
    }

    /// What a peer seems to speak that misses the frame time-out, by the bytes of its frame.
    #[cold]
    fn hint_of_late(&mut self, token: Token) -> Option<Hint> {
        let peer = self.links.get_mut(token)?;
        let mut workspace = self.workspaces.open(peer.lease.as_ref()?);
        peer.connection
            .hint_of_late(&mut workspace, &self.pump.protocol)
    }

    /// Tries to write before a peer is closed as stalled. The kernel reports no event before a
    /// third of the send buffer is free, so the peer may have read many bytes without one.
    fn took_enough(&mut self, token: Token) -> bool {
        self.run_slow(token, Readiness::OUT);
        let Some(peer) = self.links.get_mut(token) else {
            return true;
        };
        if peer.waiting.is_memory() {
            // The next try is armed.
            return true;
        }
        let (deadline, _) = deadline(&peer.waiting, &self.timeouts);
        let enough = deadline > self.pump.now;
        if enough {
            self.arm(token);
        }
        enough
    }

    /// Ends an idle connection while the kernel still holds bytes of its replies. The peer may be
    /// reading them, and a close would destroy them when the peer sends. So the connection sends a
    /// FIN behind them and lingers. Returns whether the kernel held any.
    fn drain_behind_replies(&mut self, token: Token, cause: Cause) -> bool {
        let Some(peer) = self.links.get_mut(token) else {
            return false;
        };
        if !matches!(self.pump.kernel.unacknowledged(&peer.socket), Ok(1..)) {
            return false;
        }
        let mut nothing = Workspace::new(&mut [], &mut [], Cursors::default());
        match &peer.lease {
            Some(lease) => {
                let mut workspace = self.workspaces.open(lease);
                peer.connection.drain(cause, &mut workspace);
            }
            None => peer.connection.drain(cause, &mut nothing),
        }
        if peer.connection.wants(false) != Want::Shutdown {
            return false;
        }
        // An idle connection owes nothing. Bytes of an unfinished frame are dropped.
        if let Some(lease) = peer.lease.take() {
            self.workspaces.release_workspace(lease);
        }
        // Bytes that arrive meanwhile raise an event.
        let possible = Possible {
            read: false,
            write: false,
        };
        let mut budget = Budget::new(0);
        let next = self.pump.run(peer, &mut nothing, possible, &mut budget);
        self.leave_fast_path(token, FastOutcome::Ended(next.want));
        true
    }

    /// Lets a connection linger on while its peer takes the replies that the kernel still holds.
    /// After our FIN the peer may have megabytes to read, and a close with unread input would
    /// destroy them (RFC 1122, 4.2.2.13). The peer must take at least `stall_size_min` bytes within
    /// each stall time-out. Returns `false` once the connection is to be closed.
    fn keep_lingering(&mut self, token: Token) -> bool {
        let Some(peer) = self.links.get_mut(token) else {
            return false;
        };
        let unacknowledged = peer.unacknowledged_replies(&mut self.pump.kernel);
        let now = self.pump.now;
        if peer
            .waiting
            .keep_lingering(unacknowledged, &self.timeouts, now)
        {
            self.arm(token);
            return true;
        }
        if unacknowledged > 0 {
            self.pump.counters.lingers_cut += 1;
            self.pump.close_log.log_linger(unacknowledged, now);
        }
        false
    }
}
