//! What to answer. Bytes only: no socket, no clock, no idea of framing.
//!
//! A service is a type: the loop is compiled for each, so that an echo costs nothing for the
//! others. It is handed the payload of one request and says where its answer is: the same bytes,
//! changed or not, where they lie ([`Answer::InPlace`]), or another text in the [`Reply`]
//! ([`Answer::Written`]). Whether a header belongs around it is not a service's business. On the
//! way of a byte: `connection` calls, between `framing` and the write.

mod echo;
mod upper;

pub use echo::Echo;
pub use upper::{Upper, UpperUnicode};

/// A rule from requests to replies.
pub trait Service {
    /// What one connection remembers between two requests; kept in its slot, so keep it small.
    type State: Default;

    /// The most bytes that the answer to a payload of `payload` bytes can put into the [`Reply`];
    /// it never shrinks as `payload` grows, and a request is served only when so much room is
    /// there. A service for which it is 0 answers everything in place.
    fn reply_max(&self, payload: usize) -> usize;

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
