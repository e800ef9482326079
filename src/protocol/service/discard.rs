//! Discard: takes every request and answers none (RFC 863). A measurement with this service shows
//! the kernel's cost of receiving alone.

use super::{Answer, Reply, Request, Service};

/// Takes every request and answers none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Service for Discard {
    type State = ();

    fn open(&self) {}

    #[inline]
    fn is_silent(&self) -> bool {
        true
    }

    #[inline]
    fn serve(&mut self, _state: &mut (), _request: Request<'_>, _reply: &mut Reply<'_>) -> Answer {
        Answer::Nothing
    }
}
