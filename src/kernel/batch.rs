//! Several receives, or several sends, as one batch: what [`Sockets::receive_batch`] and
//! [`Sockets::send_batch`] take.
//!
//! ```text
//!   pending(0), pending(1), ...    the calls to come: a kernel may make all of them at once
//!   receive(..), receive(..), ...  one after the other: its call is made, its result is handled
//! ```
//!
//! The default makes each call when its turn comes, so a batch costs what its calls cost: nothing
//! is listed beforehand and nothing is allocated. A kernel that can make many calls at once asks
//! for the pending ones, makes them together, and then hands out their results in order.
//! Invariants: `receive` and `send` take the calls in the order of `pending`, and each makes its
//! call exactly once. The batch never sees how the calls were made. Neighbours: `kernel` has the
//! defaults; the reactor's batch is the user. Man pages: recv(2), send(2), io_uring(7).
//!
//! [`Sockets::receive_batch`]: super::Sockets::receive_batch
//! [`Sockets::send_batch`]: super::Sockets::send_batch

use std::io;

/// The receives of one batch.
///
/// What [`pending`](Self::pending) returns must not depend on the results of receives that have
/// not been handled yet, because they may all have been made already: bytes that were received for
/// a socket are lost if it is not handled.
pub trait ReceiveBatch<S> {
    /// The socket of the receive `ahead` places behind the next one: 0 is the next. `None` if
    /// there is no such receive.
    fn pending(&self, ahead: usize) -> Option<&S>;

    /// Handles the next receive. `call` makes it, into `room`, which begins at `start` in the space
    /// of the batch. Returns how many bytes of `room` have to be kept until the end of the batch;
    /// `None`, without a call, where `pending(0)` is `None`.
    fn receive(
        &mut self,
        start: usize,
        room: &mut [u8],
        call: impl FnOnce(&S, &mut [u8]) -> io::Result<usize>,
    ) -> Option<usize>;
}

/// The sends of one batch.
pub trait SendBatch<S> {
    /// The socket and the bytes of the send `ahead` places behind the next one: 0 is the next.
    /// `None` if there is no such send. Nothing is sent to one socket twice in a batch.
    fn pending(&self, ahead: usize) -> Option<(&S, &[u8])>;

    /// Handles the next send, which `call` makes. `false`, without a call, where `pending(0)` is
    /// `None`.
    fn send(&mut self, call: impl FnOnce(&S, &[u8]) -> io::Result<usize>) -> bool;
}
