//! Runs transcripts on the event loop and the simulated kernel, with both triggers.

use mynah::cli::options::Serve;
use mynah::cli::run::{ServiceUser, with_service};
use mynah::kernel::{Opener, Time, Trigger};
use mynah::limits;
use mynah::protocol::connection::Protocol;
use mynah::protocol::service::Service;
use mynah::server::plan::Demand;
use mynah::server::{Server, Settings};

use super::script::Script;
use super::{Line, options_of};
use crate::sim::{Config, Link, Peer, Sim};

/// More turns than any transcript needs; a server that reaches this limit spins.
const TURNS_MAX: usize = 10_000;

pub(super) fn play(script: &Script) {
    for trigger in [Trigger::Level, Trigger::Edge] {
        println!("  under {trigger:?} trigger");
        let options = options_of(script);
        with_service(&options, Playing(script, &options, trigger));
    }
}

struct Playing<'a>(&'a Script, &'a Serve, Trigger);

impl ServiceUser for Playing<'_> {
    type Outcome = ();

    fn with<S>(self, mut load: impl FnMut() -> Result<S, String>)
    where
        S: Service<State: Send> + Clone + Send + 'static,
    {
        let Playing(script, options, trigger) = self;
        let framing = options
            .framing
            .limited(options.frame_size_max)
            .expect("a limit");
        let service = load().expect("a service");
        let protocol = Protocol {
            framing,
            on_too_long: options.on_too_long,
            service,
        };
        let demand = Demand {
            memory_max: options.memory_max,
            connections_max: 2,
            threads: 1,
            processes: 1,
            frame_size_max: options.frame_size_max,
            slot_size: Server::<Sim, S>::slot_size(
                &protocol.service,
                options.connections_per_ip_max.is_some(),
            ),
            datagrams_size: 0,
            ring_size: 0,
        };
        let plan = demand.plan(&protocol).expect("memory enough");
        let settings = Settings {
            connections_max: demand.connections_max,
            workspaces: plan.workspaces,
            workspace: plan.workspace,
            trigger,
            idle_timeout: options.idle_timeout,
            stall_timeout: options.stall_timeout,
            stall_size_min: options.stall_size_min,
            frame_timeout: options.frame_timeout,
            connections_per_ip_max: options.connections_per_ip_max,
            defer_accept: options.defer_accept,
            frames_per_event: limits::FRAMES_PER_EVENT,
            spin: options.spin,
            backlog: 8,
            drain_timeout: options.drain_timeout,
            wiretap: None,
            auth: None,
            trace: None,
            pacing: Default::default(),
            proxy: None,
        };
        let mut sim = Sim::new(Config::default());
        let address = limits::LISTEN_DEFAULT.parse().expect("an address");
        let listener = sim
            .listen(&address, &Sim::listen_options(8))
            .expect("a free port");
        let mut server = Server::new(sim, vec![listener], protocol, settings).expect("a start");
        let peer = server.kernel_mut().connect(0);
        let mut stage = Stage { server, peer };
        stage.quiet();
        super::play(script, &mut stage);
        assert_eq!(
            stage.server.kernel_mut().receive_all(peer),
            b"",
            "it says more"
        );
    }
}

struct Stage<S: Service> {
    server: Server<Sim, S>,
    peer: Peer,
}

impl<S: Service> Stage<S> {
    /// Runs turns until the server sleeps; simulated time does not pass.
    fn quiet(&mut self) {
        let now = self.server.kernel_mut().time();
        self.server.kernel_mut().stop_at(now);
        for _ in 0..TURNS_MAX {
            self.server.turn(Time::NEVER).expect("a turn does not fail");
            if self
                .server
                .kernel_mut()
                .asleep()
                .is_some_and(|until| until > now)
            {
                return;
            }
        }
        panic!("the server spins");
    }
}

impl<S: Service> Line for Stage<S> {
    fn say(&mut self, bytes: &[u8]) {
        let sent = self.server.kernel_mut().send(self.peer, bytes);
        assert_eq!(sent, bytes.len(), "there is room");
        self.quiet();
    }

    fn hear(&mut self, _expected: usize) -> Vec<u8> {
        self.server.kernel_mut().receive_all(self.peer)
    }

    fn finish(&mut self) {
        self.server.kernel_mut().finish(self.peer);
        self.quiet();
    }

    fn is_over(&mut self) -> bool {
        let state = self.server.kernel_mut().peer_state(self.peer);
        (state.link, state.unread) == (Link::Finished, 0)
    }
}
