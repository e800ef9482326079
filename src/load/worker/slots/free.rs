//! The slots with room for another request, longest free first (open loop).
//!
//! The open loop sends each due request on the slot that has been free for the longest time. The
//! time since which any slot has been free is the earliest moment at which the generator could have
//! sent the next request. A slot is in the queue at most once, however often it is added.

use std::collections::VecDeque;

use crate::base::time::Time;
use crate::load::worker::room;
use crate::load::worker::tally::Cause;

/// Free slots.
pub(in crate::load::worker) struct FreeSlots {
    queue: VecDeque<u32>,
    /// Whether each slot is in the queue.
    queued: Vec<bool>,
    since: Time,
}

impl FreeSlots {
    /// An empty queue for `slots` slots.
    pub(in crate::load::worker) fn new(slots: usize, now: Time) -> Result<FreeSlots, Cause> {
        let mut queued = room("connections", slots)?;
        queued.resize(slots, false);
        Ok(FreeSlots {
            queue: room("connections", slots)?.into(),
            queued,
            since: now,
        })
    }

    /// Adds a slot that is free from `now` on.
    pub(in crate::load::worker) fn add(&mut self, index: usize, now: Time) {
        if self.queue.is_empty() {
            self.since = now;
        }
        if !self.queued[index] {
            self.queued[index] = true;
            self.queue.push_back(index as u32);
        }
    }

    /// Takes the slot that has been free for the longest time.
    pub(in crate::load::worker) fn take(&mut self) -> Option<usize> {
        let index = self.queue.pop_front()? as usize;
        self.queued[index] = false;
        Some(index)
    }

    /// Whether no slot is free.
    pub(in crate::load::worker) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Since when the queue has not been empty.
    pub(in crate::load::worker) fn since(&self) -> Time {
        self.since
    }
}
