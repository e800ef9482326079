//! Descriptors that the program was started with, taken over by their numbers.
//!
//! A number does not tell its opener, so the callers must be first: before this program
//! has opened any descriptor of its own, an open number was passed by its parent. Descriptors that
//! are taken are close-on-exec and non-blocking like all others here. The flag `O_NONBLOCK`
//! belongs to the open file, so each process that shares it sees the flag too. The type of a
//! descriptor is not known here. Man pages: fcntl(2), dup(2), sd_listen_fds(3), inetd(8).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::standard;
use crate::sys::{check, retry};

/// Takes the descriptor `number` over, which is no standard stream. To be called before this
/// program has opened a descriptor, and once for each number.
pub(crate) fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= standard::ERRORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the call takes numbers and no pointer.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the number is open, as was checked just above, and this program has not opened it, so
    // it has no other owner.
    let taken = unsafe { OwnedFd::from_raw_fd(number) };
    set_non_blocking(&taken)?;
    Ok(taken)
}

/// Another descriptor of what standard input is.
pub(crate) fn copy_input() -> io::Result<OwnedFd> {
    let copy = standard::descriptor(standard::INPUT).try_clone_to_owned()?;
    set_non_blocking(&copy)?;
    Ok(copy)
}

/// Puts `/dev/null` in place of the standard stream `number`, so that nothing keeps open what it
/// was, and nothing is written there.
pub(crate) fn replace_by_null(number: RawFd) -> io::Result<()> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    let standard = standard::descriptor(number).as_raw_fd();
    // SAFETY: the call takes numbers and no pointer. The number stays open, with another file.
    retry(|| unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
    Ok(())
}

/// Calls on the open file wait no more.
pub(crate) fn set_non_blocking(descriptor: &OwnedFd) -> io::Result<()> {
    let number = descriptor.as_raw_fd();
    // SAFETY: the call takes numbers and no pointer.
    let flags = check(unsafe { libc::fcntl(number, libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(number, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn a_descriptor_that_is_taken_neither_blocks_nor_outlives_an_exec() -> io::Result<()> {
        // SAFETY: the calls take no pointer, and the number is ours.
        let number = check(unsafe { libc::dup(File::open("/dev/null")?.as_raw_fd()) })?;
        let taken = take(number)?;
        assert_eq!(taken.as_raw_fd(), number);
        // SAFETY: the call takes no pointer.
        let flags = check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
        // SAFETY: as above.
        let status = check(unsafe { libc::fcntl(number, libc::F_GETFL) })?;
        assert_ne!(flags & libc::FD_CLOEXEC, 0);
        assert_ne!(status & libc::O_NONBLOCK, 0);
        Ok(())
    }

    #[test]
    fn a_number_that_is_closed_or_a_standard_stream_is_refused() {
        let kind = |number| {
            take(number)
                .map(IntoRawFd::into_raw_fd)
                .map_err(|it| it.kind())
        };
        for number in [-1, 0, 1, 2] {
            assert_eq!(kind(number), Err(io::ErrorKind::InvalidInput));
        }
        let closed = take(i32::MAX).map_err(|error| error.raw_os_error());
        assert_eq!(closed.err(), Some(Some(libc::EBADF)));
    }
}
