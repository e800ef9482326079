//! The server: connections of the protocol on sockets of the kernel, in memory that is fixed at the
//! start.
//!
//! ```text
//!   link, pump, io_error   one connection: its socket, what moves its bytes, what an error means
//!   waiting                what a connection waits for: its deadline and its interest
//!   pace                   rates of connections, and idle time-outs of one direction
//!   pool, plan, settings   workspaces, and how the memory ceiling is divided
//!   turn                   one turn of the epoll loop, from the wait to the deadlines
//!   reactor                the connections of a loop: fast path, slow path, lists
//!   admission              which connections are accepted, and when the listeners pause
//!   blocking               connections with a thread or a process each, instead of the loop
//!   ftp                    sessions of FTP, with a thread each (feature auth)
//!   drain                  shutting down without losing a byte
//!   effects                commands that run for a request
//!   scrapes                pages of the server about itself
//!   tasks                  tasks of other threads, and timers, on the loop's thread
//!   thread                 why a thread could not be started
//!   observe                counters, log lines, a snapshot for tests
//! ```
//!
//! The server knows no framing and no service. Neighbours: `kernel` below, `protocol` beside it,
//! `workers` above.

pub mod admission;
pub mod auth;
pub mod blocking;
pub mod datagram;
mod drain;
mod effects;
#[cfg(feature = "auth")]
pub mod ftp;
pub mod handover;
mod io_error;
mod link;
pub mod observe;
pub mod pace;
pub mod plan;
pub mod pool;
mod pump;
mod reactor;
pub mod scrapes;
mod settings;
mod tasks;
mod thread;
mod turn;
mod waiting;

pub use settings::Settings;
pub use tasks::{Handle, Loop, Refused, TimerId};
pub(crate) use thread::thread_refused;
pub use turn::{Server, Wakeups};
