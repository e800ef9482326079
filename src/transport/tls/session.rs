//! One connection: plaintext on one side, TLS records on the other.
//!
//! ```text
//!   wire -- receive --> rustls --> plaintext -- read --> the connection
//!   wire <--- send ---- rustls <-- one record <- write - the connection
//! ```
//!
//! A write counts bytes as written only when the wire has taken the whole record that holds them.
//! Until then the connection owes them, with its time-outs and its interest in writing, and asks
//! for the same bytes again: these are `credit`, and are not encrypted twice. So at most one record
//! waits here. Reading goes on meanwhile, because two peers that both stop reading until they have
//! sent would wait for ever. What a read makes rustls send is bounded by rustls: one answer to key
//! updates, one refused renegotiation. Only a handshake reads nothing before its answer is sent.
//!
//! Invariant: if `is_drained`, the wire was found empty after the last byte that was taken from it,
//! and no plaintext is left, so the next event tells of everything. Otherwise `kernel` reports the
//! session itself. Neighbour: `kernel`, which holds the sessions.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem;

use rustls::{Connection, Error};

use super::failure::{Failure, OPENING_SIZE};
use crate::kernel::Interest;

/// Plaintext of one record (RFC 8446, 5.1).
const RECORD_SIZE: usize = 16 << 10;

/// Space that all sessions of a thread share: for one receive, and for records that are sent
/// together.
pub(super) struct Scratch {
    inlet: Box<[u8]>,
    outlet: Box<[u8]>,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch {
            inlet: vec![0; RECORD_SIZE].into(),
            outlet: vec![0; RECORD_SIZE].into(),
        }
    }
}

/// The socket below a session.
pub(super) trait Wire {
    /// Receives bytes; 0 is the end of the stream.
    fn receive(&mut self, space: &mut [u8]) -> io::Result<usize>;
    /// Sends a part of `bytes`.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Ends the sending direction.
    fn shutdown(&mut self) -> io::Result<()>;
}

/// The state of one connection.
pub(super) struct Session {
    tls: Connection,
    /// Bytes of the connection that are encrypted and not reported as written yet.
    credit: usize,
    /// Records that were received and found no room for their plaintext.
    held: Vec<u8>,
    /// What the peer sent first, and how much of it is known.
    opening: [u8; OPENING_SIZE],
    opened: usize,
    failed: Option<Failure>,
    is_drained: bool,
    /// The wire has ended.
    is_over: bool,
    /// The connection was told that the peer has sent its close_notify.
    has_ended: bool,
    farewell: Farewell,
    /// The client has nothing to send: its close_notify follows the handshake.
    parts_after_handshake: bool,
    /// Bytes that the wire took since the farewell.
    parting: usize,
}

/// Our close_notify.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// It was not said.
    Unsaid,
    /// The wire has not taken it yet. A FIN follows, or a close.
    Owed { fin: bool },
    /// The wire has it.
    Said,
}

impl Session {
    pub(super) fn new(mut tls: Connection) -> Session {
        tls.set_buffer_limit(Some(RECORD_SIZE));
        Session {
            tls,
            credit: 0,
            held: Vec::new(),
            opening: [0; OPENING_SIZE],
            opened: 0,
            failed: None,
            is_drained: true,
            is_over: false,
            has_ended: false,
            farewell: Farewell::Unsaid,
            parts_after_handshake: false,
            parting: 0,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// These bytes were received before the session began.
    pub(super) fn begin_with(&mut self, received: &[u8]) {
        self.open_with(received);
        self.held = received.to_vec();
        self.is_drained = false;
    }

    /// Keeps the first bytes of the peer.
    fn open_with(&mut self, received: &[u8]) {
        let room = &mut self.opening[self.opened..];
        let first = room.len().min(received.len());
        room[..first].copy_from_slice(&received[..first]);
        self.opened += first;
    }

    /// Whether the next event of the wire tells of everything that can be read.
    pub(super) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// The handshake has taken too long.
    pub(super) fn expire(&mut self) {
        self.fail(Failure::late());
    }

    /// The kernel does not watch the wire as it must.
    pub(super) fn break_off(&mut self, error: &io::Error) {
        let error = Error::General(format!("epoll_ctl: {error}"));
        self.fail(Failure::tls(error, false, self.opening));
        self.is_drained = false;
    }

    /// Whether the session has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// What to ask of the wire, if the connection is interested in `asked`.
    pub(super) fn interest(&self, asked: Interest) -> Interest {
        let (reads, writes) = (
            asked.contains(Interest::READ),
            asked.contains(Interest::WRITE),
        );
        let mode = match asked.contains(Interest::EDGE) {
            true => Interest::EDGE,
            false => Interest::NONE,
        };
        if !(reads || writes) || self.failed.is_some() {
            return asked;
        }
        match (self.tls.wants_write(), self.farewell) {
            // What the peer sends after our close_notify is read and discarded, up to its own one.
            // What comes behind that is not read: a level would tell of it for ever.
            (true, Farewell::Owed { .. }) if !self.has_ended => asked | Interest::WRITE,
            (true, Farewell::Unsaid) if !self.tls.is_handshaking() => asked | Interest::WRITE,
            (true, _) => Interest::WRITE | mode,
            (false, _) if self.tls.is_handshaking() => Interest::READ | mode,
            (false, _) => asked,
        }
    }

    /// Reads plaintext: as much as `space` holds and the wire has.
    pub(super) fn read(
        &mut self,
        wire: &mut dyn Wire,
        scratch: &mut Scratch,
        space: &mut [u8],
    ) -> io::Result<usize> {
        if space.is_empty() {
            return Ok(0);
        }
        let (mut got, mut is_empty) = (0, false);
        self.is_drained = false;
        let ended = loop {
            if self.is_over && self.opened == 0 && matches!(self.tls, Connection::Server(_)) {
                // A peer that has sent nothing at all, such as a health check, ends in order.
                break Ok(0);
            }
            match self.tls.reader().read(&mut space[got..]) {
                Ok(0) => break self.ended(wire, scratch),
                Ok(count) => {
                    got += count;
                    if got == space.len() {
                        return Ok(got);
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break Err(self.cut_off()),
            }
            if is_empty {
                self.is_drained = true;
                break Err(ErrorKind::WouldBlock.into());
            }
            match self.pull(wire, scratch) {
                Ok(full) => is_empty = !full,
                Err(error) => {
                    self.is_drained = error.kind() == ErrorKind::WouldBlock;
                    break Err(error);
                }
            }
        };
        if got == 0 {
            return ended;
        }
        // What ends the stream is found again by the next read, for which there may be no event.
        let is_blocked = matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.is_drained &= is_blocked;
        Ok(got)
    }

    /// The peer has sent a close_notify. After our own one, the end is told when ours is sent.
    fn ended(&mut self, wire: &mut dyn Wire, scratch: &mut Scratch) -> io::Result<usize> {
        self.is_drained = true;
        self.has_ended = true;
        match self.farewell {
            Farewell::Owed { .. } => self.flush(wire, &mut scratch.outlet).map(|()| 0),
            _ => Ok(0),
        }
    }

    /// The stream has ended without a close_notify.
    fn cut_off(&mut self) -> io::Error {
        let failure = Failure::truncated(self.tls.is_handshaking());
        self.fail(failure).into()
    }

    fn fail(&mut self, failure: Failure) -> Failure {
        // No event of the wire tells of it.
        self.is_drained = false;
        self.failed.get_or_insert(failure).clone()
    }

    /// Takes records from the wire, once. Returns whether the wire may have more.
    fn pull(&mut self, wire: &mut dyn Wire, scratch: &mut Scratch) -> io::Result<bool> {
        let Scratch { inlet, outlet } = scratch;
        if let Some(failure) = &self.failed {
            return Err(failure.clone().into());
        }
        match self.answer(wire, outlet) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            // The messages of a handshake take turns.
            Err(error) if self.tls.is_handshaking() => return Err(error),
            _ => {}
        }
        if !self.held.is_empty() {
            let held = mem::take(&mut self.held);
            self.feed(wire, &held, outlet)?;
            return Ok(true);
        }
        let count = wire.receive(inlet)?;
        self.is_drained = false;
        if count == 0 {
            self.is_over = true;
            // rustls learns of the end by a read of nothing.
            self.tls.read_tls(&mut io::empty())?;
            return Ok(true);
        }
        self.open_with(&inlet[..count]);
        self.feed(wire, &inlet[..count], outlet)?;
        Ok(count == inlet.len())
    }

    /// Gives records to rustls, and sends what it answers.
    fn feed(&mut self, wire: &mut dyn Wire, mut rest: &[u8], outlet: &mut [u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.tls.read_tls(&mut rest) {
                // Nothing counts behind a close_notify (RFC 8446, 6.1).
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Other => {
                    // The plaintext has to be read first.
                    self.held = rest.to_vec();
                    break;
                }
                Err(_) => {
                    let error = Error::General("a message is too long".to_owned());
                    return Err(self.refuse(error, wire, outlet));
                }
            }
            if let Err(error) = self.tls.process_new_packets() {
                return Err(self.refuse(error, wire, outlet));
            }
        }
        if self.parts_after_handshake && !self.tls.is_handshaking() {
            self.parts_after_handshake = false;
            self.part(true);
        }
        // An error that stays is found again by the next call, after what has arrived was read.
        let _ = self.answer(wire, outlet);
        Ok(())
    }

    /// The session is broken. The peer gets an alert, if there is room for it now.
    #[cold]
    fn refuse(&mut self, error: Error, wire: &mut dyn Wire, outlet: &mut [u8]) -> io::Error {
        let failure = Failure::tls(error, self.tls.is_handshaking(), self.opening);
        let failure = self.fail(failure);
        let _ = self.flush(wire, outlet);
        failure.into()
    }

    /// Sends what waits without bytes of the connection. Only a write sends those, so that no reply
    /// comes back before the connection was told that its request is written.
    fn answer(&mut self, wire: &mut dyn Wire, outlet: &mut [u8]) -> io::Result<()> {
        match self.credit {
            0 => self.flush(wire, outlet),
            _ => Ok(()),
        }
    }

    /// Sends what waits, as far as the wire takes it.
    fn flush(&mut self, wire: &mut dyn Wire, gather: &mut [u8]) -> io::Result<()> {
        while self.tls.wants_write() {
            let (wire, gather) = (&mut *wire, &mut *gather);
            self.parting += self.tls.write_tls(&mut Outlet { wire, gather })?;
        }
        if let Farewell::Owed { fin } = self.farewell {
            self.farewell = Farewell::Said;
            if fin {
                wire.shutdown()?;
            }
        }
        Ok(())
    }

    /// Writes plaintext. Counts what the wire has taken.
    pub(super) fn write(
        &mut self,
        wire: &mut dyn Wire,
        scratch: &mut Scratch,
        bytes: &[u8],
    ) -> io::Result<usize> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone().into());
        }
        while self.tls.is_handshaking() {
            if self.is_over {
                return Err(self.cut_off());
            }
            self.pull(wire, scratch)?;
        }
        let mut written = 0;
        loop {
            if let Err(error) = self.flush(wire, &mut scratch.outlet) {
                // An error that stays is found again by the next call.
                return if written > 0 { Ok(written) } else { Err(error) };
            }
            let counted = self.credit.min(bytes.len() - written);
            self.credit -= counted;
            written += counted;
            if written == bytes.len() {
                return Ok(written);
            }
            let record = &bytes[written..];
            self.credit = self
                .tls
                .writer()
                .write(&record[..record.len().min(RECORD_SIZE)])?;
        }
    }

    /// Says that nothing more is sent, and ends the sending direction behind it. What the wire does
    /// not take now follows with a later call.
    pub(super) fn shutdown(
        &mut self,
        wire: &mut dyn Wire,
        scratch: &mut Scratch,
    ) -> io::Result<()> {
        if self.failed.is_none() && self.tls.is_handshaking() && !self.is_over {
            // A server that sees the end of the stream in a handshake gives no reply.
            if let Connection::Client(_) = self.tls {
                self.parts_after_handshake = true;
                return Ok(());
            }
        }
        if self.failed.is_some() || self.tls.is_handshaking() {
            return wire.shutdown();
        }
        self.part(true);
        match self.flush(wire, &mut scratch.outlet) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Says that nothing more is sent, before the socket is closed. Returns whether the wire has
    /// taken everything.
    pub(super) fn finish(&mut self, wire: &mut dyn Wire, scratch: &mut Scratch) -> bool {
        if self.failed.is_some() || self.tls.is_handshaking() {
            return true;
        }
        self.part(false);
        let flushed = self.flush(wire, &mut scratch.outlet);
        !matches!(flushed, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn part(&mut self, fin: bool) {
        match &mut self.farewell {
            Farewell::Unsaid => {
                self.tls.send_close_notify();
                self.farewell = Farewell::Owed { fin };
                self.parting = 0;
            }
            Farewell::Owed { fin: follows } => *follows |= fin,
            Farewell::Said => {}
        }
    }

    /// How many of `unacknowledged` bytes belong to replies.
    pub(super) fn unacknowledged(&self, unacknowledged: usize) -> usize {
        match self.farewell {
            Farewell::Said => unacknowledged.saturating_sub(self.parting),
            _ => unacknowledged,
        }
    }
}

/// What rustls sends, in as few calls as possible.
struct Outlet<'a> {
    wire: &'a mut dyn Wire,
    gather: &'a mut [u8],
}

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.send(bytes)
    }

    /// The messages of a handshake are short: together they are one packet.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut filled = 0;
        for part in parts {
            let Some(room) = self.gather[filled..].get_mut(..part.len()) else {
                break;
            };
            room.copy_from_slice(part);
            filled += part.len();
        }
        match (parts, filled) {
            ([only], _) => self.wire.send(only),
            ([first, ..], 0) => self.wire.send(first),
            _ => self.wire.send(&self.gather[..filled]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
