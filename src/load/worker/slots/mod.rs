//! The slots of a worker: the sockets of its connections, and what is done with one of them.
//!
//! [`Slots`] opens, reads, writes and closes the socket of one slot, and counts the stages of all.
//! It decides nothing and measures nothing: `lifetime` says when a connection is opened and closed,
//! `traffic` what is sent on it, `ledger` what counts. A slot keeps its number; its generation,
//! which is in the token, tells an old event from a new one.
//!
//! The other files are fixed-size containers that know slots only by their number. All memory is
//! allocated before the load, so nothing here allocates between the first request and the last.
//! See connect(2), "EINPROGRESS".

pub(super) mod failures;
pub(super) mod free;
pub(super) mod openings;
pub(super) mod stamps;

use std::io;
use std::time::Duration;

use super::proof::Challenge;
use super::reopening::is_end;
use super::tally::{Cause, Failure};
use super::{Job, room};
use crate::base::time::Time;
use crate::kernel::{
    Address, ConnectOptions, Interest, OpenError, Opener, Poller, Token, errno, is_itself,
};
use crate::load::conversation::connection::{Connection, Speech};
use crate::load::conversation::exchange::Exchange;
use crate::load::conversation::page::FirstPage;
use crate::load::plan::{Plan, Protocol};
use crate::protocol::front::proxy;
use failures::Failures;

/// The interest of each connection.
const INTEREST: Interest = Interest::READ.union(Interest::WRITE).union(Interest::EDGE);

/// The stage of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load::worker) enum Stage {
    /// No socket.
    Closed,
    Connecting,
    /// Established, and carries load.
    Open,
    /// Established, and sends nothing.
    Idle,
}

struct Slot<S> {
    socket: Option<S>,
    stage: Stage,
    generation: u32,
    /// When connect(2) was first called for this connection.
    opened_at: Time,
    /// How many connects were refused because the listen queue was full.
    tries: u8,
    /// Whether this connection replaces one that has ended.
    is_again: bool,
    /// Whether its header of a load balancer was sent.
    is_announced: bool,
    /// Failures since the last reply; they decide how long the slot waits before the next try.
    failures: Failures,
    challenge: Challenge,
    connection: Connection,
}

/// The slots of a worker, and the kernel that has their sockets.
pub(in crate::load::worker) struct Slots<'a, K: Poller + Opener> {
    kernel: K,
    job: Job<'a>,
    speech: Speech,
    slots: Vec<Slot<K::Socket>>,
    /// The number of slots that carry load; the others hold idle connections.
    active: usize,
    options: Vec<ConnectOptions>,
    connecting: usize,
    /// Established connections: with load, and idle.
    open: usize,
    idle: usize,
    /// Whether a connection that was replaced had replies.
    was_answered: bool,
}

/// A connection of `plan` that has sent nothing.
fn connection(plan: &Plan, speech: Speech, first: &FirstPage) -> Connection {
    let connection = Connection::new(speech, first);
    match plan.protocol {
        Protocol::Http if plan.request.is_bodiless() => connection.without_bodies(),
        Protocol::Http | Protocol::Echo => connection,
        Protocol::Message => {
            let exchange = Exchange::new(plan.message.expect, plan.framing, first);
            connection.exchanging(exchange)
        }
    }
}

impl<'a, K: Poller + Opener> Slots<'a, K> {
    /// The closed slots of a worker. The error names what does not fit.
    pub(in crate::load::worker) fn new(
        kernel: K,
        job: Job<'a>,
        speech: Speech,
    ) -> Result<Slots<'a, K>, Cause> {
        let plan = job.plan;
        let active = plan.share(plan.connections as u64, job.index) as usize;
        let count = active + plan.share(plan.idle as u64, job.index) as usize;
        let mut slots = room("connections", count)?;
        slots.extend((0..count).map(|_| Slot {
            socket: None,
            stage: Stage::Closed,
            generation: 0,
            opened_at: Time::default(),
            tries: 0,
            is_again: false,
            is_announced: false,
            failures: Failures::default(),
            challenge: Challenge::default(),
            connection: connection(plan, speech, &job.control.first_page),
        }));
        let sources: Vec<Option<Address>> = match plan.sources.as_slice() {
            [] => vec![None],
            some => some.iter().cloned().map(Some).collect(),
        };
        let options = sources.into_iter().map(|source| ConnectOptions {
            nodelay: true,
            source,
        });
        Ok(Slots {
            kernel,
            job,
            speech,
            slots,
            active,
            options: options.collect(),
            connecting: 0,
            open: 0,
            idle: 0,
            was_answered: false,
        })
    }

    /// The kernel of this worker.
    #[inline]
    pub(in crate::load::worker) fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Reads the clock.
    #[inline]
    pub(in crate::load::worker) fn clock(&mut self) -> Time {
        self.kernel.now()
    }

    /// All slots.
    pub(in crate::load::worker) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slots that carry load are the first ones, so many.
    pub(in crate::load::worker) fn active(&self) -> usize {
        self.active
    }

    /// Connections that are being opened.
    pub(in crate::load::worker) fn connecting(&self) -> usize {
        self.connecting
    }

    /// Established connections that carry load.
    pub(in crate::load::worker) fn open(&self) -> usize {
        self.open
    }

    /// All established connections.
    pub(in crate::load::worker) fn established(&self) -> usize {
        self.open + self.idle
    }

    /// Whether a slot carries one request per connection.
    pub(in crate::load::worker) fn is_churned(&self, index: usize) -> bool {
        self.job.plan.churn && index < self.active
    }

    /// Whether `token` is that of the present connection of its slot.
    #[inline]
    pub(in crate::load::worker) fn has(&self, token: Token) -> bool {
        (self.slots.get(token.index() as usize))
            .is_some_and(|slot| slot.generation == token.generation())
    }

    #[inline]
    pub(in crate::load::worker) fn stage(&self, index: usize) -> Stage {
        self.slots[index].stage
    }

    #[inline]
    pub(in crate::load::worker) fn connection(&self, index: usize) -> &Connection {
        &self.slots[index].connection
    }

    #[inline]
    pub(in crate::load::worker) fn connection_mut(&mut self, index: usize) -> &mut Connection {
        &mut self.slots[index].connection
    }

    #[inline]
    pub(in crate::load::worker) fn failures(&mut self, index: usize) -> &mut Failures {
        &mut self.slots[index].failures
    }

    /// When connect(2) was first called for the connection.
    pub(in crate::load::worker) fn opened_at(&self, index: usize) -> Time {
        self.slots[index].opened_at
    }

    /// The number of the connection over all workers.
    pub(in crate::load::worker) fn number(&self, index: usize) -> usize {
        index * self.job.plan.threads + self.job.index
    }

    /// The next connection of a slot replaces one that has ended, or not.
    pub(in crate::load::worker) fn set_again(&mut self, index: usize, is_again: bool) {
        self.slots[index].is_again = is_again;
    }

    /// The token of the next try to connect, which makes those before it stale.
    pub(in crate::load::worker) fn next_token(&mut self, index: usize) -> Token {
        let slot = &mut self.slots[index];
        slot.generation = slot.generation.wrapping_add(1).max(1);
        Token::new(index as u32, slot.generation)
    }

    /// Whether the next try is the first one. A later one keeps the time and the request of the
    /// first.
    pub(in crate::load::worker) fn is_first_try(&self, index: usize) -> bool {
        self.slots[index].tries == 0
    }

    /// Begins a new conversation at `now`, with the requests that were in flight on the connection
    /// before it. Returns how many replies that one had, if it leaves any request.
    pub(in crate::load::worker) fn restart(&mut self, index: usize, now: Time) -> Option<u64> {
        let voice = self.number(index) as u64;
        let slot = &mut self.slots[index];
        slot.opened_at = now;
        let connection = &mut slot.connection;
        let (answered, unanswered) = (connection.answered(), connection.in_flight());
        self.was_answered |= answered > 0;
        let other = voice + u64::from(slot.generation) * 7919;
        connection.reset(self.job.script, other);
        (0..unanswered).for_each(|_| connection.begin(self.job.script));
        (unanswered > 0).then_some(answered)
    }

    /// Starts to connect the socket of a slot.
    pub(in crate::load::worker) fn connect(&mut self, token: Token) -> io::Result<()> {
        let index = token.index() as usize;
        let options = &self.options[self.number(index) % self.options.len()];
        let opened = self.kernel.connect(self.job.target, options);
        let socket = opened.map_err(|OpenError { error, .. }| error)?;
        let checked = self.check_local(&socket);
        if let Err(error) = checked.and_then(|()| self.kernel.register(&socket, token, INTEREST)) {
            self.kernel.close(socket);
            return Err(error);
        }
        let slot = &mut self.slots[index];
        (slot.socket, slot.stage, slot.tries) = (Some(socket), Stage::Connecting, 0);
        slot.challenge = Challenge::default();
        slot.is_announced = false;
        self.connecting += 1;
        Ok(())
    }

    /// Refuses a socket that is connected to itself (simultaneous open): the generator would
    /// measure its own echo. The local address is known as soon as connect(2) returns, even before
    /// the peer has answered.
    fn check_local(&mut self, socket: &K::Socket) -> io::Result<()> {
        if let Address::Unix(_) | Address::Unixgram(_) = self.job.target {
            return Ok(());
        }
        match is_itself(&self.kernel.local(socket)?, self.job.target) {
            true => Err(io::Error::from_raw_os_error(errno::ECONNREFUSED)),
            false => Ok(()),
        }
    }

    /// Counts a try that found a full listen queue. Returns how many there were before it.
    pub(in crate::load::worker) fn count_try(&mut self, index: usize) -> u32 {
        let slot = &mut self.slots[index];
        slot.tries = slot.tries.saturating_add(1);
        u32::from(slot.tries - 1)
    }

    /// The next slot from `first` on that has been connecting for `timeout` at `now`.
    pub(in crate::load::worker) fn find_late(
        &self,
        first: usize,
        now: Time,
        timeout: Duration,
    ) -> Option<usize> {
        let is_late = |slot: &Slot<K::Socket>| {
            slot.stage == Stage::Connecting && now.since(slot.opened_at) >= timeout
        };
        let place = self.slots[first..].iter().position(is_late)?;
        Some(first + place)
    }

    /// Sends the header of a load balancer, which is not among the bytes of the load. A new socket
    /// has room for it.
    pub(in crate::load::worker) fn announce(&mut self, index: usize) -> io::Result<()> {
        let slot = &mut self.slots[index];
        let (Some(socket), Some(version)) = (&slot.socket, self.job.plan.proxy) else {
            return Ok(());
        };
        if slot.is_announced {
            return Ok(());
        }
        let peer = match self.kernel.peer(socket) {
            Ok(peer) => peer,
            // The connect is in progress.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Err(error) => return Err(error),
        };
        let local = self.kernel.local(socket)?;
        let header = proxy::header(version, &local.octets(), &peer.octets());
        if self.kernel.write(socket, &header)? < header.len() {
            let text = "the send buffer has no room for the PROXY header";
            return Err(io::Error::other(text));
        }
        slot.is_announced = true;
        Ok(())
    }

    /// How the connect of a slot has ended.
    pub(in crate::load::worker) fn take_error(&mut self, index: usize) -> io::Result<()> {
        match &self.slots[index].socket {
            Some(socket) => self.kernel.take_error(socket),
            None => Ok(()),
        }
    }

    /// Whether the slot has a socket.
    pub(in crate::load::worker) fn has_socket(&self, index: usize) -> bool {
        self.slots[index].socket.is_some()
    }

    /// Answers the challenge, if there is a key. Returns whether the conversation may begin.
    pub(in crate::load::worker) fn prove(&mut self, index: usize) -> Result<bool, Cause> {
        let Some(key) = &self.job.plan.key else {
            return Ok(true);
        };
        let slot = &mut self.slots[index];
        let Some(socket) = &slot.socket else {
            return Ok(false);
        };
        let broken = |error| broken(self.speech, error);
        match slot.challenge.receive(&mut self.kernel, socket) {
            Ok(Some(bytes)) => {
                let (digest, size) = key.answer(bytes);
                match self.kernel.write(socket, &digest[..size]) {
                    Ok(count) if count == size => Ok(true),
                    Ok(_) => {
                        let text = "the send buffer has no room for a digest";
                        Err(Cause::Broken(io::Error::other(text)))
                    }
                    Err(error) => Err(broken(error)),
                }
            }
            Ok(None) => Err(Cause::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(broken(error)),
        }
    }

    /// What a connection in the stage `Connecting` waits for.
    #[cold]
    pub(in crate::load::worker) fn awaited(&mut self, index: usize) -> &'static str {
        let socket = self.slots[index].socket.as_ref();
        let is_established = socket.is_some_and(|socket| self.kernel.peer(socket).is_ok());
        match is_established && self.job.plan.key.is_some() {
            true => "challenge of --auth",
            false => "answer",
        }
    }

    /// `cause`, or a refused key: the server has ended the stream between the digest and the first
    /// reply.
    pub(in crate::load::worker) fn cause_of_end(&self, index: usize, cause: Cause) -> Cause {
        let slot = &self.slots[index];
        let is_end = match &cause {
            Cause::Closed => true,
            Cause::Broken(error) => is_end(error),
            _ => false,
        };
        let is_proved = self.job.plan.key.is_some()
            && matches!(slot.stage, Stage::Open | Stage::Idle)
            && slot.connection.answered() == 0
            && !slot.connection.is_mid_message();
        match is_end && is_proved {
            true => Cause::Unproven,
            false => cause,
        }
    }

    /// Whether any connection has had a reply.
    pub(in crate::load::worker) fn has_answers(&self) -> bool {
        let mut slots = self.slots.iter();
        self.was_answered || slots.any(|slot| slot.connection.answered() > 0)
    }

    /// Marks a connection as established. Returns whether it replaces one that has ended.
    pub(in crate::load::worker) fn establish(&mut self, index: usize) -> bool {
        let slot = &mut self.slots[index];
        self.job.control.stands();
        self.connecting -= 1;
        if index < self.active {
            slot.stage = Stage::Open;
            self.open += 1;
        } else {
            slot.stage = Stage::Idle;
            self.idle += 1;
        }
        std::mem::take(&mut slot.is_again)
    }

    /// Reads once into `space`; `None` if there is no socket.
    #[inline]
    pub(in crate::load::worker) fn read(
        &mut self,
        index: usize,
        space: &mut [u8],
    ) -> Option<io::Result<usize>> {
        let socket = self.slots[index].socket.as_ref()?;
        Some(self.kernel.read(socket, space))
    }

    /// Writes what the connection owes, until the kernel takes no more. The next write edge
    /// continues.
    #[inline]
    pub(in crate::load::worker) fn flush(&mut self, index: usize) -> Result<(), Cause> {
        let slot = &mut self.slots[index];
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        while slot.connection.owes() {
            let bytes = slot.connection.outgoing(self.job.script);
            let (length, written) = (bytes.len(), self.kernel.write(socket, bytes));
            match written {
                Ok(count) => {
                    slot.connection.sent(self.job.script, count);
                    // After a short write, the next write edge continues the request.
                    if count < length {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(broken(self.speech, error)),
            }
        }
        Ok(())
    }

    /// Writes once what the connection owes. Returns whether the kernel took any bytes.
    pub(in crate::load::worker) fn write_once(&mut self, index: usize) -> io::Result<bool> {
        let slot = &mut self.slots[index];
        let (Some(socket), bytes) = (&slot.socket, slot.connection.outgoing(self.job.script))
        else {
            return Ok(false);
        };
        let count = self.kernel.write(socket, bytes)?;
        slot.connection.sent(self.job.script, count);
        Ok(true)
    }

    /// Lets another event report the unread rest, after the events of other connections.
    #[cold]
    pub(in crate::load::worker) fn ask_again(&mut self, index: usize) -> Result<(), Cause> {
        let slot = &self.slots[index];
        let token = Token::new(index as u32, slot.generation);
        let Some(socket) = &slot.socket else {
            return Ok(());
        };
        let asked = self.kernel.reregister(socket, token, INTEREST);
        asked.map_err(|error| broken(self.speech, error))
    }

    /// Bytes that the peer's kernel has not acknowledged; `None` if that cannot be found out.
    pub(in crate::load::worker) fn unacknowledged(&mut self, index: usize) -> Option<usize> {
        let socket = self.slots[index].socket.as_ref()?;
        self.kernel.unacknowledged(socket).ok()
    }

    /// The cause for a failed call on a connection.
    pub(in crate::load::worker) fn broken(&self, error: io::Error) -> Cause {
        broken(self.speech, error)
    }

    /// The report of a connection with `failed` failed requests of the window.
    pub(in crate::load::worker) fn failure(
        &self,
        index: usize,
        failed: u64,
        cause: Cause,
    ) -> Failure {
        let connection = &self.slots[index].connection;
        Failure {
            connection: self.number(index),
            answered: connection.answered(),
            in_flight: connection.in_flight(),
            failed,
            cause,
            count: 1,
        }
    }

    /// Closes the socket of a slot.
    pub(in crate::load::worker) fn hang_up(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        match slot.stage {
            Stage::Connecting => self.connecting -= 1,
            Stage::Open => self.open -= 1,
            Stage::Idle => self.idle -= 1,
            Stage::Closed => {}
        }
        if matches!(slot.stage, Stage::Open | Stage::Idle) {
            self.job.control.falls();
        }
        (slot.stage, slot.tries) = (Stage::Closed, 0);
        if let Some(socket) = slot.socket.take() {
            self.kernel.close(socket);
        }
    }

    /// Slots that should have a connection all the time and have none, because the last one failed.
    pub(in crate::load::worker) fn missing(&self) -> u64 {
        let first = if self.job.plan.churn { self.active } else { 0 };
        let missing = |slot: &&Slot<K::Socket>| {
            slot.failures.is_any() && matches!(slot.stage, Stage::Closed | Stage::Connecting)
        };
        self.slots[first..].iter().filter(missing).count() as u64
    }

    /// Closes all sockets at the end of the run.
    pub(in crate::load::worker) fn close_all(&mut self) {
        for slot in &mut self.slots {
            if let Some(socket) = slot.socket.take() {
                self.kernel.close(socket);
            }
        }
    }

    /// The token of the present connection of a slot.
    #[cfg(test)]
    pub(in crate::load::worker) fn token(&self, index: usize) -> Token {
        Token::new(index as u32, self.slots[index].generation)
    }
}

/// The cause for a failed call on a connection that carries `speech`.
#[cold]
fn broken(speech: Speech, error: io::Error) -> Cause {
    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
    match speech {
        // The ICMP error of an earlier datagram: no socket is bound to the port (udp(7)).
        Speech::Datagrams if refused => Cause::Connect(error),
        // What TLS says of a connection: it was never established, or is none any more.
        _ if error.kind() == io::ErrorKind::InvalidData => Cause::Connect(error),
        _ => Cause::Broken(error),
    }
}
