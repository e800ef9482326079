//! One run: starts the workers, lets them begin together, samples at both ends of the window, and
//! collects the results.
//!
//! ```text
//!   open connections | warm up |<------ measured window ------>| wait for replies |
//!                    go      start (sample)                   end (sample)       done
//! ```
//!
//! The conductor sleeps between these times in its own poller, which also reports signals. It never
//! uses a connection of the load. The workers never wait for the conductor, because they learn the
//! times in advance (`control`). If a connection cannot be opened before the load, the run ends
//! with that error. Neighbours: `worker` (the threads), `observe` (the samples), `servers` and
//! `spawn` (the processes).

pub mod affinity;
pub mod bench;
pub mod control;
pub mod intervals;
pub mod moments;
pub mod observe;
pub mod progress;
pub mod servers;
pub mod session;

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::histogram::Histogram;
use crate::base::time::Time;
use crate::kernel::{Address, Event, Opener, Poller, Signal, host};
use crate::limits::SIGNALS_PER_TURN;

use super::plan::script::Script;
use super::plan::{Plan, Until};
use super::worker::tally::{Cause, Tally};
use super::worker::{Job, Worker};
use control::{Board, Control};
use intervals::Seen;
use moments::{Moment, Moments};
use observe::{Host, Unknown, Usage};
use progress::{Glance, Phase, Progress};

const OPENING_GLANCE: Duration = Duration::from_millis(1);
const GLANCE: Duration = Duration::from_millis(10);
/// How long before a planned start the workers are told.
const START_NOTICE: Duration = Duration::from_millis(50);

/// SIGHUP: the terminal was closed. The bench has no file to reload, so it ends.
const HANG_UP: i32 = 1;

/// The processor time used by all parties up to one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// When the sample was taken.
    pub at: Time,
    /// The same moment by the wall clock, in nanoseconds since 1970.
    pub unix_ns: u64,
    /// Processor time of each worker.
    pub workers_ns: Vec<Option<u64>>,
    /// The time each worker was runnable but not running.
    pub waited_ns: Vec<Option<u64>>,
    /// The usage of the server, if its process is known, or why it cannot be read.
    pub server: Option<Result<Usage, String>>,
    /// The whole machine.
    pub host: Host,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The measurements of all workers.
    pub tally: Tally,
    /// The length of the measured window.
    pub elapsed_ns: u64,
    /// Whether the run was by a count. Then the samples enclose all replies.
    pub counted: bool,
    /// The sample at the start of the window.
    pub begin: Sample,
    /// The sample at the end of the window.
    pub end: Sample,
    /// The latency over time.
    pub moments: Vec<Moment>,
    /// The signal that ended the run early.
    pub interrupted: Option<i32>,
}

/// Why a run has no result.
#[derive(Debug)]
pub enum RunError {
    /// The server could not be reached, or broke a connection before the load began.
    Target(String),
    /// The server refused the key.
    Key(String),
    /// A local resource failed.
    Own(io::Error),
    /// A signal arrived before the load began.
    Interrupted(i32),
    /// A signal arrived during the warm-up.
    InterruptedInWarmup(i32),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Target(line) | RunError::Key(line) => f.write_str(line),
            RunError::Own(error) => error.fmt(f),
            RunError::Interrupted(signal) | RunError::InterruptedInWarmup(signal) => {
                write!(f, "signal {signal}")
            }
        }
    }
}

/// The server that is loaded.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name in reports.
    pub name: String,
    /// The address of the server.
    pub address: Address,
    /// The server's process, if known.
    pub pid: Option<u32>,
}

/// Loads `target` as `plan` says. `kernel` belongs to the conductor; `open` creates one kernel for
/// each worker.
pub fn run<K: Poller + Opener>(
    plan: &Plan,
    script: &Script,
    target: &Target,
    kernel: &mut K,
    open: &(impl Fn() -> io::Result<K> + Sync),
    progress: &mut Progress,
) -> Result<Outcome, RunError> {
    let control = Control::new(plan.urls());
    let boards: Vec<Board> = (0..plan.threads).map(|_| Board::default()).collect();
    thread::scope(|scope| {
        let mut handles = Vec::new();
        for (index, board) in boards.iter().enumerate() {
            let job = Job {
                plan,
                script,
                target: &target.address,
                control: &control,
                board,
                index,
            };
            match thread::Builder::new().spawn_scoped(scope, move || work(job, open)) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    control.stop();
                    control.release();
                    let line = format!("thread {} of {}: {error}", index + 1, plan.threads);
                    return Err(RunError::Own(io::Error::new(error.kind(), line)));
                }
            }
        }
        let conductor = Conductor {
            kernel,
            control: &control,
            boards: &boards,
            plan,
            target,
            progress: &mut *progress,
        };
        let conducted = conductor.conduct();
        progress.clear();
        if conducted.is_err() {
            control.stop();
        }
        control.release();
        let gathered = gather(handles, target);
        let mut outcome = match (conducted, gathered) {
            (Err(error @ (RunError::Interrupted(_) | RunError::InterruptedInWarmup(_))), _) => {
                return Err(error);
            }
            (Ok(outcome), Ok(tally)) => Outcome { tally, ..outcome },
            (_, Err(error)) | (Err(error), Ok(_)) => return Err(error),
        };
        if let Until::Requests(_) = plan.until {
            outcome.counted = true;
            // Without a reply, the whole time was spent waiting.
            if outcome.tally.last_answer_ns > 0 {
                outcome.elapsed_ns = outcome.tally.last_answer_ns;
            }
        }
        Ok(outcome)
    })
}

/// The main function of a worker thread.
fn work<K: Poller + Opener>(
    job: Job<'_>,
    open: &impl Fn() -> io::Result<K>,
) -> Result<Tally, Cause> {
    job.board
        .thread
        .store(observe::this_thread(), Ordering::Relaxed);
    let pins = &job.plan.pins;
    let pinned = match pins.get(job.index % pins.len().max(1)) {
        Some(&cpu) => host::pin_task(0, cpu),
        None => Ok(()),
    };
    // The requests of an open loop have to be sent when they are due.
    let punctual = pinned.and_then(|()| host::wake_punctually());
    let worked = punctual.and_then(|()| open()).map_err(Cause::Own);
    let worked = worked.and_then(|kernel| Worker::new(kernel, job)?.run());
    job.board.done.store(true, Ordering::Release);
    // The thread's entry in /proc ends with the thread, and the conductor still has to read it.
    while !job.control.is_released() {
        thread::sleep(OPENING_GLANCE);
    }
    worked
}

fn gather(
    handles: Vec<ScopedJoinHandle<'_, Result<Tally, Cause>>>,
    target: &Target,
) -> Result<Tally, RunError> {
    let mut all = Tally::new();
    let mut failed = None;
    for handle in handles {
        match handle.join() {
            Ok(Ok(tally)) => all.merge(tally),
            Ok(Err(Cause::Own(error))) => failed = Some(RunError::Own(error)),
            Ok(Err(cause @ Cause::Unproven)) => {
                failed = Some(RunError::Key(format!("{}: {cause}", target.address)))
            }
            Ok(Err(cause)) => {
                failed = Some(RunError::Target(format!("{}: {cause}", target.address)))
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    failed.map_or(Ok(all), Err)
}

/// The server's usage so far, if its process is known, or why it cannot be read.
pub fn usage_of(target: &Target) -> Option<Result<Usage, Unknown>> {
    target.pid.map(Usage::of)
}

/// Sleeps until `until` (at most), and returns early with the number of a signal that asks for the
/// end.
#[inline(never)]
pub fn pause<K: Poller>(kernel: &mut K, until: Time) -> io::Result<Option<i32>> {
    let mut events = [Event::default(); 4];
    kernel.wait(&mut events, until)?;
    for _ in 0..SIGNALS_PER_TURN {
        match kernel.take_signal()? {
            Some(Signal::Terminate(number)) => return Ok(Some(number)),
            Some(Signal::Reload) => return Ok(Some(HANG_UP)),
            Some(Signal::Statistics | Signal::Trace) => {}
            None => break,
        }
    }
    Ok(None)
}

struct Conductor<'a, K> {
    kernel: &'a mut K,
    control: &'a Control,
    boards: &'a [Board],
    plan: &'a Plan,
    target: &'a Target,
    progress: &'a mut Progress,
}

impl<K: Poller + Opener> Conductor<'_, K> {
    fn conduct(mut self) -> Result<Outcome, RunError> {
        while !self.all(|board| board.ready.load(Ordering::Relaxed)) {
            if self
                .boards
                .iter()
                .any(|board| board.done.load(Ordering::Acquire))
            {
                // The worker's error is reported when its result is collected.
                self.control.stop();
                return Ok(Outcome::default());
            }
            let now = self.kernel.now();
            if let Some(signal) = self.pause(now.after(OPENING_GLANCE))? {
                return Err(RunError::Interrupted(signal));
            }
            self.show(Phase::Connecting);
        }
        let go = self.wait_for_start()?;
        // Without a warm-up the load begins at once, before a sample at the start could be taken.
        let before = self.plan.warmup.is_zero().then(|| self.sample());
        let go = go.max(self.kernel.now());
        let start = go.after(self.plan.warmup);
        let end = match self.plan.until {
            Until::Time(duration) => start.after(duration),
            Until::Requests(_) => Time::NEVER,
        };
        self.control.set_window(go, start, end);
        let mut moments = Moments::new(start);
        let warming = Phase::WarmUp { since: go };
        if let Some(signal) = self.watch(start, warming, &mut moments)? {
            return Err(RunError::InterruptedInWarmup(signal));
        }
        let begin = before.unwrap_or_else(|| self.sample());
        self.progress.intervals.begin(start, self.plan.interval);
        let measured = Phase::Measured { since: start };
        let mut interrupted = self.watch(end, measured, &mut moments)?;
        // The end is earlier than planned when no worker can continue.
        let end = end.min(self.kernel.now());
        self.control.cut(end);
        let end_sample = self.sample();
        if interrupted.is_some() {
            self.control.stop();
        }
        while !self.all(|board| board.done.load(Ordering::Acquire)) {
            let now = self.kernel.now();
            if let Some(signal) = self.pause(now.after(OPENING_GLANCE))? {
                interrupted = Some(signal);
                self.control.stop();
            }
        }
        let elapsed_ns = end.since(start).as_nanos() as u64;
        self.note_interval(end, true);
        self.progress.intervals.finish();
        Ok(Outcome {
            elapsed_ns,
            begin,
            end: end_sample,
            moments: moments.finish(),
            interrupted,
            ..Outcome::default()
        })
    }

    /// Sleeps until `until`, or until all workers have sent their requests. Returns the signal, if
    /// one arrives first.
    fn watch(
        &mut self,
        until: Time,
        phase: Phase,
        moments: &mut Moments,
    ) -> Result<Option<i32>, RunError> {
        loop {
            let now = self.kernel.now();
            // A run by a count ends with its last reply.
            let counted = matches!(self.plan.until, Until::Requests(_));
            let over = |board: &Board| {
                !counted && board.sent_all.load(Ordering::Relaxed)
                    || board.done.load(Ordering::Acquire)
            };
            if now >= until || self.all(over) {
                return Ok(None);
            }
            let next = self.progress.intervals.due();
            if let Some(signal) = self.pause(until.min(now.after(GLANCE)).min(next))? {
                return Ok(Some(signal));
            }
            self.show(phase);
            let now = self.kernel.now();
            self.note_interval(now, false);
            if matches!(phase, Phase::Measured { .. }) && moments.is_due(now) {
                moments.note(now, self.latency());
            }
        }
    }

    /// The latency of all requests of the window that the workers have published.
    #[inline(never)]
    fn latency(&self) -> Histogram {
        let mut all = Histogram::new();
        for board in self.boards {
            if let Ok(live) = board.live.lock() {
                all.merge(&live.latency);
            }
        }
        all
    }

    /// Waits for the planned start, with all connections open. Returns when the load begins; the
    /// past, without a plan.
    fn wait_for_start(&mut self) -> Result<Time, RunError> {
        let Some(seconds) = self.plan.start_at else {
            return Ok(Time::default());
        };
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH);
        let left = Duration::from_secs(seconds).saturating_sub(wall().unwrap_or_default());
        let go = self.kernel.now().after(left);
        loop {
            let now = self.kernel.now();
            // The workers learn the moment before it comes.
            if now.after(START_NOTICE) >= go {
                return Ok(go);
            }
            let until = go.min(now.after(GLANCE));
            if let Some(signal) = self.pause(until)? {
                return Err(RunError::Interrupted(signal));
            }
            self.show(Phase::Connecting);
        }
    }

    /// Writes the line of an interval that has ended at `now`; the rest of the last one if `last`.
    #[inline(never)]
    fn note_interval(&mut self, now: Time, last: bool) {
        let due = self.progress.intervals.due();
        // The interval that ends with the window is written when the last replies have come.
        let is_due = last || now >= due && due < self.control.end();
        if !is_due || !self.progress.intervals.is_wanted() {
            return;
        }
        let mut seen = Seen::default();
        for board in self.boards {
            if let Ok(live) = board.live.lock() {
                seen.at = seen.at.max(live.at);
                seen.answered += live.answered;
                seen.errors += live.errors;
                seen.latency.merge(&live.latency);
            }
            seen.open += board.open.load(Ordering::Relaxed);
        }
        self.progress.intervals.note(now, seen);
    }

    fn all(&self, is: impl Fn(&Board) -> bool) -> bool {
        self.boards.iter().all(is)
    }

    fn pause(&mut self, until: Time) -> Result<Option<i32>, RunError> {
        pause(self.kernel, until).map_err(RunError::Own)
    }

    #[inline(never)]
    fn sample(&mut self) -> Sample {
        let threads = self
            .boards
            .iter()
            .map(|board| board.thread.load(Ordering::Relaxed));
        let workers_ns = threads.clone().map(observe::thread_cpu_ns).collect();
        let waited_ns = threads.map(observe::thread_wait_ns).collect();
        let at = self.kernel.now();
        Sample {
            at,
            unix_ns: observe::unix_ns(),
            workers_ns,
            waited_ns,
            // A server that has died is reported as such; the other figures remain.
            server: usage_of(self.target).map(|usage| usage.map_err(|why| why.to_string())),
            host: Host::now(),
        }
    }

    /// Draws the progress line, if it is enabled and due.
    #[inline(never)]
    fn show(&mut self, phase: Phase) {
        let now = self.kernel.now();
        if !self.progress.is_due(now) {
            return;
        }
        let (mut at, mut answered, mut errors) = (Time::default(), 0, 0);
        let mut latency = Histogram::new();
        for board in self.boards {
            if let Ok(live) = board.live.lock() {
                at = at.max(live.at);
                answered += live.answered;
                errors += live.errors;
                latency.merge(&live.latency);
            }
        }
        let open = self
            .boards
            .iter()
            .map(|board| board.open.load(Ordering::Relaxed))
            .sum();
        let threads = self
            .boards
            .iter()
            .map(|board| board.thread.load(Ordering::Relaxed));
        let cpu_ns = threads.map(observe::thread_cpu_ns).sum();
        let (name, until, warmup) = (&self.target.name, self.plan.until, self.plan.warmup);
        self.progress.draw(
            now,
            &Glance {
                name,
                until,
                warmup,
                phase,
                at,
                open,
                answered,
                errors,
                cpu_ns,
                latency: &latency,
            },
        );
    }
}
