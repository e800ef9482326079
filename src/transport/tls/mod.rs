//! TLS 1.2 and 1.3 as a transport, with rustls.
//!
//! ```text
//!   config    what a side proves and trusts, from the bytes of its files
//!   session   one connection: plaintext on one side, records on the other
//!   kernel    the sessions of all sockets of a kernel, and what they make of its events
//!   failure   why a session has ended, for a log line and an exit code
//! ```
//!
//! A session answers like a socket: would-block, a number of bytes, or the end of the stream. So a
//! connection above keeps its time-outs, its back-pressure and its drain. The memory of a session
//! is bounded by [`TLS_SESSION_SIZE`](crate::limits::TLS_SESSION_SIZE). See RFC 8446, RFC 5246.

mod config;
mod failure;
mod forward;
mod kernel;
mod session;

pub use config::{Identity, Side, Trust};
pub use failure::Failure;
pub use kernel::Tls;
