//! How a poller sleeps until a far deadline without paying for it at every wait.
//!
//! A finite time-out makes the kernel set a timer when it sleeps and cancel it when it wakes:
//! measured, 3 % of what a request costs on one connection. Deadlines of connections are far and
//! rarely come, so a timerfd is set for the nearest of them, once, and waits go without. One that
//! rings early is harmless: whoever waited finds nothing due and waits again. It is registered
//! edge-triggered and never read. Neighbour: `linux`, which takes its event out of each batch. Man
//! page: timerfd_create(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::kernel::{Time, Token};
use crate::sys::epoll::{self, Epoll};
use crate::sys::timerfd;

/// Time-outs shorter than this are given to the wait itself: they are likely to pass, and exact.
const FAR: Duration = Duration::from_millis(10);

/// A timer that wakes one poller.
pub(in crate::kernel) struct Timer {
    timer: OwnedFd,
    /// When it rings; in the past when it has rung.
    rings_at: Time,
}

impl Timer {
    pub(in crate::kernel) fn new(epoll: &Epoll) -> io::Result<Timer> {
        let timer = timerfd::create()?;
        epoll.add(timer.as_fd(), Token::TIMER.bits(), epoll::IN | epoll::EDGE)?;
        Ok(Timer {
            timer,
            rings_at: Time::default(),
        })
    }

    /// The time-out to give to a wait that begins at `now`, so that it ends at `until`, or a little
    /// early when that is far.
    #[inline]
    pub(in crate::kernel) fn cover(&mut self, until: Time, now: Time) -> Option<Duration> {
        let rings_before = now < self.rings_at && self.rings_at <= until;
        if rings_before || until == Time::NEVER {
            None
        } else {
            self.timeout(until, now)
        }
    }

    #[cold]
    fn timeout(&mut self, until: Time, now: Time) -> Option<Duration> {
        let span = until.since(now);
        if span < FAR || timerfd::set(self.timer.as_fd(), until.as_nanos()).is_err() {
            return Some(span);
        }
        self.rings_at = until;
        None
    }
}
