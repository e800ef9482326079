//! Deadlines: which time-out a connection is under, and how it ends when it misses one.
//!
//! What a connection waits for selects the time-out. The time at which bytes last moved, or enough
//! of them, is the start. Both are computed from the connection when they are needed. Only the
//! armed deadline is stored. It may be early and must not be late: it is armed anew when the
//! connection waits for something else, and computed again when it is due.

use std::time::Duration;

use crate::kernel::{Interest, Opener, Readiness, Spawner, Time, Token, Trigger};
use crate::limits::{EVENTS_PER_TURN, LINGER_TIMEOUT, MEMORY_RETRY_MIN};
use crate::protocol::connection::{Cause, CloseReason, Cursors, Want, Workspace};
use crate::protocol::framing::Hint;
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::pool::Held;
use crate::server::pump::{FastOutcome, Possible};

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Sets the deadline of a connection anew, because what it waits for has changed.
    pub(in crate::server) fn arm(&mut self, token: Token) {
        let slot = token.index();
        match self.deadline_of(token).0 {
            Time::NEVER => self.timers.disarm(slot),
            // This may be the time of the next check for a free peer, which bytes do not postpone.
            deadline if self.is_lingering(token) => self.timers.arm_by(slot, deadline),
            deadline => self.timers.arm(slot, deadline),
        }
    }

    fn is_lingering(&mut self, token: Token) -> bool {
        let peer = self.links.get_mut(token);
        peer.is_some_and(|peer| peer.connection.is_lingering())
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
            if peer.paused {
                let span = pause_after(peer.refusals);
                self.put_off(token, span);
                self.ready.push(slot);
                continue;
            }
            if peer.connection.is_lingering()
                && peer.unacknowledged > 0
                && self.keep_lingering(token)
            {
                continue;
            }
            let (deadline, reason) = self.deadline_of(token);
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

    /// Pauses a connection when the kernel has no memory for its bytes. The kernel does not report
    /// free memory, so the connection registers no interest and tries again after a pause that
    /// doubles each time.
    #[cold]
    pub(in crate::server) fn pause(&mut self, token: Token) {
        // epoll reports a hang-up without interest. Level-triggered it would do so in every turn.
        let nothing = Interest::NONE.under(Trigger::Edge);
        let registered = self.links.get_mut(token).map(|peer| peer.registered);
        if registered != Some(nothing) {
            self.change_interest(token, nothing);
        }
        if let Some(peer) = self.links.get_mut(token) {
            peer.paused = true;
            let span = pause_after(peer.refusals);
            self.timers.arm(token.index(), self.pump.now.after(span));
        }
    }

    /// Tries to write before a peer is closed as stalled. The kernel reports no event before a
    /// third of the send buffer is free, so the peer may have read many bytes without one.
    fn took_enough(&mut self, token: Token) -> bool {
        self.run_slow(token, Readiness::OUT);
        if self.links.get_mut(token).is_none_or(|peer| peer.paused) {
            // The connection has ended, or is paused with its next try armed.
            return true;
        }
        let (deadline, _) = self.deadline_of(token);
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
        let next = self.pump.run(peer, &mut nothing, possible);
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
        let taken = peer.unacknowledged.saturating_sub(unacknowledged) as usize;
        let timeout = self.settings.stall_timeout;
        let stalled = timeout.map_or(Time::NEVER, |span| {
            peer.active_at.after(span.max(LINGER_TIMEOUT))
        });
        if unacknowledged > 0 && taken >= self.settings.stall_size_min.max(1) {
            (peer.unacknowledged, peer.active_at) = (unacknowledged, self.pump.now);
        } else if unacknowledged == 0 || self.pump.now >= stalled {
            peer.unacknowledged = 0;
            if unacknowledged > 0 {
                self.pump.counters.lingers_cut += 1;
                let now = self.pump.now;
                self.pump.close_log.log_linger(unacknowledged, now);
            }
            return false;
        }
        self.arm(token);
        true
    }

    /// When a connection is closed if no bytes move until then, and why.
    pub(in crate::server) fn deadline_of(&mut self, token: Token) -> (Time, CloseReason) {
        const NEVER: (Time, CloseReason) = (Time::NEVER, CloseReason::Idle);
        let Some(peer) = self.links.get_mut(token) else {
            return NEVER;
        };
        let after = |span: Option<Duration>, start: Time, reason| {
            (span.map_or(Time::NEVER, |span| start.after(span)), reason)
        };
        if peer.connection.is_lingering() {
            let (since, reason) = (peer.active_at, peer.connection.reason());
            // While the kernel holds replies, this is only the time of the next check.
            let looks = match peer.unacknowledged {
                0 => 0,
                _ => self.pump.now.since(since).as_nanos() / LINGER_TIMEOUT.as_nanos(),
            };
            let span = LINGER_TIMEOUT.saturating_mul(looks as u32 + 1);
            return after(Some(span), since, reason);
        }
        let lease = peer.lease.as_ref();
        let held = lease.map_or(Held::Freely, |lease| self.workspaces.held(lease));
        if peer.registered.contains(Interest::WRITE) {
            let since = match held {
                Held::ForReply { since, .. } => since,
                // The workspace is held for a frame. The connection continues at once.
                _ => peer.active_at,
            };
            return after(self.settings.stall_timeout, since, CloseReason::Stalled);
        }
        if peer.connection.awaits() {
            // The peer waits for an effect, which has a time-out of its own.
            return NEVER;
        }
        let waits = self.waiting.contains(token.index());
        let silent = if waits {
            CloseReason::Starved
        } else {
            CloseReason::Idle
        };
        let idle = after(self.settings.idle_timeout, peer.active_at, silent);
        let frame_since = peer.frame_since;
        let frame = match held {
            // A connection that waits for its next turn is not late.
            _ if peer.connection.yields() => NEVER,
            Held::ForFrame { since, .. } => {
                after(self.settings.frame_timeout, since, CloseReason::SlowFrame)
            }
            // No byte of the frame is kept. Without a workspace its rest cannot be read.
            Held::Freely if frame_since != Time::NEVER && !waits => {
                let timeout = self.settings.frame_timeout;
                after(timeout, frame_since, CloseReason::SlowFrame)
            }
            _ => NEVER,
        };
        if frame.0 < idle.0 { frame } else { idle }
    }
}

/// How long a connection pauses after `refusals` failures for want of kernel memory in a row.
fn pause_after(refusals: u8) -> Duration {
    MEMORY_RETRY_MIN * (1 << refusals.saturating_sub(1))
}
