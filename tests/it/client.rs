//! `mynah connect`: C1 retries, C2 connecting, C3 input from a person or a pipe, C4 framings.
//!
//! `dialling` and `talking` use the simulated kernel, where the test is the server, the terminal
//! and the clock. `binary` runs the real binary against the real server.

mod binary;
mod dialling;
mod talking;

use std::time::Duration;

use mynah::client::{Backoff, Client, ClientError, Ending, Settings, Source};
use mynah::kernel::{Address, Time};

use crate::sim::{Config, Peer, Pipe, Sim};

fn address() -> Address {
    Address::Tcp(([127, 0, 0, 1], 7007).into())
}

/// A pipe without framing, one try, no time-out.
fn settings() -> Settings {
    Settings {
        proxy: None,
        addresses: vec![address()],
        framing: "raw".parse().expect("a framing"),
        codec: None,
        auth: None,
        frame_size_max: 1 << 20,
        source: Source::Pipe,
        terminal: false,
        backoff: Backoff::new(1, None),
        greeted: false,
        connect_timeout: None,
        timeout: None,
    }
}

/// Like `settings`, with a framing and frames of up to 1 MiB.
fn framed(frame: &str) -> Settings {
    let framing: mynah::protocol::framing::Framing = frame.parse().expect("a framing");
    Settings {
        framing: framing.limited(1 << 20).expect("a limit with frames"),
        ..settings()
    }
}

/// Like `settings`, with a person at a terminal.
fn person() -> Settings {
    Settings {
        source: Source::Terminal,
        terminal: true,
        ..settings()
    }
}

/// A client on the simulated kernel, and its result.
struct Play {
    client: Client<Sim>,
    end: Option<Result<Ending, ClientError>>,
}

impl Play {
    fn new(settings: Settings) -> Play {
        Play::on(Sim::new(small()), settings)
    }

    /// A client, and the peer that the test plays as its server.
    fn hosted(settings: Settings) -> (Play, Peer) {
        let mut sim = Sim::new(small());
        sim.host(&address());
        let mut play = Play::on(sim, settings);
        play.turn();
        let peer = play.sim().incoming(&address()).expect("a connection");
        (play, peer)
    }

    fn on(sim: Sim, settings: Settings) -> Play {
        Play {
            client: Client::new(sim, settings).expect("a message"),
            end: None,
        }
    }

    fn sim(&mut self) -> &mut Sim {
        self.client.kernel()
    }

    fn turn(&mut self) {
        assert!(self.end.is_none(), "it has ended: {:?}", self.end);
        self.end = self.client.turn().transpose();
    }

    /// Runs turns until the client ends or waits for an event. Panics if the client never waits.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.turn();
            if self.end.is_some() || self.sim().asleep().is_some() {
                return;
            }
        }
        panic!("it spins");
    }

    /// Runs turns until the client ends, through any simulated time.
    fn finish(&mut self) -> &Result<Ending, ClientError> {
        for _ in 0..100_000 {
            if self.end.is_some() {
                break;
            }
            self.turn();
        }
        self.end.as_ref().expect("it ends")
    }

    fn is_done(&self) -> bool {
        matches!(self.end, Some(Ok(Ending::Done)))
    }

    fn failure(&mut self) -> String {
        match self.finish() {
            Err(failure) => failure.to_string(),
            Ok(ending) => panic!("it ended well: {ending:?}"),
        }
    }

    /// The output since the last call.
    fn printed(&mut self) -> String {
        String::from_utf8(self.sim().printed()).expect("text")
    }

    fn seconds(&mut self) -> f64 {
        let start = Time::from_nanos(1_000_000_000);
        self.sim().time().since(start).as_secs_f64()
    }
}

/// A machine with small buffers, so that back-pressure starts early.
fn small() -> Config {
    let pipe = Pipe {
        send: 3000,
        receive: 2000,
    };
    Config {
        request: pipe,
        reply: pipe,
        ..Config::default()
    }
}

const SECOND: Duration = Duration::from_secs(1);
