//! One load thread: an event loop over its share of the connections.
//!
//! Each turn waits, reads the clock once, and handles the ready connections. A reply takes one
//! read, and the next request one write. Every connection is registered once, when it is opened,
//! for both directions and edge-triggered. The first event of a connection reports that it is
//! established; later events bring replies. `epoll_ctl` is called again only for a server that
//! never pauses. With edge-triggered events, a read that filled the buffer, or an event with the
//! end of the stream, needs another read (epoll(7)).
//!
//! ```text
//!              go               end, quota, none left              answered, or late
//!   Opening --------> Loading ---------------------------> Draining -----------------> Done
//!      |                 |        stopped by the conductor     |                         ^
//!      +-----------------+-------------------------------------+-------------------------+
//! ```
//!
//! `follow` is called once per turn and is the only place where the phase changes. Each type here
//! holds the next one: [`Worker`] (turns and phases), `lifetime` (which connections are opened and
//! closed), `traffic` (requests and replies on those that stand), and beside each other `slots`
//! (the sockets) and `ledger` (what counts).
//!
//! The service time of a request starts at a clock read just before its write, and ends with the
//! turn that finds the reply. So the time that the loop spends on other connections in between is
//! not charged to the server. Nothing is allocated between the first request and the last.
//! Neighbours: `conversation` (the bytes), `run` (the threads).

mod ledger;
mod lifetime;
mod proof;
mod reopening;
mod slots;
pub mod statuses;
pub mod tally;
pub mod timeline;
mod traffic;
mod window;

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::time::Time;
use crate::kernel::{Address, Event, Opener, Poller};

use super::plan::Plan;
use super::plan::script::Script;
use super::run::control::{Board, Control};
use ledger::Ledger;
use lifetime::Lifetime;
use tally::{Cause, Tally};
use traffic::Traffic;
use window::Phase;

/// How long a run by a count waits without any progress before it gives up.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle worker may take to notice a change by the conductor.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The same before the load starts.
const LOOK_INTERVAL_AT_START: Duration = Duration::from_millis(1);
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// How often the counts are published within an interval of `--interval`.
const PUBLISHED_PER_INTERVAL: u32 = 4;
const EVENTS: usize = 256;

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

/// The nanoseconds between two times; 0 if `to` is the earlier one. A `Duration` in between would
/// be split into seconds and put together again.
#[inline]
fn span_ns(from: Time, to: Time) -> u64 {
    to.as_nanos().saturating_sub(from.as_nanos())
}

/// A worker: one thread's share of the load.
pub struct Worker<'a, K: Poller + Opener> {
    job: Job<'a>,
    lifetime: Lifetime<'a, K>,
    published: Time,
    publish_interval: Duration,
    events: Vec<Event>,
}

impl<'a, K: Poller + Opener> Worker<'a, K> {
    /// Allocates all memory of the run. The error names what does not fit.
    pub fn new(kernel: K, job: Job<'a>) -> Result<Worker<'a, K>, Cause> {
        let traffic = Traffic::new(kernel, job)?;
        Ok(Worker {
            job,
            published: traffic.now(),
            publish_interval: match job.plan.interval {
                Some(interval) => PUBLISH_INTERVAL.min(interval / PUBLISHED_PER_INTERVAL),
                None => PUBLISH_INTERVAL,
            },
            lifetime: Lifetime::new(job, traffic)?,
            events: vec![Event::default(); EVENTS],
        })
    }

    #[inline]
    fn now(&self) -> Time {
        self.lifetime.traffic().now()
    }

    #[inline]
    fn ledger(&self) -> &Ledger {
        self.lifetime.traffic().ledger()
    }

    #[inline]
    fn ledger_mut(&mut self) -> &mut Ledger {
        self.lifetime.traffic_mut().ledger_mut()
    }

    /// Runs to the end. An error ends the whole run.
    pub fn run(mut self) -> Result<Tally, Cause> {
        while self.ledger().window().phase() != Phase::Done {
            self.turn()?;
        }
        let mut traffic = self.lifetime.into_traffic();
        traffic.slots_mut().close_all();
        Ok(traffic.into_ledger().into_tally())
    }

    fn turn(&mut self) -> Result<(), Cause> {
        let count = self.wait().map_err(Cause::Own)?;
        self.lifetime.traffic_mut().read_clock();
        self.follow()?;
        for at in 0..count {
            let (token, readiness) = (self.events[at].token(), self.events[at].readiness());
            self.lifetime.ready(token, readiness)?;
        }
        self.lifetime.open_due()?;
        self.lifetime.give_up_connecting()?;
        self.lifetime.release_due()?;
        let now = self.now();
        self.ledger_mut().record_turn(now);
        if now.since(self.published) >= self.publish_interval {
            self.lifetime.give_up_the_lost()?;
            self.publish();
        }
        Ok(())
    }

    /// Fills the event batch. Polls without sleeping for the `spin` span first.
    fn wait(&mut self) -> io::Result<usize> {
        let until = self.until();
        let spin = self.job.plan.spin;
        let spin_until = spin.map(|span| self.now().after(span).min(until));
        let kernel = self.lifetime.traffic_mut().slots_mut().kernel();
        if let Some(spin_until) = spin_until {
            while kernel.now() < spin_until {
                match kernel.wait(&mut self.events, Time::default())? {
                    0 => {}
                    count => return Ok(count),
                }
            }
        }
        kernel.wait(&mut self.events, until)
    }

    /// The latest time of the next turn, if no event arrives.
    fn until(&self) -> Time {
        let (look, deadline) = match self.ledger().window().phase() {
            Phase::Opening => (LOOK_INTERVAL_AT_START, Time::NEVER),
            Phase::Loading { end, .. } => (LOOK_INTERVAL, end),
            Phase::Draining { deadline, .. } => (LOOK_INTERVAL, deadline),
            Phase::Done => return self.now(),
        };
        let opening = self.lifetime.next_opening();
        let request = self.lifetime.traffic().next_due().unwrap_or(Time::NEVER);
        let look = self.now().after(look);
        deadline.min(opening).min(request).min(look)
    }

    fn publish_open(&self) {
        let open = self.lifetime.traffic().slots().established();
        self.job.board.open.store(open as u64, Ordering::Relaxed);
    }

    fn publish(&mut self) {
        self.published = self.now();
        self.publish_open();
        if let Ok(mut live) = self.job.board.live.try_lock() {
            let tally = self.ledger().tally();
            live.at = self.published;
            live.answered = tally.answered;
            live.errors = tally.errors();
            live.latency
                .copy_from(match self.lifetime.traffic().is_open_loop() {
                    true => &tally.response,
                    false => &tally.service,
                });
        }
    }

    /// Moves to the phase that follows from the clock and the conductor.
    fn follow(&mut self) -> Result<(), Cause> {
        if self.job.control.is_stopped() {
            if let Phase::Loading { start, .. } = self.ledger().window().phase() {
                self.end_window(start);
            }
            self.finish();
        }
        match self.ledger().window().phase() {
            Phase::Opening => {
                self.publish_open();
                let all = self.lifetime.are_opened();
                self.job.board.ready.store(all, Ordering::Relaxed);
                if let Some((go, start, end)) = self.job.control.window(self.now()) {
                    self.ledger_mut().enter(Phase::Loading { start, end });
                    return self.lifetime.begin_load(go);
                }
            }
            Phase::Loading { start, end } => {
                // Requests that were due before the end are sent even if the end has passed
                // meanwhile.
                self.lifetime.release_due()?;
                let (now, ledger) = (self.now(), self.ledger());
                let is_over = now >= end || ledger.window().is_all_begun();
                let is_stuck = ledger.is_stalled(now) || ledger.is_fruitless(now);
                // A run by a count ends without connections. A run by time lasts as long as was
                // asked for, or its rates would be too high.
                let is_given_up = !self.is_able() && ledger.window().is_counted();
                if is_over || is_stuck || is_given_up {
                    self.end_window(start);
                }
            }
            Phase::Draining { deadline, .. } => {
                let ledger = self.ledger();
                let deadline = match ledger.window().is_all_begun() {
                    true => deadline.max(ledger.moved().after(STALL_TIMEOUT)),
                    false => deadline,
                };
                if self.now() >= deadline || ledger.in_flight() == 0 && !self.is_behind() {
                    self.finish();
                }
            }
            Phase::Done => {}
        }
        Ok(())
    }

    /// Whether a load connection exists or will exist.
    fn is_able(&self) -> bool {
        let open = self.lifetime.traffic().slots().open();
        open > 0 || self.lifetime.are_coming() || self.job.plan.churn
    }

    /// Whether requests are overdue for which a connection will become free.
    fn is_behind(&self) -> bool {
        self.is_able() && self.lifetime.traffic().is_behind()
    }

    /// Ends the window that began at `start`.
    fn end_window(&mut self, start: Time) {
        let now = self.now();
        let window = self.ledger().window();
        let end = match window.phase() {
            Phase::Loading { end, .. } => end.min(self.job.control.end()).min(now),
            _ => now,
        };
        let deadline = now.after(match window.is_all_begun() {
            true => STALL_TIMEOUT,
            false => self.job.plan.grace,
        });
        self.job.board.sent_all.store(true, Ordering::Relaxed);
        self.lifetime.end_window();
        self.ledger_mut().enter(Phase::Draining {
            start,
            end,
            deadline,
        });
    }

    /// Ends the run.
    fn finish(&mut self) {
        self.lifetime.finish();
        self.publish();
        self.ledger_mut().enter(Phase::Done);
    }
}
