//! timerfd: a timer that is a descriptor.
//!
//! A timer that is set once for a far deadline costs nothing afterwards. A timeout passed to every
//! wait makes the kernel set and cancel a timer each time it sleeps. Man page: timerfd_create(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::retry;

/// A timer on the monotonic clock, not set; non-blocking and close-on-exec.
pub(crate) fn create() -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: the call takes no pointer.
    let number = retry(|| unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes the timer readable once the monotonic clock reads `nanoseconds`, and replaces any earlier
/// setting. A time in the past makes it readable at once.
pub(crate) fn set(fd: BorrowedFd<'_>, nanoseconds: u64) -> io::Result<()> {
    const SECOND: u64 = 1_000_000_000;
    let once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // Zero would disarm the timer.
    let nanoseconds = nanoseconds.max(1);
    let at = libc::timespec {
        // The type has another name with each C library.
        tv_sec: (nanoseconds / SECOND) as _,
        tv_nsec: (nanoseconds % SECOND) as libc::c_long,
    };
    let setting = libc::itimerspec {
        it_interval: once,
        it_value: at,
    };
    let flags = libc::TFD_TIMER_ABSTIME;
    // SAFETY: `setting` outlives the call, which only reads it; the old setting is not requested.
    let set = || unsafe { libc::timerfd_settime(fd.as_raw_fd(), flags, &setting, ptr::null_mut()) };
    retry(set)?;
    Ok(())
}
