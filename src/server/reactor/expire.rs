//! What happens when nothing happens: deadlines, and what becomes of those that miss theirs.
//!
//! What a connection waits for decides which time-out it is under; when bytes last moved, or enough
//! of them, from when it counts. Both are read off the connection, so there is nothing to keep in
//! step but the armed deadline, which may be early and must not be late: it is set anew when the
//! kind of waiting changes, and looked at again when it comes.

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
            // It may be when to look at it again, which what it says does not put off.
            deadline if self.is_lingering(token) => self.timers.arm_by(slot, deadline),
            deadline => self.timers.arm(slot, deadline),
        }
    }

    fn is_lingering(&mut self, token: Token) -> bool {
        let peer = self.links.get_mut(token);
        peer.is_some_and(|peer| peer.connection.is_lingering())
    }

    /// Looks at the deadlines, but not while a full batch says that more events wait: after a stop
    /// (SIGSTOP) all deadlines have passed, and who has spoken meanwhile is to be heard first. Even
    /// so it is done once everybody can have been in a batch.
    pub(in crate::server) fn expire_unless_busy(&mut self, events: usize) {
        let batches = (self.links.used() as usize / EVENTS_PER_TURN) as u32 + 1;
        if events == EVENTS_PER_TURN && self.full_batches < batches {
            self.full_batches += 1;
            return;
        }
        self.full_batches = 0;
        self.expire();
    }

    /// Ends those whose time is over. Activity has only moved true deadlines away from the armed
    /// ones, so each one that comes is looked at again.
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

    /// What a peer seems to speak that is late with a frame, by what has come of the frame.
    #[cold]
    fn hint_of_late(&mut self, token: Token) -> Option<Hint> {
        let peer = self.links.get_mut(token)?;
        let mut workspace = self.workspaces.open(peer.lease.as_ref()?);
        peer.connection
            .hint_of_late(&mut workspace, &self.pump.protocol)
    }

    /// The kernel has no memory for this connection's bytes and will not report when it has: it
    /// asks for nothing, and tries again after a while, twice as long each time.
    #[cold]
    pub(in crate::server) fn pause(&mut self, token: Token) {
        // A hang-up is told unasked: as an edge once, else in every turn, and each is a try.
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

    /// Offers a reader that seems to have stalled the next bytes before it is blamed: there is no
    /// event before a third of the send buffer is free, so it may have read much without a word.
    fn took_enough(&mut self, token: Token) -> bool {
        self.run_slow(token, Readiness::OUT);
        if self.links.get_mut(token).is_none_or(|peer| peer.paused) {
            // It has left; or the kernel is out of memory, and when to try again is armed.
            return true;
        }
        let (deadline, _) = self.deadline_of(token);
        let enough = deadline > self.pump.now;
        if enough {
            self.arm(token);
        }
        enough
    }

    /// Ends one that has said nothing for too long while the kernel holds bytes of its replies: it
    /// may be reading all the while, and a close would destroy them as soon as it speaks. It is
    /// sent our FIN behind them, and lingers. Tells whether that was so.
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
        // It owes nothing, or it would not be called silent, and what it had of a frame is dropped.
        if let Some(lease) = peer.lease.take() {
            self.workspaces.release_workspace(lease);
        }
        // What it says meanwhile is an event.
        let possible = Possible {
            read: false,
            write: false,
        };
        let next = self.pump.run(peer, &mut nothing, possible);
        self.leave_fast_path(token, FastOutcome::Ended(next.want));
        true
    }

    /// Lets a peer linger on while it takes what the kernel still holds of its replies: we were
    /// done with them when our FIN was sent, but the peer may have megabytes to read, and a close
    /// with unread input would destroy them (RFC 1122, 4.2.2.13). It must take as much in as long
    /// a time as before; once all is taken, nothing is left to wait for.
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

    /// When a connection is to be closed if nothing moves until then, and why.
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
            // While the kernel holds replies: not the end, but when to look again.
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
                // Something else was answered meanwhile, and it has its next turn at once.
                _ => peer.active_at,
            };
            return after(self.settings.stall_timeout, since, CloseReason::Stalled);
        }
        if peer.connection.awaits() {
            // It is not silent, it is kept waiting, and that has an end of its own.
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
            // Who is kept waiting is not late.
            _ if peer.connection.yields() => NEVER,
            Held::ForFrame { since, .. } => {
                after(self.settings.frame_timeout, since, CloseReason::SlowFrame)
            }
            // Nothing of it is kept. Who waits for a workspace cannot send the rest of it.
            Held::Freely if frame_since != Time::NEVER && !waits => {
                let timeout = self.settings.frame_timeout;
                after(timeout, frame_since, CloseReason::SlowFrame)
            }
            _ => NEVER,
        };
        if frame.0 < idle.0 { frame } else { idle }
    }
}

/// How long a connection waits for the kernel's memory after so many refusals in a row.
fn pause_after(refusals: u8) -> Duration {
    MEMORY_RETRY_MIN * (1 << refusals.saturating_sub(1))
}
