//! What the workers of a process share: the requests that each follows between two turns.
//!
//! A request is a flag or a number that only grows; a worker compares it with what it has seen. It
//! is stored before the workers are woken, so a worker that was woken sees it. Neighbours: `totals`
//! collects the counters, `reload` has the newest service; the workers follow.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::reload::Reloaded;
use super::totals::{Purpose, Totals};
use super::{Ending, Hooks};
use crate::kernel::{Opener, Spawner, Waker};
use crate::protocol::service::Service;
use crate::server::Server;
use crate::server::observe::counters::Counters;

/// State shared by all workers.
pub(super) struct Shared<S> {
    pub(super) drain: AtomicBool,
    /// The listeners are left to other processes when the drain begins.
    pub(super) leave: AtomicBool,
    /// Incremented for each request to look at the listeners.
    pub(super) look: AtomicU64,
    /// Exit at once: the processes started for connections are killed too.
    pub(super) stop: AtomicBool,
    /// Incremented for each request for counters. A worker answers when this differs from the
    /// number it has seen.
    pub(super) request: AtomicU64,
    /// The service that was loaded last.
    reloaded: Mutex<Reloaded<S>>,
    totals: Mutex<Totals>,
    pub(super) wakers: Vec<Waker>,
    /// What the caller has the workers do.
    pub(super) hooks: Hooks,
}

impl<S: Clone> Shared<S> {
    /// What workers that are woken by `wakers` share.
    pub(super) fn new(totals: Totals, wakers: Vec<Waker>, hooks: Hooks) -> Shared<S> {
        Shared {
            drain: AtomicBool::new(false),
            leave: AtomicBool::new(false),
            look: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            request: AtomicU64::new(0),
            reloaded: Mutex::new(Reloaded::new()),
            totals: Mutex::new(totals),
            wakers,
            hooks,
        }
    }

    pub(super) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reloaded(&self) -> MutexGuard<'_, Reloaded<S>> {
        self.reloaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_all(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }

    /// Makes every worker drain. Returns whether a drain was requested before.
    pub(super) fn request_drain(&self) -> bool {
        let before = self.drain.swap(true, Ordering::AcqRel);
        self.totals().notices.tell_stopping();
        self.wake_all();
        before
    }

    /// Makes every worker end at once.
    pub(super) fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Makes every worker end at once, and waits until it has.
    pub(super) fn stop_and_join(&self, threads: Vec<JoinHandle<io::Result<()>>>) {
        self.request_stop();
        for thread in threads {
            // The cause of the end is reported, not what follows from it.
            let _ = thread.join();
        }
    }

    /// Makes every worker use the reloaded service.
    pub(super) fn hand_over(&self, service: S) {
        // The lock orders this against `retire`: a worker that retires later settles itself.
        let totals = self.totals();
        self.reloaded().publish(service, totals.runs());
        drop(totals);
        self.wake_all();
    }

    /// A worker uses the newest service, or has retired. The last one to report wakes the first
    /// worker.
    pub(super) fn settle_news(&self, number: usize) {
        let is_last = self.reloaded().settle(number);
        if let (true, Some(first)) = (is_last, self.wakers.first()) {
            first.wake();
        }
    }

    /// Makes every worker publish its counters. The last one to do so prints the sum. Requests made
    /// before that are merged into one more request after it; otherwise a flood of requests would
    /// keep a collection from ever completing.
    pub(super) fn request_counts(&self, purpose: Purpose) {
        let mut totals = self.totals();
        if !totals.request(purpose) {
            return;
        }
        drop(totals);
        self.request.fetch_add(1, Ordering::AcqRel);
        self.wake_all();
    }

    pub(super) fn publish(&self, number: usize, counters: &Counters) {
        let mut totals = self.totals();
        let asked_again = totals.publish(number, counters);
        let has_scrape = totals.has_scrape();
        drop(totals);
        if let (true, Some(first)) = (has_scrape, self.wakers.first()) {
            first.wake();
        }
        if let Some(purpose) = asked_again {
            self.request_counts(purpose);
        }
    }

    /// A worker has drained; its last counters stay in the totals.
    pub(super) fn retire<K: Spawner + Opener>(&self, number: usize, server: &Server<K, S>)
    where
        S: Service,
    {
        let mut totals = self.totals();
        let asked_again = totals.retire(number, &server.sum(), server.cut());
        drop(totals);
        self.settle_news(number);
        if let Some(purpose) = asked_again {
            self.request_counts(purpose);
        }
        self.wake_all();
    }

    pub(super) fn ending(&self) -> Ending {
        self.totals().ending()
    }
}
