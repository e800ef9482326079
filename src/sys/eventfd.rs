//! eventfd: a counter that is a descriptor, so that one thread can wake another from its wait.
//!
//! Adding makes the descriptor readable; reading returns the whole count and resets it. The number
//! of additions is not recorded. Man page: eventfd(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::retry;

/// A counter at zero, non-blocking and close-on-exec.
pub(crate) fn create() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    let number = retry(|| unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Adds to the counter. A sum beyond its range is refused with `WouldBlock`.
pub(crate) fn add(fd: BorrowedFd<'_>, count: u64) -> io::Result<()> {
    let bytes = (&raw const count).cast();
    // SAFETY: `bytes` are the eight of `count`, which outlives the call.
    retry(|| unsafe { libc::write(fd.as_raw_fd(), bytes, size_of::<u64>()) })?;
    Ok(())
}

/// Returns the count and resets it to zero; `WouldBlock` when it is zero already.
pub(crate) fn take(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut count = 0_u64;
    let bytes = (&raw mut count).cast();
    // SAFETY: `bytes` are the eight of `count`, which outlives the call.
    retry(|| unsafe { libc::read(fd.as_raw_fd(), bytes, size_of::<u64>()) })?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_was_added_is_taken_once() -> io::Result<()> {
        let counter = create()?;
        add(counter.as_fd(), 2)?;
        add(counter.as_fd(), 3)?;
        assert_eq!(take(counter.as_fd())?, 5);
        let empty = take(counter.as_fd()).map_err(|error| error.kind());
        assert_eq!(empty, Err(io::ErrorKind::WouldBlock));
        Ok(())
    }

    #[test]
    fn a_full_counter_refuses_instead_of_blocking() -> io::Result<()> {
        let counter = create()?;
        add(counter.as_fd(), u64::MAX - 1)?;
        let full = add(counter.as_fd(), 1).map_err(|error| error.kind());
        assert_eq!(full, Err(io::ErrorKind::WouldBlock));
        Ok(())
    }
}
