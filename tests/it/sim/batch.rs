//! Batches of calls: one call after the other, or all at once through a submission ring.
//!
//! The ring is simulated as `mynah::kernel::batch` sees it: calls go in, results come out, and
//! between them is everything that io_uring_enter(2) may do. All calls that it takes are made before
//! the first result is handled. Invariant: without `Config::batches_at_once` the calls are those of
//! the defaults in `mynah::kernel`, one by one. io_uring(7).

use std::io;

use libc::{EAGAIN, EBADF, EBUSY, ECANCELED, EINTR};
use mynah::kernel::batch::{Ring, make_all};
use mynah::kernel::journal::{Argument, Name};
use mynah::kernel::{Outcome, Sockets};

use super::Sim;
use super::table::Socket;

/// Calls made at once: the entries of the ring.
const AT_ONCE_MAX: usize = 32;

/// The bytes of one call.
enum Bytes<'a> {
    Into(&'a mut [u8]),
    Of(&'a [u8]),
}

/// A ring with the calls of one batch.
struct Batch<'s, 'a> {
    sim: &'s mut Sim,
    name: Name,
    calls: Vec<(&'a Socket, Bytes<'a>)>,
    submitted: usize,
    /// Results that are to be taken.
    results: Vec<(usize, io::Result<usize>)>,
    /// Results that found no room, until they are waited for.
    overflowed: Vec<(usize, io::Result<usize>)>,
}

impl Batch<'_, '_> {
    fn make(&mut self, place: usize) -> io::Result<usize> {
        match &mut self.calls[place] {
            (socket, Bytes::Into(room)) => self.sim.read(socket, room),
            (socket, Bytes::Of(bytes)) => self.sim.write(socket, bytes),
        }
    }

    /// How many of `count` calls are taken, and the error if none is.
    fn admit(&mut self, count: usize) -> Result<usize, i32> {
        self.sim.enter(Name::Enter)?;
        let faults = &self.sim.faults;
        let (unentered, untaken, lost) = (faults.unentered, faults.untaken, faults.ring_lost);
        if self.sim.dice.chance(lost) {
            self.sim.ring_is_lost = true;
            return Err(EBADF);
        }
        if self.sim.dice.chance(unentered) {
            return Err([EINTR, EAGAIN, EBUSY][self.sim.dice.below(3)]);
        }
        match count > 1 && self.sim.dice.chance(untaken) {
            true => Ok(1 + self.sim.dice.below(count - 1)),
            false => Ok(count),
        }
    }
}

impl Ring for Batch<'_, '_> {
    fn enter(&mut self, count: usize, wait: usize) -> io::Result<usize> {
        assert_eq!(count, self.calls.len() - self.submitted, "what is left");
        let in_the_kernel = self.overflowed.len();
        assert!(wait <= count + in_the_kernel, "it would wait for ever");
        if wait > 0 {
            self.results.append(&mut self.overflowed);
        }
        let answer = self.admit(count);
        let argument = Argument::Batch(count, self.name);
        self.sim.note(Name::Enter, None, argument, answer, &[]);
        for place in (self.submitted..).take(answer.unwrap_or(0)) {
            let (cancelled, overflowed) = (self.sim.faults.cancelled, self.sim.faults.overflowed);
            let result = match self.sim.dice.chance(cancelled) {
                true => Err([EINTR, ECANCELED][self.sim.dice.below(2)]),
                false => Ok(()),
            };
            let result = result.map_err(io::Error::from_raw_os_error);
            let result = result.and_then(|()| self.make(place));
            match self.sim.dice.chance(overflowed) {
                true => self.overflowed.push((place, result)),
                false => self.results.push((place, result)),
            }
        }
        self.submitted += answer.unwrap_or(0);
        answer.map_err(io::Error::from_raw_os_error)
    }

    fn take(&mut self) -> Option<(usize, Outcome)> {
        if self.results.is_empty() {
            return None;
        }
        let disordered = self.sim.faults.disordered;
        let next = match self.sim.dice.chance(disordered) {
            true => self.sim.dice.below(self.results.len()),
            false => 0,
        };
        let (place, result) = self.results.remove(next);
        Some((place, result.into()))
    }

    fn call(&mut self, place: usize) -> io::Result<usize> {
        self.make(place)
    }
}

impl Sim {
    pub(super) fn calls_at_once(&self) -> usize {
        match self.has_ring() {
            true => AT_ONCE_MAX,
            false => 0,
        }
    }

    fn has_ring(&self) -> bool {
        self.config.batches_at_once && !self.ring_is_lost
    }

    pub(super) fn receive_all_of<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a Socket>,
        space: &mut [u8],
        size: usize,
        results: &mut Vec<Outcome>,
    ) -> usize {
        let rooms = space.chunks_exact_mut(size);
        let calls = sockets
            .zip(rooms)
            .map(|(socket, room)| (socket, Bytes::Into(room)));
        let calls: Vec<_> = calls.collect();
        self.make_batch(Name::Read, calls, results)
    }

    pub(super) fn send_all_of<'a>(
        &mut self,
        sends: impl Iterator<Item = (&'a Socket, &'a [u8])>,
        results: &mut Vec<Outcome>,
    ) -> usize {
        let calls = sends.map(|(socket, bytes)| (socket, Bytes::Of(bytes)));
        let calls: Vec<_> = calls.collect();
        self.make_batch(Name::Write, calls, results)
    }

    fn make_batch(
        &mut self,
        name: Name,
        calls: Vec<(&Socket, Bytes<'_>)>,
        results: &mut Vec<Outcome>,
    ) -> usize {
        let count = calls.len();
        let has_ring = self.has_ring();
        let mut batch = Batch {
            sim: self,
            name,
            calls,
            submitted: 0,
            results: Vec::new(),
            overflowed: Vec::new(),
        };
        if !has_ring {
            results.clear();
            results.extend((0..count).map(|place| Outcome::from(batch.make(place))));
            return 0;
        }
        assert!(count <= AT_ONCE_MAX, "more calls than the ring has entries");
        let made = make_all(&mut batch, count, results);
        assert_eq!(made.broken.is_some(), self.ring_is_lost, "{made:?}");
        made.enters
    }
}
