//! Each bound of the server at its edge: the last moment or count at which nothing happens, and the
//! first at which the bound acts. Also regression tests for the bugs that the swarm found.
//!
//! The server is the real one on the simulated kernel, one turn at a time, so the tests move the
//! clock by single nanoseconds and are deterministic.

mod accepting;
mod budget;
mod faulted;
mod linger;
mod memory;
mod mid_message;
mod workspaces;

use std::time::Duration;

use libc::{EAGAIN, ENOBUFS, ENOMEM, EOPNOTSUPP, EPERM};
use mynah::kernel::{Opener, Time, Trigger};
use mynah::limits::{
    ACCEPT_ERRORS_MAX, LINGER_TIMEOUT, LISTENER_PAUSE_MAX, LISTENER_PAUSE_MIN, MEMORY_RETRIES_MAX,
    MEMORY_RETRY_MIN,
};
use mynah::protocol::connection::{CloseReason, Protocol};
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::{Echo, Service};
use mynah::server::pool::WorkspaceSize;
use mynah::server::{Server, Settings};

use crate::sim::{Config, Link, Peer, Pipe, Sim};

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_nanos(1);

/// A server of frames with a length of one byte (usually an echo), and its kernel.
struct Stage<S: Service = Echo> {
    server: Server<Sim, S>,
}

/// Four connections, two workspaces, no time-outs.
fn plain() -> Settings {
    Settings {
        connections_max: 4,
        workspaces: 2,
        workspace: WorkspaceSize {
            inbound: 64,
            outbound: 0,
        },
        trigger: Trigger::Level,
        idle_timeout: None,
        stall_timeout: None,
        stall_size_min: 1,
        defer_accept: false,
        frames_per_event: u64::MAX,
        spin: None,
        frame_timeout: None,
        connections_per_ip_max: None,
        backlog: 8,
        drain_timeout: 10 * SECOND,
        wiretap: None,
        auth: None,
        trace: None,
        pacing: Default::default(),
        proxy: None,
    }
}

impl Stage {
    fn new(settings: Settings) -> Stage {
        Stage::with(settings, Config::default())
    }

    fn with(settings: Settings, config: Config) -> Stage {
        let framing = Framing::parse("u8").and_then(|framing| framing.limited(64));
        let framing = framing.expect("a framing");
        Stage::serving(Echo, framing, OnTooLong::Close, settings, config)
    }
}

impl<S: Service> Stage<S> {
    fn serving(
        service: S,
        framing: Framing,
        on_too_long: OnTooLong,
        settings: Settings,
        config: Config,
    ) -> Stage<S> {
        let mut sim = Sim::new(config);
        let address = "tcp://127.0.0.1:0".parse().expect("an address");
        let listener = sim.listen(&address, &Sim::listen_options(16));
        let protocol = Protocol {
            framing,
            service,
            on_too_long,
        };
        let listeners = vec![listener.expect("a listener")];
        Stage {
            server: Server::new(sim, listeners, protocol, settings).expect("a server"),
        }
    }

    fn sim(&mut self) -> &mut Sim {
        self.server.kernel_mut()
    }

    /// Takes turns until there is nothing left to do at this time.
    fn settle(&mut self) {
        let now = self.sim().time();
        self.sim().stop_at(now);
        for _ in 0..1000 {
            self.server.turn(Time::NEVER).expect("a turn");
            let asleep = self.sim().asleep();
            if asleep.is_some_and(|until| until > now) && !self.server.has_more() {
                return;
            }
        }
        panic!("it does not come to rest:\n{}", self.sim().trace());
    }

    /// Advances the clock by `span`. The server runs at each deadline on the way.
    fn pass(&mut self, span: Duration) {
        let until = self.sim().time().after(span);
        self.sim().stop_at(until);
        while self.sim().time() < until {
            self.server.turn(Time::NEVER).expect("a turn");
        }
        self.settle();
    }

    fn connect(&mut self) -> Peer {
        let peer = self.sim().connect(0);
        self.settle();
        peer
    }

    fn say(&mut self, peer: Peer, bytes: &[u8]) {
        assert_eq!(self.sim().send(peer, bytes), bytes.len());
        self.settle();
    }

    fn hear(&mut self, peer: Peer) -> Vec<u8> {
        let bytes = self.sim().receive_all(peer);
        self.settle();
        bytes
    }

    fn link(&mut self, peer: Peer) -> Link {
        self.sim().peer_state(peer).link
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.server.counters().closed[reason as usize]
    }

    /// Makes the next `count` calls of `name` fail.
    fn fail(&mut self, name: &str, count: u32, errno: i32) {
        for k in 1..=u64::from(count) {
            self.sim().fail(name, k, errno);
        }
    }
}
