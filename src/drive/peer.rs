//! What the loop keeps for each connection, in its slot: the machine, its socket, and what is known
//! of both.
//!
//! It is kept small, for there is one for each slot and idle ones are most. What is only needed
//! while there are bytes is kept with the workspace. Neighbours: `slots` holds them, `pump` works
//! on them.

use crate::connection::Connection;
use crate::kernel::{Interest, Sockets, Time};
use crate::service::Service;

use super::workspaces::Lease;

/// A connection and what the loop knows about it.
pub(super) struct Peer<K: Sockets, S: Service> {
    pub(super) socket: K::Socket,
    pub(super) connection: Connection<S>,
    /// Its buffers, while there is something in them.
    pub(super) lease: Option<Lease>,
    /// What the kernel was last told.
    pub(super) registered: Interest,
    /// Its end was announced, or an urgent byte: a short read is not the last one.
    pub(super) read_to_end: bool,
    /// How often, one after the other, the kernel had no memory for its bytes.
    pub(super) refusals: u8,
    /// It asks for nothing until its deadline, and then tries again.
    pub(super) paused: bool,
    /// It was read from in this batch, and its answer goes out with those of the others.
    pub(super) answered: bool,
    /// Reads while the server is shutting down, up to [`DRAIN_READS_MIN`].
    pub(super) last_reads: u8,
    /// A request has ended after the time for reading of a shutdown: no other is read.
    pub(super) has_finished: bool,
    /// While it lingers: what the kernel held of its replies at `active_at`.
    pub(super) unsent: u32,
    /// When the frame began that is under way and of which nothing is kept, and later by the time
    /// for which the connection has waited for us since; else never.
    pub(super) amid_since: Time,
    /// When bytes last moved, or when it began to linger or to wait for a workspace; later by the
    /// time for which it has waited for the kernel's memory since.
    pub(super) active_at: Time,
}

impl<K: Sockets, S: Service> Peer<K, S> {
    /// Whether it holds no bytes and nothing but reading is due.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        // Not `||`: a jump less for each request.
        let is_due_more = self.read_to_end | self.answered;
        self.lease.is_none() && !is_due_more && self.connection.is_open()
    }

    /// Bytes of its replies, our FIN being sent, that the peer's kernel has not acknowledged. What
    /// cannot be told is nothing to wait for.
    pub(super) fn still_unsent(&self, kernel: &mut K) -> u32 {
        // The FIN counts as one, and nobody misses it.
        const FIN: usize = 1;
        match kernel.unsent(&self.socket) {
            Ok(count) if count > FIN => u32::try_from(count).unwrap_or(u32::MAX),
            _ => 0,
        }
    }
}
