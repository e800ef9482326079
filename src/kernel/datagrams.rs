//! Datagrams: many that are received together, and the answers that are sent together.
//!
//! ```text
//!   receive     places 0, 1, 2, ...   each with its bytes and its sender
//!   stage       answers in order      the bytes of a place, or bytes in the room for replies
//!   send        from the front        the kernel may take fewer than all
//! ```
//!
//! A batch knows no socket. It belongs to one, because answers that the kernel does not take stay
//! in it. All of its memory is taken once. A simulated kernel fills a batch through
//! [`DatagramBatch::put`] and reads the answers through [`DatagramBatch::unsent_answer`]. Which
//! datagram gets an answer is decided in `server::datagram`. Neighbour: `sys::net::datagrams`,
//! the memory. Man pages: recvmmsg(2), sendmmsg(2), udp(7), unix(7).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::address::Address;
use crate::limits::{DATAGRAM_SIZE_MAX, DATAGRAMS_PER_BATCH};
use crate::sys::net::address::{Name, RawAddress};
use crate::sys::net::asked_address::Control;
use crate::sys::net::datagrams::{Messages, send_from};
use crate::sys::net::socket::Setting;

/// The sender of a datagram, and which address of this machine was asked, if the socket has all.
pub struct Sender(RawAddress, Control);

impl Sender {
    /// The port of an internet address; 0 of any other.
    #[inline]
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// Whether the sender has no name, and so cannot be answered.
    #[inline]
    pub fn is_unnamed(&self) -> bool {
        self.0.is_unnamed()
    }

    /// The internet address, if it is one.
    pub fn internet(&self) -> Option<SocketAddr> {
        match self.0.name() {
            Name::Internet(address) => Some(address),
            Name::Local(_) | Name::Unknown(_) => None,
        }
    }

    /// Whether it is the address of the socket that is bound to `other`.
    pub fn is_at(&self, other: &Sender) -> bool {
        match (self.0.name(), other.0.name()) {
            (Name::Internet(one), Name::Internet(two)) => {
                (one.ip().to_canonical(), one.port()) == (two.ip().to_canonical(), two.port())
            }
            (one, two) => !self.is_unnamed() && one == two,
        }
    }

    /// The address.
    pub fn address(&self) -> Option<Address> {
        Address::from_raw(&self.0).ok().map(Address::of_datagrams)
    }
}

impl TryFrom<&Address> for Sender {
    type Error = io::Error;

    fn try_from(address: &Address) -> io::Result<Sender> {
        address.to_raw().map(|raw| Sender(raw, Control::NONE))
    }
}

impl Clone for Sender {
    fn clone(&self) -> Sender {
        Sender(self.0.copy(), self.1)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Datagrams that were received, and answers to be sent.
pub struct DatagramBatch {
    messages: Messages,
    received: usize,
    received_size: usize,
}

impl DatagramBatch {
    /// Takes the memory of a batch, with `room` bytes for replies that are not in the bytes of
    /// their request. The answers of a socket that `is_wildcard` leave from the address that was
    /// asked.
    ///
    /// # Errors
    ///
    /// There is not so much memory.
    pub fn new(room: usize, is_wildcard: bool) -> io::Result<DatagramBatch> {
        let messages = Messages::new(DATAGRAMS_PER_BATCH, DATAGRAM_SIZE_MAX, room, is_wildcard)?;
        Ok(DatagramBatch {
            messages,
            received: 0,
            received_size: 0,
        })
    }

    /// Bytes of a batch with `room` bytes for replies.
    pub const fn memory(room: usize) -> usize {
        let space = Messages::space_size(DATAGRAMS_PER_BATCH, DATAGRAM_SIZE_MAX);
        space + DATAGRAMS_PER_BATCH * Messages::PLACE_SIZE + room
    }

    /// How many datagrams the last receive has brought.
    #[inline]
    pub fn received(&self) -> usize {
        self.received
    }

    /// How many bytes the datagrams of the last receive have together.
    #[inline]
    pub fn received_size(&self) -> usize {
        self.received_size
    }

    /// Whether the datagram in `place` was longer than its place, so that its end is lost.
    #[inline]
    pub fn is_truncated(&self, place: usize) -> bool {
        self.messages.is_truncated(place)
    }

    /// How many bytes the datagram in `place` has.
    #[inline]
    pub fn size(&self, place: usize) -> usize {
        self.messages.size(place)
    }

    /// The bytes of the datagram in `place`, and the room for a reply elsewhere.
    #[inline]
    pub fn request(&mut self, place: usize) -> (&mut [u8], &mut [u8]) {
        self.messages.payload(place)
    }

    /// The sender of the datagram in `place`.
    #[inline]
    pub fn port(&self, place: usize) -> u16 {
        self.messages.name(place).port()
    }

    /// Whether the sender of the datagram in `place` has no name.
    #[inline]
    pub fn is_unnamed(&self, place: usize) -> bool {
        self.messages.name(place).is_unnamed()
    }

    /// The sender of the datagram in `place`.
    pub fn sender(&self, place: usize) -> Sender {
        Sender(
            self.messages.name(place).copy(),
            self.messages.control(place),
        )
    }

    /// Bytes that a reply elsewhere may have now. All of the room is free when nothing is unsent.
    #[inline]
    pub fn room(&self) -> usize {
        self.messages.room()
    }

    /// Answers the datagram in `place` with the first `size` of its own bytes.
    #[inline]
    pub fn stage_in_place(&mut self, place: usize, size: usize) {
        self.messages.stage(place, size);
    }

    /// Answers the datagram in `place` with the first `size` bytes of the room for replies.
    #[inline]
    pub fn stage_reply(&mut self, place: usize, size: usize) {
        self.messages.stage_reply(place, size);
    }

    /// How many answers are staged and not sent.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.messages.unsent()
    }

    /// Bytes of the next `count` answers that are not sent.
    #[inline]
    pub fn unsent_sizes(&self, count: usize) -> usize {
        self.messages.unsent_sizes(count)
    }

    /// The size of the `ahead`-th answer that is not sent.
    #[inline]
    pub fn unsent_size(&self, ahead: usize) -> usize {
        self.messages.unsent_size(ahead)
    }

    /// The `ahead`-th answer that is not sent, and its receiver.
    pub fn unsent_answer(&self, ahead: usize) -> (&[u8], Sender) {
        let (bytes, name) = self.messages.unsent_answer(ahead);
        (bytes, Sender(name, Control::NONE))
    }

    /// The next `count` answers are done: sent, or given up.
    #[inline]
    pub fn pass(&mut self, count: usize) {
        self.messages.pass(count);
    }

    /// Forgets all answers that are not sent. Returns how many there were.
    pub fn give_up(&mut self) -> usize {
        let unsent = self.messages.unsent();
        self.messages.clear();
        unsent
    }

    /// Begins a receive of a simulated kernel: nothing was received yet.
    pub fn begin(&mut self) {
        (self.received, self.received_size) = (0, 0);
    }

    /// Adds a datagram to a receive of a simulated kernel.
    ///
    /// # Panics
    ///
    /// If the batch is full.
    pub fn put(&mut self, bytes: &[u8], from: &Sender) {
        self.received_size += self.messages.put(self.received, bytes, from.0.copy());
        self.received += 1;
    }

    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        self.begin();
        (self.received, self.received_size) = self.messages.receive(fd, count)?;
        Ok(self.received)
    }

    pub(super) fn send(&mut self, fd: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        self.messages.send(fd, count)
    }
}

impl fmt::Debug for DatagramBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramBatch")
            .field("received", &self.received)
            .field("unsent", &self.unsent())
            .finish()
    }
}

pub(super) fn send_one(fd: BorrowedFd<'_>, bytes: &[u8], to: &Sender) -> io::Result<usize> {
    send_from(fd, bytes, &to.0, to.1)
}

/// Asks the kernel for the address that each datagram was sent to, if a socket that is bound to
/// `own` gets those of all addresses of this machine.
pub(super) fn tell_asked_address(fd: BorrowedFd<'_>, own: &SocketAddr) -> io::Result<()> {
    match own {
        own if !own.ip().is_unspecified() => Ok(()),
        SocketAddr::V4(_) => Setting::PACKET_INFO.set(fd, 1),
        SocketAddr::V6(_) => Setting::PACKET_INFO_V6.set(fd, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(text: &str) -> Sender {
        let address: Address = text.parse().expect("an address");
        Sender::try_from(&address).expect("it fits")
    }

    #[test]
    fn a_sender_is_compared_by_its_address_alone() {
        for (one, two, is) in [
            ("udp://127.0.0.1:7", "udp://127.0.0.1:7", true),
            ("udp://127.0.0.1:7", "udp://[::ffff:127.0.0.1]:7", true),
            ("udp://127.0.0.1:7", "udp://127.0.0.1:8", false),
            ("udp://127.0.0.1:7", "udp://127.0.0.2:7", false),
            ("unixgram:@a", "unixgram:@a", true),
            ("unixgram:@a", "unixgram:/a", false),
        ] {
            assert_eq!(sender(one).is_at(&sender(two)), is, "{one} {two}");
            assert_eq!(sender(one).to_string(), one);
        }
        let unnamed = sender("unixgram:@a").clone();
        assert!(!unnamed.is_unnamed() && unnamed.port() == 0);
        let unnamed = Address::Unixgram(super::super::UnixName::Unnamed);
        let unnamed = Sender::try_from(&unnamed).expect("it fits");
        assert!(unnamed.is_unnamed() && !unnamed.is_at(&unnamed));
    }

    #[test]
    fn a_batch_holds_so_many_datagrams_of_any_size_that_ip_has() -> io::Result<()> {
        let mut batch = DatagramBatch::new(0, false)?;
        let from = sender("udp://[::1]:9");
        let largest = vec![7; DATAGRAM_SIZE_MAX];
        batch.begin();
        for _ in 0..DATAGRAMS_PER_BATCH {
            batch.put(&largest, &from);
        }
        assert_eq!(batch.received(), DATAGRAMS_PER_BATCH);
        let last = DATAGRAMS_PER_BATCH - 1;
        assert!(!batch.is_truncated(last));
        assert_eq!(batch.request(last).0, largest);
        batch.stage_in_place(last, 3);
        let (bytes, to) = batch.unsent_answer(0);
        assert_eq!((bytes, to.to_string()), (&largest[..3], from.to_string()));
        assert_eq!((batch.give_up(), batch.unsent()), (1, 0));
        Ok(())
    }
}
