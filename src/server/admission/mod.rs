//! Admission: which connections are accepted, and when the listeners pause.

pub(in crate::server) mod acceptor;
pub mod per_address;
