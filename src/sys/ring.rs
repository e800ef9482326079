//! A submission ring of io_uring(7): many receives or sends in one system call.
//!
//! ```text
//!   submission queue                        completion queue
//!   head (kernel) .. tail (we): to submit   head (we) .. tail (kernel): made, result not taken
//!   slot -> number of an entry -> Entry     slot -> Completion { user_data, result }
//! ```
//!
//! Both queues lie in memory that the kernel shares with this process. Each has two indexes that
//! only grow, modulo 2^32; each index has one writer. Slot `i` of the submission queue always names
//! entry `i`, so an entry needs no list of free ones.
//!
//! **Memory order.** The writer of a slot publishes the slot by a store of the index with Release,
//! and the reader of a slot loads that index with Acquire before. So:
//!
//! - the submission tail is stored with Release, behind the entries: the kernel loads it with
//!   acquire and then reads complete entries;
//! - the submission head is loaded with Acquire: the kernel stores it with release when it has read
//!   the entries, which we may then overwrite;
//! - the completion tail is loaded with Acquire: the kernel stores it with release behind the
//!   results, which we then read complete;
//! - the completion head is stored with Release, behind the reads of the results: the kernel loads
//!   it with acquire and may then overwrite them;
//! - what we alone write, the submission tail and the completion head, is loaded Relaxed or kept.
//!
//! The kernel moves the submission head only inside io_uring_enter, because the ring has no polling
//! thread (`IORING_SETUP_SQPOLL`). Between two calls it stands still.
//!
//! **No call is ever under way between two calls of io_uring_enter.** Each has `MSG_DONTWAIT`, so
//! the kernel makes it while it submits it, or refuses it with EAGAIN. So the kernel uses the bytes
//! of a call no more when [`Batch::enter`] returns, and the borrow of a batch is enough to keep
//! them.
//!
//! Files are not registered with the ring, although that would save 1.5 % of a request: a socket in
//! the table stays open after close(2), so its FIN and its place in epoll would wait until the
//! table lets go of it. This file does not know what a socket or a result means. Neighbours:
//! `kernel::batch` decides when to enter and what to do with what was not made. Man pages:
//! io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2).

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{check, retry};

/// Offsets of linux/io_uring.h, `struct io_sqring_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SubmissionOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    flags: u32,
    dropped: u32,
    array: u32,
    reserved: u32,
    user_address: u64,
}

/// `struct io_cqring_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CompletionOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    overflow: u32,
    completions: u32,
    flags: u32,
    reserved: u32,
    user_address: u64,
}

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Parameters {
    submission_entries: u32,
    completion_entries: u32,
    flags: u32,
    thread_processor: u32,
    thread_idle: u32,
    features: u32,
    workers: u32,
    reserved: [u32; 3],
    submission: SubmissionOffsets,
    completion: CompletionOffsets,
}

/// `struct io_uring_sqe`: one call.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Entry {
    operation: u8,
    flags: u8,
    priority: u16,
    descriptor: i32,
    offset: u64,
    address: u64,
    length: u32,
    message_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// `struct io_uring_cqe`: one result.
#[repr(C)]
#[derive(Clone, Copy)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

/// One operation of `struct io_uring_probe`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ProbedOperation {
    operation: u8,
    reserved: u8,
    flags: u16,
    more: u32,
}

/// `struct io_uring_probe`, with room for the operations that are asked for.
#[repr(C)]
struct Probe {
    last: u8,
    count: u8,
    reserved: [u16; 7],
    operations: [ProbedOperation; PROBED],
}

const _: () = {
    assert!(size_of::<Parameters>() == 120 && size_of::<Entry>() == 64);
    assert!(size_of::<Completion>() == 16 && size_of::<Probe>() == 16 + 8 * PROBED);
};

/// Operations whose support is asked for: up to the receive.
const PROBED: usize = RECEIVE as usize + 1;
/// `IORING_OP_NOP`, `IORING_OP_SEND`, `IORING_OP_RECV`.
const NOTHING: u8 = 0;
const SEND: u8 = 26;
const RECEIVE: u8 = 27;
/// `IO_URING_OP_SUPPORTED`.
const SUPPORTED: u16 = 1;
/// `IORING_REGISTER_PROBE`.
const REGISTER_PROBE: libc::c_uint = 8;
/// `IORING_ENTER_GETEVENTS`.
const GET_EVENTS: libc::c_uint = 1;
/// `IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP`: both queues lie in one mapping, and a result
/// that finds no room in its queue waits in the kernel.
const FEATURES: u32 = 1 | 1 << 1;
/// `IORING_OFF_SQ_RING` and `IORING_OFF_SQES`.
const QUEUES_OFFSET: libc::off_t = 0;
const ENTRIES_OFFSET: libc::off_t = 0x1000_0000;
/// The longest receive or send that Linux makes (send(2): `MAX_RW_COUNT`).
const LENGTH_MAX: usize = 0x7fff_f000;

/// Memory that the kernel shares with this process, unmapped on drop. A process that is forked from
/// this one does not have it: two writers of one index would destroy it.
struct Shared {
    start: NonNull<u8>,
    length: usize,
}

impl Shared {
    fn new(ring: &OwnedFd, length: usize, offset: libc::off_t) -> io::Result<Shared> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let (any, fd) = (ptr::null_mut(), ring.as_raw_fd());
        // SAFETY: the kernel chooses the address, so no existing mapping is touched.
        let start = unsafe { libc::mmap(any, length, protection, flags, fd, offset as _) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let shared = Shared { start, length };
        // SAFETY: these are the pages that were just mapped.
        let answer = unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_DONTFORK) };
        check(answer)?;
        Ok(shared)
    }

    /// What lies `offset` bytes from the start, of which there is `count`. An error if the kernel
    /// has named a place outside, or one that is not aligned.
    fn at<T>(&self, offset: usize, count: usize) -> io::Result<NonNull<T>> {
        let end = (count.checked_mul(size_of::<T>())).and_then(|size| offset.checked_add(size));
        if end.is_none_or(|end| end > self.length) || offset % align_of::<T>() != 0 {
            return Err(io::Error::from_raw_os_error(libc::EPROTO));
        }
        // SAFETY: the place was just found to lie inside the mapping.
        Ok(unsafe { self.start.add(offset) }.cast())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: these pages were mapped by `new`, and the ring that points into them goes too.
        let answer = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(answer, 0, "munmap: {}", io::Error::last_os_error());
    }
}

/// An index that the kernel reads or writes too.
#[derive(Clone, Copy)]
struct Index(NonNull<AtomicU32>);

impl Index {
    fn load(self, order: Ordering) -> u32 {
        // SAFETY: it lies aligned in a mapping that lives as long as the ring, which has this.
        unsafe { self.0.as_ref() }.load(order)
    }

    fn store(self, value: u32, order: Ordering) {
        // SAFETY: as in `load`.
        unsafe { self.0.as_ref() }.store(value, order);
    }
}

/// A ring, close-on-exec, that any thread may use, one at a time.
pub(crate) struct Ring {
    submission_head: Index,
    submission_tail: Index,
    submission_mask: u32,
    completion_head: Index,
    completion_tail: Index,
    completion_mask: u32,
    entries: NonNull<Entry>,
    completions: NonNull<Completion>,
    /// How many calls fit in.
    capacity: u32,
    _mappings: [Shared; 2],
    descriptor: OwnedFd,
}

// SAFETY: the mappings belong to the process, not to a thread, and the pointers into them have no
// other holder.
unsafe impl Send for Ring {}

impl Ring {
    /// Opens a ring for `capacity` calls at once, a power of two, and checks that it can receive
    /// and send.
    ///
    /// # Errors
    ///
    /// That of io_uring_setup(2): ENOSYS, EPERM (a sandbox, or `kernel.io_uring_disabled`), ENOMEM
    /// (before Linux 5.12 a ring counts towards `RLIMIT_MEMLOCK`). ENOSYS too for a kernel whose
    /// rings cannot receive (before Linux 5.6).
    pub(crate) fn open(capacity: u32) -> io::Result<Ring> {
        debug_assert!(capacity.is_power_of_two());
        let mut parameters = Parameters::default();
        let address = &raw mut parameters;
        // SAFETY: the kernel reads and writes one structure, which outlives the call.
        let answer = unsafe { libc::syscall(libc::SYS_io_uring_setup, capacity, address) };
        let number = check(answer)? as RawFd;
        // SAFETY: the descriptor is new and has no other owner.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        if parameters.features & FEATURES != FEATURES || !can_receive_and_send(&descriptor)? {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        let mut ring = Ring::map(descriptor, &parameters)?;
        ring.try_out()?;
        Ok(ring)
    }

    /// Maps the queues and the entries of a new ring.
    fn map(descriptor: OwnedFd, parameters: &Parameters) -> io::Result<Ring> {
        let Parameters {
            submission_entries: capacity,
            completion_entries: results,
            submission: out,
            completion: back,
            ..
        } = *parameters;
        let slots_end = out.array as usize + capacity as usize * size_of::<u32>();
        let results_size = results as usize * size_of::<Completion>();
        let length = slots_end.max(back.completions as usize + results_size);
        let queues = Shared::new(&descriptor, length, QUEUES_OFFSET)?;
        let length = capacity as usize * size_of::<Entry>();
        let entries = Shared::new(&descriptor, length, ENTRIES_OFFSET)?;
        let index = |offset: u32| queues.at(offset as usize, 1).map(Index);
        let mask = |offset| index(offset).map(|mask| mask.load(Ordering::Relaxed));
        let slots: NonNull<AtomicU32> = queues.at(out.array as usize, capacity as usize)?;
        for slot in 0..capacity {
            // SAFETY: there are as many slots as the ring has calls.
            let slots = unsafe { slots.add(slot as usize) };
            Index(slots).store(slot, Ordering::Relaxed);
        }
        let (submission_mask, completion_mask) = (mask(out.ring_mask)?, mask(back.ring_mask)?);
        if submission_mask >= capacity || completion_mask >= results {
            return Err(io::Error::from_raw_os_error(libc::EPROTO));
        }
        Ok(Ring {
            submission_head: index(out.head)?,
            submission_tail: index(out.tail)?,
            submission_mask,
            completion_head: index(back.head)?,
            completion_tail: index(back.tail)?,
            completion_mask,
            entries: entries.at(0, capacity as usize)?,
            completions: queues.at(back.completions as usize, results as usize)?,
            capacity,
            _mappings: [queues, entries],
            descriptor,
        })
    }

    /// Makes a call that does nothing: a sandbox may allow io_uring_setup and refuse the rest.
    fn try_out(&mut self) -> io::Result<()> {
        self.with_batch(|batch| {
            batch.push(Entry {
                operation: NOTHING,
                ..Entry::default()
            });
            batch.enter(1, 1)?;
            match batch.take() {
                Some((_, 0)) => Ok(()),
                Some((_, number)) => Err(io::Error::from_raw_os_error(-number)),
                None => Err(io::Error::from_raw_os_error(libc::EPROTO)),
            }
        })
    }

    /// How many calls a batch may have.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Bytes of the mappings.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self._mappings.iter().map(|it| it.length).sum()
    }

    /// Calls `act` with an empty batch. What it has not submitted is withdrawn.
    #[inline]
    pub(crate) fn with_batch<'c, T>(&mut self, act: impl FnOnce(&mut Batch<'_, 'c>) -> T) -> T {
        let first = self.submission_tail.load(Ordering::Relaxed);
        // Results that an earlier batch has left behind are not of these calls.
        let taken = self.completion_tail.load(Ordering::Acquire);
        let mut batch = Batch {
            ring: self,
            first,
            count: 0,
            taken,
            made: taken,
            calls: PhantomData,
        };
        act(&mut batch)
    }

    /// The place of an entry, by its number in the order of all entries ever.
    #[inline]
    fn entry(&self, number: u32) -> NonNull<Entry> {
        let slot = number & self.submission_mask;
        // SAFETY: the mask is below the number of entries.
        unsafe { self.entries.add(slot as usize) }
    }
}

/// Whether the kernel knows the two operations.
///
/// # Errors
///
/// That of io_uring_register(2), which a sandbox may refuse by itself.
fn can_receive_and_send(ring: &OwnedFd) -> io::Result<bool> {
    let mut probe = Probe {
        last: 0,
        count: 0,
        reserved: [0; 7],
        operations: [ProbedOperation::default(); PROBED],
    };
    let (fd, address) = (ring.as_raw_fd(), &raw mut probe);
    let (call, what) = (libc::SYS_io_uring_register, REGISTER_PROBE);
    // SAFETY: the kernel writes at most as many operations as it is told there is room for.
    let answer = unsafe { libc::syscall(call, fd, what, address, PROBED) };
    let knows = |it: u8| probe.operations[it as usize].flags & SUPPORTED != 0;
    match check(answer) {
        Ok(_) => Ok(knows(SEND) && knows(RECEIVE)),
        // Linux 5.5 has rings and no probe.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The calls of one batch, by their place in it. `'c` is that of the bytes that they move.
pub(crate) struct Batch<'r, 'c> {
    ring: &'r mut Ring,
    /// The number of its first entry.
    first: u32,
    count: u32,
    /// The number of the next result, and that behind the last one that was seen. The kernel is
    /// told of the results that were taken when there are no more of them.
    taken: u32,
    made: u32,
    calls: PhantomData<&'c mut [u8]>,
}

impl<'c> Batch<'_, 'c> {
    /// Adds a receive into `room`. `false` if there is no room for it.
    #[inline]
    pub(crate) fn push_receive(&mut self, fd: BorrowedFd<'c>, room: &'c mut [u8]) -> bool {
        self.push(Entry {
            operation: RECEIVE,
            descriptor: fd.as_raw_fd(),
            address: room.as_mut_ptr() as u64,
            length: room.len().min(LENGTH_MAX) as u32,
            message_flags: libc::MSG_DONTWAIT as u32,
            ..Entry::default()
        })
    }

    /// Adds a send of `bytes`. `false` if there is no room for it.
    #[inline]
    pub(crate) fn push_send(&mut self, fd: BorrowedFd<'c>, bytes: &'c [u8]) -> bool {
        self.push(Entry {
            operation: SEND,
            descriptor: fd.as_raw_fd(),
            address: bytes.as_ptr() as u64,
            length: bytes.len().min(LENGTH_MAX) as u32,
            message_flags: (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as u32,
            ..Entry::default()
        })
    }

    #[inline]
    fn push(&mut self, entry: Entry) -> bool {
        if self.count == self.ring.capacity {
            return false;
        }
        let number = self.first.wrapping_add(self.count);
        let place = self.ring.entry(number);
        let entry = Entry {
            user_data: self.count.into(),
            ..entry
        };
        // SAFETY: the kernel has read what was in this entry, or it was withdrawn, and reads it
        // again only behind the tail.
        unsafe { place.write(entry) };
        self.count += 1;
        true
    }

    /// How many calls were added.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// Submits the calls that are not submitted, of which there are `count`, and waits until `wait`
    /// results are there. Returns how many the kernel took: the first of them. io_uring_enter(2).
    ///
    /// # Errors
    ///
    /// No call was submitted. EINTR, EAGAIN (no memory now) and EBUSY (results that wait in the
    /// kernel are to be taken first) pass.
    #[inline]
    pub(crate) fn enter(&mut self, count: usize, wait: usize) -> io::Result<usize> {
        let ring = &*self.ring;
        let tail = self.first.wrapping_add(self.count);
        // Release: behind the entries, which the kernel reads when it sees the tail.
        ring.submission_tail.store(tail, Ordering::Release);
        let flags = if wait > 0 { GET_EVENTS } else { 0 };
        let (fd, none) = (ring.descriptor.as_raw_fd(), ptr::null::<libc::sigset_t>());
        let call = libc::SYS_io_uring_enter;
        // SAFETY: the entries between head and tail name open descriptors and bytes that are
        // borrowed for the batch, and the kernel uses none of them after the call.
        let answer = unsafe { libc::syscall(call, fd, count, wait, flags, none, 0_usize) };
        Ok(check(answer)? as usize)
    }

    /// Takes the next result: the place of its call, and what the call returned, a count or the
    /// negative number of an error. They come in any order.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(usize, i32)> {
        let ring = &*self.ring;
        if self.taken == self.made {
            // Release: behind the reads of the results, over which the kernel writes the next.
            ring.completion_head.store(self.taken, Ordering::Release);
            // Acquire: before the reads of the results, which the kernel wrote before the tail.
            self.made = ring.completion_tail.load(Ordering::Acquire);
            if self.taken == self.made {
                return None;
            }
        }
        let slot = self.taken & ring.completion_mask;
        // SAFETY: the mask is below the number of results.
        let place = unsafe { ring.completions.add(slot as usize) };
        // SAFETY: a result between head and tail is written, and is ours until the head moves.
        let completion = unsafe { place.read() };
        self.taken = self.taken.wrapping_add(1);
        Some((completion.user_data as usize, completion.result))
    }

    /// Makes the call at `place` by itself, without the ring: recv(2) or send(2).
    #[cold]
    pub(crate) fn call(&mut self, place: usize) -> io::Result<usize> {
        assert!(place < self.len(), "there is no such call");
        let entry = self.ring.entry(self.first.wrapping_add(place as u32));
        // SAFETY: it was written by `push`, and the kernel never writes an entry.
        let entry = unsafe { entry.read() };
        let (fd, length) = (entry.descriptor, entry.length as usize);
        let flags = entry.message_flags as libc::c_int;
        let bytes = entry.address as usize as *mut libc::c_void;
        let count = match entry.operation {
            // SAFETY: the room is borrowed for the batch, and was given to this call alone.
            RECEIVE => retry(|| unsafe { libc::recv(fd, bytes, length, flags) })?,
            // SAFETY: the bytes are borrowed for the batch.
            _ => retry(|| unsafe { libc::send(fd, bytes, length, flags) })?,
        };
        Ok(count as usize)
    }
}

impl Drop for Batch<'_, '_> {
    /// Withdraws what was not submitted, whose bytes are not borrowed any longer.
    #[inline]
    fn drop(&mut self) {
        let ring = &*self.ring;
        // Acquire: entries before the head were read, and may be written again.
        let head = ring.submission_head.load(Ordering::Acquire);
        // Nothing reads the tail before the next call of io_uring_enter.
        ring.submission_tail.store(head, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::limits::RING_SIZE;

    /// A ring for four calls, where the kernel gives one.
    fn ring() -> Option<Ring> {
        match Ring::open(4) {
            Ok(ring) => Some(ring),
            Err(refused) => {
                println!("skipped: io_uring: {refused}");
                None
            }
        }
    }

    fn pairs(count: usize) -> io::Result<Vec<(UnixStream, UnixStream)>> {
        (0..count).map(|_| UnixStream::pair()).collect()
    }

    /// The results of all calls of a batch, in their order.
    fn results(batch: &mut Batch<'_, '_>) -> io::Result<Vec<Result<usize, i32>>> {
        assert_eq!(batch.enter(batch.len(), batch.len())?, batch.len());
        let mut results = vec![Ok(usize::MAX); batch.len()];
        while let Some((place, number)) = batch.take() {
            results[place] = usize::try_from(number).map_err(|_| -number);
        }
        Ok(results)
    }

    #[test]
    fn a_batch_moves_the_bytes_of_each_call() -> io::Result<()> {
        let Some(mut ring) = ring() else {
            return Ok(());
        };
        let mut pairs = pairs(3)?;
        pairs[0].1.write_all(b"abc")?;
        pairs[2].1.shutdown(std::net::Shutdown::Write)?;
        let mut space = [0; 12];
        let received = ring.with_batch(|batch| {
            for ((ours, _), room) in pairs.iter().zip(space.chunks_mut(4)) {
                assert!(batch.push_receive(ours.as_fd(), room));
            }
            results(batch)
        })?;
        // A socket without bytes does not wait.
        assert_eq!(received, [Ok(3), Err(libc::EAGAIN), Ok(0)]);
        assert_eq!(&space[..4], b"abc\0");
        let sent = ring.with_batch(|batch| {
            for ((ours, _), bytes) in pairs.iter().zip([b"one", b"two", b"six"]) {
                assert!(batch.push_send(ours.as_fd(), bytes));
            }
            results(batch)
        })?;
        assert_eq!(sent, [Ok(3); 3]);
        let mut heard = [0; 3];
        pairs[1].1.read_exact(&mut heard)?;
        assert_eq!(&heard, b"two");
        Ok(())
    }

    #[test]
    fn a_peer_that_has_left_is_an_error_of_one_send_and_no_signal() -> io::Result<()> {
        let Some(mut ring) = ring() else {
            return Ok(());
        };
        let mut pairs = pairs(2)?;
        let (left, _) = pairs.remove(0);
        let (ours, _theirs) = &pairs[0];
        let sent = ring.with_batch(|batch| {
            assert!(batch.push_send(left.as_fd(), b"abc"));
            assert!(batch.push_send(ours.as_fd(), b"abc"));
            results(batch)
        })?;
        assert_eq!(sent, [Err(libc::EPIPE), Ok(3)]);
        Ok(())
    }

    #[test]
    fn a_batch_has_no_more_calls_than_the_ring() -> io::Result<()> {
        let Some(mut ring) = ring() else {
            return Ok(());
        };
        let (ours, _theirs) = UnixStream::pair()?;
        assert_eq!(ring.capacity(), 4);
        ring.with_batch(|batch| {
            let pushed = [(); 5].map(|()| batch.push_send(ours.as_fd(), b"a"));
            assert_eq!(pushed, [true, true, true, true, false]);
            assert_eq!(results(batch)?, [Ok(1); 4]);
            Ok(())
        })
    }

    #[test]
    fn a_call_that_was_not_submitted_is_never_made() -> io::Result<()> {
        let Some(mut ring) = ring() else {
            return Ok(());
        };
        let (ours, mut theirs) = UnixStream::pair()?;
        ring.with_batch(|batch| assert!(batch.push_send(ours.as_fd(), b"lost")));
        ring.with_batch(|batch| {
            assert!(batch.push_send(ours.as_fd(), b"one"));
            assert!(batch.push_send(ours.as_fd(), b"two"));
            // The second is withdrawn with the batch.
            batch.enter(1, 1)
        })?;
        theirs.set_nonblocking(true)?;
        let mut heard = [0; 9];
        assert_eq!(theirs.read(&mut heard)?, 3);
        assert_eq!(&heard[..3], b"one");
        Ok(())
    }

    #[test]
    fn a_call_is_made_by_itself_too() -> io::Result<()> {
        let Some(mut ring) = ring() else {
            return Ok(());
        };
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(b"abcdef")?;
        let mut room = [0; 4];
        ring.with_batch(|batch| {
            assert!(batch.push_receive(ours.as_fd(), &mut room));
            assert!(batch.push_send(ours.as_fd(), b"xy"));
            assert_eq!(batch.call(0)?, 4);
            assert_eq!(batch.call(1)?, 2);
            io::Result::Ok(())
        })?;
        assert_eq!(&room, b"abcd");
        let mut heard = [0; 2];
        theirs.read_exact(&mut heard)?;
        assert_eq!(&heard, b"xy");
        Ok(())
    }

    #[test]
    fn results_that_are_left_behind_do_not_reach_the_next_batch() -> io::Result<()> {
        let Some(mut ring) = ring() else {
            return Ok(());
        };
        let (ours, mut theirs) = UnixStream::pair()?;
        ring.with_batch(|batch| {
            assert!(batch.push_send(ours.as_fd(), b"a"));
            assert!(batch.push_send(ours.as_fd(), b"bc"));
            assert_eq!(batch.enter(2, 2)?, 2);
            assert_eq!(batch.take(), Some((0, 1)));
            io::Result::Ok(())
        })?;
        ring.with_batch(|batch| {
            assert!(batch.push_send(ours.as_fd(), b"def"));
            assert_eq!(results(batch)?, [Ok(3)]);
            io::Result::Ok(())
        })?;
        let mut heard = [0; 6];
        theirs.read_exact(&mut heard)?;
        assert_eq!(&heard, b"abcdef");
        Ok(())
    }

    #[test]
    fn the_indexes_go_round_the_queues_many_times() -> io::Result<()> {
        let Some(mut ring) = ring() else {
            return Ok(());
        };
        let (ours, mut theirs) = UnixStream::pair()?;
        for round in 0..1000_u32 {
            let bytes = round.to_ne_bytes();
            let sent = ring.with_batch(|batch| {
                for part in bytes.chunks(1).take(3) {
                    assert!(batch.push_send(ours.as_fd(), part));
                }
                results(batch)
            })?;
            assert_eq!(sent, [Ok(1); 3]);
            let mut heard = [0; 3];
            theirs.read_exact(&mut heard)?;
            assert_eq!(heard, bytes[..3]);
        }
        Ok(())
    }

    #[test]
    fn the_largest_ring_is_within_its_share_of_the_memory() -> io::Result<()> {
        let Ok(ring) = Ring::open(64) else {
            return Ok(());
        };
        assert!(ring.memory() <= RING_SIZE, "{}", ring.memory());
        Ok(())
    }

    #[test]
    fn a_place_outside_the_mapping_is_refused() -> io::Result<()> {
        let Some(ring) = ring() else {
            return Ok(());
        };
        let entries = &ring._mappings[1];
        let last = entries.length / size_of::<Entry>() - 1;
        assert!(entries.at::<Entry>(last * size_of::<Entry>(), 1).is_ok());
        assert!(entries.at::<Entry>(last * size_of::<Entry>(), 2).is_err());
        assert!(entries.at::<Entry>(usize::MAX, 1).is_err());
        assert!(entries.at::<u64>(4, 1).is_err(), "not aligned");
        Ok(())
    }
}
