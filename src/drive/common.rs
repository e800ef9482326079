//! What all connections of a worker have in common, and each needs when it is its turn.
//!
//! It is a value of its own so that a connection and this can be held at once, the slots being
//! another part of the server. Neighbours: `epoll` owns it and sets the time, `pump` and `refusal`
//! are what it does for one connection.

use crate::connection::Protocol;
use crate::kernel::{Sockets, Time};
use crate::service::Service;

use super::counters::Counters;
use super::pump::Reading;

/// The kernel below, the protocol above, and what holds for everybody in this turn.
pub(super) struct Common<K: Sockets, S: Service> {
    pub(super) kernel: K,
    pub(super) protocol: Protocol<S>,
    pub(super) counters: Counters,
    /// When to read a second time; this is the whole difference between the two triggers.
    pub(super) reading: Reading,
    /// The time of this turn.
    pub(super) now: Time,
}
