//! The supervisor: starts the worker processes, watches them, and ends when all have ended.
//!
//! ```text
//!   Starting -- every worker has reported --> Serving -- another server takes over --> Leaving
//!      |  a worker ended                         |  SIGTERM, SIGINT                       |
//!      v                                         v                                        |
//!   Failing                                   Draining <----------------------------------+
//!                                                |  the second signal
//!                                                v
//!                                             Stopping
//! ```
//!
//! If this server takes over from another one, its workers report when they can serve, and wait.
//! The takeover comes between the last of these reports and the order to serve.
//!
//! A fork returns twice, so [`supervise`] does too: in each worker with its place and its link, and
//! in the supervisor with the way in which all has ended. The supervisor has one thread, because a
//! fork copies only the thread that calls it; it reads files for a reload itself, which delays no
//! connection. Descriptors of other places are closed in a new worker before it serves.
//!
//! Order matters twice. Reports are read before a process is blamed for silence, and the last
//! reports of an ended worker before its place is used again. Neighbours: `place` decides, `sums`
//! counts, `kernel::linux::processes` makes the calls. Man pages: fork(2), signalfd(2), waitid(2).

use std::io;
use std::time::Duration;

use crate::base::text::plural::plural;
use crate::kernel::{
    self, Event, Exit, Link, Linux, OUTPUT_LINES, Opener, Poller, Process, Socket, Source, Time,
    Token, lines_dropped, retry_lines,
};
use crate::limits::{
    LINE_RETRY_PAUSE, NOTICE_INTERVAL, PROCESS_DRAIN_GRACE, PROCESS_MESSAGES_MAX, PROCESS_STOP_MAX,
    PROCESSES_MAX, RELOAD_LINES_BURST, SCRAPE_LOOK_INTERVAL, SIGNAL_ECHO,
};
use crate::protocol::service::Scrape;
use crate::server::admission::listeners::Listeners;
use crate::server::observe::counters::Counters;
use crate::server::observe::log_limiter::LogLimiter;
use crate::server::observe::metrics;
use crate::server::plan::share;
use crate::server::scrapes::{Pages, watch};

use super::liveness::Liveness;
use super::place::Place;
use super::report::{MESSAGE_SIZE_MAX, Message, Order, Report};
use super::sums::Sums;
use crate::workers::notices::Notices;
use crate::workers::signals::Signals;
use crate::workers::takeover::message::Role as Passed;
use crate::workers::takeover::{self, Host, Keeper, Leaving, Takeover, Terms};
use crate::workers::{LINES_DROPPED, Statistics};

/// How worker processes are supervised.
pub struct Supervision {
    /// Number of worker processes.
    pub processes: usize,
    /// Time between two reports of a worker; `None` for none.
    pub alive: Option<Duration>,
    /// When and how lines of statistics are printed.
    pub statistics: Statistics,
    /// Longest time for a drain.
    pub drain_timeout: Duration,
    /// What the service manager is told.
    pub notices: Notices,
    /// Pages of the server about itself.
    pub scrapes: Option<Box<dyn Pages<Socket>>>,
    /// How another server takes over from this one, and this one from another.
    pub takeover: Option<Takeover<Socket>>,
}

impl Supervision {
    /// Whether the workers wait until this server has taken over from another one.
    fn takes_over(&self) -> bool {
        let takeover = self.takeover.as_ref();
        takeover.is_some_and(|takeover| takeover.commit.is_some())
    }
}

/// What this process is, or was.
#[derive(Debug)]
pub enum Role {
    /// A worker process.
    Worker {
        /// Its place, counted from 0.
        place: usize,
        /// The supervisor.
        link: Link,
        /// The listeners of each of its threads. All worker processes share them.
        listeners: Vec<Listeners<Socket>>,
        /// It has to wait for the order to serve.
        waits: bool,
    },
    /// The supervisor, and all workers have ended.
    Supervisor(Ended),
}

/// How all has ended.
#[derive(Debug)]
pub enum Ended {
    /// After a drain.
    Drained {
        /// Number of connections cut.
        cut: u64,
        /// Worker processes that ended without having drained.
        lost: u64,
        /// Counters of all workers, added up.
        counters: Box<Counters>,
    },
    /// A second termination signal arrived, by number.
    Stopped(i32),
    /// A worker ended before all of them served.
    NotStarted {
        /// The worker and its end, as a line.
        line: String,
        /// How it ended.
        exit: Exit,
    },
}

/// Starts the workers and supervises them to their end. `listeners` belong to `linux`. `reload`
/// reads the files again and keeps what it read for later workers, or returns why it failed.
/// `announce` is called when every worker serves.
///
/// # Errors
///
/// A call of the supervisor's own loop, or the first start of a worker, was refused.
pub fn supervise(
    mut linux: Linux,
    listeners: Vec<Listeners<Socket>>,
    supervision: Supervision,
    reload: &mut dyn FnMut() -> Result<(), String>,
    announce: &mut dyn FnMut(),
) -> io::Result<Role> {
    linux.watch_workers()?;
    if let Some(scrapes) = supervision.scrapes.as_ref() {
        // Until it is taken over, the other server answers at the same port.
        if !supervision.takes_over() {
            watch(&mut linux, &**scrapes)?;
        }
    }
    let places = 0..supervision.processes;
    let liveness = Liveness::new(supervision.alive);
    let mut supervisor = Supervisor {
        links: places.clone().map(|_| None).collect(),
        generations: vec![0; supervision.processes],
        places: places.map(|_| Place::new(liveness)).collect(),
        sums: Sums::new(supervision.processes),
        events: [Event::default(); EVENTS],
        liveness,
        linux,
        listeners,
        supervision,
        stage: Stage::Starting,
        next_stats: Time::NEVER,
        next_status: Time::NEVER,
        next_alive: Time::NEVER,
        next_look: Time::NEVER,
        purposes: [false; 2],
        purposes_again: [false; 2],
        cut: 0,
        lost: 0,
        restarted: 0,
        reload_log: LogLimiter::default(),
        told: Vec::new(),
        host: None,
        is_asked: false,
        now: Time::default(),
    };
    let ended = match supervisor.run(reload, announce) {
        // Everything else of the supervisor is closed here.
        Ok(Turned::Worker(place, link)) => {
            return Ok(Role::Worker {
                place,
                link,
                listeners: supervisor.listeners,
                waits: supervisor.supervision.takes_over(),
            });
        }
        Ok(Turned::Ended(ended)) => Ok(ended),
        Err(error) => {
            // Each would tell that its supervisor has ended, behind the line that says why.
            supervisor.kill_all();
            Err(error)
        }
    };
    supervisor.close_doorway();
    supervisor.close_listeners();
    ended.map(Role::Supervisor)
}

/// Events of one wait: all links, signals, the end of a child, scrapes, a takeover, and the
/// poller's own.
const EVENTS: usize = PROCESSES_MAX + 6;

struct Supervisor {
    linux: Linux,
    listeners: Vec<Listeners<Socket>>,
    supervision: Supervision,
    places: Vec<Place>,
    /// The link to the worker of each place, until its end is read.
    links: Vec<Option<Link>>,
    /// Number of workers started in each place.
    generations: Vec<u32>,
    sums: Sums,
    liveness: Liveness,
    stage: Stage,
    next_stats: Time,
    /// When the service manager is told the next status, and that this loop turns.
    next_status: Time,
    next_alive: Time,
    /// When late scrapes are looked for.
    next_look: Time,
    /// What the counts are asked for, by [`Purpose`], and for what again.
    purposes: [bool; 2],
    purposes_again: [bool; 2],
    /// Connections that drains have cut. A worker that was drained alone does not count.
    cut: u64,
    lost: u64,
    restarted: u64,
    reload_log: LogLimiter,
    /// Workers that a signal has told to end, and the signal.
    told: Vec<(usize, i32)>,
    /// Speaks with a server that takes over from this one.
    host: Option<Host<Socket>>,
    /// Another server has come, or has said something.
    is_asked: bool,
    events: [Event; EVENTS],
    /// The time of this turn.
    now: Time,
}

/// What counts are asked for.
#[derive(Clone, Copy)]
enum Purpose {
    /// A line of statistics.
    Line,
    /// A scrape.
    Scrape,
}

#[derive(Debug)]
enum Stage {
    /// No ready line yet.
    Starting,
    Serving,
    /// A worker ended before all of them served.
    Failing(String, Exit),
    /// Another server has the listeners, and gets the connections.
    Leaving,
    Draining {
        /// The signal, and until when the same signal is its echo.
        echo: Option<(i32, Time)>,
        /// When workers that are left are killed.
        until: Time,
    },
    Stopping {
        signal: i32,
        until: Time,
    },
}

/// How the loop ended.
enum Turned {
    /// In a new worker.
    Worker(usize, Link),
    Ended(Ended),
}

impl Supervisor {
    fn run(
        &mut self,
        reload: &mut dyn FnMut() -> Result<(), String>,
        announce: &mut dyn FnMut(),
    ) -> io::Result<Turned> {
        self.now = self.linux.now();
        loop {
            for place in 0..self.places.len() {
                if let Some(link) = self.start_if_due(place)? {
                    return Ok(Turned::Worker(place, link));
                }
            }
            if matches!(self.stage, Stage::Starting) && self.places.iter().all(Place::serves) {
                let has_taken_over = self.begin_to_serve()?;
                self.stage = Stage::Serving;
                self.next_stats = self.next_stats();
                announce();
                self.supervision.notices.tell_serving(has_taken_over);
                self.notify();
            }
            if let Some(ended) = self.ended() {
                return Ok(Turned::Ended(ended));
            }
            let (signals, child_ended) = self.wait()?;
            if child_ended {
                self.reap()?;
            }
            // Signals first: one that was sent to all processes means all of them.
            if signals || !self.told.is_empty() {
                self.follow_signals(reload)?;
            }
            self.answer_told();
            self.advance_host();
            self.end_silent();
            self.expire();
        }
    }

    /// Every worker can serve: takes over from another server if there is one, and opens to the
    /// next one. Returns whether it has taken over.
    fn begin_to_serve(&mut self) -> io::Result<bool> {
        let Some(takeover) = self.supervision.takeover.take() else {
            return Ok(false);
        };
        if let Some((identity, doorway)) = takeover.doorway {
            let copies = takeover.metrics.map(takeover::metrics);
            let copies = copies.into_iter().collect();
            self.host = Some(Host::open(&mut self.linux, identity, doorway, copies)?);
        }
        let passage = match takeover.commit {
            Some(commit) => Some(commit()?),
            None => None,
        };
        // Behind this there is no way back, so nothing that may fail follows.
        for listeners in &self.listeners {
            for listener in listeners.own.iter().chain(&listeners.shared) {
                self.linux.own_path(listener);
            }
        }
        if let Some(host) = &mut self.host {
            host.own();
        }
        let Some(passage) = passage else {
            return Ok(false);
        };
        if let Some(scrapes) = &self.supervision.scrapes {
            if let Err(error) = watch(&mut self.linux, &**scrapes) {
                log::error!("--metrics: epoll_ctl: {error}");
            }
        }
        let sockets: Vec<&Socket> = passage.iter().map(|it| it.descriptor()).collect();
        for place in 0..self.places.len() {
            self.order_with(place, Order::Serve, &sockets);
        }
        Ok(true)
    }

    /// Sends an order that must arrive. A worker that does not take it is killed, and replaced.
    fn order_with(&self, place: usize, order: Order, sockets: &[&Socket]) {
        let (Some(link), Some(id)) = (&self.links[place], self.places[place].id()) else {
            return;
        };
        if let Err(error) = link.send_with(&order.to_bytes(), sockets) {
            log::warn!(
                "worker process {} (pid {id}) takes no order: {error}",
                place + 1
            );
            self.kill(id);
        }
    }

    /// Speaks with a server that takes over from this one.
    fn advance_host(&mut self) {
        let Some(mut host) = self.host.take() else {
            return;
        };
        let is_asked = std::mem::take(&mut self.is_asked);
        match host.advance(self, is_asked) {
            None => self.host = Some(host),
            Some(leaving) => {
                host.end(&mut self.linux);
                self.leave(&leaving);
            }
        }
    }

    /// Another server has the listeners from now on. Each worker passes its connections on, and
    /// ends.
    fn leave(&mut self, leaving: &Leaving<Socket>) {
        log::info!("takeover: the new process serves; the connections follow");
        self.supervision.notices.tell_no_more();
        if let Some(scrapes) = self.supervision.scrapes.take() {
            let _ = self.linux.deregister(scrapes.descriptor());
        }
        let Terms { room, batch } = leaving.terms;
        let running = (0..self.places.len()).filter(|place| self.places[*place].id().is_some());
        let running: Vec<usize> = running.collect();
        for (number, place) in running.iter().enumerate() {
            let room = share(room, running.len(), number);
            let order = Order::HandOver(Terms { room, batch });
            self.order_with(*place, order, &[leaving.passage.descriptor()]);
        }
        self.leave_paths();
        self.close_listeners();
        self.close_empty_places();
        self.stage = Stage::Leaving;
    }

    fn close_empty_places(&mut self) {
        let is_empty = |place: &&mut Place| place.id().is_none();
        let empty = self.places.iter_mut().filter(is_empty);
        empty.for_each(Place::close);
    }

    /// The paths of the listeners stay.
    fn leave_paths(&mut self) {
        for listeners in &self.listeners {
            for listener in listeners.own.iter().chain(&listeners.shared) {
                self.linux.leave_path(listener);
            }
        }
    }

    /// No other server takes over any more. Returns whether one was told before that it serves.
    fn close_doorway(&mut self) -> bool {
        if let Some((_, doorway)) = self.supervision.takeover.take().and_then(|it| it.doorway) {
            doorway.close();
        }
        let Some(host) = self.host.take() else {
            return false;
        };
        let is_promised = host.has_promised();
        host.close(&mut self.linux);
        if is_promised {
            self.leave_paths();
        }
        is_promised
    }

    /// Starts a worker in a place whose time has come. Returns the link in the new process.
    fn start_if_due(&mut self, place: usize) -> io::Result<Option<Link>> {
        if !self.places[place].is_due(self.now) {
            return Ok(None);
        }
        let number = place + 1;
        let generation = self.generations[place];
        match self.start(place) {
            Ok(Started::Here(link)) => return Ok(Some(link)),
            Ok(Started::There(id)) => {
                self.places[place].started(id, self.now);
                self.restarted += u64::from(generation > 0);
                log::debug!("worker process {number} (pid {id}) is started");
            }
            Err(error) if matches!(self.stage, Stage::Starting) => return Err(error),
            Err(error) => {
                let next = self.places[place].ended(self.now);
                let when = self.when(next);
                log::warn!(
                    "worker process {number} cannot be started: {error}; tried again {when}"
                );
            }
        }
        Ok(None)
    }

    fn start(&mut self, place: usize) -> io::Result<Started> {
        let (ours, theirs) = Link::pair()?;
        self.generations[place] += 1;
        let token = Token::new(place as u32, self.generations[place]);
        self.linux.watch_link(&ours, token)?;
        match kernel::start_worker() {
            Ok(Process::Worker) => Ok(Started::Here(theirs)),
            Ok(Process::Supervisor(id)) => {
                self.links[place] = Some(ours);
                Ok(Started::There(id))
            }
            Err(error) => {
                self.linux.close_link(ours);
                Err(error)
            }
        }
    }

    /// Sleeps until there is something to do, and reads the reports that have arrived. Returns
    /// whether signals have arrived, and whether a child has ended.
    fn wait(&mut self) -> io::Result<(bool, bool)> {
        let until = match retry_lines() {
            true => self.deadline().min(self.now.after(LINE_RETRY_PAUSE)),
            false => self.deadline(),
        };
        let count = self.linux.wait(&mut self.events, until)?;
        self.now = self.linux.now();
        if self.liveness.has_overslept(until, self.now) {
            for place in 0..self.places.len() {
                self.places[place].excuse(self.now);
            }
        }
        let (mut signals, mut child_ended) = (false, false);
        for at in 0..count {
            let token = self.events[at].token();
            match token.source() {
                Source::Signals => signals = true,
                Source::Scrapes => self.ask_for_counts(Purpose::Scrape),
                Source::Takeover => self.is_asked = true,
                Source::ChildEnded => child_ended = true,
                Source::WakeUp => self.linux.take_wake_up()?,
                Source::Connection => {
                    let place = token.index() as usize;
                    if self.generations.get(place) == Some(&token.generation()) {
                        self.read_reports(place);
                    }
                }
                _ => {}
            }
        }
        Ok((signals, child_ended))
    }

    /// When to act without an event.
    fn deadline(&self) -> Time {
        let of_stage = match &self.stage {
            Stage::Draining { echo, until } => {
                (echo.map_or(Time::NEVER, |(_, echo_until)| echo_until)).min(*until)
            }
            Stage::Stopping { until, .. } => *until,
            Stage::Starting | Stage::Serving | Stage::Leaving | Stage::Failing(..) => Time::NEVER,
        };
        let of_host = self.host.as_ref().map_or(Time::NEVER, Host::deadline);
        let of_stage = of_stage.min(of_host);
        let places = self.places.iter().map(Place::deadline);
        let next = places.fold(of_stage, Time::min);
        let own = (self.next_stats.min(self.next_status)).min(self.next_alive.min(self.next_look));
        next.min(own).min(self.sums.deadline())
    }

    /// Reads what the worker of `place` has reported, and closes a link that has ended. Returns
    /// whether there may be more.
    fn read_reports(&mut self, place: usize) -> bool {
        let mut space = [0; MESSAGE_SIZE_MAX];
        for _ in 0..PROCESS_MESSAGES_MAX {
            let Some(link) = &self.links[place] else {
                return false;
            };
            match link.receive(&mut space) {
                Ok(size @ 1..) => match Message::from_bytes(&space[..size]) {
                    Some(Message::Report(report)) => self.take_report(place, *report),
                    Some(Message::Told(signal)) => self.told.push((place, signal)),
                    None => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(0) | Err(_) => {
                    if let Some(link) = self.links[place].take() {
                        self.linux.close_link(link);
                    }
                }
            }
        }
        true
    }

    fn take_report(&mut self, place: usize, report: Report) {
        self.places[place].heard(report.has_drained, self.now);
        if matches!(self.stage, Stage::Draining { .. }) {
            self.cut += report.cut;
        }
        self.sums.take(place, report);
        self.print_if_due();
    }

    /// Reaps the children that have ended. One that has no place was an orphan.
    fn reap(&mut self) -> io::Result<()> {
        kernel::Spawner::take_child_report(&mut self.linux)?;
        while let Some((id, exit)) = kernel::take_ended_child()? {
            let is_it = |place: &Place| place.id() == Some(id);
            if let Some(place) = self.places.iter().position(is_it) {
                self.end(place, id, exit);
            }
        }
        Ok(())
    }

    /// The worker of `place` has ended and is reaped.
    fn end(&mut self, place: usize, id: u32, exit: Exit) {
        // Its last reports may not have been read.
        while self.read_reports(place) {}
        if let Some(link) = self.links[place].take() {
            self.linux.close_link(link);
        }
        self.sums.end(place);
        let has_drained = self.places[place].has_drained();
        let line = format!("worker process {} (pid {id}) {exit}", place + 1);
        match self.stage {
            Stage::Serving => {
                let next = self.places[place].ended(self.now);
                let when = self.when(next);
                match has_drained {
                    true => log::info!("{line} after its drain; started again {when}"),
                    false => log::warn!("{line}; started again {when}"),
                }
                // The kernel may have told only this one of a connection in a queue.
                self.order_all(Order::Look);
            }
            Stage::Starting => {
                self.places[place].close();
                self.kill_all();
                self.stage = Stage::Failing(line, exit);
            }
            Stage::Draining { .. } | Stage::Leaving if !has_drained => {
                self.places[place].close();
                log::warn!("{line} before its drain was over");
                self.lost += 1;
            }
            Stage::Draining { .. }
            | Stage::Leaving
            | Stage::Failing(..)
            | Stage::Stopping { .. } => {
                self.places[place].close();
            }
        }
        self.print_if_due();
    }

    /// The time of the next start, as a word.
    fn when(&self, next: Option<Time>) -> String {
        match next.map(|next| next.since(self.now).as_secs()) {
            None | Some(0) => "at once".to_owned(),
            Some(seconds) => format!("in {seconds} s"),
        }
    }

    fn follow_signals(&mut self, reload: &mut dyn FnMut() -> Result<(), String>) -> io::Result<()> {
        let signals = Signals::take(&mut self.linux)?;
        for number in signals.terminations {
            self.terminate(number);
        }
        if signals.reload && matches!(self.stage, Stage::Starting | Stage::Serving) {
            self.supervision.notices.tell_reloading();
            self.reload(reload);
            self.supervision.notices.tell_reloaded();
        }
        if signals.trace {
            for id in self.places.iter().filter_map(Place::id) {
                if let Err(error) = kernel::trace_worker(id) {
                    log::warn!("SIGUSR2 to worker process {id}: {error}");
                }
            }
        }
        if signals.statistics {
            self.ask_for_counts(Purpose::Line);
        }
        Ok(())
    }

    /// Tells the workers that a signal has told to end which of them drain.
    fn answer_told(&mut self) {
        for (place, signal) in std::mem::take(&mut self.told) {
            let order = match self.stage {
                Stage::Draining { .. } | Stage::Leaving => Order::Drain,
                Stage::Failing(..) | Stage::Stopping { .. } => continue,
                Stage::Starting | Stage::Serving if self.places[place].leave() => {
                    Order::Stop(signal)
                }
                Stage::Starting | Stage::Serving => Order::Leave,
            };
            if let Some(link) = &self.links[place] {
                let _ = link.send(&order.to_bytes());
            }
        }
    }

    /// SIGTERM or SIGINT has arrived.
    fn terminate(&mut self, signal: i32) {
        match &self.stage {
            Stage::Starting | Stage::Serving | Stage::Leaving => self.drain(signal),
            Stage::Draining { echo, .. } if echo.is_some_and(|(it, _)| it == signal) => {}
            Stage::Draining { .. } => {
                self.order_all(Order::Stop(signal));
                self.stage = Stage::Stopping {
                    signal,
                    until: self.now.after(PROCESS_STOP_MAX),
                };
            }
            Stage::Failing(..) | Stage::Stopping { .. } => {}
        }
    }

    fn drain(&mut self, signal: i32) {
        self.supervision.notices.tell_stopping();
        // Another server that was told to serve accepts what waits.
        let is_left = self.close_doorway();
        self.order_all(match is_left {
            true => Order::Leave,
            false => Order::Drain,
        });
        self.close_empty_places();
        let is_served = self.places.iter().any(|place| place.id().is_some());
        if !is_served && !is_left {
            // No worker is left that could accept what waits.
            for listener in self.listeners.iter().flat_map(Listeners::all) {
                let waiting = self.linux.queue_length(listener);
                self.cut += waiting.map_or(0, |waiting| waiting as u64);
            }
        }
        self.close_listeners();
        let timeout = self
            .supervision
            .drain_timeout
            .saturating_add(PROCESS_DRAIN_GRACE);
        self.next_stats = self.next_stats();
        self.stage = Stage::Draining {
            echo: Some((signal, self.now.after(SIGNAL_ECHO))),
            until: self.now.after(timeout),
        };
    }

    /// Closes the supervisor's listeners and removes the paths of local ones. The workers still
    /// have theirs.
    fn close_listeners(&mut self) {
        for listeners in std::mem::take(&mut self.listeners) {
            listeners.close(&mut self.linux);
        }
    }

    /// Reads the files, for workers that are started later, and lets those that run do the same. If
    /// that fails, nothing changes anywhere.
    fn reload(&mut self, reload: &mut dyn FnMut() -> Result<(), String>) {
        if let Err(reason) = reload() {
            let now = self.linux.now();
            if let Some(more) = self.reload_log.admit_burst(now, RELOAD_LINES_BURST) {
                log::warn!("SIGHUP: {reason}; nothing has changed{more}");
            }
            return;
        }
        for id in self.places.iter().filter_map(Place::id) {
            if let Err(error) = kernel::reload_worker(id) {
                log::warn!("SIGHUP to worker process {id}: {error}");
            }
        }
    }

    /// Sends an order to every worker.
    fn order_all(&self, order: Order) {
        for link in self.links.iter().flatten() {
            if let Err(error) = link.send(&order.to_bytes()) {
                // It has ended, or is silent and will be killed.
                log::debug!("{order:?} does not reach a worker process: {error}");
            }
        }
    }

    fn kill_all(&self) {
        for id in self.places.iter().filter_map(Place::id) {
            self.kill(id);
        }
    }

    fn kill(&self, id: u32) {
        if let Err(error) = kernel::kill_worker(id) {
            log::warn!("SIGKILL to worker process {id}: {error}");
        }
    }

    /// Kills the workers that have been silent for too long. Reports that arrived before were read.
    fn end_silent(&mut self) {
        for place in 0..self.places.len() {
            if let Some(id) = self.places[place].take_silent(self.now) {
                log::warn!(
                    "worker process {} (pid {id}) is silent, so it is killed",
                    place + 1
                );
                self.kill(id);
            }
        }
    }

    /// Acts on the other deadlines.
    fn expire(&mut self) {
        let now = self.now;
        if now >= self.next_stats {
            self.ask_for_counts(Purpose::Line);
            self.next_stats = self.next_stats();
        }
        if now >= self.next_look {
            // Late peers among the scrapes are ended then.
            self.next_look = Time::NEVER;
            self.ask_for_counts(Purpose::Scrape);
        }
        self.print_if_due();
        if now >= self.next_status.min(self.next_alive) {
            self.notify();
        }
        match &mut self.stage {
            Stage::Draining { echo, until } => {
                if echo.is_some_and(|(_, echo_until)| now >= echo_until) {
                    *echo = None;
                    log::info!("draining; a second signal ends at once");
                }
                if now >= *until {
                    *until = Time::NEVER;
                    self.kill_all();
                }
            }
            Stage::Stopping { until, .. } if now >= *until => {
                *until = Time::NEVER;
                self.kill_all();
            }
            _ => {}
        }
    }

    /// Tells the service manager what is due. The watchdog rides on this loop; a worker whose loop
    /// does not turn is killed by it.
    fn notify(&mut self) {
        let alive = self.places.iter().filter(|place| place.id().is_some());
        let (alive, all) = (alive.count(), self.places.len());
        let notices = &mut self.supervision.notices;
        if self.now >= self.next_alive || self.next_alive == Time::NEVER {
            if self.next_alive != Time::NEVER {
                notices.tell_alive();
            }
            let next = notices.watchdog().map(|span| self.now.after(span));
            self.next_alive = next.unwrap_or(Time::NEVER);
        }
        if notices.is_on() {
            let open = self.sums.counters().connections_now;
            let open = plural(open, "connection", "connections");
            notices.tell_status(&format!("{open}, {alive} of {all} worker processes"));
            self.next_status = self.now.after(NOTICE_INTERVAL);
        }
    }

    fn next_stats(&self) -> Time {
        let interval = self.supervision.statistics.interval;
        interval.map_or(Time::NEVER, |span| self.now.after(span))
    }

    /// Counts are asked for: every worker that serves counts. If they are asked for already, they
    /// are again when the others have come.
    fn ask_for_counts(&mut self, purpose: Purpose) {
        let asked = self.sums.ask(self.now);
        let purposes = match asked {
            Some(_) => &mut self.purposes,
            None => &mut self.purposes_again,
        };
        purposes[purpose as usize] = true;
        if let Some(number) = asked {
            let order = Order::Count(number).to_bytes();
            for place in 0..self.places.len() {
                let link = self.links[place]
                    .as_ref()
                    .filter(|_| self.places[place].serves());
                let may_send = link.filter(|_| !self.sums.is_awaited(place));
                if may_send.is_some_and(|link| link.send(&order).is_ok()) {
                    self.sums.awaits(place);
                }
            }
        }
        self.print_if_due();
    }

    fn print_if_due(&mut self) {
        while self.sums.is_due(self.now) {
            let [line, scrape] = std::mem::take(&mut self.purposes);
            if line {
                self.print_line();
            }
            if scrape {
                self.answer_scrapes();
            }
            if !self.sums.take_asked_again() {
                return;
            }
            let [line, scrape] = std::mem::take(&mut self.purposes_again);
            for (is_asked, purpose) in [(line, Purpose::Line), (scrape, Purpose::Scrape)] {
                if is_asked {
                    self.ask_for_counts(purpose);
                }
            }
        }
    }

    fn processes_alive(&self) -> usize {
        let alive = self.places.iter().filter(|place| place.id().is_some());
        alive.count()
    }

    fn print_line(&self) {
        let Statistics {
            format, by_worker, ..
        } = self.supervision.statistics;
        let (dropped, restarted) = (lines_dropped(), self.restarted);
        let alive = self.processes_alive();
        let line = (self.sums).line(format, by_worker, dropped, alive, restarted);
        OUTPUT_LINES.write(line.as_bytes(), |_| String::new());
    }

    fn answer_scrapes(&mut self) {
        let (name, help) = LINES_DROPPED;
        let more = [
            (name, help, self.sums.lines_dropped() + lines_dropped()),
            (
                "processes_alive",
                "Worker processes now.",
                self.processes_alive() as u64,
            ),
            (
                "processes_restarted",
                "Worker processes started again.",
                self.restarted,
            ),
        ];
        let text = metrics::page(&self.sums.counters(), &more);
        let is_ready = matches!(self.stage, Stage::Serving);
        let Some(scrapes) = &mut self.supervision.scrapes else {
            return;
        };
        scrapes.answer(Scrape::new(text, is_ready));
        self.next_look = match scrapes.needs_a_look() {
            true => self.now.after(SCRAPE_LOOK_INTERVAL),
            false => Time::NEVER,
        };
    }

    /// How all has ended, once no worker is left and none is started.
    fn ended(&mut self) -> Option<Ended> {
        if self
            .places
            .iter()
            .any(|place| place.deadline() != Time::NEVER || place.id().is_some())
        {
            return None;
        }
        match &mut self.stage {
            Stage::Starting | Stage::Serving => None,
            Stage::Leaving => Some(Ended::Drained {
                cut: 0,
                lost: self.lost,
                counters: Box::new(self.sums.counters()),
            }),
            Stage::Failing(line, exit) => Some(Ended::NotStarted {
                line: std::mem::take(line),
                exit: *exit,
            }),
            Stage::Draining { echo, .. } => {
                if echo.is_some() {
                    log::info!("draining");
                }
                Some(Ended::Drained {
                    cut: self.cut,
                    lost: self.lost,
                    counters: Box::new(self.sums.counters()),
                })
            }
            Stage::Stopping { signal, .. } => Some(Ended::Stopped(*signal)),
        }
    }
}

impl Keeper<Socket> for Supervisor {
    type Kernel = Linux;

    fn kernel(&mut self) -> &mut Linux {
        &mut self.linux
    }

    fn now(&self) -> Time {
        self.now
    }

    fn offered(&self) -> Vec<(Passed, &Socket)> {
        let mut offered = Vec::new();
        for (thread, listeners) in self.listeners.iter().enumerate() {
            offered.extend(listeners.own.iter().map(|it| (Passed::Listener, it)));
            if thread == 0 {
                // Other threads have copies of these.
                let shared = listeners.shared.iter().map(|it| (Passed::Listener, it));
                let inherited = listeners.inherited.iter();
                offered.extend(shared.chain(inherited.map(|it| (Passed::Inherited, it))));
            }
        }
        offered
    }

    fn promise(&mut self) -> bool {
        matches!(self.stage, Stage::Serving)
    }

    fn keep(&mut self) {
        // The kernel may have told only the other server of a connection in a queue.
        self.order_all(Order::Look);
    }
}

enum Started {
    /// In the supervisor: the number of the worker.
    There(u32),
    /// In the worker.
    Here(Link),
}
