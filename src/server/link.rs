//! One slot of the server: the connection, its socket, and what the loop knows about both.
//!
//! A link is small, because every slot has one and most connections are idle. What is needed only
//! while bytes lie in the buffers is stored with the workspace. Neighbours: `slots` holds the
//! links, `pump` moves their bytes.

use crate::kernel::{Interest, Sockets, Token, Trigger};
use crate::protocol::connection::Connection;
use crate::protocol::service::Service;
use crate::store::slots::Key;

use super::observe::tap::Told;
use super::pool::Lease;
use super::waiting::{Waiting, holds_workspace, interest};

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
    /// What the connection waits for.
    pub(super) waiting: Waiting,
    /// The interest that epoll has, so that it is changed only when it differs.
    pub(super) registered: Interest,
    /// epoll has reported the end of the stream or an urgent byte: read on after a short read.
    pub(super) read_to_end: bool,
    /// Was read in this turn, and its answer is not sent yet or its bytes are not handled yet.
    pub(super) is_staged: bool,
    /// Reads during a drain, up to [`DRAIN_READS_MIN`].
    pub(super) drain_reads: u8,
    /// A request was answered after the reading time of a drain: no other is read.
    pub(super) has_finished: bool,
    /// An effect runs for its request.
    pub(super) has_effect: bool,
    /// What the trace was last told.
    pub(super) told: Told,
    /// Its number in the wiretap; 0 without one.
    pub(super) number: u32,
}

impl<K: Sockets, S: Service> Link<K, S> {
    /// Whether the connection is at rest: no bytes are held, and only a read is wanted.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        // `|` instead of `||` saves a jump per request.
        let is_due_more = self.read_to_end | self.is_staged;
        self.waiting.is_request() && !is_due_more
    }

    /// Checks the caches against what the connection waits for: whether a workspace is held, and
    /// the interest that epoll has. In a turn, both may be those from before it.
    #[inline]
    pub(super) fn check(&self, trigger: Trigger) {
        debug_assert!(!self.is_staged, "{:?}", self.waiting);
        let holds = holds_workspace(&self.waiting);
        debug_assert!(
            holds.is_none_or(|holds| holds == self.lease.is_some()),
            "{:?} with {:?}",
            self.waiting,
            self.lease
        );
        debug_assert!(
            self.waiting.is_turn() || interest(&self.waiting, trigger) == self.registered,
            "{:?} with {:?}",
            self.waiting,
            self.registered
        );
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
