//! One event of one connection: the loop does what the connection wants, and then registers the
//! interest in what the connection wants next.
//!
//! Nearly every event takes the fast path: a connection at rest reads once and writes once, in a
//! workspace that is borrowed for these two calls. Everything else takes the slow path: the
//! connection gets a workspace on lease, or waits for one. Neighbour: `pump` moves the bytes.

use std::io;

use crate::base::bytes::{InboundCursors, OutboundCursors};
use crate::kernel::{Interest, Opener, Readiness, Spawner, Token};
use crate::protocol::connection::{Budget, CloseReason, Cursors, Want, Workspace};
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::pool::Lease;
use crate::server::pump::{FastOutcome, Next, Possible, ReadPolicy};
use crate::server::waiting::{Facts, deadline, interest};

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
        let is_turn = peer.waiting.is_turn();
        if readiness == Readiness::IN && peer.is_idle() {
            match self.try_fast_path(token) {
                Some(FastOutcome::Done) => return,
                Some(outcome) => return self.leave_fast_path(token, outcome),
                None => {}
            }
        }
        if is_turn {
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
            FastOutcome::Ended(want) => self.settle(token, want),
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
        let mut budget = Budget::new(match peer.connection.yields() {
            true => 0,
            false => self.settings.frames_per_event,
        });
        let connection = &mut peer.connection;
        let progress = connection.resume(&mut workspace, &mut self.pump.protocol, &mut budget);
        debug_assert_eq!(
            progress.frames, 0,
            "the fast path left a whole frame unanswered"
        );
        let at = workspace.cursors();
        self.workspaces.leave(&lease, at);
        peer.lease = Some(lease);
        self.pump.note(progress);
        self.run_link(token, possible, &mut budget);
    }

    /// Handles one event of a connection on the slow path.
    pub(in crate::server) fn run_slow(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        let was_refused = peer.waiting.is_writable();
        let nothing_asked = peer.waiting.is_for_no_event();
        peer.waiting.try_again();
        let over = readiness.intersects(OVER);
        peer.read_to_end |= readiness.intersects(TO_THE_END);
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
        let mut budget = Budget::new(self.settings.frames_per_event);
        self.run_link(token, possible, &mut budget);
    }

    /// Runs a connection with a workspace of its own.
    pub(in crate::server) fn run_link(
        &mut self,
        token: Token,
        possible: Possible,
        budget: &mut Budget,
    ) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if peer.waiting.is_turn() {
            self.ready.remove(token.index());
        }
        let lease = peer.lease.take().or_else(|| self.workspaces.acquire());
        if lease.is_none() && !peer.connection.is_lingering() {
            return self.wait_for_workspace(token);
        }
        // Bytes of a lingering peer are discarded and need no workspace.
        let mut workspace = match &lease {
            Some(lease) => self.workspaces.open(lease),
            None => Workspace::new(&mut [], &mut [], Cursors::default()),
        };
        if peer.connection.is_greeting() {
            peer.connection
                .begin(&mut workspace, &mut self.pump.protocol);
        }
        let next = self.pump.run(peer, &mut workspace, possible, budget);
        let facts = Facts {
            holds: !workspace.is_empty(),
            is_mid_message: peer.connection.is_mid_message(),
            is_next: peer.connection.take_end_of_frame(),
            is_contended: !self.waiting.is_empty(),
        };
        let at = workspace.cursors();
        match lease {
            Some(lease) if facts.holds => {
                self.workspaces.leave(&lease, at);
                peer.lease = Some(lease);
            }
            Some(lease) => self.workspaces.release_workspace(lease),
            None => {}
        }
        let Next { want, has_more } = next;
        let now = self.pump.now;
        peer.waiting = peer
            .waiting
            .after(want, has_more, facts, &self.timeouts, now);
        if peer.waiting.is_amid() {
            let (deadline, _) = deadline(&peer.waiting, &self.timeouts);
            self.timers.arm_by(token.index(), deadline);
        }
        let is_settled = matches!(want, Want::Read | Want::Write)
            && !has_more
            && !facts.is_contended
            && !peer.waiting.is_memory()
            && interest(&peer.waiting, self.settings.trigger) == peer.registered;
        match is_settled {
            true => peer.check(self.settings.trigger),
            false => self.settle(token, want),
        }
    }

    /// Registers the interest in what the connection wants next, and arms its deadline.
    fn settle(&mut self, token: Token, want: Want) {
        self.serve_workspace_queue();
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if want == Want::Close {
            return self.release(token);
        }
        if peer.waiting.is_effect() {
            self.await_effect(token);
        }
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        // Before the interest is changed: if that fails, the connection is released, and a release
        // removes it from the list.
        if peer.waiting.is_turn() {
            self.ready.push(token.index());
        }
        match interest(&peer.waiting, self.settings.trigger) {
            interest if interest != peer.registered => self.change_interest(token, interest),
            // The connection may have begun to linger, which has a deadline of its own.
            _ => self.arm(token),
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
