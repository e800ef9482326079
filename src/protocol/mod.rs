//! The protocol as bytes: no descriptor, no clock, no system call, no log line.
//!
//! ```text
//!   framing     where a message ends; one file per framing
//!   codec       how a payload is written inside its frame
//!   front       what comes before the first frame
//!   http        the grammar of HTTP/1.1 that its server and its client share
//!   service     what to answer; one file per service
//!   front       what comes before the first frame: the PROXY header
//!   connection  the state machine between the two: bytes and the time in; bytes and one want out
//! ```
//!
//! Neighbours: `server` drives the connections. `client`, `load` and `decode` use the framings,
//! the first two send what comes in front, and `load` uses the grammar of HTTP.

pub mod codec;
pub mod connection;
pub mod framing;
pub mod front;
pub(crate) mod http;
pub mod service;
