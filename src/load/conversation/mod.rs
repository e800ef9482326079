//! The bytes of requests and replies on one connection, without a socket or a clock.

pub mod connection;
pub mod exchange;
pub mod http;
pub mod late_datagrams;
pub mod mismatch;
pub mod page;
