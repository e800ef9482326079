//! One connection at one event: works on it as far as it goes, and tells the kernel what it wants
//! next.
//!
//! Nearly every event takes the straight course: a connection at rest reads once and writes once,
//! in a workspace that is borrowed for just so long. Whatever else may happen goes step by step
//! with a workspace on lease, and if there is none, waits for one. Neighbours: `epoll` calls,
//! `pump` moves the bytes.

use std::io;

use crate::base::bytes::{InboundCursors, OutboundCursors};
use crate::kernel::{Interest, Opener, Readiness, Spawner, Time, Token};
use crate::protocol::connection::{CloseReason, Cursors, Want, Workspace};
use crate::protocol::service::Service;

use super::lease::Moved;
use crate::server::Server;
use crate::server::pool::Lease;
use crate::server::pump::{FastOutcome, Next, Possible, ReadPolicy};

/// The end of the stream may be here.
const OVER: Readiness = Readiness::RDHUP.union(Readiness::HUP).union(Readiness::ERR);
/// A short read may not be the last one: the end is behind it, or what follows an urgent byte.
const TO_THE_END: Readiness = OVER.union(Readiness::PRI);

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Does at an event what a connection wants, and tells the kernel what it wants next.
    #[inline]
    pub(in crate::server) fn handle_event(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.links.get_mut(token) else {
            self.pump.counters.stale_events += 1;
            return;
        };
        if readiness == Readiness::IN && peer.is_idle() {
            match self.try_fast_path(token) {
                Some(FastOutcome::Done) => return,
                Some(outcome) => return self.leave_fast_path(token, outcome),
                None => {}
            }
        }
        if self.ready.contains(token.index()) {
            return self.defer(token, readiness);
        }
        self.run_slow(token, readiness);
    }

    /// What has more to do has its turn behind the events, and would have two of them; what the
    /// kernel reports again and what comes of trying need not be kept until then.
    #[cold]
    fn defer(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if peer.connection.awaits() {
            // It tries nothing in its turn, and that its peer is gone may be told once.
            return self.run_slow(token, readiness);
        }
        peer.read_to_end |= readiness.intersects(TO_THE_END);
    }

    /// Takes the straight course, if this service and the times allow it, with a borrowed
    /// workspace.
    // It has two callers, and in the hot one a call would cost a fifth of all instructions.
    #[inline(always)]
    pub(in crate::server) fn try_fast_path(&mut self, token: Token) -> Option<FastOutcome> {
        if !self.fast_path_open {
            return None;
        }
        let peer = self.links.get_mut(token)?;
        if !peer.connection.is_in_place(&self.pump.protocol) {
            return None;
        }
        let space = self.workspaces.scratch()?;
        Some(self.pump.fast_path(peer, space))
    }

    #[cold]
    pub(in crate::server) fn leave_fast_path(&mut self, token: Token, outcome: FastOutcome) {
        match outcome {
            FastOutcome::Done => {}
            FastOutcome::Ended(want) => self.settle(
                token,
                &Next {
                    want,
                    has_more: false,
                },
            ),
            FastOutcome::Remaining(at, possible) => {
                let Some(lease) = self.workspaces.acquire() else {
                    unreachable!("it was borrowed a moment ago, and nothing was lent since");
                };
                self.continue_with(token, lease, at, possible);
            }
        }
    }

    /// Goes on step by step with bytes that came to lie in `lease` on the straight course.
    #[cold]
    pub(in crate::server) fn continue_with(
        &mut self,
        token: Token,
        lease: Lease,
        at: InboundCursors,
        possible: Possible,
    ) {
        let Some(peer) = self.links.get_mut(token) else {
            return self.workspaces.release_workspace(lease);
        };
        self.workspaces
            .leave(&lease, (at, OutboundCursors::default()));
        let mut workspace = self.workspaces.open(&lease);
        // After as many as may be answered at one event it yields; else what follows the run that
        // was answered at once is part of a frame, or wrong.
        let frames = match peer.connection.yields() {
            true => 0,
            false => self.settings.frames_per_event,
        };
        workspace.frames_left = frames;
        let progress = peer
            .connection
            .resume(&mut workspace, &mut self.pump.protocol);
        debug_assert_eq!(progress.frames, 0, "it was left too early");
        let frames = workspace.frames_left;
        let at = workspace.cursors();
        self.workspaces.leave(&lease, at);
        peer.lease = Some(lease);
        self.pump.note(progress);
        self.run_link(token, possible, frames);
    }

    /// The same, but not on the straight course.
    pub(in crate::server) fn run_slow(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        peer.paused = false;
        let over = readiness.intersects(OVER);
        peer.read_to_end |= readiness.intersects(TO_THE_END);
        let was_refused = peer.registered.contains(Interest::WRITE);
        let nothing_asked = !peer.registered.contains(Interest::READ) && !was_refused;
        let broken = readiness.intersects(match peer.connection.is_lingering() {
            // A hang-up is but the peer's end behind ours. What it said before that is read as long
            // as there may be memory: a close with it unread destroys replies.
            true => Readiness::ERR,
            false => Readiness::HUP | Readiness::ERR,
        });
        if broken && nothing_asked && (peer.lease.is_none() || peer.connection.awaits()) {
            // Nothing is asked and these cannot be masked: heard once, they are heard for ever.
            peer.connection.close(CloseReason::Reset);
            return self.release(token);
        }
        // An event of a socket that was watched only for writing says nothing about reading, and a
        // drain goes on until a read finds nothing.
        let to_the_last = self.pump.reading == ReadPolicy::UntilEmpty;
        let possible = Possible {
            read: over || to_the_last || readiness.intersects(Readiness::IN),
            write: over || readiness.intersects(Readiness::OUT) || !was_refused,
        };
        self.run_link(token, possible, self.settings.frames_per_event);
    }

    /// Works on a connection step by step, with a workspace of its own, and answers at most so many
    /// `frames`.
    pub(in crate::server) fn run_link(&mut self, token: Token, possible: Possible, frames: u64) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        let Some(lease) = peer.lease.take().or_else(|| self.workspaces.acquire()) else {
            if !peer.connection.is_lingering() {
                return self.wait_for_workspace(token);
            }
            // What it says is thrown away, and takes no room.
            let mut nothing = Workspace::new(&mut [], &mut [], Cursors::default());
            let next = self.pump.run(peer, &mut nothing, possible);
            return self.settle(token, &next);
        };
        let before = Moved::of(&self.pump.counters);
        let mut workspace = self.workspaces.open(&lease);
        workspace.frames_left = frames;
        if peer.connection.is_greeting() {
            peer.connection
                .begin(&mut workspace, &mut self.pump.protocol);
        }
        let next = self.pump.run(peer, &mut workspace, possible);
        let settled = next.interest(self.settings.trigger) == Some(peer.registered)
            && next.want != Want::Discard
            && next.want != Want::Await
            && !peer.paused;
        if workspace.is_empty() {
            if peer.connection.is_mid_message() || peer.frame_since != Time::NEVER {
                self.note_frame(token, &lease);
            }
            self.workspaces.release_workspace(lease);
        } else {
            let at = workspace.cursors();
            self.workspaces.leave(&lease, at);
            self.hold_workspace(token, lease, next.want, before);
        }
        if !settled || next.has_more || !self.waiting.is_empty() {
            self.settle(token, &next);
        }
    }

    /// Makes what the kernel was told equal to what is wanted.
    fn settle(&mut self, token: Token, next: &Next) {
        self.serve_workspace_queue();
        if next.want == Want::Await {
            self.await_effect(token);
        }
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if peer.paused && next.want != Want::Close {
            return self.pause(token);
        }
        // Before its interest is changed: should that fail, it is released and loses its turn.
        if next.has_more {
            self.ready.push(token.index());
        }
        match next.interest(self.settings.trigger) {
            None => self.release(token),
            Some(interest) if interest != peer.registered => self.change_interest(token, interest),
            // It may have begun to linger, which has a deadline of its own.
            Some(_) => self.arm(token),
        }
    }

    #[cold]
    pub(in crate::server) fn change_interest(&mut self, token: Token, interest: Interest) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        self.pump.counters.epoll_ctl += 1;
        self.pump.counters.interest_changes += 1;
        match self.pump.kernel.reregister(&peer.socket, token, interest) {
            Ok(()) => {
                peer.registered = interest;
                self.arm(token);
            }
            Err(error) => self.fail_registration(token, &error),
        }
    }

    /// The kernel cannot watch a connection: that is its end and nobody else's.
    #[cold]
    pub(in crate::server) fn fail_registration(&mut self, token: Token, error: &io::Error) {
        self.pump.counters.refused_registration += 1;
        if let Some(peer) = self.links.get_mut(token) {
            log::debug!("epoll_ctl: {error}");
            peer.connection.close(CloseReason::Failed);
        }
        self.release(token);
    }
}
