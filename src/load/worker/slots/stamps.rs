//! When each request in flight was sent and when it was due: a ring of stamps for each slot.
//!
//! A slot has at most as many requests in flight as the ring has places, so a stamp is never
//! overwritten before its reply. All memory is allocated before the load. The module does not know
//! what a request is: the caller numbers the requests of a connection from 0.

use crate::base::time::Time;
use crate::load::worker::room;
use crate::load::worker::tally::Cause;

/// When a request was sent and when it was due. In a closed loop, both are equal.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::load::worker) struct Stamp {
    pub(in crate::load::worker) sent: Time,
    pub(in crate::load::worker) due: Time,
}

/// The stamps of all slots.
pub(in crate::load::worker) struct Stamps {
    ring: Vec<Stamp>,
    /// Places of one slot: a power of two.
    depth: usize,
}

impl Stamps {
    /// Room for `pipeline` requests in flight on each of `slots` connections.
    pub(in crate::load::worker) fn new(slots: usize, pipeline: usize) -> Result<Stamps, Cause> {
        let depth = pipeline.next_power_of_two();
        let mut ring = room("requests in flight", slots * depth)?;
        ring.resize(slots * depth, Stamp::default());
        Ok(Stamps { ring, depth })
    }

    /// The stamp of request number `request` of the connection in slot `index`.
    #[inline]
    pub(in crate::load::worker) fn at(&self, index: usize, request: u64) -> Stamp {
        self.ring[self.place(index, request)]
    }

    /// Stores the stamp of a request that begins.
    #[inline]
    pub(in crate::load::worker) fn put(&mut self, index: usize, request: u64, stamp: Stamp) {
        let place = self.place(index, request);
        self.ring[place] = stamp;
    }

    /// Numbers the requests of a slot anew: number `first` becomes 0.
    pub(in crate::load::worker) fn renumber(&mut self, index: usize, first: u64) {
        let places = &mut self.ring[index * self.depth..][..self.depth];
        places.rotate_left(first as usize & (self.depth - 1));
    }

    #[inline]
    fn place(&self, index: usize, request: u64) -> usize {
        index * self.depth + (request as usize & (self.depth - 1))
    }
}
