//! Records of system calls: what is called, on what, when, and how it ended.
//!
//! ```text
//!   Traced<K>    wraps a kernel; its calls go to a recorder, if there is one
//!   Call         one call and its result, as a value: the simulated kernel keeps the same type
//!   Recorder     takes calls: TextLog writes them to the log, Track keeps them in a ring
//!   Ring         the last records of a process, in memory that is taken at the start
//!   files        draws what a ring holds: each format is one file
//! ```
//!
//! Tracing is a value and not a type, so the loop is compiled once. Without a recorder each call
//! costs one predictable branch. A call borrows what it names, so a record of it allocates nothing;
//! a recorder that keeps calls copies what it needs. Reading the clock is no system call, vdso(7),
//! and is not recorded. Neighbours: the traits of `kernel`, which [`Traced`] implements for any
//! kernel that is [`Recordable`].

mod call;
pub mod files;
mod ring;
mod text;
mod traced;

use std::io;
use std::net::SocketAddr;

pub use call::{Argument, Call, Name, Returned};
pub use ring::{Body, Keep, Record, Ring, Snapshot, Track};
pub use text::TextLog;
pub use traced::Traced;

use super::{Address, Sockets, Time, Token};

/// Takes the calls of a kernel, in the order in which they end.
pub trait Recorder: Send {
    /// Takes one call.
    fn record(&mut self, call: &Call<'_>);

    /// A descriptor is reported under a token from now on, without a system call.
    fn bind(&mut self, _descriptor: u32, _token: Token) {}

    /// A call has moved this datagram, with others. Told only to a recorder that needs addresses.
    fn datagram(&mut self, _at: Time, _datagram: &Datagram<'_>) {}

    /// Whether the addresses of both ends of each new connection, and those of datagrams, are to be
    /// asked for.
    fn needs_addresses(&self) -> bool {
        false
    }
}

/// One datagram of a call that moves many.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The descriptor.
    pub descriptor: u32,
    /// It was sent, and not received.
    pub is_sent: bool,
    /// The other end.
    pub peer: SocketAddr,
    /// Its bytes.
    pub bytes: &'a [u8],
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

    /// The address of our end: getsockname(2).
    fn own_address(&self, socket: &Self::Socket) -> io::Result<Address>;
}

/// The recorder of a kernel: `track`, the log if it shows calls, or both.
pub fn recorder(track: Option<&Track>) -> Option<Box<dyn Recorder>> {
    let log = TextLog::if_shown();
    let Some(track) = track else { return log };
    let track = Box::new(track.clone());
    match log {
        None => Some(track),
        Some(log) => Some(Box::new(Both(track, log))),
    }
}

/// Two recorders of the same calls.
struct Both(Box<Track>, Box<dyn Recorder>);

impl Recorder for Both {
    fn record(&mut self, call: &Call<'_>) {
        self.0.record(call);
        self.1.record(call);
    }

    fn bind(&mut self, descriptor: u32, token: Token) {
        self.0.bind(descriptor, token);
    }

    fn datagram(&mut self, at: Time, datagram: &Datagram<'_>) {
        self.0.datagram(at, datagram);
    }

    fn needs_addresses(&self) -> bool {
        self.0.needs_addresses()
    }
}
