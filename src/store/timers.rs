//! The deadlines of all slots: a binary heap with an index from each slot to its entry.
//!
//! Each slot has at most one deadline. Activity on a connection does not touch the heap: it only
//! moves the true deadline later. When the armed deadline expires, the caller compares it with the
//! true one and arms again. A busy connection therefore costs nothing here, and an idle one costs
//! one wake-up per timeout. Invariant: the armed deadline is never later than the true one.
//!
//! Deadlines of the same timeout arrive in order, so arming is a push at the end. Changing a
//! deadline is a sift of at most log n steps. Nothing allocates after [`Timers::new`].

use crate::base::time::Time;

/// At most one deadline for each slot below the capacity.
#[derive(Debug)]
pub struct Timers {
    heap: Vec<(Time, u32)>,
    /// For each slot its position in the heap plus one; 0 when it has no deadline. Zeroed memory is
    /// untouched memory.
    places: Vec<u32>,
}

impl Timers {
    /// Bytes for each slot, for the memory ceiling.
    pub const SLOT_SIZE: usize = size_of::<(Time, u32)>() + size_of::<u32>();

    /// For slots `0..capacity`.
    pub fn new(capacity: usize) -> Timers {
        Timers {
            heap: Vec::with_capacity(capacity),
            places: vec![0; capacity],
        }
    }

    /// Sets the deadline of `slot` and replaces any earlier setting.
    pub fn arm(&mut self, slot: u32, deadline: Time) {
        let place = match self.places[slot as usize] {
            0 => {
                self.heap.push((deadline, slot));
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize - 1].0 = deadline;
                place as usize - 1
            }
        };
        let place = self.sift_up(place);
        self.sift_down(place);
    }

    /// Sets the deadline of `slot`, unless the slot has an earlier or equal one.
    pub fn arm_by(&mut self, slot: u32, deadline: Time) {
        if deadline < self.armed(slot) {
            self.arm(slot, deadline);
        }
    }

    /// Removes the deadline of `slot`, if it has one.
    pub fn disarm(&mut self, slot: u32) {
        let place = self.places[slot as usize];
        if place == 0 {
            return;
        }
        self.places[slot as usize] = 0;
        let place = place as usize - 1;
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            let place = self.sift_up(place);
            self.sift_down(place);
        }
    }

    /// The deadline of `slot`, or [`Time::NEVER`] when it has none.
    pub fn armed(&self, slot: u32) -> Time {
        match self.places[slot as usize] {
            0 => Time::NEVER,
            place => self.heap[place as usize - 1].0,
        }
    }

    /// How many slots have a deadline.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no slot has one.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The nearest deadline, or [`Time::NEVER`] when there is none.
    #[inline]
    pub fn next(&self) -> Time {
        self.heap
            .first()
            .map_or(Time::NEVER, |(deadline, _)| *deadline)
    }

    /// Removes and returns a slot whose deadline is not after `now`, the most overdue first.
    pub fn pop_due(&mut self, now: Time) -> Option<u32> {
        let (deadline, slot) = *self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.disarm(slot);
        Some(slot)
    }

    fn sift_up(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        self.note(place);
        place
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let mut least = place;
            for child in [left, right] {
                if child < self.heap.len() && self.heap[child].0 < self.heap[least].0 {
                    least = child;
                }
            }
            if least == place {
                return self.note(place);
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.note(one);
        self.note(other);
    }

    fn note(&mut self, place: usize) {
        let slot = self.heap[place].1;
        self.places[slot as usize] = place as u32 + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanoseconds: u64) -> Time {
        Time::from_nanos(nanoseconds)
    }

    #[test]
    fn slots_come_due_in_the_order_of_their_deadlines() {
        let mut timers = Timers::new(8);
        for (slot, deadline) in [(0, 50), (1, 20), (2, 40), (3, 10), (4, 30)] {
            timers.arm(slot, at(deadline));
        }
        timers.disarm(4);
        timers.arm(0, at(15));
        timers.arm(3, at(45));
        let mut order = Vec::new();
        while let Some(slot) = timers.pop_due(at(45)) {
            order.push(slot);
        }
        assert_eq!(order, [0, 1, 2, 3]);
        assert_eq!(timers.next(), Time::NEVER);
    }

    #[test]
    fn deadlines_about_a_time_of_32_and_of_63_bits_come_due_in_order() {
        for middle in [1 << 32, 1 << 63] {
            let mut timers = Timers::new(3);
            for (slot, deadline) in [(0, middle + 1), (1, middle - 1), (2, middle)] {
                timers.arm(slot, at(deadline));
            }
            assert_eq!(timers.next(), at(middle - 1));
            assert_eq!(timers.pop_due(at(middle - 2)), None);
            let due = [middle - 1, middle, middle + 1].map(|now| timers.pop_due(at(now)));
            assert_eq!(due, [Some(1), Some(2), Some(0)]);
        }
    }

    #[test]
    fn a_deadline_is_due_at_its_time_and_not_before() {
        let mut timers = Timers::new(1);
        timers.arm(0, at(10));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.next(), at(10));
        assert_eq!(timers.pop_due(at(10)), Some(0));
    }

    #[test]
    fn many_changes_agree_with_a_sorted_list() {
        let mut timers = Timers::new(64);
        let mut truth = std::collections::BTreeMap::new();
        let mut state = 1u64;
        for _ in 0..10_000 {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let slot = (state >> 33) as u32 % 64;
            if state >> 61 == 0 {
                timers.disarm(slot);
                truth.remove(&slot);
            } else {
                let deadline = at(state >> 40);
                timers.arm(slot, deadline);
                truth.insert(slot, deadline);
            }
            let suggest = truth.values().min().copied();
            assert_eq!(timers.next(), suggest.unwrap_or(Time::NEVER));
        }
    }
}
