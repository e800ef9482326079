//! The last records of a process, in memory of a fixed size that is taken at the start.
//!
//! ```text
//!   records   [ 5 | 6 | 7 | 3 | 4 ]      a new record takes the place of the oldest one
//!   bytes     [ ..7.. | .4. | 5 | .6 ]   so do its bytes; those of a record are in one piece
//! ```
//!
//! All loops of a process write to one ring, each on a track of its own. A record owns a piece of
//! the bytes: what a read or a write has moved, an address, or the events of a wait. New bytes
//! overwrite the oldest ones, so a record may outlive its bytes; it keeps their number. Nothing is
//! allocated by a record, except for a descriptor above those that were planned.
//!
//! Invariant: a record is in the ring exactly if fewer than `records` others came after it.
//! Neighbours: `traced` makes the calls, `server::observe` tells the states, `files` draws a
//! [`Snapshot`].

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Argument, Call, Datagram, Name, Recorder, Returned};
use crate::kernel::{Address, Event, Mapping, Readiness, Signal, Time, Token};
use crate::limits::{TRACE_BYTES_EACH, TRACE_PAYLOAD_EACH, TRACE_PAYLOAD_MIN};

/// Bytes of one event of a wait: its token and its readiness.
const EVENT: usize = 12;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Records.
    pub records: usize,
    /// All bytes that move, and the addresses of connections; else the first bytes only.
    pub payload: bool,
    /// Descriptors that are planned.
    pub descriptors: usize,
}

impl Keep {
    fn bytes(&self) -> usize {
        match self.payload {
            true => (self.records * TRACE_PAYLOAD_EACH).max(TRACE_PAYLOAD_MIN),
            false => self.records * TRACE_BYTES_EACH,
        }
    }

    /// The memory of the ring and of the copy from which a file is written.
    pub fn memory(&self) -> usize {
        let ring = self.records * size_of::<Record>() + self.bytes();
        2 * ring + self.descriptors * size_of::<Bound>()
    }
}

/// One call, or one change of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// When it began.
    pub began: Time,
    /// When it was over.
    pub at: Time,
    /// The connection, or a token of generation 0.
    pub token: Token,
    /// The loop.
    pub track: u32,
    /// What happened.
    pub body: Body,
    /// Where its bytes begin, counted from the first byte that was ever kept.
    start: u64,
    kept: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// A system call.
    Call {
        /// Which.
        name: Name,
        /// On which descriptor.
        descriptor: Option<u32>,
        /// With what.
        argument: Argument<'static>,
        /// With which result.
        result: Result<usize, i32>,
        /// What else it returned.
        returned: Kept,
    },
    /// A connection has changed.
    State {
        /// Its state now.
        state: &'static str,
        /// What it waits for now; empty if it ends.
        waits: &'static str,
        /// Why it ends; empty if it does not.
        reason: &'static str,
    },
    /// A call that is no part of the kernel traits, as a line of text.
    Line,
    /// A datagram that the call before it has moved, with all its bytes.
    Datagram {
        /// On which descriptor.
        descriptor: u32,
        /// It was sent, and not received.
        is_sent: bool,
        /// The other end.
        peer: SocketAddr,
        /// Its bytes, kept or not.
        size: u32,
    },
}

/// What is kept of what a call returned beside a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing, or bytes that it moved.
    Number,
    /// An address, as the bytes of the record.
    Address,
    /// Events, as the bytes of the record.
    Events,
    /// A signal.
    Signal(Option<Signal>),
    /// Whether a process has ended.
    Ended(bool),
}

/// What is known of an open descriptor.
#[derive(Clone, Copy, Debug)]
struct Bound {
    token: Token,
    ends: Ends,
    /// The last state that followed from a call.
    told: (&'static str, &'static str),
}

/// The addresses of a connection, where they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Ours.
    pub own: Option<SocketAddr>,
    /// The peer's.
    pub peer: Option<SocketAddr>,
    /// It is a datagram socket.
    pub is_datagram: bool,
}

const NOTHING: Token = Token::from_bits(0);
const UNBOUND: Bound = Bound {
    token: NOTHING,
    ends: Ends {
        own: None,
        peer: None,
        is_datagram: false,
    },
    told: ("", ""),
};

struct Store {
    keep: Keep,
    records: Vec<Record>,
    /// Records that were ever made.
    count: u64,
    bytes: Mapping,
    /// Bytes that were ever kept.
    head: u64,
    bound: Vec<Bound>,
    tracks: u32,
    /// When the last call was over: a change of a connection follows a call.
    latest: Time,
}

/// The ring of a process.
#[derive(Clone)]
pub struct Ring(Arc<Mutex<Store>>);

/// What one loop writes to.
#[derive(Clone)]
pub struct Track {
    ring: Ring,
    number: u32,
    needs_addresses: bool,
    /// The loop tells no states: those of a client follow from its calls.
    is_client: bool,
}

impl std::fmt::Debug for Track {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Track({})", self.number)
    }
}

impl Ring {
    /// Takes the memory.
    ///
    /// # Errors
    ///
    /// There is not so much.
    pub fn new(keep: Keep) -> io::Result<Ring> {
        let mut records = Vec::new();
        let mut bound = Vec::new();
        let none = |_| io::ErrorKind::OutOfMemory;
        records.try_reserve_exact(keep.records).map_err(none)?;
        bound.try_reserve_exact(keep.descriptors).map_err(none)?;
        Ok(Ring(Arc::new(Mutex::new(Store {
            keep,
            records,
            count: 0,
            bytes: Mapping::new(keep.bytes())?,
            head: 0,
            bound,
            tracks: 0,
            latest: Time::default(),
        }))))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A track for one more loop of a client.
    pub fn client_track(&self) -> Track {
        Track {
            is_client: true,
            ..self.track()
        }
    }

    /// A track for one more loop.
    pub fn track(&self) -> Track {
        let mut store = self.store();
        store.tracks += 1;
        Track {
            ring: self.clone(),
            number: store.tracks - 1,
            needs_addresses: store.keep.payload,
            is_client: false,
        }
    }

    /// Forgets all records, but not what is known of open descriptors: this is a new process.
    pub fn clear(&self) {
        let mut store = self.store();
        store.records.clear();
        (store.count, store.tracks) = (0, 0);
    }

    /// A copy of what is kept, sorted by time.
    pub fn snapshot(&self) -> Snapshot {
        let store = self.store();
        let (newer, older) = store.records.split_at(match store.keep.records {
            all if store.records.len() == all => (store.count % all as u64) as usize,
            _ => 0,
        });
        let mut snapshot = Snapshot {
            records: [older, newer].concat(),
            bytes: store.bytes.to_vec(),
            head: store.head,
            lost: store.count - store.records.len() as u64,
            bound: store.bound.clone(),
        };
        drop(store);
        snapshot.settle();
        snapshot
    }
}

impl Store {
    fn push(&mut self, mut record: Record, bytes: &[u8], bytes_max: usize) {
        let size = bytes.len().min(bytes_max).min(self.bytes.len());
        record.start = self.head;
        record.kept = size as u32;
        let mut rest = &bytes[..size];
        while !rest.is_empty() {
            let place = (self.head % self.bytes.len() as u64) as usize;
            let room = (self.bytes.len() - place).min(rest.len());
            self.bytes[place..place + room].copy_from_slice(&rest[..room]);
            self.head += room as u64;
            rest = &rest[room..];
        }
        let place = (self.count % self.keep.records as u64) as usize;
        match self.records.get_mut(place) {
            Some(oldest) => *oldest = record,
            None => self.records.push(record),
        }
        self.count += 1;
    }

    fn push_state(
        &mut self,
        at: Time,
        token: Token,
        track: u32,
        [state, waits, reason]: [&'static str; 3],
    ) {
        let record = Record {
            began: at,
            at,
            token,
            track,
            body: Body::State {
                state,
                waits,
                reason,
            },
            start: 0,
            kept: 0,
        };
        self.push(record, &[], 0);
    }

    /// Keeps the state of a client's connection that follows from a call, if it is another one.
    fn tell_client(&mut self, call: &Call<'_>, token: Token, track: u32) {
        let Some(descriptor) = call.descriptor.filter(|_| token.generation() > 0) else {
            return;
        };
        let told = self.bound(descriptor).told;
        let is_open = !told.0.is_empty() && told.0 != "connecting";
        let next = match (call.name, call.result) {
            (Name::Register, Ok(_)) if told.0.is_empty() => ("connecting", "connect"),
            (Name::TakeError, Ok(_)) if !is_open => ("open", "next request"),
            (Name::Write, Ok(_)) => (if is_open { told.0 } else { "open" }, "reply"),
            (Name::Read, Ok(1..)) => (told.0, "next request"),
            (Name::Read, Ok(0)) | (Name::Shutdown, Ok(_)) if is_open => ("half-closed", told.1),
            (Name::Close, _) => {
                self.bound(descriptor).told = ("", "");
                return self.push_state(call.at, token, track, ["closed", "", "close"]);
            }
            _ => return,
        };
        if next != told {
            self.bound(descriptor).told = next;
            self.push_state(call.at, token, track, [next.0, next.1, ""]);
        }
    }

    fn bound(&mut self, descriptor: u32) -> &mut Bound {
        let place = descriptor as usize;
        if place >= self.bound.len() {
            self.bound.resize(place + 1, UNBOUND);
        }
        &mut self.bound[place]
    }

    /// The connection of a call, and what the call tells of its descriptor.
    fn learn(&mut self, call: &Call<'_>) -> Token {
        let Some(descriptor) = call.descriptor else {
            if let (Name::Connect, Ok(new)) = (call.name, call.result) {
                *self.bound(new as u32) = UNBOUND;
                if let Argument::Address(address) = call.argument {
                    let ends = &mut self.bound(new as u32).ends;
                    ends.peer = internet(address);
                    ends.is_datagram = address.is_datagrams();
                }
            }
            return NOTHING;
        };
        match (call.name, call.argument, call.result, call.returned) {
            (Name::Register, Argument::Interest(Some(token), _), Ok(_), _) => {
                self.bound(descriptor).token = token;
            }
            (Name::Accept, _, Ok(new), _) => *self.bound(new as u32) = UNBOUND,
            (Name::Peer, _, _, Returned::Address(address)) => {
                self.bound(descriptor).ends.peer = internet(address);
            }
            (Name::Local, _, _, Returned::Address(address)) => {
                let ends = &mut self.bound(descriptor).ends;
                ends.own = internet(address);
                ends.is_datagram = address.is_datagrams();
            }
            (Name::Close, ..) => {
                let bound = self.bound(descriptor);
                return std::mem::replace(&mut bound.token, NOTHING);
            }
            _ => {}
        }
        self.bound
            .get(descriptor as usize)
            .map_or(NOTHING, |bound| bound.token)
    }
}

fn internet(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Tcp(address) | Address::Udp(address) => Some(*address),
        _ => None,
    }
}

impl Recorder for Track {
    fn record(&mut self, call: &Call<'_>) {
        let mut store = self.ring.store();
        let bytes_max = match (store.keep.payload, call.name) {
            (true, Name::Read | Name::Write) => usize::MAX,
            _ => TRACE_BYTES_EACH,
        };
        let token = store.learn(call);
        store.latest = store.latest.max(call.at);
        let mut packed = [0; TRACE_BYTES_EACH];
        let (returned, bytes) = match call.returned {
            Returned::Address(address) => (Kept::Address, print(&mut packed, address)),
            Returned::Text(text) => (Kept::Address, text.as_bytes()),
            Returned::Events(events) => (Kept::Events, pack(&mut packed, events)),
            Returned::Signal(signal) => (Kept::Signal(signal), call.bytes),
            Returned::Ended(ended) => (Kept::Ended(ended), call.bytes),
            Returned::Number => {
                let bytes = match call.argument {
                    Argument::Listen(address, backlog) => {
                        print(&mut packed, &format_args!("{address}, {backlog}"))
                    }
                    Argument::Address(address) => print(&mut packed, address),
                    Argument::Text(text) => text.as_bytes(),
                    _ => call.bytes,
                };
                (Kept::Number, bytes)
            }
        };
        let record = Record {
            began: call.began,
            at: call.at,
            token,
            track: self.number,
            body: Body::Call {
                name: call.name,
                descriptor: call.descriptor,
                argument: match call.argument {
                    // The text is among the bytes.
                    Argument::Listen(..) | Argument::Address(_) | Argument::Text(_) => {
                        Argument::Text("")
                    }
                    argument => argument.detached(),
                },
                result: call.result,
                returned,
            },
            start: 0,
            kept: 0,
        };
        store.push(record, bytes, bytes_max);
        if self.is_client {
            store.tell_client(call, token, self.number);
        }
    }

    fn bind(&mut self, descriptor: u32, token: Token) {
        self.ring.store().bound(descriptor).token = token;
    }

    fn datagram(&mut self, at: Time, datagram: &Datagram<'_>) {
        let mut store = self.ring.store();
        let token = store
            .bound
            .get(datagram.descriptor as usize)
            .map_or(NOTHING, |bound| bound.token);
        let record = Record {
            began: at,
            at,
            token,
            track: self.number,
            body: Body::Datagram {
                descriptor: datagram.descriptor,
                is_sent: datagram.is_sent,
                peer: datagram.peer,
                size: datagram.bytes.len() as u32,
            },
            start: 0,
            kept: 0,
        };
        store.push(record, datagram.bytes, usize::MAX);
    }

    fn needs_addresses(&self) -> bool {
        self.needs_addresses
    }
}

impl Track {
    /// The connection `token` is in `state` now and waits for `waits`; with a `reason` it ends.
    /// `now` is the time of the turn.
    #[cold]
    pub fn state(
        &self,
        token: Token,
        now: Time,
        state: &'static str,
        waits: &'static str,
        reason: &'static str,
    ) {
        let mut store = self.ring.store();
        let at = store.latest.max(now);
        store.push_state(at, token, self.number, [state, waits, reason]);
    }

    /// A call that is no part of the kernel traits, as `text`: `dup(a) = 5`.
    pub fn line(&self, token: Token, (began, at): (Time, Time), text: &str) {
        let record = Record {
            began,
            at,
            token,
            track: self.number,
            body: Body::Line,
            start: 0,
            kept: 0,
        };
        self.ring.store().push(record, text.as_bytes(), usize::MAX);
    }

    /// The ring of all tracks.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// One more track of the same ring.
    #[must_use]
    pub fn another(&self) -> Track {
        self.ring.track()
    }
}

/// Prints into `space`, as much as fits.
fn print<'a>(space: &'a mut [u8; TRACE_BYTES_EACH], what: &dyn std::fmt::Display) -> &'a [u8] {
    let mut rest = &mut space[..];
    // What does not fit is left out.
    let _ = io::Write::write_fmt(&mut rest, format_args!("{what}"));
    let left = rest.len();
    &space[..TRACE_BYTES_EACH - left]
}

fn pack<'a>(space: &'a mut [u8; TRACE_BYTES_EACH], events: &[Event]) -> &'a [u8] {
    let mut size = 0;
    for (event, place) in events.iter().zip(space.chunks_exact_mut(EVENT)) {
        place[..8].copy_from_slice(&event.token().bits().to_le_bytes());
        place[8..].copy_from_slice(&event.readiness().bits().to_le_bytes());
        size += EVENT;
    }
    &space[..size]
}

/// A copy of the records of a ring.
#[derive(Debug)]
pub struct Snapshot {
    records: Vec<Record>,
    bytes: Vec<u8>,
    head: u64,
    /// Records that came before and were overwritten.
    pub lost: u64,
    bound: Vec<Bound>,
}

impl Snapshot {
    /// Sorts the records, and finds the connections of calls that came before a registration.
    fn settle(&mut self) {
        // They nearly are: a loop reads the clock just before it takes the lock. So each record
        // moves past few others, and those of the same moment stay in their order.
        for place in 1..self.records.len() {
            let mut at = place;
            while at > 0 && self.records[at - 1].at > self.records[at].at {
                self.records.swap(at - 1, at);
                at -= 1;
            }
        }
        let mut tokens = vec![NOTHING; self.bound.len()];
        for record in self.records.iter_mut().rev() {
            let Body::Call {
                name,
                descriptor,
                argument,
                result,
                ..
            } = record.body
            else {
                continue;
            };
            if let (Name::Accept | Name::Connect, Ok(new)) = (name, result) {
                if let Some(token) = tokens.get_mut(new) {
                    let token = std::mem::replace(token, NOTHING);
                    if name == Name::Connect {
                        record.token = token;
                    }
                }
            }
            let known = descriptor.and_then(|number| tokens.get_mut(number as usize));
            match (name, argument, known) {
                (Name::Register, Argument::Interest(Some(token), _), Some(known)) => *known = token,
                (Name::Close, _, Some(known)) => *known = NOTHING,
                (_, _, Some(known)) if record.token == NOTHING => record.token = *known,
                _ => {}
            }
        }
    }

    /// The records, in order of time.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The bytes that are kept of a record, in two pieces; empty if they were overwritten.
    pub fn bytes(&self, record: &Record) -> (&[u8], &[u8]) {
        let (size, all) = (record.kept as usize, self.bytes.len());
        if size == 0 || self.head - record.start > all as u64 {
            return (&[], &[]);
        }
        let place = (record.start % all as u64) as usize;
        match place + size > all {
            true => (&self.bytes[place..], &self.bytes[..place + size - all]),
            false => (&self.bytes[place..place + size], &[]),
        }
    }

    /// The same in one piece.
    pub fn joined(&self, record: &Record) -> Vec<u8> {
        let (front, back) = self.bytes(record);
        [front, back].concat()
    }

    /// Calls `act` with the call of a record; not at all if it is not one of the kernel traits.
    pub fn with_call<T>(&self, record: &Record, act: impl FnOnce(&Call<'_>) -> T) -> Option<T> {
        let Body::Call {
            name,
            descriptor,
            argument,
            result,
            returned,
        } = record.body
        else {
            return None;
        };
        let bytes = self.joined(record);
        let is_text = matches!(argument, Argument::Text(_)) || returned == Kept::Address;
        let text = if is_text {
            String::from_utf8_lossy(&bytes)
        } else {
            "".into()
        };
        let events: Vec<Event> = match returned {
            Kept::Events => bytes.chunks_exact(EVENT).map(unpack).collect(),
            _ => Vec::new(),
        };
        Some(act(&Call {
            began: record.began,
            at: record.at,
            name,
            descriptor,
            argument: match argument {
                Argument::Text(_) => Argument::Text(&text),
                argument => argument,
            },
            result,
            returned: match returned {
                Kept::Number => Returned::Number,
                Kept::Address => Returned::Text(&text),
                Kept::Events => Returned::Events(&events),
                Kept::Signal(signal) => Returned::Signal(signal),
                Kept::Ended(ended) => Returned::Ended(ended),
            },
            bytes: match (is_text, returned) {
                (false, Kept::Number) => &bytes,
                _ => &[],
            },
        }))
    }

    /// The addresses of the connection on a descriptor, if that is still open.
    pub fn ends(&self, descriptor: u32) -> Ends {
        let bound = self.bound.get(descriptor as usize);
        bound.map_or(Ends::default(), |bound| bound.ends)
    }
}

fn unpack(bytes: &[u8]) -> Event {
    let (mut token, mut mask) = ([0; 8], [0; 4]);
    token.copy_from_slice(&bytes[..8]);
    mask.copy_from_slice(&bytes[8..]);
    let readiness = Readiness::from_bits(u32::from_le_bytes(mask));
    Event::new(Token::from_bits(u64::from_le_bytes(token)), readiness)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Interest;

    fn call(name: Name, at: u64, bytes: &[u8]) -> Call<'_> {
        Call {
            began: Time::from_nanos(at),
            at: Time::from_nanos(at),
            name,
            descriptor: Some(7),
            argument: Argument::Size(bytes.len()),
            result: Ok(bytes.len()),
            returned: Returned::Number,
            bytes,
        }
    }

    fn ring(records: usize, payload: bool) -> Ring {
        let keep = Keep {
            records,
            payload,
            descriptors: 8,
        };
        Ring::new(keep).expect("memory")
    }

    #[test]
    fn the_last_records_are_kept_and_the_others_are_counted() {
        for all in [1, 2, 5] {
            for made in [1, all - 1, all, all + 1, 3 * all] {
                let ring = ring(all, false);
                let mut track = ring.track();
                (0..made).for_each(|at| track.record(&call(Name::Read, at as u64, b"x")));
                let snapshot = ring.snapshot();
                let times: Vec<u64> = (snapshot.records().iter())
                    .map(|record| record.at.as_nanos())
                    .collect();
                let first = made.saturating_sub(all);
                let expected: Vec<u64> = (first..made).map(|at| at as u64).collect();
                assert_eq!((times, snapshot.lost), (expected, first as u64));
            }
        }
    }

    #[test]
    fn a_record_keeps_its_first_bytes_also_across_the_end_of_the_space() {
        let ring = ring(3, false);
        let mut track = ring.track();
        let texts: Vec<Vec<u8>> = (0..50)
            .map(|at| vec![b'a' + at % 26; 1 + 3 * at as usize])
            .collect();
        for text in &texts {
            track.record(&call(Name::Write, 0, text));
            let snapshot = ring.snapshot();
            let last = snapshot.records().last().expect("a record");
            let size = text.len().min(TRACE_BYTES_EACH);
            assert_eq!(snapshot.joined(last), &text[..size]);
        }
        let snapshot = ring.snapshot();
        for (record, text) in snapshot.records().iter().zip(&texts[47..]) {
            assert_eq!(snapshot.joined(record), &text[..TRACE_BYTES_EACH]);
        }
    }

    #[test]
    fn a_payload_is_whole_until_later_ones_have_taken_its_place() {
        let ring = ring(4, true);
        let mut track = ring.track();
        let half = vec![b'.'; TRACE_PAYLOAD_MIN / 2];
        let kept = |ring: &Ring| -> Vec<usize> {
            let snapshot = ring.snapshot();
            let records = snapshot.records().iter();
            records
                .map(|record| snapshot.joined(record).len())
                .collect()
        };
        track.record(&call(Name::Read, 0, &half));
        track.record(&call(Name::Read, 1, &half));
        assert_eq!(kept(&ring), [half.len(); 2]);
        track.record(&call(Name::Read, 2, b"x"));
        assert_eq!(kept(&ring), [0, half.len(), 1]);
        // More than all of the space.
        track.record(&call(Name::Read, 3, &vec![b'.'; TRACE_PAYLOAD_MIN + 1]));
        assert_eq!(kept(&ring), [0, 0, 0, TRACE_PAYLOAD_MIN]);
    }

    #[test]
    fn a_call_has_the_connection_of_its_descriptor_until_the_close() {
        let ring = ring(10, false);
        let mut track = ring.track();
        let token = Token::new(3, 5);
        let register = Call {
            argument: Argument::Interest(Some(token), Interest::READ),
            ..call(Name::Register, 1, b"")
        };
        let accept = Call {
            descriptor: Some(4),
            result: Ok(7),
            ..call(Name::Accept, 0, b"")
        };
        track.record(&accept);
        // It is found afterwards: the registration comes later.
        track.record(&call(Name::Read, 0, b"x"));
        track.record(&register);
        track.record(&call(Name::Read, 2, b"y"));
        track.record(&call(Name::Close, 3, b""));
        track.record(&call(Name::Read, 4, b"z"));
        let tokens: Vec<Token> = (ring.snapshot().records().iter())
            .map(|record| record.token)
            .collect();
        assert_eq!(tokens, [NOTHING, token, token, token, token, NOTHING]);
    }

    #[test]
    fn the_states_of_a_client_follow_from_its_calls_and_are_told_once() {
        let ring = ring(100, false);
        let mut track = ring.client_track();
        let address: Address = "tcp://127.0.0.1:7".parse().expect("an address");
        track.record(&Call {
            descriptor: None,
            argument: Argument::Address(&address),
            result: Ok(7),
            ..call(Name::Connect, 0, b"")
        });
        track.record(&Call {
            argument: Argument::Interest(Some(Token::new(0, 1)), Interest::WRITE),
            ..call(Name::Register, 0, b"")
        });
        track.record(&call(Name::TakeError, 1, b""));
        for _ in 0..2 {
            track.record(&call(Name::Write, 2, b"x"));
        }
        track.record(&call(Name::Read, 3, b"x"));
        track.record(&call(Name::Shutdown, 4, b""));
        track.record(&call(Name::Read, 5, b""));
        track.record(&call(Name::Close, 6, b""));
        let snapshot = ring.snapshot();
        let states = snapshot.records().iter().filter_map(|it| match it.body {
            Body::State {
                state,
                waits,
                reason,
            } => Some([state, waits, reason]),
            _ => None,
        });
        let expected = [
            ["connecting", "connect", ""],
            ["open", "next request", ""],
            ["open", "reply", ""],
            ["open", "next request", ""],
            ["half-closed", "next request", ""],
            ["closed", "", "close"],
        ];
        assert_eq!(states.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_call_that_was_kept_reads_as_it_was_made() {
        let ring = ring(10, false);
        let mut track = ring.track();
        let address: Address = "tcp://127.0.0.1:7".parse().expect("an address");
        let events = [Event::new(Token::new(0, 1), Readiness::IN); 7];
        let calls = [
            call(Name::Read, 0, b"x"),
            Call {
                argument: Argument::Listen(&address, 5),
                ..call(Name::Listen, 0, b"")
            },
            Call {
                argument: Argument::None,
                returned: Returned::Address(&address),
                ..call(Name::Peer, 0, b"")
            },
            Call {
                argument: Argument::None,
                returned: Returned::Ended(true),
                ..call(Name::Reap, 0, b"")
            },
            Call {
                argument: Argument::None,
                returned: Returned::Signal(Some(Signal::Reload)),
                ..call(Name::TakeSignal, 0, b"")
            },
            Call {
                descriptor: None,
                argument: Argument::Wait {
                    room: 9,
                    until: Time::NEVER,
                },
                result: Ok(5),
                returned: Returned::Events(&events[..5]),
                ..call(Name::Wait, 0, b"")
            },
        ];
        calls.iter().for_each(|call| track.record(call));
        let snapshot = ring.snapshot();
        for (call, record) in calls.iter().zip(snapshot.records()) {
            let kept = snapshot.with_call(record, |call| call.to_string());
            assert_eq!(kept, Some(call.to_string()));
        }
    }
}
