//! What to answer. Bytes only: no socket, no clock, no idea of framing.
//!
//! A service is a type: the loop is compiled for each, so that an echo costs nothing for the
//! others. It is handed the payload of one request and says where its answer is: the same bytes,
//! changed or not, where they lie ([`Answer::InPlace`]), or another text in the [`Reply`]
//! ([`Answer::Written`]), or something rarer. Whether a header belongs around it is not a service's
//! business. What it needs of the world, a file or the time of day, is brought to it: a value is
//! made anew from its files, the time is told by [`Service::tick`], and what only a request can
//! know to ask for is an [`Effect`], whose outcome is told by [`Service::heard`]. On the way of a
//! byte: `connection` calls, between `framing` and the write.

mod dict;
mod discard;
mod echo;
mod effect;
mod http;
mod robot;
mod run;
mod upper;

use crate::framing::Guess;

pub use dict::Dict;
pub use discard::Discard;
pub use echo::{Echo, PrefixedEcho};
pub use effect::{Effect, News};
pub use http::Http;
pub use robot::Robot;
pub use run::Run;
pub use upper::{Upper, UpperUnicode};

/// A rule from requests to replies.
pub trait Service {
    /// Whether every answer is [`Answer::InPlace`]; then it is never asked about room.
    const IN_PLACE: bool = false;

    /// Whether [`Service::begin`] has something to say.
    const SPEAKS_FIRST: bool = false;

    /// Whether it asks for the time: then [`Service::tick`] tells it when a second has begun.
    const TICKS: bool = false;

    /// Whether a request may be answered with [`Answer::Awaits`].
    const AWAITS: bool = false;

    /// Whether [`Service::screen`] sees the bytes of a connection before requests are taken from
    /// them.
    const SCREENS: bool = false;

    /// What one connection remembers between two requests; kept in its slot, so keep it small.
    type State: Default;

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

    /// It is `unix_seconds` after 1970-01-01 00:00 UTC. Told before any request of that second is
    /// served, and not at all while there are no requests.
    fn tick(&mut self, _unix_seconds: u64) {}

    /// Somebody has connected, and is told this before it has said anything, at most
    /// `reply_max(0)` bytes.
    fn begin(&mut self, _state: &mut Self::State, _reply: &mut Reply<'_>) {}

    /// The next bytes of a connection have arrived, in whatever pieces. Names another protocol if
    /// the connection opens with one, and then none of its requests is served. Only for services
    /// with [`Service::SCREENS`].
    fn screen(&self, _state: &mut Self::State, _bytes: &[u8]) -> Option<Guess> {
        None
    }

    /// Whether a request has begun that is longer than what it was handed: what came of it is
    /// remembered, and the rest has to come in time. Only where the service knows the bounds of its
    /// messages itself.
    fn is_amid(_state: &Self::State) -> bool {
        false
    }

    /// Answers one request.
    fn serve(
        &mut self,
        state: &mut Self::State,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer;

    /// The lines that [`Effect::Command`] counts; they stay the same.
    fn commands(&self) -> &[String] {
        &[]
    }

    /// What the request waits for that was answered with [`Answer::Awaits`].
    fn effect(&self, _state: &Self::State) -> Option<Effect> {
        None
    }

    /// The most bytes that all the news of one effect can put into the [`Reply`] together.
    fn awaited_max(&self) -> usize {
        0
    }

    /// This is heard of it; `peer` is whom the answer is for, at most
    /// [`PEER_NAME_MAX`](crate::limits::PEER_NAME_MAX) bytes.
    fn heard(
        &mut self,
        _state: &mut Self::State,
        _peer: &str,
        _news: News<'_>,
        _reply: &mut Reply<'_>,
    ) {
    }

    /// The stream has ended: what was held back in `state` is answered now, at most `reply_max(0)`
    /// bytes.
    fn end(&mut self, _state: &mut Self::State, _reply: &mut Reply<'_>) {}
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
    /// It comes later, from what [`Service::effect`] says, and the requests behind it wait for it.
    /// Only for services with [`Service::AWAITS`].
    Awaits,
    /// In the [`Reply`], or nowhere if that is empty; and then the conversation is over.
    Goodbye,
    /// The same, because this was no request.
    Refused,
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
