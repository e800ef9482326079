//! Datagram sockets of the simulated kernel: `Datagrams` of the kernel interface, with its faults.
//!
//! A socket has a bounded queue of what the test has sent to it, and a list of what was sent from
//! it, for the test to take. Faults lose, swap and cut what arrives, and let sends take less than
//! all, fail for one datagram (ECONNREFUSED) or for want of room (EAGAIN, then a report of room
//! once it is there). Invariant: a send with an error has sent nothing, and the next one begins at
//! the same answer; what a fault has lost is counted by [`Sim::datagrams_lost`]. Neighbours:
//! calls.rs, table.rs. recvmmsg(2), sendmmsg(2), udp(7), unix(7).

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;

use libc::{EAGAIN, ECONNREFUSED, EINVAL, ENOBUFS, ENOMEM};
use mynah::kernel::journal::{Argument, Name};
use mynah::kernel::{Address, DatagramBatch, Datagrams, Readiness, Sender, Sockets};

use super::table::{File, Socket};
use super::{Answer, Sim};

/// Datagrams that the queue of a socket holds.
const QUEUE_MAX: usize = 64;

/// A datagram socket.
pub(super) struct Mailbox {
    pub(super) address: Address,
    arrived: VecDeque<(Vec<u8>, Address)>,
    sent: VecDeque<(Vec<u8>, Address)>,
    /// How many more datagrams the send buffer holds; `None` is any number.
    room: Option<usize>,
    /// Nothing arrives any more.
    is_stopped: bool,
}

impl Mailbox {
    pub(super) fn new(address: Address) -> Mailbox {
        Mailbox {
            address,
            arrived: VecDeque::new(),
            sent: VecDeque::new(),
            room: None,
            is_stopped: false,
        }
    }

    pub(super) fn poll(&self) -> Readiness {
        let mut found = Readiness::NONE;
        if !self.arrived.is_empty() {
            found |= Readiness::IN;
        }
        if self.room != Some(0) {
            found |= Readiness::OUT;
        }
        found
    }
}

impl Sim {
    /// Opens a datagram socket.
    pub fn open_datagrams(&mut self, address: &str) -> Socket {
        let address: Address = address.parse().expect("an address");
        let ceiling = self.ceiling();
        let opened = self.table.open(File::Blank, ceiling).expect("a descriptor");
        *self.table.file(opened.number) = File::Datagrams(Mailbox::new(address));
        self.mailboxes.push(opened.number);
        opened
    }

    /// The datagram socket at index `socket`, in the order of opening; `None` if it is closed.
    fn mailbox(&mut self, socket: usize) -> Option<(u32, &mut Mailbox)> {
        let number = *self.mailboxes.get(socket)?;
        if number == 0 {
            return None;
        }
        match self.table.file(number) {
            File::Datagrams(mailbox) => Some((number, mailbox)),
            _ => None,
        }
    }

    pub(super) fn leave_mailbox(&mut self, number: u32) {
        let places = self.mailboxes.iter_mut();
        places.filter(|it| **it == number).for_each(|it| *it = 0);
    }

    /// A datagram from `from` arrives at a socket. Returns whether it is in the queue; otherwise it
    /// is lost.
    pub fn send_datagram_to(&mut self, socket: usize, bytes: &[u8], from: &Address) -> bool {
        let (loss, swap) = (self.faults.lost, self.faults.reordered);
        let is_lost = self.dice.chance(loss);
        let is_swapped = self.dice.chance(swap);
        let Some((number, mailbox)) = self.mailbox(socket) else {
            return false;
        };
        if is_lost || mailbox.is_stopped || mailbox.arrived.len() == QUEUE_MAX {
            self.datagrams_lost += 1;
            return false;
        }
        mailbox.arrived.push_back((bytes.to_vec(), from.clone()));
        let last = mailbox.arrived.len() - 1;
        if is_swapped && last > 0 {
            mailbox.arrived.swap(last, last - 1);
        }
        self.table.wake(number, Readiness::IN);
        true
    }

    /// Takes all datagrams that were sent from a socket, with their receivers.
    pub fn take_datagrams(&mut self, socket: usize) -> Vec<(Vec<u8>, Address)> {
        let found = self.mailbox(socket);
        found.map_or_else(Vec::new, |(_, mailbox)| mailbox.sent.drain(..).collect())
    }

    /// How many datagrams the send buffer of a socket holds from now on.
    pub fn set_datagram_room(&mut self, socket: usize, room: Option<usize>) {
        if let Some((number, mailbox)) = self.mailbox(socket) {
            mailbox.room = room;
            self.table.wake(number, Readiness::OUT);
        }
    }

    /// How many datagrams wait in the queue of a socket.
    pub fn datagrams_queued(&mut self, socket: usize) -> usize {
        self.mailbox(socket).map_or(0, |(_, it)| it.arrived.len())
    }

    /// How many datagrams were lost on their way in.
    pub fn datagrams_lost(&self) -> u64 {
        self.datagrams_lost
    }

    fn take_batch(
        &mut self,
        number: u32,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> Answer<usize> {
        batch.begin();
        self.enter(Name::ReceiveDatagrams)?;
        if self.dice.chance(self.faults.refused) {
            return Err(ECONNREFUSED);
        }
        let would_block = self.dice.chance(self.faults.would_block);
        let short = self.dice.chance(self.faults.short_read);
        let File::Datagrams(mailbox) = self.table.file(number) else {
            return Err(EINVAL);
        };
        if mailbox.arrived.is_empty() || would_block {
            return Err(EAGAIN);
        }
        let mut count = count.min(mailbox.arrived.len());
        if short {
            count = 1 + self.dice.below(count);
        }
        for (mut bytes, from) in mailbox.arrived.drain(..count) {
            if self.dice.chance(self.faults.truncated) {
                bytes.resize(mynah::limits::DATAGRAM_SIZE_MAX + 1, b'?');
            }
            let from = Sender::try_from(&from).expect("it fits");
            batch.put(&bytes, &from);
        }
        Ok(count)
    }

    fn send_batch_of(
        &mut self,
        number: u32,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> Answer<usize> {
        self.enter(Name::SendDatagrams)?;
        let mut count = count.min(batch.unsent());
        assert!(count > 0, "sendmmsg of nothing");
        if self.dice.chance(self.faults.short_write) {
            count = 1 + self.dice.below(count);
        }
        for place in 0..count {
            let (bytes, to) = batch.unsent_answer(place);
            match self.send_from(number, bytes, &to) {
                Ok(()) => {}
                Err(errno) if place == 0 => return Err(errno),
                Err(_) => return Ok(place),
            }
        }
        Ok(count)
    }

    fn send_from(&mut self, number: u32, bytes: &[u8], to: &Sender) -> Answer<()> {
        if self.dice.chance(self.faults.refused) {
            return Err(ECONNREFUSED);
        }
        if self.dice.chance(self.faults.no_buffers) {
            return Err([ENOBUFS, ENOMEM][self.dice.below(2)]);
        }
        let would_block = self.dice.chance(self.faults.would_block);
        let File::Datagrams(mailbox) = self.table.file(number) else {
            return Err(EINVAL);
        };
        if would_block || mailbox.room == Some(0) {
            return Err(EAGAIN);
        }
        if let Some(room) = &mut mailbox.room {
            *room -= 1;
        }
        let to = to.address().expect("it has an address");
        mailbox.sent.push_back((bytes.to_vec(), to));
        Ok(())
    }
}

impl Datagrams for Sim {
    fn carries_datagrams(&mut self, socket: &Socket) -> io::Result<bool> {
        self.table.check(socket);
        Ok(matches!(self.table.file(socket.number), File::Datagrams(_)))
    }

    fn receive_datagrams(
        &mut self,
        socket: &Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        self.table.check(socket);
        let answer = self.take_batch(socket.number, batch, count);
        self.make_up(socket.number, Readiness::IN);
        let number = Some(socket.number);
        let argument = Argument::Size(count);
        self.leave(Name::ReceiveDatagrams, number, argument, answer, |&count| {
            count
        })
    }

    fn send_datagrams(
        &mut self,
        socket: &Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        self.table.check(socket);
        let answer = self.send_batch_of(socket.number, batch, count);
        if answer == Err(EAGAIN) {
            self.make_up(socket.number, Readiness::OUT);
        }
        let number = Some(socket.number);
        let argument = Argument::Size(count);
        self.leave(Name::SendDatagrams, number, argument, answer, |&count| {
            count
        })
    }

    fn send_datagram(&mut self, socket: &Socket, bytes: &[u8], to: &Sender) -> io::Result<usize> {
        self.table.check(socket);
        let entered = self.enter(Name::SendDatagram);
        let answer = entered.and_then(|()| self.send_from(socket.number, bytes, to));
        if answer == Err(EAGAIN) {
            self.make_up(socket.number, Readiness::OUT);
        }
        let answer = answer.map(|()| bytes.len());
        let (number, argument) = (Some(socket.number), Argument::Size(bytes.len()));
        self.leave(Name::SendDatagram, number, argument, answer, |&count| count)
    }

    fn stop_arrivals(&mut self, socket: &Socket) -> io::Result<()> {
        self.table.check(socket);
        let answer = self.enter(Name::StopArrivals);
        if let (Ok(()), File::Datagrams(mailbox)) = (answer, self.table.file(socket.number)) {
            mailbox.is_stopped = true;
        }
        let number = Some(socket.number);
        self.leave(Name::StopArrivals, number, Argument::None, answer, |()| 0)
    }

    fn owns(&mut self, ip: IpAddr) -> bool {
        ip == IpAddr::from([192, 0, 2, 1])
    }
}
