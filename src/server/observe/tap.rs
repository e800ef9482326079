//! What watches the connections of one driver: the wiretap, the trace, or both.
//!
//! This is the one hook of the server for an observer. The pump calls it after each read and write
//! of the slow path, and wherever a connection may have changed. The wiretap turns the calls into
//! log lines. The trace keeps each change of the state and of what a connection waits for; the
//! calls themselves it gets from the kernel (`kernel::journal`). The fast path has no call of this
//! hook: a connection is at rest there before and after. It is closed with a wiretap, which has to
//! see each read; with a trace alone it stays open, so a trace shows the calls as they are made
//! without one.

use std::fmt::Display;

use crate::kernel::journal::Track;
use crate::kernel::{Time, Token};
use crate::protocol::connection::CloseReason;

use super::wiretap::Wiretap;

/// The observers.
#[derive(Debug)]
pub struct Tap {
    wiretap: Option<Wiretap>,
    trace: Option<Track>,
    /// The connection that is served now.
    token: Token,
}

/// What was last told of a connection, in one byte of its link: its state plus one in the low half,
/// what it waits for in the high half. 0 before anything was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Told(u8);

impl Told {
    fn new(state: u8, waits: u8) -> Told {
        debug_assert!(state < 15 && waits < 16);
        Told(waits << 4 | (state + 1))
    }

    fn waits(self) -> u8 {
        self.0 >> 4
    }
}

/// The number of the last state.
const CLOSED: u8 = 8;

/// What a connection waits for, in the words of a trace.
pub(in crate::server) const WAITS: [&str; 10] = [
    "request",
    "rest of a frame",
    "rest of a message",
    "writable",
    "last ACK",
    "its turn",
    "a workspace",
    "kernel memory",
    "an effect",
    "its rate",
];

impl Tap {
    /// The wiretap, for what is no connection of the loop.
    pub(in crate::server) fn wiretap_mut(&mut self) -> Option<&mut Wiretap> {
        self.wiretap.as_mut()
    }

    /// The hook for these observers, if there are any.
    pub fn new(wiretap: Option<Wiretap>, trace: Option<Track>) -> Option<Tap> {
        (wiretap.is_some() || trace.is_some()).then_some(Tap {
            wiretap,
            trace,
            token: Token::from_bits(0),
        })
    }

    /// Whether each read and write has to be told.
    pub fn sees_bytes(&self) -> bool {
        self.wiretap.is_some()
    }

    /// The next calls are about this connection.
    pub(in crate::server) fn begin(&mut self, token: Token) {
        self.token = token;
    }

    /// A connection is there. Returns its number in the wiretap.
    pub fn registered(&mut self) -> u32 {
        self.wiretap.as_mut().map_or(0, Wiretap::registered)
    }

    /// The address of its peer is known.
    pub fn active(&mut self, number: u32, peer: &dyn Display) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap.active(number, peer);
        }
    }

    /// A read has returned `bytes`.
    pub fn read(&mut self, number: u32, bytes: &[u8]) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap.read(number, bytes);
        }
    }

    /// The kernel took `bytes`.
    pub fn write(&mut self, number: u32, bytes: &[u8]) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap.write(number, bytes);
        }
    }

    /// The event of a connection is over.
    pub fn end_event(&mut self) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap.end_event();
        }
    }

    /// Something has happened that is no traffic.
    pub fn user_event(&mut self, number: u32, name: &str) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap.user_event(number, name);
        }
    }

    /// The connection that is served may have changed: its state has this name and number, and it
    /// waits for number `waits` of [`WAITS`], or for the same as before while it is served.
    pub(in crate::server) fn state(
        &mut self,
        told: &mut Told,
        (state, number): (&'static str, u8),
        waits: Option<u8>,
        now: Time,
    ) {
        let Some(trace) = &self.trace.as_ref().filter(|_| number != CLOSED) else {
            // The end is told when the connection is gone.
            return;
        };
        let waits = waits.unwrap_or(told.waits());
        let new = Told::new(number, waits);
        if *told != new {
            *told = new;
            trace.state(self.token, now, state, WAITS[usize::from(waits)], "");
        }
    }

    /// The connection is gone.
    pub(in crate::server) fn unregistered(
        &mut self,
        token: Token,
        number: u32,
        reason: CloseReason,
        now: Time,
    ) {
        if let Some(wiretap) = &mut self.wiretap {
            wiretap.unregistered(number, reason);
        }
        if let Some(trace) = &self.trace {
            trace.state(token, now, "closed", "", reason.name());
        }
    }
}
