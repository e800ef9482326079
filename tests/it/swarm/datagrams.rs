//! Datagrams for the first worker of some worlds, beside its peers.
//!
//! They have a random generator of their own, so the peers of a world do the same with and without
//! them. Every datagram has a text of its own: each answer is that to a datagram which has arrived,
//! goes to its sender, and comes once. What is not answered was counted.

use mynah::kernel::Address;
use mynah::protocol::service::Service;
use mynah::server::Server;
use mynah::server::datagram::DatagramSocket;
use mynah::server::observe::counters::Counters;

use crate::sim::{Dice, Sim, Socket, Worker};

use super::world::{Answering, World};

/// One world in so many has datagrams.
const RARITY: u64 = 4;
const HERE: &str = "udp://127.0.0.1:9";

/// The senders of the datagrams.
pub(super) struct Datagrams {
    dice: Dice,
    answering: Answering,
    /// Answers that may come, with their receivers.
    expected: Vec<(Vec<u8>, Address)>,
    arrived: u64,
    answered: u64,
}

impl Datagrams {
    /// Whether `world` has datagrams, and a descriptor for them.
    pub(super) fn are_in(world: &World) -> bool {
        let has_answers = matches!(
            world.manner.answering,
            Answering::Echo | Answering::Upper | Answering::Discard | Answering::Prefixed
        );
        has_answers && world.seed % RARITY == 2
    }

    pub(super) fn new<S: Service>(
        world: &World,
        socket: Socket,
        server: &mut Server<Worker, S>,
    ) -> Datagrams {
        let socket = DatagramSocket {
            socket,
            address: address(HERE),
            is_shared: false,
            is_passed: false,
        };
        server.serve_datagrams(vec![socket]).expect("a start");
        Datagrams {
            dice: Dice::new(world.seed.rotate_left(29)),
            answering: world.manner.answering,
            expected: Vec::new(),
            arrived: 0,
            answered: 0,
        }
    }

    /// The socket for them.
    pub(super) fn open(sim: &mut Sim) -> Socket {
        sim.open_datagrams(HERE)
    }

    /// Sends a few now and then, and takes the answers.
    pub(super) fn act(&mut self, sim: &mut Sim) {
        if self.dice.chance(0.05) {
            let room = [None, Some(0), Some(2)][self.dice.below(3)];
            sim.set_datagram_room(0, room);
        }
        if self.dice.chance(0.3) {
            for _ in 0..=self.dice.below(4) {
                let port = [7, 19, 9, 5000, 5001, 5002][self.dice.below(6)];
                let from = address(&format!("udp://127.0.0.1:{port}"));
                let text = format!("text {} from {port}", self.arrived);
                if sim.send_datagram_to(0, text.as_bytes(), &from) {
                    self.arrived += 1;
                    if port >= 5000 {
                        let answer = self.answering.answer(text.as_bytes());
                        self.expected.push((answer, from));
                    }
                }
            }
        }
        for answer in sim.take_datagrams(0) {
            let place = self.expected.iter().position(|it| *it == answer);
            let place = place.unwrap_or_else(|| panic!("{answer:?} is no answer, or the second"));
            self.expected.swap_remove(place);
            self.answered += 1;
        }
    }

    /// From now on every answer has room.
    pub(super) fn make_room(&mut self, sim: &mut Sim) {
        sim.set_datagram_room(0, None);
    }

    /// The counters between two turns.
    pub(super) fn check(&self, counters: &Counters) {
        assert!(counters.datagrams_in <= self.arrived, "{counters}");
        assert!(counters.datagrams_out >= self.answered, "{counters}");
        let done = counters.datagrams_out
            + counters.datagrams_unsent
            + counters.datagrams_truncated
            + counters.refused_loop;
        assert!(done <= counters.datagrams_in, "{counters}");
    }
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}
