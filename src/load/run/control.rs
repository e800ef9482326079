//! Where the conductor and its workers leave word for each other while a run is going on.
//!
//! One [`Control`] for all: written by the conductor, read by each worker once a turn. One
//! [`Board`] a worker: written by it, read by the conductor whenever it likes. Nobody waits for
//! anybody: a worker that finds its board's histogram being read leaves it as it is until the next
//! time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::histogram::Histogram;
use crate::base::time::Time;

use crate::load::conversation::page::FirstPage;

/// What the conductor tells the workers.
#[derive(Debug)]
pub struct Control {
    go: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    stop: AtomicBool,
    release: AtomicBool,
    /// What the server has answered first, in HTTP.
    pub first_page: FirstPage,
}

impl Default for Control {
    fn default() -> Control {
        let never = || AtomicU64::new(Time::NEVER.as_nanos());
        Control {
            go: never(),
            start: never(),
            end: never(),
            stop: AtomicBool::new(false),
            release: AtomicBool::new(false),
            first_page: FirstPage::default(),
        }
    }
}

impl Control {
    /// Lets the load begin at `go` and be measured from `start` until `end`.
    pub fn set_window(&self, go: Time, start: Time, end: Time) {
        self.start.store(start.as_nanos(), Ordering::Relaxed);
        self.end.store(end.as_nanos(), Ordering::Relaxed);
        // The other two must be seen by whoever sees this one.
        self.go.store(go.as_nanos(), Ordering::Release);
    }

    /// When the load began and the two ends of the measured window, once it has begun.
    pub fn window(&self, now: Time) -> Option<(Time, Time, Time)> {
        let read = |time: &AtomicU64| Time::from_nanos(time.load(Ordering::Relaxed));
        let go = Time::from_nanos(self.go.load(Ordering::Acquire));
        (now >= go).then(|| (go, read(&self.start), read(&self.end)))
    }

    /// Ends the window at `end`, before its time: no worker can go on.
    pub fn cut(&self, end: Time) {
        self.end.store(end.as_nanos(), Ordering::Relaxed);
    }

    /// When the window ends.
    pub fn end(&self) -> Time {
        Time::from_nanos(self.end.load(Ordering::Relaxed))
    }

    /// Ends the run now.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Lets the workers' threads end: their processor time has been read.
    pub fn release(&self) {
        self.release.store(true, Ordering::Relaxed);
    }

    /// Whether a worker that is done may end its thread.
    pub fn is_released(&self) -> bool {
        self.release.load(Ordering::Relaxed)
    }

    /// Whether the run was ended early.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What one worker tells the conductor.
#[derive(Debug, Default)]
pub struct Board {
    /// The kernel's number of its thread.
    pub thread: AtomicU64,
    /// Connections that stand, idle ones included.
    pub open: AtomicU64,
    /// All its connections stand.
    pub ready: AtomicBool,
    /// It has nothing more to send: its window is over, or all its connections are gone.
    pub sent_all: AtomicBool,
    /// It has ended.
    pub done: AtomicBool,
    /// Counts for the progress line.
    pub live: Mutex<Live>,
}

/// A copy of what the progress line shows.
#[derive(Debug, Default)]
pub struct Live {
    /// When it was written.
    pub at: Time,
    /// Requests answered.
    pub answered: u64,
    /// Failures so far.
    pub errors: u64,
    /// Response times in an open loop, service times in a closed one.
    pub latency: Histogram,
}
