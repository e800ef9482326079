//! Plays a world from its start to the last closed descriptor, and checks what must hold meanwhile.
//!
//! Each peer takes a step, then the loop turns until it would wait past the next step. After every
//! turn the state is checked, and the loop must not spin. At the end every peer has the bytes it
//! was owed, and no resource is left. The reason of a failed check is not known here: a check
//! panics.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mynah::base::token_bucket::{Bucket, Rate};
use mynah::kernel::{Address, Opener, Sharing, Spawner, Time};
use mynah::protocol::connection::Protocol;
use mynah::protocol::service::{
    AnyService, Dict, Discard, Echo, Http, PrefixedEcho, Robot, Run, Service, Upper, UpperUnicode,
};
use mynah::server::admission::AcceptPolicy;
use mynah::server::admission::announced::ProxyRule;
use mynah::server::admission::handoff::{Handoff, Wake};
use mynah::server::observe::counters::Counters;
use mynah::server::pace::{Limits, Pacing};
use mynah::server::{Server, Settings};

use crate::sim::{Config, Dice, Faults, Sim, Socket, Worker};

use super::actor::{Actor, End};
use super::challenging::Lock;
use super::crossing::Crossing;
use super::datagrams::Datagrams;
use super::errands::Errands;
use super::http::LINE_MAX;
use super::world::{ALLOWED, Answering, DICTIONARY, PREFIX, World};

/// Steps after which some peer must be stuck.
const STEPS_MAX: usize = 60_000;
/// The rates of a world, with fresh buckets.
fn pacing(world: &World) -> Pacing {
    let limits = |each: Option<Rate>, total: Option<Rate>| Limits {
        each,
        total: total.map(|rate| Arc::new(Bucket::new(rate))),
    };
    let [read, read_total, write, write_total] = world.rates;
    Pacing {
        read: limits(read, read_total),
        write: limits(write, write_total),
        idle_read: world.idle_read,
        idle_write: world.idle_write,
    }
}

/// Consecutive turns that may do nothing without a fault as their cause: one edge without news,
/// then a wait.
const IDLE_TURNS_MAX: u32 = 2;
/// The same with spurious events. More turns than this are no longer random.
const UNLUCKY_TURNS_MAX: u32 = 400;

/// The deadlines of all timers come within this time.
const TIMERS_SPAN: Duration = Duration::from_secs(3);

/// The totals of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub turns: u64,
    pub connections: u64,
    pub bytes: u64,
    pub complete: u64,
    pub early: u64,
    pub own: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.turns += other.turns;
        self.connections += other.connections;
        self.bytes += other.bytes;
        self.complete += other.complete;
        self.early += other.early;
        self.own += other.own;
    }
}

/// Plays `world` and panics at the first violation. Writes the calls into `trace` if there is one.
pub fn play(world: &World, trace: Option<&mut String>) -> Tally {
    let service: AnyService = match world.manner.answering {
        Answering::Echo => return Stage::new(world, Echo, trace).play(),
        Answering::Upper => Upper.into(),
        Answering::UpperUnicode => UpperUnicode.into(),
        Answering::Discard => Discard.into(),
        Answering::Prefixed => PrefixedEcho::new(PREFIX).into(),
        Answering::Dict => Dict::parse(DICTIONARY.into()).expect("a dictionary").into(),
        Answering::Robot => Robot.into(),
        Answering::Http => Http::default().into(),
        Answering::Run => {
            let lines = ALLOWED.map(str::to_owned).to_vec();
            Run::new(lines, !world.manner.shape.tells_lengths()).into()
        }
    };
    Stage::new(world, service, trace).play()
}

fn locked(sim: &Mutex<Sim>) -> MutexGuard<'_, Sim> {
    sim.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The listeners of each worker: those of its own, and those that all have.
fn listeners(world: &World, kernels: &mut [Worker]) -> Vec<(Vec<Socket>, Vec<Socket>)> {
    let mut address: Address = "tcp://127.0.0.1:0".parse().expect("an address");
    let mut options = Sim::listen_options(world.backlog);
    let mut all: Vec<_> = kernels.iter().map(|_| (Vec::new(), Vec::new())).collect();
    if world.accept == Some(AcceptPolicy::Reuseport) {
        options.sharing = Sharing::First;
    }
    let first = kernels[0].listen(&address, &options);
    let first = first.expect("nothing is in the way");
    match world.accept {
        None | Some(AcceptPolicy::Handoff) => all[0].0.push(first),
        Some(AcceptPolicy::Exclusive) => {
            for (kernel, (_, shared)) in kernels.iter_mut().zip(&mut all).skip(1) {
                let copy = kernel.share(&first);
                shared.push(copy.expect("another descriptor"));
            }
            all[0].1.push(first);
        }
        Some(AcceptPolicy::Reuseport) => {
            address = kernels[0].local(&first).expect("an address");
            options.sharing = Sharing::Next;
            for (kernel, (own, _)) in kernels.iter_mut().zip(&mut all).skip(1) {
                let next = kernel.listen(&address, &options);
                own.push(next.expect("nothing is in the way"));
            }
            all[0].0.push(first);
        }
    }
    all
}

pub(super) struct Stage<'a, S: Service> {
    pub(super) world: &'a World,
    /// The workers.
    pub(super) servers: Vec<Server<Worker, S>>,
    /// The one kernel behind them.
    pub(super) sim: Arc<Mutex<Sim>>,
    pub(super) handoff: Option<Arc<Handoff<Socket>>>,
    /// The listeners, in the order of the workers if each has its own.
    pub(super) doors: Vec<u32>,
    pub(super) actors: Vec<Actor>,
    errands: Option<Errands>,
    pub(super) crossing: Option<Crossing>,
    pub(super) is_draining: bool,
    datagrams: Option<Datagrams>,
    dice: Dice,
    trace: Option<&'a mut String>,
    step: usize,
    turns: u64,
    /// For each worker.
    idle_turns: Vec<u32>,
}

impl<'a, S: Service + Clone> Stage<'a, S> {
    fn new(world: &'a World, service: S, trace: Option<&'a mut String>) -> Stage<'a, S> {
        let has_datagrams = Datagrams::are_in(world);
        let mut sim = Sim::new(Config {
            request: world.request,
            reply: world.reply,
            descriptors: world.descriptors + usize::from(has_datagrams),
            batches_at_once: world.batches_at_once,
            seed: world.seed,
            faults: Faults::none(),
        });
        sim.keep_journal(trace.is_some());
        if service.effects().is_some() {
            sim.supervise().expect("it can be supervised");
        }
        let framing = world.manner.shape.framing(world.manner.limit);
        let protocol = Protocol {
            framing,
            service,
            on_too_long: world.manner.on_too_long,
        };
        let longest = match framing.has_boundaries() {
            true => framing.frame_size_max(world.manner.limit),
            // If the replies have no room, the connection halves the bytes that it passes to the
            // service. Half of them must still hold a line.
            false if world.manner.answering == Answering::Http => 2 * LINE_MAX,
            false => 1,
        };
        let mut workspace = world.workspace;
        match protocol.reply_max(longest).max(protocol.awaited_max()) {
            0 => workspace.outbound = 0,
            reply => workspace.outbound += reply,
        }
        if world.slow_deaths {
            sim.let_them_die_slowly();
        }
        let settings = Settings {
            connections_max: world.slots,
            workspaces: world.workspaces,
            workspace,
            trigger: world.trigger,
            idle_timeout: world.idle_timeout,
            stall_timeout: world.stall_timeout,
            stall_size_min: world.stall_size_min,
            defer_accept: world.defer_accept,
            spin: world.spin,
            frames_per_event: world.frames_per_event,
            frame_timeout: world.frame_timeout,
            connections_per_ip_max: world.connections_per_ip_max,
            backlog: world.backlog,
            drain_timeout: world.drain_timeout,
            wiretap: None,
            auth: world.lock.map(Lock::auth),
            trace: None,
            pacing: pacing(world),
            proxy: world.is_announced.then(|| ProxyRule {
                is_required: true,
                from: [].into(),
                counts: None,
            }),
        };
        let count = world.workers();
        let socket = has_datagrams.then(|| Datagrams::open(&mut sim));
        let (sim, mut kernels) = Worker::of(sim, count);
        let mut listeners = listeners(world, &mut kernels);
        let mut servers = Vec::new();
        for kernel in kernels {
            let (own, shared) = listeners.remove(0);
            let (protocol, settings) = (protocol.clone(), settings.clone());
            let mut server = Server::new(kernel, own, protocol, settings).expect("a start");
            for listener in shared {
                server.share_listener(listener).expect("a start");
            }
            servers.push(server);
        }
        let handoff = (world.accept == Some(AcceptPolicy::Handoff)).then(|| {
            let seat = |place| {
                let sim = Arc::clone(&sim);
                let wake = move || locked(&sim).wake_worker(place);
                (world.slots, Box::new(wake) as Wake)
            };
            Handoff::new((0..count).map(seat))
        });
        for (place, server) in servers.iter_mut().enumerate() {
            if let Some(handoff) = &handoff {
                server.join_handoff(Arc::clone(handoff), place);
            }
        }
        let doors = locked(&sim).listeners().to_vec();
        let datagrams = socket.map(|it| Datagrams::new(world, it, &mut servers[0]));
        locked(&sim).set_faults(world.faults.clone());
        let actors = world.parts.iter().map(Actor::new).collect();
        let errands = Errands::new(world.seed, &mut servers[0]);
        let crossing = world.takeover.map(|plan| Crossing::new(world.seed, plan));
        let dice = Dice::new(!world.seed);
        let (step, turns, idle_turns) = (0, 0, vec![0; count]);
        Stage {
            world,
            servers,
            sim,
            handoff,
            doors,
            actors,
            errands,
            crossing,
            is_draining: false,
            datagrams,
            dice,
            trace,
            step,
            turns,
            idle_turns,
        }
    }

    fn play(mut self) -> Tally {
        while self.actors.iter().any(|actor| actor.end.is_none()) {
            if self.world.drains_at == Some(self.step) {
                break;
            }
            self.act();
            self.settle();
            self.check_the_slow();
            assert!(
                self.step < STEPS_MAX,
                "a peer is stuck: {}",
                self.peers_left()
            );
        }
        let before = self.counters();
        self.judge(&before);
        self.drain();
        self.leave();
        self.tally()
    }

    /// Every peer takes a step, in random order.
    fn act(&mut self) {
        self.step += 1;
        let count = self.actors.len();
        let first = self.dice.below(count);
        for place in 0..count {
            let actor = &mut self.actors[(first + place) % count];
            let told = actor.step(&mut locked(&self.sim), self.step);
            if let (Some(told), Some(trace)) = (told, &mut self.trace) {
                let (number, kind) = (actor.part.number, actor.part.kind);
                let _ = writeln!(trace, "    peer {number} ({kind:?}) {told}");
            }
        }
        self.cross(self.step);
        if self.world.manner.answering == Answering::Run {
            self.end_processes();
        }
        if let Some(errands) = &mut self.errands {
            errands.act(&mut locked(&self.sim));
        }
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.act(&mut locked(&self.sim));
        }
    }

    /// Some processes end by themselves, some killed ones die, and others become children of the
    /// server.
    fn end_processes(&mut self) {
        let mut sim = locked(&self.sim);
        if self.dice.chance(0.05) {
            sim.adopts();
        }
        for id in sim.processes() {
            if sim.is_running(id) && self.dice.chance(0.3) {
                sim.ends(id, false);
            }
        }
        if self.dice.chance(0.2) {
            let told = self.dice.chance(0.5);
            sim.bury_the_killed(told);
        }
    }

    /// Takes turns until the server would wait past the next step. With spurious events, the server
    /// may hardly ever wait; the peers take their step anyway.
    fn settle(&mut self) {
        let pace = self
            .world
            .pace
            .mul_f64(self.dice.below(1000) as f64 / 1000.0);
        let until = self.sim().time().after(pace);
        self.sim().stop_at(until);
        if self.servers.len() > 1 {
            return self.settle_all(until);
        }
        loop {
            let sleeps = self.turn(0) || self.world.spin.is_some();
            if sleeps && self.sim().time() >= until {
                return;
            }
        }
    }

    /// The same for several workers: those that are awake take turns in random order, and while all
    /// sleep the clock moves to the first deadline.
    fn settle_all(&mut self, until: Time) {
        loop {
            let alive = self.alive();
            let awake = |place: &usize| self.sim().sleeps_until(*place).is_none();
            let awake: Vec<usize> = alive.iter().copied().filter(awake).collect();
            if awake.is_empty() {
                self.check_all_asleep();
                if self.sim().time() >= until {
                    return;
                }
                let sleeps = |place| self.sim().sleeps_until(place);
                let next = alive.into_iter().filter_map(sleeps).min().unwrap_or(until);
                self.sim().pass_to(next.min(until));
                continue;
            }
            let place = awake[self.dice.below(awake.len())];
            self.turn(place);
            if self.world.spin.is_some() && self.sim().time() >= until {
                return;
            }
        }
    }

    /// The kernel.
    pub(super) fn sim(&self) -> MutexGuard<'_, Sim> {
        locked(&self.sim)
    }

    /// The counters of all workers, added up.
    pub(super) fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        self.servers
            .iter()
            .for_each(|server| sum.add(server.counters()));
        sum
    }

    /// One turn of a worker and its checks. Returns whether the worker waited and has nothing to do.
    fn turn(&mut self, place: usize) -> bool {
        self.sim().look_as(place);
        let before = self.progress();
        let counted = self.servers[place].counters().clone();
        if let (Some(trace), 2..) = (&mut self.trace, self.servers.len()) {
            let _ = writeln!(trace, "  worker {place}");
        }
        let server = &mut self.servers[place];
        let wakeups = server.turn(Time::NEVER).expect("no fault ends the server");
        if wakeups.wake_up {
            server.take_wake_up().expect("no fault ends the server");
        }
        if let (Some(errands), 0) = (&self.errands, place) {
            errands.check(server.now());
        }
        if let (Some(datagrams), 0) = (&self.datagrams, place) {
            datagrams.check(server.counters());
        }
        self.turns += 1;
        // To reset a wake-up is progress.
        let progress = self.progress() != before || wakeups.wake_up;
        self.write_down();
        self.check();
        self.check_refusals(place, &counted);
        self.sim().look_as(place);
        let asleep = self.sim().asleep();
        let now = self.sim().time();
        let quiet = asleep.is_some_and(|until| until > now) && !self.servers[place].has_more();
        self.idle_turns[place] = if progress || quiet {
            0
        } else {
            self.idle_turns[place] + 1
        };
        let most = if self.events_lie() {
            UNLUCKY_TURNS_MAX
        } else {
            IDLE_TURNS_MAX
        };
        assert!(
            self.idle_turns[place] <= most,
            "worker {place} spins: {} turns did nothing",
            self.idle_turns[place]
        );
        if let (Some(until), false, true) = (asleep, progress, quiet) {
            self.check_sleep(place, until);
        }
        quiet
    }

    /// Differs whenever a turn did something or time passed.
    fn progress(&mut self) -> (Time, [u64; 13]) {
        let sim = self.sim();
        let (ended, unread) = (sim.calls("waitid"), sim.unread_output() as u64);
        let time = sim.time();
        drop(sim);
        let c = self.counters();
        let done = [
            c.bytes_in,
            c.bytes_out,
            c.connections_total,
            c.close,
            c.epoll_ctl,
            c.shutdown,
            c.accept_errors,
            c.frames,
            c.commands + c.commands_not_started,
            ended,
            unread,
            self.errands.as_ref().map_or(0, Errands::done),
            c.datagrams_in + c.datagrams_out + c.datagrams_unsent + c.datagram_errors,
        ];
        (time, done)
    }

    fn events_lie(&self) -> bool {
        let faults = &self.world.faults;
        let lies = [
            faults.would_block,
            faults.no_buffers,
            faults.no_memory,
            faults.interrupted,
            faults.duplicated,
            faults.spurious,
            faults.stale,
        ];
        lies.iter().any(|probability| *probability > 0.0)
    }

    /// Drains the server, which must end in time whatever the peers do.
    fn drain(&mut self) {
        self.note("the server is told to end");
        self.is_draining = true;
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.make_room(&mut locked(&self.sim));
        }
        // Each worker hears of it in its own time.
        let first = self.dice.below(self.servers.len());
        for place in 0..self.servers.len() {
            let place = (first + place) % self.servers.len();
            if !self.is_alive(place) {
                continue;
            }
            self.sim().look_as(place);
            self.servers[place].drain();
            self.sim().wake_worker(place);
            self.write_down();
            if place != first && self.dice.chance(0.5) {
                self.act();
                self.settle();
            }
        }
        let most = self.world.drain_timeout;
        let until = self.sim().time().after(most);
        while !self.is_done() {
            self.act();
            self.settle();
            let late = self.sim().time().since(until);
            assert!(
                late <= self.world.pace || self.is_done(),
                "the end comes too late"
            );
        }
        self.actors.iter().for_each(|actor| actor.check(true));
        let cut: u64 = self.servers.iter().map(Server::cut).sum();
        let lost = self.sim().lost() - self.crossing.as_ref().map_or(0, |it| it.lost);
        // With this fault a full queue looks empty.
        assert!(
            lost <= cut || self.world.faults.would_block > 0.0,
            "{lost} queued connections are lost, and {cut} counted"
        );
    }

    fn is_done(&self) -> bool {
        let alive = self.alive();
        self.on_their_way() == 0 && alive.into_iter().all(|place| self.servers[place].is_done())
    }

    /// Checks that nothing is left.
    fn leave(&mut self) {
        for place in self.alive() {
            let server = &self.servers[place];
            let closed: u64 = server.counters().closed.iter().sum();
            assert_eq!(
                closed,
                server.counters().connections_total,
                "every connection ended for a reason"
            );
            let lent = server.workspaces_acquired();
            assert_eq!(lent, 0, "every workspace came back");
        }
        self.check();
        self.sim().set_faults(Faults::none());
        self.sim().stop_at(Time::NEVER);
        self.sim().bury_the_killed(true);
        self.sim().end_orphans();
        self.finish_errands();
        for place in self.alive() {
            // The first turn may still report what was closed.
            for _ in 0..3 {
                self.turn(place);
            }
            let asleep = self.sim().asleep();
            assert_eq!(asleep, Some(Time::NEVER), "there is nothing to wake up for");
        }
        let processes = self.sim().processes();
        assert_eq!(processes, [0; 0], "every process is reaped");
    }

    /// The last timers come due.
    fn finish_errands(&mut self) {
        if self.errands.is_none() {
            return;
        }
        let until = self.sim().time().after(TIMERS_SPAN);
        self.sim().stop_at(until);
        while self.sim().time() < until {
            match self.servers.len() {
                1 => _ = self.turn(0),
                _ => self.settle_all(until),
            }
        }
        if let Some(errands) = self.errands.take() {
            errands.finish(&mut self.servers[0]);
        }
        self.sim().stop_at(Time::NEVER);
    }

    fn tally(&self) -> Tally {
        let counters = self.counters();
        let ends = |end| {
            self.actors
                .iter()
                .filter(|actor| actor.end == Some(end))
                .count() as u64
        };
        Tally {
            turns: self.turns,
            connections: counters.connections_total,
            bytes: counters.bytes_in + counters.bytes_out,
            complete: ends(End::Complete),
            early: ends(End::Early),
            own: ends(End::Own),
        }
    }

    fn peers_left(&mut self) -> String {
        let mut text = String::new();
        for actor in self.actors.iter().filter(|actor| actor.end.is_none()) {
            let _ = write!(text, "peer {} ({:?}), ", actor.part.number, actor.part.kind);
        }
        for server in &mut self.servers {
            server.for_each_connection(|standing| {
                let _ = write!(text, "{standing:?}, ");
            });
        }
        text
    }

    /// Moves the calls of the last turn into the trace.
    pub(super) fn write_down(&mut self) {
        if let Some(trace) = &mut self.trace {
            let mut sim = locked(&self.sim);
            let _ = write!(trace, "{}", sim.trace());
            sim.clear_journal();
        }
    }

    pub(super) fn note(&mut self, text: &str) {
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "    {text}");
        }
    }
}
