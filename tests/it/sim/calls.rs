//! The calls on sockets: `Sockets` of the kernel interface, with their faults.
//!
//! The order in each call: first a failure that the test has ordered, then random faults of the
//! peer, then the call itself, then the journal. Bytes and FINs are in pair.rs, readiness is in
//! poll.rs. Invariant: an answer worse than necessary leaves the socket in a state that Linux could
//! also have left, and the matching edge follows (faults.rs). accept(2), recv(2), send(2),
//! shutdown(2), close(2).

use std::io;

use libc::{EAGAIN, ECONNABORTED, EINVAL, ENOBUFS, ENOMEM, ENOTCONN};
use mynah::kernel::journal::{Argument, Call, Name, Recorder, Returned};
use mynah::kernel::{Address, Event, Outcome, Readiness, Sockets, Source};

use super::faults::STARVED_MAX;
use super::journal::matches;
use super::pair::{Owner, Pair};
use super::table::{File, Socket, asked};
use super::{Answer, Sim};

/// How many stale events are kept.
const BURIED_MAX: usize = 16;

impl Sim {
    /// Fails if the test ordered a failure of this call.
    pub(super) fn enter(&mut self, name: Name) -> Answer<()> {
        let mut failure = Ok(());
        self.ordered.retain_mut(|ordered| {
            if matches(&ordered.name, name.text()) {
                ordered.left -= 1;
                if ordered.left == 0 {
                    failure = Err(ordered.errno);
                }
            }
            ordered.left > 0
        });
        failure
    }

    /// Records the call in the journal, and converts its answer to that of the kernel interface.
    pub(super) fn leave<T>(
        &mut self,
        name: Name,
        socket: Option<u32>,
        argument: Argument<'_>,
        answer: Answer<T>,
        value: impl Fn(&T) -> usize,
    ) -> io::Result<T> {
        let result = answer.as_ref().map(value).map_err(|&errno| errno);
        self.note(name, socket, argument, result, &[]);
        answer.map_err(io::Error::from_raw_os_error)
    }

    /// The same for a call that has moved bytes to or from `space`.
    #[inline(always)]
    fn leave_moved(
        &mut self,
        name: Name,
        socket: u32,
        answer: Answer<usize>,
        space: &[u8],
    ) -> io::Result<usize> {
        let bytes = &space[..answer.unwrap_or(0)];
        let argument = Argument::Size(space.len());
        self.note(name, Some(socket), argument, answer, bytes);
        answer.map_err(io::Error::from_raw_os_error)
    }

    /// Records a call.
    #[inline]
    pub(super) fn note(
        &mut self,
        name: Name,
        descriptor: Option<u32>,
        argument: Argument<'_>,
        result: Answer<usize>,
        bytes: &[u8],
    ) {
        self.journal.record(&Call {
            began: self.now,
            at: self.now,
            name,
            descriptor,
            argument,
            result,
            returned: Returned::Number,
            bytes,
        });
    }

    /// Finds the connection of a socket and the end that the socket holds.
    fn stream(&mut self, name: Name, socket: &Socket) -> Answer<(&mut Pair, usize)> {
        self.enter(name)?;
        let (index, side) = self.table.stream(socket.number).ok_or(ENOTCONN)?;
        Ok((&mut self.pairs[index], side))
    }

    /// Applies random faults of the peer while the socket is used or waited for.
    pub(super) fn peer_faults(&mut self, number: u32) {
        let Some((index, side)) = self.table.stream(number) else {
            return;
        };
        let pair = &mut self.pairs[index];
        if pair.ends[1 - side].owner != Owner::Peer {
            return;
        }
        if self.dice.chance(self.faults.reset) {
            self.killed.insert(pair.serial);
            pair.abort(1 - side);
            self.settle(index);
        } else if self.dice.chance(self.faults.half_close) {
            // ENOTCONN: there is nothing left to close.
            let _ = pair.shutdown(1 - side);
            self.settle(index);
        }
    }

    /// How many descriptors may be open now.
    pub(super) fn ceiling(&self) -> usize {
        match self.starved {
            Some((until, count)) if self.now < until => count,
            _ => usize::MAX,
        }
    }

    fn take_connection(&mut self, number: u32) -> Answer<Socket> {
        self.enter(Name::Accept)?;
        if self.ceiling() == usize::MAX && self.dice.chance(self.faults.starved) {
            let span = STARVED_MAX.mul_f64(self.dice.below(1000) as f64 / 1000.0);
            self.starved = Some((self.now.after(span), self.table.open));
        }
        // Linux allocates the descriptor before it looks into the queue, so EMFILE comes before
        // EAGAIN.
        let ceiling = self.ceiling();
        let socket = self.table.open(File::Blank, ceiling)?;
        let taken = self.dequeue(number);
        match taken {
            Ok(index) => {
                self.pairs[index].ends[1].owner = Owner::Descriptor(socket.number);
                *self.table.file(socket.number) = File::Stream {
                    pair: index,
                    side: 1,
                };
                Ok(socket)
            }
            Err(errno) => {
                self.table.close(socket);
                Err(errno)
            }
        }
    }

    fn dequeue(&mut self, number: u32) -> Answer<usize> {
        let home = self.table.home(number);
        let File::Listener(listener) = self.table.file(home) else {
            return Err(EINVAL);
        };
        let Some(&index) = listener.queue.front() else {
            return Err(EAGAIN);
        };
        if self.dice.chance(self.faults.would_block) {
            self.table.wake(number, Readiness::IN);
            return Err(EAGAIN);
        }
        listener.queue.pop_front();
        if self.dice.chance(self.faults.aborted) {
            self.killed.insert(self.pairs[index].serial);
            self.pairs[index].abort(1);
            self.settle(index);
            return Err(ECONNABORTED);
        }
        Ok(index)
    }

    fn receive_from(&mut self, number: u32, space: &mut [u8]) -> Answer<usize> {
        self.enter(Name::Read)?;
        let (index, side) = self.table.stream(number).ok_or(ENOTCONN)?;
        let most = self.pairs[index].ends[side].readable().min(space.len());
        if most > 0 && self.dice.chance(self.faults.no_memory) {
            return Err(ENOMEM);
        }
        if most > 0 && self.dice.chance(self.faults.would_block) {
            return Err(EAGAIN);
        }
        let mut limit = space.len();
        if most > 1 && self.dice.chance(self.faults.short_read) {
            limit = 1 + self.dice.below(most - 1);
        }
        let answer = self.pairs[index].read(side, &mut space[..limit]);
        self.settle(index);
        if limit < space.len() {
            self.make_up(number, Readiness::IN);
        }
        answer
    }

    fn send_to(&mut self, number: u32, bytes: &[u8]) -> Answer<usize> {
        self.enter(Name::Write)?;
        let (index, side) = self.table.stream(number).ok_or(ENOTCONN)?;
        let pair = &mut self.pairs[index];
        let end = &pair.ends[side];
        let open = !end.shut && !end.dead && !pair.connecting;
        if open && self.dice.chance(self.faults.no_buffers) {
            return Err(ENOBUFS);
        }
        if open && self.dice.chance(self.faults.would_block) {
            return Err(EAGAIN);
        }
        let mut limit = bytes.len();
        if open && limit > 1 && self.dice.chance(self.faults.short_write) {
            limit = 1 + self.dice.below(limit - 1);
        }
        let answer = pair.write(side, &bytes[..limit]);
        self.settle(index);
        if limit < bytes.len() {
            self.make_up(number, Readiness::OUT);
        }
        answer
    }

    /// Keeps the readiness of a closed connection, to be reported later as a stale event.
    fn bury(&mut self, socket: &Socket) {
        let found = self.poll(socket.number);
        let Some(registration) = self.table.registration(socket.number) else {
            return;
        };
        // Listeners and the loop's own descriptors have no generation, so a stale event could not
        // be told from a new one. Those of a command have a generation of their own.
        let token = registration.token;
        if !matches!(token.source(), Source::Connection | Source::Child { .. }) {
            return;
        }
        let bits = asked(registration.interest).bits() & (found.bits() | Readiness::IN.bits());
        if bits == 0 {
            return;
        }
        let event = Event::new(registration.token, Readiness::from_bits(bits));
        let buried = &mut self.buried[self.table.current];
        buried.push_back(event);
        if buried.len() > BURIED_MAX {
            buried.pop_front();
        }
    }
}

impl Sockets for Sim {
    type Socket = Socket;

    fn accept(&mut self, listener: &Socket) -> io::Result<Socket> {
        self.table.check(listener);
        let answer = self.take_connection(listener.number);
        let number = Some(listener.number);
        self.leave(Name::Accept, number, Argument::None, answer, |socket| {
            socket.number as usize
        })
    }

    fn read(&mut self, socket: &Socket, space: &mut [u8]) -> io::Result<usize> {
        self.table.check(socket);
        assert!(
            !space.is_empty(),
            "a read into no space looks like the end of the stream"
        );
        self.peer_faults(socket.number);
        let answer = self.receive_from(socket.number, space);
        if answer == Err(EAGAIN) {
            self.make_up(socket.number, Readiness::IN);
        }
        self.leave_moved(Name::Read, socket.number, answer, space)
    }

    fn write(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
        self.table.check(socket);
        self.peer_faults(socket.number);
        let answer = self.send_to(socket.number, bytes);
        if answer == Err(EAGAIN) {
            self.make_up(socket.number, Readiness::OUT);
        }
        self.leave_moved(Name::Write, socket.number, answer, bytes)
    }

    fn batch_max(&self) -> usize {
        self.calls_at_once()
    }

    fn receive_batch<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a Socket> + Clone,
        space: &mut [u8],
        size: usize,
        results: &mut Vec<Outcome>,
    ) -> usize {
        self.receive_all_of(sockets, space, size, results)
    }

    fn send_batch<'a>(
        &mut self,
        sends: impl Iterator<Item = (&'a Socket, &'a [u8])> + Clone,
        results: &mut Vec<Outcome>,
    ) -> usize {
        self.send_all_of(sends, results)
    }

    fn shutdown(&mut self, socket: &Socket) -> io::Result<()> {
        self.table.check(socket);
        self.peer_faults(socket.number);
        let answer = self
            .stream(Name::Shutdown, socket)
            .and_then(|(pair, side)| pair.shutdown(side));
        if let Some((index, _)) = self.table.stream(socket.number) {
            self.settle(index);
        }
        self.leave(
            Name::Shutdown,
            Some(socket.number),
            Argument::None,
            answer,
            |()| 0,
        )
    }

    fn unacknowledged(&mut self, socket: &Socket) -> io::Result<usize> {
        self.table.check(socket);
        let answer = self
            .stream(Name::Unacknowledged, socket)
            .map(|(pair, side)| pair.unacknowledged(side));
        self.leave(
            Name::Unacknowledged,
            Some(socket.number),
            Argument::None,
            answer,
            |&count| count,
        )
    }

    fn take_error(&mut self, socket: &Socket) -> io::Result<()> {
        self.table.check(socket);
        let found = self.stream(Name::TakeError, socket);
        let pending = found.map(|(pair, side)| pair.ends[side].error.take());
        let answer = pending.and_then(|error| error.map_or(Ok(()), Err));
        self.leave(
            Name::TakeError,
            Some(socket.number),
            Argument::None,
            answer,
            |()| 0,
        )
    }

    #[cfg(feature = "auth")]
    fn random(&mut self, bytes: &mut [u8; 32]) -> io::Result<()> {
        bytes.fill_with(|| self.dice.next() as u8);
        Ok(())
    }

    fn peer(&mut self, socket: &Socket) -> io::Result<Address> {
        self.table.check(socket);
        let found = self.stream(Name::Peer, socket);
        let answer =
            found.and_then(
                |(pair, side)| match pair.connecting || pair.ends[side].is_over() {
                    true => Err(ENOTCONN),
                    false => Ok(pair.addresses[1 - side].clone()),
                },
            );
        self.leave(
            Name::Peer,
            Some(socket.number),
            Argument::None,
            answer,
            |_| 0,
        )
    }

    fn close(&mut self, socket: Socket) {
        self.table.check(&socket);
        let number = socket.number;
        if self.faults.stale > 0.0 {
            self.bury(&socket);
        }
        let (file, registration) = self.table.close(socket);
        // The registration would stay, because another descriptor keeps the listener open.
        let is_shared = match &file {
            File::Alias(_) => true,
            File::Listener(listener) => !listener.aliases.is_empty(),
            _ => false,
        };
        let left_registered = is_shared && registration.is_some();
        match file {
            File::Blank => {}
            File::Datagrams(_) => self.leave_mailbox(number),
            File::Output(id) => self.children.let_go(id),
            File::Exit(_) => {}
            File::Stream { pair, side } => match self.table.other_of(pair, side) {
                None => {
                    self.pairs[pair].close(side);
                    self.settle(pair);
                }
                Some(_) => assert!(
                    registration.is_none(),
                    "the registration of {number} stays, because another process has the file"
                ),
            },
            file @ (File::Listener(_) | File::Alias(_)) => {
                assert!(
                    !left_registered,
                    "a registered listener that others share was closed"
                );
                self.leave_listener(number, file);
            }
        }
        // Whatever close returns, the descriptor is released.
        let answer = self.enter(Name::Close).map(|()| 0);
        self.note(Name::Close, Some(number), Argument::None, answer, &[]);
    }
}
