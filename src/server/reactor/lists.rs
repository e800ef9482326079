//! The lists of connections that continue without an event of their own, and their timers.
//!
//! ```text
//!   Turn        ready      continued in the next turn
//!   Workspace   starved    lent a workspace in this order
//!   Effect      awaiting   its effect is started in this order
//! ```
//!
//! Invariant: between two turns the first two lists hold exactly the connections whose stored
//! [`Waiting`] says so, and an armed timer is never later than the deadline that follows from it. A
//! released connection is in no list. Neighbours: `waiting`, and `slow_path`, which settles both.

use crate::kernel::{Time, Token};
use crate::limits::COMMANDS_MAX;
use crate::server::waiting::{Timeouts, Waiting, deadline};
use crate::store::queue::Queue;
use crate::store::timers::Timers;

/// The lists and the timers of all connections.
pub(in crate::server) struct Lists {
    ready: Queue,
    starved: Queue,
    awaiting: Queue,
    /// Connections that have joined the list since this was last asked.
    joined: usize,
    /// Connections that have closed while an effect ran for them.
    abandoned: Vec<Token>,
    /// The deadlines of the connections, and of the loop's own timers in the slot behind theirs.
    timers: Timers,
    timeouts: Timeouts,
    /// The slot of the loop's own timers.
    own: u32,
}

impl Lists {
    /// Memory of one connection, in bytes.
    pub(in crate::server) fn slot_size(has_effects: bool) -> usize {
        let queues = 2 + usize::from(has_effects);
        queues * Queue::SLOT_SIZE + Timers::SLOT_SIZE
    }

    /// Lists for connections in slots below `slots`.
    pub(in crate::server) fn new(slots: usize, has_effects: bool, timeouts: Timeouts) -> Lists {
        let awaiting = if has_effects { slots } else { 0 };
        Lists {
            ready: Queue::new(slots),
            starved: Queue::new(slots),
            awaiting: Queue::new(awaiting),
            joined: 0,
            abandoned: Vec::with_capacity(awaiting.min(COMMANDS_MAX)),
            timers: Timers::new(slots + 1),
            timeouts,
            own: slots as u32,
        }
    }

    pub(in crate::server) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Puts a connection onto the list of what it waits for.
    pub(in crate::server) fn enter(&mut self, slot: u32, waiting: &Waiting) {
        match waiting {
            Waiting::Turn { .. } => _ = self.ready.push(slot),
            Waiting::Workspace { .. } => _ = self.starved.push(slot),
            Waiting::Effect => {}
            Waiting::Peer(_) | Waiting::Memory { .. } | Waiting::Tokens { .. } => {}
        }
    }

    /// The effect of a connection is to be started.
    #[cold]
    pub(in crate::server) fn await_effect(&mut self, slot: u32) {
        self.joined += usize::from(self.awaiting.push(slot));
    }

    /// A ready connection has its turn now.
    #[inline]
    pub(in crate::server) fn take_turn(&mut self, slot: u32) {
        self.ready.remove(slot);
    }

    /// A connection is released.
    pub(in crate::server) fn leave(&mut self, token: Token, has_effect: bool) {
        let slot = token.index();
        self.timers.disarm(slot);
        self.ready.remove(slot);
        self.starved.remove(slot);
        if self.abandoned.capacity() > 0 {
            self.awaiting.remove(slot);
        }
        if has_effect {
            self.abandoned.push(token);
        }
    }

    /// The connections that are ready now.
    #[inline]
    pub(in crate::server) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(in crate::server) fn next_ready(&mut self) -> Option<u32> {
        self.ready.pop()
    }

    /// Whether a connection waits for a workspace.
    #[inline]
    pub(in crate::server) fn is_contended(&self) -> bool {
        !self.starved.is_empty()
    }

    /// The connection that has waited longest for a workspace.
    pub(in crate::server) fn next_starved(&mut self) -> Option<u32> {
        self.starved.pop()
    }

    /// How many connections wait for their effect to start, and how many of them have joined the
    /// list since the last call.
    #[inline]
    pub(in crate::server) fn take_joined(&mut self) -> (usize, usize) {
        (self.awaiting.len(), std::mem::take(&mut self.joined))
    }

    /// Whether a connection waits for its effect to start.
    #[inline]
    pub(in crate::server) fn has_awaiting(&self) -> bool {
        !self.awaiting.is_empty()
    }

    /// Whether the connection in `slot` waits for its effect to start.
    pub(in crate::server) fn is_awaiting(&self, slot: u32) -> bool {
        self.awaiting.contains(slot)
    }

    /// Whether connections have closed while an effect ran for them.
    #[inline]
    pub(in crate::server) fn has_abandoned(&self) -> bool {
        !self.abandoned.is_empty()
    }

    /// The connection that has waited longest for its effect to start.
    pub(in crate::server) fn next_awaiting(&mut self) -> Option<u32> {
        self.awaiting.pop()
    }

    pub(in crate::server) fn next_abandoned(&mut self) -> Option<Token> {
        self.abandoned.pop()
    }

    /// Sets the deadline of a connection anew, because what it waits for has changed.
    pub(in crate::server) fn arm(&mut self, slot: u32, waiting: &Waiting) {
        match deadline(waiting, &self.timeouts).0 {
            Time::NEVER => self.timers.disarm(slot),
            deadline if waiting.is_last_ack() => self.timers.arm_by(slot, deadline),
            deadline => self.timers.arm(slot, deadline),
        }
    }

    /// Sets the deadline of a connection if it has become earlier.
    pub(in crate::server) fn arm_by(&mut self, slot: u32, waiting: &Waiting) {
        let (deadline, _) = deadline(waiting, &self.timeouts);
        self.timers.arm_by(slot, deadline);
    }

    /// Sets the deadline of a connection if `until` is earlier.
    pub(in crate::server) fn arm_until(&mut self, slot: u32, until: Time) {
        self.timers.arm_by(slot, until);
    }

    /// Sets the deadline of the loop's own timers. In the same heap it costs the fast path nothing.
    pub(in crate::server) fn arm_own(&mut self, deadline: Time) {
        match deadline {
            Time::NEVER => self.timers.disarm(self.own),
            deadline => self.timers.arm(self.own, deadline),
        }
    }

    /// The next armed deadline.
    #[inline]
    pub(in crate::server) fn next_deadline(&self) -> Time {
        self.timers.next()
    }

    /// The slot of a connection whose armed deadline has passed, or a slot without a connection for
    /// the loop's own timers. It is not armed any more.
    pub(in crate::server) fn pop_due(&mut self, now: Time) -> Option<u32> {
        self.timers.pop_due(now)
    }

    /// When the timer of a connection fires.
    pub(in crate::server) fn armed(&self, slot: u32) -> Time {
        self.timers.armed(slot)
    }

    /// How many connections are ready, starved and awaiting, and how many have a timer.
    pub(in crate::server) fn lengths(&self) -> [usize; 4] {
        let queues = [&self.ready, &self.starved, &self.awaiting].map(Queue::len);
        let own = usize::from(self.armed(self.own) != Time::NEVER);
        [queues[0], queues[1], queues[2], self.timers.len() - own]
    }
}
