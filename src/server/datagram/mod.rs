//! The datagram sockets of one worker, beside its connections.
//!
//! ```text
//!   an event --> port: receive a batch, answer, send --> the next event
//!                  `--> requests: answers that commands give --> port: send one
//! ```
//!
//! A datagram has no connection: no slot, no state that outlives it, no time-out. It is answered by
//! the service of the streams, as a whole message, whatever their framing is. An empty one has an
//! empty answer. What could make the server a weapon is not answered, and counted: a reply that is
//! larger than its request, to an address that may be forged; a peer that would answer in turn.
//!
//! A loop without datagram sockets has one null pointer for all of this. The calls of the kernel
//! are reached through `Calls`, so that a loop can be compiled for a kernel without datagrams.
//! Neighbours: `port` is one socket, `requests` the commands of datagrams, `meter` the rates;
//! `reactor` holds this, `turn` passes the events on, `drain` ends it. See udp(7), unix(7).

mod meter;
mod port;
mod requests;

use std::io;
use std::net::IpAddr;

use crate::kernel::{
    Address, DatagramBatch, Datagrams as Kernel, Opener, Poller, Sender, Sockets, Time, Token,
};
use crate::limits::{DATAGRAM_REPLIES_SIZE, DATAGRAM_SIZE_MAX};
use crate::protocol::service::{Answer, Effect, EffectEvent, Request, Service};
use crate::server::effects::children::{PeerName, PendingAnswer};
use crate::server::observe::counters::Counters;
use crate::server::observe::log_limiter::LogLimiter;
use crate::server::observe::tap::Tap;
use crate::server::observe::wiretap::Wiretap;
use crate::server::pace::Pacing;
use crate::server::pump::{Pump, ReadPolicy};

use port::Port;
use requests::Requests;

/// A datagram socket that a worker is to serve.
#[derive(Debug)]
pub struct DatagramSocket<Socket> {
    /// The bound socket.
    pub socket: Socket,
    /// The address that it is bound to.
    pub address: Address,
    /// Other workers have it too.
    pub is_shared: bool,
    /// Another program has it too, and keeps it when this one ends.
    pub is_passed: bool,
}

/// Bytes that `count` datagram sockets of one worker take.
pub fn memory<S: Service>(service: &S, count: usize) -> usize {
    match count {
        0 => 0,
        _ => count * DatagramBatch::memory(room(service)) + Requests::<S::State>::memory(service),
    }
}

/// Room for replies that are not in the bytes of their request.
fn room<S: Service>(service: &S) -> usize {
    match service.reply_max(1) {
        0 => 0,
        _ => service
            .reply_max(DATAGRAM_SIZE_MAX)
            .max(DATAGRAM_REPLIES_SIZE),
    }
}

/// The calls of a kernel that has datagrams.
struct Calls<K: Sockets> {
    receive: fn(&mut K, &K::Socket, &mut DatagramBatch, usize) -> io::Result<usize>,
    send: fn(&mut K, &K::Socket, &mut DatagramBatch, usize) -> io::Result<usize>,
    send_one: fn(&mut K, &K::Socket, &[u8], &Sender) -> io::Result<usize>,
    stop_arrivals: fn(&mut K, &K::Socket) -> io::Result<()>,
    close: fn(&mut K, K::Socket),
    owns: fn(&mut K, IpAddr) -> bool,
}

/// What a socket needs to do its work in one turn.
struct Turn<'a, K: Sockets> {
    kernel: &'a mut K,
    calls: &'a Calls<K>,
    counters: &'a mut Counters,
    tap: Option<&'a mut Wiretap>,
    log: &'a mut LogLimiter,
    service: &'a mut dyn Answering,
    now: Time,
}

impl<K: Sockets> Turn<'_, K> {
    /// Nothing more happens with a datagram.
    #[inline]
    fn end(&mut self, tapped: u32, why: Option<&str>) {
        if let Some(tap) = &mut self.tap {
            tap.ended(tapped, why);
        }
    }
}

/// The service, as a socket sees it.
trait Answering {
    /// The most bytes of a reply to `size` bytes that are not in their place.
    fn reply_max(&self, size: usize) -> usize;

    /// Answers a datagram in its place or in `room`.
    fn answer(&mut self, payload: &mut [u8], room: &mut [u8]) -> Reply;

    /// Keeps the datagram for which [`Reply::Awaits`] was returned last. Returns whether there is a
    /// place for it.
    fn keep(&mut self, sender: Sender, port: u32, tapped: u32) -> bool;
}

/// Where the answer to a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// So many bytes in the place of the request.
    InPlace(usize),
    /// So many bytes in the room for replies.
    Written(usize),
    /// There is none.
    Nothing,
    /// It comes from a command.
    Awaits,
    /// There is none, because the bytes are not what the codec writes.
    Corrupted,
}

struct Face<'a, S: Service> {
    service: &'a mut S,
    requests: &'a mut Requests<S::State>,
    /// The state of the datagram that awaits.
    awaits: Option<S::State>,
}

impl<S: Service> Answering for Face<'_, S> {
    fn reply_max(&self, size: usize) -> usize {
        self.service.reply_max(size)
    }

    fn answer(&mut self, payload: &mut [u8], room: &mut [u8]) -> Reply {
        let size = payload.len();
        let mut state = self.service.open();
        let request = Request {
            payload,
            whole: true,
        };
        let mut reply = crate::protocol::service::Reply::new(room);
        let answer = self.service.serve(&mut state, request, &mut reply);
        match answer {
            Answer::Nothing => Reply::Nothing,
            Answer::Corrupted(_) => Reply::Corrupted,
            _ if size == 0 => Reply::InPlace(0),
            Answer::InPlace => Reply::InPlace(size),
            Answer::Written => Reply::Written(reply.filled()),
            Answer::Awaits => {
                self.awaits = Some(state);
                Reply::Awaits
            }
            // Of services that need a connection, which are refused at the start.
            Answer::Part(_) | Answer::Goodbye | Answer::Refused(_) => Reply::Nothing,
        }
    }

    fn keep(&mut self, sender: Sender, port: u32, tapped: u32) -> bool {
        let state = self.awaits.take();
        state.is_some_and(|state| self.requests.keep(state, sender, port, tapped))
    }
}

/// The datagram sockets of one worker.
pub(in crate::server) struct DatagramServer<K: Sockets, S: Service> {
    ports: Vec<Port<K::Socket>>,
    requests: Requests<S::State>,
    calls: Calls<K>,
    log: LogLimiter,
}

impl<K, S> DatagramServer<K, S>
where
    K: Poller,
    S: Service,
{
    /// Takes the memory for `sockets`, and registers them. If that fails they are closed.
    pub(in crate::server) fn new(
        pump: &mut Pump<K, S>,
        sockets: Vec<DatagramSocket<K::Socket>>,
        pacing: &Pacing,
    ) -> io::Result<DatagramServer<K, S>>
    where
        K: Kernel + Opener,
    {
        let service = &pump.protocol.service;
        let room = room(service);
        let mut server = DatagramServer {
            ports: Vec::with_capacity(sockets.len()),
            requests: match Requests::new(service) {
                Ok(requests) => requests,
                Err(error) => {
                    let close = |it: DatagramSocket<_>| pump.kernel.close_listener(it.socket);
                    sockets.into_iter().for_each(close);
                    return Err(error);
                }
            },
            calls: Calls {
                receive: K::receive_datagrams,
                send: K::send_datagrams,
                send_one: K::send_datagram,
                stop_arrivals: K::stop_arrivals,
                close: K::close_listener,
                owns: K::owns,
            },
            log: LogLimiter::default(),
        };
        let mut failed = None;
        for (number, it) in sockets.into_iter().enumerate() {
            let port = Port::new(it, number as u32, room, pacing);
            match port {
                Ok(port) => server.ports.push(port),
                Err((socket, error)) => {
                    failed = Some(error);
                    pump.kernel.close_listener(socket);
                }
            }
        }
        for place in 0..server.ports.len() {
            let begun = server.with(pump, place, |port, turn| port.begin(turn));
            failed = failed.or(begun.err());
        }
        match failed {
            None => Ok(server),
            Some(error) => {
                server.close_all(pump);
                Err(error)
            }
        }
    }

    fn with<T>(
        &mut self,
        pump: &mut Pump<K, S>,
        place: usize,
        act: impl FnOnce(&mut Port<K::Socket>, &mut Turn<'_, K>) -> T,
    ) -> T {
        let mut face = Face {
            service: &mut pump.protocol.service,
            requests: &mut self.requests,
            awaits: None,
        };
        let mut turn = Turn {
            kernel: &mut pump.kernel,
            calls: &self.calls,
            counters: &mut pump.counters,
            tap: pump.tap.as_mut().and_then(Tap::wiretap_mut),
            log: &mut self.log,
            service: &mut face,
            now: pump.now,
        };
        act(&mut self.ports[place], &mut turn)
    }

    /// How many sockets are open.
    pub(in crate::server) fn open(&self) -> usize {
        self.ports.iter().filter(|port| !port.is_closed()).count()
    }

    /// When something has to be done without an event.
    pub(in crate::server) fn deadline(&self, now: Time) -> Time {
        let deadlines = self.ports.iter().map(|port| port.deadline(now));
        deadlines.min().unwrap_or(Time::NEVER)
    }

    /// A socket was reported.
    pub(in crate::server) fn event(&mut self, pump: &mut Pump<K, S>, number: u32) {
        let number = number as usize;
        match self.ports.get(number) {
            Some(port) if !port.is_closed() => self.run(pump, number),
            _ => pump.counters.stale_events += 1,
        }
    }

    /// Serves the sockets that are due, whatever was reported.
    pub(in crate::server) fn expire(&mut self, pump: &mut Pump<K, S>) {
        for place in 0..self.ports.len() {
            if self.ports[place].is_due(pump.now) {
                self.run(pump, place);
            }
        }
    }

    /// Serves all sockets as if they had been reported.
    pub(in crate::server) fn look(&mut self, pump: &mut Pump<K, S>) {
        for number in 0..self.ports.len() as u32 {
            self.event(pump, number);
        }
    }

    fn run(&mut self, pump: &mut Pump<K, S>, place: usize) {
        self.with(pump, place, |port, turn| port.run(turn));
        if !self.requests.is_idle() {
            self.send_ready(pump);
        }
        self.end_if_over(pump, place);
    }

    /// Sends the answers of commands that have ended.
    #[cold]
    fn send_ready(&mut self, pump: &mut Pump<K, S>) {
        let mut from = 0;
        while let Some(ready) = self.requests.ready(from) {
            let mut turn = Turn {
                kernel: &mut pump.kernel,
                calls: &self.calls,
                counters: &mut pump.counters,
                tap: pump.tap.as_mut().and_then(Tap::wiretap_mut),
                log: &mut self.log,
                service: &mut NoService,
                now: pump.now,
            };
            let place = ready.place;
            let port = &mut self.ports[ready.port as usize];
            if port.send_one(&mut turn, ready.bytes, ready.sender, ready.tapped) {
                self.requests.free(place);
            }
            from = place + 1;
        }
    }

    fn end_if_over(&mut self, pump: &mut Pump<K, S>, place: usize) {
        let port = &self.ports[place];
        if port.has_ended() && self.requests.count(Some(place as u32)) == 0 {
            self.with(pump, place, |port, turn| port.close(turn));
        }
    }

    /// A drain begins, or its reading time is over.
    pub(in crate::server) fn begin_drain(&mut self, pump: &mut Pump<K, S>, reading: ReadPolicy) {
        for place in 0..self.ports.len() {
            match reading {
                ReadPolicy::LastRequest => self.ports[place].stop(),
                _ => self.with(pump, place, |port, turn| port.begin_drain(turn)),
            }
            self.run(pump, place);
        }
    }

    /// Other processes go on with the sockets: nothing more is received here.
    pub(in crate::server) fn leave(&mut self, pump: &mut Pump<K, S>) {
        for place in 0..self.ports.len() {
            self.ports[place].stop();
            self.run(pump, place);
        }
    }

    /// Closes all sockets at the drain time-out. Returns how many answers were owed.
    pub(in crate::server) fn cut(&mut self, pump: &mut Pump<K, S>) -> u64 {
        let owed = self.ports.iter().map(Port::owed).sum::<u64>() + self.requests.give_up();
        self.close_all(pump);
        owed
    }

    fn close_all(&mut self, pump: &mut Pump<K, S>) {
        for place in 0..self.ports.len() {
            self.with(pump, place, |port, turn| port.close(turn));
        }
    }

    /// The datagram whose command is to be started next.
    pub(in crate::server) fn next_awaiting(&self) -> Option<Token> {
        self.requests.waiting().map(Token::datagram)
    }

    /// The command of a datagram is started: its effect, and the sender.
    pub(in crate::server) fn start_effect(
        &mut self,
        pump: &Pump<K, S>,
        place: u32,
    ) -> Option<(Effect, PeerName)> {
        self.requests.start(place, &pump.protocol.service)
    }

    /// Delivers an event of the command of a datagram.
    pub(in crate::server) fn deliver(
        &mut self,
        pump: &mut Pump<K, S>,
        place: u32,
        answer: &PendingAnswer,
        event: EffectEvent<'_>,
    ) {
        let service = &pump.protocol.service;
        if self
            .requests
            .take_event(place, service, &answer.peer, event)
        {
            self.send_ready(pump);
            for place in 0..self.ports.len() {
                self.end_if_over(pump, place);
            }
        }
    }
}

/// For a turn in which nothing is answered.
struct NoService;

impl Answering for NoService {
    fn reply_max(&self, _size: usize) -> usize {
        0
    }

    fn answer(&mut self, _payload: &mut [u8], _room: &mut [u8]) -> Reply {
        Reply::Nothing
    }

    fn keep(&mut self, _sender: Sender, _port: u32, _tapped: u32) -> bool {
        false
    }
}
