//! Memory directly from the kernel: zeroed, and allocated at the first touch.
//!
//! An allocator that clears memory would make a pool of fixed size pay for all of it at start. The
//! kernel clears an anonymous mapping page by page at the first touch, so the size of the pool is a
//! ceiling and not a cost. With `MAP_NORESERVE` a large mapping is not refused for swap space that
//! it may never need. Man page: mmap(2).

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

/// Size from which a block has its own mapping: the initial setting of the C library.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// Makes the allocator return large blocks to the kernel as soon as they are freed. By default the
/// C library raises this threshold when a large block is freed, and keeps such blocks in an arena
/// of the thread that allocated them, where blocks of other threads do not fit: mallopt(3),
/// `M_MMAP_THRESHOLD`.
pub fn give_large_blocks_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: this changes a setting of the allocator, which has its own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Zeroed bytes in pages of their own, unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    /// Dangling when `length` is 0: the kernel refuses to map nothing.
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and `start` has no other holder.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` zero bytes, which take no memory before they are touched.
    pub fn new(length: usize) -> io::Result<Mapping> {
        if length == 0 {
            let start = NonNull::dangling();
            return Ok(Mapping { start, length });
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the kernel chooses the address, so no existing mapping is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, length })
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` bytes from `start` are ours and initialised until drop; a length of 0
        // asks only that the pointer is aligned and not null.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes it the only reference.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: these pages were mapped by `new`, and nothing can borrow from them any more.
            let answer = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
            debug_assert_eq!(answer, 0, "munmap: {}", io::Error::last_os_error());
        }
    }
}

/// Zeroed numbers that this process shares with the processes that it forks, unmapped on drop.
#[derive(Debug)]
pub struct SharedWords {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the numbers are atomic and belong to the process, not to a thread.
unsafe impl Send for SharedWords {}
// SAFETY: the same.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps `count` numbers, which is not 0. They take no memory before they are touched.
    pub fn new(count: usize) -> io::Result<SharedWords> {
        let length = count * size_of::<AtomicU64>();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the kernel chooses the address, so no existing mapping is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedWords { start, count })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `count` numbers from `start`, aligned and initialised, are mapped until drop.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        let length = self.count * size_of::<AtomicU64>();
        // SAFETY: these pages were mapped by `new`, and nothing can borrow from them any more.
        let answer = unsafe { libc::munmap(self.start.as_ptr().cast(), length) };
        debug_assert_eq!(answer, 0, "munmap: {}", io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_zero_and_keeps_what_is_written() -> io::Result<()> {
        let mut mapping = Mapping::new(10_000)?;
        assert_eq!(mapping.len(), 10_000);
        assert!(mapping.iter().all(|&byte| byte == 0));
        mapping[9_999] = 7;
        mapping[..3].copy_from_slice(b"abc");
        assert_eq!((&mapping[..4], mapping[9_999]), (&b"abc\0"[..], 7));
        Ok(())
    }

    #[test]
    fn an_empty_mapping_is_an_empty_slice() -> io::Result<()> {
        let mut mapping = Mapping::new(0)?;
        assert!(mapping.is_empty());
        assert!(mapping.iter_mut().next().is_none());
        Ok(())
    }

    #[test]
    fn a_large_mapping_can_be_touched_at_its_ends() -> io::Result<()> {
        let mut mapping = Mapping::new(1 << 30)?;
        mapping[(1 << 30) - 1] = 1;
        assert_eq!(mapping[0], 0);
        Ok(())
    }

    #[test]
    fn an_impossible_length_is_an_error() {
        assert!(Mapping::new(usize::MAX).is_err());
    }

    #[test]
    fn a_mapping_may_move_to_another_thread() -> io::Result<()> {
        let mut mapping = Mapping::new(1)?;
        mapping[0] = 5;
        assert_eq!(std::thread::spawn(move || mapping[0]).join().ok(), Some(5));
        Ok(())
    }
}
