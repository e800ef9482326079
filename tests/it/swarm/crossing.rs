//! Takeovers in some worlds with two workers that share a listener: the second worker is a process
//! that takes over from the first one.
//!
//! From the start both accept, as two processes do between the last two words of a takeover. At
//! some step the first one leaves the listener, and then passes connections while they are at rest.
//! Messages find no room at times. Either process may die at a step, before or after that: its
//! descriptors are closed, with those of messages that it has not taken. What peers of the other
//! process get is checked like everywhere else. Invariant: no more connections are on their way
//! than the second process has room for.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;

use mynah::kernel::Token;
use mynah::protocol::service::Service;
use mynah::server::handover::Handed;

use crate::sim::{Dice, Socket};

use super::play::Stage;
use super::world::Takeover;

/// The process that is taken over.
pub(super) const OLD: usize = 0;
/// The process that takes over.
pub(super) const NEW: usize = 1;

/// A takeover under way.
pub(super) struct Crossing {
    plan: Takeover,
    dice: Dice,
    has_left: bool,
    /// Connections that may still be passed, of so many that there have been.
    left: Vec<Token>,
    known: u64,
    /// Connections on their way.
    passage: VecDeque<(Handed, Socket)>,
    dead: Option<usize>,
    /// Connections that were reset in the queue of a process that died.
    pub(super) lost: u64,
}

impl Crossing {
    pub(super) fn new(seed: u64, plan: Takeover) -> Crossing {
        Crossing {
            plan,
            dice: Dice::new(seed.rotate_left(43)),
            has_left: false,
            left: Vec::new(),
            known: 0,
            passage: VecDeque::new(),
            dead: None,
            lost: 0,
        }
    }
}

impl<S: Service + Clone> Stage<'_, S> {
    /// Whether the process is not dead.
    pub(super) fn is_alive(&self, place: usize) -> bool {
        self.crossing.as_ref().and_then(|it| it.dead) != Some(place)
    }

    /// The workers that are not dead.
    pub(super) fn alive(&self) -> Vec<usize> {
        let all = 0..self.servers.len();
        all.filter(|place| self.is_alive(*place)).collect()
    }

    /// Whether the process has left its listener to another one.
    pub(super) fn has_left(&self, place: usize) -> bool {
        place == OLD && self.crossing.as_ref().is_some_and(|it| it.has_left)
    }

    /// Descriptors of connections on their way.
    pub(super) fn on_their_way(&self) -> usize {
        self.crossing.as_ref().map_or(0, |it| it.passage.len())
    }

    /// A step of the takeover.
    pub(super) fn cross(&mut self, step: usize) {
        let Some(mut crossing) = self.crossing.take() else {
            return;
        };
        match crossing.plan.dies {
            Some((place, at)) if at == step && crossing.dead.is_none() => {
                self.die(&mut crossing, place);
            }
            _ => {}
        }
        let is_alive = |place| crossing.dead != Some(place);
        if is_alive(OLD) && !self.is_draining {
            if step >= crossing.plan.leaves_at && !crossing.has_left && is_alive(NEW) {
                self.sim().look_as(OLD);
                self.servers[OLD].leave_listeners();
                crossing.has_left = true;
                self.note("the first process leaves");
                // A message says so, and the other one looks at the queue.
                self.look(NEW);
            }
            if crossing.has_left {
                self.give(&mut crossing);
            }
        }
        if crossing.dead != Some(NEW) {
            let most = crossing.dice.below(3);
            let count = crossing.passage.len().min(most);
            for (handed, socket) in crossing.passage.drain(..count) {
                self.sim().look_as(NEW);
                self.servers[NEW].take_over(socket, &handed);
                self.sim().wake_worker(NEW);
            }
        }
        self.write_down();
        self.crossing = Some(crossing);
    }

    /// The first process passes some connections.
    fn give(&mut self, crossing: &mut Crossing) {
        let total = self.servers[OLD].counters().connections_total;
        if crossing.known != total {
            (crossing.left, crossing.known) = (self.servers[OLD].tokens(), total);
        }
        let room = self.servers[NEW].room() - crossing.passage.len();
        let most = room.min(1 + crossing.dice.below(4));
        let refused = match crossing.dice.chance(0.2) {
            _ if crossing.dead == Some(NEW) => Some(io::ErrorKind::BrokenPipe),
            true => Some(io::ErrorKind::WouldBlock),
            false => None,
        };
        let (sim, queue) = (&self.sim, &mut crossing.passage);
        self.sim().look_as(OLD);
        let before = queue.len();
        let sent = self.servers[OLD].hand_over(&mut crossing.left, most, &mut |handed, sockets| {
            if let Some(error) = refused {
                return Err(error.into());
            }
            for (handed, socket) in handed.iter().zip(sockets) {
                let mut sim = sim.lock().expect("no check fails with the lock");
                let copy = sim.pass(socket, NEW).expect("there are descriptors enough");
                queue.push_back((*handed, copy));
            }
            Ok(())
        });
        let passed = queue.len() - before;
        assert_eq!(sent.unwrap_or(0), passed, "what was passed is counted");
        if passed > 0 {
            self.note(&format!("{passed} connections are passed"));
        }
    }

    /// A process dies: what it has is closed, and nothing else.
    fn die(&mut self, crossing: &mut Crossing, place: usize) {
        crossing.dead = Some(place);
        self.note(&format!("process {place} dies"));
        let lost = self.sim().lost();
        self.sim().die(place);
        crossing.lost = self.sim().lost() - lost;
        if place == NEW {
            crossing.passage.clear();
        }
        // The other one sees that at once: by the end of the connection between the two.
        self.look([NEW, OLD][place]);
    }

    /// A process looks at its listeners.
    fn look(&mut self, place: usize) {
        self.sim().look_as(place);
        self.servers[place].look_at_listeners();
        self.sim().wake_worker(place);
    }
}
