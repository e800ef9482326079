//! One connection at one event: works on it as far as it goes, and tells the kernel what it wants
//! next.
//!
//! Nearly every event takes the straight course: a connection at rest reads once and writes once,
//! in a workspace that is borrowed for just so long. Whatever else may happen goes step by step
//! with a workspace on lease, and if there is none, waits for one. Neighbours: `epoll` calls,
//! `pump` moves the bytes.

use std::io;

use crate::base::buffer::{InboundCursors, OutboundCursors};
use crate::connection::{CloseReason, Cursors, Want, Workspace};
use crate::kernel::{Interest, Opener, Readiness, Spawner, Time, Token};
use crate::service::Service;

use super::Server;
use super::lending::Moved;
use super::pump::{Can, Course, Reading, Stopped};
use super::workspaces::Lease;

/// The end of the stream may be here.
const OVER: Readiness = Readiness::RDHUP.union(Readiness::HUP).union(Readiness::ERR);
/// A short read may not be the last one: the end is behind it, or what follows an urgent byte.
const TO_THE_END: Readiness = OVER.union(Readiness::PRI);

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Does at an event what a connection wants, and tells the kernel what it wants next.
    #[inline]
    pub(super) fn advance(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.peers.get_mut(token) else {
            self.common.counters.stale_events += 1;
            return;
        };
        if readiness == Readiness::IN && peer.is_at_rest() {
            match self.try_straight(token) {
                Some(Course::Done) => return,
                Some(course) => return self.leave_the_straight(token, course),
                None => {}
            }
        }
        if self.ready.contains(token.index()) {
            return self.leave_to_its_turn(token, readiness);
        }
        self.advance_by_steps(token, readiness);
    }

    /// What has more to do has its turn behind the events, and would have two of them; what the
    /// kernel reports again and what comes of trying need not be kept until then.
    #[cold]
    fn leave_to_its_turn(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        if peer.connection.awaits() {
            // It tries nothing in its turn, and that its peer is gone may be told once.
            return self.advance_by_steps(token, readiness);
        }
        peer.read_to_end |= readiness.intersects(TO_THE_END);
    }

    /// Takes the straight course, if this service and the times allow it, with a borrowed
    /// workspace.
    // It has two callers, and in the hot one a call would cost a fifth of all instructions.
    #[inline(always)]
    pub(super) fn try_straight(&mut self, token: Token) -> Option<Course> {
        if !self.goes_straight {
            return None;
        }
        let peer = self.peers.get_mut(token)?;
        if !peer.connection.is_in_place(&self.common.protocol) {
            return None;
        }
        let space = self.workspaces.borrow()?;
        Some(self.common.go_straight(peer, space))
    }

    #[cold]
    pub(super) fn leave_the_straight(&mut self, token: Token, course: Course) {
        match course {
            Course::Done => {}
            Course::Over(want) => self.settle(
                token,
                &Stopped {
                    want,
                    has_more: false,
                },
            ),
            Course::Left(at, can) => {
                let Some(lease) = self.workspaces.lend() else {
                    unreachable!("it was borrowed a moment ago, and nothing was lent since");
                };
                self.go_on_with(token, lease, at, can);
            }
        }
    }

    /// Goes on step by step with bytes that came to lie in `lease` on the straight course.
    #[cold]
    pub(super) fn go_on_with(&mut self, token: Token, lease: Lease, at: InboundCursors, can: Can) {
        let Some(peer) = self.peers.get_mut(token) else {
            return self.workspaces.give_back(lease);
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
        let answered = peer
            .connection
            .resume(&mut workspace, &mut self.common.protocol);
        debug_assert_eq!(answered, 0, "it was left too early");
        let at = workspace.cursors();
        self.workspaces.leave(&lease, at);
        peer.lease = Some(lease);
        self.work(token, can, frames);
    }

    /// The same, but not on the straight course.
    pub(super) fn advance_by_steps(&mut self, token: Token, readiness: Readiness) {
        let Some(peer) = self.peers.get_mut(token) else {
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
        let to_the_last = self.common.reading == Reading::ToTheLast;
        let can = Can {
            read: over || to_the_last || readiness.intersects(Readiness::IN),
            write: over || readiness.intersects(Readiness::OUT) || !was_refused,
        };
        self.work(token, can, self.settings.frames_per_event);
    }

    /// Works on a connection step by step, with a workspace of its own, and answers at most so many
    /// `frames`.
    pub(super) fn work(&mut self, token: Token, can: Can, frames: u64) {
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        let Some(lease) = peer.lease.take().or_else(|| self.workspaces.lend()) else {
            if !peer.connection.is_lingering() {
                return self.wait_for_workspace(token);
            }
            // What it says is thrown away, and takes no room.
            let mut nothing = Workspace::new(&mut [], &mut [], Cursors::default());
            let stopped = self.common.run(peer, &mut nothing, can);
            return self.settle(token, &stopped);
        };
        let before = Moved::of(&self.common.counters);
        let mut workspace = self.workspaces.open(&lease);
        workspace.frames_left = frames;
        if peer.connection.is_silent() {
            peer.connection
                .begin(&mut workspace, &mut self.common.protocol);
        }
        let stopped = self.common.run(peer, &mut workspace, can);
        let settled = stopped.interest(self.settings.trigger) == Some(peer.registered)
            && stopped.want != Want::Discard
            && stopped.want != Want::Await
            && !peer.paused;
        if workspace.is_empty() {
            if peer.connection.is_amid() || peer.amid_since != Time::NEVER {
                self.note_the_frame(token, &lease);
            }
            self.workspaces.give_back(lease);
        } else {
            let at = workspace.cursors();
            self.workspaces.leave(&lease, at);
            self.keep(token, lease, stopped.want, before);
        }
        if !settled || stopped.has_more || !self.waiting.is_empty() {
            self.settle(token, &stopped);
        }
    }

    /// Makes what the kernel was told equal to what is wanted.
    fn settle(&mut self, token: Token, stopped: &Stopped) {
        self.lend_to_whoever_waits();
        if stopped.want == Want::Await {
            self.await_effect(token);
        }
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        if peer.paused && stopped.want != Want::Close {
            return self.pause(token);
        }
        // Before its interest is changed: should that fail, it is released and loses its turn.
        if stopped.has_more {
            self.ready.push(token.index());
        }
        match stopped.interest(self.settings.trigger) {
            None if stopped.want == Want::Report => self.report(token),
            None => self.release(token),
            Some(interest) if interest != peer.registered => self.change_interest(token, interest),
            // It may have begun to linger, which has a deadline of its own.
            Some(_) => self.arm(token),
        }
    }

    /// Counts and logs a frame that is to be thrown away, and goes on behind it: one a turn, so
    /// that a peer that sends nothing else is no burden to the others.
    #[cold]
    fn report(&mut self, token: Token) {
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        let (wrong, guess) = (peer.connection.take_error(), peer.connection.guess());
        // It is refused before it is gone, so there is a workspace that holds it.
        if let Some(lease) = &peer.lease {
            let mut workspace = self.workspaces.open(lease);
            workspace.frames_left = self.settings.frames_per_event;
            let protocol = &mut self.common.protocol;
            self.common.counters.frames += peer.connection.reported(&mut workspace, protocol);
            let at = workspace.cursors();
            self.workspaces.leave(lease, at);
        }
        self.common.counters.frames_discarded += 1;
        self.ready.push(token.index());
        if let Some(error) = wrong {
            self.complain(&error, guess, "frame is thrown away");
        }
    }

    #[cold]
    pub(super) fn change_interest(&mut self, token: Token, interest: Interest) {
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        self.common.counters.epoll_ctl += 1;
        self.common.counters.interest_changes += 1;
        match self.common.kernel.reregister(&peer.socket, token, interest) {
            Ok(()) => {
                peer.registered = interest;
                self.arm(token);
            }
            Err(error) => self.fail(token, &error),
        }
    }

    /// The kernel cannot watch a connection: that is its end and nobody else's.
    #[cold]
    pub(super) fn fail(&mut self, token: Token, error: &io::Error) {
        self.common.counters.refused_registration += 1;
        if let Some(peer) = self.peers.get_mut(token) {
            log::debug!("epoll_ctl: {error}");
            peer.connection.close(CloseReason::Failed);
        }
        self.release(token);
    }
}
