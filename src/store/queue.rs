//! A first-in-first-out queue of slots: a doubly linked list in an array.
//!
//! A waiting connection may be closed and its slot reused, so a queue of tokens would collect stale
//! ones without bound. Here a slot is in a queue at most once, and is removed from any position in
//! one step. The array is zeroed memory: a page is untouched until one of its slots first waits.

/// The slots before and behind: 0 when the slot does not wait, [`NO_SLOT`] at an end, else the
/// number of the slot plus [`FIRST`]. A plain array, because only zeroed arrays are allocated as
/// untouched pages.
type Link = [u32; 2];

const BEFORE: usize = 0;
const BEHIND: usize = 1;
const NO_SLOT: u32 = 1;
const FIRST: u32 = 2;

/// A queue of slot numbers below its capacity.
#[derive(Debug)]
pub struct Queue {
    links: Vec<Link>,
    first: u32,
    last: u32,
    len: usize,
}

impl Queue {
    /// Bytes for each slot, for the memory ceiling.
    pub const SLOT_SIZE: usize = size_of::<Link>();

    /// For slots `0..capacity`.
    pub fn new(capacity: usize) -> Queue {
        Queue {
            links: vec![[0; 2]; capacity],
            first: NO_SLOT,
            last: NO_SLOT,
            len: 0,
        }
    }

    /// The number of waiting slots.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `slot` waits.
    pub fn contains(&self, slot: u32) -> bool {
        self.links[slot as usize] != [0; 2]
    }

    /// Appends `slot` unless it already waits; returns whether it was appended.
    pub fn push(&mut self, slot: u32) -> bool {
        if self.links[slot as usize] != [0; 2] {
            return false;
        }
        self.links[slot as usize] = [self.last, NO_SLOT];
        match self.last {
            NO_SLOT => self.first = slot + FIRST,
            last => self.links[(last - FIRST) as usize][BEHIND] = slot + FIRST,
        }
        self.last = slot + FIRST;
        self.len += 1;
        true
    }

    /// Removes and returns the first slot.
    pub fn pop(&mut self) -> Option<u32> {
        let slot = self.first.checked_sub(FIRST)?;
        self.remove(slot);
        Some(slot)
    }

    /// Removes `slot` from any position, if it waits.
    pub fn remove(&mut self, slot: u32) {
        let [before, behind] = self.links[slot as usize];
        if before == 0 {
            return;
        }
        match before {
            NO_SLOT => self.first = behind,
            before => self.links[(before - FIRST) as usize][BEHIND] = behind,
        }
        match behind {
            NO_SLOT => self.last = before,
            behind => self.links[(behind - FIRST) as usize][BEFORE] = before,
        }
        self.links[slot as usize] = [0; 2];
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Queue) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn first_come_first_served() {
        let mut queue = Queue::new(4);
        assert!([2, 0, 3].into_iter().all(|slot| queue.push(slot)));
        assert_eq!(drain(&mut queue), [2, 0, 3]);
    }

    #[test]
    fn a_slot_waits_once() {
        let mut queue = Queue::new(4);
        let pushed = [1, 1, 2, 1].map(|slot| queue.push(slot));
        assert_eq!(pushed, [true, false, true, false]);
        assert_eq!(queue.len(), 2);
        assert_eq!(drain(&mut queue), [1, 2]);
    }

    #[test]
    fn a_slot_is_removed_from_the_front_the_middle_and_the_end() {
        for leaves in 0..4 {
            let mut queue = Queue::new(4);
            assert!((0..4).all(|slot| queue.push(slot)));
            queue.remove(leaves);
            queue.remove(leaves);
            queue.push(leaves);
            let mut expected: Vec<u32> = (0..4).filter(|slot| *slot != leaves).collect();
            expected.push(leaves);
            assert_eq!(drain(&mut queue), expected);
            assert!(queue.is_empty());
        }
    }
}
