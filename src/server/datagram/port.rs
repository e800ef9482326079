//! One datagram socket: a batch of datagrams comes in, is answered, and goes out.
//!
//! ```text
//!            .--> flush: what is staged --> all sent --> serve: what was received --.
//!            |      |                                      |  nothing is left       |
//!            |      v                                      v                        |
//!            |    the kernel or a rate refuses          receive: once a turn        |
//!            '----------------------------------------------------------------------'
//! ```
//!
//! Each datagram is a request of its own; the answers of a batch leave together. While answers
//! wait, nothing is received: the kernel drops what its queue cannot hold. The socket is registered
//! level-triggered, so one batch a turn is enough, and connections have their turn in between. An
//! error of a send belongs to one datagram: it is counted, and the next one is sent. A local peer
//! whose queue is full loses its answer, because epoll does not report that it has room again
//! (unix(7)); for a full send buffer of UDP the answers are kept. Invariant: a socket that wants
//! nothing is not registered, because errors cannot be masked. Neighbours: `meter`, `requests`.
//! See recvmmsg(2), udp(7).

use std::io::{self, ErrorKind};

use crate::kernel::{Address, DatagramBatch, Interest, Poller, Sender, Time, Token, errno};
use crate::limits::{
    DATAGRAM_ERRORS_MAX, DATAGRAM_LOOP_PORTS, DATAGRAM_SIZE_MAX, DATAGRAMS_PER_BATCH,
    LISTENER_PAUSE_MAX, MEMORY_RETRIES_MAX, MEMORY_RETRY_MIN,
};
use crate::server::pace::Pacing;

use super::meter::Meter;
use super::{DatagramSocket, Reply, Turn};

/// A datagram socket of one worker.
pub(super) struct Port<Socket> {
    /// `None` when it is closed.
    socket: Option<Socket>,
    number: u32,
    /// Other workers have the socket too.
    is_shared: bool,
    /// Another program has it too.
    is_passed: bool,
    /// Its own address, which never sends a request.
    own: Sender,
    /// It is bound to all addresses of this machine, and answers from the one that was asked.
    is_wildcard: bool,
    /// Only this machine reaches it, so that no answer goes to a forged address.
    is_of_this_machine: bool,
    /// It is a local socket.
    is_local: bool,
    /// Replies may be elsewhere than in the bytes of their request.
    writes: bool,
    registered: Option<Interest>,
    batch: DatagramBatch,
    /// The next datagram of the batch to be answered.
    next: usize,
    read: Meter,
    write: Meter,
    /// The kernel has no room for the next answer.
    waits_for_room: bool,
    /// Nothing happens before this time.
    rests_until: Time,
    /// Sends that the kernel has refused for lack of memory, in a row.
    retries: u8,
    /// Failed receives in a row.
    errors: u32,
    stage: Stage,
    /// The number of the datagram in the wiretap.
    tapped: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// What is in the queue is received and answered.
    Draining,
    /// Nothing more is received.
    Ending,
}

impl<Socket> Port<Socket> {
    /// Takes the memory for a socket, with `room` bytes for replies.
    pub(super) fn new(
        found: DatagramSocket<Socket>,
        number: u32,
        room: usize,
        pacing: &Pacing,
    ) -> Result<Port<Socket>, (Socket, io::Error)> {
        let DatagramSocket {
            socket,
            address,
            is_shared,
            is_passed,
        } = found;
        let is_wildcard = matches!(&address, Address::Udp(at) if at.ip().is_unspecified());
        let batch = DatagramBatch::new(room, is_wildcard);
        let made = batch.and_then(|batch| Ok((batch, Sender::try_from(&address)?)));
        let (batch, own) = match made {
            Ok(made) => made,
            Err(error) => return Err((socket, error)),
        };
        Ok(Port {
            socket: Some(socket),
            number,
            is_shared,
            is_passed,
            own,
            is_wildcard,
            is_of_this_machine: address.is_of_this_machine(),
            is_local: matches!(address, Address::Unixgram(_)),
            writes: room > 0,
            registered: None,
            batch,
            next: 0,
            read: Meter::new(pacing.read.clone()),
            write: Meter::new(pacing.write.clone()),
            waits_for_room: false,
            rests_until: Time::default(),
            retries: 0,
            errors: 0,
            stage: Stage::Open,
            tapped: 0,
        })
    }

    /// Whether it is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.socket.is_none()
    }

    /// Answers that are owed, of datagrams that were received.
    pub(super) fn owed(&self) -> u64 {
        (self.batch.unsent() + self.batch.received() - self.next) as u64
    }

    /// When it has to go on without an event. In a drain it goes on until its queue is empty.
    pub(super) fn deadline(&self, now: Time) -> Time {
        match self.stage {
            _ if self.is_closed() => Time::NEVER,
            _ if self.rests_until > now => self.rests_until,
            Stage::Draining if !self.waits_for_room => now,
            _ => Time::NEVER,
        }
    }

    /// Sends what waits, answers what was received, and receives one batch.
    pub(super) fn run<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        if self.rests_until <= turn.now {
            (self.rests_until, self.waits_for_room) = (Time::default(), false);
            self.pass_batches(turn);
        }
        self.settle(turn);
    }

    /// Whether it goes on now, without an event.
    pub(super) fn is_due(&self, now: Time) -> bool {
        let has_rested = self.rests_until != Time::default() && self.rests_until <= now;
        !self.is_closed() && (has_rested || self.deadline(now) <= now)
    }

    fn pass_batches<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        let mut may_receive = self.stage != Stage::Ending;
        while self.flush(turn) {
            if self.next < self.batch.received() {
                self.serve(turn);
            } else if !std::mem::take(&mut may_receive) || !self.receive(turn) {
                return;
            }
        }
    }

    /// Sends what is staged. Returns whether nothing of it is left.
    fn flush<K>(&mut self, turn: &mut Turn<'_, K>) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        while self.batch.unsent() > 0 {
            let Some(socket) = &self.socket else {
                return true;
            };
            let most = match self.write.admit(turn.now) {
                Ok(most) => most,
                Err(until) => return self.rest_for_rate(turn, until),
            };
            let count = match most {
                u64::MAX => self.batch.unsent(),
                most => self.answers_within(most),
            };
            turn.counters.sendmmsg += 1;
            match (turn.calls.send)(turn.kernel, socket, &mut self.batch, count) {
                Ok(sent) => {
                    self.retries = 0;
                    turn.counters.short_writes += u64::from(sent < count);
                    self.count_sent(turn, sent);
                }
                Err(error) => {
                    self.write.settle(0, turn.now);
                    if !self.skip(turn, &error) {
                        return false;
                    }
                    self.give_up_one(turn);
                }
            }
        }
        true
    }

    /// How many answers to send for `most` bytes. The last of them may exceed that.
    #[cold]
    fn answers_within(&self, most: u64) -> usize {
        let (mut count, mut size) = (0, 0);
        while count < self.batch.unsent() && size < most {
            size += self.batch.unsent_size(count) as u64;
            // An empty one is not for free.
            size += u64::from(size == 0);
            count += 1;
        }
        count
    }

    fn count_sent<K>(&mut self, turn: &mut Turn<'_, K>, sent: usize)
    where
        K: Poller<Socket = Socket>,
    {
        let size = self.batch.unsent_sizes(sent) as u64;
        turn.counters.datagrams_out += sent as u64;
        turn.counters.bytes_out += size;
        self.write.settle(size, turn.now);
        if let Some(tap) = &mut turn.tap {
            for ahead in 0..sent {
                tap.write(self.tapped, self.batch.unsent_answer(ahead).0);
                tap.ended(self.tapped, None);
            }
        }
        self.batch.pass(sent);
    }

    /// Handles the error of a send. Returns whether the datagram is given up; otherwise it is sent
    /// later.
    #[cold]
    fn skip<K>(&mut self, turn: &mut Turn<'_, K>, error: &io::Error) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        match error.raw_os_error() {
            _ if error.kind() == ErrorKind::WouldBlock && !self.is_local => {
                turn.counters.short_writes += 1;
                self.waits_for_room = true;
                false
            }
            Some(errno::ENOBUFS | errno::ENOMEM) if self.retries < MEMORY_RETRIES_MAX => {
                turn.counters.refused_memory += 1;
                let pause = MEMORY_RETRY_MIN * (1 << self.retries);
                self.retries += 1;
                self.rests_until = turn.now.after(pause);
                false
            }
            _ => {
                log::debug!("{}: an answer is not sent: {error}", self.own);
                self.retries = 0;
                true
            }
        }
    }

    #[cold]
    fn give_up_one<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        turn.counters.datagrams_unsent += 1;
        turn.end(self.tapped, Some("unsent"));
        self.batch.pass(1);
    }

    #[cold]
    fn rest_for_rate<K>(&mut self, turn: &mut Turn<'_, K>, until: Time) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        turn.counters.rate_waits += 1;
        self.rests_until = until;
        false
    }

    /// Receives a batch. Returns whether there is one.
    fn receive<K>(&mut self, turn: &mut Turn<'_, K>) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        let Some(socket) = &self.socket else {
            return false;
        };
        let count = match self.read.admit(turn.now) {
            // The lines of a datagram stay together in the wiretap.
            Ok(_) if turn.tap.is_some() => 1,
            Ok(u64::MAX) => DATAGRAMS_PER_BATCH,
            Ok(most) => {
                let whole = most / DATAGRAM_SIZE_MAX as u64;
                (whole as usize).clamp(1, DATAGRAMS_PER_BATCH)
            }
            Err(until) => return self.rest_for_rate(turn, until),
        };
        turn.counters.recvmmsg += 1;
        match (turn.calls.receive)(turn.kernel, socket, &mut self.batch, count) {
            Ok(count) => {
                (self.next, self.errors) = (0, 0);
                let size = self.batch.received_size() as u64;
                turn.counters.datagrams_in += count as u64;
                turn.counters.bytes_in += size;
                // An empty one is not for free.
                self.read.settle(size.max(1), turn.now);
                true
            }
            Err(error) => {
                self.next = 0;
                self.read.settle(0, turn.now);
                self.receive_failed(turn, &error);
                false
            }
        }
    }

    /// Nothing was received. An error that a datagram sent earlier has caused is taken with that.
    #[cold]
    fn receive_failed<K>(&mut self, turn: &mut Turn<'_, K>, error: &io::Error)
    where
        K: Poller<Socket = Socket>,
    {
        if error.kind() == ErrorKind::WouldBlock {
            turn.counters.spurious_events += 1;
            self.errors = 0;
            if self.stage == Stage::Draining {
                self.stage = Stage::Ending;
            }
            return;
        }
        turn.counters.datagram_errors += 1;
        log::debug!("{}: recvmmsg: {error}", self.own);
        self.errors += 1;
        let lacks_memory = matches!(error.raw_os_error(), Some(errno::ENOBUFS | errno::ENOMEM));
        if lacks_memory || self.errors >= DATAGRAM_ERRORS_MAX {
            self.errors = 0;
            self.rests_until = turn.now.after(LISTENER_PAUSE_MAX);
            if let Some(more) = turn.log.admit(turn.now) {
                let own = &self.own;
                log::warn!("{own}: recvmmsg: {error}: it rests for {LISTENER_PAUSE_MAX:?}{more}");
            }
        }
    }

    /// Answers datagrams until all are answered, or there is no room for another reply.
    fn serve<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        while self.next < self.batch.received() {
            let place = self.next;
            let size = self.batch.size(place);
            if turn.tap.is_some() {
                self.tell(turn, place);
            }
            if self.batch.is_truncated(place) {
                turn.counters.datagrams_truncated += 1;
                turn.end(self.tapped, Some("truncated"));
            } else if self.is_loop(turn, place) {
                turn.counters.refused_loop += 1;
                turn.end(self.tapped, Some("loop"));
            } else {
                if self.writes && self.batch.unsent() > 0 && self.lacks_room(turn, size) {
                    return;
                }
                self.answer(turn, place, size);
            }
            self.next += 1;
        }
    }

    /// Whether the reply to `size` bytes may not fit behind those that are staged.
    fn lacks_room<K>(&self, turn: &mut Turn<'_, K>, size: usize) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        self.batch.room() < turn.service.reply_max(size)
    }

    #[inline]
    fn answer<K>(&mut self, turn: &mut Turn<'_, K>, place: usize, size: usize)
    where
        K: Poller<Socket = Socket>,
    {
        turn.counters.frames += 1;
        let (payload, room) = self.batch.request(place);
        let reply = turn.service.answer(payload, room);
        let answered = match reply {
            Reply::Nothing => return turn.end(self.tapped, None),
            Reply::InPlace(answered) | Reply::Written(answered) => answered,
            Reply::Awaits => 0,
            Reply::Corrupted => {
                turn.counters.refused_corrupted += 1;
                return turn.end(self.tapped, Some("corrupted"));
            }
        };
        let refusal = match () {
            () if self.batch.is_unnamed(place) => {
                turn.counters.refused_unnamed += 1;
                "unnamed"
            }
            () if answered > size && !self.is_of_this_machine => {
                turn.counters.refused_amplification += 1;
                "amplification"
            }
            () => match reply {
                Reply::Written(_) => return self.batch.stage_reply(place, answered),
                Reply::Awaits => return self.ask(turn, place),
                _ => return self.batch.stage_in_place(place, answered),
            },
        };
        turn.end(self.tapped, Some(refusal));
    }

    /// The answer comes from a command.
    #[cold]
    fn ask<K>(&mut self, turn: &mut Turn<'_, K>, place: usize)
    where
        K: Poller<Socket = Socket>,
    {
        let sender = self.batch.sender(place);
        if !turn.service.keep(sender, self.number, self.tapped) {
            turn.counters.refused_commands += 1;
            turn.end(self.tapped, Some("too many commands"));
        }
    }

    /// Whether an answer would come back: two servers that answer each other never end.
    #[inline]
    fn is_loop<K>(&mut self, turn: &mut Turn<'_, K>, place: usize) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        let port = self.batch.port(place);
        DATAGRAM_LOOP_PORTS.contains(&port)
            || port == self.own.port() && self.is_itself(turn, place)
    }

    #[cold]
    fn is_itself<K>(&mut self, turn: &mut Turn<'_, K>, place: usize) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        let sender = self.batch.sender(place);
        match sender.internet() {
            Some(at) if self.is_wildcard => {
                at.ip().is_loopback() || (turn.calls.owns)(turn.kernel, at.ip())
            }
            _ => sender.is_at(&self.own),
        }
    }

    #[cold]
    fn tell<K>(&mut self, turn: &mut Turn<'_, K>, place: usize)
    where
        K: Poller<Socket = Socket>,
    {
        let sender = self.batch.sender(place);
        if let Some(tap) = &mut turn.tap {
            self.tapped = tap.registered();
            tap.active(self.tapped, &sender);
            tap.read(self.tapped, self.batch.request(place).0);
            tap.end_event();
        }
    }

    /// Sends one answer that was waited for. Returns whether it is done with, sent or given up.
    #[cold]
    pub(super) fn send_one<K>(
        &mut self,
        turn: &mut Turn<'_, K>,
        bytes: &[u8],
        to: &Sender,
        tapped: u32,
    ) -> bool
    where
        K: Poller<Socket = Socket>,
    {
        let Some(socket) = &self.socket else {
            return true;
        };
        if self.waits_for_room || self.rests_until > turn.now {
            return false;
        }
        if let Err(until) = self.write.admit(turn.now) {
            self.rest_for_rate(turn, until);
            self.settle(turn);
            return false;
        }
        turn.counters.sendmmsg += 1;
        match (turn.calls.send_one)(turn.kernel, socket, bytes, to) {
            Ok(_) => {
                turn.counters.datagrams_out += 1;
                turn.counters.bytes_out += bytes.len() as u64;
                self.write.settle(bytes.len() as u64, turn.now);
                if let Some(tap) = &mut turn.tap {
                    tap.write(tapped, bytes);
                }
                turn.end(tapped, None);
                true
            }
            Err(error) => {
                self.write.settle(0, turn.now);
                let is_done = self.skip(turn, &error);
                if is_done {
                    turn.counters.datagrams_unsent += 1;
                    turn.end(tapped, Some("unsent"));
                }
                self.settle(turn);
                is_done
            }
        }
    }

    /// What it waits for.
    fn wanted(&self, now: Time) -> Option<Interest> {
        match self.stage {
            _ if self.rests_until > now => None,
            _ if self.waits_for_room => Some(Interest::WRITE),
            Stage::Open if self.is_shared => Some(Interest::READ | Interest::EXCLUSIVE),
            Stage::Open => Some(Interest::READ),
            Stage::Draining | Stage::Ending => None,
        }
    }

    /// Tells the kernel what is waited for, if that has changed.
    #[inline]
    pub(super) fn settle<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        if self.wanted(turn.now) != self.registered {
            self.register(turn);
        }
    }

    #[cold]
    fn register<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        let wanted = self.wanted(turn.now);
        if let Err(error) = self.try_to_register(turn, wanted) {
            turn.counters.refused_registration += 1;
            if let Some(more) = turn.log.admit(turn.now) {
                let own = &self.own;
                log::warn!("{own}: epoll_ctl: {error}: tried again{more}");
            }
            self.rests_until = turn.now.after(LISTENER_PAUSE_MAX);
        }
    }

    /// Registers it for `wanted`.
    pub(super) fn try_to_register<K>(
        &mut self,
        turn: &mut Turn<'_, K>,
        wanted: Option<Interest>,
    ) -> io::Result<()>
    where
        K: Poller<Socket = Socket>,
    {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        let token = Token::datagram(self.number);
        if let (Some(_), Some(interest), false) = (self.registered, wanted, self.is_shared) {
            turn.counters.epoll_ctl += 1;
            turn.kernel.reregister(socket, token, interest)?;
            self.registered = wanted;
            return Ok(());
        }
        // The kernel refuses to change an exclusive registration.
        if self.registered.take().is_some() {
            turn.counters.epoll_ctl += 1;
            turn.kernel.deregister(socket)?;
        }
        if let Some(interest) = wanted {
            turn.counters.epoll_ctl += 1;
            turn.kernel.register(socket, token, interest)?;
            self.registered = wanted;
        }
        Ok(())
    }

    /// The first registration.
    pub(super) fn begin<K>(&mut self, turn: &mut Turn<'_, K>) -> io::Result<()>
    where
        K: Poller<Socket = Socket>,
    {
        let wanted = self.wanted(turn.now);
        self.try_to_register(turn, wanted)
    }

    /// A drain begins: no rate holds, and no datagram enters the queue any more.
    pub(super) fn begin_drain<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        let (Some(socket), Stage::Open) = (&self.socket, self.stage) else {
            return;
        };
        // A socket that was passed stays open, and its next user must hear what arrives.
        if !self.is_passed {
            if let Err(error) = (turn.calls.stop_arrivals)(turn.kernel, socket) {
                // They still come, for the reading time of the drain at most.
                log::debug!("{}: setsockopt: {error}", self.own);
            }
        }
        self.read.lift();
        self.write.lift();
        self.rests_until = Time::default();
        self.stage = Stage::Draining;
    }

    /// Receives no more: the reading time of a drain is over, or other processes go on with the
    /// socket.
    pub(super) fn stop(&mut self) {
        self.stage = Stage::Ending;
    }

    /// Whether all is answered after which it is to close.
    pub(super) fn has_ended(&self) -> bool {
        self.stage == Stage::Ending && self.owed() == 0 && !self.is_closed()
    }

    /// Closes it.
    pub(super) fn close<K>(&mut self, turn: &mut Turn<'_, K>)
    where
        K: Poller<Socket = Socket>,
    {
        // Others may keep it open, and with it the registration.
        if let Err(error) = self.try_to_register(turn, None) {
            log::debug!("{}: epoll_ctl: {error}", self.own);
        }
        self.batch.give_up();
        self.next = self.batch.received();
        if let Some(socket) = self.socket.take() {
            (turn.calls.close)(turn.kernel, socket);
        }
    }
}
