//! A service made anew while the old one serves: what SIGHUP asks for.
//!
//! ```text
//!   idle -- SIGHUP --> reading, on a thread --> handing over, worker by worker --> idle
//!                           |  the file is wrong: a warning                         ^
//!                           +-------------------------------------------------------+
//! ```
//!
//! The files are read and checked on a thread that lives only for that: a large one takes hundreds
//! of milliseconds, in which the loop serves. One reload is under way at a time, and the next one
//! begins only when every worker serves with the last: so there are never more than two services,
//! the old one and the new one, and the memory ceiling counts both. All signals that arrive
//! meanwhile ask for one more reload, because the files may have changed after they were read. A
//! server that has drained ends without the thread.
//!
//! Which files there are is not known here. Neighbour: `workers`, whose first one leads.

use std::io;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::kernel::{Time, Waker};
use crate::limits::RELOAD_LINES_BURST;
use crate::server::observe::log_limiter::LogLimiter;

type Made<S> = Result<S, String>;
type Load<S> = Box<dyn FnMut() -> Made<S> + Send>;

/// The reloads of a server, for the worker that hears the signals.
pub(super) struct Reloads<S> {
    load: Arc<Mutex<Load<S>>>,
    stage: Stage<S>,
    /// A signal has arrived since the reload under way began.
    asked_again: bool,
    log: ReloadLog,
    /// Wakes the worker that leads.
    waker: Waker,
}

enum Stage<S> {
    Idle,
    Reading(Receiver<Made<S>>),
    HandingOver,
}

impl<S: Send + 'static> Reloads<S> {
    /// For a service that `load` makes.
    pub(super) fn new(load: impl FnMut() -> Made<S> + Send + 'static, waker: Waker) -> Reloads<S> {
        Reloads {
            load: Arc::new(Mutex::new(Box::new(load))),
            stage: Stage::Idle,
            asked_again: false,
            log: ReloadLog::default(),
            waker,
        }
    }

    /// Asks for a reload, which begins with the next [`Reloads::advance`] or after the one that is
    /// under way.
    pub(super) fn ask(&mut self) {
        self.asked_again = true;
    }

    /// Goes on as far as it can without waiting. `hand_over` gives a new service to the workers,
    /// and `is_taken` tells whether all of them serve with it.
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

    /// Starts the thread that reads.
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
            // Without a receiver the server has ended.
            let _ = sender.send(made);
            waker.wake();
        };
        let name = "reload".to_owned();
        thread::Builder::new().name(name).spawn(read)?;
        Ok(receiver)
    }
}

/// The lines about reloads: of each kind a burst of [`RELOAD_LINES_BURST`], then one a second.
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

/// The service that was made last, on its way to the workers.
pub(super) struct Reloaded<S> {
    /// How many there were before.
    number: u64,
    service: Option<S>,
    /// The workers that serve with an older one.
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

    /// Offers a service to the workers that run.
    pub(super) fn publish(&mut self, service: S, runs: &[bool]) {
        self.number += 1;
        self.service = Some(service);
        self.awaited = runs.to_vec();
    }

    /// A newer service than that with number `seen`, which becomes its number.
    pub(super) fn newer(&self, seen: &mut u64) -> Option<S> {
        if *seen == self.number {
            return None;
        }
        *seen = self.number;
        self.service.clone()
    }

    /// A worker serves with the last one, or no more at all; tells whether all do.
    pub(super) fn settle(&mut self, worker: usize) -> bool {
        if let Some(awaited) = self.awaited.get_mut(worker) {
            *awaited = false;
        }
        self.is_taken()
    }

    /// Whether no worker serves with an older one.
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

    /// How long anything may take before the test has failed.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Reloads whose files hold what the test sends.
    struct Files {
        reloads: Reloads<u32>,
        /// A line for each time that the files began to be read.
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
                reloads: Reloads::new(load, linux.waker()),
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

        /// Waits until they are read; one reading after another, and no two at once.
        fn begins(&self) {
            let began = self.began.recv_timeout(PATIENCE);
            began.expect("they are read");
            assert!(self.began.try_recv().is_err(), "and once");
        }

        /// Lets the reading that has begun find these contents, and waits until the loop has seen
        /// them.
        fn find(&mut self, contents: Made<u32>) {
            let Stage::Reading(receiver) = &self.reloads.stage else {
                panic!("nothing is read");
            };
            self.contents.send(contents).expect("they are read");
            let made = receiver.recv_timeout(PATIENCE).expect("something");
            // As if it came just now.
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
        // They may have changed after they were read.
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
    fn a_wrong_file_is_handed_to_nobody_and_the_next_request_reads_again() {
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
    fn news_are_taken_once_by_each_worker_that_runs() {
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
