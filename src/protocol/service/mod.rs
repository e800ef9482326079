//! What to answer. Bytes only: no socket, no clock, no idea of framing.
//!
//! A service gets the payload of one request and says where its answer is: the same bytes, changed
//! or not, where they lie ([`Answer::InPlace`]), another text in the [`Reply`]
//! ([`Answer::Written`]), or something rarer. A service knows no header and no trailer.
//!
//! What only some services can do is a trait of its own, and [`Service`] hands out the part that
//! there is: [`Greeting`] speaks first, [`Clock`] is told the time, [`Effects`] answers from what a
//! program says. Files are read elsewhere: a reload makes a new value of the service.
//!
//! The loop is compiled for [`Echo`], whose missing parts the compiler removes, and for
//! [`AnyService`], one enum of all the others. On the path of a byte, `connection` calls a service
//! between `framing` and the write. One file a service, one row in `any`.

mod any;
mod dict;
mod discard;
mod echo;
mod effect;
mod http;
mod robot;
mod run;
mod upper;

use crate::protocol::framing::Hint;

pub use any::{AnyService, AnyState};
pub use dict::Dict;
pub use discard::Discard;
pub use echo::{Echo, PrefixedEcho};
pub use effect::{Effect, EffectEvent};
pub use http::Http;
pub use robot::Robot;
pub use run::Run;
pub use upper::{Upper, UpperUnicode};

/// A rule from requests to replies.
pub trait Service {
    /// What one connection remembers between two requests. Every slot holds one, so keep it small.
    type State;

    /// The state of a connection that has just been accepted.
    fn open(&self) -> Self::State;

    /// Whether every answer is [`Answer::InPlace`] while a connection is in this state. Such a
    /// service is not asked about room.
    fn in_place(&self, _state: &Self::State) -> bool {
        false
    }

    /// The part that speaks first, if there is one.
    fn greeting(&self) -> Option<&dyn Greeting<Self::State>> {
        None
    }

    /// The part that is told the time, if there is one.
    fn clock(&mut self) -> Option<&mut dyn Clock> {
        None
    }

    /// The part that answers from the effects of a request, if there is one.
    fn effects(&self) -> Option<&dyn Effects<Self::State>> {
        None
    }

    /// The part that sees what arrives before requests are taken from it, if there is one.
    fn screen(&self) -> Option<&dyn Screen<Self::State>> {
        None
    }

    /// The most bytes that the answer to a payload of `payload` bytes can put into the [`Reply`];
    /// it never shrinks as `payload` grows, and a request is served only when so much room is
    /// there.
    fn reply_max(&self, _payload: usize) -> usize {
        0
    }

    /// Bytes that it holds for itself at most, all its copies together, for the memory ceiling.
    fn memory_max(&self) -> usize {
        0
    }

    /// Whether a request has begun that is longer than what it was handed: what came of it is
    /// remembered, and the rest has to come in time. Only where the service knows the bounds of its
    /// messages itself.
    fn is_mid_message(_state: &Self::State) -> bool {
        false
    }

    /// Answers one request.
    fn serve(
        &mut self,
        state: &mut Self::State,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer;

    /// The stream has ended: what was held back in `state` is answered now, at most `reply_max(0)`
    /// bytes.
    fn end(&mut self, _state: &mut Self::State, _reply: &mut Reply<'_>) {}
}

/// The part of a service that speaks before the peer does.
pub trait Greeting<State> {
    /// Writes the greeting of a new connection, at most `reply_max(0)` bytes.
    fn greet(&self, state: &mut State, reply: &mut Reply<'_>);
}

/// The part of a service that sees what arrives before requests are taken from it.
pub trait Screen<State> {
    /// The next bytes of a connection have arrived, in whatever pieces. Names another protocol if
    /// the connection opens with one, and then none of its requests is served.
    fn screen(&self, state: &mut State, bytes: &[u8]) -> Option<Hint>;
}

/// The part of a service that is told the time of day.
pub trait Clock {
    /// The time is `unix_seconds` after 1970-01-01 00:00 UTC. The call comes before the first
    /// request of that second, and not at all while there are no requests.
    fn tick(&mut self, unix_seconds: u64);
}

/// The part of a service whose answers wait for an [`Effect`].
pub trait Effects<State> {
    /// The lines that [`Effect::Command`] counts. They never change.
    fn commands(&self) -> &[String];

    /// What the request waits for that was answered with [`Answer::Awaits`].
    fn effect(&self, state: &State) -> Effect;

    /// The most bytes that all events of one effect together can put into the [`Reply`].
    fn awaited_max(&self) -> usize;

    /// Takes one event of the effect and writes what it adds to the answer. `peer` names the
    /// receiver of the answer, in at most [`PEER_NAME_MAX`](crate::limits::PEER_NAME_MAX) bytes.
    fn heard(&self, state: &mut State, peer: &str, news: EffectEvent<'_>, reply: &mut Reply<'_>);
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// What the peer said, without header or trailer.
    pub payload: &'a mut [u8],
    /// Whether this is a whole message, or just what has arrived of an endless one (raw).
    pub whole: bool,
}

/// Where the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// In the request's own bytes; it has their length.
    InPlace,
    /// In the [`Reply`].
    Written,
    /// There is none.
    Nothing,
    /// In the [`Reply`], as far as there is one. Only so many bytes of the request were taken: the
    /// others will be handed in again, most often together with what arrives after them, but fewer
    /// of them when there is little room for replies. For messages whose bounds only the service
    /// knows; not where a framing has drawn them.
    Part(usize),
    /// It comes later, from what [`Effects::effect`] says, and the requests behind it wait for it.
    /// Only for services with [`Effects`].
    Awaits,
    /// In the [`Reply`], or nowhere if that is empty; and then the conversation is over.
    Goodbye,
    /// The same, because this was no request; for the log, why. The bytes that are none begin with
    /// the first that was handed in.
    Refused(&'static str),
}

/// Room for an answer of another length than the request.
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

    /// A reply whose first `filled` bytes stand in `space` already.
    #[inline]
    pub fn resume(space: &'a mut [u8], filled: usize) -> Reply<'a> {
        Reply { space, filled }
    }

    /// Adds `bytes`. A service that passes its own [`Service::reply_max`] is wrong, and stops here.
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
