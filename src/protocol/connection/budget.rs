//! What one event of one connection may cost, before the other connections have their turn.
//!
//! Bytes bound the time of large messages, frames the time of many short ones, and calls the time
//! of a peer that takes or sends a few bytes at a time. A budget is made for one event and passed
//! down; the limits of the parts are in `limits`. The statistics count the same things, but nothing
//! here reads them. Neighbours: `answer` spends frames, `server::pump` spends bytes and calls.

use crate::limits::{BYTES_PER_EVENT, FRAME_WORK_SIZE, OPERATIONS_PER_EVENT};

/// What is left of the budget of one event.
#[derive(Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that may still be read.
    bytes: u64,
    /// Frames that may still be answered.
    frames: u64,
    /// Reads, writes and similar calls that may still be made.
    calls: usize,
}

impl Budget {
    /// The budget of an event in which at most `frames` frames are answered.
    #[inline]
    pub fn new(frames: u64) -> Budget {
        Budget {
            bytes: BYTES_PER_EVENT,
            frames,
            calls: OPERATIONS_PER_EVENT,
        }
    }

    /// Takes one call. Returns `false` if none is left.
    #[inline]
    pub fn take_call(&mut self) -> bool {
        match self.calls.checked_sub(1) {
            Some(left) => {
                self.calls = left;
                true
            }
            None => false,
        }
    }

    /// Charges bytes that were read. One read may take more than is left.
    #[inline]
    pub fn spend_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count as u64);
    }

    /// A rate lets no more bytes be read in this event.
    #[inline]
    pub fn spend_all_bytes(&mut self) {
        self.bytes = 0;
    }

    /// Whether more bytes may be read.
    #[inline]
    pub fn has_bytes(&self) -> bool {
        self.bytes > 0
    }

    /// Frames that may still be answered.
    #[inline]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Charges frames that were answered in place.
    #[inline]
    pub(super) fn spend_frames(&mut self, count: u64) {
        self.frames = self.frames.saturating_sub(count);
    }

    /// Charges one frame, or a part of a request, of so many bytes, whose answer a service builds:
    /// each [`FRAME_WORK_SIZE`] bytes count as one more frame.
    #[inline]
    pub(super) fn spend_work(&mut self, bytes: usize) {
        self.spend_frames(1 + (bytes / FRAME_WORK_SIZE) as u64);
    }

    /// Charges a frame that is refused or discarded: nothing more is answered in this event. So a
    /// peer that sends only such frames does not slow others, however short they are.
    #[inline]
    pub(super) fn spend_all_frames(&mut self) {
        self.frames = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_taken_until_none_is_left() {
        let mut budget = Budget::new(1);
        let taken = (0..OPERATIONS_PER_EVENT + 2).filter(|_| budget.take_call());
        assert_eq!(taken.count(), OPERATIONS_PER_EVENT);
    }

    #[test]
    fn bytes_last_up_to_the_bound_and_one_read_may_exceed_it() {
        for (read, is_left) in [(-1, true), (0, false), (1, false)] {
            let mut budget = Budget::new(1);
            budget.spend_bytes((BYTES_PER_EVENT as i64 + read) as usize);
            assert_eq!(budget.has_bytes(), is_left, "{read}");
        }
    }

    #[test]
    fn work_counts_one_frame_and_one_more_per_size() {
        for (bytes, frames) in [
            (0, 9),
            (FRAME_WORK_SIZE - 1, 9),
            (FRAME_WORK_SIZE, 8),
            (FRAME_WORK_SIZE + 1, 8),
            (20 * FRAME_WORK_SIZE, 0),
        ] {
            let mut budget = Budget::new(10);
            budget.spend_work(bytes);
            assert_eq!(budget.frames(), frames, "{bytes}");
        }
    }

    #[test]
    fn a_refused_frame_takes_all_frames_and_no_bytes() {
        let mut budget = Budget::new(10);
        budget.spend_all_frames();
        assert_eq!(budget.frames(), 0);
        assert!(budget.has_bytes() && budget.take_call());
    }
}
