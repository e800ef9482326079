//! The standard streams, whose open files other processes share: reads and writes with and without
//! waiting.
//!
//! `O_NONBLOCK` belongs to the open file, not to the descriptor. Setting it on a stream that came
//! from a shell would change the stream for every process that shares it. [`read`] therefore calls
//! poll(2) first and returns `WouldBlock` itself. [`write`] does not: it may wait, and is for open
//! files that wait for a disk at most. [`send`] never waits, but is for sockets only.
//!
//! [`read_waiting`] and [`write_waiting`] wait, whether or not the open file has `O_NONBLOCK`.
//! Which stream is which is not known here. Man pages: poll(2), read(2), write(2), send(2),
//! ioctl_tty(2).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::sys::{check, retry};

/// Reads the bytes that are available; 0 is the end of the stream.
pub(crate) fn read(fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    refuse_to_wait(fd, libc::POLLIN)?;
    let (start, length) = (space.as_mut_ptr().cast(), space.len());
    // SAFETY: `length` bytes from `start` are ours to write and outlive the call.
    let count = retry(|| unsafe { libc::read(fd.as_raw_fd(), start, length) })?;
    Ok(count as usize)
}

/// Writes some of `bytes`. Waits for room, unless the open file has `O_NONBLOCK`.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `length` bytes from `start` are initialised and outlive the call.
    let count = retry(|| unsafe { libc::write(fd.as_raw_fd(), start, length) })?;
    Ok(count as usize)
}

/// Sends as many bytes as a socket accepts now, whether or not its open file has `O_NONBLOCK`.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (start, length) = (bytes.as_ptr().cast(), bytes.len());
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `length` bytes from `start` are initialised and outlive the call.
    let count = retry(|| unsafe { libc::send(fd.as_raw_fd(), start, length, flags) })?;
    Ok(count as usize)
}

/// Waits for data and reads it; 0 is the end of the stream.
pub(crate) fn read_waiting(fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (space.as_mut_ptr().cast(), space.len());
    waiting(fd, libc::POLLIN, || {
        // SAFETY: `length` bytes from `start` are ours to write and outlive the call.
        let count = retry(|| unsafe { libc::read(fd.as_raw_fd(), start, length) })?;
        Ok(count as usize)
    })
}

/// Waits for room and writes some of `bytes`.
pub(crate) fn write_waiting(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    waiting(fd, libc::POLLOUT, || write(fd, bytes))
}

/// Waits until `fd` has room, at most for `span`; returns whether it has. An error counts as room:
/// the next write reports it.
pub(crate) fn wait_for_room(fd: BorrowedFd<'_>, span: Duration) -> io::Result<bool> {
    let milliseconds = span.as_micros().div_ceil(1000);
    let milliseconds = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
    poll(fd, libc::POLLOUT, milliseconds)
}

/// Whether `fd` is open for reading, and whether it is open for writing.
pub(crate) fn access(fd: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
    // SAFETY: the call takes numbers and no pointer.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let mode = flags & libc::O_ACCMODE;
    Ok((mode != libc::O_WRONLY, mode != libc::O_RDONLY))
}

/// Makes `call` again as long as it would block and `fd` becomes ready: its open file may have
/// `O_NONBLOCK` from another process that shares it.
fn waiting(
    fd: BorrowedFd<'_>,
    events: libc::c_short,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(fd, events, -1)?;
            }
            answer => return answer,
        }
    }
}

/// The number of columns of the terminal behind `fd`, if it is a terminal that knows its size:
/// `TIOCGWINSZ`.
pub(crate) fn columns(fd: BorrowedFd<'_>) -> Option<usize> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut size: libc::winsize = unsafe { mem::zeroed() };
    // SAFETY: the call writes a structure that is ours and outlives it.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size) }).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Returns `WouldBlock` unless `fd` is ready. Errors and hang-ups count as ready: the next call
/// reports them.
fn refuse_to_wait(fd: BorrowedFd<'_>, events: libc::c_short) -> io::Result<()> {
    match poll(fd, events, 0)? {
        false => Err(io::ErrorKind::WouldBlock.into()),
        true => Ok(()),
    }
}

/// Whether one of `events`, an error or a hang-up is reported within `milliseconds`; -1 waits
/// without a limit.
fn poll(fd: BorrowedFd<'_>, events: libc::c_short, milliseconds: libc::c_int) -> io::Result<bool> {
    let mut asked = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: `asked` is one structure, ours to write, and outlives the call.
    let ready = retry(|| unsafe { libc::poll(&mut asked, 1, milliseconds) })?;
    Ok(ready > 0)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn kind<T>(answer: io::Result<T>) -> Result<T, io::ErrorKind> {
        answer.map_err(|error| error.kind())
    }

    #[test]
    fn an_empty_stream_answers_instead_of_waiting() -> io::Result<()> {
        let (near, mut far) = UnixStream::pair()?;
        let mut space = [0; 8];
        assert_eq!(
            kind(read(near.as_fd(), &mut space)),
            Err(io::ErrorKind::WouldBlock)
        );
        far.write_all(b"on")?;
        assert_eq!(read(near.as_fd(), &mut space)?, 2);
        Ok(())
    }

    #[test]
    fn the_end_of_a_stream_is_zero_and_a_file_is_always_ready() -> io::Result<()> {
        let (near, far) = UnixStream::pair()?;
        drop(far);
        assert_eq!(read(near.as_fd(), &mut [0; 8])?, 0);
        let null = File::open("/dev/null")?;
        assert_eq!(columns(null.as_fd()), None);
        assert_eq!(read(null.as_fd(), &mut [0; 8])?, 0);
        let manifest = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))?;
        let mut space = [0; 9];
        assert_eq!(read(manifest.as_fd(), &mut space)?, 9);
        assert_eq!(&space, b"[package]");
        Ok(())
    }
}
