//! What the loop keeps for each connection, in its slot: the machine, its socket, and what is known
//! of both.
//!
//! It is kept small, for there is one for each slot and idle ones are most. What is only needed
//! while there are bytes is kept with the workspace. Neighbours: `slots` holds them, `pump` works
//! on them.

use crate::kernel::{Interest, Sockets, Time, Token};
use crate::protocol::connection::Connection;
use crate::protocol::service::Service;
use crate::store::slots::Key;

use super::pool::Lease;

impl Key for Token {
    fn new(index: u32, generation: u32) -> Token {
        Token::new(index, generation)
    }

    #[inline]
    fn index(self) -> u32 {
        Token::index(self)
    }

    #[inline]
    fn generation(self) -> u32 {
        Token::generation(self)
    }
}

/// A connection and what the loop knows about it.
pub(super) struct Link<K: Sockets, S: Service> {
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
    pub(super) drain_reads: u8,
    /// A request has ended after the time for reading of a shutdown: no other is read.
    pub(super) has_finished: bool,
    /// While it lingers: what the kernel held of its replies at `active_at`.
    pub(super) unacknowledged: u32,
    /// When the frame began that is under way and of which nothing is kept, and later by the time
    /// for which the connection has waited for us since; else never.
    pub(super) frame_since: Time,
    /// When bytes last moved, or when it began to linger or to wait for a workspace; later by the
    /// time for which it has waited for the kernel's memory since.
    pub(super) active_at: Time,
}

impl<K: Sockets, S: Service> Link<K, S> {
    /// Whether it holds no bytes and nothing but reading is due.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        // Not `||`: a jump less for each request.
        let is_due_more = self.read_to_end | self.answered;
        self.lease.is_none() && !is_due_more && self.connection.is_open()
    }

    /// Bytes of its replies, our FIN being sent, that the peer's kernel has not acknowledged. What
    /// cannot be told is nothing to wait for.
    pub(super) fn unacknowledged_replies(&self, kernel: &mut K) -> u32 {
        // The FIN counts as one, and nobody misses it.
        const FIN: usize = 1;
        match kernel.unacknowledged(&self.socket) {
            Ok(count) if count > FIN => u32::try_from(count).unwrap_or(u32::MAX),
            _ => 0,
        }
    }
}
