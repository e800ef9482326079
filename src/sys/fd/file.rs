//! Files, opened and locked without waiting.
//!
//! The open of a FIFO waits for its other end, and the open of a terminal may make it the
//! controlling terminal of the process. Neither must happen when a wrong path is given. The caller
//! checks what was opened, through the descriptor: by then the path may name something else. Man
//! pages: open(2), fifo(7), flock(2), proc_pid_fd(5).

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::sys::retry;

/// Opens `path` for reading. On a regular file the flags change nothing.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Opens the directory `path`; fails for anything else.
pub fn open_directory(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Tries to take the exclusive lock of `file`, which only one open file can hold; returns whether
/// it was free. The lock ends with the last descriptor of the open file, however the process ends.
pub fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: the call takes no pointer.
    match retry(|| unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens the object behind `fd` once more, for writing without waiting: a second open file, with
/// its own flags. Requires `/proc` and the permission to open the object.
pub(crate) fn open_anew(fd: BorrowedFd<'_>) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// Gives the file behind `fd` the permissions `mode`: fchmod(2). Before bind(2) they are those with
/// which the file of a local socket is created.
pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let file = File::from(fd.try_clone_to_owned()?);
    file.set_permissions(Permissions::from_mode(mode))
}

/// The major and the minor number of a device.
pub(crate) fn device(number: u64) -> (u32, u32) {
    (libc::major(number), libc::minor(number))
}
