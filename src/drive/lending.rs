//! Who keeps a workspace, and who waits for one.
//!
//! Between two turns a workspace is held by whoever has bytes in it and by nobody else. Two things
//! bound how long: a peer that is owed bytes has its stall time-out, and one whose frame is under
//! way has the frame time-out, which no byte renews, so that whoever sends one byte a second does
//! not hold a workspace for ever ("slow loris", CVE-2007-6750). When all are lent, connections wait
//! in order and ask the kernel for nothing, for a readiness that nobody takes up would be reported
//! for ever.

use crate::connection::Want;
use crate::kernel::{Interest, Opener, Poller, Time, Token};
use crate::service::Service;

use super::Server;
use super::workspaces::Lease;

impl<K: Poller + Opener, S: Service> Server<K, S> {
    /// Leaves a workspace with a connection that has bytes in it. `frames` is what was counted
    /// before it was worked on: if that has changed, what it holds is another frame than before.
    pub(super) fn keep(&mut self, token: Token, lease: Lease, want: Want, frames: u64) {
        let before = self.workspaces.frame_since(&lease);
        let since = match want {
            Want::Read if before == Time::NEVER || self.counters.frames != frames => self.now,
            Want::Read => before,
            // While it is owed something, it is for the peer to read and not to write.
            _ => Time::NEVER,
        };
        self.workspaces.set_frame_since(&lease, since);
        if let Some(peer) = self.peers.get_mut(token) {
            peer.lease = Some(lease);
        }
        if let Some(timeout) = self.settings.frame_timeout {
            self.timers.arm_by(token.index(), since.after(timeout));
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
        // It has said something, or we would not be here: it is not idle, we are busy.
        peer.active_at = self.now;
        peer.paused = false;
        self.counters.workspace_waits += 1;
        self.change_interest(token, Interest::NONE.under(self.settings.trigger));
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
                    // Its deadline may come in this very turn: it has waited, not been idle.
                    peer.active_at = self.now;
                    self.ready.push(token.index());
                }
                None => self.workspaces.give_back(lease),
            }
        }
    }
}
