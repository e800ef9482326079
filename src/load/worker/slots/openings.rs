//! The slots that wait to be opened, each with the earliest time, in the order of these times.
//!
//! A slot is in the queue at most once. The queue has room for all slots from the start, so adding
//! to it never allocates. It does not know why a slot waits: for its place in the ramp, for a full
//! listen queue, or after a failure.

use std::collections::VecDeque;

use crate::base::time::Time;
use crate::load::worker::room;
use crate::load::worker::tally::Cause;

/// Slots to be opened.
pub(in crate::load::worker) struct Openings {
    queue: VecDeque<(Time, u32)>,
}

impl Openings {
    /// An empty queue for `slots` slots.
    pub(in crate::load::worker) fn new(slots: usize) -> Result<Openings, Cause> {
        let queue = room("connections", slots)?.into();
        Ok(Openings { queue })
    }

    /// Adds a slot that is due at `due`, behind those that are due at the same time.
    pub(in crate::load::worker) fn add(&mut self, due: Time, index: usize) {
        let place = self.queue.partition_point(|(other, _)| *other <= due);
        self.queue.insert(place, (due, index as u32));
    }

    /// Takes the first slot, if it is due at `now`.
    pub(in crate::load::worker) fn take(&mut self, now: Time) -> Option<usize> {
        let &(due, index) = self.queue.front()?;
        if due > now {
            return None;
        }
        self.queue.pop_front();
        Some(index as usize)
    }

    /// When the first slot is due; `None` if none waits.
    pub(in crate::load::worker) fn next(&self) -> Option<Time> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// Whether the slot waits.
    pub(in crate::load::worker) fn has(&self, index: usize) -> bool {
        self.queue.iter().any(|(_, other)| *other as usize == index)
    }

    /// Whether no slot waits.
    pub(in crate::load::worker) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Keeps only the slots for which `is_kept` holds.
    pub(in crate::load::worker) fn retain(&mut self, mut is_kept: impl FnMut(usize) -> bool) {
        self.queue.retain(|(_, index)| is_kept(*index as usize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_in_the_order_of_their_times() {
        let mut openings = Openings::new(3).expect("it is small");
        let at = Time::from_nanos;
        for (due, index) in [(5, 0), (3, 1), (5, 2)] {
            openings.add(at(due), index);
        }
        assert_eq!((openings.next(), openings.take(at(2))), (Some(at(3)), None));
        let taken: Vec<usize> = std::iter::from_fn(|| openings.take(at(5))).collect();
        assert_eq!(taken, [1, 0, 2]);
        assert!(openings.is_empty() && openings.next().is_none());
    }
}
