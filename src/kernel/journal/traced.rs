//! A kernel that passes its calls to a recorder.
//!
//! Each call goes to the wrapped kernel. If there is a recorder, it then gets the call with its
//! result. Invariant: every result passes through unchanged. Neighbours: `call`, what is recorded;
//! the traits of `kernel`, which this type implements for any kernel that is [`Recordable`].

use std::fmt::{self, Debug};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::files::{LOCAL_PEER_PORT, LOCAL_PEER_PORTS};
use super::{Argument, Call, Datagram, Name, Recordable, Recorder, Returned};
use crate::kernel::{
    Address, Child, ConnectOptions, DatagramBatch, Datagrams, Event, Interest, ListenOptions,
    OpenError, Opener, Outcome, Poller, Sender, Signal, Sockets, Spawner, Stream, Streams, Time,
    Token, errno,
};

/// A wrapper that passes the calls of another kernel to a recorder, if there is one.
pub struct Traced<K> {
    kernel: K,
    recorder: Option<Box<dyn Recorder>>,
}

impl<K> Traced<K> {
    /// Wraps `kernel`.
    pub fn new(kernel: K, recorder: Option<Box<dyn Recorder>>) -> Traced<K> {
        Traced { kernel, recorder }
    }

    /// The wrapped kernel. Its calls are not recorded.
    pub fn inner_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    #[inline]
    fn is_on(&self) -> bool {
        self.recorder.is_some()
    }
}

impl<K: Recordable> Traced<K> {
    /// When a call is made, if it is recorded.
    #[inline]
    fn began(&self) -> Time {
        match self.is_on() {
            true => self.clock(),
            false => Time::default(),
        }
    }

    #[cold]
    fn clock(&self) -> Time {
        self.kernel.time()
    }
}

impl<K: Debug> Debug for Traced<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = self.is_on();
        f.debug_struct("Traced")
            .field("kernel", &self.kernel)
            .field("is_on", &is_on)
            .finish()
    }
}

/// What is known of a call before it is made.
struct Made<'a> {
    name: Name,
    began: Time,
    descriptor: Option<u32>,
    argument: Argument<'a>,
}

impl<'a> Made<'a> {
    fn new(name: Name, began: Time) -> Made<'a> {
        Made {
            name,
            began,
            descriptor: None,
            argument: Argument::None,
        }
    }

    fn on(self, descriptor: u32) -> Made<'a> {
        Made {
            descriptor: Some(descriptor),
            ..self
        }
    }

    fn with(self, argument: Argument<'a>) -> Made<'a> {
        Made { argument, ..self }
    }
}

/// The errno of a result; 0 if this program made up the error.
fn code(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// A number as it is returned.
fn number(answer: &io::Result<usize>) -> Result<usize, i32> {
    answer.as_ref().copied().map_err(code)
}

/// The result of a call without a return value: 0, as the system call returns it.
fn done(answer: &io::Result<()>) -> Result<usize, i32> {
    answer.as_ref().map(|()| 0).map_err(code)
}

/// The internet address of a sender. The name of a local socket becomes a port of 127.0.0.1, always
/// the same one; two names may have the same.
fn internet(sender: &Sender) -> SocketAddr {
    sender.internet().unwrap_or_else(|| {
        let mut hasher = DefaultHasher::new();
        sender.to_string().hash(&mut hasher);
        let number = (hasher.finish() % u64::from(LOCAL_PEER_PORTS)) as u16;
        (Ipv4Addr::LOCALHOST, LOCAL_PEER_PORT + number).into()
    })
}

impl<K: Recordable> Traced<K> {
    #[cold]
    #[inline(never)]
    fn record(
        &mut self,
        made: Made<'_>,
        result: Result<usize, i32>,
        returned: Returned<'_>,
        bytes: &[u8],
    ) {
        let Made {
            name,
            began,
            descriptor,
            argument,
        } = made;
        let at = self.kernel.time();
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&Call {
                began,
                at,
                name,
                descriptor,
                argument,
                result,
                returned,
                bytes,
            });
        }
    }

    /// Records a call that returns a number or nothing, and moves no bytes.
    fn note(&mut self, made: Made<'_>, result: Result<usize, i32>) {
        self.record(made, result, Returned::Number, &[]);
    }

    /// Makes a call on `socket` that moves no bytes, and records it with its `result`.
    fn on<T>(
        &mut self,
        socket: &K::Socket,
        name: Name,
        result: fn(&io::Result<T>) -> Result<usize, i32>,
        call: impl FnOnce(&mut K) -> io::Result<T>,
    ) -> io::Result<T> {
        let began = self.began();
        let answer = call(&mut self.kernel);
        if self.is_on() {
            let made = Made::new(name, began).on(K::number(socket));
            self.note(made, result(&answer));
        }
        answer
    }

    /// Makes a call without a socket, and records it.
    fn own(&mut self, name: Name, call: impl FnOnce(&mut K) -> io::Result<()>) -> io::Result<()> {
        let began = self.began();
        let answer = call(&mut self.kernel);
        if self.is_on() {
            self.note(Made::new(name, began), done(&answer));
        }
        answer
    }

    /// Records a call that opens a socket.
    fn opened(&mut self, made: Made<'_>, answer: Result<&K::Socket, &io::Error>) {
        let result = answer.map(|socket| K::number(socket) as usize);
        self.note(made, result.map_err(code));
    }
}

impl<K: Recordable> Recordable for Traced<K> {
    const WAIT: Name = K::WAIT;
    const REGISTERS: bool = K::REGISTERS;

    fn number(socket: &K::Socket) -> u32 {
        K::number(socket)
    }

    fn time(&self) -> Time {
        self.kernel.time()
    }

    fn own_address(&self, socket: &K::Socket) -> io::Result<Address> {
        self.kernel.own_address(socket)
    }
}

impl<K: Recordable> Sockets for Traced<K> {
    type Socket = K::Socket;

    fn accept(&mut self, listener: &K::Socket) -> io::Result<K::Socket> {
        let began = self.began();
        let answer = self.kernel.accept(listener);
        if self.is_on() {
            let made = Made::new(Name::Accept, began).on(K::number(listener));
            self.opened(made, answer.as_ref());
            if let Ok(socket) = &answer {
                self.ask_ends(socket);
            }
        }
        answer
    }

    #[inline]
    fn read(&mut self, socket: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        if self.is_on() {
            return self.read_traced(socket, space);
        }
        self.kernel.read(socket, space)
    }

    #[inline]
    fn write(&mut self, socket: &K::Socket, bytes: &[u8]) -> io::Result<usize> {
        if self.is_on() {
            return self.write_traced(socket, bytes);
        }
        self.kernel.write(socket, bytes)
    }

    fn batch_max(&self) -> usize {
        self.kernel.batch_max()
    }

    fn batch_min(&self) -> usize {
        self.kernel.batch_min()
    }

    fn receive_batch<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a K::Socket> + Clone,
        space: &mut [u8],
        size: usize,
        results: &mut Vec<Outcome>,
    ) -> usize
    where
        K::Socket: 'a,
    {
        let began = self.began();
        let enters = (self.kernel).receive_batch(sockets.clone(), space, size, results);
        if self.is_on() {
            let calls = sockets.zip(space.chunks_exact(size)).zip(&*results);
            self.note_batch(Name::Read, (began, enters), calls);
        }
        enters
    }

    fn send_batch<'a>(
        &mut self,
        sends: impl Iterator<Item = (&'a K::Socket, &'a [u8])> + Clone,
        results: &mut Vec<Outcome>,
    ) -> usize
    where
        K::Socket: 'a,
    {
        let began = self.began();
        let enters = self.kernel.send_batch(sends.clone(), results);
        if self.is_on() {
            self.note_batch(Name::Write, (began, enters), sends.zip(&*results));
        }
        enters
    }

    fn shutdown(&mut self, socket: &K::Socket) -> io::Result<()> {
        self.on(socket, Name::Shutdown, done, |kernel| {
            kernel.shutdown(socket)
        })
    }

    fn can_be_passed(&mut self, socket: &K::Socket) -> bool {
        self.kernel.can_be_passed(socket)
    }

    fn unacknowledged(&mut self, socket: &K::Socket) -> io::Result<usize> {
        self.on(socket, Name::Unacknowledged, number, |kernel| {
            kernel.unacknowledged(socket)
        })
    }

    fn take_error(&mut self, socket: &K::Socket) -> io::Result<()> {
        self.on(socket, Name::TakeError, done, |kernel| {
            kernel.take_error(socket)
        })
    }

    /// The bytes are a secret until they are sent, so the call is not recorded.
    #[cfg(feature = "auth")]
    fn random(&mut self, bytes: &mut [u8; 32]) -> io::Result<()> {
        self.kernel.random(bytes)
    }

    fn peer(&mut self, socket: &K::Socket) -> io::Result<Address> {
        let began = self.began();
        let answer = self.kernel.peer(socket);
        if self.is_on() {
            let made = Made::new(Name::Peer, began).on(K::number(socket));
            self.found(made, &answer);
        }
        answer
    }

    #[inline]
    fn close(&mut self, socket: K::Socket) {
        if self.is_on() {
            // Recorded before the call, because the call consumes the socket.
            let made = Made::new(Name::Close, self.began());
            self.note(made.on(K::number(&socket)), Ok(0));
        }
        self.kernel.close(socket);
    }
}

impl<K: Recordable> Traced<K> {
    #[cold]
    fn read_traced(&mut self, socket: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.read(socket, space);
        let made = Made::new(Name::Read, began).on(K::number(socket));
        self.moved(made, &answer, space);
        answer
    }

    #[cold]
    fn write_traced(&mut self, socket: &K::Socket, bytes: &[u8]) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.write(socket, bytes);
        let made = Made::new(Name::Write, began).on(K::number(socket));
        self.moved(made, &answer, bytes);
        answer
    }

    /// Records a batch that took `enters` calls of io_uring_enter, and then each of its calls.
    #[cold]
    fn note_batch<'a, 'b, 'c>(
        &mut self,
        name: Name,
        (began, enters): (Time, usize),
        calls: impl Iterator<Item = ((&'a K::Socket, &'b [u8]), &'c Outcome)> + Clone,
    ) where
        K::Socket: 'a,
    {
        let count = calls.clone().count();
        for _ in 0..enters {
            let made = Made::new(Name::Enter, began).with(Argument::Batch(count, name));
            self.note(made, Ok(count));
        }
        for ((socket, bytes), answer) in calls {
            let made = Made::new(name, began).on(K::number(socket));
            self.moved(made, &answer.result(), bytes);
        }
    }

    /// Asks for the addresses of both ends of a new connection, if the recorder needs them. Both
    /// calls are recorded like any other.
    #[cold]
    fn ask_ends(&mut self, socket: &K::Socket) {
        if !(self.recorder.as_ref()).is_some_and(|recorder| recorder.needs_addresses()) {
            return;
        }
        // A peer that has left already has no address.
        let _ = self.peer(socket);
        self.ask_own_end(socket);
    }

    #[cold]
    fn ask_own_end(&mut self, socket: &K::Socket) {
        if (self.recorder.as_ref()).is_some_and(|recorder| recorder.needs_addresses()) {
            let began = self.began();
            let answer = self.kernel.own_address(socket);
            self.found(Made::new(Name::Local, began).on(K::number(socket)), &answer);
        }
    }

    /// Records one datagram of a call, if the recorder needs it.
    #[cold]
    fn datagram(&mut self, socket: &K::Socket, is_sent: bool, other: &Sender, bytes: &[u8]) {
        let at = self.kernel.time();
        let recorder = self.recorder.as_mut();
        if let Some(recorder) = recorder.filter(|recorder| recorder.needs_addresses()) {
            let datagram = Datagram {
                descriptor: K::number(socket),
                is_sent,
                peer: internet(other),
                bytes,
            };
            recorder.datagram(at, &datagram);
        }
    }

    /// Records a call that moves bytes to or from `space`.
    fn moved(&mut self, made: Made<'_>, answer: &io::Result<usize>, space: &[u8]) {
        let made = made.with(Argument::Size(space.len()));
        let bytes = &space[..*answer.as_ref().unwrap_or(&0)];
        self.record(made, number(answer), Returned::Number, bytes);
    }

    /// Records a call that returns an address.
    fn found(&mut self, made: Made<'_>, answer: &io::Result<Address>) {
        match answer {
            Ok(address) => self.record(made, Ok(0), Returned::Address(address), &[]),
            Err(error) => self.note(made, Err(code(error))),
        }
    }

    /// Records a call that tells whether a process has ended.
    fn ended(&mut self, made: Made<'_>, answer: &io::Result<bool>) {
        match answer {
            Ok(ended) => self.record(made, Ok(0), Returned::Ended(*ended), &[]),
            Err(error) => self.note(made, Err(code(error))),
        }
    }
}

impl<K: Recordable + Poller> Traced<K> {
    #[cold]
    fn wait_traced(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.wait(events, until);
        let reported = &events[..*answer.as_ref().unwrap_or(&0)];
        let room = events.len();
        let made = Made::new(K::WAIT, began).with(Argument::Wait { room, until });
        self.record(made, number(&answer), Returned::Events(reported), &[]);
        answer
    }
}

impl<K: Recordable + Poller> Poller for Traced<K> {
    #[inline]
    fn register(&mut self, socket: &K::Socket, token: Token, interest: Interest) -> io::Result<()> {
        let began = self.began();
        let answer = self.kernel.register(socket, token, interest);
        if let (Some(recorder), false) = (&mut self.recorder, K::REGISTERS) {
            recorder.bind(K::number(socket), token);
        } else if self.is_on() {
            let made = Made::new(Name::Register, began).on(K::number(socket));
            let made = made.with(Argument::Interest(Some(token), interest));
            self.note(made, done(&answer));
        }
        answer
    }

    #[inline]
    fn reregister(
        &mut self,
        socket: &K::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let began = self.began();
        let answer = self.kernel.reregister(socket, token, interest);
        if K::REGISTERS && self.is_on() {
            let made = Made::new(Name::Reregister, began).on(K::number(socket));
            let made = made.with(Argument::Interest(Some(token), interest));
            self.note(made, done(&answer));
        }
        answer
    }

    fn deregister(&mut self, socket: &K::Socket) -> io::Result<()> {
        let began = self.began();
        let answer = self.kernel.deregister(socket);
        if K::REGISTERS && self.is_on() {
            let made = Made::new(Name::Deregister, began).on(K::number(socket));
            self.note(made, done(&answer));
        }
        answer
    }

    #[inline]
    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        if self.is_on() {
            return self.wait_traced(events, until);
        }
        self.kernel.wait(events, until)
    }

    #[inline]
    fn now(&mut self) -> Time {
        self.kernel.now()
    }

    fn time_of_day(&mut self) -> Duration {
        self.kernel.time_of_day()
    }

    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        let began = self.began();
        let answer = self.kernel.take_signal();
        if self.is_on() {
            let made = Made::new(Name::TakeSignal, began);
            match &answer {
                Ok(signal) => self.record(made, Ok(0), Returned::Signal(*signal), &[]),
                Err(error) => self.note(made, Err(code(error))),
            }
        }
        answer
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        self.own(Name::TakeWakeUp, |kernel| kernel.take_wake_up())
    }
}

impl<K: Recordable + Datagrams> Datagrams for Traced<K> {
    fn carries_datagrams(&mut self, socket: &K::Socket) -> io::Result<bool> {
        self.kernel.carries_datagrams(socket)
    }

    #[inline]
    fn receive_datagrams(
        &mut self,
        socket: &K::Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.receive_datagrams(socket, batch, count);
        if self.is_on() {
            let made = Made::new(Name::ReceiveDatagrams, began).on(K::number(socket));
            self.note(made.with(Argument::Size(count)), number(&answer));
            for place in 0..*answer.as_ref().unwrap_or(&0) {
                let from = batch.sender(place);
                self.datagram(socket, false, &from, batch.request(place).0);
            }
        }
        answer
    }

    #[inline]
    fn send_datagrams(
        &mut self,
        socket: &K::Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.send_datagrams(socket, batch, count);
        if self.is_on() {
            let made = Made::new(Name::SendDatagrams, began).on(K::number(socket));
            self.note(made.with(Argument::Size(count)), number(&answer));
            for ahead in 0..*answer.as_ref().unwrap_or(&0) {
                let (bytes, to) = batch.unsent_answer(ahead);
                self.datagram(socket, true, &to, bytes);
            }
        }
        answer
    }

    fn send_datagram(
        &mut self,
        socket: &K::Socket,
        bytes: &[u8],
        to: &Sender,
    ) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.send_datagram(socket, bytes, to);
        if self.is_on() {
            let made = Made::new(Name::SendDatagram, began).on(K::number(socket));
            self.moved(made, &answer, bytes);
            if answer.is_ok() {
                self.datagram(socket, true, to, bytes);
            }
        }
        answer
    }

    fn stop_arrivals(&mut self, socket: &K::Socket) -> io::Result<()> {
        self.on(socket, Name::StopArrivals, done, |kernel| {
            kernel.stop_arrivals(socket)
        })
    }

    fn owns(&mut self, ip: IpAddr) -> bool {
        self.kernel.owns(ip)
    }
}

impl<K: Recordable + Opener> Opener for Traced<K> {
    fn listen(&mut self, at: &Address, options: &ListenOptions) -> Result<K::Socket, OpenError> {
        let began = self.began();
        let answer = self.kernel.listen(at, options);
        if self.is_on() {
            let made = match at.is_datagrams() {
                true => Made::new(Name::Bind, began).with(Argument::Address(at)),
                false => {
                    let argument = Argument::Listen(at, options.backlog);
                    Made::new(Name::Listen, began).with(argument)
                }
            };
            self.opened(made, answer.as_ref().map_err(|refused| &refused.error));
        }
        answer
    }

    fn share(&mut self, listener: &K::Socket) -> io::Result<K::Socket> {
        let began = self.began();
        let answer = self.kernel.share(listener);
        if self.is_on() {
            let made = Made::new(Name::Share, began).on(K::number(listener));
            self.opened(made, answer.as_ref());
        }
        answer
    }

    fn close_listener(&mut self, listener: K::Socket) {
        if self.is_on() {
            // Recorded before the call, because the call consumes the listener.
            let made = Made::new(Name::Close, self.began());
            self.note(made.on(K::number(&listener)), Ok(0));
        }
        self.kernel.close_listener(listener);
    }

    fn own_path(&mut self, listener: &K::Socket) {
        self.kernel.own_path(listener);
    }

    fn leave_path(&mut self, listener: &K::Socket) {
        self.kernel.leave_path(listener);
    }

    fn local(&mut self, socket: &K::Socket) -> io::Result<Address> {
        let began = self.began();
        let answer = self.kernel.local(socket);
        if self.is_on() {
            let made = Made::new(Name::Local, began).on(K::number(socket));
            self.found(made, &answer);
        }
        answer
    }

    fn queue_length(&mut self, listener: &K::Socket) -> io::Result<usize> {
        self.on(listener, Name::QueueLength, number, |kernel| {
            kernel.queue_length(listener)
        })
    }

    fn stop_handshakes(&mut self, listener: &K::Socket) -> io::Result<()> {
        self.on(listener, Name::StopHandshakes, done, |kernel| {
            kernel.stop_handshakes(listener)
        })
    }

    fn stop_queueing(&mut self, listener: &K::Socket) -> io::Result<()> {
        self.on(listener, Name::StopQueueing, done, |kernel| {
            kernel.stop_queueing(listener)
        })
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> Result<K::Socket, OpenError> {
        let began = self.began();
        let answer = self.kernel.connect(to, options);
        if self.is_on() {
            let made = Made::new(Name::Connect, began).with(Argument::Address(to));
            self.opened(made, answer.as_ref().map_err(|refused| &refused.error));
            if let Ok(socket) = &answer {
                self.ask_own_end(socket);
            }
        }
        answer
    }

    fn reserve(&mut self) -> io::Result<K::Socket> {
        let began = self.began();
        let answer = self.kernel.reserve();
        if self.is_on() {
            self.opened(Made::new(Name::Reserve, began), answer.as_ref());
        }
        answer
    }
}

impl<K: Recordable + Spawner<Command: Debug>> Spawner for Traced<K> {
    type Command = K::Command;

    fn supervise(&mut self) -> io::Result<()> {
        self.own(Name::Supervise, |kernel| kernel.supervise())
    }

    fn prepare(&mut self, line: &str) -> io::Result<K::Command> {
        self.kernel.prepare(line)
    }

    fn spawn(&mut self, command: &K::Command) -> io::Result<Child<K::Socket>> {
        let began = self.began();
        let answer = self.kernel.spawn(command);
        if self.is_on() {
            let text = format!("{command:?}");
            let made = Made::new(Name::Spawn, began).with(Argument::Text(&text));
            let result = answer.as_ref().map(|child| child.id as usize);
            self.note(made, result.map_err(code));
        }
        answer
    }

    fn take_output(&mut self, pipe: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.take_output(pipe, space);
        if self.is_on() {
            let made = Made::new(Name::TakeOutput, began).on(K::number(pipe));
            self.moved(made, &answer, space);
        }
        answer
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        let began = self.began();
        let answer = self.kernel.kill(id);
        if self.is_on() {
            let made = Made::new(Name::Kill, began).with(Argument::Group(id));
            self.note(made, done(&answer));
        }
        answer
    }

    fn reap(&mut self, exit: &K::Socket) -> io::Result<bool> {
        let began = self.began();
        let answer = self.kernel.reap(exit);
        if self.is_on() {
            self.ended(Made::new(Name::Reap, began).on(K::number(exit)), &answer);
        }
        answer
    }

    fn has_ended(&mut self, exit: &K::Socket) -> io::Result<bool> {
        let began = self.began();
        let answer = self.kernel.has_ended(exit);
        if self.is_on() {
            self.ended(
                Made::new(Name::HasEnded, began).on(K::number(exit)),
                &answer,
            );
        }
        answer
    }

    fn take_child_report(&mut self) -> io::Result<()> {
        self.own(Name::TakeChildReport, |kernel| kernel.take_child_report())
    }

    fn ended_child(&mut self) -> io::Result<Option<u32>> {
        let began = self.began();
        let answer = self.kernel.ended_child();
        if self.is_on() {
            let id = answer.as_ref().map(|id| id.unwrap_or(0) as usize);
            self.note(Made::new(Name::EndedChild, began), id.map_err(code));
        }
        answer
    }

    fn reap_orphan(&mut self, id: u32) -> io::Result<()> {
        let began = self.began();
        let answer = self.kernel.reap_orphan(id);
        if self.is_on() {
            let made = Made::new(Name::ReapOrphan, began).with(Argument::Process(id));
            self.note(made, done(&answer));
        }
        answer
    }
}

impl<K: Recordable + Streams> Streams for Traced<K> {
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool> {
        let began = self.began();
        let answer = self.kernel.watch(stream, on);
        if self.is_on() {
            let (name, interest) = match (on, stream) {
                (false, _) => (Name::Deregister, Interest::NONE),
                (true, Stream::Input) => (Name::Register, Interest::READ),
                (true, Stream::Output) => (Name::Register, Interest::WRITE),
            };
            let result = match &answer {
                Ok(true) => Ok(0),
                // A regular file is refused, and is always ready.
                Ok(false) => Err(errno::EPERM),
                Err(error) => Err(code(error)),
            };
            let argument = Argument::Interest(Some(stream.token()), interest);
            let made = Made::new(name, began).on(stream as u32).with(argument);
            self.note(made, result);
        }
        answer
    }

    fn input(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.input(space);
        if self.is_on() {
            let made = Made::new(Name::Input, began).on(Stream::Input as u32);
            self.moved(made, &answer, space);
        }
        answer
    }

    fn output(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let began = self.began();
        let answer = self.kernel.output(bytes);
        if self.is_on() {
            let made = Made::new(Name::Output, began).on(Stream::Output as u32);
            self.moved(made, &answer, bytes);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::kernel::{Linux, Socket};

    /// What a recorder keeps of a call.
    #[derive(Debug, PartialEq)]
    struct Kept {
        line: String,
        bytes: Vec<u8>,
        at: Time,
    }

    #[derive(Clone, Default)]
    struct Keeper(Arc<Mutex<Vec<Kept>>>);

    impl Recorder for Keeper {
        fn record(&mut self, call: &Call<'_>) {
            let mut calls = self.0.lock().expect("no test panics with the lock");
            calls.push(Kept {
                line: call.to_string(),
                bytes: call.bytes.to_vec(),
                at: call.at,
            });
        }
    }

    fn traced() -> io::Result<(Traced<Linux>, Keeper)> {
        let keeper = Keeper::default();
        let recorder: Box<dyn Recorder> = Box::new(keeper.clone());
        Ok((Traced::new(Linux::new(false)?, Some(recorder)), keeper))
    }

    #[test]
    fn every_answer_passes_through_unchanged() -> io::Result<()> {
        let (mut traced, _) = traced()?;
        traced.kernel.waker().wake();
        let mut events = [Event::default(); 4];
        assert_eq!(traced.wait(&mut events, Time::NEVER)?, 1);
        assert_eq!(events[0].token(), Token::WAKE_UP);
        traced.take_wake_up()?;
        assert_eq!(traced.wait(&mut events, Time::default())?, 0);
        let refused = traced
            .wait(&mut [], Time::default())
            .map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::InvalidInput));
        Ok(())
    }

    #[test]
    fn a_record_has_the_call_its_time_and_the_bytes_that_moved() -> io::Result<()> {
        let (mut traced, keeper) = traced()?;
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = Socket::from(OwnedFd::from(ours));
        let number = Linux::number(&socket);
        let start = traced.now();
        assert_eq!(traced.write(&socket, b"hello")?, 5);
        io::Write::write_all(&mut &theirs, b"abc")?;
        assert_eq!(traced.read(&socket, &mut [0; 8])?, 3);
        assert!(traced.read(&socket, &mut [0; 8]).is_err());
        traced.close(socket);
        let calls = keeper.0.lock().expect("no test panics with the lock");
        let lines: Vec<(&str, &[u8])> = calls
            .iter()
            .map(|kept| (kept.line.as_str(), kept.bytes.as_slice()))
            .collect();
        let expected = [
            (&*format!("send({number}, 5) = 5"), &b"hello"[..]),
            (&*format!("recv({number}, 8) = 3"), b"abc"),
            (&*format!("recv({number}, 8) = EAGAIN"), b""),
            (&*format!("close({number}) = 0"), b""),
        ];
        assert_eq!(lines, expected);
        let times: Vec<Time> = calls.iter().map(|kept| kept.at).collect();
        assert!(times[0] >= start && times.is_sorted(), "{times:?}");
        Ok(())
    }

    #[test]
    fn a_kernel_without_a_recorder_records_nothing() -> io::Result<()> {
        let mut traced = Traced::new(Linux::new(false)?, None);
        assert!(!traced.is_on());
        assert_eq!(traced.wait(&mut [Event::default()], Time::default())?, 0);
        Ok(())
    }
}
