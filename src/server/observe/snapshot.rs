//! A snapshot of the loop between two turns, for tests that compare it with the kernel and check it
//! for consistency.
//!
//! It changes nothing and is not on the data path. Where there is a choice, the state of a
//! connection is computed from the connection itself and not read from the loop's bookkeeping;
//! otherwise the comparison would prove nothing.

use crate::kernel::{Interest, Opener, Spawner, Time, Token};
use crate::protocol::connection::Want;
use crate::protocol::service::Service;

use crate::server::Server;
use crate::server::waiting::deadline;

/// State of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its token.
    pub token: Token,
    /// The interest that the loop last registered.
    pub registered: Interest,
    /// What the connection wants next.
    pub want: Want,
    /// The connection holds a workspace.
    pub lent: bool,
    /// The workspace contains bytes.
    pub holds: bool,
    /// The connection has more to do in the next turn.
    pub has_more: bool,
    /// The connection waits for its effect.
    pub awaits: bool,
    /// The connection waits for a workspace.
    pub waits: bool,
    /// The connection waits for a place to run its command.
    pub queues: bool,
    /// The connection is counted under its address.
    pub charged: bool,
    /// The connection waits for the kernel to have memory.
    pub paused: bool,
    /// When the connection is closed if nothing changes.
    pub deadline: Time,
    /// When its timer fires; never later than the deadline, unless the connection is paused.
    pub armed: Time,
}

/// Number of entries that the loop keeps for its connections. An entry without a connection is a
/// leak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// In the queue of connections that have more to do.
    pub ready: usize,
    /// In the queue for a workspace.
    pub waiting: usize,
    /// In the queue for a place to run a command.
    pub queued: usize,
    /// Armed timers.
    pub armed: usize,
    /// Connections counted under an address, over all addresses.
    pub charged: u32,
    /// Largest number of connections of one address.
    pub charged_most: u32,
}

impl<K: Spawner + Opener, S: Service> Server<K, S> {
    /// Counts the entries.
    pub fn entries(&self) -> Entries {
        Entries {
            ready: self.ready.len(),
            waiting: self.waiting.len(),
            queued: self.children.waiting.len(),
            armed: self.timers.len(),
            charged: self.acceptor.per_address().charges().sum(),
            charged_most: self.acceptor.per_address().charges().max().unwrap_or(0),
        }
    }

    /// Calls `look` with the state of every connection.
    pub fn for_each_connection(&mut self, mut look: impl FnMut(Snapshot)) {
        let has_effects = self.has_effects();
        for slot in 0..self.links.used() {
            let Some(token) = self.links.key(slot) else {
                continue;
            };
            let Some(peer) = self.links.get_mut(token) else {
                continue;
            };
            peer.check(self.settings.trigger);
            let (deadline, _) = deadline(&peer.waiting, &self.timeouts);
            let workspace = peer.lease.as_ref().map(|lease| self.workspaces.open(lease));
            let owes = workspace
                .as_ref()
                .is_some_and(|workspace| !workspace.owed().is_empty());
            look(Snapshot {
                token,
                registered: peer.registered,
                want: peer.connection.wants(owes),
                lent: workspace.is_some(),
                holds: workspace.is_some_and(|workspace| !workspace.is_empty()),
                has_more: peer.waiting.is_turn(),
                awaits: peer.connection.awaits(),
                waits: peer.waiting.is_workspace(),
                queues: has_effects && self.children.waiting.contains(slot),
                charged: self.acceptor.per_address().counts(slot),
                paused: peer.waiting.is_memory(),
                deadline,
                armed: self.timers.armed(slot),
            });
        }
    }

    /// Number of descriptors held by the server, without those of the kernel layer.
    pub fn descriptors(&self) -> usize {
        let own = self.acceptor.descriptors();
        self.links.len() + self.children.descriptors() + own
    }

    /// Whether new connections are accepted.
    pub fn is_open(&self) -> bool {
        self.acceptor.is_open() && self.acceptor.listeners() > 0
    }

    /// Whether every slot is taken.
    pub fn is_full(&self) -> bool {
        self.links.is_full()
    }

    /// Whether a connection has more to do, so that the loop must not sleep.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Number of workspaces, lent and free.
    pub fn workspaces(&self) -> usize {
        self.workspaces.count()
    }
}
