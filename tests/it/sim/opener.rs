//! How sockets are created: `Opener` of the kernel interface, and the handling of a SYN.
//!
//! A SYN reaches a listener with room in its queue, a test that hosts the address, or nothing.
//! Linux silently drops a SYN that meets a full queue, and the sender retransmits it. The bytes of
//! a connection are not known here. Invariant: a connection is in the queue of one listener or of
//! one host, or in SYN_SENT, or both its ends are held. socket(2), bind(2), listen(2), connect(2).

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use libc::{EADDRINUSE, ECONNREFUSED, EINPROGRESS, EINVAL, EOPNOTSUPP, ETIMEDOUT};
use mynah::kernel::journal::{Argument, Name};
use mynah::kernel::{
    Address, ConnectOptions, ListenOptions, OpenError, OpenStep, Opener, Readiness, Sharing,
    Sockets,
};

use super::pair::{Owner, Pair};
use super::table::{File, LeftListener, Listener, Socket};
use super::{Answer, Knock, Sim};

/// The time until a dropped SYN is first retransmitted. Each further span is twice as long.
const SYN_RETRY: Duration = Duration::from_secs(1);
/// `net.ipv4.tcp_syn_retries`.
const SYN_RETRIES: u32 = 6;

impl Sim {
    fn bind(&mut self, address: &Address, options: &ListenOptions) -> Answer<Address> {
        self.enter(Name::Bind)?;
        let mut address = address.clone();
        if let Address::Tcp(tcp) = &mut address {
            if tcp.port() == 0 {
                self.ports += 1;
                tcp.set_port(32_767 + self.ports);
            }
        }
        let collides = |other: &Listener| {
            other.address == address && !(other.reuse_port && options.sharing == Sharing::Next)
        };
        let mut listeners = self
            .listening
            .iter()
            .filter_map(|&number| self.table.listener(number));
        let taken = listeners.any(collides);
        match taken || self.hosts.iter().any(|(other, _)| *other == address) {
            true => Err(EADDRINUSE),
            false => Ok(address),
        }
    }

    /// Opens a descriptor without a file behind it yet.
    fn blank(&mut self, name: Name) -> io::Result<Socket> {
        let ceiling = self.ceiling();
        let answer = self
            .enter(name)
            .and_then(|()| self.table.open(File::Blank, ceiling));
        self.leave(name, None, Argument::None, answer, |socket| {
            socket.number as usize
        })
    }

    /// A connection to `target`, in SYN_SENT.
    pub(super) fn open_pair(
        &mut self,
        owner: Owner,
        source: Option<Address>,
        target: &Address,
    ) -> usize {
        self.pair_serials += 1;
        let source = source.unwrap_or_else(|| self.free_address());
        let addresses = [source, target.clone()];
        let pipes = [self.config.request, self.config.reply];
        match self.vacant.pop() {
            Some(index) => {
                self.pairs[index].renew(self.pair_serials, owner, pipes, addresses);
                index
            }
            None => {
                self.pairs
                    .push(Pair::new(self.pair_serials, owner, pipes, addresses));
                self.pairs.len() - 1
            }
        }
    }

    /// An address of this host whose port is not in use.
    pub(super) fn free_address(&mut self) -> Address {
        self.ports = (self.ports + 1) % 28_000;
        Address::Tcp(([127, 0, 0, 1], 32_768 + self.ports).into())
    }

    /// Sends the SYN of a connection: it is queued, refused, or dropped and retransmitted later.
    pub(super) fn knock(&mut self, index: usize, retries: u32) {
        let target = self.pairs[index].addresses[1].clone();
        let listens = |&number: &u32| {
            self.table
                .listener(number)
                .is_some_and(|it| it.address == target)
        };
        let mut doors = self.listening.iter().copied().filter(listens);
        // As with SO_REUSEPORT, a hash of the addresses chooses one of several listeners, whether
        // or not its queue is full.
        let count = doors.clone().count();
        let chosen = if count > 1 { self.dice.below(count) } else { 0 };
        let Some(door) = doors.nth(chosen) else {
            return self.knock_at_host(index, &target);
        };
        let File::Listener(listener) = self.table.file(door) else {
            unreachable!("it listens")
        };
        let is_local = matches!(listener.address, Address::Unix(_));
        if listener.turns_away && is_local {
            self.pairs[index].refuse(ECONNREFUSED);
            return self.settle(index);
        }
        if listener.turns_away || listener.queue.len() > listener.backlog {
            if retries == SYN_RETRIES {
                self.pairs[index].refuse(ETIMEDOUT);
                return self.settle(index);
            }
            let due = self.now.after(SYN_RETRY * (1 << retries));
            return self.knocking.push(Knock {
                pair: index,
                due,
                retries: retries + 1,
            });
        }
        listener.queue.push_back(index);
        self.table.wake_listener(door);
        self.pairs[index].establish(Owner::Queue);
        self.settle(index);
    }

    /// The SYN reaches a test that accepts at `target`, or is refused.
    fn knock_at_host(&mut self, index: usize, target: &Address) {
        match self.hosts.iter_mut().find(|(address, _)| address == target) {
            Some((_, queue)) => {
                queue.push_back(index);
                self.pairs[index].establish(Owner::Queue);
            }
            None => self.pairs[index].refuse(ECONNREFUSED),
        }
        self.settle(index);
    }

    /// Retransmits the SYNs that are due.
    pub(super) fn knock_again(&mut self) {
        if self.knocking.iter().all(|knock| knock.due > self.now) {
            return;
        }
        for knock in std::mem::take(&mut self.knocking) {
            if knock.due > self.now {
                self.knocking.push(knock);
            } else {
                self.knock(knock.pair, knock.retries);
            }
        }
    }
}

impl Sim {
    /// A descriptor of a listener was closed. With the last one the connections in the queue are
    /// reset.
    pub(super) fn leave_listener(&mut self, number: u32, file: File) {
        match self.table.leave_listener(number, file) {
            LeftListener::Kept => {}
            LeftListener::Moved(home) => {
                let places = self.listening.iter_mut();
                places
                    .filter(|place| **place == number)
                    .for_each(|place| *place = home);
            }
            LeftListener::Closed(listener) => {
                self.listening.retain(|&other| other != number);
                self.lost += listener.queue.len() as u64;
                for pair in listener.queue {
                    self.pairs[pair].abort(1);
                    self.settle(pair);
                }
            }
        }
    }
}

impl Opener for Sim {
    fn listen(&mut self, address: &Address, options: &ListenOptions) -> Result<Socket, OpenError> {
        let refused = |step| move |error| OpenError { step, error };
        let socket = self
            .blank(Name::Socket)
            .map_err(refused(OpenStep::Socket))?;
        let number = Some(socket.number);
        let answer = self.bind(address, options);
        let bound = self.leave(Name::Bind, number, Argument::None, answer, |_| 0);
        let listening = bound.map_err(refused(OpenStep::Bind)).and_then(|bound| {
            let answer = self.enter(Name::Listen);
            let listening = self.leave(Name::Listen, number, Argument::None, answer, |()| 0);
            listening.map_err(refused(OpenStep::Listen)).map(|()| bound)
        });
        match listening {
            Ok(address) => {
                let reuse_port = options.sharing != Sharing::Alone;
                let backlog = options.backlog as usize;
                let listener = Listener {
                    address,
                    reuse_port,
                    backlog,
                    turns_away: false,
                    queue: VecDeque::new(),
                    aliases: Vec::new(),
                };
                *self.table.file(socket.number) = File::Listener(listener);
                self.listening.push(socket.number);
                Ok(socket)
            }
            Err(error) => {
                self.close(socket);
                Err(error)
            }
        }
    }

    fn share(&mut self, listener: &Socket) -> io::Result<Socket> {
        self.table.check(listener);
        let home = self.table.home(listener.number);
        let ceiling = self.ceiling();
        let answer = self
            .enter(Name::Share)
            .and_then(|()| self.table.open(File::Alias(home), ceiling));
        if let (Ok(copy), File::Listener(listener)) = (&answer, self.table.file(home)) {
            listener.aliases.push(copy.number);
        }
        let number = Some(listener.number);
        self.leave(Name::Share, number, Argument::None, answer, |socket| {
            socket.number as usize
        })
    }

    fn local(&mut self, socket: &Socket) -> io::Result<Address> {
        self.table.check(socket);
        let home = self.table.home(socket.number);
        let answer = self
            .enter(Name::Local)
            .and_then(|()| match self.table.file(home) {
                File::Alias(_) | File::Blank | File::Output(_) | File::Exit(_) => Err(EINVAL),
                File::Listener(listener) => Ok(listener.address.clone()),
                File::Datagrams(mailbox) => Ok(mailbox.address.clone()),
                File::Stream { pair, side } => Ok(self.pairs[*pair].addresses[*side].clone()),
            });
        self.leave(
            Name::Local,
            Some(socket.number),
            Argument::None,
            answer,
            |_| 0,
        )
    }

    fn queue_length(&mut self, listener: &Socket) -> io::Result<usize> {
        self.table.check(listener);
        let number = listener.number;
        let waiting = match self.table.listener(number) {
            Some(it) if matches!(it.address, Address::Unix(_)) => Err(EOPNOTSUPP),
            Some(it) => Ok(it.queue.len()),
            None => Err(EINVAL),
        };
        let answer = self.enter(Name::QueueLength).and(waiting);
        let number = Some(number);
        self.leave(
            Name::QueueLength,
            number,
            Argument::None,
            answer,
            |&count| count,
        )
    }

    fn stop_handshakes(&mut self, listener: &Socket) -> io::Result<()> {
        self.table.check(listener);
        let number = listener.number;
        let home = self.table.home(number);
        let answer = self.enter(Name::StopHandshakes);
        let answer = answer.and_then(|()| match self.table.file(home) {
            File::Listener(it) if matches!(it.address, Address::Unix(_)) => Err(EOPNOTSUPP),
            File::Listener(it) => {
                it.turns_away = true;
                Ok(())
            }
            _ => Err(EINVAL),
        });
        let number = Some(number);
        self.leave(Name::StopHandshakes, number, Argument::None, answer, |()| 0)
    }

    fn stop_queueing(&mut self, listener: &Socket) -> io::Result<()> {
        self.table.check(listener);
        let number = listener.number;
        let home = self.table.home(number);
        let answer = self.enter(Name::StopQueueing);
        if let (Ok(()), File::Listener(listener)) = (answer, self.table.file(home)) {
            let local = matches!(listener.address, Address::Unix(_));
            assert!(local, "a TCP listener loses its queued connections");
            listener.turns_away = true;
        }
        let number = Some(number);
        self.leave(Name::StopQueueing, number, Argument::None, answer, |()| 0)
    }

    fn connect(
        &mut self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Socket, OpenError> {
        let refused = |step| move |error| OpenError { step, error };
        let socket = self
            .blank(Name::Socket)
            .map_err(refused(OpenStep::Socket))?;
        let number = Some(socket.number);
        let answer = self.enter(Name::Connect);
        let under_way = answer.and(Err(EINPROGRESS));
        self.note(Name::Connect, number, Argument::None, under_way, &[]);
        if let Err(errno) = answer {
            self.close(socket);
            return Err(refused(OpenStep::Connect)(io::Error::from_raw_os_error(
                errno,
            )));
        }
        let pair = self.open_pair(
            Owner::Descriptor(socket.number),
            options.source.clone(),
            address,
        );
        *self.table.file(socket.number) = File::Stream { pair, side: 0 };
        self.knock(pair, 0);
        Ok(socket)
    }

    fn reserve(&mut self) -> io::Result<Socket> {
        self.blank(Name::Reserve)
    }
}
