//! The protocol as bytes: no descriptor, no clock, no system call, no log line.
//!
//! ```text
//!   framing     where a message ends; one file per framing
//!   service     what to answer; one file per service
//!   connection  the state machine between the two: bytes and the time in; bytes and one want out
//! ```
//!
//! Neighbours: `server` drives the connections. `client`, `load` and `decode` use the framings.

pub mod connection;
pub mod framing;
pub mod service;
