//! Takeover: a new process gets the listeners and the connections of a running one.
//!
//! ```text
//!   running process                               new process
//!   first worker   Host --- messages ------------ its start, outside of any loop
//!   each worker    Giving == connections =======> Taking   each worker
//! ```
//!
//! With worker processes the two supervisors speak, and pass the connection between them to their
//! workers: so any server takes over from any other.
//!
//! The first worker of the running process speaks with the new one. Until `Yours` only the running
//! process serves, then both do, and from the answer `Taken` on only the new one accepts. So each
//! of them may die at any step, and the other one serves: the running one up to `Taken`, and the
//! new one from `Yours` on. Then each worker sends its own connections, and each worker of the new
//! process takes messages as it has room. Nothing here waits: what finds no room is tried again,
//! and is served meanwhile.
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

use crate::kernel::{self, Doorway, Opener, Passage, Spawner, Time};
use crate::protocol::service::Service;
use crate::server::Server;

use giving::Giving;
use message::Role;
use taking::Taking;

/// Says to the running process that this one can serve, waits for its answer, and returns the
/// passage over which its connections come, if any do.
pub type Commit<Socket> = Box<dyn FnOnce() -> io::Result<Option<Box<dyn Passage<Socket>>>>>;

/// Makes a passage of a socket.
pub type PassageOf<Socket> = fn(kernel::Socket) -> Box<dyn Passage<Socket>>;

/// What a server needs to be taken over, and to take over.
pub struct Takeover<Socket> {
    /// Where the next process asks, and what this one serves: both must have the same. `None` in a
    /// worker process, whose supervisor is asked.
    pub doorway: Option<(String, Box<dyn Doorway<Socket>>)>,
    /// Makes a passage of a socket that a supervisor has passed.
    pub passage: PassageOf<Socket>,
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
    fate: Mutex<Fate>,
    passage_of: PassageOf<Socket>,
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

/// What becomes of the listeners. The workers decide it together: one that drains makes a listener
/// take no more connections, which another process must not have been told to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// They are those of this process alone.
    Kept,
    /// Another process was told that it serves.
    Promised,
    /// It does.
    Left,
    /// This process ends, and they end with it.
    Ended,
}

impl<Socket> Desk<Socket> {
    /// For so many workers.
    pub(super) fn new(workers: usize, passage_of: PassageOf<Socket>) -> Desk<Socket> {
        let none = || Mutex::new((0..workers).map(|_| None).collect());
        Desk {
            to: none(),
            from: none(),
            fate: Mutex::new(Fate::Kept),
            passage_of,
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

    /// Another process is about to be told that it serves. Returns `false` if this one ends.
    fn promise(&self) -> bool {
        let mut fate = lock(&self.fate);
        if *fate == Fate::Kept {
            *fate = Fate::Promised;
        }
        *fate != Fate::Ended
    }

    /// The other process has ended.
    fn keep(&self) {
        let mut fate = lock(&self.fate);
        if *fate == Fate::Promised {
            *fate = Fate::Kept;
        }
    }

    /// This process ends. Returns whether the listeners are those of another one.
    pub(super) fn end(&self) -> bool {
        let mut fate = lock(&self.fate);
        match *fate {
            Fate::Kept | Fate::Ended => {
                *fate = Fate::Ended;
                false
            }
            Fate::Promised | Fate::Left => true,
        }
    }

    /// This process ends before it has taken anything over.
    pub(super) fn give_up(&self) {
        *lock(&self.fate) = Fate::Left;
    }

    /// The supervisor has had this process leave. Without a socket the connections stay here.
    pub(super) fn hand_over(&self, socket: Option<kernel::Socket>, terms: Terms) {
        self.leave(socket.map(self.passage_of), terms);
    }

    /// The supervisor has had this process take what comes over this socket.
    pub(super) fn take_from_socket(&self, socket: kernel::Socket) {
        self.take_from((self.passage_of)(socket));
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
    fn leave(&self, passage: Option<Box<dyn Passage<Socket>>>, terms: Terms) {
        *lock(&self.fate) = Fate::Left;
        let mut to = lock(&self.to);
        let workers = to.len();
        let passage = passage.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        match passage.and_then(|passage| shares(passage, workers)) {
            Ok(shares) => *to = shares,
            Err(error) => {
                log::error!("takeover: fcntl: {error}: the connections stay here until they end")
            }
        }
        drop(to);
        self.room.store(terms.room.into(), Ordering::Release);
        self.batch.store(terms.batch.into(), Ordering::Release);
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
    /// All workers have to look at their listeners.
    Look,
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
        let kernel = server.kernel_mut();
        self.host = Some(Host::open(kernel, identity, doorway, copies)?);
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
            let mut keeper = Worker { server, desk };
            if let Some(leaving) = host.advance(&mut keeper, is_asked) {
                desk.leave(Some(leaving.passage), leaving.terms);
                if let Some(host) = self.host.take() {
                    host.end(server.kernel_mut());
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
        if let Some(taking) = &mut self.taking {
            let more = taking.advance(server);
            // The kernel may have told only a process that has died of a connection in a queue.
            if (taking.take_left() || !more) && told == Told::Nothing {
                told = Told::Look;
            }
            if !more {
                self.taking = None;
            }
        }
        if let Some(giving) = &mut self.giving {
            giving.advance(server, desk);
            // What is still to come from a third process goes on to the other one.
            if server.has_left() && self.taking.is_none() {
                server.drain();
            }
        }
        told
    }

    /// Whether connections may come from another process.
    pub(super) fn takes(&self) -> bool {
        self.taking.is_some()
    }

    /// This process ends by itself: no other one may begin to take over.
    pub(super) fn close<K, S>(&mut self, server: &mut Server<K, S>)
    where
        K: Spawner<Socket = Socket> + Opener,
        S: Service,
    {
        if let Some(host) = self.host.take() {
            host.close(server.kernel_mut());
        }
        if let Some(taking) = &self.taking {
            taking.refuse_more();
        }
    }
}

/// The first worker as the one that has the listeners.
struct Worker<'a, K: Spawner + Opener, S: Service> {
    server: &'a mut Server<K, S>,
    desk: &'a Desk<K::Socket>,
}

impl<K: Spawner + Opener, S: Service> Keeper<K::Socket> for Worker<'_, K, S> {
    type Kernel = K;

    fn kernel(&mut self) -> &mut K {
        self.server.kernel_mut()
    }

    fn now(&self) -> Time {
        self.server.now()
    }

    fn offered(&self) -> Vec<(Role, &K::Socket)> {
        let offered = self.server.offered().into_iter();
        offered
            .map(|it| (Role::of(it.is_inherited), it.socket))
            .collect()
    }

    fn promise(&mut self) -> bool {
        self.desk.promise()
    }

    fn keep(&mut self) {
        self.desk.keep();
        // The kernel may have told only the other process of a connection in a queue that both
        // had. The first worker has every listener with which that can be.
        self.server.look_at_listeners();
    }
}

pub(super) use holder::Terms;
pub(super) use host::{Copy, Host, Keeper, Leaving};

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
