//! Files, opened without waiting.
//!
//! To open a FIFO waits for its other end, which may never come, and a terminal may become the
//! process's own; neither must happen to whoever was given the wrong path. What was opened is for
//! the caller to ask, of the descriptor and not of the path, behind which something else may stand
//! by then. Man pages: open(2), fifo(7),
//! proc_pid_fd(5).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens `path` for reading. On a regular file the flags change nothing.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Opens what `fd` is open on once more, for writing without waiting: another open file of the same
/// object, with flags of its own. Needs `/proc` and the permission to open the object.
pub(crate) fn open_anew(fd: BorrowedFd<'_>) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// The major and the minor number of a device.
pub(crate) fn device(number: u64) -> (u32, u32) {
    (libc::major(number), libc::minor(number))
}
