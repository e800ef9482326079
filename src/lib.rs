//! mynah: an echo server around a handcrafted epoll loop, as a library so that tests and benches
//! can reach its parts.
//!
//! The modules, from the bottom to the top. Each module imports only from modules above it in this
//! table; a test checks it.
//!
//! ```text
//!   limits     every bound with its reason
//!   base       bytes, time, text, numbers: nothing specific to this program
//!   store      containers with fixed memory
//!   protocol   framing, service, connection: bytes and `now` in; bytes, interest, deadlines out
//!   sys        the only unsafe code: one system call each
//!   kernel     the operating system as traits, and Linux as their implementation
//!   server     the event loop, its connections, admission, effects, counters and logs
//!   workers    several loops side by side
//!   lab        experiments that ask the kernel
//!   decode     frames of a stream, printed
//!   client     mynah connect
//!   load       mynah bench
//!   cli        options, and the commands that they select
//! ```

pub mod base;
pub mod cli;
pub mod client;
pub mod decode;
pub mod kernel;
mod lab;
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
