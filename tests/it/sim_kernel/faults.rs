//! The faults keep the promises of epoll: a program that relies only on these promises loses
//! nothing.
//!
//! The program in these tests echoes on edges alone. It stops after a short read and never reads
//! without an event, so an answer that is worse than necessary and causes no edge afterwards would
//! hang it.

use super::*;

const SENT: usize = 3000;

/// An echo of one connection under edge trigger.
struct Edges {
    socket: Socket,
    owed: Vec<u8>,
    /// A write failed for lack of memory. No event follows, so it is retried after a time.
    again: bool,
}

impl Edges {
    fn turn(&mut self, play: &mut Play) {
        let mut events = [Event::default(); 4];
        let count = play
            .sim
            .wait(&mut events, Time::default())
            .expect("wait does not fail");
        for event in &events[..count] {
            if event.readiness().intersects(Readiness::IN) {
                self.read(play);
            }
            self.write(play);
        }
        if self.again {
            self.write(play);
        }
    }

    fn read(&mut self, play: &mut Play) {
        loop {
            match play.read(&self.socket, 20) {
                Ok(bytes) => {
                    self.owed.extend(&bytes);
                    if bytes.len() < 20 {
                        return;
                    }
                }
                Err(errno) => return assert_eq!(errno, EAGAIN),
            }
        }
    }

    fn write(&mut self, play: &mut Play) {
        self.again = false;
        while !self.owed.is_empty() {
            match play.sim.write(&self.socket, &self.owed).map_err(errno) {
                Ok(count) if count < self.owed.len() => return drop(self.owed.drain(..count)),
                Ok(count) => drop(self.owed.drain(..count)),
                Err(errno) => {
                    self.again = errno == ENOBUFS;
                    return assert!(self.again || errno == EAGAIN);
                }
            }
        }
    }
}

/// Runs the echo until the peer has received everything. Returns the trace.
fn echo(seed: u64, faults: Faults) -> String {
    let request = Pipe {
        send: 70,
        receive: 50,
    };
    let reply = Pipe {
        send: 30,
        receive: 20,
    };
    let mut play = Play::new(Config {
        request,
        reply,
        seed,
        ..Config::default()
    });
    let (socket, peer) = play.connect();
    play.sim.register(&socket, TOKEN, ALL).expect("it is open");
    play.sim.set_faults(faults.clone());
    let mut edges = Edges {
        socket,
        owed: Vec::new(),
        again: false,
    };
    let mut dice = Dice::new(seed);
    let (mut sent, mut received) = (0, Vec::new());
    for _ in 0..100_000 {
        // Nothing more is sent before everything is back, so that no later edge hides a missing
        // one.
        if received.len() == sent {
            let burst = sent..SENT.min(sent + 1 + dice.below(100));
            sent += play
                .sim
                .send(peer, &burst.map(|byte| byte as u8).collect::<Vec<u8>>());
        }
        edges.turn(&mut play);
        received.extend(play.sim.receive(peer, dice.below(40)));
        if received.len() == SENT {
            assert!((0..SENT).map(|byte| byte as u8).eq(received));
            return play.sim.trace();
        }
    }
    panic!(
        "seed {seed} hangs after {} of {SENT} bytes under {faults:?}",
        received.len()
    );
}

/// Swarm faults without those that end a connection and those that would wake a program that missed
/// an edge.
fn harmless(seed: u64) -> Faults {
    let none = Faults::none();
    Faults {
        reset: none.reset,
        half_close: none.half_close,
        spurious: none.spurious,
        ..Faults::swarm(seed)
    }
}

#[test]
fn an_echo_on_edges_alone_never_hangs() {
    for seed in 0..200 {
        echo(seed, harmless(seed));
    }
}

#[test]
fn a_seed_replays_a_run_call_by_call() {
    assert_eq!(echo(7, harmless(7)), echo(7, harmless(7)));
    assert_ne!(echo(7, harmless(7)), echo(8, harmless(7)));
}

#[test]
fn a_connection_that_a_fault_ended_is_known() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.set_faults(Faults {
        reset: 1.0,
        ..Faults::none()
    });
    assert_eq!(play.read(&socket, 9), Err(ECONNRESET));
    assert!(play.sim.killed(peer));
    assert_eq!(play.sim.peer_state(peer).link, Link::Closed);
}

#[test]
fn an_aborted_connection_is_gone_from_the_queue() {
    let mut play = Play::small();
    let peer = play.sim.connect(0);
    play.sim.set_faults(Faults {
        aborted: 1.0,
        ..Faults::none()
    });
    assert_eq!(
        play.sim.accept(&play.listener).map_err(errno),
        Err(ECONNABORTED)
    );
    assert_eq!(play.sim.accept(&play.listener).map_err(errno), Err(EAGAIN));
    assert!(play.sim.killed(peer));
    assert_eq!(play.sim.open_sockets(), 1);
}

#[test]
fn a_shortage_of_descriptors_ends_with_a_close_or_with_time() {
    let mut play = Play::small();
    let reserved = play.sim.reserve().expect("there are descriptors");
    play.sim.set_faults(Faults {
        starved: 1.0,
        ..Faults::none()
    });
    let _peer = play.sim.connect(0);
    assert_eq!(play.sim.accept(&play.listener).map_err(errno), Err(EMFILE));
    play.sim.close(reserved);
    assert!(play.sim.accept(&play.listener).is_ok());
    assert_eq!(play.sim.reserve().map_err(errno), Err(EMFILE));
    play.sim.advance(Duration::from_secs(1));
    assert!(play.sim.reserve().is_ok());
}

#[test]
fn a_stale_event_names_a_connection_that_was_closed() {
    let mut play = Play::small();
    play.sim.set_faults(Faults {
        stale: 1.0,
        ..Faults::none()
    });
    let (first, _) = play.connect();
    play.sim.register(&first, TOKEN, READ).expect("it is open");
    play.sim.close(first);
    let (second, _) = play.connect();
    play.sim
        .register(&second, Token::new(1, 2), READ)
        .expect("it is open");
    let mut events = [Event::default(); 4];
    assert_eq!(
        play.sim.wait(&mut events, Time::NEVER).map_err(errno),
        Ok(1)
    );
    assert_eq!(events[0].token(), TOKEN);
}

#[test]
fn an_ordered_failure_hits_the_call_it_was_ordered_for() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.send(peer, b"abc");
    play.sim.fail("recv", 2, libc::ETIMEDOUT);
    play.sim.clear_journal();
    let answers = [1, 1, 1].map(|max| play.read(&socket, max).map(|bytes| bytes[0]));
    assert_eq!(answers, [Ok(b'a'), Err(libc::ETIMEDOUT), Ok(b'b')]);
    assert_eq!(
        play.sim.trace(),
        "recv(4) = 1\nrecv(4) = -1 ETIMEDOUT\nrecv(4) = 1\n"
    );
    assert_eq!(
        (play.sim.names(), play.sim.calls("recv")),
        ("recv, recv, recv".into(), 3)
    );
}
