//! One event of one connection: the loop does what the connection wants, and then registers the
//! interest in what the connection wants next.
//!
//! Nearly every event takes the fast path: a connection at rest reads once and writes once, in a
//! workspace that is borrowed for these two calls. Everything else takes the slow path: the
//! connection gets a workspace on lease, or waits for one. Neighbour: `pump` moves the bytes.

use std::io;

use crate::base::bytes::{InboundCursors, OutboundCursors};
use crate::kernel::{Interest, Opener, Readiness, Spawner, Time, Token};
use crate::protocol::connection::{CloseReason, Cursors, Want, Workspace};
use crate::protocol::service::Service;

use super::lease::Moved;
use crate::server::Server;
use crate::server::pool::Lease;
use crate::server::pump::{FastOutcome, Next, Possible, ReadPolicy};

/// The stream may have ended.
const OVER: Readiness = Readiness::RDHUP.union(Readiness::HUP).union(Readiness::ERR);
/// After a short read there may be more to read: the end of the stream, or bytes behind an urgent
/// byte.
const TO_THE_END: Readiness = OVER.union(Readiness::PRI);

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Handles one event of a connection.
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

    /// Defers the event of a ready connection: the connection is continued after the events and
    /// would otherwise have two turns. Only what the kernel does not report again is kept.
    #[cold]
    fn defer(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if peer.connection.awaits() {
            // A waiting connection does not read in its turn, and an edge reports a reset once.
            return self.run_slow(token, readiness);
        }
        peer.read_to_end |= readiness.intersects(TO_THE_END);
    }

    /// Takes the fast path, if it is open for this service and connection, with a borrowed
    /// workspace.
    // Inlined: in the hot one of two callers, a call would cost a fifth of all instructions.
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
                    unreachable!(
                        "the workspace was free for the fast path, and none was lent since"
                    );
                };
                self.continue_with(token, lease, at, possible);
            }
        }
    }

    /// Continues on the slow path with bytes that the fast path has put into `lease`.
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
        // A connection that yields has used up its frames. Otherwise the first bytes that were not
        // answered are a part of a frame, or wrong.
        let frames = match peer.connection.yields() {
            true => 0,
            false => self.settings.frames_per_event,
        };
        workspace.frames_left = frames;
        let progress = peer
            .connection
            .resume(&mut workspace, &mut self.pump.protocol);
        debug_assert_eq!(
            progress.frames, 0,
            "the fast path left a whole frame unanswered"
        );
        let frames = workspace.frames_left;
        let at = workspace.cursors();
        self.workspaces.leave(&lease, at);
        peer.lease = Some(lease);
        self.pump.note(progress);
        self.run_link(token, possible, frames);
    }

    /// Handles one event of a connection on the slow path.
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
            // After our FIN, a hang-up is only the end of the peer's stream. Bytes before it are
            // still read: a close with unread input destroys replies.
            true => Readiness::ERR,
            false => Readiness::HUP | Readiness::ERR,
        });
        if broken && nothing_asked && (peer.lease.is_none() || peer.connection.awaits()) {
            // epoll reports these two without interest, and would report them in every turn.
            peer.connection.close(CloseReason::Reset);
            return self.release(token);
        }
        // An event of a socket that was watched only for writing says nothing about reading. A
        // drain reads until a read finds nothing.
        let to_the_last = self.pump.reading == ReadPolicy::UntilEmpty;
        let possible = Possible {
            read: over || to_the_last || readiness.intersects(Readiness::IN),
            write: over || readiness.intersects(Readiness::OUT) || !was_refused,
        };
        self.run_link(token, possible, self.settings.frames_per_event);
    }

    /// Runs a connection with a workspace of its own, and answers at most `frames` frames.
    pub(in crate::server) fn run_link(&mut self, token: Token, possible: Possible, frames: u64) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        let Some(lease) = peer.lease.take().or_else(|| self.workspaces.acquire()) else {
            if !peer.connection.is_lingering() {
                return self.wait_for_workspace(token);
            }
            // Bytes of a lingering peer are discarded and need no workspace.
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

    /// Registers the interest in what the connection wants next, and arms its deadline.
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
        // Before the interest is changed: if that fails, the connection is released, and a release
        // removes it from the queue.
        if next.has_more {
            self.ready.push(token.index());
        }
        match next.interest(self.settings.trigger) {
            None => self.release(token),
            Some(interest) if interest != peer.registered => self.change_interest(token, interest),
            // The connection may have begun to linger, which has a deadline of its own.
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

    /// The kernel refused to watch a connection. Only this connection ends.
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
