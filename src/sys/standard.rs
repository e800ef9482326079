//! The standard streams as descriptors. Man page: stdin(3).

use std::os::fd::{BorrowedFd, RawFd};

pub(crate) const INPUT: RawFd = libc::STDIN_FILENO;
pub(crate) const OUTPUT: RawFd = libc::STDOUT_FILENO;
pub(crate) const ERRORS: RawFd = libc::STDERR_FILENO;

/// The descriptor of a standard stream, one of the three above.
pub(crate) fn descriptor(number: RawFd) -> BorrowedFd<'static> {
    assert!((INPUT..=ERRORS).contains(&number));
    // SAFETY: the standard library opens what is missing of the three before main, and nothing
    // closes them to the end of the process.
    unsafe { BorrowedFd::borrow_raw(number) }
}
