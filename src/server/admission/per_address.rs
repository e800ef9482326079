//! Number of connections per address, so that no single address can take every slot.
//!
//! A hash table of fixed size with open addressing and linear probing. It is never more than half
//! full, because there are no more addresses than connections. An IPv6 host usually owns a whole
//! /64 (RFC 4291, 2.5.4), so IPv6 addresses are counted by their upper 64 bits; an IPv4 address is
//! counted as it is. Nothing is allocated after [`PerIp::new`], and a table without a limit
//! allocates nothing.
//!
//! Entries move when others are removed, so a slot stores its key and not an index into the table.
//! The hash has a random key, so that an attacker cannot choose addresses that collide.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

/// An IPv4 address, or the upper half of an IPv6 address. 0 means none.
type Key = u64;

/// An address and its number of connections; vacant when the number is 0.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    key: Key,
    count: u32,
}

/// Number of connections of each address.
#[derive(Debug)]
pub struct PerIp {
    limit: u32,
    hash: RandomState,
    entries: Vec<Entry>,
    /// The key under which each slot is counted.
    slots: Vec<Key>,
}

impl PerIp {
    /// Upper bound of bytes per slot, for the memory ceiling.
    pub const SLOT_SIZE: usize = 4 * size_of::<Entry>() + size_of::<Key>();

    /// Creates a table for slots `0..capacity` and at most `limit` connections per address.
    pub fn new(limit: Option<u32>, capacity: usize) -> PerIp {
        let capacity = if limit.is_some() { capacity } else { 0 };
        let places = if capacity > 0 {
            (2 * capacity).next_power_of_two()
        } else {
            0
        };
        PerIp {
            limit: limit.unwrap_or(u32::MAX),
            hash: RandomState::new(),
            entries: vec![Entry::default(); places],
            slots: vec![0; capacity],
        }
    }

    /// Whether there is a limit.
    pub fn is_on(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Whether `peer` may have another connection.
    pub fn has_room(&self, peer: SocketAddr) -> bool {
        self.entries[self.find(key(peer))].count < self.limit
    }

    /// Counts `slot` as a connection of `peer`.
    pub fn enter(&mut self, slot: u32, peer: SocketAddr) {
        let key = key(peer);
        let place = self.find(key);
        let entry = &mut self.entries[place];
        *entry = Entry {
            key,
            count: entry.count + 1,
        };
        self.slots[slot as usize] = key;
    }

    /// The connection in `slot` has closed.
    pub fn leave(&mut self, slot: u32) {
        let Some(key) = self.slots.get_mut(slot as usize).map(std::mem::take) else {
            return;
        };
        if key == 0 {
            return;
        }
        let place = self.find(key);
        self.entries[place].count -= 1;
        if self.entries[place].count == 0 {
            self.close_the_gap(place);
        }
    }

    /// Whether `slot` is counted under an address.
    pub fn counts(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|key| *key != 0)
    }

    /// The number of connections of each address that has any.
    pub fn charges(&self) -> impl Iterator<Item = u32> + '_ {
        let charged = self.entries.iter().map(|entry| entry.count);
        charged.filter(|count| *count > 0)
    }

    fn home(&self, key: Key) -> usize {
        self.hash.hash_one(key) as usize & (self.entries.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.entries.len() - 1)
    }

    /// The index of `key`, or the index where to insert it.
    fn find(&self, key: Key) -> usize {
        let mut place = self.home(key);
        while self.entries[place].count > 0 && self.entries[place].key != key {
            place = self.after(place);
        }
        place
    }

    /// Moves entries back that were placed further on because this index was occupied.
    fn close_the_gap(&mut self, mut gap: usize) {
        let mut place = self.after(gap);
        while self.entries[place].count > 0 {
            let home = self.home(self.entries[place].key);
            let last = self.entries.len() - 1;
            // The entry may move if the gap lies between its home and its index, cyclically.
            if (place.wrapping_sub(home) & last) >= (place.wrapping_sub(gap) & last) {
                self.entries[gap] = self.entries[place];
                gap = place;
            }
            place = self.after(place);
        }
        self.entries[gap] = Entry::default();
    }
}

/// The key of an address. IPv4 keys fall into a range of IPv6 prefixes that only loopback and
/// mapped addresses use (RFC 4291, 2.5.3 and 2.5.5), so the two do not collide.
pub(super) fn key(peer: SocketAddr) -> Key {
    let key = match peer.ip().to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    };
    key.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_room_until_its_limit_is_reached() {
        let mut table = PerIp::new(Some(2), 4);
        let (one, other) = (peer("10.0.0.1:1"), peer("10.0.0.2:1"));
        table.enter(0, one);
        assert!(table.has_room(one));
        table.enter(1, one);
        assert!(!table.has_room(one) && table.has_room(other));
        table.leave(0);
        assert!(table.has_room(one));
    }

    #[test]
    fn a_host_is_an_ipv4_address_or_half_an_ipv6_one() {
        let same = [
            ("10.0.0.1:1", "10.0.0.1:2"),
            ("[2001:db8::1]:1", "[2001:db8::ffff:0:2]:1"),
        ];
        let others = [
            ("10.0.0.1:1", "10.0.0.2:1"),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"),
            ("10.0.0.1:1", "[::1]:1"),
        ];
        assert!(
            same.iter()
                .all(|(one, other)| key(peer(one)) == key(peer(other)))
        );
        assert!(
            others
                .iter()
                .all(|(one, other)| key(peer(one)) != key(peer(other)))
        );
        assert_eq!(key(peer("[::ffff:10.0.0.1]:1")), key(peer("10.0.0.1:1")));
    }

    #[test]
    fn a_table_without_a_limit_allocates_nothing() {
        let mut table = PerIp::new(None, 1_000_000);
        assert!(!table.is_on());
        assert_eq!(table.entries.capacity() + table.slots.capacity(), 0);
        table.leave(7);
    }

    #[test]
    fn counts_match_a_hash_map_over_random_connects_and_closes() {
        const SLOTS: u32 = 16;
        let mut table = PerIp::new(Some(3), SLOTS as usize);
        let (mut map, mut inside) = (HashMap::<SocketAddr, u32>::new(), HashMap::new());
        let mut chance = 7u64;
        for _ in 0..20_000 {
            chance = chance
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let slot = (chance >> 33) as u32 % SLOTS;
            let address = SocketAddr::from(([10, 0, 0, (chance >> 48) as u8 % 40], 1));
            if let Some(address) = inside.remove(&slot) {
                table.leave(slot);
                *map.get_mut(&address).unwrap() -= 1;
            } else {
                let count = map.entry(address).or_default();
                assert_eq!(table.has_room(address), *count < 3);
                if *count < 3 {
                    *count += 1;
                    table.enter(slot, address);
                    inside.insert(slot, address);
                }
            }
            let entries = table.entries.iter().filter(|entry| entry.count > 0).count();
            assert_eq!(entries, map.values().filter(|count| **count > 0).count());
        }
    }
}
