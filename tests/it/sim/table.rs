//! The descriptors of the simulated kernel and its one epoll instance.
//!
//! The lowest free number is given first and reused at once, as on Linux; this is how stale events
//! arise. The table does not know whether anything is ready; it only remembers what to ask. The
//! ready list works as in fs/eventpoll.c: a wake-up puts an entry on it once, a look takes it off,
//! and a reported level-triggered entry goes back to its tail. Invariant: a list entry whose serial
//! belongs to no current registration is dead and is dropped when met. epoll(7), epoll_ctl(2).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{EEXIST, EMFILE, ENOENT, EPERM};
use mynah::kernel::{Address, Interest, Readiness, Token};

use super::dice::Dice;

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
    Stream {
        pair: usize,
        side: usize,
    },
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
}

struct Entry {
    serial: u64,
    file: File,
    registered: Option<Registration>,
}

pub(super) struct Registration {
    pub(super) token: Token,
    pub(super) interest: Interest,
    serial: u64,
    /// The registration is on the ready list.
    pub(super) listed: bool,
}

pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    free: BinaryHeap<Reverse<u32>>,
    ready: VecDeque<(u32, u64)>,
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
        let (entries, free, ready) = (Vec::new(), BinaryHeap::new(), VecDeque::new());
        Table {
            entries,
            free,
            ready,
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
            _ => None,
        }
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
        let serial = self.registrations;
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
        if reached && !registration.listed {
            registration.listed = true;
            let serial = registration.serial;
            self.ready.push_back((number, serial));
        }
    }

    /// The length of the ready list, dead entries included.
    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Takes the first entry off the ready list. `None` if it is dead or the list is empty.
    pub(super) fn next_ready(&mut self) -> Option<u32> {
        let (number, serial) = self.ready.pop_front()?;
        let registration = self.registration(number)?;
        if registration.serial != serial {
            return None;
        }
        registration.listed = false;
        Some(number)
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
        all.find(|registration| registration.token == token)
            .map(|found| found.interest)
    }

    /// The number of the socket that is registered under `token`.
    pub(super) fn number_of(&self, token: Token) -> Option<u32> {
        let is = |entry: &Option<Entry>| {
            let registered = entry.as_ref().and_then(|entry| entry.registered.as_ref());
            registered.is_some_and(|registration| registration.token == token)
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
