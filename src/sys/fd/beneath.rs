//! Files below an open directory, reached by names that must not leave it.
//!
//! openat2(2) resolves a path in one call of the kernel: no component, no symbolic link and no
//! rename at the same time leads out of the directory, and no magic link of proc(5) is followed. A
//! check of the path before an ordinary open would leave a gap between the two. The calls that
//! create, remove and rename take one name in an open directory and follow no link. Man pages:
//! openat2(2), getdents64(2), mkdirat(2), unlinkat(2), renameat(2), sendfile(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::limits::OPEN_BENEATH_TRIES;
use crate::sys::{check, retry};

/// A directory whose entries are to be read.
pub(crate) const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;
/// A directory in which names are to be changed.
pub(crate) const NAMED_DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY;
/// Anything, to look at it.
pub(crate) const NAMED: i32 = libc::O_PATH;
/// The same, or the link itself.
pub(crate) const NAMED_LINK: i32 = libc::O_PATH | libc::O_NOFOLLOW;
/// A file to read, without waiting for the other end of a FIFO.
pub(crate) const READ: i32 = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
/// A file to read and write, which is there and no link.
pub(crate) const WRITE: i32 = libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
/// The same, created if it is missing.
pub(crate) const CREATE: i32 = WRITE | libc::O_CREAT;

/// Opens `path` below `dir`, close-on-exec. `EXDEV` is a path that leads out. The kernel answers
/// `EAGAIN` if a rename at the same time leaves open where a `..` led; the call is made again a
/// bounded number of times.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = u64::from(mode);
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
    let mut tries = 0;
    let number = loop {
        tries += 1;
        // SAFETY: the path ends with a NUL, the structure has the size that is passed, and both are
        // only read and outlive the call.
        let opened = retry(|| unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        });
        match opened {
            Err(error)
                if error.raw_os_error() == Some(libc::EAGAIN) && tries < OPEN_BENEATH_TRIES => {}
            other => break other?,
        }
    };
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// Fills `space` with entries of `dir` in the format of getdents64(2); 0 is the end.
pub(crate) fn entries(dir: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    let (dir, start, size) = (dir.as_raw_fd(), space.as_mut_ptr(), space.len());
    // SAFETY: the kernel writes at most `size` bytes from `start`, which are ours.
    let filled = retry(|| unsafe { libc::syscall(libc::SYS_getdents64, dir, start, size) })?;
    Ok(filled as usize)
}

/// Creates the directory `name` in `dir`.
pub(crate) fn make_directory(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: the name ends with a NUL and outlives the call.
    retry(|| unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode as libc::mode_t) })?;
    Ok(())
}

/// Removes the file `name` from `dir`, or with `directory` the empty directory of that name.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &CStr, directory: bool) -> io::Result<()> {
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the name ends with a NUL and outlives the call.
    retry(|| unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) })?;
    Ok(())
}

/// Renames `from` in one directory to `to` in another, and replaces what is there.
pub(crate) fn rename(
    (from_dir, from): (BorrowedFd<'_>, &CStr),
    (to_dir, to): (BorrowedFd<'_>, &CStr),
) -> io::Result<()> {
    let (from_dir, to_dir) = (from_dir.as_raw_fd(), to_dir.as_raw_fd());
    // SAFETY: both names end with a NUL and outlive the call.
    check(unsafe { libc::renameat(from_dir, from.as_ptr(), to_dir, to.as_ptr()) })?;
    Ok(())
}

/// Sends at most `count` bytes of `file` from `offset` on to `socket`; 0 is the end of the file.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the offset is ours to write and outlives the call.
    let sent = retry(|| unsafe {
        libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, count)
    })?;
    Ok(sent as usize)
}
