//! The simulated kernel checked against what was measured on Linux: a real socket would behave
//! alike in each test.
//!
//! The tests use only the kernel interface, never the server. The files in `sim_kernel/` hold the
//! tests; this file holds their tools. epoll(7), tcp(7).

mod batch;
mod events;
mod faults;
mod masks;
mod stream;

use std::io;
use std::time::Duration;

use libc::{
    EAGAIN, ECONNABORTED, ECONNREFUSED, ECONNRESET, EEXIST, EMFILE, ENOBUFS, ENOENT, ENOTCONN,
    EPERM, EPIPE,
};
use mynah::kernel::{
    Address, ConnectOptions, Event, Interest, Opener, Poller, Readiness, Signal, Sockets, Time,
    Token,
};

use crate::sim::{Config, Dice, Faults, Link, Peer, Pipe, Sim, Socket};

const READ: Interest = Interest::READ;
const ALL: Interest = READ.union(Interest::WRITE).union(Interest::EDGE);
const TOKEN: Token = Token::new(1, 1);

/// A kernel with small pipes, a listener, and a connection to it.
struct Play {
    sim: Sim,
    listener: Socket,
}

impl Play {
    fn new(config: Config) -> Play {
        let mut sim = Sim::new(config);
        let listener = listen(&mut sim, 7007, 8);
        Play { sim, listener }
    }

    /// Buffers of 300 bytes for sending and 100 for receiving, in both directions.
    fn small() -> Play {
        let pipe = Pipe {
            send: 300,
            receive: 100,
        };
        Play::new(Config {
            request: pipe,
            reply: pipe,
            ..Config::default()
        })
    }

    fn connect(&mut self) -> (Socket, Peer) {
        let peer = self.sim.connect(0);
        (
            self.sim
                .accept(&self.listener)
                .expect("a connection is queued"),
            peer,
        )
    }

    fn read(&mut self, socket: &Socket, max: usize) -> Result<Vec<u8>, i32> {
        let mut space = vec![0; max];
        let count = self.sim.read(socket, &mut space).map_err(errno)?;
        space.truncate(count);
        Ok(space)
    }

    fn write(&mut self, socket: &Socket, count: usize) -> Result<usize, i32> {
        self.sim.write(socket, &vec![b'.'; count]).map_err(errno)
    }

    /// The events of the only registered socket, without waiting, as text; empty if there are none.
    fn events(&mut self) -> String {
        let mut events = [Event::default(); 8];
        let count = self
            .sim
            .wait(&mut events, Time::default())
            .expect("wait does not fail");
        let texts: Vec<String> = events[..count]
            .iter()
            .map(|event| format!("{:?}", event.readiness()))
            .collect();
        texts.join(" ")
    }

    /// The events of a new registration that asks for everything.
    fn mask(&mut self, socket: &Socket) -> String {
        self.sim
            .register(socket, TOKEN, ALL)
            .expect("it is not registered yet");
        let mask = self.events();
        self.sim.deregister(socket).expect("it is registered");
        mask
    }
}

fn errno(error: io::Error) -> i32 {
    error
        .raw_os_error()
        .expect("the kernel answers with an errno")
}

fn address(port: u16) -> Address {
    Address::Tcp(([127, 0, 0, 1], port).into())
}

fn listen(sim: &mut Sim, port: u16, backlog: u32) -> Socket {
    sim.listen(&address(port), &Sim::listen_options(backlog))
        .expect("the port is free")
}

/// A connection made by the program instead of the test.
fn connect(sim: &mut Sim, port: u16) -> Socket {
    let options = ConnectOptions::default();
    Opener::connect(sim, &address(port), &options).expect("connect is under way")
}
