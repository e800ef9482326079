//! The places for processes that run for connections.
//!
//! The number of places is fixed at start. A process keeps its place from its start until it is
//! reaped, which may be later than its answer: a killed process has no connection any more, but
//! keeps the place until its end is known. So there are never more processes than places, and a
//! signal is never sent to the process id of another process.
//!
//! This module starts nothing and calls no kernel; `commands` does. Neighbour: `orphans`.

use std::fmt::{self, Write};

use crate::kernel::{Address, Sender, Sockets, Time, Token, UnixName};
use crate::limits::{COMMAND_REAP_PAUSE, COMMANDS_MAX, PEER_NAME_MAX};

use crate::store::timers::Timers;

/// A process that runs, or has ended and is not reaped yet.
pub(in crate::server) struct Running<Socket> {
    /// The connection that waits for this process, if any.
    pub(in crate::server) owner: Option<Token>,
    /// The read end of its output pipe, until end of file.
    pub(in crate::server) output: Option<Socket>,
    pub(in crate::server) exit: Socket,
    pub(in crate::server) id: u32,
    /// Distinguishes its events from those of the process that had this place before.
    pub(in crate::server) generation: u32,
    /// The end was reported. The process stays unreaped until its group is killed.
    pub(in crate::server) has_ended: bool,
    /// epoll reports its output and its end. Otherwise it is polled from time to time.
    pub(in crate::server) is_watched: bool,
    /// When it is killed. Counted from its start and never extended.
    pub(in crate::server) deadline: Time,
    /// Bytes of output so far.
    pub(in crate::server) said: usize,
    pub(in crate::server) answer: PendingAnswer,
}

impl<Socket> Running<Socket> {
    /// The deadline, or the next poll if epoll does not report this process.
    pub(in crate::server) fn next_look(&self, now: Time) -> Time {
        match self.is_watched {
            true => self.deadline,
            false => self.deadline.min(now.after(COMMAND_REAP_PAUSE)),
        }
    }
}

/// State of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct PendingAnswer {
    pub(in crate::server) peer: PeerName,
    /// See [`crate::protocol::connection::Connection::take_event`].
    pub(in crate::server) drafted: usize,
}

/// All places of one worker.
pub(in crate::server) struct Children<K: Sockets> {
    places: Vec<Option<Running<K::Socket>>>,
    free: usize,
    /// Number of processes started, modulo the range of a generation.
    generation: u32,
    /// Deadline or next poll of each place.
    timers: Timers,
}

impl<K: Sockets> Children<K> {
    /// Creates the places for `slots` connections. With 0 slots nothing is allocated.
    pub(in crate::server) fn new(slots: usize) -> Children<K> {
        let count = COMMANDS_MAX.min(slots);
        Children {
            places: (0..count).map(|_| None).collect(),
            free: count,
            generation: 0,
            timers: Timers::new(count),
        }
    }

    /// Number of free places.
    #[inline]
    pub(in crate::server) fn free(&self) -> usize {
        self.free
    }

    /// The next deadline, or the next poll of a process that epoll does not report.
    #[inline]
    pub(in crate::server) fn next_deadline(&self) -> Time {
        self.timers.next()
    }

    /// A place whose deadline or next poll has come.
    pub(in crate::server) fn pop_due(&mut self, now: Time) -> Option<u32> {
        self.timers.pop_due(now)
    }

    /// Looks at the process in `place` again at `time`.
    pub(in crate::server) fn look_at(&mut self, place: u32, time: Time) {
        self.timers.arm(place, time);
    }

    /// Whether process `id` has a place here.
    pub(in crate::server) fn has_process(&self, id: u32) -> bool {
        self.places.iter().flatten().any(|running| running.id == id)
    }

    pub(in crate::server) fn get(&self, place: u32) -> Option<&Running<K::Socket>> {
        self.places.get(place as usize)?.as_ref()
    }

    /// The next generation, within the bits that a token keeps.
    pub(in crate::server) fn next_generation(&mut self) -> u32 {
        self.generation = (self.generation + 1) & 0x7f_ffff;
        self.generation
    }

    pub(in crate::server) fn get_mut(&mut self, place: u32) -> Option<&mut Running<K::Socket>> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// A free place.
    pub(in crate::server) fn vacant(&self) -> Option<u32> {
        let place = self.places.iter().position(Option::is_none)?;
        Some(place as u32)
    }

    /// The place of the process that `owner` waits for.
    pub(in crate::server) fn of(&self, owner: Token) -> Option<u32> {
        let is_it = |it: &Option<Running<_>>| it.as_ref().is_some_and(|it| it.owner == Some(owner));
        let place = self.places.iter().position(is_it)?;
        Some(place as u32)
    }

    /// Puts `running` into the free `place`.
    pub(in crate::server) fn settle(&mut self, place: u32, running: Running<K::Socket>, now: Time) {
        debug_assert!(self.places[place as usize].is_none());
        self.timers.arm(place, running.next_look(now));
        self.places[place as usize] = Some(running);
        self.free -= 1;
    }

    /// Frees `place` after its process was reaped.
    pub(in crate::server) fn remove(&mut self, place: u32) -> Option<Running<K::Socket>> {
        let running = self.places.get_mut(place as usize)?.take()?;
        self.free += 1;
        self.timers.disarm(place);
        Some(running)
    }

    /// Number of descriptors held by all places.
    pub(in crate::server) fn descriptors(&self) -> usize {
        let each = |running: &Running<_>| 1 + usize::from(running.output.is_some());
        self.places.iter().flatten().map(each).sum()
    }

    /// Number of places.
    pub(in crate::server) fn places(&self) -> u32 {
        self.places.len() as u32
    }
}

/// The peer of an answer, as text: address and port, or `unix` for local sockets, whose names may
/// contain any bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct PeerName {
    bytes: [u8; PEER_NAME_MAX],
    length: usize,
}

impl Default for PeerName {
    fn default() -> PeerName {
        PeerName {
            bytes: [0; PEER_NAME_MAX],
            length: 0,
        }
    }
}

impl PeerName {
    pub(in crate::server) fn of(address: Option<&Address>) -> PeerName {
        let mut name = PeerName::default();
        // A name that does not fit would be cut. No name is that long.
        let _ = match address {
            Some(Address::Tcp(address) | Address::Udp(address)) => write!(name, "{address}"),
            Some(Address::Unix(_) | Address::Unixgram(_)) => name.write_str("unix"),
            // The peer has gone and will not read this.
            None => name.write_str("unknown"),
        };
        name
    }

    /// The name of the sender of a datagram.
    pub(in crate::server) fn of_sender(sender: &Sender) -> PeerName {
        PeerName::of(
            match sender.internet() {
                Some(address) => Some(Address::Udp(address)),
                None => Some(Address::Unixgram(UnixName::Unnamed)),
            }
            .as_ref(),
        )
    }

    pub(in crate::server) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for PeerName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let space = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        space.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_address_has_room_and_a_local_name_is_not_repeated() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535";
        let address = Address::Tcp(longest.parse().expect("an address"));
        assert_eq!(PeerName::of(Some(&address)).as_str(), longest);
        let local = Address::Unix(UnixName::Abstract(b"\nx".to_vec()));
        assert_eq!(PeerName::of(Some(&local)).as_str(), "unix");
    }
}
