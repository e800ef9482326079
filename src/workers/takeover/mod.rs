//! Takeover: a new process gets the listeners and the connections of a running one.
//!
//! ```text
//!   running process                               new process
//!   first worker   Host --- messages ------------ its start, outside of any loop
//!   each worker    Giving == connections =======> Taking   each worker
//! ```
//!
//! The first worker of the running process speaks with the new one. The moment in which it has sent
//! `Yours` is the only one that changes anything: before it the running process serves, whatever
//! happens to the other, and after it the new one does. From then on each worker sends its own
//! connections, and each worker of the new process takes messages as it has room. Nothing here
//! waits: what finds no room is tried again, and is served meanwhile.
//!
//! Invariant: a connection belongs to one process. It is sent between two turns, while it is at
//! rest, and is closed here before the next. Neighbours: `holder` and `taker` decide, `message` has
//! the bytes, `server::handover` lets go and goes on, `cli::run::serve` connects.

mod giving;
mod holder;
mod host;
pub mod message;
pub mod taker;
mod taking;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::kernel::{Doorway, Opener, Passage, Spawner, Time};
use crate::protocol::service::Service;
use crate::server::Server;

use giving::Giving;
use host::Host;
use message::Role;
use taking::Taking;

/// Says to the running process that this one can serve, waits for its answer, and returns the
/// passage over which its connections come, if any do.
pub type Commit<Socket> = Box<dyn FnOnce() -> io::Result<Option<Box<dyn Passage<Socket>>>>>;

/// What a server needs to be taken over, and to take over.
pub struct Takeover<Socket> {
    /// What it serves: the other process must have the same.
    pub identity: String,
    /// Where the next process asks.
    pub doorway: Box<dyn Doorway<Socket>>,
    /// A copy of the listener of the pages of the server about itself.
    pub metrics: Option<Socket>,
    /// How this process takes over from a running one, if there is one.
    pub commit: Option<Commit<Socket>>,
}

/// What the workers share.
pub(super) struct Desk<Socket> {
    /// The passages to the other process, for each worker that has not taken its own.
    to: Mutex<Vec<Option<Box<dyn Passage<Socket>>>>>,
    /// The passages from it.
    from: Mutex<Vec<Option<Box<dyn Passage<Socket>>>>>,
    /// This process leaves.
    leaves: AtomicBool,
    /// How many connections the other process has room for, and takes in one message.
    room: AtomicU64,
    batch: AtomicU64,
    /// Connections that were passed.
    passed: AtomicU64,
    /// The other process has ended: it was said in the log.
    is_lost: AtomicBool,
    /// Whether the workers may serve.
    gate: (Mutex<bool>, Condvar),
}

impl<Socket> Desk<Socket> {
    /// For so many workers.
    pub(super) fn new(workers: usize) -> Desk<Socket> {
        let none = || Mutex::new((0..workers).map(|_| None).collect());
        Desk {
            to: none(),
            from: none(),
            leaves: AtomicBool::new(false),
            room: AtomicU64::new(0),
            batch: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            gate: (Mutex::new(false), Condvar::new()),
        }
    }

    /// Waits until this process serves, or ends without having served.
    pub(super) fn wait_until_open(&self) {
        let (open, opened) = &self.gate;
        let closed = |is_open: &mut bool| !*is_open;
        drop(opened.wait_while(lock(open), closed));
    }

    /// Lets the workers serve, or end.
    pub(super) fn open(&self) {
        *lock(&self.gate.0) = true;
        self.gate.1.notify_all();
    }

    /// Whether this process leaves.
    pub(super) fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Acquire)
    }

    /// Connections come over `passage`, and each worker takes some.
    pub(super) fn take_from(&self, passage: Box<dyn Passage<Socket>>) {
        let mut from = lock(&self.from);
        match shares(passage, from.len()) {
            Ok(shares) => *from = shares,
            // The running process learns that nothing takes them.
            Err(error) => {
                log::error!("takeover: fcntl: {error}: the connections stay with the other process")
            }
        }
    }

    /// Each worker leaves, and sends its connections over `passage`.
    fn leave(&self, passage: Box<dyn Passage<Socket>>, room: u32, batch: u8) {
        let mut to = lock(&self.to);
        match shares(passage, to.len()) {
            Ok(shares) => *to = shares,
            Err(error) => {
                log::error!("takeover: fcntl: {error}: the connections stay here until they end")
            }
        }
        drop(to);
        self.room.store(room.into(), Ordering::Release);
        self.batch.store(batch.into(), Ordering::Release);
        self.leaves.store(true, Ordering::Release);
    }

    /// Takes room in the other process for at most `most` connections.
    fn take_room(&self, most: u64) -> u64 {
        let mut taken = 0;
        let take = |room: u64| {
            taken = most.min(room);
            Some(room - taken)
        };
        let _ = (self.room).fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken
    }

    /// Gives back room that was not used.
    fn give_room_back(&self, count: u64) {
        self.room.fetch_add(count, Ordering::AcqRel);
    }

    /// Connections that were passed so far.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }
}

/// The same passage for each of `workers`.
type Shares<Socket> = Vec<Option<Box<dyn Passage<Socket>>>>;

fn shares<Socket>(passage: Box<dyn Passage<Socket>>, workers: usize) -> io::Result<Shares<Socket>> {
    let mut shares = Vec::with_capacity(workers);
    for _ in 1..workers {
        shares.push(Some(passage.share()?));
    }
    shares.push(Some(passage));
    Ok(shares)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part of one worker.
pub(super) struct Seat<Socket> {
    number: usize,
    /// Speaks with the other process; only the first worker does.
    host: Option<Host<Socket>>,
    giving: Option<Giving<Socket>>,
    taking: Option<Taking<Socket>>,
}

/// What a worker has to do for the other workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// This process leaves: all workers have to know.
    Leaving,
}

impl<Socket> Seat<Socket> {
    /// The part of worker `number`.
    pub(super) fn new(number: usize) -> Seat<Socket> {
        Seat {
            number,
            host: None,
            giving: None,
            taking: None,
        }
    }

    /// The first worker watches its doorway.
    ///
    /// # Errors
    ///
    /// The poller cannot watch it.
    pub(super) fn open<K, S>(
        &mut self,
        server: &mut Server<K, S>,
        (identity, doorway): (String, Box<dyn Doorway<Socket>>),
        copies: Vec<host::Copy<Socket>>,
    ) -> io::Result<()>
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        self.host = Some(Host::open(server, identity, doorway, copies)?);
        Ok(())
    }

    /// This process serves: the paths of the listeners and of the doorway are its own.
    pub(super) fn own<K, S>(&mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        server.own_paths();
        if let Some(host) = &mut self.host {
            host.own();
        }
    }

    /// Begins to take what comes over the passage of this worker, if there is one.
    pub(super) fn begin<K, S>(&mut self, server: &mut Server<K, S>, desk: &Desk<Socket>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let passage = lock(&desk.from).get_mut(self.number).and_then(Option::take);
        self.taking = passage.and_then(|passage| Taking::begin(server, passage));
    }

    /// When to act without an event.
    pub(super) fn deadline(&self) -> Time {
        let host = self.host.as_ref().map_or(Time::NEVER, Host::deadline);
        let giving = self.giving.as_ref().map_or(Time::NEVER, Giving::deadline);
        let taking = self.taking.as_ref().map_or(Time::NEVER, Taking::deadline);
        host.min(giving).min(taking)
    }

    /// Whether there is something to do after every turn.
    pub(super) fn is_busy(&self) -> bool {
        self.giving.is_some() || self.taking.is_some()
    }

    /// Does what there is to do between two turns.
    pub(super) fn advance<K, S>(&mut self, server: &mut Server<K, S>, desk: &Desk<Socket>) -> Told
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        let is_asked = server.take_asked();
        let mut told = Told::Nothing;
        if let Some(host) = &mut self.host {
            if host.advance(server, desk, is_asked) {
                if let Some(host) = self.host.take() {
                    host.leave(server);
                }
                server.close_scrapes();
                told = Told::Leaving;
            }
        }
        if desk.leaves() && self.giving.is_none() {
            server.leave_listeners();
            let passage = lock(&desk.to).get_mut(self.number).and_then(Option::take);
            self.giving = Some(Giving::new(passage));
        }
        if let Some(giving) = &mut self.giving {
            giving.advance(server, desk);
        }
        if let Some(taking) = &mut self.taking {
            if !taking.advance(server) {
                self.taking = None;
            }
        }
        told
    }

    /// This process ends by itself: no other one may begin to take over.
    pub(super) fn close<K, S>(&mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        if let Some(host) = self.host.take() {
            host.close(server);
        }
    }
}

pub(super) use host::Copy;

/// Copies of the listeners that only other workers than the first one have. From now on every
/// listener is expected to have copies elsewhere.
pub(super) fn copies<K, S>(servers: &mut [Server<K, S>]) -> io::Result<Vec<Copy<K::Socket>>>
where
    K: Spawner + Opener,
    S: Service,
{
    let mut copies = Vec::new();
    for (number, server) in servers.iter_mut().enumerate() {
        server.expect_copies();
        if number == 0 {
            continue;
        }
        let offered = server.offered();
        let own: Vec<(usize, bool)> = (offered.iter().enumerate())
            .filter(|(_, it)| !it.is_shared)
            .map(|(place, it)| (place, it.is_inherited))
            .collect();
        for (place, is_inherited) in own {
            if let Some(socket) = server.copy_of(place) {
                let socket = socket?;
                let role = Role::of(is_inherited);
                copies.push(Copy { socket, role });
            }
        }
    }
    Ok(copies)
}

/// A copy of the listener of the pages of the server about itself.
pub(super) fn metrics<Socket>(socket: Socket) -> Copy<Socket> {
    let role = Role::Metrics;
    Copy { socket, role }
}
