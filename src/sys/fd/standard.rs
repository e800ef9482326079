//! The standard streams as descriptors, and which of them were closed at the start of the program.
//!
//! Before `main` runs, the standard library opens `/dev/null` in place of each closed standard
//! stream, so that no socket gets its number. Afterwards a closed stream cannot be distinguished
//! from a stream that the user redirected to `/dev/null`. The library opens `/dev/null` for reading
//! and writing, and so do daemon(3) and other programs that redirect a stream on purpose. Therefore
//! this file checks earlier: the C library calls the functions in `.init_array` before `main`, and
//! one of them is here.
//!
//! A stream is closed if fcntl(2) refuses its number at that moment. A stream that the parent
//! process itself replaced by `/dev/null` counts as open, like one that the user redirected. Man
//! pages: fcntl(2), elf(5).

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};

pub(crate) const INPUT: RawFd = libc::STDIN_FILENO;
pub(crate) const OUTPUT: RawFd = libc::STDOUT_FILENO;
pub(crate) const ERRORS: RawFd = libc::STDERR_FILENO;

/// A bit for each standard stream.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY: the functions in this section are called once, before main and before the first other
// thread. This one needs no part of the standard library that is initialised later.
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
    // The linker drops an object file that is not referenced, and with it the function.
    std::hint::black_box(&LOOK);
    CLOSED.load(Ordering::Relaxed) & (1 << number) != 0
}

/// The descriptor of a standard stream, one of the three above.
pub(crate) fn descriptor(number: RawFd) -> BorrowedFd<'static> {
    assert!((INPUT..=ERRORS).contains(&number));
    // SAFETY: the standard library opens missing standard streams before main, and nothing closes
    // them before the process ends.
    unsafe { BorrowedFd::borrow_raw(number) }
}
