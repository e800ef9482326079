//! Small worlds of TLS connections on the simulated kernel: each seed draws a trigger, the sizes of
//! the sockets, the faults of the kernel, and clients of both versions with a part each.
//!
//! Every turn of the server is played until it sleeps, so a loop that spins is found. What a client
//! has understood is always the front of what it said; a client that keeps to the protocol, and
//! that no fault ended, has all of it and the server's goodbye. At the end nothing has leaked.
//! Neighbour: `swarm`, which plays connections without TLS in larger worlds.

use std::time::Duration;

use mynah::kernel::Trigger;
use mynah::server::observe::counters::Counters;

use super::peer::{TlsPeer, VERSIONS};
use super::sim::{Play, narrow, pattern};
use crate::sim::{Dice, Faults, Link, Peer};

const SEEDS: u64 = 48;
/// Time between two steps of the clients: a trickled handshake stays within its time.
const PACE: Duration = Duration::from_millis(1);
/// After so many steps a client gives up.
const PATIENCE: usize = 2500;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Says its part and goodbye, hears everything.
    Honest,
    /// The same in small pieces, which cut its records.
    Trickling,
    /// Sends FIN inside a record.
    Truncating,
    /// Ends with RST inside a record.
    Resetting,
    /// Stops inside a record.
    Vanishing,
    /// Never reads.
    Deaf,
    /// Speaks another protocol.
    Plain,
}

const KINDS: [Kind; 9] = [
    Kind::Honest,
    Kind::Honest,
    Kind::Honest,
    Kind::Trickling,
    Kind::Truncating,
    Kind::Resetting,
    Kind::Vanishing,
    Kind::Deaf,
    Kind::Plain,
];

struct Actor {
    kind: Kind,
    dice: Dice,
    peer: Peer,
    tls: TlsPeer,
    said: Vec<u8>,
    /// Goodbye is said behind the answer, and not at once.
    waits: bool,
    has_ended: bool,
    /// Records that are to be sent.
    pending: Vec<u8>,
    sent: usize,
    turning_point: usize,
    age: usize,
    is_complete: bool,
    is_over: bool,
}

impl Actor {
    fn new(play: &mut Play, seed: u64) -> Actor {
        let mut dice = Dice::new(seed);
        let kind = KINDS[dice.below(KINDS.len())];
        let size = match kind {
            Kind::Trickling => dice.below(2000),
            Kind::Deaf => 60_000,
            _ => dice.below(30_000),
        };
        let said = pattern(size);
        let mut tls = TlsPeer::new(VERSIONS[dice.below(VERSIONS.len())]);
        tls.say(&said);
        let waits = dice.chance(0.5);
        Actor {
            kind,
            peer: play.sim().connect(0),
            tls,
            said,
            waits,
            has_ended: false,
            pending: match kind {
                Kind::Plain => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
                _ => Vec::new(),
            },
            sent: 0,
            // Inside the handshake or behind it.
            turning_point: dice.below(2000),
            age: 0,
            is_complete: false,
            is_over: false,
            dice,
        }
    }

    fn is_honest(&self) -> bool {
        matches!(self.kind, Kind::Honest | Kind::Trickling)
    }

    fn step(&mut self, play: &mut Play) {
        if self.is_over {
            return;
        }
        self.age += 1;
        self.talk(play);
        self.listen(play);
        assert!(
            self.said.starts_with(&self.tls.heard),
            "{:?} has heard {} wrong bytes",
            self.kind,
            self.tls.heard.len()
        );
        let has_all = self.tls.heard.len() == self.said.len();
        let is_time = has_all || !self.waits;
        // In a handshake the goodbye would be its end.
        if is_time && !self.has_ended && !self.tls.tls.is_handshaking() {
            self.has_ended = true;
            self.tls.tls.send_close_notify();
        }
        let state = play.sim().peer_state(self.peer);
        let is_gone = matches!(state.link, Link::Reset | Link::Refused | Link::Closed);
        let is_told = state.link == Link::Finished && state.unread == 0;
        if is_gone || is_told || self.age > PATIENCE || play.sim().killed(self.peer) {
            self.is_complete = has_all && self.kind != Kind::Plain && self.tls.has_goodbye();
            self.is_over = true;
            play.sim().close_peer(self.peer);
        }
    }

    fn talk(&mut self, play: &mut Play) {
        if self.kind != Kind::Plain {
            self.pending.extend(self.tls.take());
        }
        let turns = matches!(
            self.kind,
            Kind::Truncating | Kind::Resetting | Kind::Vanishing
        );
        let most = match self.kind {
            Kind::Trickling => 1 + self.dice.below(40),
            _ => 1 + self.dice.below(3000),
        };
        let left = if turns {
            self.turning_point - self.sent
        } else {
            most
        };
        let count = most.min(left).min(self.pending.len());
        let sent = play.sim().send(self.peer, &self.pending[..count]);
        self.pending.drain(..sent);
        self.sent += sent;
        match self.kind {
            Kind::Truncating if self.sent == self.turning_point => play.sim().finish(self.peer),
            Kind::Resetting if self.sent == self.turning_point => play.sim().reset(self.peer),
            _ => {}
        }
    }

    fn listen(&mut self, play: &mut Play) {
        let is_silent = self.kind == Kind::Vanishing && self.sent == self.turning_point;
        if self.kind == Kind::Deaf || is_silent {
            return;
        }
        let most = 1 + self.dice.below(3000);
        let records = play.sim().receive(self.peer, most);
        if self.kind != Kind::Plain {
            self.tls.give(&records);
        }
    }
}

/// The faults of a world: in half of the worlds none that ends or refuses a connection.
fn faults(seed: u64) -> (Faults, bool) {
    let mut faults = Faults::swarm(seed);
    let is_kind = seed % 2 == 0;
    if is_kind {
        let ending = [
            &mut faults.aborted,
            &mut faults.starved,
            &mut faults.unregistered,
            &mut faults.reset,
            &mut faults.half_close,
            &mut faults.leap,
        ];
        ending
            .into_iter()
            .for_each(|probability| *probability = 0.0);
    }
    (faults, is_kind)
}

/// Plays the world of `seed`; returns how many connections were complete.
fn play(seed: u64) -> usize {
    let mut dice = Dice::new(seed ^ 0x715);
    let mut size = || [60, 500, 5000, 100_000][dice.below(4)];
    let config = narrow(size(), size());
    let trigger = [Trigger::Level, Trigger::Edge][dice.below(2)];
    let mut play = Play::new(
        trigger,
        config,
        "raw",
        mynah::protocol::service::Echo.into(),
    );
    let (faults, is_kind) = faults(seed);
    play.sim().set_faults(faults);
    let count = 1 + dice.below(3);
    let mut actors: Vec<Actor> = (0..count)
        .map(|_| Actor::new(&mut play, dice.next()))
        .collect();
    while actors.iter().any(|actor| !actor.is_over) {
        for actor in &mut actors {
            actor.step(&mut play);
        }
        play.pass(PACE);
    }
    for actor in actors.iter().filter(|actor| is_kind && actor.is_honest()) {
        assert!(
            actor.is_complete,
            "{:?} has {} of {} bytes after {} steps",
            actor.kind,
            actor.tls.heard.len(),
            actor.said.len(),
            actor.age
        );
    }
    play.sim().set_faults(Faults::none());
    play.drain();
    let counters: &Counters = play.counters();
    let closed: u64 = counters.closed.iter().sum();
    assert_eq!(closed, counters.connections_total, "each has ended once");
    play.end();
    actors.iter().filter(|actor| actor.is_complete).count()
}

#[test]
fn tls_connections_of_small_worlds_lose_no_byte() {
    let seeds = match std::env::var("MYNAH_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("a seed");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    let mut complete = 0;
    for seed in seeds.clone() {
        // Printed only when a play fails.
        println!("MYNAH_SEED={seed}");
        complete += play(seed);
    }
    let expected = if seeds.end - seeds.start > 1 {
        SEEDS / 4
    } else {
        0
    };
    assert!(complete as u64 >= expected, "only {complete} were complete");
}
