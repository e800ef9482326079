//! The workers: one server loop per thread, and the block that connects them.
//!
//! Workers share no connection state. They share three requests: start the drain, publish the
//! counters, and replace the service. The first worker runs on the calling thread and reads the
//! signals; it wakes the other workers through their eventfds.
//!
//! All pending signals are taken before any is acted on. Termination comes first, so that a flood
//! of other signals cannot delay it. A reload runs in `reload` and blocks no worker. Each worker
//! copies its counters out on request, and the last one to answer adds them up, so the counters
//! themselves are never shared.
//!
//! In a worker process (`processes`) the counters go to the supervisor instead of stdout, and its
//! orders come like signals.
//!
//! Neighbours: `server` below, `signals`, `reload` and `processes` beside it, `cli::run` above. See
//! signalfd(2), eventfd(2).

pub mod notices;
mod orphans;
pub mod processes;
pub(crate) mod reload;
mod shared;
pub(crate) mod signals;
pub mod takeover;
mod totals;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::text::plural::plural;
use crate::kernel::{Opener, Spawner, Time, Waker, lines_dropped, retry_lines, retry_lines_by};
use crate::limits::{LINE_RETRY_PAUSE, NOTICE_INTERVAL, SCRAPE_LOOK_INTERVAL, SIGNAL_ECHO};
use crate::protocol::service::{Scrape, Service};

use super::server::admission::handoff::{Handoff, Wake};
use super::server::observe::counters::{Counters, StatsFormat};
use super::server::observe::metrics;
use super::server::{Loop, Server, TimerId, thread_refused};
use notices::Notices;
use orphans::Orphans;
use processes::{Order, OrderOrEnd, Reporter};
use reload::Reloads;
use shared::Shared;
use signals::{Echo, Signals};
use takeover::{Desk, Seat, Takeover, Told};
use totals::{Purpose, Sink, Totals};

/// The name of the lines that found no room, and what it counts.
const LINES_DROPPED: (&str, &str) = (
    "log_lines_dropped",
    "Lines of the log and the statistics that found no room.",
);
/// The exit of a worker process whose supervisor has ended is that of SIGTERM.
const SUPERVISOR_LOST: i32 = 15;

/// How serving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The drain is over. Every connection was served to its end, except those that the drain
    /// time-out cut.
    Drained {
        /// Number of connections cut.
        cut: u64,
        /// Counters of all workers, added up.
        counters: Box<Counters>,
    },
    /// A second termination signal arrived, by number: the process exits at once.
    Stopped(i32),
}

/// What the caller has the workers do.
pub struct Hooks {
    /// What a worker, by number, does on its thread before it serves.
    pub begin: Box<dyn Fn(usize) + Send + Sync>,
    /// Writes the trace (SIGUSR2), without waiting for the file.
    pub trace: Box<dyn Fn() + Send + Sync>,
}

impl Default for Hooks {
    /// Nothing.
    fn default() -> Hooks {
        Hooks {
            begin: Box::new(|_| ()),
            trace: Box::new(|| ()),
        }
    }
}

/// The process that watches over this one.
#[derive(Debug)]
pub enum Watcher {
    /// No other program.
    None,
    /// The supervisor of a worker process.
    Supervisor(Reporter),
    /// A service manager, if there is one.
    ServiceManager(Notices),
}

/// The other processes of a server.
pub struct Around<Socket> {
    /// What watches over this one.
    pub watcher: Watcher,
    /// How another process takes over from this one, and this one from another.
    pub takeover: Option<Takeover<Socket>>,
}

/// When and how lines of statistics are printed.
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    /// Time between two lines; `None` prints one only for a signal.
    pub interval: Option<Duration>,
    /// How a line is written.
    pub format: StatsFormat,
    /// A line has the connections of each worker.
    pub by_worker: bool,
}

/// Makes the first worker of this process hand connections to all of them in turn. `share` is the
/// number of slots of each.
pub fn hand_over<K, S>(servers: &mut [Server<K, S>], wakers: &[Waker], share: &dyn Fn(usize) -> u32)
where
    K: Spawner + Opener,
    S: Service,
{
    let seats = wakers.iter().enumerate().map(|(worker, waker)| {
        let (slots, waker) = (share(worker), waker.clone());
        (slots as usize, Box::new(move || waker.wake()) as Wake)
    });
    let handoff = Handoff::new(seats);
    for (place, server) in servers.iter_mut().enumerate() {
        server.join_handoff(Arc::clone(&handoff), place);
    }
}

/// Runs every server to its end: the first one on this thread, each other one on a thread of its
/// own. `wakers` wake the servers, in the same order. `announce` is called when every server has
/// its thread, before the first one serves. `reload` loads a service again, on its own thread, or
/// returns the reason why it failed. `hooks` are called by the workers.
///
/// # Errors
///
/// The error that ended a loop, a thread that could not be started, or a worker that panicked.
pub fn run<K, S>(
    servers: Vec<Server<K, S>>,
    wakers: Vec<Waker>,
    statistics: Statistics,
    reload: impl FnMut() -> Result<S, String> + Send + 'static,
    hooks: Hooks,
    announce: impl FnOnce(),
) -> io::Result<Ending>
where
    K: Spawner + Opener + Send + 'static,
    K::Socket: Send,
    S: Service<State: Send> + Clone + Send + 'static,
{
    let alone = Around {
        watcher: Watcher::None,
        takeover: None,
    };
    run_for(alone, servers, wakers, statistics, reload, hooks, announce)
}

/// The same for a process with others `around` it. For a supervisor the first report says that
/// every server has its thread; statistics are printed by the supervisor.
///
/// # Errors
///
/// Those of [`run`].
pub fn run_for<K, S>(
    around: Around<K::Socket>,
    mut servers: Vec<Server<K, S>>,
    wakers: Vec<Waker>,
    statistics: Statistics,
    reload: impl FnMut() -> Result<S, String> + Send + 'static,
    hooks: Hooks,
    announce: impl FnOnce(),
) -> io::Result<Ending>
where
    K: Spawner + Opener + Send + 'static,
    K::Socket: Send,
    S: Service<State: Send> + Clone + Send + 'static,
{
    let Around { watcher, takeover } = around;
    let (reporter, notices) = match watcher {
        Watcher::None => (None, Notices::default()),
        Watcher::Supervisor(reporter) => (Some(Arc::new(reporter)), Notices::default()),
        Watcher::ServiceManager(notices) => (None, notices),
    };
    let has_effects = servers.iter().any(Server::has_effects);
    let sink = match &reporter {
        None => Sink::Line {
            format: statistics.format,
            by_worker: statistics.by_worker,
        },
        Some(reporter) => Sink::supervisor(reporter),
    };
    let totals = Totals::new(servers.len(), notices, sink);
    let run_main = wakers.first().ok_or(io::ErrorKind::InvalidInput)?;
    let has_thread = !servers.iter().any(Server::forks);
    let reloads = Reloads::new(reload, run_main.clone(), has_thread);
    retry_lines_by(run_main.clone());
    let shared = Arc::new(Shared::new(totals, wakers, hooks));
    let orphans = Orphans::default();
    let copies = match takeover {
        Some(_) => takeover::copies(&mut servers)?,
        None => Vec::new(),
    };
    let desk = takeover
        .as_ref()
        .map(|it| Arc::new(Desk::new(servers.len(), it.passage)));
    let mut workers = servers
        .into_iter()
        .enumerate()
        .map(|(number, server)| Worker::new(number, server, &shared, desk.as_ref(), &orphans));
    let mut first = workers.next().ok_or(io::ErrorKind::InvalidInput)?;
    // In a worker process each sum is a report.
    first.set_timers(match &reporter {
        Some(reporter) => reporter.alive(),
        None => statistics.interval,
    });
    let mut threads = Vec::new();
    let started: io::Result<()> = workers.try_for_each(|worker| {
        let thread = thread::Builder::new().name(format!("worker-{}", worker.number));
        let name = format!("the thread of worker {}", worker.number);
        let thread = thread.spawn(move || worker.run_worker());
        threads.push(thread.map_err(|error| thread_refused(&name, &error))?);
        Ok(())
    });
    let serve = || -> io::Result<Ending> {
        started?;
        let has_taken_over = first.open(takeover, copies, reporter.as_deref())?;
        announce();
        shared.totals().notices.tell_serving(has_taken_over);
        (first.shared.hooks.begin)(first.number);
        if reporter.is_some() {
            // The first report says that this process serves.
            shared.request_counts(Purpose::LINE);
        }
        first.run_main(reporter.as_deref(), reloads)
    };
    let ending = panic::catch_unwind(AssertUnwindSafe(serve));
    // After a drain none is left. Only the first worker can have local listeners, whose paths are
    // to be removed.
    first.close_listeners();
    if let Some((_, desk)) = &first.takeover {
        if !matches!(ending, Ok(Ok(_))) {
            // Workers that wait to serve end instead.
            shared.stop.store(true, Ordering::Release);
        }
        desk.open();
        if desk.leaves() {
            let passed = plural(desk.passed(), "connection", "connections");
            log::info!("takeover: passed {passed} to the new process");
        }
    }
    let ending = ending.unwrap_or_else(|panic| {
        // The thread of the caller survives its panic: the other workers must not.
        shared.stop_and_join(std::mem::take(&mut threads));
        panic::resume_unwind(panic)
    });
    if let Ok(Ending::Drained { .. }) = ending {
        let joined: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        for ended in joined {
            ended.map_err(|_| io::Error::other("a worker panicked"))??;
        }
        if let (Some(reporter), Ok(Ending::Drained { cut, counters })) = (&reporter, &ending) {
            let by_worker = shared.totals().by_worker();
            reporter.report_drained(*cut, by_worker, (**counters).clone());
        }
    } else if has_effects || ending.is_err() {
        // Threads end with the process, but the commands they started do not. After an error the
        // process of a library's user goes on.
        shared.stop_and_join(threads);
    }
    ending
}

struct Worker<K: Spawner + Opener, S: Service> {
    number: usize,
    server: Server<K, S>,
    shared: Arc<Shared<S>>,
    orphans: Orphans<K::Socket>,
    /// The last request for counters that this worker has answered.
    seen: u64,
    /// The last request to look at the listeners that this worker has followed.
    looks: u64,
    /// Number of the newest reloaded service that this worker has taken.
    reloads: u64,
    /// When late scrapes are looked for; in the past if they are not.
    next_look: Time,
    retired: bool,
    /// Its part in a takeover, and what it shares with the others.
    takeover: Option<Part<K::Socket>>,
}

/// What the workers share in a takeover.
type SharedDesk<Socket> = Arc<Desk<Socket>>;
/// The part of a worker in a takeover, and what it shares with the others.
type Part<Socket> = (Seat<Socket>, SharedDesk<Socket>);

impl<K: Spawner + Opener, S: Service + Clone + Send + 'static> Worker<K, S> {
    fn new(
        number: usize,
        mut server: Server<K, S>,
        shared: &Arc<Shared<S>>,
        desk: Option<&SharedDesk<K::Socket>>,
        orphans: &Orphans<K::Socket>,
    ) -> Worker<K, S> {
        let drain = Arc::clone(shared);
        server.drain_with(move || _ = drain.request_drain());
        Worker {
            number,
            server,
            shared: Arc::clone(shared),
            orphans: orphans.clone(),
            seen: 0,
            looks: 0,
            reloads: 0,
            next_look: Time::default(),
            retired: false,
            takeover: desk.map(|desk| (Seat::new(number), Arc::clone(desk))),
        }
    }

    /// The first worker takes over from a running process if there is one, and opens to the next
    /// one. In a worker process the supervisor does both, and this one waits for it. Then all
    /// workers may serve. Returns whether it has taken over.
    fn open(
        &mut self,
        takeover: Option<Takeover<K::Socket>>,
        mut copies: Vec<takeover::Copy<K::Socket>>,
        reporter: Option<&Reporter>,
    ) -> io::Result<bool> {
        let (Some(takeover), Some((seat, desk))) = (takeover, &mut self.takeover) else {
            return Ok(false);
        };
        copies.extend(takeover.metrics.map(takeover::metrics));
        let has_commit = takeover.commit.is_some();
        match (takeover.doorway, reporter) {
            (Some(doorway), _) => {
                seat.open(&mut self.server, doorway, copies)?;
                // Behind this there is no way back, so nothing that may fail follows.
                if let Some(passage) = takeover.commit.map_or(Ok(None), |commit| commit())? {
                    desk.take_from(passage);
                }
                seat.own(&mut self.server);
            }
            (None, Some(reporter)) if !reporter.wait_to_serve() => desk.give_up(),
            (None, reporter) => {
                if let Some(socket) = reporter.and_then(Reporter::take_socket) {
                    desk.take_from_socket(socket);
                }
            }
        }
        seat.begin(&mut self.server, desk);
        desk.open();
        Ok(has_commit)
    }

    /// No other process takes over any more. A process that was told before that it serves has the
    /// listeners, which stay as they are.
    fn close_doorway(&mut self) {
        if let Some((seat, desk)) = &mut self.takeover {
            let is_left = desk.end();
            seat.close(&mut self.server);
            if is_left {
                self.server.leave_listeners();
            }
        }
    }

    /// This process ends: it closes the listeners, and removes the paths of the local ones.
    fn close_listeners(&mut self) {
        self.close_doorway();
        self.server.close_listeners();
    }

    /// Does what a takeover wants between two turns.
    #[cold]
    fn advance_takeover(&mut self) {
        let Some((seat, desk)) = &mut self.takeover else {
            return;
        };
        match seat.advance(&mut self.server, desk) {
            Told::Nothing => {}
            Told::Leaving => {
                self.shared.totals().notices.tell_no_more();
                log::info!("takeover: the new process serves; the connections follow");
                self.shared.wake_all();
            }
            Told::Look => {
                self.shared.look.fetch_add(1, Ordering::AcqRel);
                self.shared.wake_all();
            }
        }
    }

    /// Runs turns until this worker is told to drain and has drained. If it fails, all workers
    /// drain: a server with some of its workers is worse than none.
    fn run_worker(mut self) -> io::Result<()> {
        // A service or a task may panic. Without this worker's end the drain would never be over.
        // What the panic left behind is only counted and dropped, so it need not be consistent.
        let ended = panic::catch_unwind(AssertUnwindSafe(|| self.run_turns()));
        let reason = match &ended {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        log::error!("worker {}: {reason}", self.number);
        let listeners = self.server.release_listeners();
        self.orphans.leave(listeners, self.server.abandon_handed());
        if self.shared.totals().has_supervisor() {
            // A drain makes the kernel put nothing more into queues that other processes serve.
            self.shared.leave.store(true, Ordering::Release);
        }
        self.shared.request_drain();
        self.shared.retire(self.number, &self.server);
        ended.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Serves what was handed to workers that have failed. What has no room here waits until there
    /// is some, or for another worker.
    fn adopt_handed(&mut self) {
        let mut handed = self.orphans.take_handed();
        if !handed.is_empty() {
            self.server.adopt_handed(&mut handed);
            self.orphans.leave(Vec::new(), handed);
        }
    }

    /// Serves what workers that have failed have left: what was handed to them, and what is in the
    /// queues of their listeners.
    fn adopt_orphans(&mut self) {
        self.adopt_handed();
        for (listener, is_inherited) in self.orphans.take_listeners() {
            let added = match is_inherited {
                true => self.server.inherit_listener(listener),
                false => self.server.share_listener(listener),
            };
            if let Err(error) = added {
                log::error!("the queue of a listener is lost: epoll_ctl: {error}");
            }
        }
    }

    fn run_turns(&mut self) -> io::Result<()> {
        if let Some((seat, desk)) = &mut self.takeover {
            desk.wait_until_open();
            if self.shared.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            seat.begin(&mut self.server, desk);
        }
        (self.shared.hooks.begin)(self.number);
        loop {
            self.turn()?;
            if self.retired || self.shared.stop.load(Ordering::Acquire) {
                self.server.finish_tasks();
                return Ok(());
            }
        }
    }

    /// Sets the timers of everything periodic that belongs to the first worker.
    fn set_timers(&mut self, stats_interval: Option<Duration>) {
        let (status, alive) = {
            let notices = &self.shared.totals().notices;
            (
                notices.is_on().then_some(NOTICE_INTERVAL),
                notices.watchdog(),
            )
        };
        for (interval, purpose) in [
            (stats_interval, Purpose::LINE),
            (status, Purpose::STATUS),
            (alive, Purpose::ALIVE),
        ] {
            if let Some(interval) = interval {
                let shared = Arc::clone(&self.shared);
                let ask = move |_: &mut Loop<'_>| shared.request_counts(purpose);
                self.server.with_loop(|view| _ = view.every(interval, ask));
            }
        }
    }

    /// Runs turns like the other workers and also reads the signals, until the last worker has
    /// drained.
    fn run_main(
        &mut self,
        reporter: Option<&Reporter>,
        mut reloads: Reloads<S>,
    ) -> io::Result<Ending> {
        // The supervisor logs its own drain and that of each worker.
        let mut echo = match reporter {
            Some(_) => Echo::silent(),
            None => Echo::default(),
        };
        let mut retry = None;
        // A drained worker keeps turning to receive a second signal and to wait for the other
        // workers.
        while !self.retired || self.shared.totals().has_runs() {
            self.retry_lines(&mut retry);
            self.answer_scrapes();
            let signals = match self.turn()? {
                true => Signals::take(self.server.kernel_mut())?,
                false => Signals::default(),
            };
            while let Some(order) = reporter.and_then(Reporter::take) {
                if let Some(ending) = self.follow_order(order, reporter) {
                    return Ok(ending);
                }
            }
            let now = self.server.now();
            for number in signals.terminations {
                if echo.is_of(number) {
                    continue;
                }
                if let Some(reporter) = reporter {
                    // The supervisor may have got the signal too, and says which drain. Without it
                    // this process drains alone.
                    if reporter.tell(number) {
                        self.begin_echo(&mut echo, number);
                        continue;
                    }
                    self.shared.leave.store(true, Ordering::Release);
                }
                if self.shared.request_drain() {
                    return Ok(Ending::Stopped(number));
                }
                self.follow_control();
                self.begin_echo(&mut echo, number);
            }
            if signals.reload {
                self.shared.totals().notices.tell_reloading();
                reloads.ask();
            }
            if signals.statistics {
                self.shared.request_counts(Purpose::LINE);
            }
            if signals.trace {
                (self.shared.hooks.trace)();
            }
            let shared = &self.shared;
            let hand_over = |service| shared.hand_over(service);
            reloads.advance(now, hand_over, || shared.reloaded().is_taken());
            if reloads.is_idle() && shared.totals().notices.is_reloading() {
                shared.totals().notices.tell_reloaded();
            }
            // Follow the requests here too, in case this worker's own wake-up failed.
            self.follow_control();
            self.retire_if_done();
            echo.settle();
        }
        echo.end();
        self.server.finish_tasks();
        Ok(self.shared.ending())
    }

    /// Carries out an order of the supervisor. Returns how this process ends, if that is at once.
    #[cold]
    fn follow_order(&mut self, order: OrderOrEnd, reporter: Option<&Reporter>) -> Option<Ending> {
        match order {
            OrderOrEnd::Order(Order::Drain) => {
                self.shared.leave.store(false, Ordering::Release);
                self.shared.request_drain();
            }
            OrderOrEnd::Order(Order::Leave) => {
                self.shared.leave.store(true, Ordering::Release);
                self.shared.request_drain();
            }
            OrderOrEnd::Order(Order::Stop(signal)) => return Some(Ending::Stopped(signal)),
            OrderOrEnd::Order(Order::Count(number)) => {
                self.shared.totals().ask(number);
                self.shared.request_counts(Purpose::LINE);
            }
            OrderOrEnd::Order(Order::HandOver(terms)) => {
                let socket = reporter.and_then(Reporter::take_socket);
                if let Some((_, desk)) = &self.takeover {
                    desk.hand_over(socket, terms);
                    self.shared.wake_all();
                }
            }
            // It has served already.
            OrderOrEnd::Order(Order::Serve) => {}
            OrderOrEnd::Order(Order::Look) => {
                self.shared.look.fetch_add(1, Ordering::AcqRel);
                self.shared.wake_all();
            }
            OrderOrEnd::End => {
                log::error!("the supervisor has ended, so this worker process ends too");
                return Some(Ending::Stopped(SUPERVISOR_LOST));
            }
        }
        None
    }

    /// Answers the scrapes for which the counters were collected, and collects those for others.
    fn answer_scrapes(&mut self) {
        if !self.server.has_scrapes() {
            return;
        }
        if self.server.take_scraped() {
            self.shared.request_counts(Purpose::SCRAPE);
        }
        let mut totals = self.shared.totals();
        if !totals.take_scrape() {
            return;
        }
        let dropped = (LINES_DROPPED.0, LINES_DROPPED.1, lines_dropped());
        let text = metrics::page(&totals.sum(), &[dropped]);
        drop(totals);
        let is_ready = !self.shared.drain.load(Ordering::Acquire);
        if self.server.answer_scrapes(Scrape::new(text, is_ready)) {
            self.look_later();
        }
    }

    /// Has late peers among the scrapes ended, though nothing comes from them.
    fn look_later(&mut self) {
        let now = self.server.now();
        if now < self.next_look {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let ask = move |_: &mut Loop<'_>| shared.request_counts(Purpose::SCRAPE);
        let is_set = self
            .server
            .with_loop(|view| view.once(SCRAPE_LOOK_INTERVAL, ask).is_ok());
        if is_set {
            self.next_look = now.after(SCRAPE_LOOK_INTERVAL);
        }
    }

    /// Writes the rests of lines, and sets a timer for what finds no room.
    fn retry_lines(&mut self, retry: &mut Option<TimerId>) {
        self.server.with_loop(|view| {
            let waits = retry.is_some_and(|timer| view.is_set(timer));
            if !waits && retry_lines() {
                let again = |view: &mut Loop<'_>| {
                    if let Some(this) = view.timer().filter(|_| !retry_lines()) {
                        view.cancel(this);
                    }
                };
                // Without a free timer the next wake-up tries again.
                *retry = view.every(LINE_RETRY_PAUSE, again).ok();
            }
        });
    }

    /// The drain begins with this signal, whose echo is expected.
    fn begin_echo(&mut self, echo: &mut Echo, number: i32) {
        let over = echo.begin(number);
        let waker = self.shared.wakers.first().cloned();
        let end = move |_: &mut Loop<'_>| {
            over.store(true, Ordering::Release);
            // The end of the echo is settled after the signals of the same turn.
            waker.iter().for_each(Waker::wake);
        };
        if let Err(refused) = self.server.with_loop(|view| view.once(SIGNAL_ECHO, end)) {
            self.server.with_loop(refused.into_inner());
        }
    }

    /// Runs the loop until something other than a connection needs work, and follows requests.
    /// Returns whether signals have arrived.
    fn turn(&mut self) -> io::Result<bool> {
        let seat = self.takeover.as_ref().map(|(seat, _)| seat);
        let wakeups = match (self.server.has_driver(), seat) {
            (false, None) => self.server.run(Time::NEVER)?,
            (false, Some(seat)) if seat.is_busy() => self.server.turn(seat.deadline())?,
            (false, Some(seat)) => self.server.run(seat.deadline())?,
            (true, _) => self.server.run_with_driver(Time::NEVER)?,
        };
        if wakeups.wake_up {
            self.server.take_wake_up()?;
            self.follow_control();
        }
        if self.takeover.is_some() {
            self.advance_takeover();
        }
        self.retire_if_done();
        Ok(wakeups.signals)
    }

    /// Publishes the last counters once all connections are closed.
    fn retire_if_done(&mut self) {
        let takes = (self.takeover.as_ref()).is_some_and(|(seat, _)| seat.takes());
        if self.server.is_done() && !takes && !self.retired {
            // What was handed to a worker that has failed may have had no room here before.
            self.adopt_handed();
            self.retired = self.server.is_done();
            if self.retired {
                self.shared.retire(self.number, &self.server);
            }
        }
    }

    /// Carries out the requests made since the last call.
    fn follow_control(&mut self) {
        if self.shared.drain.load(Ordering::Acquire) {
            if !self.retired {
                self.adopt_orphans();
            }
            self.close_doorway();
            if self.shared.leave.load(Ordering::Acquire) {
                self.server.close_listeners();
            }
            self.server.drain();
        }
        let look = self.shared.look.load(Ordering::Acquire);
        if look != self.looks {
            self.looks = look;
            self.server.look_at_listeners();
        }
        let request = self.shared.request.load(Ordering::Acquire);
        if request != self.seen {
            self.seen = request;
            self.shared.publish(self.number, &self.server.sum());
        }
        let newer = self.shared.reloaded().newer(&mut self.reloads);
        if let Some(service) = newer {
            // Frees the old service, unless another worker still uses it.
            self.server.replace_service(service);
            self.shared.settle_news(self.number);
        }
    }
}
