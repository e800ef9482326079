//! mynah: an echo server around a handcrafted epoll loop, as a library so that tests and benches
//! reach its parts.
//!
//! The modules in reading order; each opens with what it is and what it refuses to know. Imports go
//! one way, from the end of this list to its front, and a test holds them to it.

pub mod limits;

pub mod base;
pub mod framing;
pub mod service;

pub mod connection;

mod sys;

pub mod kernel;

pub mod drive;

pub mod decode;

pub mod client;
pub mod load;

pub mod options;
pub mod run;

#[cfg(test)]
#[path = "../tests/time_limit/mod.rs"]
mod time_limit;
