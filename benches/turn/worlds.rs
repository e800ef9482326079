//! The two that are timed against each other on the simulated kernel: the server, and the same
//! calls by hand.
//!
//! Invariant: a turn of either is one wait, and for each connection one read of a request and one
//! write of its reply, with buffers of the same size; `Play::turn` checks the reply's length.

use mynah::connection::Protocol;
use mynah::drive::plan::Demand;
use mynah::drive::{Server, Settings};
use mynah::framing::{Framing, OnTooLong};
use mynah::kernel::{Address, Event, Interest, Opener, Poller, Sockets, Time, Token, Trigger};
use mynah::limits::{
    DRAIN_TIMEOUT_DEFAULT, EVENTS_PER_TURN, FRAME_MAX_DEFAULT, FRAMES_PER_EVENT,
    IDLE_TIMEOUT_DEFAULT, MEMORY_DEFAULT, READ_SIZE, STALL_SIZE_MIN_DEFAULT, STALL_TIMEOUT_DEFAULT,
};
use mynah::service::{Echo, Service, Upper, UpperUnicode};

use crate::sim::{Config, Peer, Sim, Socket};

pub(crate) const SERVICES: [&str; 3] = ["echo", "upper", "upper, unicode"];

/// The one that mynah uses when nobody says.
const TRIGGER: Trigger = Trigger::Edge;

const PAYLOAD: &str = "the quick brown fox jumps over the lazy dog, and then once again";
/// As long, and with letters whose upper case has another length in UTF-8.
const PAYLOAD_UNICODE: &str = "der Fuß läuft über die Straße, naïve ﬁsh, čtyři žluté koně: ok";

/// Something that serves.
trait World {
    fn kernel(&mut self) -> &mut Sim;
    fn turn(&mut self);
}

impl<S: Service> World for Server<Sim, S> {
    fn kernel(&mut self) -> &mut Sim {
        self.kernel_mut()
    }

    fn turn(&mut self) {
        Server::turn(self, Time::NEVER).expect("the simulated kernel has no faults");
    }
}

/// The calls of a server, without one.
struct ByHand {
    kernel: Sim,
    sockets: Vec<Socket>,
    events: Vec<Event>,
    buffer: Vec<u8>,
    reply: Vec<u8>,
}

impl World for ByHand {
    fn kernel(&mut self) -> &mut Sim {
        &mut self.kernel
    }

    fn turn(&mut self) {
        let count = self.kernel.wait(&mut self.events, Time::NEVER);
        self.kernel.now();
        for event in &self.events[..count.expect("no faults")] {
            let socket = &self.sockets[event.token().index() as usize];
            let read = self.kernel.read(socket, &mut self.buffer);
            assert!(read.expect("no faults") > 0);
            self.kernel.write(socket, &self.reply).expect("no faults");
        }
    }
}

/// A world, its peers, and what they say and hear.
pub(crate) struct Play {
    world: Box<dyn World>,
    peers: Vec<Peer>,
    request: Vec<u8>,
    reply: Vec<u8>,
    heard: Vec<u8>,
}

impl Play {
    /// `batch` connections to a server, or to nobody but the calls `by_hand`.
    pub(crate) fn new(
        service: &str,
        framing: &str,
        batch: usize,
        by_hand: bool,
    ) -> Result<Play, String> {
        let payload = match service {
            "upper, unicode" => PAYLOAD_UNICODE,
            _ => PAYLOAD,
        };
        let answer = match service {
            "echo" => payload.to_owned(),
            "upper" => payload.to_ascii_uppercase(),
            _ => payload.to_uppercase(),
        };
        let framing = Framing::parse(framing)?;
        let framed = |payload: &str| match framing.has_boundaries() {
            true => [&(payload.len() as u32).to_be_bytes(), payload.as_bytes()].concat(),
            false => payload.as_bytes().to_vec(),
        };
        let (request, reply) = (framed(payload), framed(&answer));
        let mut kernel = Sim::new(Config::default());
        kernel.keep_journal(false);
        let address: Address = "tcp://127.0.0.1:7007".parse()?;
        let listener = kernel
            .listen(&address, &Sim::listen_options(batch as u32))
            .map_err(|error| error.to_string())?;
        let peers: Vec<Peer> = (0..batch).map(|_| kernel.connect(0)).collect();
        let world: Box<dyn World> = match (by_hand, service) {
            (true, _) => Box::new(calls_by_hand(kernel, &listener, batch, reply.clone())),
            (_, "echo") => server(kernel, listener, framing, Echo, batch)?,
            (_, "upper") => server(kernel, listener, framing, Upper, batch)?,
            _ => server(kernel, listener, framing, UpperUnicode, batch)?,
        };
        let heard = vec![0; reply.len() + 1];
        Ok(Play {
            world,
            peers,
            request,
            reply,
            heard,
        })
    }

    /// Every peer asks, all are served in one turn, every peer is answered.
    pub(crate) fn turn(&mut self) {
        for peer in &self.peers {
            self.world.kernel().send(*peer, &self.request);
        }
        self.world.turn();
        for peer in &self.peers {
            let count = self.world.kernel().receive_into(*peer, &mut self.heard);
            assert_eq!(self.heard[..count], self.reply, "not the reply");
        }
    }
}

fn calls_by_hand(mut kernel: Sim, listener: &Socket, batch: usize, reply: Vec<u8>) -> ByHand {
    let mut sockets = Vec::new();
    for place in 0..batch {
        let socket = kernel.accept(listener).expect("somebody has connected");
        let token = Token::new(place as u32, 1);
        let registered = kernel.register(&socket, token, Interest::READ.under(TRIGGER));
        registered.expect("no faults");
        sockets.push(socket);
    }
    ByHand {
        kernel,
        sockets,
        events: vec![Event::default(); EVENTS_PER_TURN],
        buffer: vec![0; READ_SIZE],
        reply,
    }
}

/// A server as `mynah` starts it by default, with all connections taken in.
fn server<S: Service + 'static>(
    kernel: Sim,
    listener: Socket,
    framing: Framing,
    service: S,
    batch: usize,
) -> Result<Box<dyn World>, String> {
    let framing = framing.limited(FRAME_MAX_DEFAULT)?;
    let protocol = Protocol {
        framing,
        service,
        on_too_long: OnTooLong::Close,
    };
    let connections_max = 1000;
    let demand = Demand {
        memory_max: MEMORY_DEFAULT,
        connections_max,
        threads: 1,
        frame_size_max: FRAME_MAX_DEFAULT,
        slot_size: Server::<Sim, S>::slot_size(false),
    };
    let plan = demand.plan(&protocol)?;
    let settings = Settings {
        connections_max,
        workspaces: plan.workspaces,
        workspace: plan.workspace,
        trigger: TRIGGER,
        idle_timeout: Some(IDLE_TIMEOUT_DEFAULT),
        stall_timeout: Some(STALL_TIMEOUT_DEFAULT),
        stall_size_min: STALL_SIZE_MIN_DEFAULT,
        frame_timeout: Some(mynah::limits::FRAME_TIMEOUT_DEFAULT),
        connections_per_ip_max: None,
        drain_timeout: DRAIN_TIMEOUT_DEFAULT,
        defer_accept: false,
        frames_per_event: FRAMES_PER_EVENT,
        spin: None,
    };
    let mut server = Server::new(kernel, vec![listener], protocol, settings)
        .map_err(|error| error.to_string())?;
    while server.counters().connections_now < batch as u64 {
        World::turn(&mut server);
    }
    Ok(Box::new(server))
}
