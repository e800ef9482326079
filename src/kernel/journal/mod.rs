//! Records of system calls: what is called, on what, when, and how it ended.
//!
//! ```text
//!   Traced<K>    wraps a kernel; its calls go to a recorder, if there is one
//!   Call         one call and its result, as a value: the simulated kernel keeps the same type
//!   Recorder     takes calls: TextLog writes them to the log; others may keep or draw them
//! ```
//!
//! Tracing is a value and not a type, so the loop is compiled once. Without a recorder each call
//! costs one predictable branch. A call borrows what it names, so a record of it allocates nothing;
//! a recorder that keeps calls copies what it needs. Reading the clock is no system call, vdso(7),
//! and is not recorded. Neighbours: the traits of `kernel`, which [`Traced`] implements for any
//! kernel that is [`Recordable`].

mod call;
mod text;
mod traced;

pub use call::{Argument, Call, Name, Returned};
pub use text::TextLog;
pub use traced::Traced;

use super::{Sockets, Time};

/// Takes the calls of a kernel, in the order in which they end.
pub trait Recorder: Send {
    /// Takes one call.
    fn record(&mut self, call: &Call<'_>);
}

/// What a record needs from a kernel and no caller does.
pub trait Recordable: Sockets {
    /// The system call of a wait.
    const WAIT: Name = Name::Wait;
    /// Whether a registration is a system call.
    const REGISTERS: bool = true;

    /// The number of the descriptor.
    fn number(socket: &Self::Socket) -> u32;

    /// The monotonic clock. Unlike [`now`](super::Poller::now), a reading does not change from when
    /// a wait counts.
    fn time(&self) -> Time;
}
