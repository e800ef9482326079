//! The descriptors of the simulated kernel and its epoll instances, one for each worker.
//!
//! All workers have the same descriptors, as threads have. A listener may have several: one is its
//! home, the others are aliases. A descriptor is registered with one instance at most. Of exclusive
//! registrations of one listener, a wake-up reaches those of busy workers and, in the order of
//! registration, the first one whose worker sleeps.
//!
//! The lowest free number is given first and reused at once, as on Linux; this is how stale events
//! arise. The table does not know whether anything is ready; it only remembers what to ask. The
//! ready list works as in fs/eventpoll.c: a wake-up puts an entry on it once, a look takes it off,
//! and a reported level-triggered entry goes back to its tail. Invariant: a list entry whose serial
//! belongs to no current registration is dead and is dropped when met. epoll(7), epoll_ctl(2).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{EEXIST, EINVAL, EMFILE, ENOENT, EPERM};
use mynah::kernel::{Address, Interest, Readiness, Token};

use super::datagrams::Mailbox;
use super::dice::Dice;

/// How many workers there may be.
pub(super) const POLLERS: usize = 2;
/// 0 to 2 are the standard streams.
const FIRST: u32 = 3;
/// Serials are unique across kernels, so that a socket of another kernel is noticed.
static SERIALS: AtomicU64 = AtomicU64::new(1);

/// An open socket of the simulation, identified by its number and a unique serial.
#[derive(Debug, PartialEq, Eq)]
pub struct Socket {
    pub(super) number: u32,
    serial: u64,
}

/// What a descriptor stands for.
pub(super) enum File {
    /// A socket before bind or connect, or the reserve descriptor.
    Blank,
    Listener(Listener),
    /// Another descriptor of the listener whose home is this number.
    Alias(u32),
    Stream {
        pair: usize,
        side: usize,
    },
    Datagrams(Mailbox),
    /// The read end of the output pipe of the process with this id.
    Output(u32),
    /// The pidfd of the process with this id.
    Exit(u32),
}

pub(super) struct Listener {
    pub(super) address: Address,
    pub(super) reuse_port: bool,
    pub(super) backlog: usize,
    /// No more connections are queued: a SYN is ignored, or refused if the listener is local.
    pub(super) turns_away: bool,
    /// Established connections that wait to be accepted.
    pub(super) queue: VecDeque<usize>,
    /// Its other descriptors.
    pub(super) aliases: Vec<u32>,
}

/// What became of a listener when one of its descriptors was closed.
pub(super) enum LeftListener {
    /// Nothing.
    Kept,
    /// It has another home.
    Moved(u32),
    /// It is closed.
    Closed(Listener),
}

struct Entry {
    serial: u64,
    /// The worker that has opened it, or that it was passed to.
    owner: usize,
    file: File,
    registered: Option<Registration>,
}

pub(super) struct Registration {
    /// The epoll instance.
    poller: usize,
    pub(super) token: Token,
    pub(super) interest: Interest,
    serial: u64,
    /// The registration is on the ready list.
    pub(super) listed: bool,
}

pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    free: BinaryHeap<Reverse<u32>>,
    ready: [VecDeque<(u32, u64)>; POLLERS],
    /// The instances whose worker sleeps and has not been woken.
    pub(super) sleeps: [bool; POLLERS],
    /// The instance of the worker that makes the calls.
    pub(super) current: usize,
    pub(super) open: usize,
    /// `RLIMIT_NOFILE`, without the standard streams.
    pub(super) limit: usize,
    registrations: u64,
}

/// The bits that an interest lets through.
pub(super) fn asked(interest: Interest) -> Readiness {
    let mut bits = Readiness::ERR | Readiness::HUP;
    if interest.contains(Interest::READ) {
        bits |= Readiness::IN;
    }
    if interest.contains(Interest::READ | Interest::EDGE) {
        bits |= Readiness::RDHUP;
    }
    if interest.contains(Interest::WRITE) {
        bits |= Readiness::OUT;
    }
    bits
}

impl Table {
    pub(super) fn new(limit: usize) -> Table {
        let (entries, free) = (Vec::new(), BinaryHeap::new());
        Table {
            entries,
            free,
            ready: Default::default(),
            sleeps: [false; POLLERS],
            current: 0,
            open: 0,
            limit,
            registrations: 0,
        }
    }

    /// Opens the lowest free number, if fewer than `ceiling` are open.
    pub(super) fn open(&mut self, file: File, ceiling: usize) -> Result<Socket, i32> {
        if self.open >= self.limit.min(ceiling) {
            return Err(EMFILE);
        }
        let number = self
            .free
            .pop()
            .map_or(FIRST + self.entries.len() as u32, |Reverse(number)| number);
        let serial = SERIALS.fetch_add(1, Ordering::Relaxed);
        let entry = Some(Entry {
            serial,
            owner: self.current,
            file,
            registered: None,
        });
        match self.entries.get_mut((number - FIRST) as usize) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        self.open += 1;
        Ok(Socket { number, serial })
    }

    pub(super) fn close(&mut self, socket: Socket) -> (File, Option<Registration>) {
        self.check(&socket);
        let entry = self.entries[(socket.number - FIRST) as usize].take();
        let Some(entry) = entry else {
            unreachable!("checked above")
        };
        self.free.push(Reverse(socket.number));
        self.open -= 1;
        (entry.file, entry.registered)
    }

    /// Panics unless `socket` is open here. A failure is a bug of the owner of the socket.
    pub(super) fn check(&self, socket: &Socket) {
        let number = socket.number;
        match self.entry(number) {
            Some(entry) if entry.serial == socket.serial => {}
            Some(_) => panic!(
                "descriptor {number} was closed and is another socket now (or another kernel's)"
            ),
            None => panic!("descriptor {number} is not open"),
        }
    }

    pub(super) fn file(&mut self, number: u32) -> &mut File {
        match self.entry_mut(number) {
            Some(entry) => &mut entry.file,
            None => panic!("descriptor {number} is not open"),
        }
    }

    pub(super) fn listener(&self, number: u32) -> Option<&Listener> {
        match &self.entry(number)?.file {
            File::Listener(listener) => Some(listener),
            File::Alias(home) => self.listener(*home),
            _ => None,
        }
    }

    /// The number under which the listener itself is kept.
    pub(super) fn home(&self, number: u32) -> u32 {
        match self.entry(number).map(|entry| &entry.file) {
            Some(File::Alias(home)) => *home,
            _ => number,
        }
    }

    /// One descriptor of a listener was closed. If it was the home, an alias is the home now.
    /// Returns the listener if no descriptor is left.
    pub(super) fn leave_listener(&mut self, number: u32, file: File) -> LeftListener {
        match file {
            File::Alias(home) => {
                if let File::Listener(listener) = self.file(home) {
                    listener.aliases.retain(|alias| *alias != number);
                }
                LeftListener::Kept
            }
            File::Listener(mut listener) => match listener.aliases.pop() {
                None => LeftListener::Closed(listener),
                Some(next) => {
                    for alias in listener.aliases.clone() {
                        *self.file(alias) = File::Alias(next);
                    }
                    *self.file(next) = File::Listener(listener);
                    LeftListener::Moved(next)
                }
            },
            _ => LeftListener::Kept,
        }
    }

    /// A descriptor belongs to the worker at `place`.
    pub(super) fn give(&mut self, socket: &Socket, place: usize) {
        if let Some(entry) = self.entry_mut(socket.number) {
            entry.owner = place;
        }
    }

    /// The descriptors of a worker.
    pub(super) fn of_owner(&self, place: usize) -> Vec<Socket> {
        let entries = (FIRST..).zip(&self.entries);
        let of = entries.filter_map(|(number, entry)| {
            let entry = entry.as_ref().filter(|entry| entry.owner == place)?;
            let serial = entry.serial;
            Some(Socket { number, serial })
        });
        of.collect()
    }

    /// Whether this end of a connection has one descriptor.
    pub(super) fn has_one(&self, pair: usize, side: usize) -> bool {
        let is = |number: &u32| self.stream(*number) == Some((pair, side));
        let all = FIRST..FIRST + self.entries.len() as u32;
        all.filter(is).count() == 1
    }

    /// A descriptor of the same end of a connection, if one is open.
    pub(super) fn other_of(&self, pair: usize, side: usize) -> Option<u32> {
        let is = |number: &u32| self.stream(*number) == Some((pair, side));
        (FIRST..FIRST + self.entries.len() as u32).find(is)
    }

    /// The connection and end behind a number, if it is a connection.
    pub(super) fn stream(&self, number: u32) -> Option<(usize, usize)> {
        match self.entry(number)?.file {
            File::Stream { pair, side } => Some((pair, side)),
            _ => None,
        }
    }

    pub(super) fn register(
        &mut self,
        number: u32,
        token: Token,
        interest: Interest,
    ) -> Result<(), i32> {
        self.registrations += 1;
        let (serial, poller) = (self.registrations, self.current);
        match self.entry_mut(number) {
            Some(Entry {
                file: File::Blank, ..
            })
            | None => Err(EPERM),
            Some(Entry {
                registered: Some(_),
                ..
            }) => Err(EEXIST),
            Some(entry) => {
                entry.registered = Some(Registration {
                    poller,
                    token,
                    interest,
                    serial,
                    listed: false,
                });
                Ok(())
            }
        }
    }

    pub(super) fn reregister(
        &mut self,
        number: u32,
        token: Token,
        interest: Interest,
    ) -> Result<(), i32> {
        let registration = self.registration(number).ok_or(ENOENT)?;
        if registration.interest.contains(Interest::EXCLUSIVE) {
            return Err(EINVAL);
        }
        (registration.token, registration.interest) = (token, interest);
        Ok(())
    }

    pub(super) fn deregister(&mut self, number: u32) -> Result<(), i32> {
        let registered = self
            .entry_mut(number)
            .and_then(|entry| entry.registered.take());
        registered.map(drop).ok_or(ENOENT)
    }

    pub(super) fn registration(&mut self, number: u32) -> Option<&mut Registration> {
        self.entry_mut(number)?.registered.as_mut()
    }

    /// Puts a registration on the ready list if it asked for one of `bits`. No bits reach every
    /// registration.
    pub(super) fn wake(&mut self, number: u32, bits: Readiness) {
        let Some(registration) = self.registration(number) else {
            return;
        };
        let reached = bits == Readiness::NONE || asked(registration.interest).intersects(bits);
        let poller = registration.poller;
        if reached && !registration.listed {
            registration.listed = true;
            let serial = registration.serial;
            self.ready[poller].push_back((number, serial));
        }
        if reached {
            self.sleeps[poller] = false;
        }
    }

    /// A connection has entered the queue of a listener.
    pub(super) fn wake_listener(&mut self, home: u32) {
        let aliases = self.listener(home).map(|listener| listener.aliases.clone());
        let mut exclusive = Vec::new();
        for number in aliases.into_iter().flatten().chain([home]) {
            let Some(registration) = self.registration(number) else {
                continue;
            };
            match registration.interest.contains(Interest::EXCLUSIVE) {
                true => exclusive.push((registration.serial, registration.poller, number)),
                false => self.wake(number, Readiness::IN),
            }
        }
        exclusive.sort_unstable();
        for (_, poller, number) in exclusive {
            let slept = self.sleeps[poller];
            self.wake(number, Readiness::IN);
            if slept {
                break;
            }
        }
    }

    /// The length of the ready list, dead entries included.
    pub(super) fn ready_len(&self) -> usize {
        self.ready[self.current].len()
    }

    /// Takes the first entry off the ready list. `None` if it is dead or the list is empty.
    pub(super) fn next_ready(&mut self) -> Option<u32> {
        let (number, serial) = self.ready[self.current].pop_front()?;
        let registration = self.registration(number)?;
        if registration.serial != serial {
            return None;
        }
        registration.listed = false;
        Some(number)
    }

    /// Whether the descriptor is registered with the instance of the worker that makes the calls.
    pub(super) fn is_ours(&self, number: u32) -> bool {
        let registered = self.entry(number).and_then(|it| it.registered.as_ref());
        registered.is_some_and(|registration| registration.poller == self.current)
    }

    /// Some number, usually one that is open.
    pub(super) fn any(&self, dice: &mut Dice) -> Option<u32> {
        let span = self.entries.len();
        if span == 0 {
            None
        } else {
            Some(FIRST + dice.below(span) as u32)
        }
    }

    /// The interest registered under `token`.
    pub(super) fn registered(&self, token: Token) -> Option<Interest> {
        let mut all = self
            .entries
            .iter()
            .flatten()
            .filter_map(|entry| entry.registered.as_ref());
        all.find(|it| it.token == token && it.poller == self.current)
            .map(|found| found.interest)
    }

    /// The number of the socket that is registered under `token`.
    pub(super) fn number_of(&self, token: Token) -> Option<u32> {
        let is = |entry: &Option<Entry>| {
            let registered = entry.as_ref().and_then(|entry| entry.registered.as_ref());
            registered.is_some_and(|it| it.token == token && it.poller == self.current)
        };
        let place = self.entries.iter().position(is)?;
        Some(FIRST + place as u32)
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries
            .get(number.checked_sub(FIRST)? as usize)?
            .as_ref()
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries
            .get_mut(number.checked_sub(FIRST)? as usize)?
            .as_mut()
    }
}
