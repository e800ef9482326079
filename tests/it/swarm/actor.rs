//! A peer of the swarm: one step between two turns of the server.
//!
//! It sends, receives and ends as its part says, and records every byte. It does not know the
//! server; it sees only its end of the connection. Invariant: the received bytes are always a
//! prefix of the expected bytes, and all of them if the server had no reason to stop earlier. The
//! actor measures by its own clock how long its frames take.

use std::time::Duration;

use mynah::kernel::Time;

use crate::sim::{Dice, Link, Peer, Pipe, Sim};

use super::challenging::CHALLENGE_SIZE;
use super::world::{Kind, Part};

/// The outcome of a peer's conversation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The peer received everything it had to receive.
    Complete,
    /// The peer gave up, or a fault ended its connection: a prefix is enough.
    Own,
    /// The server, or admission, ended the connection although the peer was owed bytes.
    Early,
}

pub struct Actor {
    pub part: Part,
    peer: Option<Peer>,
    dice: Dice,
    age: usize,
    said: usize,
    /// The challenge, as far as it has come.
    challenge: Vec<u8>,
    heard: Vec<u8>,
    /// The start of the incomplete frame, and when its first byte was sent.
    frame: Option<(usize, Time)>,
    /// The start of a frame for which the server certainly waits, and since when.
    awaited: Option<(usize, Time)>,
    /// The longest time that a frame has taken so far.
    slowest: Duration,
    pub end: Option<End>,
}

impl Actor {
    pub fn new(part: &Part) -> Actor {
        let (part, dice) = (part.clone(), Dice::new(part.seed));
        Actor {
            part,
            peer: None,
            dice,
            age: 0,
            said: 0,
            challenge: Vec::new(),
            heard: Vec::new(),
            frame: None,
            awaited: None,
            slowest: Duration::ZERO,
            end: None,
        }
    }

    /// Whether this peer never causes a time-out. A peer that sends an invalid frame has only the
    /// linger time.
    pub fn is_timely(&self, reply: Pipe) -> bool {
        match self.part.kind {
            Kind::Honest | Kind::HalfClosing => !self.part.talk.is_wrong(usize::MAX),
            Kind::Lying => reply.receive >= 300,
            _ => false,
        }
    }

    /// Whether a frame of this peer has taken as long as `timeout`, up to `now`.
    pub fn is_slow(&self, timeout: Option<Duration>, now: Time) -> bool {
        let under_way = match (self.frame, self.end) {
            (Some((_, begun)), None) => now.since(begun),
            _ => Duration::ZERO,
        };
        timeout.is_some_and(|timeout| self.slowest.max(under_way) >= timeout)
    }

    /// Does one step of its part. Returns what it did.
    pub fn step(&mut self, sim: &mut Sim, step: usize) -> Option<String> {
        if self.end.is_some() || step < self.part.arrives {
            return None;
        }
        let Some(peer) = self.peer else {
            if sim.listening() == 0 {
                self.end = Some(End::Own);
                return Some("finds no listener".to_owned());
            }
            self.peer = Some(sim.connect_from(self.part.machine, 0));
            let header = self.part.talk.under_way(0);
            self.frame = header.map(|start| (start, sim.time()));
            return Some("connects".to_owned());
        };
        self.age += 1;
        let (said, heard) = (self.said, self.heard.len());
        let now = sim.time();
        if let Some((_, begun)) = self.frame {
            self.slowest = self.slowest.max(now.since(begun));
        }
        self.talk(sim, peer);
        self.frame = match (self.part.talk.under_way(self.said), self.frame) {
            (Some(start), Some((same, begun))) if start == same => Some((start, begun)),
            (start, _) => start.map(|start| (start, now)),
        };
        self.listen(sim, peer);
        self.judge(sim, peer);
        let (said, heard) = (self.said - said, self.heard.len() - heard);
        let link = sim.peer_state(peer).link;
        let (all, owed) = (
            self.part.talk.bytes.len(),
            self.part.talk.answer(self.said).len(),
        );
        let told = format!(
            "says {said} (now {} of {all}), hears {heard} (now {} of {owed}), {link:?}",
            self.said,
            self.heard.len()
        );
        match self.end {
            Some(end) => {
                let told = format!("{told}, ended: {end:?}");
                sim.close_peer(peer);
                Some(told)
            }
            None if said + heard > 0 => Some(told),
            None => None,
        }
    }

    /// The start of the frame whose end is all that the server waits for: the server has read
    /// everything that was sent and answered the frames before.
    fn waited_for(&self, sim: &mut Sim) -> Option<usize> {
        let ((start, _), peer) = (self.frame?, self.peer?);
        let state = sim.peer_state(peer);
        let is_open = state.link == Link::Open && !state.shut && self.end.is_none();
        let is_heard = sim.unheard(peer) == 0 && self.lacks(false) == 0;
        let said = &self.part.talk.bytes[start..self.said];
        // A blank line before an HTTP request is not part of it (RFC 9112, 2.2).
        let has_begun = said.iter().any(|byte| !b"\r\n".contains(byte));
        let wrong = self.part.talk.is_wrong(self.said);
        (is_open && is_heard && has_begun && !wrong).then_some(start)
    }

    /// Panics if the server, with nothing else to do for this peer, has waited longer than `span`
    /// for the end of a frame and still waits.
    pub fn check_is_cut(&mut self, sim: &mut Sim, span: Duration) {
        let Some(start) = self.waited_for(sim) else {
            return;
        };
        let now = sim.time();
        let since = match self.awaited {
            Some((same, since)) if same == start => since,
            _ => now,
        };
        self.awaited = Some((start, since));
        let waited = now.since(since);
        assert!(
            waited <= span,
            "peer {} ({:?}) was waited for {waited:?} amid a frame, and was not cut",
            self.part.number,
            self.part.kind,
        );
    }

    fn talk(&mut self, sim: &mut Sim, peer: Peer) {
        let Part {
            kind,
            turning_point,
            talk,
            ..
        } = &self.part;
        let stops_at = match kind {
            Kind::Vanishing | Kind::Resetting | Kind::HalfClosing => *turning_point,
            _ => talk.bytes.len(),
        };
        let left = match self.is_challenged() {
            true => stops_at.min(talk.digest_start()) - self.said,
            false => stops_at - self.said,
        };
        let count = match kind {
            Kind::ByteByByte => left.min(1),
            Kind::Flooding | Kind::NeverReading => left,
            _ => left.min(1 + self.dice.below(200)),
        };
        self.said += sim.send(peer, &talk.bytes[self.said..self.said + count]);
        match kind {
            Kind::HalfClosing if self.said == stops_at => sim.finish(peer),
            Kind::Resetting if self.said == stops_at => sim.reset(peer),
            _ => {}
        }
    }

    fn listen(&mut self, sim: &mut Sim, peer: Peer) {
        let silent = match self.part.kind {
            Kind::NeverReading => true,
            Kind::Vanishing => self.said == self.part.turning_point,
            Kind::Flooding => self.age % 8 != 0,
            _ => false,
        };
        match (silent, self.dice.chance(0.5)) {
            (true, _) => {}
            (false, true) => self.hear(&sim.receive_all(peer)),
            (false, false) => {
                let most = 1 + self.dice.below(100);
                self.hear(&sim.receive(peer, most));
            }
        }
    }

    /// Whether the challenge has still to come.
    fn is_challenged(&self) -> bool {
        self.part.answer.is_some() && self.challenge.len() < CHALLENGE_SIZE
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        if let (true, Some(answer)) = (self.is_challenged(), self.part.answer) {
            let size = bytes.len().min(CHALLENGE_SIZE - self.challenge.len());
            self.challenge.extend(&bytes[..size]);
            bytes = &bytes[size..];
            if !self.is_challenged() {
                let digest = answer.digest(&self.challenge);
                self.part.talk.fill_digest(&digest);
            }
        }
        self.heard.extend(bytes);
    }

    /// Whether the server can know that this peer has the key.
    pub fn is_authorised(&self) -> bool {
        self.part.talk.is_authorised(self.said)
    }

    /// The challenge of its connection, if all of it has come.
    pub fn challenge(&self) -> Option<&[u8]> {
        (self.challenge.len() == CHALLENGE_SIZE).then_some(&self.challenge)
    }

    /// Checks whether the conversation is over.
    fn judge(&mut self, sim: &mut Sim, peer: Peer) {
        let state = sim.peer_state(peer);
        let killed = sim.killed(peer) || state.link == Link::Closed;
        let silent = match self.part.kind {
            Kind::NeverReading => true,
            Kind::Vanishing => self.said == self.part.turning_point,
            _ => false,
        };
        let all = self.said == self.part.talk.bytes.len();
        let gives_up = match self.part.kind {
            _ if state.link == Link::Connecting => self.age > 10 * self.part.patience,
            Kind::NeverReading | Kind::Vanishing | Kind::Flooding => self.age > self.part.patience,
            _ => false,
        };
        let over = state.unread == 0 && matches!(state.link, Link::Finished | Link::Reset);
        let wrong = self.part.talk.is_wrong(self.said);
        self.end = if killed || state.link == Link::Refused || gives_up || (over && silent) {
            Some(End::Own)
        } else if over {
            let link_ended = state.link == Link::Finished;
            let ended = state.shut && link_ended;
            // A peer that has sent everything and is silent for long may be closed as idle.
            let told = link_ended && all;
            let complete = (ended || wrong || told) && self.lacks(ended) == 0;
            Some(if complete { End::Complete } else { End::Early })
        } else if all && !wrong && self.lacks(false) == 0 {
            if self.part.finishes {
                sim.finish(peer);
                None
            } else {
                Some(End::Complete)
            }
        } else {
            None
        };
    }

    /// How many bytes the peer has still to receive, with or without the end of the stream
    /// (`ended`).
    fn lacks(&self, ended: bool) -> usize {
        let answer = self.part.talk.answer(self.said);
        let held = if ended {
            0
        } else {
            self.part.talk.held_back(self.said)
        };
        (answer.len() - held).saturating_sub(self.heard.len())
    }

    /// Panics if the peer received bytes that it should not have received. A drain may have
    /// `drained` the server before it read all that the peer sent.
    pub fn check(&self, drained: bool) {
        let talk = &self.part.talk;
        let answer = talk.answer(self.said);
        let length = self.heard.len();
        assert!(
            talk.begins(&answer, &self.heard)
                || (drained && talk.is_cut_off(self.said, &self.heard)),
            "peer {} ({:?}) said {} and heard {length} bytes that are not a front part of the {} \
             it must hear; they differ from {:?} on",
            self.part.number,
            self.part.kind,
            self.said,
            answer.len(),
            answer.iter().zip(&self.heard).position(|(a, b)| a != b),
        );
    }
}
