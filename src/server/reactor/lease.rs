//! Which connections keep a workspace between two turns, and which wait for one.
//!
//! A connection keeps its workspace only while bytes lie in it. Two time-outs bound how long. A
//! single byte now and then renews neither, so a slow peer cannot keep a workspace for ever:
//!
//! - A connection in the middle of a frame has the frame time-out, from the first byte of the frame
//!   to its last (the attack "slow loris", CVE-2007-6750). While other connections wait, the
//!   time-out runs on over frames that follow each other, unless the peer sends at least
//!   `stall_size_min` bytes.
//! - A peer that is owed bytes must take at least `stall_size_min` of them within each stall
//!   time-out (the attack "slow read").
//!
//! When all workspaces are lent, connections wait in order and register no interest: epoll would
//! report a readiness again and again that no read uses up. A deadline that was running before such
//! a wait moves by the time waited.

use std::time::Duration;

use crate::kernel::{Interest, Opener, Spawner, Time, Token};
use crate::protocol::connection::Want;
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::observe::counters::Counters;
use crate::server::pool::{Held, Lease};

/// Bytes read and written so far, over all connections.
#[derive(Clone, Copy)]
pub(in crate::server) struct Moved {
    bytes_in: u64,
    bytes_out: u64,
}

impl Moved {
    pub(in crate::server) fn of(counters: &Counters) -> Moved {
        Moved {
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
        }
    }
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Leaves a workspace with a connection that has bytes in it. `before` are the totals from
    /// before this turn of the connection.
    pub(in crate::server) fn hold_workspace(
        &mut self,
        token: Token,
        lease: Lease,
        want: Want,
        before: Moved,
    ) {
        let now = self.pump.now;
        let after = Moved::of(&self.pump.counters);
        let is_next = self.took_frame_end(token);
        let was_held = self.workspaces.held(&lease);
        let frame_start = self.frame_start(token, was_held, is_next);
        let held = match (want, was_held) {
            // A connection that waits for its next turn is under the same frame time-out.
            (Want::Read | Want::Resume, Held::ForFrame { since, heard }) => {
                let heard = heard + (after.bytes_in - before.bytes_in);
                // If a frame has ended since, the workspace holds the beginning of the next one.
                // A peer that ends a frame with every few bytes must not keep the workspace for
                // ever while other connections wait.
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
                since: frame_start,
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
        if let Some(peer) = self.links.get_mut(token) {
            peer.lease = Some(lease);
            peer.frame_since = match want {
                Want::Read | Want::Resume if peer.connection.is_mid_message() => frame_start,
                // For any other unfinished frame, `Held` has the time.
                _ => Time::NEVER,
            };
        }
        if let (Held::ForFrame { since, .. }, Some(timeout)) = (held, self.settings.frame_timeout) {
            self.timers.arm_by(token.index(), since.after(timeout));
        }
    }

    fn took_frame_end(&mut self, token: Token) -> bool {
        let peer = self.links.get_mut(token);
        peer.is_some_and(|peer| peer.connection.take_end_of_frame())
    }

    /// When the first byte of the unfinished frame of a connection arrived.
    fn frame_start(&mut self, token: Token, held: Held, is_next: bool) -> Time {
        let earlier = self.links.get_mut(token).map(|peer| peer.frame_since);
        match (held, earlier) {
            _ if is_next => self.pump.now,
            (Held::ForFrame { since, .. }, _) => since,
            (_, Some(since)) if since != Time::NEVER => since,
            _ => self.pump.now,
        }
    }

    /// Notes the deadline of a frame that is unfinished although no byte of it is kept, such as a
    /// discarded one, when the connection gives its workspace back.
    #[cold]
    pub(in crate::server) fn note_frame(&mut self, token: Token, lease: &Lease) {
        let is_next = self.took_frame_end(token);
        let frame_start = self.frame_start(token, self.workspaces.held(lease), is_next);
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if !peer.connection.is_mid_message() {
            peer.frame_since = Time::NEVER;
            return;
        }
        peer.frame_since = frame_start;
        if let Some(timeout) = self.settings.frame_timeout {
            self.timers
                .arm_by(token.index(), frame_start.after(timeout));
        }
    }

    /// A connection has something to read and no workspace to read it into.
    #[cold]
    pub(in crate::server) fn wait_for_workspace(&mut self, token: Token) {
        let slot = token.index();
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if !self.waiting.push(slot) {
            return;
        }
        // The wait counts from this time. Bytes have arrived, or the connection would not wait.
        peer.active_at = self.pump.now;
        peer.paused = false;
        self.pump.counters.workspace_waits += 1;
        self.change_interest(token, Interest::NONE.under(self.settings.trigger));
    }

    /// Moves the deadlines of a connection by `span`, the time that it waited for the server and
    /// not for its peer. Call this after the wait: a deadline may only move away.
    pub(in crate::server) fn put_off(&mut self, token: Token, span: Duration) {
        let Some(peer) = self.links.get_mut(token) else {
            return;
        };
        if peer.connection.is_lingering() {
            // A lingering connection has no deadline of this kind.
            return;
        }
        peer.active_at = peer.active_at.after(span);
        peer.frame_since = peer.frame_since.after(span);
        if let Some(lease) = &peer.lease {
            self.workspaces.put_off(lease, span);
        }
    }

    /// Lends free workspaces to the connections that have waited longest.
    pub(in crate::server) fn serve_workspace_queue(&mut self) {
        while !self.waiting.is_empty() {
            let Some(lease) = self.workspaces.acquire() else {
                return;
            };
            let waiting = self.waiting.pop().and_then(|slot| self.links.key(slot));
            match waiting.and_then(|token| Some((token, self.links.get_mut(token)?))) {
                Some((token, peer)) => {
                    peer.lease = Some(lease);
                    // Each deadline moves by exactly the time waited. A fresh start would let a
                    // peer renew its frame time-out for ever by waiting now and then.
                    let waited = self.pump.now.since(peer.active_at);
                    peer.frame_since = peer.frame_since.after(waited);
                    peer.active_at = self.pump.now;
                    self.ready.push(token.index());
                }
                None => self.workspaces.release_workspace(lease),
            }
        }
    }
}
