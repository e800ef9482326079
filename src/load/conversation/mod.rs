//! One conversation of the load: the bytes of requests and replies, without a socket or a clock.

pub mod connection;
pub mod http;
pub mod late_datagrams;
pub mod mismatch;
pub mod page;
pub mod session;
