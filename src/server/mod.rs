//! The server: connections of the protocol on sockets of the kernel, in memory that is fixed at the
//! start.
//!
//! ```text
//!   link, pump, io_error   one connection: its socket, what moves its bytes, what an error means
//!   waiting                what a connection waits for: its deadline and its interest
//!   pool, plan, settings   workspaces, and how the memory ceiling is divided
//!   reactor                the epoll loop: turn, batch, slow path, leases, deadlines, drain
//!   admission              which connections are accepted, and when the listeners pause
//!   effects                commands that run for a request
//!   observe                counters, log lines, a snapshot for tests
//! ```
//!
//! The server knows no framing and no service. Neighbours: `kernel` below, `protocol` beside it,
//! `workers` above.

pub mod admission;
mod effects;
mod io_error;
mod link;
pub mod observe;
pub mod plan;
pub mod pool;
mod pump;
mod reactor;
mod settings;
mod waiting;

pub use reactor::{Server, Wakeups};
pub use settings::Settings;
