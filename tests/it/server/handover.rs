//! Connections that pass from one process to another on the simulated kernel.
//!
//! Two servers stand for two processes: each has a poller of its own, and a copy of a connection is
//! another descriptor of the same file, as SCM_RIGHTS makes it. The simulated kernel refuses to
//! close a descriptor whose registration would stay. Peers send frames in pieces, at any time, and
//! must get every byte back once, whatever process has their connection.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use mynah::kernel::Sockets;
use mynah::server::handover::Handed;

use super::*;
use crate::sim::{Dice, Socket, Worker};

const PEERS: usize = 5;
/// More than the largest frame that a peer sends.
const FRAME_MAX: usize = 400;

/// Two processes, and what is on its way between them.
struct Two {
    sim: Arc<Mutex<Sim>>,
    old: Server<Worker, Echo>,
    new: Server<Worker, Echo>,
    passage: VecDeque<(Handed, Socket)>,
    left: Vec<Token>,
}

/// How the next message to the other process fares.
#[derive(Clone, Copy, PartialEq)]
enum Passage {
    Open,
    /// There is no room.
    Full,
    /// The other process has ended.
    Broken,
}

impl Two {
    fn new(config: Config, trigger: Trigger) -> Two {
        let (sim, kernels) = Worker::of(Sim::new(config), 2);
        let settings = Settings {
            connections_max: PEERS,
            workspaces: PEERS,
            trigger,
            ..settings()
        };
        let address = "127.0.0.1:7007".parse().expect("an address");
        let mut servers = kernels.into_iter().enumerate().map(|(place, mut kernel)| {
            let listeners = match place {
                0 => vec![(kernel.listen(&address, &Sim::listen_options(8))).expect("it is free")],
                _ => Vec::new(),
            };
            let protocol = Protocol {
                framing: framing("u16be", FRAME_MAX),
                on_too_long: OnTooLong::Close,
                service: Echo,
            };
            Server::new(kernel, listeners, protocol, settings.clone()).expect("it starts")
        });
        let (old, new) = (servers.next().expect("two"), servers.next().expect("two"));
        drop(servers);
        Two {
            sim,
            old,
            new,
            passage: VecDeque::new(),
            left: Vec::new(),
        }
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().expect("no panic")
    }

    fn turn(&mut self) {
        for server in [&mut self.old, &mut self.new] {
            server.turn(Time::default()).expect("a turn does not fail");
        }
    }

    /// The old process sends what is at rest.
    fn give(&mut self, most: usize, passage: Passage) -> io::Result<usize> {
        let (sim, queue) = (&self.sim, &mut self.passage);
        let mut calls = 0;
        let passed = self
            .old
            .hand_over(&mut self.left, most, &mut |handed, sockets| {
                calls += 1;
                assert!(!sockets.is_empty() && sockets.len() == handed.len());
                match passage {
                    Passage::Full => return Err(io::ErrorKind::WouldBlock.into()),
                    Passage::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
                    Passage::Open => {}
                }
                for (handed, socket) in handed.iter().zip(sockets) {
                    let copy = sim.lock().expect("no panic").pass(socket, 1)?;
                    queue.push_back((*handed, copy));
                }
                Ok(())
            });
        assert!(calls <= 1);
        passed
    }

    /// The new process takes one connection.
    fn take(&mut self) {
        if let Some((handed, socket)) = self.passage.pop_front() {
            assert!(self.new.room() > 0);
            self.new.take_over(socket, &handed);
        }
    }

    /// Checks that nothing has leaked.
    fn end(mut self) {
        self.turn();
        let (old, new) = (self.old.counters().clone(), self.new.counters().clone());
        for counters in [&old, &new] {
            let ended: u64 = counters.closed.iter().sum();
            assert_eq!(counters.connections_total, counters.connections_now + ended);
        }
        let live = (old.connections_now + new.connections_now) as usize;
        // The listener, and a reserve descriptor of each process.
        assert_eq!(self.sim().open_sockets(), 3 + live + self.passage.len());
        assert_eq!(old.epoll_ctl + new.epoll_ctl, self.sim().calls("epoll_ctl"));
        assert_eq!(
            self.old.workspaces_acquired() + self.new.workspaces_acquired(),
            0
        );
    }
}

/// A peer that sends frames, and gets the same bytes back.
struct Talker {
    peer: Peer,
    stream: Vec<u8>,
    sent: usize,
    heard: Vec<u8>,
}

impl Talker {
    fn new(peer: Peer, dice: &mut Dice) -> Talker {
        let mut stream = Vec::new();
        for _ in 0..1 + dice.below(12) {
            let size = dice.below(300);
            stream.extend((size as u16).to_be_bytes());
            stream.extend((0..size).map(|place| place as u8));
        }
        Talker {
            peer,
            stream,
            sent: 0,
            heard: Vec::new(),
        }
    }

    fn send(&mut self, sim: &mut Sim, most: usize) {
        let end = self.stream.len().min(self.sent + most);
        self.sent += sim.send(self.peer, &self.stream[self.sent..end]);
    }

    fn hear(&mut self, sim: &mut Sim) {
        self.heard.extend(sim.receive_all(self.peer));
        assert!(self.stream.starts_with(&self.heard), "a wrong byte");
    }

    fn has_all(&self) -> bool {
        self.heard.len() == self.stream.len()
    }
}

/// One step of a peer, a server or the passage.
fn step(two: &mut Two, talkers: &mut [Talker], dice: &mut Dice) {
    let at = dice.below(talkers.len());
    let most = 1 + dice.below(200);
    match dice.below(7) {
        0 | 1 => talkers[at].send(&mut two.sim(), most),
        2 => talkers[at].hear(&mut two.sim()),
        3 => two.turn(),
        4 => {
            let _ = two.give(1 + most % PEERS, Passage::Full);
        }
        5 => {
            two.give(1 + most % PEERS, Passage::Open)
                .expect("it is open");
        }
        _ => two.take(),
    }
}

/// Everything goes on until all peers in `talkers` have all bytes, and all connections have passed
/// if they can.
fn finish(two: &mut Two, talkers: &mut [Talker], passage: Passage) {
    for _ in 0..TURNS_MAX {
        for talker in talkers.iter_mut() {
            talker.send(&mut two.sim(), usize::MAX / 2);
        }
        two.turn();
        let _ = two.give(PEERS, passage);
        two.take();
        for talker in talkers.iter_mut() {
            talker.hear(&mut two.sim());
        }
        let is_passed = passage != Passage::Open || two.old.tokens().is_empty();
        if is_passed && two.passage.is_empty() && talkers.iter().all(Talker::has_all) {
            return;
        }
    }
    panic!("some peers have not all bytes");
}

fn begin(seed: u64, trigger: Trigger) -> (Two, Vec<Talker>, Dice) {
    let config = Config { seed, ..narrow() };
    let mut two = Two::new(config, trigger);
    let mut dice = Dice::new(seed);
    let talkers: Vec<Talker> = (0..PEERS)
        .map(|_| {
            let peer = two.sim().connect(0);
            two.turn();
            Talker::new(peer, &mut dice)
        })
        .collect();
    two.turn();
    two.left = two.old.tokens();
    assert_eq!(two.left.len(), PEERS);
    (two, talkers, dice)
}

fn plays() -> impl Iterator<Item = (u64, Trigger)> {
    (0..150).flat_map(|seed| [(seed, Trigger::Level), (seed, Trigger::Edge)])
}

#[test]
fn every_byte_is_answered_once_whenever_its_connection_is_passed() {
    for (seed, trigger) in plays() {
        println!("seed {seed}, {trigger:?}");
        let (mut two, mut talkers, mut dice) = begin(seed, trigger);
        for _ in 0..dice.below(120) {
            step(&mut two, &mut talkers, &mut dice);
        }
        finish(&mut two, &mut talkers, Passage::Open);
        let handed_over = two.old.counters().closed[CloseReason::HandedOver as usize];
        assert_eq!(handed_over, PEERS as u64);
        assert_eq!(two.new.counters().connections_taken_over, PEERS as u64);
        two.end();
    }
}

#[test]
fn a_new_process_that_dies_at_any_step_takes_only_what_was_passed_with_it() {
    for (seed, trigger) in plays() {
        println!("seed {seed}, {trigger:?}");
        let (mut two, mut talkers, mut dice) = begin(seed, trigger);
        for _ in 0..dice.below(60) {
            let at = dice.below(talkers.len());
            let most = 1 + dice.below(200);
            match dice.below(5) {
                0 | 1 => talkers[at].send(&mut two.sim(), most),
                2 => talkers[at].hear(&mut two.sim()),
                3 => two.turn(),
                _ => _ = two.give(1 + most % PEERS, Passage::Open),
            }
        }
        // What is on its way goes with the process that was to get it.
        let lost = two.passage.len();
        let dead = std::mem::take(&mut two.passage);
        for (_, socket) in dead {
            two.new.kernel_mut().close(socket);
        }
        // The peers were accepted in order, each into the next slot.
        let kept: Vec<u32> = two.old.tokens().iter().map(|it| it.index()).collect();
        assert_eq!(kept.len(), PEERS - lost);
        let talkers = (0..).zip(talkers).filter(|(slot, _)| kept.contains(slot));
        let mut alive: Vec<Talker> = talkers.map(|(_, talker)| talker).collect();
        finish(&mut two, &mut alive, Passage::Broken);
        assert_eq!(two.old.tokens().len(), PEERS - lost);
        two.end();
    }
}

#[test]
fn the_idle_time_of_a_connection_goes_with_it() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut two, _, _) = begin(1, trigger);
        // A turn that does not wait takes some time here, so nothing is exact.
        let rest = Duration::from_secs(1);
        two.sim().advance(IDLE - rest);
        two.turn();
        assert_eq!(two.give(PEERS, Passage::Open).expect("it is open"), PEERS);
        (0..PEERS).for_each(|_| two.take());
        two.turn();
        assert_eq!(two.new.counters().connections_now, PEERS as u64);
        two.sim().advance(rest);
        two.turn();
        let idle = two.new.counters().closed[CloseReason::Idle as usize];
        assert_eq!(idle, PEERS as u64);
        two.end();
    }
}

#[test]
fn a_connection_that_comes_during_a_drain_and_is_owed_nothing_ends_at_once() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut two, _, _) = begin(2, trigger);
        assert_eq!(two.give(1, Passage::Open).expect("it is open"), 1);
        two.new.drain();
        two.take();
        two.turn();
        assert_eq!(two.new.counters().connections_now, 0, "no event would come");
        two.end();
    }
}

#[test]
fn a_connection_without_room_in_the_other_process_is_served_on() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let (mut two, mut talkers, _) = begin(2, trigger);
        assert_eq!(two.give(1, Passage::Open).expect("it is open"), 1);
        let full = two.give(1, Passage::Full).map_err(|error| error.kind());
        assert_eq!(full, Err(io::ErrorKind::WouldBlock));
        two.take();
        finish(&mut two, &mut talkers, Passage::Full);
        assert_eq!(two.old.tokens().len(), PEERS - 1);
        assert_eq!(two.new.counters().connections_now, 1);
        two.end();
    }
}
