//! Admission: which connections are accepted, and when the listeners pause.

pub(in crate::server) mod acceptor;
pub mod announced;
pub mod handoff;
mod listener;
pub mod listeners;
mod pause;
pub mod per_address;
mod placement;

/// How the workers of a server share its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptPolicy {
    /// Each worker has a listener of its own, and the kernel chooses one by a hash of the addresses
    /// and ports: SO_REUSEPORT.
    Reuseport,
    /// All workers have the same listener, and the kernel wakes one that sleeps: EPOLLEXCLUSIVE.
    Exclusive,
    /// The first worker has the listener, and hands connections to all workers in turn.
    Handoff,
}
