//! Datagrams whose answers come from a command: a fixed number of places.
//!
//! ```text
//!   Free --> Waiting --> Running --> Ready --> Free
//!      a datagram  it starts    it ends    the answer is sent, or given up
//! ```
//!
//! A place has the sender, the state of the service and the room for the whole answer, which no
//! datagram socket could keep. `effects::commands` runs the commands and names a place by the token
//! of its datagram. The memory is untouched until a datagram asks for a command. Neighbours:
//! `port`, which sends the answers.

use std::io;

use crate::kernel::{Mapping, Sender};
use crate::limits::DATAGRAM_COMMANDS_MAX;
use crate::protocol::service::{Effect, EffectEvent, Effects, Reply, Service};
use crate::server::effects::children::PeerName;

/// The datagrams that wait for commands.
pub(super) struct Requests<State> {
    places: Vec<Option<Place<State>>>,
    answers: Mapping,
    /// Bytes of an answer.
    size: usize,
}

struct Place<State> {
    state: State,
    sender: Sender,
    /// The number of the socket.
    port: u32,
    tapped: u32,
    filled: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Running,
    Ready,
}

/// An answer that is ready to be sent.
pub(super) struct Answered<'a> {
    pub(super) place: u32,
    pub(super) port: u32,
    pub(super) tapped: u32,
    pub(super) sender: &'a Sender,
    pub(super) bytes: &'a [u8],
}

impl<State> Requests<State> {
    /// Places for the effects of `service`, if it has any.
    pub(super) fn new<S: Service<State = State>>(service: &S) -> io::Result<Requests<State>> {
        let size = service.effects().map(|effects| effects.awaited_max());
        let count = size.map_or(0, |_| DATAGRAM_COMMANDS_MAX);
        let size = size.unwrap_or(0);
        Ok(Requests {
            places: (0..count).map(|_| None).collect(),
            answers: Mapping::new(count * size)?,
            size,
        })
    }

    /// Bytes of all places.
    pub(super) fn memory<S: Service>(service: &S) -> usize {
        let each = |effects: &dyn Effects<S::State>| {
            DATAGRAM_COMMANDS_MAX * (effects.awaited_max() + size_of::<Option<Place<S::State>>>())
        };
        service.effects().map_or(0, each)
    }

    /// How many datagrams of socket `port` are not answered; with `None` those of all sockets.
    pub(super) fn count(&self, port: Option<u32>) -> usize {
        let is_of = |it: &&Place<State>| port.is_none_or(|port| it.port == port);
        self.places.iter().flatten().filter(is_of).count()
    }

    /// Whether no datagram waits.
    pub(super) fn is_idle(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }

    /// Keeps a datagram until its command has answered. Returns whether there is a place.
    pub(super) fn keep(&mut self, state: State, sender: Sender, port: u32, tapped: u32) -> bool {
        let Some(place) = self.places.iter_mut().find(|place| place.is_none()) else {
            return false;
        };
        *place = Some(Place {
            state,
            sender,
            port,
            tapped,
            filled: 0,
            stage: Stage::Waiting,
        });
        true
    }

    /// The place of a datagram whose command is to be started.
    pub(super) fn waiting(&self) -> Option<u32> {
        let waits = |it: &Option<Place<State>>| {
            (it.as_ref()).is_some_and(|place| place.stage == Stage::Waiting)
        };
        Some(self.places.iter().position(waits)? as u32)
    }

    /// The command of the datagram in `place` is started now: its effect, and the sender.
    pub(super) fn start<S: Service<State = State>>(
        &mut self,
        place: u32,
        service: &S,
    ) -> Option<(Effect, PeerName)> {
        let place = self.places.get_mut(place as usize)?.as_mut()?;
        place.stage = Stage::Running;
        let effect = service.effects()?.effect(&place.state);
        Some((effect, PeerName::of_sender(&place.sender)))
    }

    /// Takes one event of the command. Returns whether it was the last.
    pub(super) fn take_event<S: Service<State = State>>(
        &mut self,
        place: u32,
        service: &S,
        peer: &PeerName,
        event: EffectEvent<'_>,
    ) -> bool {
        let start = place as usize * self.size;
        let Some(Some(place)) = self.places.get_mut(place as usize) else {
            return false;
        };
        let mut reply = Reply::resume(&mut self.answers[start..start + self.size], place.filled);
        if let Some(effects) = service.effects() {
            effects.take_event(&mut place.state, peer.as_str(), event, &mut reply);
        }
        place.filled = reply.filled();
        if event.is_last() {
            place.stage = Stage::Ready;
        }
        event.is_last()
    }

    /// The first answer from place `from` on that is ready.
    pub(super) fn ready(&self, from: u32) -> Option<Answered<'_>> {
        let mut places = self.places.iter().enumerate().skip(from as usize);
        places.find_map(|(number, place)| {
            let place = place.as_ref().filter(|it| it.stage == Stage::Ready)?;
            Some(Answered {
                place: number as u32,
                port: place.port,
                tapped: place.tapped,
                sender: &place.sender,
                bytes: &self.answers[number * self.size..][..place.filled],
            })
        })
    }

    /// Frees a place.
    pub(super) fn free(&mut self, place: u32) {
        self.places[place as usize] = None;
    }

    /// Frees all places. Returns how many answers were owed.
    pub(super) fn give_up(&mut self) -> u64 {
        let owed = self.count(None);
        self.places.iter_mut().for_each(|place| *place = None);
        owed as u64
    }
}
