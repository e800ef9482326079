//! What all sessions of `mynah ftp` share: where the files are, the users, the orders of the server
//! and the counters.
//!
//! A lock is held for a few instructions and never for a call of the kernel; only `homes` has locks
//! that a disk may hold up. Neighbours: `server::ftp`, which starts the sessions.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::homes::Homes;
use crate::kernel::blocking::WakeUps;
use crate::kernel::channels::{Ask, Order as Event, wait};
use crate::kernel::{Tree, Waker};
use crate::limits::FTP_SWEEP_INTERVAL;
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::Users;
use crate::server::blocking::crew::lock;
use crate::server::observe::counters::Counters;
use crate::server::observe::log_limiter::LogLimiter;
use crate::server::settings::Settings;

/// Where the files are, and how they are reached.
#[derive(Debug)]
pub struct Place {
    /// The root, below which all homes are.
    pub root: Tree,
    /// Whether `anonymous` may log in without a password.
    pub anonymous: bool,
    /// The ports of passive data connections; `None` is any.
    pub data_ports: Option<RangeInclusive<u16>>,
}

/// What all sessions share.
pub(super) struct Site {
    pub(super) place: Place,
    users: Mutex<Arc<Users>>,
    pub(super) homes: Homes,
    /// A drain has begun.
    pub(super) drain: Event,
    /// All sessions are to end at once.
    pub(super) cut: Event,
    is_draining: AtomicBool,
    is_cut: AtomicBool,
    /// Sessions that were cut inside a transfer or a command.
    cut_count: AtomicU64,
    counters: Mutex<Counters>,
    /// A password is being checked. One at a time: each takes tens of MiB.
    pub(super) hashing: Mutex<bool>,
    pub(super) hashing_ends: Condvar,
    pub(super) refusals: Mutex<LogLimiter>,
    /// From when the times of the log count.
    pub(super) started: Instant,
    /// Slots of sessions that have ended.
    ended: Mutex<VecDeque<u32>>,
    waker: Waker,
    pub(super) wake_ups: WakeUps,
    pub(super) spans: Spans,
}

/// The time-outs of sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    /// Longest time without a command.
    pub(super) idle: Option<Duration>,
    /// Longest time in which a peer may take or send less than `stall_size_min` bytes.
    pub(super) stall: Option<Duration>,
    pub(super) stall_size_min: u64,
    /// Longest time from the first byte of a command to its last.
    pub(super) line: Option<Duration>,
}

impl Spans {
    pub(super) fn of(settings: &Settings) -> Spans {
        Spans {
            idle: settings.idle_timeout,
            stall: settings.stall_timeout,
            stall_size_min: settings.stall_size_min as u64,
            line: settings.frame_timeout,
        }
    }
}

impl Site {
    pub(super) fn new(
        place: Place,
        users: Arc<Users>,
        spans: Spans,
        waker: Waker,
        wake_ups: WakeUps,
    ) -> io::Result<Site> {
        Ok(Site {
            place,
            users: Mutex::new(users),
            homes: Homes::default(),
            drain: Event::new()?,
            cut: Event::new()?,
            is_draining: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            cut_count: AtomicU64::new(0),
            counters: Mutex::new(Counters::default()),
            hashing: Mutex::new(false),
            hashing_ends: Condvar::new(),
            refusals: Mutex::new(LogLimiter::default()),
            started: Instant::now(),
            ended: Mutex::new(VecDeque::new()),
            waker,
            wake_ups,
            spans,
        })
    }

    pub(super) fn users(&self) -> Arc<Users> {
        Arc::clone(&lock(&self.users))
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Changes the counters.
    pub(super) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }

    /// A session has begun.
    pub(super) fn begin(&self) {
        self.count(|counters| {
            counters.connections_now += 1;
            counters.connections_total += 1;
        });
    }

    /// A session has ended.
    pub(super) fn end(&self, reason: CloseReason) {
        self.count(|counters| {
            counters.connections_now -= 1;
            counters.close += 1;
            counters.closed[reason as usize] += 1;
        });
        let is_cut = reason == CloseReason::Cut;
        self.cut_count
            .fetch_add(u64::from(is_cut), Ordering::Relaxed);
    }

    /// The connection in `slot` has ended, which the server is to hear of.
    pub(super) fn report_end(&self, slot: u32) {
        lock(&self.ended).push_back(slot);
        self.waker.wake();
    }

    /// The next slot whose connection has ended.
    pub(super) fn next_ended(&self) -> Option<u32> {
        lock(&self.ended).pop_front()
    }

    /// Sessions end as soon as they have nothing under way.
    pub(super) fn order_drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.drain.give();
    }

    /// Sessions end at once.
    pub(super) fn order_cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.cut.give();
        self.drain.give();
        self.hashing_ends.notify_all();
    }

    /// Sessions that were cut.
    pub(super) fn cut_count(&self) -> u64 {
        self.cut_count.load(Ordering::Relaxed)
    }

    /// Later logins are of these users.
    pub(super) fn replace(&self, users: &Arc<Users>) {
        *lock(&self.users) = Arc::clone(users);
    }

    /// Adds the counters of all sessions.
    pub(super) fn add_counters(&self, sum: &mut Counters) {
        sum.add(&lock(&self.counters));
    }

    /// Waits for `span`; returns whether the sessions are cut meanwhile.
    pub(super) fn pause(&self, span: Duration) -> bool {
        // An error of poll ends the pause early, which only shortens it.
        let _ = wait(self.wake_ups, &mut [Ask::read(&self.cut)], Some(span));
        self.is_cut()
    }

    /// Removes old unfinished uploads in all homes, again and again until the server ends.
    pub(super) fn sweep(&self) {
        loop {
            let users = self.users();
            for home in users.homes() {
                self.homes.sweep(&self.place.root, home, || self.is_cut());
            }
            let asked = &mut [Ask::read(&self.drain)];
            let waited = wait(self.wake_ups, asked, Some(FTP_SWEEP_INTERVAL));
            if waited.is_err() || self.is_draining() || self.is_cut() {
                return;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernel::Linux;

    /// A site of no users in the root of the file system, without any time-out.
    pub(in crate::server::ftp) fn site() -> Site {
        let place = Place {
            root: Tree::open(std::path::Path::new("/")).expect("a root"),
            anonymous: false,
            data_ports: None,
        };
        let spans = Spans {
            idle: None,
            stall: None,
            stall_size_min: 1,
            line: None,
        };
        let waker = Linux::new(false).expect("a poller").waker();
        let wake_ups = WakeUps::prepare().expect("a signal");
        Site::new(place, Arc::default(), spans, waker, wake_ups).expect("descriptors")
    }
}
