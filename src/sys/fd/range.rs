//! What is done to all descriptors of a range of numbers: close_range(2), or one call for each
//! number where the kernel is too old for it.
//!
//! Linux 5.9 brought the call and Linux 5.11 its flag `CLOSE_RANGE_CLOEXEC`. An older sandbox may
//! refuse both. The owner of a descriptor is not known here: the callers know that a whole range
//! may be closed or marked. Man pages: close_range(2), close(2), fcntl(2).

use std::os::fd::RawFd;

use crate::sys::{check, process};

/// Largest number that is tried one by one: the limit of descriptors that Linux has by default.
const NUMBER_MAX: u32 = 1 << 20;

/// Closes the descriptors from `first` to `last`. No value of this process may use one of them
/// afterwards, not even to close it.
pub(crate) fn close(first: u32, last: u32) {
    if !call(first, last, 0) {
        for number in each(first, last, limit()) {
            // SAFETY: the caller ensures that nothing uses this descriptor.
            unsafe { libc::close(number) };
        }
    }
}

/// Makes the descriptors from `first` on close-on-exec.
pub(crate) fn close_on_exec(first: u32) {
    if !call(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_uint) {
        mark_each(first);
    }
}

fn mark_each(first: u32) {
    for number in each(first, u32::MAX, limit()) {
        // Most of the numbers are those of no descriptor, which is the only reason to fail.
        // SAFETY: the call takes numbers and no pointer.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Whether the kernel did it with one call.
fn call(first: u32, last: u32, flags: libc::c_uint) -> bool {
    // SAFETY: the call takes numbers. It closes only what a caller of `close` has given up.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).is_ok()
}

/// The numbers from `first` to `last` that are below `limit`.
fn each(first: u32, last: u32, limit: u32) -> impl Iterator<Item = RawFd> {
    let below = (first..=last).take_while(move |&number| number < limit);
    below.map(|number| number as RawFd)
}

/// The limit of descriptors of this process, up to which their numbers are looked at.
fn limit() -> u32 {
    let limit = process::descriptor_limit();
    limit.map_or(NUMBER_MAX, |(now, _)| now.min(u64::from(NUMBER_MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    use super::*;

    fn is_marked(file: &File) -> bool {
        // SAFETY: the call takes numbers and no pointer.
        let flags = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) });
        flags.is_ok_and(|flags| flags & libc::FD_CLOEXEC != 0)
    }

    #[test]
    fn descriptors_are_marked_one_by_one_too() -> io::Result<()> {
        let file = File::open("/dev/null")?;
        let number = file.as_raw_fd();
        // SAFETY: the call takes numbers and no pointer. No program is started meanwhile.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) })?;
        assert!(!is_marked(&file));
        mark_each(number as u32);
        assert!(is_marked(&file));
        Ok(())
    }

    #[test]
    fn the_numbers_of_a_range_end_at_the_limit() {
        assert!(each(3, 5, 100).eq([3, 4, 5]));
        assert!(each(3, u32::MAX, 5).eq([3, 4]));
        assert_eq!(each(5, u32::MAX, 5).count(), 0);
        assert!((1..=NUMBER_MAX).contains(&limit()));
    }
}
