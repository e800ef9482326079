//! What a connection is lent while it has bytes: both buffers together.

use crate::base::buffer::{Inbound, Outbound};

/// The buffers that a connection holds while it has bytes.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// What arrived, and what is answered where it lies.
    pub inbound: Inbound<'a>,
    /// Answers of another length.
    pub outbound: Outbound<'a>,
}

impl Workspace<'_> {
    /// What the next write should offer. What was answered in place is older than what is in
    /// outbound.
    #[inline]
    pub fn owed(&self) -> &[u8] {
        let in_place = self.inbound.owed();
        if in_place.is_empty() {
            self.outbound.owed()
        } else {
            in_place
        }
    }

    /// Whether it can be given back.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inbound.is_empty() && self.outbound.is_empty()
    }

    /// The first `count` bytes of what is owed were written.
    #[inline]
    pub(super) fn sent(&mut self, count: usize) {
        if self.inbound.owed().is_empty() {
            self.outbound.sent(count);
        } else {
            self.inbound.sent(count);
        }
    }
}
