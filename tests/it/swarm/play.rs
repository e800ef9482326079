//! Plays a world from its start to the last closed descriptor, and checks what must hold meanwhile.
//!
//! Each peer takes a step, then the loop turns until it would wait past the next step. After every
//! turn the state is checked, and the loop must not spin. At the end every peer has the bytes it
//! was owed, and no resource is left. The reason of a failed check is not known here: a check
//! panics.

use std::fmt::Write as _;
use std::time::Duration;

use mynah::kernel::{Opener, Spawner, Time};
use mynah::protocol::connection::Protocol;
use mynah::protocol::service::{
    AnyService, Dict, Discard, Echo, Http, PrefixedEcho, Robot, Run, Service, Upper, UpperUnicode,
};
use mynah::server::{Server, Settings};

use crate::sim::{Config, Dice, Faults, Sim};

use super::actor::{Actor, End};
use super::errands::Errands;
use super::http::LINE_MAX;
use super::world::{ALLOWED, Answering, DICTIONARY, PREFIX, World};

/// Steps after which some peer must be stuck.
const STEPS_MAX: usize = 60_000;
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

pub(super) struct Stage<'a, S: Service> {
    pub(super) world: &'a World,
    pub(super) server: Server<Sim, S>,
    pub(super) actors: Vec<Actor>,
    errands: Option<Errands>,
    dice: Dice,
    trace: Option<&'a mut String>,
    step: usize,
    turns: u64,
    idle_turns: u32,
}

impl<'a, S: Service> Stage<'a, S> {
    fn new(world: &'a World, service: S, trace: Option<&'a mut String>) -> Stage<'a, S> {
        let mut sim = Sim::new(Config {
            request: world.request,
            reply: world.reply,
            descriptors: world.descriptors,
            batches_at_once: world.batches_at_once,
            seed: world.seed,
            faults: Faults::none(),
        });
        sim.keep_journal(trace.is_some());
        if service.effects().is_some() {
            sim.supervise().expect("it can be supervised");
        }
        let address = "tcp://127.0.0.1:0".parse().expect("an address");
        let listener = sim.listen(&address, &Sim::listen_options(world.backlog));
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
        };
        let listeners = vec![listener.expect("nothing is in the way")];
        let mut server = Server::new(sim, listeners, protocol, settings).expect("a start");
        server.kernel_mut().set_faults(world.faults.clone());
        let actors = world.parts.iter().map(Actor::new).collect();
        let errands = Errands::new(world.seed, &mut server);
        let dice = Dice::new(!world.seed);
        let (step, turns, idle_turns) = (0, 0, 0);
        Stage {
            world,
            server,
            actors,
            errands,
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
        let before = self.server.counters().clone();
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
            let told = actor.step(self.server.kernel_mut(), self.step);
            if let (Some(told), Some(trace)) = (told, &mut self.trace) {
                let (number, kind) = (actor.part.number, actor.part.kind);
                let _ = writeln!(trace, "    peer {number} ({kind:?}) {told}");
            }
        }
        if self.world.manner.answering == Answering::Run {
            self.end_processes();
        }
        if let Some(errands) = &mut self.errands {
            errands.act(self.server.kernel_mut());
        }
    }

    /// Some processes end by themselves, some killed ones die, and others become children of the
    /// server.
    fn end_processes(&mut self) {
        let sim = self.server.kernel_mut();
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
        let until = self.server.kernel_mut().time().after(pace);
        self.server.kernel_mut().stop_at(until);
        loop {
            let sleeps = self.turn() || self.world.spin.is_some();
            if sleeps && self.server.kernel_mut().time() >= until {
                return;
            }
        }
    }

    /// One turn and its checks. Returns whether the server waited and has nothing to do.
    fn turn(&mut self) -> bool {
        let (before, counted) = (self.progress(), self.server.counters().clone());
        let wakeups = self.server.turn(Time::NEVER);
        if wakeups.expect("no fault ends the server").wake_up {
            self.server.take_wake_up().expect("it was reported");
        }
        if let Some(errands) = &self.errands {
            errands.check(self.server.now());
        }
        self.turns += 1;
        let progress = self.progress() != before;
        self.write_down();
        self.check();
        self.check_refusals(&counted);
        let asleep = self.server.kernel_mut().asleep();
        let now = self.server.kernel_mut().time();
        let quiet = asleep.is_some_and(|until| until > now) && !self.server.has_more();
        self.idle_turns = if progress || quiet {
            0
        } else {
            self.idle_turns + 1
        };
        let most = if self.events_lie() {
            UNLUCKY_TURNS_MAX
        } else {
            IDLE_TURNS_MAX
        };
        assert!(
            self.idle_turns <= most,
            "it spins: {} turns did nothing",
            self.idle_turns
        );
        if let (Some(until), false, true) = (asleep, progress, quiet) {
            self.check_sleep(until);
        }
        quiet
    }

    /// Differs whenever a turn did something or time passed.
    fn progress(&mut self) -> (Time, [u64; 12]) {
        let sim = self.server.kernel_mut();
        let (ended, unread) = (sim.calls("waitid"), sim.unread_output() as u64);
        let c = self.server.counters();
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
        ];
        (self.server.kernel_mut().time(), done)
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
        self.server.drain();
        let most = self.world.drain_timeout;
        let until = self.server.kernel_mut().time().after(most);
        while !self.server.is_done() {
            self.act();
            self.settle();
            let late = self.server.kernel_mut().time().since(until);
            assert!(
                late <= self.world.pace || self.server.is_done(),
                "the end comes too late"
            );
        }
        self.actors.iter().for_each(|actor| actor.check(true));
    }

    /// Checks that nothing is left.
    fn leave(&mut self) {
        let counters = self.server.counters().clone();
        let closed: u64 = counters.closed.iter().sum();
        assert_eq!(
            closed, counters.connections_total,
            "every connection ended for a reason"
        );
        assert_eq!(
            self.server.workspaces_acquired(),
            0,
            "every workspace came back"
        );
        self.check();
        self.server.kernel_mut().set_faults(Faults::none());
        self.server.kernel_mut().stop_at(Time::NEVER);
        self.server.kernel_mut().bury_the_killed(true);
        self.server.kernel_mut().end_orphans();
        // The last timers come due, and the first turn may still report what was closed.
        let until = self.server.kernel_mut().time().after(TIMERS_SPAN);
        self.server.kernel_mut().stop_at(until);
        while self.errands.is_some() && self.server.kernel_mut().time() < until {
            self.turn();
        }
        if let Some(errands) = self.errands.take() {
            errands.finish(&mut self.server);
        }
        self.server.kernel_mut().stop_at(Time::NEVER);
        for _ in 0..3 {
            self.turn();
        }
        let asleep = self.server.kernel_mut().asleep();
        assert_eq!(asleep, Some(Time::NEVER), "there is nothing to wake up for");
        let processes = self.server.kernel_mut().processes();
        assert_eq!(processes, [0; 0], "every process is reaped");
    }

    fn tally(&self) -> Tally {
        let counters = self.server.counters();
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
        self.server.for_each_connection(|standing| {
            let _ = write!(text, "{standing:?}, ");
        });
        text
    }

    /// Moves the calls of the last turn into the trace.
    fn write_down(&mut self) {
        if let Some(trace) = &mut self.trace {
            let sim = self.server.kernel_mut();
            let _ = write!(trace, "{}", sim.trace());
            sim.clear_journal();
        }
    }

    fn note(&mut self, text: &str) {
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "    {text}");
        }
    }
}
