//! The pool of workspaces: buffers lent to connections that have bytes in them, and to no others.
//!
//! ```text
//!   one mapping, touched lazily:   | inbound | outbound || inbound | outbound || ...
//! ```
//!
//! A connection at rest owns no buffer. One that is readable is lent both halves together, so that
//! nobody holds one and waits for the other, and gives them back when both are empty. The workspace
//! returned last is lent first, so the busy connections share a few hot ones. A [`Lease`] cannot be
//! copied: a workspace has one holder.

use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::kernel::{Mapping, Time};
use crate::protocol::connection::{Cursors, Workspace};

/// The right to use one workspace.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease(u32);

/// The sizes of a workspace's two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceSize {
    /// Bytes for what arrives: at least the longest frame.
    pub inbound: usize,
    /// Bytes for answers that are not given in place: at least the longest one.
    pub outbound: usize,
}

impl WorkspaceSize {
    /// Bytes one workspace takes, in whole pages so that neighbours share none.
    pub fn stride(self) -> usize {
        (self.inbound + self.outbound).next_multiple_of(PAGE)
    }
}

/// The page size of every 64-bit machine this is likely to meet; only the layout depends on it.
const PAGE: usize = 4096;

/// What the holder of a workspace has to do in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    #[default]
    Freely,
    /// To send the rest of a frame.
    ForFrame {
        /// When its first byte came; or that of an earlier one, if frames have followed each other
        /// without a gap, and so slowly that it was unfair to those who wait.
        since: Time,
        /// Bytes that have come since.
        heard: u64,
    },
    /// To take what it is owed.
    ForReply {
        /// Since when it has not taken as much as it must.
        since: Time,
        /// What it has taken since.
        taken: u64,
    },
}

/// A fixed number of workspaces.
#[derive(Debug)]
pub struct Workspaces {
    memory: Mapping,
    size: WorkspaceSize,
    stride: usize,
    /// Where those on loan were left.
    cursors: Vec<Cursors>,
    /// For what, and since when.
    held: Vec<Held>,
    free: Vec<u32>,
}

impl Workspaces {
    /// Bytes kept for each workspace beside its stride.
    pub const CURSORS_SIZE: usize = size_of::<Cursors>() + size_of::<Held>() + size_of::<u32>();

    /// Reserves `count` workspaces of `size`.
    pub fn new(count: usize, size: WorkspaceSize) -> io::Result<Workspaces> {
        Ok(Workspaces {
            memory: Mapping::new(count * size.stride())?,
            size,
            stride: size.stride(),
            cursors: vec![Default::default(); count],
            held: vec![Held::default(); count],
            free: (0..count as u32).rev().collect(),
        })
    }

    /// How many there are in all.
    pub fn count(&self) -> usize {
        self.cursors.len()
    }

    /// How many are on loan.
    pub fn lent(&self) -> usize {
        self.cursors.len() - self.free.len()
    }

    /// How many may still be lent.
    #[inline]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Lends one, pristine.
    #[inline]
    pub fn acquire(&mut self) -> Option<Lease> {
        self.free.pop().map(Lease)
    }

    /// The inbound space of the workspace that would be lent next, for a use that is over before
    /// anybody else gets a turn.
    #[inline]
    pub fn scratch(&mut self) -> Option<&mut [u8]> {
        let start = *self.free.last()? as usize * self.stride;
        Some(&mut self.memory[start..start + self.size.inbound])
    }

    /// The inbound space of the workspace that `lease` stands for, whatever is in it.
    #[inline]
    pub fn space(&mut self, lease: &Lease) -> &mut [u8] {
        let start = lease.0 as usize * self.stride;
        &mut self.memory[start..start + self.size.inbound]
    }

    /// Lends another, with a copy at its front of what lies in `range` of the space of `lease`.
    #[cold]
    pub fn acquire_copy(&mut self, lease: &Lease, range: Range<usize>) -> Option<Lease> {
        let copy = self.acquire()?;
        let from = lease.0 as usize * self.stride;
        let range = from + range.start..from + range.end;
        self.memory
            .copy_within(range, copy.0 as usize * self.stride);
        Some(copy)
    }

    /// The workspace that `lease` stands for, as it was left.
    #[inline]
    pub fn open(&mut self, lease: &Lease) -> Workspace<'_> {
        let index = lease.0 as usize;
        let WorkspaceSize { inbound, outbound } = self.size;
        let start = index * self.stride;
        let bytes = &mut self.memory[start..start + inbound + outbound];
        let (inbound, outbound) = bytes.split_at_mut(inbound);
        Workspace::new(inbound, outbound, self.cursors[index])
    }

    /// Remembers where the holder of `lease` has left it.
    #[inline]
    pub fn leave(&mut self, lease: &Lease, at: Cursors) {
        self.cursors[lease.0 as usize] = at;
    }

    /// What its holder has to do in time.
    pub fn held(&self, lease: &Lease) -> Held {
        self.held[lease.0 as usize]
    }

    /// Notes what its holder has to do in time.
    pub fn hold(&mut self, lease: &Lease, held: Held) {
        self.held[lease.0 as usize] = held;
    }

    /// Moves the time from which its holder's deadline counts by `span`.
    pub fn put_off(&mut self, lease: &Lease, span: Duration) {
        match &mut self.held[lease.0 as usize] {
            Held::ForFrame { since, .. } | Held::ForReply { since, .. } => {
                *since = since.after(span);
            }
            Held::Freely => {}
        }
    }

    /// Takes one back, with whatever is still in it.
    #[inline]
    pub fn release_workspace(&mut self, lease: Lease) {
        self.cursors[lease.0 as usize] = Cursors::default();
        self.held[lease.0 as usize] = Held::default();
        self.free.push(lease.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: WorkspaceSize = WorkspaceSize {
        inbound: 5000,
        outbound: 100,
    };

    #[test]
    fn there_are_as_many_as_were_asked_for_and_no_more() {
        let mut pool = Workspaces::new(2, SIZE).unwrap();
        let first = pool.acquire().unwrap();
        let second = pool.acquire().unwrap();
        assert_ne!(first, second);
        assert_eq!(pool.acquire(), None);
        pool.release_workspace(first);
        assert_eq!((pool.lent(), pool.count()), (1, 2));
    }

    #[test]
    fn the_one_returned_last_is_lent_first_and_pristine() {
        let mut pool = Workspaces::new(3, SIZE).unwrap();
        let lease = pool.acquire().unwrap();
        let mut workspace = pool.open(&lease);
        workspace.inbound.spare()[..3].copy_from_slice(b"abc");
        workspace.inbound.advance(3);
        let at = workspace.cursors();
        pool.leave(&lease, at);
        let number = lease.0;
        pool.release_workspace(lease);
        let again = pool.acquire().unwrap();
        assert_eq!(again.0, number);
        assert!(pool.open(&again).is_empty());
    }

    #[test]
    fn a_copy_lies_at_the_front_of_another() {
        let mut pool = Workspaces::new(2, SIZE).unwrap();
        let lease = pool.acquire().unwrap();
        pool.space(&lease)[..6].copy_from_slice(b"abcdef");
        let copy = pool.acquire_copy(&lease, 2..5).unwrap();
        assert_eq!(&pool.space(&copy)[..4], b"cde\0");
        assert_eq!(&pool.space(&lease)[..6], b"abcdef");
        assert_eq!(
            pool.acquire_copy(&lease, 0..1),
            None,
            "there is no other left"
        );
    }

    #[test]
    fn workspaces_do_not_overlap() {
        let mut pool = Workspaces::new(2, SIZE).unwrap();
        let leases = [pool.acquire().unwrap(), pool.acquire().unwrap()];
        for (lease, byte) in leases.iter().zip(*b"xy") {
            let mut workspace = pool.open(lease);
            workspace.inbound.spare().fill(byte);
            workspace.inbound.advance(SIZE.inbound);
            workspace.outbound.space(SIZE.outbound).fill(byte);
            workspace.outbound.advance(SIZE.outbound);
            let at = workspace.cursors();
            pool.leave(lease, at);
        }
        for (lease, byte) in leases.iter().zip(*b"xy") {
            let mut workspace = pool.open(lease);
            assert!(workspace.inbound.undecoded().iter().all(|b| *b == byte));
            assert!(workspace.outbound.owed().iter().all(|b| *b == byte));
        }
    }
}
