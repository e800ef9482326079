//! A simulated kernel: sockets, epoll and time as one value that a test owns.
//!
//! It implements the interface of `mynah::kernel`, so the loop runs on it unchanged, one turn at a
//! time; between turns the test plays the peers (peers.rs). There is no real socket, thread or
//! clock. A wait with nothing to report jumps to its time-out, and all randomness comes from the
//! seed, so every run can be replayed. It is as strict as Linux and less kind: see faults.rs. It
//! does not know the server. Invariant: it behaves as tests/it/sim_kernel.rs specifies, which was
//! measured on Linux 6.18. Not implemented: TCP_DEFER_ACCEPT, dup and fork, urgent data.

// Shared by tests and benches, each of which uses only a part.
#![allow(dead_code, unused_imports, unreachable_pub)]

mod batch;
mod calls;
mod children;
mod datagrams;
mod dice;
mod faults;
mod journal;
mod opener;
mod pair;
mod peers;
mod poll;
mod streams;
mod table;
mod workers;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use mynah::kernel::journal::{Call, Name};
use mynah::kernel::{
    Address, Event, Interest, ListenOptions, Readiness, Sharing, Signal, Time, Token,
};

pub use children::{Program, program};
pub use dice::Dice;
pub use faults::Faults;
pub use pair::Pipe;
pub use peers::{Link, Peer, PeerState};
pub use table::Socket;
pub use workers::Worker;

use faults::Ordered;
use journal::Journal;
use pair::{Owner, Pair};
use table::{File, POLLERS, Table};

/// The answer of a call: a value or an errno.
type Answer<T> = Result<T, i32>;

/// A connection in SYN_SENT.
struct Knock {
    pair: usize,
    due: Time,
    retries: u32,
}

/// The part of the test that plays the peers while the program waits. It does what is due and
/// returns the time of its next call.
pub type Host = Box<dyn FnMut(&mut Sim) -> Time + Send>;

/// The configuration of the simulated kernel.
#[derive(Clone, Debug)]
pub struct Config {
    /// Buffers of the direction from the connecting end to the accepting end.
    pub request: Pipe,
    /// Buffers of the direction from the accepting end to the connecting end.
    pub reply: Pipe,
    /// Makes all calls of a batch before the results of the first are handled, as a submission
    /// ring does.
    pub batches_at_once: bool,
    /// How many descriptors the program may have open.
    pub descriptors: usize,
    /// The seed of all randomness.
    pub seed: u64,
    /// The probabilities of the faults.
    pub faults: Faults,
}

impl Default for Config {
    fn default() -> Config {
        let pipe = Pipe {
            send: 64 << 10,
            receive: 64 << 10,
        };
        Config {
            request: pipe,
            reply: pipe,
            batches_at_once: false,
            descriptors: 1 << 16,
            seed: 1,
            faults: Faults::none(),
        }
    }
}

/// The simulated kernel.
pub struct Sim {
    config: Config,
    faults: Faults,
    ordered: Vec<Ordered>,
    dice: Dice,
    journal: Journal,
    now: Time,
    stop_at: Time,
    asleep: [Option<Time>; POLLERS],
    /// Several workers take turns: no wait moves the clock.
    apart: bool,
    /// Connections in the queue of a listener when it was closed.
    lost: u64,
    table: Table,
    /// Listening descriptors, in the order they were opened.
    listening: Vec<u32>,
    /// Addresses at which the test itself accepts.
    hosts: Vec<(Address, VecDeque<usize>)>,
    host: Option<Host>,
    pairs: Vec<Pair>,
    vacant: Vec<usize>,
    pair_serials: u64,
    ports: u16,
    knocking: Vec<Knock>,
    signals: VecDeque<Signal>,
    streams: streams::Ends,
    children: children::Processes,
    woken: [bool; POLLERS],
    /// The end of a shortage of descriptors, and the limit until then.
    starved: Option<(Time, usize)>,
    /// The readiness of connections when they were closed, for stale events.
    buried: [VecDeque<Event>; POLLERS],
    killed: BTreeSet<u64>,
    /// Datagram sockets, in the order they were opened; 0 for one that is closed.
    mailboxes: Vec<u32>,
    datagrams_lost: u64,
    /// The submission ring works no longer.
    ring_is_lost: bool,
}

impl Sim {
    /// A kernel that has just started; its clock shows one second.
    pub fn new(config: Config) -> Sim {
        Sim {
            faults: config.faults.clone(),
            ordered: Vec::new(),
            dice: Dice::new(config.seed),
            journal: Journal::new(),
            now: Time::from_nanos(1_000_000_000),
            stop_at: Time::NEVER,
            asleep: [None; POLLERS],
            apart: false,
            lost: 0,
            table: Table::new(config.descriptors),
            listening: Vec::new(),
            hosts: Vec::new(),
            host: None,
            pairs: Vec::new(),
            vacant: Vec::new(),
            pair_serials: 0,
            ports: 0,
            knocking: Vec::new(),
            signals: VecDeque::new(),
            streams: streams::Ends::default(),
            children: children::Processes::default(),
            woken: [false; POLLERS],
            starved: None,
            buried: Default::default(),
            killed: BTreeSet::new(),
            mailboxes: Vec::new(),
            datagrams_lost: 0,
            ring_is_lost: false,
            config,
        }
    }

    /// The options of a plain listener.
    pub fn listen_options(backlog: u32) -> ListenOptions {
        ListenOptions {
            backlog,
            sharing: Sharing::Alone,
            nodelay: false,
            keepalive: None,
            user_timeout: None,
            receive_buffer: None,
            send_buffer: None,
            defer_accept: None,
            unix_mode: None,
        }
    }

    /// Changes the faults from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Makes the `k`-th call of `name` from now, counted from 1, fail with `errno` and do nothing
    /// else. Names are those of the journal; `epoll_ctl` alone counts ADD, MOD and DEL together.
    pub fn fail(&mut self, name: &str, k: u64, errno: i32) {
        journal::check(name);
        assert!(k > 0, "the first call has number 1");
        self.ordered.push(Ordered {
            name: name.to_owned(),
            left: k,
            errno,
        });
    }

    /// Sets how many descriptors may be open.
    pub fn limit_descriptors(&mut self, limit: usize) {
        self.table.limit = limit;
    }

    /// Advances the clock between two calls.
    pub fn advance(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.knock_again();
    }

    /// Sets a time that no wait passes: a wait returns an empty batch there, as if interrupted.
    pub fn stop_at(&mut self, time: Time) {
        self.stop_at = time;
    }

    /// The current time.
    pub fn time(&self) -> Time {
        self.now
    }

    /// If the last wait found nothing to report: the deadline of that wait, [`Time::NEVER`] for a
    /// wait without end.
    pub fn asleep(&self) -> Option<Time> {
        self.asleep[self.table.current]
    }

    /// A signal arrives.
    pub fn raise(&mut self, signal: Signal) {
        self.signals.push_back(signal);
    }

    /// Another thread wakes the loop.
    pub fn wake(&mut self) {
        self.wake_worker(0);
    }

    /// How many descriptors are open.
    pub fn open_sockets(&self) -> usize {
        self.table.open
    }

    /// The interest registered under `token`.
    pub fn registered(&self, token: Token) -> Option<Interest> {
        self.table.registered(token)
    }

    /// How many listeners are open.
    pub fn listening(&self) -> usize {
        self.listening.len()
    }

    /// Whether a connection waits to be accepted.
    pub fn is_called_on(&self) -> bool {
        let mut listeners = self.listening.iter();
        listeners.any(|&number| {
            let listener = self.table.listener(number);
            listener.is_some_and(|listener| !listener.queue.is_empty())
        })
    }

    /// The readiness of the socket registered under `token`, whether or not it is asked for.
    pub fn readiness(&mut self, token: Token) -> Readiness {
        let number = self.table.number_of(token);
        number.map_or(Readiness::NONE, |number| self.peek(number))
    }

    /// How often `name` was called so far.
    pub fn calls(&self, name: &str) -> u64 {
        self.journal.count(name)
    }

    /// The sum of the successful results of `name` so far: bytes, or events.
    pub fn answers(&self, name: &str) -> u64 {
        self.journal.sum(name)
    }

    /// Switches the journal on or off. Calls are always counted.
    pub fn keep_journal(&mut self, on: bool) {
        self.journal.on = on;
    }

    /// Clears the journal. The counts stay.
    pub fn clear_journal(&mut self) {
        self.journal.calls.clear();
    }

    /// The journal.
    pub fn journal(&self) -> &[Call<'static>] {
        &self.journal.calls
    }

    /// How many reads in the journal found the end of a stream.
    pub fn ends_found(&self) -> usize {
        let found = |call: &&Call| call.name == Name::Read && call.result == Ok(0);
        self.journal().iter().filter(found).count()
    }

    /// The journal as lines in the format of strace(1).
    pub fn trace(&self) -> String {
        self.journal.trace()
    }

    /// The names in the journal, as `accept4, epoll_ctl ADD, recv`.
    pub fn names(&self) -> String {
        self.journal.names()
    }

    /// Delivers the wake-ups of a connection, and frees it if both ends are closed.
    fn settle(&mut self, index: usize) {
        let pair = &mut self.pairs[index];
        for side in 0..2 {
            let bits = pair.take_wake(side);
            if let (Some(bits), Owner::Descriptor(number)) = (bits, pair.ends[side].owner) {
                self.table.wake(number, bits);
            }
        }
        if pair.is_gone() && pair.serial != 0 {
            pair.serial = 0;
            self.knocking.retain(|knock| knock.pair != index);
            self.vacant.push(index);
        }
    }
}
