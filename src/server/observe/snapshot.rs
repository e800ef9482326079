//! The loop looked at from outside, between two turns: what tests hold against the kernel and
//! against each other.
//!
//! It changes nothing and is not on the way of a byte. What it tells of a connection is worked out
//! from the connection itself, never read back from what the loop has noted, where there is a
//! choice: that is what makes the comparison worth something.

use crate::kernel::{Interest, Opener, Spawner, Time, Token};
use crate::protocol::connection::Want;
use crate::protocol::service::Service;

use crate::server::Server;

/// How one connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub token: Token,
    /// What the loop believes the kernel was told last.
    pub registered: Interest,
    /// What it wants next.
    pub want: Want,
    /// A workspace is lent to it.
    pub lent: bool,
    /// The workspace has bytes in it.
    pub holds: bool,
    /// It has more to do in the next turn.
    pub has_more: bool,
    /// It waits for news of its effect.
    pub awaits: bool,
    /// It waits for a workspace.
    pub waits: bool,
    /// It waits for a place to run its command in.
    pub queues: bool,
    /// It is counted under its address.
    pub charged: bool,
    /// It waits for the kernel to have memory.
    pub paused: bool,
    /// When it is closed if nothing moves until then.
    pub deadline: Time,
    /// When it is looked at again; never later than the deadline, unless it is paused.
    pub armed: Time,
}

/// How many entries the loop keeps for its connections: each belongs to one that is there, or it
/// was left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// In the queue of those that have more to do.
    pub ready: usize,
    /// In the queue for a workspace.
    pub waiting: usize,
    /// In the queue for a place to run a command in.
    pub queued: usize,
    /// Deadlines.
    pub armed: usize,
    /// Connections counted under an address, over all addresses.
    pub charged: u32,
    /// The most that one address has.
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
            charged: self.per_ip.charges().sum(),
            charged_most: self.per_ip.charges().max().unwrap_or(0),
        }
    }

    /// Shows how every connection stands.
    pub fn for_each_connection(&mut self, mut look: impl FnMut(Snapshot)) {
        let has_effects = self.has_effects();
        for slot in 0..self.links.used() {
            let Some(token) = self.links.key(slot) else {
                continue;
            };
            let (deadline, _) = self.deadline_of(token);
            let Some(peer) = self.links.get_mut(token) else {
                continue;
            };
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
                has_more: self.ready.contains(slot),
                awaits: peer.connection.awaits(),
                waits: self.waiting.contains(slot),
                queues: has_effects && self.children.waiting.contains(slot),
                charged: self.per_ip.counts(slot),
                paused: peer.paused,
                deadline,
                armed: self.timers.armed(slot),
            });
        }
    }

    /// How many descriptors it holds, beside those of the kernel itself.
    pub fn descriptors(&self) -> usize {
        let own = self.listeners.len() + usize::from(self.acceptor.has_reserve());
        self.links.len() + self.children.descriptors() + own
    }

    /// Whether new connections are taken in.
    pub fn is_open(&self) -> bool {
        self.acceptor.is_open() && !self.listeners.is_empty()
    }

    /// Whether every slot is taken.
    pub fn is_full(&self) -> bool {
        self.links.is_full()
    }

    /// Whether it has more to do before it may sleep.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Workspaces lent and not.
    pub fn workspaces(&self) -> usize {
        self.workspaces.count()
    }
}
