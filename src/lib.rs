//! mynah: an echo server around a handcrafted epoll loop, as a library so that tests and benches
//! reach its parts.
//!
//! The modules, from the bottom to the top. Imports go one way, and a test holds the table:
//!
//! ```text
//!   limits     every bound with its reason
//!   base       bytes, time, text, numbers: they know nothing of this program
//!   store      containers with fixed memory
//!   protocol   framing, service, connection: bytes and the time in, bytes and one want out
//!   sys        the only unsafe code: one system call each
//!   kernel     the seam: traits, and Linux behind them
//!   server     one connection under the loop, the loop, what it counts and logs
//!   workers    several loops side by side
//!   decode     frames of a stream, printed
//!   client     mynah connect
//!   load       mynah bench
//!   cli        options, and what the program does with them
//! ```

pub mod base;
pub mod cli;
pub mod client;
pub mod decode;
pub mod kernel;
pub mod limits;
pub mod load;
pub mod protocol;
pub mod server;
pub mod store;
mod sys;
pub mod workers;

#[cfg(test)]
#[path = "../tests/time_limit/mod.rs"]
mod time_limit;
