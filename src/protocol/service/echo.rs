//! Echo: the same bytes again (RFC 862).
//!
//! Plain echo inspects and copies nothing: the answer is the request, where it lies. With a prefix
//! the answer is a new text, so [`PrefixedEcho`] is a separate service. Neither keeps a state.

use std::sync::Arc;

use super::{Answer, Reply, Request, Service};

/// Sends every request back unchanged (RFC 862).
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Service for Echo {
    type State = ();

    fn open(&self) {}

    #[inline]
    fn in_place(&self, _state: &()) -> bool {
        true
    }

    #[inline]
    fn serve(&mut self, _state: &mut (), _request: Request<'_>, _reply: &mut Reply<'_>) -> Answer {
        Answer::InPlace
    }
}

/// Sends every request back after a fixed prefix.
#[derive(Clone, Debug)]
pub struct PrefixedEcho {
    prefix: Arc<[u8]>,
}

impl PrefixedEcho {
    /// A service that puts `prefix` before each answer.
    ///
    /// # Panics
    ///
    /// If `prefix` is empty.
    pub fn new(prefix: &str) -> PrefixedEcho {
        assert!(!prefix.is_empty());
        PrefixedEcho {
            prefix: prefix.as_bytes().into(),
        }
    }
}

impl Service for PrefixedEcho {
    type State = ();

    fn open(&self) {}

    fn reply_max(&self, payload: usize) -> usize {
        self.prefix.len().saturating_add(payload)
    }

    fn serve(&mut self, _state: &mut (), request: Request<'_>, reply: &mut Reply<'_>) -> Answer {
        reply.push(&self.prefix);
        reply.push(request.payload);
        Answer::Written
    }
}
