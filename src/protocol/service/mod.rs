//! What to answer. Bytes only: no socket, no clock, no knowledge of framing.
//!
//! A service gets the payload of one request and says where the answer is: in the request's own
//! bytes, changed or not ([`Answer::InPlace`]), in the [`Reply`] ([`Answer::Written`]), or one of
//! the rarer cases of [`Answer`]. A service sees no header and no trailer.
//!
//! Abilities that only some services have are separate traits, which [`Service`] returns if they
//! exist: [`Greeting`] speaks first, [`Clock`] gets the time, [`Effects`] answers from the output
//! of a program, [`Screen`] sees the bytes before they become requests. Files are read elsewhere: a
//! reload creates a new value of the service.
//!
//! The loop is compiled for [`Echo`], where the compiler removes the missing parts, and for
//! [`AnyService`], one enum of all other services. `protocol::connection` calls the service after
//! `framing` has decoded a request. One file per service, one row in `any`.

mod any;
mod coded;
mod dict;
mod discard;
mod echo;
mod effect;
#[cfg(feature = "auth")]
pub mod ftp;
mod http;
mod robot;
mod run;
mod upper;

use crate::protocol::framing::Hint;

pub use any::{AnyService, AnyState};
pub use coded::Coded;
pub use dict::Dict;
pub use discard::Discard;
pub use echo::{Echo, PrefixedEcho};
pub use effect::{Effect, EffectEvent};
pub use http::{Http, Scrape};
pub use robot::Robot;
pub use run::Run;
pub use upper::{Upper, UpperUnicode};

/// Maps requests to replies.
pub trait Service {
    /// What one connection remembers between two requests. Every slot holds one, so it must be
    /// small.
    type State;

    /// The state of a new connection.
    fn open(&self) -> Self::State;

    /// Whether every answer is [`Answer::InPlace`] while a connection is in this state. The caller
    /// then does not check for room.
    fn in_place(&self, _state: &Self::State) -> bool {
        false
    }

    /// Whether every answer is [`Answer::Nothing`], in every state. The caller then takes requests
    /// as they arrive, without room for a reply, and sends nothing.
    fn is_silent(&self) -> bool {
        false
    }

    /// The part that speaks first, if any.
    fn greeting(&self) -> Option<&dyn Greeting<Self::State>> {
        None
    }

    /// The part that gets the time, if any.
    fn clock(&mut self) -> Option<&mut dyn Clock> {
        None
    }

    /// The part that answers from the effects of a request, if any.
    fn effects(&self) -> Option<&dyn Effects<Self::State>> {
        None
    }

    /// The part that sees arriving bytes before requests are decoded from them, if any.
    fn screen(&self) -> Option<&dyn Screen<Self::State>> {
        None
    }

    /// The most bytes that the answer to a payload of `payload` bytes can add to the [`Reply`].
    /// Must not shrink as `payload` grows. A request is served only if there is room for this many
    /// bytes.
    fn reply_max(&self, _payload: usize) -> usize {
        0
    }

    /// The most bytes of memory that all copies of the service hold together, for the memory limit.
    fn memory_max(&self) -> usize {
        0
    }

    /// Whether a longer request has begun than the bytes passed in: the service remembers its
    /// beginning, and the rest has to arrive before the deadline. Only for services that find the
    /// message bounds themselves.
    fn is_mid_message(_state: &Self::State) -> bool {
        false
    }

    /// What a connection between two requests remembers, as one byte for [`Service::recall`] of
    /// another process; `None` while it remembers more than that.
    fn memory(_state: &Self::State) -> Option<u8> {
        Some(0)
    }

    /// The state of a connection that this byte of [`Service::memory`] tells of. A byte that none
    /// of them gives is like 0, which is a new connection.
    fn recall(&self, _memory: u8) -> Self::State {
        self.open()
    }

    /// Answers one request.
    fn serve(
        &mut self,
        state: &mut Self::State,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer;

    /// Passes the service itself to `visitor`, with the state of one connection. An enum of
    /// services passes the service that it holds: what the visitor does is then compiled for each
    /// of them, and asks the enum no more.
    #[inline(always)]
    fn visit<V: Visit>(&mut self, state: &mut Self::State, visitor: V) -> V::Outcome
    where
        Self: Sized,
    {
        visitor.visit(self, state)
    }

    /// The same, in a state in which every answer is in place, or for a silent service. An enum of
    /// services passes only a service of which this may be true, so that the others are not
    /// compiled into such loops.
    #[inline(always)]
    fn visit_in_place<V: Visit>(&mut self, state: &mut Self::State, visitor: V) -> V::Outcome
    where
        Self: Sized,
    {
        visitor.visit(self, state)
    }

    /// The stream has ended: answers what `state` still holds back, with at most `reply_max(0)`
    /// bytes.
    fn end(&mut self, _state: &mut Self::State, _reply: &mut Reply<'_>) {}
}

/// What is done with a service, whichever it is.
pub trait Visit {
    /// The result.
    type Outcome;

    /// Does it with `service` and the state of one of its connections.
    fn visit<S: Service>(self, service: &mut S, state: &mut S::State) -> Self::Outcome;
}

/// The part of a service that sends before the peer does.
pub trait Greeting<State> {
    /// Bytes of every greeting, at most `reply_max(0)`.
    fn size(&self) -> usize;

    /// Writes the greeting of a new connection.
    fn greet(&self, state: &mut State, reply: &mut Reply<'_>);
}

/// The part of a service that sees arriving bytes before requests are decoded from them.
pub trait Screen<State> {
    /// Takes the next bytes of a connection, however they are cut. Returns the other protocol if
    /// the connection opens with one; then none of its requests is served.
    fn screen(&self, state: &mut State, bytes: &[u8]) -> Option<Hint>;
}

/// The part of a service that gets the time of day.
pub trait Clock {
    /// Sets the time to `unix_seconds` after 1970-01-01 00:00 UTC. Called before the first request
    /// of that second, and not called while there are no requests.
    fn tick(&mut self, unix_seconds: u64);
}

/// The part of a service whose answers wait for an [`Effect`].
pub trait Effects<State> {
    /// The command lines that [`Effect::Command`] indexes. They never change.
    fn commands(&self) -> &[String];

    /// The effect that a request answered with [`Answer::Awaits`] waits for.
    fn effect(&self, state: &State) -> Effect;

    /// The most bytes that all events of one effect together can add to the [`Reply`].
    fn awaited_max(&self) -> usize;

    /// How much output of at most `most` bytes fits into every answer of at most `payload_max`.
    fn output_size_max(&self, most: usize, payload_max: usize) -> usize {
        let beside_output = self.awaited_max().saturating_sub(most);
        most.min(payload_max.saturating_sub(beside_output))
    }

    /// Takes one event of the effect and writes its part of the answer. `peer` names the receiver
    /// of the answer, in at most [`PEER_NAME_MAX`](crate::limits::PEER_NAME_MAX) bytes.
    fn take_event(
        &self,
        state: &mut State,
        peer: &str,
        event: EffectEvent<'_>,
        reply: &mut Reply<'_>,
    );
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The payload, without header and trailer.
    pub payload: &'a mut [u8],
    /// Whether this is a whole message, and not just the bytes of a raw stream that have arrived.
    pub whole: bool,
}

/// Where the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// In the request's own bytes, with the same length.
    InPlace,
    /// In the [`Reply`].
    Written,
    /// There is no answer.
    Nothing,
    /// In the [`Reply`], if there is one. Only this many bytes of the request were taken. The
    /// caller passes the other bytes in again: usually with those that arrive after them, but fewer
    /// of them if there is little room for replies. Only for services that find the message bounds
    /// themselves.
    Part(usize),
    /// Later, from the effect that [`Effects::effect`] names. The requests after this one wait.
    /// Only for services with [`Effects`].
    Awaits,
    /// In the [`Reply`], or none if that is empty. After it the connection closes.
    Goodbye,
    /// The same, because the bytes are no valid request; with the reason for the log. The first
    /// invalid byte is the first byte passed in.
    Refused(&'static str),
    /// There is no answer, and the connection ends, because the payload is not what its codec
    /// writes. The payload is as it was.
    Corrupted(&'static str),
}

/// Space for an answer that is not in the request's own bytes.
#[derive(Debug)]
pub struct Reply<'a> {
    space: &'a mut [u8],
    filled: usize,
}

impl<'a> Reply<'a> {
    /// An empty reply that may grow to fill `space`.
    #[inline]
    pub fn new(space: &'a mut [u8]) -> Reply<'a> {
        Reply { space, filled: 0 }
    }

    /// A reply whose first `filled` bytes are already in `space`.
    #[inline]
    pub fn resume(space: &'a mut [u8], filled: usize) -> Reply<'a> {
        Reply { space, filled }
    }

    /// Adds `bytes`.
    ///
    /// # Panics
    ///
    /// If `bytes` do not fit, which means that the service exceeds its own [`Service::reply_max`].
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.space[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// Bytes added so far.
    #[inline]
    pub fn filled(&self) -> usize {
        self.filled
    }
}
