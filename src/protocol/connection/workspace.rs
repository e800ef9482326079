//! The two buffers that a connection is lent while it holds bytes.

use crate::base::bytes::{Inbound, InboundCursors, Outbound, OutboundCursors};

/// The cursors of both buffers.
pub type Cursors = (InboundCursors, OutboundCursors);

/// The buffers that a connection holds while it has bytes.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// Received bytes, and answers in place.
    pub inbound: Inbound<'a>,
    /// Answers that are not in place.
    pub outbound: Outbound<'a>,
}

impl<'a> Workspace<'a> {
    /// Both buffers with their cursors.
    #[inline]
    pub fn new(inbound: &'a mut [u8], outbound: &'a mut [u8], at: Cursors) -> Workspace<'a> {
        let (at_in, at_out) = at;
        Workspace {
            inbound: Inbound::new(inbound, at_in),
            outbound: Outbound::new(outbound, at_out),
        }
    }

    /// The cursors of both buffers now.
    #[inline]
    pub fn cursors(&self) -> Cursors {
        (self.inbound.cursors(), self.outbound.cursors())
    }

    /// The bytes for the next write. Answers in place are older than answers in outbound.
    #[inline]
    pub fn owed(&self) -> &[u8] {
        if self.inbound.owes() {
            self.inbound.owed()
        } else {
            self.outbound.owed()
        }
    }

    /// Whether any bytes are owed.
    #[inline]
    pub fn owes(&self) -> bool {
        self.inbound.owes() || !self.outbound.is_empty()
    }

    /// Whether both buffers are empty, so that the workspace can be returned.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inbound.is_empty() && self.outbound.is_empty()
    }

    /// The first `count` owed bytes were written.
    #[inline]
    pub(super) fn sent(&mut self, count: usize) {
        if self.inbound.owes() {
            self.inbound.sent(count);
        } else {
            self.outbound.sent(count);
        }
    }
}
