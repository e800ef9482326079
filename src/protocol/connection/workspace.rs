//! What a connection is lent while it has bytes: both buffers together.

use crate::base::bytes::{Inbound, InboundCursors, Outbound, OutboundCursors};
use crate::limits::FRAME_WORK_SIZE;

/// Where the buffers of a workspace stand.
pub type Cursors = (InboundCursors, OutboundCursors);

/// The buffers that a connection holds while it has bytes.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// What arrived, and what is answered where it lies.
    pub inbound: Inbound<'a>,
    /// Answers of another length.
    pub outbound: Outbound<'a>,
    /// How many more frames may be answered before the others get their turn; where answers are put
    /// together, each [`FRAME_WORK_SIZE`] bytes of a request count as one more.
    pub frames_left: u64,
}

impl<'a> Workspace<'a> {
    /// Both halves, standing where they were left; without a bound for the frames.
    #[inline]
    pub fn new(inbound: &'a mut [u8], outbound: &'a mut [u8], at: Cursors) -> Workspace<'a> {
        let (at_in, at_out) = at;
        Workspace {
            inbound: Inbound::new(inbound, at_in),
            outbound: Outbound::new(outbound, at_out),
            frames_left: u64::MAX,
        }
    }

    /// A frame, or another part of a request, was answered from so many bytes.
    #[inline]
    pub(super) fn spend(&mut self, bytes: usize) {
        let cost = 1 + (bytes / FRAME_WORK_SIZE) as u64;
        self.frames_left = self.frames_left.saturating_sub(cost);
    }

    /// Where both halves stand now.
    #[inline]
    pub fn cursors(&self) -> Cursors {
        (self.inbound.cursors(), self.outbound.cursors())
    }

    /// What the next write should offer. What was answered in place is older than what is in
    /// outbound.
    #[inline]
    pub fn owed(&self) -> &[u8] {
        if self.inbound.owes() {
            self.inbound.owed()
        } else {
            self.outbound.owed()
        }
    }

    /// Whether there is anything to write.
    #[inline]
    pub fn owes(&self) -> bool {
        self.inbound.owes() || !self.outbound.is_empty()
    }

    /// Whether it can be given back.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inbound.is_empty() && self.outbound.is_empty()
    }

    /// The first `count` bytes of what is owed were written.
    #[inline]
    pub(super) fn sent(&mut self, count: usize) {
        if self.inbound.owes() {
            self.inbound.sent(count);
        } else {
            self.outbound.sent(count);
        }
    }
}
