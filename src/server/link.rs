//! One slot of the server: the connection, its socket, and what the loop knows about both.
//!
//! A link is small, because every slot has one and most connections are idle. What is needed only
//! while bytes lie in the buffers is stored with the workspace. Neighbours: `slots` holds the
//! links, `pump` moves their bytes.

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
    /// The buffers, while bytes lie in them.
    pub(super) lease: Option<Lease>,
    /// The interest that epoll has.
    pub(super) registered: Interest,
    /// epoll has reported the end of the stream or an urgent byte: read on after a short read.
    pub(super) read_to_end: bool,
    /// Failures for want of kernel memory in a row.
    pub(super) refusals: u8,
    /// No interest is registered until the deadline; then the call is tried again.
    pub(super) paused: bool,
    /// Was read in this batch. The answer is sent in the second phase.
    pub(super) answered: bool,
    /// Reads during a drain, up to [`DRAIN_READS_MIN`].
    pub(super) drain_reads: u8,
    /// A request was answered after the reading time of a drain: no other is read.
    pub(super) has_finished: bool,
    /// While lingering: bytes of replies that the kernel held at `active_at`.
    pub(super) unacknowledged: u32,
    /// When the unfinished frame began of which no byte is kept, plus the time for which the
    /// connection has waited for the server since; [`Time::NEVER`] without such a frame.
    pub(super) frame_since: Time,
    /// When bytes last moved, or when the connection began to linger or to wait for a workspace,
    /// plus the time for which it has waited for kernel memory since.
    pub(super) active_at: Time,
}

impl<K: Sockets, S: Service> Link<K, S> {
    /// Whether the connection is at rest: no bytes are held, and only a read is wanted.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        // `|` instead of `||` saves a jump per request.
        let is_due_more = self.read_to_end | self.answered;
        self.lease.is_none() && !is_due_more && self.connection.is_open()
    }

    /// Bytes of the replies that the peer's kernel has not acknowledged, after our FIN was sent. 0
    /// if the kernel does not tell.
    pub(super) fn unacknowledged_replies(&self, kernel: &mut K) -> u32 {
        // An unacknowledged FIN counts as one byte and is no loss.
        const FIN: usize = 1;
        match kernel.unacknowledged(&self.socket) {
            Ok(count) if count > FIN => u32::try_from(count).unwrap_or(u32::MAX),
            _ => 0,
        }
    }
}
