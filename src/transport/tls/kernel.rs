//! A kernel around a kernel: above are the plaintext and the events of a connection, below the
//! records and the events of its socket.
//!
//! ```text
//!   the connection asks for   the wire is asked for        because
//!   reading                   writing                      a handshake message waits to be sent
//!   writing                   reading                      the handshake is not over
//!   both as they are          the same                     otherwise
//! ```
//!
//! An event of a wire that is asked for something else is reported as what the connection asked
//! for. A session with plaintext that the connection has not read is reported without an event of
//! its wire, which may have nothing more: an edge would never come. A handshake that takes too long
//! ends with an error of the next call.
//!
//! Sessions belong to the sockets that are registered under the token of a connection; all other
//! sockets are plain. Invariant: a session is in `ready` if and only if its connection wants to
//! read and it is not drained. Neighbours: `session`; `forward`, the calls that pass through.

use std::io;
use std::time::Duration;

use super::config::Side;
use super::session::{Scratch, Session, Wire};
use crate::kernel::journal::Recordable;
use crate::kernel::{
    Address, Event, Interest, Poller, Readiness, Signal, Sockets, Source, Time, Token,
};
use crate::store::timers::Timers;

/// A kernel whose connections speak TLS.
pub struct Tls<K> {
    pub(super) kernel: K,
    side: Side,
    /// By the slot of the token.
    places: Vec<Option<Box<Place>>>,
    /// For each descriptor its slot plus one; 0 without a session.
    slots: Vec<u32>,
    /// Sessions that are reported by the next wait.
    ready: Vec<Token>,
    /// The last wait with room for one event asked the kernel below first.
    asked_below: bool,
    /// When handshakes must be over.
    handshakes: Timers,
    handshake_timeout: Option<Duration>,
    /// New connections are plain until [`Sockets::secure`].
    is_delayed: bool,
    scratch: Scratch,
}

/// A session and what was asked for it.
struct Place {
    session: Session,
    token: Token,
    /// What the connection has asked for.
    asked: Interest,
    /// What the kernel below was asked for; `None` if it watches the socket no more.
    watched: Option<Interest>,
    is_ready: bool,
    /// The session has not begun: the connection is plain.
    is_plain: bool,
}

impl Place {
    /// What the kernel below is to be asked for.
    fn interest(&self) -> Interest {
        match self.is_plain {
            true => self.asked,
            false => self.session.interest(self.asked),
        }
    }
}

/// The socket of a session.
struct Below<'a, K: Sockets> {
    kernel: &'a mut K,
    socket: &'a K::Socket,
}

impl<K: Sockets> Wire for Below<'_, K> {
    fn receive(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.kernel.read(self.socket, space)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kernel.write(self.socket, bytes)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.kernel.shutdown(self.socket)
    }
}

impl<K> Tls<K> {
    /// Bytes of bookkeeping for each slot, apart from its session.
    pub const SLOT_SIZE: usize =
        size_of::<Option<Box<Place>>>() + size_of::<u32>() + size_of::<Token>() + Timers::SLOT_SIZE;

    /// Sessions around the connections of `kernel`, in slots below `slots`.
    pub fn new(kernel: K, side: Side, slots: usize, handshake_timeout: Option<Duration>) -> Tls<K> {
        let slots = match side {
            Side::Plain => 0,
            _ => slots,
        };
        Tls {
            kernel,
            side,
            places: (0..slots).map(|_| None).collect(),
            slots: Vec::new(),
            ready: Vec::with_capacity(slots),
            asked_below: false,
            handshakes: Timers::new(slots),
            handshake_timeout,
            is_delayed: false,
            scratch: Scratch::new(),
        }
    }

    /// The same; with `is_delayed` each connection is plain up to the end of a header.
    #[must_use]
    pub fn behind_header(mut self, is_delayed: bool) -> Tls<K> {
        self.is_delayed = is_delayed;
        self
    }

    /// The kernel below.
    pub fn below(&mut self) -> &mut K {
        &mut self.kernel
    }
}

/// The slot of a descriptor, if it has a session.
fn slot_of(slots: &[u32], number: u32) -> Option<usize> {
    match slots.get(number as usize) {
        Some(0) | None => None,
        Some(slot) => Some(*slot as usize - 1),
    }
}

impl<K: Recordable> Tls<K> {
    fn place(&mut self, socket: &K::Socket) -> Option<&mut Place> {
        let slot = slot_of(&self.slots, K::number(socket))?;
        self.places[slot].as_deref_mut()
    }

    /// Calls `act` with the session of `socket`, if it has one, and what it may use.
    fn with<T>(
        &mut self,
        socket: &K::Socket,
        act: impl FnOnce(&mut Session, &mut dyn Wire, &mut Scratch) -> T,
    ) -> Option<T> {
        let slot = slot_of(&self.slots, K::number(socket))?;
        let place = self.places[slot]
            .as_deref_mut()
            .filter(|place| !place.is_plain)?;
        let kernel = &mut self.kernel;
        let mut wire = Below { kernel, socket };
        Some(act(&mut place.session, &mut wire, &mut self.scratch))
    }

    fn forget(&mut self, socket: &K::Socket) {
        let number = K::number(socket) as usize;
        if let Some(slot) = slot_of(&self.slots, number as u32) {
            self.slots[number] = 0;
            self.places[slot] = None;
            self.handshakes.disarm(slot as u32);
        }
    }
}

impl<K: Recordable + Poller> Tls<K> {
    /// Begins the session of a connection that is registered for the first time.
    fn open(&mut self, socket: &K::Socket, token: Token, asked: Interest) -> io::Result<()> {
        if self.place(socket).is_some_and(|place| place.token == token) {
            return Ok(());
        }
        self.forget(socket);
        let Some(tls) = self.side.open().map_err(io::Error::other)? else {
            return Ok(());
        };
        let (slot, number) = (token.index() as usize, K::number(socket) as usize);
        if self.slots.len() <= number {
            self.slots.resize(number + 1, 0);
        }
        self.slots[number] = slot as u32 + 1;
        self.places[slot] = Some(Box::new(Place {
            session: Session::new(tls),
            token,
            asked,
            watched: None,
            is_ready: false,
            is_plain: self.is_delayed,
        }));
        if !self.is_delayed {
            self.begin_handshake(slot as u32);
        }
        Ok(())
    }

    fn begin_handshake(&mut self, slot: u32) {
        if let Some(timeout) = self.handshake_timeout {
            let deadline = self.kernel.now().after(timeout);
            self.handshakes.arm(slot, deadline);
        }
    }

    /// Asks the wire for what follows from the state of the session, and reports a session that has
    /// more to read.
    fn settle(&mut self, socket: &K::Socket) -> io::Result<()> {
        let Some(slot) = slot_of(&self.slots, K::number(socket)) else {
            return Ok(());
        };
        let Some(place) = self.places[slot]
            .as_deref_mut()
            .filter(|place| !place.is_plain)
        else {
            return Ok(());
        };
        if !place.session.is_handshaking() || place.session.has_failed() {
            self.handshakes.disarm(slot as u32);
        }
        let reads = place.asked.contains(Interest::READ);
        if reads && !place.session.is_drained() && !place.is_ready && place.watched.is_some() {
            place.is_ready = true;
            self.ready.push(place.token);
        }
        let wanted = place.interest();
        if place.watched.is_none_or(|watched| watched == wanted) {
            return Ok(());
        }
        place.watched = Some(wanted);
        self.kernel.reregister(socket, place.token, wanted)
    }

    /// What a call has returned. What it leads to for the wire may fail: the next call says so.
    fn settled<T>(&mut self, socket: &K::Socket, answer: io::Result<T>) -> io::Result<T> {
        if let Err(error) = self.settle(socket) {
            answer.as_ref().map_err(|_| error.kind())?;
            if let Some(place) = self.place(socket) {
                place.session.break_off(&error);
            }
            self.settle(socket)?;
        }
        answer
    }
}

impl<K: Recordable + Poller> Sockets for Tls<K> {
    type Socket = K::Socket;

    fn accept(&mut self, listener: &K::Socket) -> io::Result<K::Socket> {
        self.kernel.accept(listener)
    }

    fn read(&mut self, socket: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        match self.with(socket, |session, wire, scratch| {
            session.read(wire, scratch, space)
        }) {
            Some(answer) => self.settled(socket, answer),
            None => self.kernel.read(socket, space),
        }
    }

    fn write(&mut self, socket: &K::Socket, bytes: &[u8]) -> io::Result<usize> {
        match self.with(socket, |session, wire, scratch| {
            session.write(wire, scratch, bytes)
        }) {
            Some(answer) => self.settled(socket, answer),
            None => self.kernel.write(socket, bytes),
        }
    }

    fn shutdown(&mut self, socket: &K::Socket) -> io::Result<()> {
        match self.with(socket, |session, wire, scratch| {
            session.shutdown(wire, scratch)
        }) {
            Some(answer) => self.settled(socket, answer),
            None => self.kernel.shutdown(socket),
        }
    }

    fn secure(&mut self, socket: &K::Socket, received: &[u8]) -> bool {
        let Some(slot) = slot_of(&self.slots, K::number(socket)) else {
            return false;
        };
        match self.places[slot].as_deref_mut() {
            Some(place) if place.is_plain => {
                place.is_plain = false;
                place.session.begin_with(received);
            }
            _ => return false,
        }
        self.begin_handshake(slot as u32);
        // If the wire cannot be watched, the next call says so.
        let _ = self.settled(socket, Ok(()));
        true
    }

    fn is_finished(&mut self, socket: &K::Socket) -> bool {
        let finished = self.with(socket, |session, wire, scratch| {
            session.finish(wire, scratch)
        });
        finished.unwrap_or(true)
    }

    fn can_be_passed(&mut self, _: &K::Socket) -> bool {
        false
    }

    fn unacknowledged(&mut self, socket: &K::Socket) -> io::Result<usize> {
        let count = self.kernel.unacknowledged(socket)?;
        let place = self.place(socket);
        Ok(place.map_or(count, |place| place.session.unacknowledged(count)))
    }

    fn take_error(&mut self, socket: &K::Socket) -> io::Result<()> {
        self.kernel.take_error(socket)
    }

    #[cfg(feature = "auth")]
    fn random(&mut self, bytes: &mut [u8; 32]) -> io::Result<()> {
        self.kernel.random(bytes)
    }

    fn peer(&mut self, socket: &K::Socket) -> io::Result<Address> {
        self.kernel.peer(socket)
    }

    fn close(&mut self, socket: K::Socket) {
        self.with(&socket, |session, wire, scratch| {
            session.finish(wire, scratch)
        });
        self.forget(&socket);
        self.kernel.close(socket);
    }
}

impl<K: Recordable + Poller> Poller for Tls<K> {
    fn register(&mut self, socket: &K::Socket, token: Token, interest: Interest) -> io::Result<()> {
        if token.source() == Source::Connection {
            self.open(socket, token, interest)?;
        }
        let Some(place) = self.place(socket) else {
            return self.kernel.register(socket, token, interest);
        };
        place.asked = interest;
        let wanted = place.interest();
        place.watched = Some(wanted);
        self.kernel.register(socket, token, wanted)?;
        self.settle(socket)
    }

    fn reregister(
        &mut self,
        socket: &K::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let Some(place) = self.place(socket) else {
            return self.kernel.reregister(socket, token, interest);
        };
        place.asked = interest;
        let wanted = place.interest();
        place.watched = Some(wanted);
        self.kernel.reregister(socket, token, wanted)?;
        self.settle(socket)
    }

    fn deregister(&mut self, socket: &K::Socket) -> io::Result<()> {
        if let Some(place) = self.place(socket) {
            place.asked = Interest::NONE;
            place.watched = None;
        }
        self.kernel.deregister(socket)
    }

    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        // Neither kind of event can keep the other out. Room for one event goes to each in turn.
        let own_max = match events.len() {
            1 => {
                self.asked_below = !self.asked_below;
                usize::from(!self.asked_below)
            }
            room => room.div_ceil(2),
        };
        let own = self.ready.len().min(own_max);
        let until = match self.ready.len() {
            0 => until.min(self.handshakes.next()),
            _ => Time::default(),
        };
        let room = events.len() - own;
        // Without room the kernel is asked in the next wait.
        let mut count = match room {
            0 => 0,
            _ => self.kernel.wait(&mut events[..room], until)?,
        };
        for event in &mut events[..count] {
            *event = self.translated(*event);
        }
        // What the kernel has left is for further sessions.
        let own = self.ready.len().min(events.len() - count);
        for token in self.ready.drain(..own) {
            let place = self.places[token.index() as usize].as_deref_mut();
            let Some(place) = place.filter(|place| place.token == token) else {
                continue;
            };
            place.is_ready = false;
            if place.asked.contains(Interest::READ) {
                events[count] = Event::new(token, Readiness::IN);
                count += 1;
            }
        }
        if self.handshakes.is_empty() {
            return Ok(count);
        }
        let now = self.kernel.now();
        while count < events.len() {
            let Some(slot) = self.handshakes.pop_due(now) else {
                break;
            };
            if let Some(place) = &mut self.places[slot as usize] {
                place.session.expire();
                events[count] = Event::new(place.token, Readiness::IN | Readiness::OUT);
                count += 1;
            }
        }
        Ok(count)
    }

    fn now(&mut self) -> Time {
        self.kernel.now()
    }

    fn time_of_day(&mut self) -> Duration {
        self.kernel.time_of_day()
    }

    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        self.kernel.take_signal()
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        self.kernel.take_wake_up()
    }
}

impl<K> Tls<K> {
    /// The event as the connection has asked for it.
    fn translated(&self, event: Event) -> Event {
        let token = event.token();
        let place = match token.source() {
            Source::Connection => self.places.get(token.index() as usize),
            _ => None,
        };
        let Some(Some(place)) = place else {
            return event;
        };
        const DATA: Readiness = Readiness::IN.union(Readiness::OUT);
        let readiness = event.readiness();
        let is_same = place.watched.is_none_or(|watched| watched == place.asked);
        if place.token != token || is_same || !readiness.intersects(DATA) {
            return event;
        }
        let mut told = Readiness::from_bits(readiness.bits() & !DATA.bits());
        if place.asked.contains(Interest::READ) {
            told |= Readiness::IN;
        }
        if place.asked.contains(Interest::WRITE) {
            told |= Readiness::OUT;
        }
        Event::new(token, told)
    }
}
