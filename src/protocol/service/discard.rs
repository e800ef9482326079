//! Nothing. Whatever is said is taken and thrown away (RFC 863): the kernel's cost of receiving,
//! alone.

use super::{Answer, Reply, Request, Service};

/// Takes every request and answers none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Service for Discard {
    type State = ();

    fn open(&self) {}

    #[inline]
    fn serve(&mut self, _state: &mut (), _request: Request<'_>, _reply: &mut Reply<'_>) -> Answer {
        Answer::Nothing
    }
}
