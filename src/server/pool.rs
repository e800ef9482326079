//! The pool of workspaces: buffers for the connections that have bytes in them.
//!
//! ```text
//!   one mapping, touched lazily:   | inbound | outbound || inbound | outbound || ...
//! ```
//!
//! An idle connection owns no buffer. A readable connection gets both halves together, so that no
//! connection can hold one half while waiting for the other. It returns the workspace when both
//! halves are empty. The pool is last in, first out, so busy connections share a few workspaces
//! that are warm in the cache. A [`Lease`] cannot be copied: a workspace has one holder.
//! Neighbours: `plan` computes the sizes, `reactor::lease` lends the workspaces.

use std::io;
use std::ops::Range;

use crate::kernel::Mapping;
use crate::protocol::connection::{Cursors, Workspace};

/// The right to use one workspace.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease(u32);

/// The sizes of a workspace's two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceSize {
    /// Bytes for received data: at least the largest frame.
    pub inbound: usize,
    /// Bytes for replies that are not made in place: at least the largest one.
    pub outbound: usize,
}

impl WorkspaceSize {
    /// Bytes that one workspace takes, in whole pages, so that two workspaces share no page.
    pub fn stride(self) -> usize {
        (self.inbound + self.outbound).next_multiple_of(PAGE)
    }
}

/// The page size of every common 64-bit machine. Only the layout depends on it.
const PAGE: usize = 4096;

/// A fixed number of workspaces.
#[derive(Debug)]
pub struct Workspaces {
    memory: Mapping,
    size: WorkspaceSize,
    stride: usize,
    /// Cursors of the workspaces in use.
    cursors: Vec<Cursors>,
    free: Vec<u32>,
}

impl Workspaces {
    /// Bytes of bookkeeping for each workspace, in addition to its stride.
    pub const CURSORS_SIZE: usize = size_of::<Cursors>() + size_of::<u32>();

    /// Reserves `count` workspaces of `size`.
    ///
    /// # Errors
    ///
    /// The error of mmap(2).
    pub fn new(count: usize, size: WorkspaceSize) -> io::Result<Workspaces> {
        Ok(Workspaces {
            memory: Mapping::new(count * size.stride())?,
            size,
            stride: size.stride(),
            cursors: vec![Default::default(); count],
            free: (0..count as u32).rev().collect(),
        })
    }

    /// Number of workspaces.
    pub fn count(&self) -> usize {
        self.cursors.len()
    }

    /// Number of workspaces in use.
    pub fn lent(&self) -> usize {
        self.cursors.len() - self.free.len()
    }

    /// Number of free workspaces.
    #[inline]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Takes a free workspace, empty.
    #[inline]
    pub fn acquire(&mut self) -> Option<Lease> {
        self.free.pop().map(Lease)
    }

    /// The inbound space of the workspace of `lease`. Without one, that of the workspace that would
    /// be lent next: the caller must be done with it before any workspace is acquired or released.
    #[inline(always)]
    pub fn space(&mut self, lease: Option<&Lease>) -> Option<&mut [u8]> {
        let index = match lease {
            Some(lease) => lease.0,
            None => *self.free.last()?,
        };
        let start = index as usize * self.stride;
        Some(&mut self.memory[start..start + self.size.inbound])
    }

    /// Takes a free workspace with `range` of the space of `from` at its front. Without `from` that
    /// is the workspace of [`Workspaces::space`] itself.
    #[cold]
    pub fn acquire_with(&mut self, range: Range<usize>, from: Option<&Lease>) -> Option<Lease> {
        let lease = self.acquire()?;
        let from = from.unwrap_or(&lease).0 as usize * self.stride;
        let to = lease.0 as usize * self.stride;
        if from + range.start != to {
            let range = from + range.start..from + range.end;
            self.memory.copy_within(range, to);
        }
        Some(lease)
    }

    /// The workspace of `lease`, with the cursors that were stored last.
    #[inline]
    pub fn open(&mut self, lease: &Lease) -> Workspace<'_> {
        let index = lease.0 as usize;
        let WorkspaceSize { inbound, outbound } = self.size;
        let start = index * self.stride;
        let bytes = &mut self.memory[start..start + inbound + outbound];
        let (inbound, outbound) = bytes.split_at_mut(inbound);
        Workspace::new(inbound, outbound, self.cursors[index])
    }

    /// Stores the cursors of the workspace of `lease`.
    #[inline]
    pub fn leave(&mut self, lease: &Lease, at: Cursors) {
        self.cursors[lease.0 as usize] = at;
    }

    /// Returns a workspace to the pool and discards its contents.
    #[inline]
    pub fn release_workspace(&mut self, lease: Lease) {
        self.cursors[lease.0 as usize] = Cursors::default();
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
    fn the_pool_lends_exactly_its_count_of_workspaces() {
        let mut pool = Workspaces::new(2, SIZE).unwrap();
        let first = pool.acquire().unwrap();
        let second = pool.acquire().unwrap();
        assert_ne!(first, second);
        assert_eq!(pool.acquire(), None);
        pool.release_workspace(first);
        assert_eq!((pool.lent(), pool.count()), (1, 2));
    }

    #[test]
    fn the_last_returned_workspace_is_lent_first_and_empty() {
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
    fn a_copy_lies_at_the_front_of_another_workspace() {
        let mut pool = Workspaces::new(2, SIZE).unwrap();
        let lease = pool.acquire().unwrap();
        pool.space(Some(&lease)).unwrap()[..6].copy_from_slice(b"abcdef");
        let copy = pool.acquire_with(2..5, Some(&lease)).unwrap();
        assert_eq!(&pool.space(Some(&copy)).unwrap()[..4], b"cde\0");
        assert_eq!(&pool.space(Some(&lease)).unwrap()[..6], b"abcdef");
        let none = pool.acquire_with(0..1, Some(&lease));
        assert_eq!(none, None, "there is no other left");
    }

    #[test]
    fn bytes_in_the_space_of_the_next_workspace_are_kept_when_it_is_lent() {
        let mut pool = Workspaces::new(1, SIZE).unwrap();
        pool.space(None).unwrap()[..6].copy_from_slice(b"abcdef");
        let lease = pool.acquire_with(0..6, None).unwrap();
        assert_eq!(&pool.space(Some(&lease)).unwrap()[..6], b"abcdef");
        assert!(pool.space(None).is_none());
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
