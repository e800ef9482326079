//! Several loops side by side that share nothing but orders: begin to drain, publish your counts,
//! take this service in place of the one you have.
//!
//! The first worker runs on the calling thread and hears the signals; the others are woken by it.
//! It takes all signals that have arrived before it follows any: those that end the server first,
//! so that no flood of others hides them. A reload is `reload`'s and holds nobody up. Each worker
//! copies its counts out when asked, and the last one to answer adds them up, so that counting
//! itself is never shared. See signalfd(2), eventfd(2).

pub(crate) mod reload;
pub(crate) mod signals;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::kernel::{
    OUTPUT_LINES, Opener, Spawner, Time, Waker, lines_dropped, retry_lines, retry_lines_by,
};
use crate::limits::{LINE_RETRY_PAUSE, SIGNAL_ECHO};
use crate::protocol::service::Service;

use super::server::Server;
use super::server::observe::counters::Counters;
use reload::{Reloaded, Reloads};
use signals::Signals;

/// How serving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everybody was served to the end, but for those who were owed something when time was up.
    Drained {
        /// How many those were.
        cut: u64,
        /// What all workers have done.
        counters: Box<Counters>,
    },
    /// A second signal, by number: the end is now.
    Stopped(i32),
}

/// What the workers tell each other.
struct Control<S> {
    drain: AtomicBool,
    /// The end is now: what was started for connections ends with it.
    stop: AtomicBool,
    /// Raised by each request for counts; a worker answers when it has not seen this one.
    request: AtomicU64,
    /// The service that was read anew last.
    reloaded: Mutex<Reloaded<S>>,
    totals: Mutex<Totals>,
    wakers: Vec<Waker>,
}

/// Counts on their way to being added up.
struct Totals {
    /// The latest of each worker.
    counts: Vec<Counters>,
    /// Who has not drained yet.
    runs: Vec<bool>,
    /// Whose answer to the last request is still to come.
    awaited: Vec<bool>,
    /// Counts were asked for again meanwhile.
    asked_again: bool,
    cut: u64,
}

/// Runs every server to its end, a thread each, the first on this one. `wakers` wake them, in their
/// order; `reload` makes a service anew, on a thread of its own, or tells why not. `announce` is
/// called when all threads run, and before the first worker serves.
pub fn run<K, S>(
    servers: Vec<Server<K, S>>,
    wakers: Vec<Waker>,
    stats_interval: Option<Duration>,
    reload: impl FnMut() -> Result<S, String> + Send + 'static,
    announce: impl FnOnce(),
) -> io::Result<Ending>
where
    K: Spawner + Opener + Send + 'static,
    K::Socket: Send,
    S: Service<State: Send> + Clone + Send + 'static,
{
    let has_effects = servers.iter().any(Server::has_effects);
    let counts = vec![Counters::default(); servers.len()];
    let totals = Totals {
        runs: vec![true; counts.len()],
        awaited: vec![false; counts.len()],
        asked_again: false,
        counts,
        cut: 0,
    };
    let run_main = wakers.first().ok_or(io::ErrorKind::InvalidInput)?;
    let reloads = Reloads::new(reload, run_main.clone());
    retry_lines_by(run_main.clone());
    let control = Arc::new(Control {
        drain: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        request: AtomicU64::new(0),
        reloaded: Mutex::new(Reloaded::new()),
        totals: Mutex::new(totals),
        wakers,
    });
    let mut workers = servers
        .into_iter()
        .enumerate()
        .map(|(number, server)| Worker {
            number,
            server,
            control: Arc::clone(&control),
            seen: 0,
            reloads: 0,
            retired: false,
        });
    let mut first = workers.next().ok_or(io::ErrorKind::InvalidInput)?;
    let mut threads = Vec::new();
    let started = workers.try_for_each(|worker| {
        let thread = thread::Builder::new().name(format!("worker-{}", worker.number));
        threads.push(thread.spawn(move || worker.run_worker())?);
        Ok(())
    });
    let ending = started.and_then(|()| {
        announce();
        first.run_main(stats_interval, reloads)
    });
    // After a drain none is left. Only the first worker can have local listeners, whose paths are
    // to be removed.
    first.server.close_listeners();
    if let Ok(Ending::Drained { .. }) = ending {
        for thread in threads {
            thread
                .join()
                .map_err(|_| io::Error::other("a worker panicked"))??;
        }
    } else if has_effects {
        // Threads end with the process, but what they have started does not.
        control.request_stop();
        for thread in threads {
            let _ = thread.join();
        }
    }
    ending
}

struct Worker<K: Spawner + Opener, S: Service> {
    number: usize,
    server: Server<K, S>,
    control: Arc<Control<S>>,
    /// The last request for counts that it has answered.
    seen: u64,
    /// How many services it has heard of that were read anew.
    reloads: u64,
    retired: bool,
}

impl<K: Spawner + Opener, S: Service + Clone + Send + 'static> Worker<K, S> {
    /// Turns until told to drain, and drained.
    fn run_worker(mut self) -> io::Result<()> {
        let ended = loop {
            match self.turn(Time::NEVER) {
                Ok(_) if self.retired || self.control.stop.load(Ordering::Acquire) => return Ok(()),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        // Without its loop a worker is of no use, and half a server is worse than none.
        log::error!("worker {}: {ended}", self.number);
        self.control.request_drain();
        self.control.retire(self.number, &self.server);
        Err(ended)
    }

    /// Turns like the others, and beside it hears the signals, until the last of all has drained.
    fn run_main(
        &mut self,
        stats_interval: Option<Duration>,
        mut reloads: Reloads<S>,
    ) -> io::Result<Ending> {
        let next_after = |now: Time| stats_interval.map_or(Time::NEVER, |span| now.after(span));
        let mut next_stats = next_after(self.server.now());
        // The signal that ended it, and until when the same one is its echo.
        let mut echo: Option<(i32, Time)> = None;
        // A worker that has drained turns on, to hear a second signal and the end of the others.
        while !self.retired || self.control.totals().runs.contains(&true) {
            let echoes_until = echo.map_or(Time::NEVER, |(_, until)| until);
            let next_retry = match retry_lines() {
                true => self.server.kernel_mut().now().after(LINE_RETRY_PAUSE),
                false => Time::NEVER,
            };
            let signals = self.turn(next_stats.min(echoes_until).min(next_retry))?;
            let now = self.server.now();
            if now >= next_stats {
                self.control.request_counts();
                next_stats = next_after(now);
            }
            let signals = match signals {
                true => Signals::take(self.server.kernel_mut())?,
                false => Signals::default(),
            };
            for number in signals.terminations {
                // It was sent before the wait that reports it, and the turn before that wait may
                // have been long: when it is read says little. While nothing else has been told it
                // is an echo.
                if echo.is_some_and(|(it, _)| it == number) {
                    continue;
                }
                if self.control.request_drain() {
                    return Ok(Ending::Stopped(number));
                }
                self.follow_control();
                let now = self.server.kernel_mut().now();
                echo = Some((number, now.after(SIGNAL_ECHO)));
            }
            if signals.reload {
                reloads.ask();
            }
            if signals.statistics {
                self.control.request_counts();
            }
            let control = &self.control;
            let hand_over = |service| control.hand_over(service);
            reloads.advance(now, hand_over, || control.reloaded().is_taken());
            // Should its own wake-up have failed, the one who ordered follows all the same.
            self.follow_control();
            self.retire_if_done();
            // Told once it is true.
            if echo.is_some_and(|(_, until)| now >= until) {
                echo = None;
                log::info!("draining; a second signal ends at once");
            }
        }
        if echo.is_some() {
            log::info!("draining");
        }
        Ok(self.control.ending())
    }

    /// Runs until there is something beside connections to do, and follows orders; tells whether
    /// signals have arrived.
    fn turn(&mut self, until: Time) -> io::Result<bool> {
        let wakeups = self.server.run(until)?;
        if wakeups.wake_up {
            self.server.kernel_mut().take_wake_up()?;
            self.follow_control();
        }
        self.retire_if_done();
        Ok(wakeups.signals)
    }

    /// Hands in its last counts once everybody is gone.
    fn retire_if_done(&mut self) {
        if self.server.is_done() && !self.retired {
            self.retired = true;
            self.control.retire(self.number, &self.server);
        }
    }

    /// Does what was ordered since the last time.
    fn follow_control(&mut self) {
        if self.control.drain.load(Ordering::Acquire) {
            self.server.drain();
        }
        let request = self.control.request.load(Ordering::Acquire);
        if request != self.seen {
            self.seen = request;
            self.control.publish(self.number, self.server.counters());
        }
        let newer = self.control.reloaded().newer(&mut self.reloads);
        if let Some(service) = newer {
            // This frees the old one, if no other worker has it.
            self.server.replace_service(service);
            self.control.settle_news(self.number);
        }
    }
}

impl<S: Clone> Control<S> {
    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reloaded(&self) -> MutexGuard<'_, Reloaded<S>> {
        self.reloaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }

    /// Has everybody drain; tells whether that was ordered before.
    fn request_drain(&self) -> bool {
        let before = self.drain.swap(true, Ordering::AcqRel);
        self.wake_all();
        before
    }

    /// Has everybody end at once.
    fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Has every worker serve with what was read anew.
    fn hand_over(&self, service: S) {
        // A worker that retires afterwards settles for itself.
        let totals = self.totals();
        self.reloaded().publish(service, &totals.runs);
        drop(totals);
        self.wake_all();
    }

    /// A worker serves with the newest service, or no more at all; the last one wakes the first.
    fn settle_news(&self, number: usize) {
        let is_last = self.reloaded().settle(number);
        if let (true, Some(first)) = (is_last, self.wakers.first()) {
            first.wake();
        }
    }

    /// Has everybody publish counts; the last one to do so prints the sum. Requests that come
    /// before that are one more request after it, or a flood of them would keep all from coming to
    /// an end.
    fn request_counts(&self) {
        let mut totals = self.totals();
        let Totals { awaited, runs, .. } = &mut *totals;
        if awaited.contains(&true) {
            totals.asked_again = true;
            return;
        }
        awaited.clone_from(runs);
        drop(totals);
        self.request.fetch_add(1, Ordering::AcqRel);
        self.wake_all();
    }

    fn publish(&self, number: usize, counters: &Counters) {
        let asked_again = self.totals().publish(number, counters);
        if asked_again {
            self.request_counts();
        }
    }

    /// A worker has drained: its last counts stay on the board.
    fn retire<K: Spawner + Opener>(&self, number: usize, server: &Server<K, S>)
    where
        S: Service,
    {
        let mut totals = self.totals();
        let asked_again = totals.publish(number, server.counters());
        totals.runs[number] = false;
        totals.cut += server.cut();
        drop(totals);
        self.settle_news(number);
        if asked_again {
            self.request_counts();
        }
        self.wake_all();
    }

    fn ending(&self) -> Ending {
        let totals = self.totals();
        Ending::Drained {
            cut: totals.cut,
            counters: Box::new(totals.sum()),
        }
    }
}

impl Totals {
    fn sum(&self) -> Counters {
        let mut sum = Counters::default();
        self.counts.iter().for_each(|counters| sum.add(counters));
        sum
    }

    /// The counts of one worker, up to now; with the last that was awaited the sum is printed.
    /// Tells whether they are to be asked for again.
    fn publish(&mut self, number: usize, counters: &Counters) -> bool {
        self.counts[number].clone_from(counters);
        let was_awaited = std::mem::take(&mut self.awaited[number]);
        if !was_awaited || self.awaited.contains(&true) {
            return false;
        }
        let line = format!("{} log_lines_dropped={}\n", self.sum(), lines_dropped());
        // The next line of counts tells how many were dropped; a line of its own would be no line
        // of counts.
        OUTPUT_LINES.write(line.as_bytes(), |_| String::new());
        std::mem::take(&mut self.asked_again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_for_counts_before_the_line_are_one_more_line() {
        let mut totals = Totals {
            counts: vec![Counters::default(); 2],
            runs: vec![true; 2],
            awaited: vec![true; 2],
            asked_again: true,
            cut: 0,
        };
        let again = [0, 0, 1, 1].map(|number| totals.publish(number, &Counters::default()));
        assert_eq!(again, [false, false, true, false]);
    }
}
