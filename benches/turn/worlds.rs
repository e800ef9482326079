//! The two programs that are compared on the simulated kernel: the server, and the same calls made
//! by hand.
//!
//! Invariant: a turn of either is one wait, and for each connection one read of a request and one
//! write of its reply, with buffers of the same size. `Play::turn` checks the reply.

use mynah::kernel::{Address, Event, Interest, Opener, Poller, Sockets, Time, Token, Trigger};
use mynah::limits::{
    DRAIN_TIMEOUT_DEFAULT, EVENTS_PER_TURN, FRAME_MAX_DEFAULT, FRAMES_PER_EVENT,
    IDLE_TIMEOUT_DEFAULT, MEMORY_DEFAULT, READ_SIZE, STALL_SIZE_MIN_DEFAULT, STALL_TIMEOUT_DEFAULT,
};
use mynah::protocol::connection::Protocol;
use mynah::protocol::framing::{Framing, OnTooLong};
use mynah::protocol::service::{
    AnyService, Dict, Discard, Echo, Http, PrefixedEcho, Robot, Service, Upper, UpperUnicode,
};
use mynah::server::plan::Demand;
use mynah::server::{Server, Settings};

use crate::sim::{Config, Peer, Sim, Socket};
use crate::talk::{self, PREFIX};

/// The default trigger of mynah.
const TRIGGER: Trigger = Trigger::Edge;

/// More than the longest reply.
const REPLY_SPACE: usize = 4096;

/// A program that serves the peers.
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

/// The calls of a server, without the server.
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
            if !self.reply.is_empty() {
                self.kernel.write(socket, &self.reply).expect("no faults");
            }
        }
    }
}

/// A program, its peers, their request and the expected reply.
pub(crate) struct Play {
    world: Box<dyn World>,
    peers: Vec<Peer>,
    request: Vec<u8>,
    reply: Vec<u8>,
    heard: Vec<u8>,
}

impl Play {
    /// Creates `batch` connections to a server or, if `by_hand`, to the plain calls.
    pub(crate) fn new(
        service: &str,
        framing: &str,
        batch: usize,
        by_hand: bool,
    ) -> Result<Play, String> {
        let framing = Framing::parse(framing)?;
        let mut kernel = Sim::new(Config::default());
        kernel.keep_journal(false);
        let address: Address = "tcp://127.0.0.1:7007".parse()?;
        let listener = kernel
            .listen(&address, &Sim::listen_options(batch as u32))
            .map_err(|error| error.to_string())?;
        let peers: Vec<Peer> = (0..batch).map(|_| kernel.connect(0)).collect();
        let request = talk::request(service, &framing)?;
        let heard = vec![0; REPLY_SPACE];
        if by_hand {
            let reply = Play::new(service, &framing.to_string(), 1, false)?.reply;
            return Ok(Play {
                world: Box::new(calls_by_hand(kernel, &listener, batch, reply.clone())),
                peers,
                request,
                reply,
                heard,
            });
        }
        let mut play = Play {
            world: serve(service, kernel, listener, framing, batch)?,
            peers,
            request,
            reply: Vec::new(),
            heard,
        };
        play.reply = play.learn();
        match talk::is_right(&play.reply, service, &framing)? {
            true => Ok(play),
            false => Err(format!("{service}, {framing}: {:?}", play.reply)),
        }
    }

    /// Returns the reply to a request, after discarding a greeting if there is one.
    fn learn(&mut self) -> Vec<u8> {
        for peer in &self.peers {
            self.world.kernel().receive_all(*peer);
        }
        let peer = self.peers[0];
        self.world.kernel().send(peer, &self.request);
        self.world.turn();
        self.world.kernel().receive_all(peer)
    }

    /// Each peer sends a request, the program serves all in one turn, and each reply is checked.
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

/// A server of `service`, by its name in the table.
fn serve(
    service: &str,
    kernel: Sim,
    listener: Socket,
    framing: Framing,
    batch: usize,
) -> Result<Box<dyn World>, String> {
    let with = (kernel, listener, framing, batch);
    let service = match service {
        "echo" => return server(with, Echo),
        "echo, prefix" => PrefixedEcho::new(PREFIX).into(),
        "upper" => Upper.into(),
        "upper, unicode" => UpperUnicode.into(),
        "discard" => Discard.into(),
        "dict" => Dict::parse(talk::dictionary())?.into(),
        "robot" => Robot.into(),
        "http" => Http::default().into(),
        _ => return Err(format!("{service}: there is no such service")),
    };
    server::<AnyService>(with, service)
}

fn calls_by_hand(mut kernel: Sim, listener: &Socket, batch: usize, reply: Vec<u8>) -> ByHand {
    let mut sockets = Vec::new();
    for place in 0..batch {
        let socket = kernel.accept(listener).expect("a client has connected");
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

/// A server with the default settings of `mynah`, with all connections accepted.
fn server<S: Service + 'static>(
    (kernel, listener, framing, batch): (Sim, Socket, Framing, usize),
    service: S,
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
        processes: 1,
        frame_size_max: FRAME_MAX_DEFAULT,
        slot_size: Server::<Sim, S>::slot_size(&protocol.service, false),
        datagrams_size: 0,
        ring_size: 0,
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
        backlog: 8,
        drain_timeout: DRAIN_TIMEOUT_DEFAULT,
        defer_accept: false,
        frames_per_event: FRAMES_PER_EVENT,
        spin: None,
        wiretap: None,
        auth: None,
        trace: None,
        pacing: Default::default(),
        proxy: None,
    };
    let mut server = Server::new(kernel, vec![listener], protocol, settings)
        .map_err(|error| error.to_string())?;
    while server.counters().connections_now < batch as u64 {
        World::turn(&mut server);
    }
    Ok(Box::new(server))
}
