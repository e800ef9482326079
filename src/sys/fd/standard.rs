//! The standard streams as descriptors, and which of them were closed when the program was started.
//!
//! Before `main` runs, the standard library opens `/dev/null` in place of each standard stream that
//! is closed, so that no socket gets its number. After that a closed stream cannot be told from one
//! that the user sent to `/dev/null`: the library opens it for reading and writing, and so do
//! daemon(3) and other programs that mean a stream which is there. Therefore the question is asked
//! earlier: the C library calls the functions in `.init_array` before `main`, and one of them is
//! here. The rule that follows: a stream is closed if fcntl(2) refuses its number at that moment.
//! A stream that the parent process itself replaced by `/dev/null` counts as open: it looks like
//! one that the user redirected. Man pages: fcntl(2), elf(5).

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};

pub(crate) const INPUT: RawFd = libc::STDIN_FILENO;
pub(crate) const OUTPUT: RawFd = libc::STDOUT_FILENO;
pub(crate) const ERRORS: RawFd = libc::STDERR_FILENO;

/// A bit for each standard stream.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY: what stands in this section is called once, before main and before the first thread, and
// the function needs nothing of the standard library that is prepared later.
#[unsafe(link_section = ".init_array")]
#[used]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for number in 0..3 {
        // SAFETY: the call takes numbers and no pointer.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            CLOSED.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

/// Whether standard stream `number` was closed when the program was started.
pub(crate) fn was_closed(number: RawFd) -> bool {
    // The linker leaves out an object file that is not referred to, and the function with it.
    std::hint::black_box(&LOOK);
    CLOSED.load(Ordering::Relaxed) & (1 << number) != 0
}

/// The descriptor of a standard stream, one of the three above.
pub(crate) fn descriptor(number: RawFd) -> BorrowedFd<'static> {
    assert!((INPUT..=ERRORS).contains(&number));
    // SAFETY: the standard library opens what is missing of the three before main, and nothing
    // closes them to the end of the process.
    unsafe { BorrowedFd::borrow_raw(number) }
}
