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

use crate::kernel::{Opener, Spawner, Token};
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::waiting::interest;

impl<K: Spawner + Opener, S: Service> Server<K, S> {
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
        peer.waiting.lacks_workspace(self.pump.now);
        self.pump.counters.workspace_waits += 1;
        let interest = interest(&peer.waiting, self.settings.trigger);
        self.change_interest(token, interest);
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
                    peer.waiting.lent(self.pump.now);
                    self.ready.push(token.index());
                }
                None => self.workspaces.release_workspace(lease),
            }
        }
    }
}
