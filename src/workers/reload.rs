//! Reload on SIGHUP: a new service is loaded while the old one serves.
//!
//! ```text
//!   idle -- SIGHUP --> reading, on a thread --> handing over, worker by worker --> idle
//!                           |  the file is wrong: a warning                         ^
//!                           +-------------------------------------------------------+
//! ```
//!
//! A thread that exists only for the reload reads and checks the files. A large file takes hundreds
//! of milliseconds; the loop keeps serving meanwhile. Only one reload runs at a time, and the next
//! one starts only when every worker uses the last service. So at most two services exist, the old
//! one and the new one, and the memory ceiling counts both. Any number of signals during a reload
//! cause one more reload, because the files may have changed after they were read. A drained server
//! exits without waiting for the thread.
//!
//! This module does not know which files are read. Neighbour: `workers`, whose first worker drives
//! it.

use std::io;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::kernel::{Time, Waker};
use crate::limits::RELOAD_LINES_BURST;
use crate::server::observe::log_limiter::LogLimiter;

type Made<S> = Result<S, String>;
type Load<S> = Box<dyn FnMut() -> Made<S> + Send>;

/// The reloads of a server, driven by the worker that reads the signals.
pub(super) struct Reloads<S> {
    load: Arc<Mutex<Load<S>>>,
    stage: Stage<S>,
    /// A signal has arrived since the current reload started.
    asked_again: bool,
    log: ReloadLog,
    /// Wakes the worker that leads.
    waker: Waker,
    has_thread: bool,
}

enum Stage<S> {
    Idle,
    Reading(Receiver<Made<S>>),
    HandingOver,
}

impl<S: Send + 'static> Reloads<S> {
    /// Creates the reloads of a service that `load` returns. Without `has_thread` the files are
    /// read on the calling thread, for a process that must have no other one.
    pub(super) fn new(
        load: impl FnMut() -> Made<S> + Send + 'static,
        waker: Waker,
        has_thread: bool,
    ) -> Reloads<S> {
        Reloads {
            load: Arc::new(Mutex::new(Box::new(load))),
            stage: Stage::Idle,
            asked_again: false,
            log: ReloadLog::default(),
            waker,
            has_thread,
        }
    }

    /// Requests a reload. It starts with the next [`Reloads::advance`], or after the current
    /// reload.
    pub(super) fn ask(&mut self) {
        self.asked_again = true;
    }

    /// Whether no reload is under way or asked for.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle) && !self.asked_again
    }

    /// Advances as far as possible without waiting. `hand_over` gives a new service to the workers,
    /// and `is_taken` returns whether all of them use it.
    pub(super) fn advance(
        &mut self,
        now: Time,
        mut hand_over: impl FnMut(S),
        is_taken: impl Fn() -> bool,
    ) {
        loop {
            let made = match &self.stage {
                Stage::Idle if self.asked_again => {
                    self.asked_again = false;
                    self.begin(now);
                    continue;
                }
                Stage::Idle => return,
                Stage::HandingOver if is_taken() => {
                    self.log.log_success(now);
                    self.stage = Stage::Idle;
                    continue;
                }
                Stage::HandingOver => return,
                Stage::Reading(receiver) => match receiver.try_recv() {
                    Ok(made) => made,
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => Err("the thread has failed".to_owned()),
                },
            };
            self.stage = match made {
                Ok(service) => {
                    hand_over(service);
                    Stage::HandingOver
                }
                Err(reason) => {
                    self.log.log_failure(&reason, now);
                    Stage::Idle
                }
            };
        }
    }

    /// Starts the thread that reads the files.
    fn begin(&mut self, now: Time) {
        match self.spawn() {
            Ok(receiver) => self.stage = Stage::Reading(receiver),
            Err(error) => {
                let reason = format!("no thread can be started to read the files: {error}");
                self.log.log_failure(&reason, now);
            }
        }
    }

    fn spawn(&self) -> io::Result<Receiver<Made<S>>> {
        let (sender, receiver) = mpsc::channel();
        let (load, waker) = (Arc::clone(&self.load), self.waker.clone());
        let read = move || {
            let made = load.lock().unwrap_or_else(PoisonError::into_inner)();
            // A missing receiver means that the server has ended.
            let _ = sender.send(made);
            waker.wake();
        };
        if !self.has_thread {
            read();
            return Ok(receiver);
        }
        let name = "reload".to_owned();
        thread::Builder::new().name(name).spawn(read)?;
        Ok(receiver)
    }
}

/// Lines about reloads: of each kind, success and failure, a burst of `RELOAD_LINES_BURST` and then
/// one a second, whatever the reason.
#[derive(Default)]
struct ReloadLog {
    successes: LogLimiter,
    failures: LogLimiter,
}

impl ReloadLog {
    fn log_success(&mut self, now: Time) {
        if let Some(line) = self.success(now) {
            log::info!("{line}");
        }
    }

    fn log_failure(&mut self, reason: &str, now: Time) {
        if let Some(line) = self.failure(reason, now) {
            log::warn!("{line}");
        }
    }

    fn success(&mut self, now: Time) -> Option<String> {
        let more = self.successes.admit_burst(now, RELOAD_LINES_BURST)?;
        Some(format!("SIGHUP: read again{more}"))
    }

    fn failure(&mut self, reason: &str, now: Time) -> Option<String> {
        let more = self.failures.admit_burst(now, RELOAD_LINES_BURST)?;
        Some(format!("SIGHUP: {reason}; nothing has changed{more}"))
    }
}

/// The newest service, until every worker has taken it.
pub(super) struct Reloaded<S> {
    /// Number of services published so far.
    number: u64,
    service: Option<S>,
    /// Workers that still use an older service.
    awaited: Vec<bool>,
}

impl<S: Clone> Reloaded<S> {
    pub(super) fn new() -> Reloaded<S> {
        Reloaded {
            number: 0,
            service: None,
            awaited: Vec::new(),
        }
    }

    /// Offers a service to the running workers.
    pub(super) fn publish(&mut self, service: S, runs: &[bool]) {
        self.number += 1;
        self.service = Some(service);
        self.awaited = runs.to_vec();
    }

    /// Returns the newest service if its number differs from `seen`, and updates `seen`.
    pub(super) fn newer(&self, seen: &mut u64) -> Option<S> {
        if *seen == self.number {
            return None;
        }
        *seen = self.number;
        self.service.clone()
    }

    /// A worker uses the newest service, or has retired. Returns whether no worker is left that
    /// uses an older one.
    pub(super) fn settle(&mut self, worker: usize) -> bool {
        if let Some(awaited) = self.awaited.get_mut(worker) {
            *awaited = false;
        }
        self.is_taken()
    }

    /// Whether no worker uses an older service.
    pub(super) fn is_taken(&self) -> bool {
        !self.awaited.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use super::*;
    use crate::kernel::Linux;

    /// Longest wait for any step before the test fails.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Reloads whose files have the contents that the test sends.
    struct Files {
        reloads: Reloads<u32>,
        /// One item each time a read of the files starts.
        began: Receiver<()>,
        contents: mpsc::Sender<Made<u32>>,
        handed_over: RefCell<Vec<u32>>,
        is_taken: Cell<bool>,
    }

    impl Files {
        fn new() -> Files {
            let (tell, began) = mpsc::channel();
            let (contents, read) = mpsc::channel();
            let load = move || {
                let _ = tell.send(());
                read.recv()
                    .unwrap_or_else(|_| Err("the test is over".to_owned()))
            };
            let linux = Linux::new(false).expect("a poller");
            Files {
                reloads: Reloads::new(load, linux.waker(), true),
                began,
                contents,
                handed_over: RefCell::default(),
                is_taken: Cell::new(true),
            }
        }

        fn advance(&mut self) {
            let hand_over = |service| self.handed_over.borrow_mut().push(service);
            let is_taken = || self.is_taken.get();
            self.reloads.advance(Time::default(), hand_over, is_taken);
        }

        fn ask(&mut self) {
            self.reloads.ask();
            self.advance();
        }

        /// Waits until a read starts, and checks that only one has.
        fn begins(&self) {
            let began = self.began.recv_timeout(PATIENCE);
            began.expect("they are read");
            assert!(self.began.try_recv().is_err(), "and once");
        }

        /// Gives these contents to the current read, and waits until the loop has seen them.
        fn find(&mut self, contents: Made<u32>) {
            let Stage::Reading(receiver) = &self.reloads.stage else {
                panic!("nothing is read");
            };
            self.contents.send(contents).expect("they are read");
            let made = receiver.recv_timeout(PATIENCE).expect("something");
            // Put the result back, so that `advance` receives it.
            let (sender, receiver) = mpsc::channel();
            sender.send(made).expect("it is kept");
            self.reloads.stage = Stage::Reading(receiver);
            self.advance();
        }

        fn rests(&self) -> bool {
            matches!(self.reloads.stage, Stage::Idle)
        }
    }

    #[test]
    fn requests_during_a_reload_are_one_more_reload() {
        let mut files = Files::new();
        files.ask();
        files.begins();
        for _ in 0..5 {
            files.ask();
        }
        files.find(Ok(1));
        // The files may have changed after they were read.
        files.begins();
        files.find(Ok(2));
        assert!(files.rests());
        files.ask();
        files.begins();
        files.find(Ok(3));
        assert!(files.rests());
        assert_eq!(*files.handed_over.borrow(), [1, 2, 3]);
    }

    #[test]
    fn a_reload_begins_when_all_workers_serve_with_the_last_one() {
        let mut files = Files::new();
        files.is_taken.set(false);
        files.ask();
        files.begins();
        files.find(Ok(1));
        files.ask();
        assert!(matches!(files.reloads.stage, Stage::HandingOver));
        files.is_taken.set(true);
        files.advance();
        files.begins();
    }

    #[test]
    fn a_wrong_file_is_not_handed_over_and_the_next_request_reads_again() {
        let mut files = Files::new();
        files.ask();
        files.begins();
        files.ask();
        files.find(Err("line 1".to_owned()));
        files.begins();
        files.find(Err("line 1".to_owned()));
        assert!(files.rests());
        files.ask();
        files.begins();
        files.find(Ok(3));
        assert_eq!(*files.handed_over.borrow(), [3]);
    }

    #[test]
    fn a_storm_of_reloads_writes_a_burst_of_each_kind_and_then_one_line_a_second() {
        let mut log = ReloadLog::default();
        let start = Time::from_nanos(5);
        let burst = RELOAD_LINES_BURST as usize;
        // Neither another reason nor a success between two failures makes room for one more line.
        let mut storm = |now: Time| {
            let round = |number: usize| {
                let reason = ["a", "b"][number % 2];
                [log.failure(reason, now), log.success(now)]
            };
            (0..100).flat_map(round).flatten().collect::<Vec<_>>()
        };
        let first = storm(start);
        assert_eq!(first[0], "SIGHUP: a; nothing has changed");
        assert_eq!(first[1], "SIGHUP: read again");
        assert_eq!(first[2], "SIGHUP: b; nothing has changed");
        assert_eq!(first.len(), 2 * burst);
        let left_out = format!(" ({} more like this were not logged)", 100 - burst);
        let later = [
            format!("SIGHUP: a; nothing has changed{left_out}"),
            format!("SIGHUP: read again{left_out}"),
        ];
        assert_eq!(storm(start.after(Duration::from_secs(1))), later);
    }

    #[test]
    fn a_reloaded_service_is_taken_once_by_each_running_worker() {
        let mut reloaded = Reloaded::new();
        assert!(reloaded.is_taken());
        let mut seen = [0; 3];
        assert_eq!(reloaded.newer(&mut seen[0]), None);
        reloaded.publish('a', &[true, false, true]);
        assert!(!reloaded.is_taken());
        assert_eq!(reloaded.newer(&mut seen[0]), Some('a'));
        assert_eq!(reloaded.newer(&mut seen[0]), None);
        assert!(!reloaded.settle(0));
        assert!(!reloaded.settle(0));
        assert!(reloaded.settle(2), "the other one does not run");
        reloaded.publish('b', &[true, false, false]);
        assert_eq!(reloaded.newer(&mut seen[0]), Some('b'));
        assert!(reloaded.settle(0));
        assert_eq!(reloaded.newer(&mut seen[2]), Some('b'));
    }
}
