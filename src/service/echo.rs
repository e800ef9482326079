//! The same bytes again. Nothing is looked at, nothing is copied: the answer is the request where
//! it lies.

use super::{Answer, Reply, Request, Service};

/// Sends every request back as it came (RFC 862).
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Service for Echo {
    type State = ();

    #[inline]
    fn reply_max(&self, _payload: usize) -> usize {
        0
    }

    #[inline]
    fn serve(&mut self, _state: &mut (), _request: Request<'_>, _reply: &mut Reply<'_>) -> Answer {
        Answer::InPlace
    }
}
