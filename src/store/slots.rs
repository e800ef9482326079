//! A fixed array of slots, each with a generation, so that a key outlives its value safely.
//!
//! An event may be handled after its connection is closed and the slot is reused, even within one
//! batch. The [`Key`] under which the connection was registered still has the old generation, and
//! finds nothing. A generation has 32 bits: one bit would wrap after two reuses, 32 bits wrap after
//! four billion.
//!
//! Memory is reserved once for all slots and touched when a slot is first used, so it follows the
//! largest number of connections so far. Free slots are reused last in, first out, because their
//! memory is most likely in the cache.

use std::marker::PhantomData;

const NO_SLOT: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<T> {
    /// Odd when the slot is in use, so that generation 0, which marks the loop's own descriptors,
    /// never belongs to a connection.
    generation: u32,
    next_free: u32,
    holds: Option<T>,
}

/// The key of a value: the index of its slot and the generation of the slot.
pub trait Key: Copy {
    /// The key of slot `index` in its `generation`.
    fn new(index: u32, generation: u32) -> Self;

    /// The slot.
    fn index(self) -> u32;

    /// The generation of the slot.
    fn generation(self) -> u32;
}

/// At most `capacity` values, each found by the key that [`Slots::insert`] returned.
#[derive(Debug)]
pub struct Slots<K, T> {
    slots: Vec<Slot<T>>,
    capacity: usize,
    first_free: u32,
    live: usize,
    key: PhantomData<K>,
}

impl<K: Key, T> Slots<K, T> {
    /// Bytes a slot takes, for the memory ceiling.
    pub const SLOT_SIZE: usize = size_of::<Slot<T>>();

    /// Room for `capacity` values. All of it is reserved now.
    pub fn new(capacity: usize) -> Slots<K, T> {
        assert!(capacity < NO_SLOT as usize);
        Slots {
            slots: Vec::with_capacity(capacity),
            capacity,
            first_free: NO_SLOT,
            live: 0,
            key: PhantomData,
        }
    }

    /// The number of values.
    #[inline]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether every slot is in use.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.live == self.capacity
    }

    /// Stores `value` and returns its key; returns the value when no slot is free.
    pub fn insert(&mut self, value: T) -> Result<K, T> {
        if self.is_full() {
            return Err(value);
        }
        if self.first_free == NO_SLOT {
            self.first_free = self.slots.len() as u32;
            self.slots.push(Slot {
                generation: 0,
                next_free: NO_SLOT,
                holds: None,
            });
        }
        let index = self.first_free;
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.holds.is_none());
        self.first_free = slot.next_free;
        slot.generation = slot.generation.wrapping_add(1);
        slot.holds = Some(value);
        self.live += 1;
        Ok(K::new(index, slot.generation))
    }

    /// The value of `key`, unless it has been removed.
    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        let slot = self.slots.get(key.index() as usize)?;
        if slot.generation == key.generation() {
            slot.holds.as_ref()
        } else {
            None
        }
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        if slot.generation == key.generation() {
            slot.holds.as_mut()
        } else {
            None
        }
    }

    /// Removes the value. Every copy of `key` is stale from now on.
    pub fn remove(&mut self, key: K) -> Option<T> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        if slot.generation != key.generation() {
            return None;
        }
        let value = slot.holds.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = self.first_free;
        self.first_free = key.index();
        self.live -= 1;
        Some(value)
    }

    /// The key of the value that slot `index` holds now.
    pub fn key(&self, index: u32) -> Option<K> {
        let slot = self.slots.get(index as usize)?;
        slot.holds.as_ref().map(|_| K::new(index, slot.generation))
    }

    /// The number of slots that were ever used: all indices are below it.
    pub fn used(&self) -> u32 {
        self.slots.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Name(u32, u32);

    impl Key for Name {
        fn new(index: u32, generation: u32) -> Name {
            Name(index, generation)
        }

        fn index(self) -> u32 {
            self.0
        }

        fn generation(self) -> u32 {
            self.1
        }
    }

    #[test]
    fn a_token_finds_its_value_until_it_is_removed() {
        let mut slots = Slots::<Name, _>::new(2);
        let token = slots.insert('a').unwrap();
        assert_eq!(slots.get_mut(token), Some(&mut 'a'));
        assert_eq!(slots.remove(token), Some('a'));
        assert_eq!(slots.get_mut(token), None);
        assert_eq!(slots.remove(token), None);
    }

    #[test]
    fn a_reused_slot_is_not_found_by_its_old_key() {
        let mut slots = Slots::<Name, _>::new(1);
        let old = slots.insert('a').unwrap();
        slots.remove(old);
        let new = slots.insert('b').unwrap();
        assert_eq!(old.index(), new.index());
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.get_mut(new), Some(&mut 'b'));
    }

    #[test]
    fn one_under_at_and_one_over_the_capacity() {
        let mut slots = Slots::<Name, _>::new(2);
        slots.insert(1).unwrap();
        assert!(!slots.is_full());
        let second = slots.insert(2).unwrap();
        assert!(slots.is_full());
        assert_eq!(slots.insert(3), Err(3));
        slots.remove(second);
        assert!(slots.insert(4).is_ok());
    }

    #[test]
    fn generation_zero_is_never_given_out() {
        let mut slots = Slots::<Name, _>::new(1);
        let mut token = slots.insert(()).unwrap();
        for _ in 0..5 {
            assert_eq!(token.generation() % 2, 1);
            slots.remove(token);
            token = slots.insert(()).unwrap();
        }
    }

    #[test]
    fn a_slot_is_reused_beyond_the_last_generation() {
        let mut slots = Slots::<Name, _>::new(1);
        let first = slots.insert(1).unwrap();
        slots.remove(first);
        // 2^32 reuses later, but for a few.
        slots.slots[0].generation = u32::MAX - 3;
        let mut old = Vec::new();
        for value in 0..6 {
            let key = slots.insert(value).unwrap();
            assert_eq!(key.generation() % 2, 1, "0 is never given out");
            assert_eq!(slots.get_mut(key), Some(&mut { value }));
            assert!(old.iter().all(|&key| slots.get_mut(key).is_none()));
            assert_eq!(slots.remove(key), Some(value));
            old.push(key);
        }
        let generations: Vec<u32> = old.iter().map(|key| key.1).collect();
        assert_eq!(generations, [u32::MAX - 2, u32::MAX, 1, 3, 5, 7]);
    }

    #[test]
    fn the_slot_freed_last_is_used_first() {
        let mut slots = Slots::<Name, _>::new(3);
        let tokens: Vec<Name> = (0..3).map(|n| slots.insert(n).unwrap()).collect();
        slots.remove(tokens[0]);
        slots.remove(tokens[2]);
        assert_eq!(slots.insert(9).unwrap().index(), tokens[2].index());
    }
}
