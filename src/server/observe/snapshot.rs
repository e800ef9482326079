//! A snapshot of the loop between two turns, for tests that compare it with the kernel and check it
//! for consistency.
//!
//! It changes nothing and is not on the data path. Where there is a choice, the state of a
//! connection is computed from the connection itself and not read from the loop's bookkeeping;
//! otherwise the comparison would prove nothing.

use crate::kernel::{Interest, Poller, Time, Token};
use crate::protocol::connection::Want;
use crate::protocol::service::Service;

use crate::server::reactor::Reactor;

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
    /// A rate holds the connection back.
    pub held_back: bool,
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

impl Entries {
    /// Counts the entries.
    pub(in crate::server) fn of<K: Poller, S: Service>(reactor: &Reactor<K, S>) -> Entries {
        let [ready, waiting, queued, armed] = reactor.lists().lengths();
        let charges = reactor.charges();
        Entries {
            ready,
            waiting,
            queued,
            armed,
            charged: charges.charges().sum(),
            charged_most: charges.charges().max().unwrap_or(0),
        }
    }
}

impl Snapshot {
    /// Calls `look` with the state of every connection.
    pub(in crate::server) fn of_each<K: Poller, S: Service>(
        reactor: &mut Reactor<K, S>,
        mut look: impl FnMut(Snapshot),
    ) {
        let has_effects = reactor.pump().protocol.service.effects().is_some();
        reactor.for_each(|slow, token, link, is_charged| {
            link.check(slow.settings().trigger);
            let (deadline, ..) = slow.deadline(token, link);
            let lease = link.lease.as_ref();
            let workspace = lease.map(|lease| slow.workspaces_mut().open(lease));
            let owes = workspace.as_ref().is_some_and(|it| !it.owed().is_empty());
            let (lent, holds) = (
                workspace.is_some(),
                workspace.is_some_and(|workspace| !workspace.is_empty()),
            );
            let lists = slow.lists();
            look(Snapshot {
                token,
                registered: link.registered,
                want: link.connection.wants(owes),
                lent,
                holds,
                has_more: link.waiting.is_turn(),
                awaits: link.connection.awaits(),
                waits: link.waiting.is_workspace(),
                queues: has_effects && lists.is_awaiting(token.index()),
                charged: is_charged,
                paused: link.waiting.is_memory(),
                held_back: link.waiting.is_tokens(),
                deadline,
                armed: lists.armed(token.index()),
            });
        });
    }
}
