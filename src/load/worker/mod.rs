//! One load thread: an event loop over its share of the connections.
//!
//! Each turn waits, reads the clock once, and handles the ready connections. A reply takes one
//! read, and the next request one write. Every connection is registered once, when it is opened,
//! for both directions and edge-triggered. The first event of a connection reports that it is
//! established; later events bring replies. `epoll_ctl` is called again only for a server that
//! never pauses. With edge-triggered events, a read that filled the buffer, or an event with the
//! end of the stream, needs another read (epoll(7)).
//!
//! The service time of a request starts at a clock read just before its write, and ends with the
//! turn that finds the reply. So the time that the loop spends on other connections in between is
//! not charged to the server. Nothing is allocated between the first request and the last.
//! Neighbours: `connection` (the bytes), `run` (the threads), `tally` (the results).

mod course;
mod ending;
mod lifetime;
mod phases;
mod proof;
mod reopening;
mod slots;
pub mod statuses;
pub mod tally;
pub mod timeline;
mod traffic;

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::time::Time;
use crate::kernel::{
    Address, ConnectOptions, Event, Interest, OpenError, Opener, Poller, Readiness, Token, errno,
    is_itself,
};

use super::conversation::connection::{Connection, Speech};
use super::conversation::exchange::Exchange;
use super::conversation::page::FirstPage;
use super::plan::schedule::Schedule;
use super::plan::script::Script;
use super::plan::{Pace, Plan, Protocol};
use super::run::control::{Board, Control};
use course::{Course, Phase};
use proof::Challenge;
use reopening::is_end;
use slots::failures::Failures;
use slots::free::FreeSlots;
use slots::openings::Openings;
use slots::stamps::{Stamp, Stamps};
use tally::{Cause, Failure, Tally};

/// Concurrent connects: fewer than the backlog of usual listeners, because the kernel drops
/// connects above the backlog.
const CONNECTING_MAX: usize = 64;
/// The first pause before a connect to a full listen queue is retried. The next line limits the
/// number of doublings.
const RETRY_PAUSE: Duration = Duration::from_millis(1);
const RETRY_DOUBLINGS_MAX: u32 = 2;
/// How long a run by a count waits without any progress before it gives up.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A datagram without a reply counts as lost after this time.
const LOSS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an idle worker may take to notice a change by the conductor.
const ATTENTION: Duration = Duration::from_millis(20);
/// The same before the load starts.
const ATTENTION_AT_START: Duration = Duration::from_millis(1);
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// How often the counts are published within an interval of `--interval`.
const PUBLISHED_PER_INTERVAL: u32 = 4;
/// Scans for expired connects, per connect timeout. Each scan visits all slots.
const LOOKS_PER_CONNECT_TIMEOUT: u32 = 8;
const EVENTS: usize = 256;
/// The interest of each connection.
const INTEREST: Interest = Interest::READ.union(Interest::WRITE).union(Interest::EDGE);
/// Consecutive reads of one connection before other connections are served. A server may send
/// faster than the worker can check the replies.
const READS_PER_EVENT: usize = 16;

/// The inputs of a worker, shared with the conductor.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The inputs.
    pub plan: &'a Plan,
    /// The requests.
    pub script: &'a Script,
    /// The server's address.
    pub target: &'a Address,
    /// Commands from the conductor.
    pub control: &'a Control,
    /// Reports to the conductor.
    pub board: &'a Board,
    /// The index of this worker thread.
    pub index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No socket.
    Closed,
    Connecting,
    /// Established, and carries load.
    Open,
    /// Established, and sends nothing.
    Idle,
}

struct Slot<S> {
    socket: Option<S>,
    stage: Stage,
    generation: u32,
    /// When connect(2) was first called for this connection.
    opened_at: Time,
    /// How many connects were refused because the listen queue was full.
    tries: u8,
    /// Whether this connection replaces one that has ended.
    is_again: bool,
    /// Whether its header of a load balancer was sent.
    is_announced: bool,
    /// Failures since the last reply; they decide how long the slot waits before the next try.
    failures: Failures,
    challenge: Challenge,
    connection: Connection,
}

/// Allocates memory for `count` items before the load, or fails with an error that names `what`.
fn room<T>(what: &str, count: usize) -> Result<Vec<T>, Cause> {
    let mut room = Vec::new();
    let taken = room.try_reserve_exact(count);
    let why = |_| {
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("no memory for {count} {what}"),
        )
    };
    taken.map_err(why).map_err(Cause::Own)?;
    Ok(room)
}

/// A connection of `plan` that has sent nothing.
fn connection(plan: &Plan, speech: Speech, first: &FirstPage) -> Connection {
    let connection = Connection::new(speech, first);
    match plan.protocol {
        Protocol::Http if plan.request.is_bodiless() => connection.without_bodies(),
        Protocol::Http | Protocol::Echo => connection,
        Protocol::Message => {
            let exchange = Exchange::new(plan.message.expect, plan.framing, first);
            connection.exchanging(exchange)
        }
    }
}

/// A worker: one thread's share of the load.
pub struct Worker<'a, K: Poller + Opener> {
    kernel: K,
    job: Job<'a>,
    speech: Speech,
    slots: Vec<Slot<K::Socket>>,
    /// The number of slots that carry load; the others hold idle connections.
    active: usize,
    stamps: Stamps,
    options: Vec<ConnectOptions>,
    schedule: Option<Schedule>,
    free: FreeSlots,
    opening: Openings,
    connecting: usize,
    /// Established connections: with load, and idle.
    open: usize,
    idle: usize,
    in_flight: u64,
    course: Course,
    now: Time,
    /// The last progress: a reply, an established connection, or the first request after a time
    /// without requests in flight.
    moved: Time,
    published: Time,
    publish_interval: Duration,
    /// The first failure since the last reply, if any.
    fruitless_since: Option<Time>,
    /// Whether a connection that was replaced had replies.
    was_answered: bool,
    /// The last scan for expired connects.
    scanned: Time,
    tally: Tally,
    /// Replies that are in the timeline; the others of the turn follow at its end.
    recorded: u64,
    space: Vec<u8>,
    events: Vec<Event>,
}

impl<'a, K: Poller + Opener> Worker<'a, K> {
    /// Allocates all memory of the run. The error names what does not fit.
    pub fn new(mut kernel: K, job: Job<'a>) -> Result<Worker<'a, K>, Cause> {
        let plan = job.plan;
        let active = plan.share(plan.connections as u64, job.index) as usize;
        let count = active + plan.share(plan.idle as u64, job.index) as usize;
        let speech = match (plan.protocol, job.target) {
            (Protocol::Http, _) => Speech::Http,
            (Protocol::Echo | Protocol::Message, at) if at.is_datagrams() => Speech::Datagrams,
            (Protocol::Echo, _) => Speech::Stream,
            (Protocol::Message, _) => Speech::Exchange,
        };
        let mut slots = room("connections", count)?;
        slots.extend((0..count).map(|_| Slot {
            socket: None,
            stage: Stage::Closed,
            generation: 0,
            opened_at: Time::default(),
            tries: 0,
            is_again: false,
            is_announced: false,
            failures: Failures::default(),
            challenge: Challenge::default(),
            connection: connection(plan, speech, &job.control.first_page),
        }));
        let sources: Vec<Option<Address>> = match plan.sources.as_slice() {
            [] => vec![None],
            some => some.iter().cloned().map(Some).collect(),
        };
        let options = sources.into_iter().map(|source| ConnectOptions {
            nodelay: true,
            source,
        });
        let now = kernel.now();
        let answer_max = plan
            .size
            .1
            .saturating_mul(plan.pipeline)
            .next_power_of_two();
        let answer_max = answer_max.clamp(64 << 10, 1 << 20);
        let mut space = room("bytes of replies", answer_max)?;
        space.resize(answer_max, 0);
        let mut worker = Worker {
            kernel,
            job,
            speech,
            slots,
            active,
            stamps: Stamps::new(active, plan.pipeline)?,
            options: options.collect(),
            schedule: None,
            free: FreeSlots::new(active, now)?,
            opening: Openings::new(count)?,
            connecting: 0,
            open: 0,
            idle: 0,
            in_flight: 0,
            course: Course::new(plan, job.index),
            now,
            moved: now,
            published: now,
            publish_interval: match plan.interval {
                Some(interval) => PUBLISH_INTERVAL.min(interval / PUBLISHED_PER_INTERVAL),
                None => PUBLISH_INTERVAL,
            },
            fruitless_since: None,
            was_answered: false,
            scanned: now,
            tally: Tally {
                has_statuses: speech == Speech::Http,
                ..Tally::new()
            },
            recorded: 0,
            space,
            events: vec![Event::default(); EVENTS],
        };
        worker.plan_openings();
        Ok(worker)
    }

    fn plan_openings(&mut self) {
        let Plan { churn, .. } = *self.job.plan;
        let ramp = self.job.plan.ramp.max(self.job.plan.slow_start);
        let count = self.slots.len();
        for index in 0..count {
            // Under churn, the load itself opens its connections.
            if !churn || index >= self.active {
                let due = self.now.after(ramp.mul_f64(index as f64 / count as f64));
                self.opening.add(due, index);
            }
        }
    }

    /// Runs to the end. An error ends the whole run.
    pub fn run(mut self) -> Result<Tally, Cause> {
        while self.course.phase() != Phase::Done {
            self.turn()?;
        }
        for slot in &mut self.slots {
            if let Some(socket) = slot.socket.take() {
                self.kernel.close(socket);
            }
        }
        Ok(self.tally)
    }

    fn turn(&mut self) -> Result<(), Cause> {
        let count = self.wait().map_err(Cause::Own)?;
        self.now = self.kernel.now();
        self.follow()?;
        for at in 0..count {
            let (token, readiness) = (self.events[at].token(), self.events[at].readiness());
            self.ready(token, readiness)?;
        }
        self.open_due()?;
        self.give_up_connecting()?;
        self.release_due()?;
        self.record_turn();
        if self.now.since(self.published) >= self.publish_interval {
            self.give_up_the_lost()?;
            self.publish();
        }
        Ok(())
    }

    /// Fills the event batch. Polls without sleeping for the `spin` span first.
    fn wait(&mut self) -> io::Result<usize> {
        let until = self.until();
        if let Some(span) = self.job.plan.spin {
            let spin_until = self.now.after(span).min(until);
            while self.kernel.now() < spin_until {
                match self.kernel.wait(&mut self.events, Time::default())? {
                    0 => {}
                    count => return Ok(count),
                }
            }
        }
        self.kernel.wait(&mut self.events, until)
    }

    /// The latest time of the next turn, if no event arrives.
    fn until(&self) -> Time {
        let (attention, deadline) = match self.course.phase() {
            Phase::Opening => (ATTENTION_AT_START, Time::NEVER),
            Phase::Loading { end, .. } => (ATTENTION, end),
            Phase::Draining { deadline, .. } => (ATTENTION, deadline),
            Phase::Done => return self.now,
        };
        let opening = match self.opening.next() {
            Some(due) if self.connecting < CONNECTING_MAX => due,
            _ => Time::NEVER,
        };
        let request = match &self.schedule {
            Some(schedule) if !self.free.is_empty() && self.course.may_begin(schedule.due()) => {
                schedule.due()
            }
            _ => Time::NEVER,
        };
        let attention = self.now.after(attention);
        deadline.min(opening).min(request).min(attention)
    }

    fn publish(&mut self) {
        self.published = self.now;
        self.job
            .board
            .open
            .store((self.open + self.idle) as u64, Ordering::Relaxed);
        if let Ok(mut live) = self.job.board.live.try_lock() {
            live.at = self.now;
            live.answered = self.tally.answered;
            live.errors = self.tally.errors();
            let latency = match self.schedule {
                Some(_) => &self.tally.response,
                None => &self.tally.service,
            };
            live.latency.copy_from(latency);
        }
    }

    fn stamp(&self, index: usize, request: u64) -> Stamp {
        self.stamps.at(index, request)
    }
}
