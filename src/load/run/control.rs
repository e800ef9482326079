//! The shared memory between the conductor and its workers during a run.
//!
//! One [`Control`] for all: the conductor writes it, and each worker reads it once per turn. One
//! [`Board`] per worker: the worker writes it, and the conductor reads it at any time. Neither side
//! waits for the other, except that the conductor may wait for the lock of a board's histogram. A
//! worker that finds the histogram locked skips the update until the next time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::histogram::Histogram;
use crate::base::time::Time;

use crate::load::conversation::page::FirstPage;

/// Commands from the conductor to the workers.
#[derive(Debug)]
pub struct Control {
    go: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    stop: AtomicBool,
    release: AtomicBool,
    /// Connections that stand, over all workers.
    standing: AtomicU64,
    /// The first replies of the run.
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
            standing: AtomicU64::new(0),
            first_page: FirstPage::default(),
        }
    }
}

impl Control {
    /// The control of a run with `urls` different requests.
    pub fn new(urls: usize) -> Control {
        Control {
            first_page: FirstPage::new(urls),
            ..Control::default()
        }
    }

    /// Counts a connection that is established.
    pub fn stands(&self) {
        self.standing.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of an established connection.
    pub fn falls(&self) {
        self.standing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections that stand, over all workers.
    pub fn standing(&self) -> u64 {
        self.standing.load(Ordering::Relaxed)
    }

    /// Starts the load at `go`; the measured window is from `start` to `end`.
    pub fn set_window(&self, go: Time, start: Time, end: Time) {
        self.start.store(start.as_nanos(), Ordering::Relaxed);
        self.end.store(end.as_nanos(), Ordering::Relaxed);
        // The `Release` store publishes the other two values to a reader that sees this one.
        self.go.store(go.as_nanos(), Ordering::Release);
    }

    /// The start of the load and the window, once the load has started at `now`.
    pub fn window(&self, now: Time) -> Option<(Time, Time, Time)> {
        let read = |time: &AtomicU64| Time::from_nanos(time.load(Ordering::Relaxed));
        let go = Time::from_nanos(self.go.load(Ordering::Acquire));
        (now >= go).then(|| (go, read(&self.start), read(&self.end)))
    }

    /// Moves the end of the window to `end`, which is earlier than planned if no worker can
    /// continue.
    pub fn cut(&self, end: Time) {
        self.end.store(end.as_nanos(), Ordering::Relaxed);
    }

    /// The end of the window.
    pub fn end(&self) -> Time {
        Time::from_nanos(self.end.load(Ordering::Relaxed))
    }

    /// Stops the run now.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Allows the worker threads to exit: their processor time has been read.
    pub fn release(&self) {
        self.release.store(true, Ordering::Relaxed);
    }

    /// Whether a finished worker may end its thread.
    pub fn is_released(&self) -> bool {
        self.release.load(Ordering::Relaxed)
    }

    /// Whether the run was stopped early.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Reports from one worker to the conductor.
#[derive(Debug, Default)]
pub struct Board {
    /// The kernel's thread id.
    pub thread: AtomicU64,
    /// Established connections, including idle ones.
    pub open: AtomicU64,
    /// Whether all connections of the worker are established.
    pub ready: AtomicBool,
    /// Whether the worker sends nothing more: its window is over, or all its connections are lost.
    pub sent_all: AtomicBool,
    /// Whether the worker has ended.
    pub done: AtomicBool,
    /// Counts for the progress line.
    pub live: Mutex<Live>,
}

/// A copy of the counts for the progress line.
#[derive(Debug, Default)]
pub struct Live {
    /// When the copy was written.
    pub at: Time,
    /// Requests answered.
    pub answered: u64,
    /// Failures.
    pub errors: u64,
    /// Response times in an open loop, service times in a closed one.
    pub latency: Histogram,
}
