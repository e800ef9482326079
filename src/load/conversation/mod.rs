//! The bytes of requests and replies on one connection, without a socket or a clock; and `session`,
//! which runs `mynah bench` as a whole.

pub mod connection;
pub mod http;
pub mod late_datagrams;
pub mod mismatch;
pub mod page;
pub mod session;
