//! The two buffers that a connection is lent while it holds bytes.

use crate::base::bytes::{Inbound, InboundCursors, Outbound, OutboundCursors};
use crate::limits::FRAME_WORK_SIZE;

/// The cursors of both buffers.
pub type Cursors = (InboundCursors, OutboundCursors);

/// The buffers that a connection holds while it has bytes.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// Received bytes, and answers in place.
    pub inbound: Inbound<'a>,
    /// Answers that are not in place.
    pub outbound: Outbound<'a>,
    /// How many more frames may be answered before other connections have their turn. If answers go
    /// to outbound, each [`FRAME_WORK_SIZE`] bytes of a request count as one more frame.
    pub frames_left: u64,
}

impl<'a> Workspace<'a> {
    /// Both buffers with their cursors, and no bound on the frames.
    #[inline]
    pub fn new(inbound: &'a mut [u8], outbound: &'a mut [u8], at: Cursors) -> Workspace<'a> {
        let (at_in, at_out) = at;
        Workspace {
            inbound: Inbound::new(inbound, at_in),
            outbound: Outbound::new(outbound, at_out),
            frames_left: u64::MAX,
        }
    }

    /// Charges one frame, or a part of a request, of so many bytes.
    #[inline]
    pub(super) fn spend(&mut self, bytes: usize) {
        let cost = 1 + (bytes / FRAME_WORK_SIZE) as u64;
        self.frames_left = self.frames_left.saturating_sub(cost);
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
