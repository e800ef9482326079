//! Who keeps a workspace, and who waits for one.
//!
//! Between two turns a workspace is held by whoever has bytes in it and by nobody else. Two things
//! bound how long, and a byte now and then moves neither, so that nobody who dribbles holds a
//! workspace for ever. One whose frame is under way has the frame time-out from its first byte to
//! its last ("slow loris", CVE-2007-6750); or, while others wait, from the first byte of several
//! that follow each other, unless it sends the least that time asks for. And one that is owed bytes
//! must take that least within each stall time-out ("slow read"). When all are lent, connections
//! wait in order and ask the kernel for nothing, for a readiness that nobody takes up would be
//! reported for ever. A deadline that was running before such a wait moves by the time waited.

use std::time::Duration;

use crate::connection::Want;
use crate::kernel::{Interest, Opener, Spawner, Time, Token};
use crate::service::Service;

use super::Server;
use super::counters::Counters;
use super::workspaces::{Held, Lease};

/// How much was moved so far, over all connections.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    bytes_in: u64,
    bytes_out: u64,
}

impl Moved {
    pub(super) fn of(counters: &Counters) -> Moved {
        Moved {
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
        }
    }
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Leaves a workspace with a connection that has bytes in it. `before` is what was counted
    /// before it was worked on.
    pub(super) fn keep(&mut self, token: Token, lease: Lease, want: Want, before: Moved) {
        let now = self.common.now;
        let after = Moved::of(&self.common.counters);
        let is_next = self.has_ended_a_frame(token);
        let was_held = self.workspaces.held(&lease);
        let begun = self.begun(token, was_held, is_next);
        let held = match (want, was_held) {
            // One that waits for its turn has to send in time what it has to send all the same.
            (Want::Read | Want::Resume, Held::ForFrame { since, heard }) => {
                let heard = heard + (after.bytes_in - before.bytes_in);
                // If a frame has ended since, what is held is the beginning of the next. But
                // whoever ends a frame with each few bytes and begins another would hold it for
                // ever, and others wait.
                let is_fair =
                    self.waiting.is_empty() || heard >= self.settings.stall_size_min as u64;
                match is_next && is_fair {
                    true => Held::ForFrame {
                        since: now,
                        heard: 0,
                    },
                    false => Held::ForFrame { since, heard },
                }
            }
            (Want::Read, _) => Held::ForFrame {
                since: begun,
                heard: 0,
            },
            (Want::Write, Held::ForReply { since, taken }) => {
                let taken = taken + (after.bytes_out - before.bytes_out);
                if taken < self.settings.stall_size_min as u64 {
                    Held::ForReply { since, taken }
                } else {
                    Held::ForReply {
                        since: now,
                        taken: 0,
                    }
                }
            }
            (Want::Write, _) => Held::ForReply {
                since: now,
                taken: 0,
            },
            _ => Held::Freely,
        };
        self.workspaces.hold(&lease, held);
        if let Some(peer) = self.peers.get_mut(token) {
            peer.lease = Some(lease);
            peer.amid_since = match want {
                // What is to be thrown away has begun with the header that is still there.
                Want::Report => begun,
                Want::Read | Want::Resume if peer.connection.is_amid() => begun,
                // Of any other frame under way the workspace knows.
                _ => Time::NEVER,
            };
        }
        if let (Held::ForFrame { since, .. }, Some(timeout)) = (held, self.settings.frame_timeout) {
            self.timers.arm_by(token.index(), since.after(timeout));
        }
    }

    fn has_ended_a_frame(&mut self, token: Token) -> bool {
        let peer = self.peers.get_mut(token);
        peer.is_some_and(|peer| peer.connection.take_end_of_frame())
    }

    /// Since when the frame is under way that a connection has got a part of.
    fn begun(&mut self, token: Token, held: Held, is_next: bool) -> Time {
        let earlier = self.peers.get_mut(token).map(|peer| peer.amid_since);
        match (held, earlier) {
            _ if is_next => self.common.now,
            (Held::ForFrame { since, .. }, _) => since,
            (_, Some(since)) if since != Time::NEVER => since,
            _ => self.common.now,
        }
    }

    /// A connection gives its workspace back; but a frame may be under way of which it keeps
    /// nothing, and which has its time like any other.
    #[cold]
    pub(super) fn note_the_frame(&mut self, token: Token, lease: &Lease) {
        let is_next = self.has_ended_a_frame(token);
        let begun = self.begun(token, self.workspaces.held(lease), is_next);
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        if !peer.connection.is_amid() {
            peer.amid_since = Time::NEVER;
            return;
        }
        peer.amid_since = begun;
        if let Some(timeout) = self.settings.frame_timeout {
            self.timers.arm_by(token.index(), begun.after(timeout));
        }
    }

    /// A connection has something to read and no workspace to read it into.
    #[cold]
    pub(super) fn wait_for_workspace(&mut self, token: Token) {
        let slot = token.index();
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        if !self.waiting.push(slot) {
            return;
        }
        // It has said something, or it would not wait. This is the time from which the wait counts.
        peer.active_at = self.common.now;
        peer.paused = false;
        self.common.counters.workspace_waits += 1;
        self.change_interest(token, Interest::NONE.under(self.settings.trigger));
    }

    /// A connection has waited for `span`, and not for its peer: its deadlines move by just that.
    /// It is told afterwards, because no deadline may come nearer later on.
    pub(super) fn put_off(&mut self, token: Token, span: Duration) {
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        if peer.connection.is_lingering() {
            // It owes nothing, and is looked at again in any case.
            return;
        }
        peer.active_at = peer.active_at.after(span);
        peer.amid_since = peer.amid_since.after(span);
        if let Some(lease) = &peer.lease {
            self.workspaces.put_off(lease, span);
        }
    }

    /// Workspaces that came back go to those who have waited longest.
    pub(super) fn lend_to_whoever_waits(&mut self) {
        while !self.waiting.is_empty() {
            let Some(lease) = self.workspaces.lend() else {
                return;
            };
            let waiting = self.waiting.pop().and_then(|slot| self.peers.token(slot));
            match waiting.and_then(|token| Some((token, self.peers.get_mut(token)?))) {
                Some((token, peer)) => {
                    peer.lease = Some(lease);
                    // The wait was for us: each deadline moves by exactly the time waited. A fresh
                    // start would let a peer renew its frame for ever by waiting now and then.
                    let waited = self.common.now.since(peer.active_at);
                    peer.amid_since = peer.amid_since.after(waited);
                    peer.active_at = self.common.now;
                    self.ready.push(token.index());
                }
                None => self.workspaces.give_back(lease),
            }
        }
    }
}
