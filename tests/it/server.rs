//! Tests of the event loop on the simulated kernel, one turn at a time, under both triggers.
//!
//! A [`Play`] is a server with its simulated kernel; the test plays all of its peers. [`Play::end`]
//! checks the state after every play: the loop waits in epoll_wait, each open descriptor belongs to
//! a listener, the reserve or a connection, every workspace is back in the pool, and each counter
//! equals the number of calls made. The files in `server/` hold the plays.

mod accepting;
mod again;
mod bytes;
mod commands;
mod datagrams;
mod ending;
mod golden;
mod handover;
mod left_behind;
mod listeners;
mod openings;
mod orphans;
mod phases;
mod pool;
mod queues;
mod rates;
mod signals;
mod speaking;
mod stale;
mod talkative;
mod tasks;
mod time;
mod tracing;
mod wiretap;

use std::time::Duration;

use mynah::kernel::{Interest, Opener, Time, Token, Trigger};
use mynah::limits::FRAMES_PER_EVENT;
use mynah::protocol::connection::{CloseReason, Protocol};
use mynah::protocol::framing::{Framing, OnTooLong, Raw};
use mynah::protocol::service::{Echo, Service, UpperUnicode};
use mynah::server::observe::counters::Counters;
use mynah::server::pool::WorkspaceSize;
use mynah::server::{Server, Settings};

use crate::sim::{Config, Faults, Link, Peer, Pipe, Sim};
use crate::talk::{framing, hex};

const IDLE: Duration = Duration::from_secs(60);
const STALL: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(10);
const NANOSECOND: Duration = Duration::from_nanos(1);
/// The listener and the reserve descriptor.
const FIXED_SOCKETS: usize = 2;
/// More turns than any play needs. A server that takes more is spinning.
const TURNS_MAX: usize = 10_000;

/// Small bounds, so that a play reaches them quickly.
fn settings() -> Settings {
    Settings {
        connections_max: 4,
        workspaces: 4,
        workspace: WorkspaceSize {
            inbound: 1024,
            outbound: 4096,
        },
        trigger: Trigger::Level,
        defer_accept: false,
        frames_per_event: FRAMES_PER_EVENT,
        spin: None,
        idle_timeout: Some(IDLE),
        stall_timeout: Some(STALL),
        stall_size_min: 1,
        frame_timeout: None,
        connections_per_ip_max: None,
        backlog: 8,
        drain_timeout: DRAIN,
        wiretap: None,
        auth: None,
        trace: None,
        pacing: Default::default(),
        proxy: None,
    }
}

/// A kernel whose sockets hold 400 bytes in each direction.
fn narrow() -> Config {
    let pipe = Pipe {
        send: 300,
        receive: 100,
    };
    Config {
        request: pipe,
        reply: pipe,
        ..Config::default()
    }
}

/// Runs the same play under level and under edge trigger.
fn under_both<S: Service + Copy>(
    config: Config,
    settings: Settings,
    framing: Framing,
    service: S,
    play: impl Fn(&mut Play<S>),
) {
    for trigger in [Trigger::Level, Trigger::Edge] {
        // Printed only when the play fails.
        println!("under {trigger:?} trigger");
        let settings = Settings {
            trigger,
            ..settings.clone()
        };
        let mut stage = Play::new(config.clone(), settings, framing, service);
        play(&mut stage);
        stage.end();
    }
}

/// Runs a play with a raw echo under both triggers.
fn echo(config: Config, settings: Settings, play: impl Fn(&mut Play<Echo>)) {
    under_both(config, settings, Framing::Raw(Raw), Echo, play);
}

/// A server and its simulated kernel.
struct Play<S: Service> {
    server: Server<Sim, S>,
    trigger: Trigger,
    /// How many of the fixed sockets (listener and reserve) are still open.
    fixed_sockets: usize,
}

impl<S: Service> Play<S> {
    fn new(config: Config, settings: Settings, framing: Framing, service: S) -> Play<S> {
        Play::at("127.0.0.1:7007", config, settings, framing, service)
    }

    /// A server that discards frames over the limit.
    fn discarding(settings: Settings, framing: Framing, service: S) -> Play<S> {
        let (config, discard) = (Config::default(), OnTooLong::Discard);
        Play::with(
            "127.0.0.1:7007",
            config,
            settings,
            framing,
            discard,
            service,
        )
    }

    fn at(
        address: &str,
        config: Config,
        settings: Settings,
        framing: Framing,
        service: S,
    ) -> Play<S> {
        Play::with(
            address,
            config,
            settings,
            framing,
            OnTooLong::Close,
            service,
        )
    }

    fn with(
        address: &str,
        config: Config,
        settings: Settings,
        framing: Framing,
        on_too_long: OnTooLong,
        service: S,
    ) -> Play<S> {
        let mut sim = Sim::new(config);
        let address = address.parse().expect("an address");
        let listener = sim
            .listen(&address, &Sim::listen_options(settings.backlog))
            .expect("the port is free");
        let (trigger, protocol) = (
            settings.trigger,
            Protocol {
                framing,
                on_too_long,
                service,
            },
        );
        let server = Server::new(sim, vec![listener], protocol, settings).expect("it starts");
        Play {
            server,
            trigger,
            fixed_sockets: FIXED_SOCKETS,
        }
    }

    fn sim(&mut self) -> &mut Sim {
        self.server.kernel_mut()
    }

    fn counters(&self) -> &Counters {
        self.server.counters()
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.counters().closed[reason as usize]
    }

    /// One turn that does not wait.
    fn turn(&mut self) {
        let now = self.sim().time();
        self.server.turn(now).expect("a turn does not fail");
    }

    /// Takes turns until the loop waits, without advancing the clock. Returns the deadline of that
    /// wait.
    fn quiet(&mut self) -> Time {
        let now = self.sim().time();
        self.sim().stop_at(now);
        for _ in 0..TURNS_MAX {
            self.server.turn(Time::NEVER).expect("a turn does not fail");
            match self.sim().asleep() {
                Some(deadline) if deadline > now => {
                    self.sim().stop_at(Time::NEVER);
                    return deadline;
                }
                _ => {}
            }
        }
        panic!("the server spins:\n{}", self.last_calls());
    }

    /// Advances the clock by `span` and runs the loop at each deadline on the way.
    fn pass(&mut self, span: Duration) {
        let end = self.sim().time().after(span);
        while self.quiet() <= end {
            let next = self.sim().asleep().unwrap_or(end);
            let now = self.sim().time();
            self.sim().advance(next.since(now));
        }
        let now = self.sim().time();
        self.sim().advance(end.since(now));
        self.quiet();
    }

    /// Connects and lets the server accept the connection.
    fn connect(&mut self) -> Peer {
        let peer = self.sim().connect(0);
        self.quiet();
        peer
    }

    /// Sends all of `bytes` at once, then lets the server run.
    fn send(&mut self, peer: Peer, bytes: &[u8]) {
        assert_eq!(self.sim().send(peer, bytes), bytes.len(), "there is room");
        self.quiet();
    }

    /// Receives until no more bytes arrive.
    fn receive(&mut self, peer: Peer) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.sim().receive_all(peer);
            self.quiet();
            if bytes.is_empty() {
                return all;
            }
            all.extend(bytes);
        }
    }

    /// Sends `bytes` and expects them echoed.
    fn ask(&mut self, peer: Peer, bytes: &[u8]) {
        self.send(peer, bytes);
        assert_eq!(self.receive(peer), bytes);
    }

    fn link(&mut self, peer: Peer) -> Link {
        self.sim().peer_state(peer).link
    }

    /// The registered interest of the first connection that `slot` has held.
    fn registered(&mut self, slot: u32) -> Option<Interest> {
        self.sim().registered(Token::new(slot, 1))
    }

    /// `interest` as this play's trigger registers it.
    fn under(&self, interest: Interest) -> Option<Interest> {
        Some(interest.under(self.trigger))
    }

    /// The names of the calls since the journal was cleared, without epoll_wait.
    fn calls(&mut self) -> String {
        let names = self.sim().names();
        let calls: Vec<&str> = names
            .split(", ")
            .filter(|name| *name != "epoll_wait")
            .collect();
        calls.join(", ")
    }

    fn last_calls(&mut self) -> String {
        let trace = self.sim().trace();
        let lines: Vec<&str> = trace.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Checks the state that must hold after every play.
    fn end(&mut self) {
        self.quiet();
        let counters = self.counters().clone();
        let live = counters.connections_now as usize;
        let fixed = self.fixed_sockets;
        assert_eq!(
            self.sim().open_sockets(),
            fixed + live,
            "a socket has leaked"
        );
        assert_eq!(
            self.server.workspaces_acquired(),
            0,
            "a workspace is missing"
        );
        let ended: u64 = counters.closed.iter().sum();
        assert_eq!(counters.connections_total, counters.connections_now + ended);
        for (name, counted) in [
            ("accept4", counters.accept4),
            ("recv", counters.recv),
            ("send", counters.send),
            ("shutdown", counters.shutdown),
            ("epoll_wait", counters.epoll_wait),
            ("epoll_ctl", counters.epoll_ctl),
        ] {
            assert_eq!(counted, self.sim().calls(name), "{name} is miscounted");
        }
        for (name, counted) in [
            ("recv", counters.bytes_in),
            ("send", counters.bytes_out),
            ("epoll_wait", counters.events),
        ] {
            let answers = self.sim().answers(name);
            assert_eq!(counted, answers, "what {name} answers is miscounted");
        }
    }
}
