//! Signals as a descriptor: blocked, so that they interrupt nothing, and read by the loop.
//!
//! A handler runs between any two instructions and may call only a few functions; a signalfd is one
//! more descriptor to read. The signal mask belongs to a thread and is inherited, so signals are
//! blocked before the first thread starts: an earlier thread would still be killed by them. What a
//! signal asks for is not known here. Man pages: signalfd(2), pthread_sigmask(3), signal(7).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::c_int;

use crate::sys::retry;

pub(crate) const TERM: c_int = libc::SIGTERM;
pub(crate) const INT: c_int = libc::SIGINT;
pub(crate) const USR1: c_int = libc::SIGUSR1;
pub(crate) const USR2: c_int = libc::SIGUSR2;
pub(crate) const HUP: c_int = libc::SIGHUP;
pub(crate) const CHLD: c_int = libc::SIGCHLD;

/// Blocks these signals for the calling thread and for all threads that it starts.
pub(crate) fn block(signals: &[c_int]) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, signals)
}

/// Unblocks these signals. Pending ones are delivered at once.
pub(crate) fn unblock(signals: &[c_int]) -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK, signals)
}

fn change_mask(how: c_int, signals: &[c_int]) -> io::Result<()> {
    let set = set_of(signals)?;
    // SAFETY: the set is initialised and outlives the call; the old mask is not requested.
    match unsafe { libc::pthread_sigmask(how, &set, ptr::null_mut()) } {
        0 => Ok(()),
        // These calls return the error itself and do not set errno.
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Signals that a write raises. The default of SIGPIPE (a pipe without a reader) and of SIGXFSZ (a
/// file at its limit of setrlimit(2)) is to end the process; that of SIGTTOU (a process in the
/// background of a terminal with `stty tostop`) is to stop it, with all its connections.
pub(crate) const WRITE_SIGNALS: [c_int; 3] = [libc::SIGPIPE, libc::SIGXFSZ, libc::SIGTTOU];

/// Makes EPIPE and EFBIG errors like others, and lets a process in the background write to its
/// terminal: ignores [`WRITE_SIGNALS`].
pub(crate) fn ignore_write_signals() -> io::Result<()> {
    for signal in WRITE_SIGNALS {
        // SAFETY: SIG_IGN installs no code of ours that could run at a bad time.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives [`WRITE_SIGNALS`] their default action: an ignored signal stays ignored in a program that
/// is executed. Async-signal-safe, see signal-safety(7).
pub(crate) fn restore_write_signals() -> io::Result<()> {
    for signal in WRITE_SIGNALS {
        // SAFETY: SIG_DFL installs no code of ours that could run at a bad time.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Discards those of `signals` that are pending and unblocks all of them.
pub(crate) fn release(signals: &[c_int]) -> io::Result<()> {
    let set = set_of(signals)?;
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the set and the span are initialised and outlive the call; no details are requested.
    while unsafe { libc::sigtimedwait(&set, ptr::null_mut(), &at_once) } > 0 {}
    // SAFETY: the set is initialised and outlives the call; the old mask is not requested.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Whether one of `signals` is blocked and pending.
pub(crate) fn is_pending(signals: &[c_int]) -> io::Result<bool> {
    let mut pending = set_of(&[])?;
    // SAFETY: the set is ours to write and outlives the call.
    retry(|| unsafe { libc::sigpending(&mut pending) })?;
    for &signal in signals {
        // SAFETY: the set was filled in just above.
        if retry(|| unsafe { libc::sigismember(&pending, signal) })? == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs `start` with every signal blocked. Threads that it starts inherit this, so a signal that is
/// sent to the process is never delivered to them.
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let mut before = set_of(&[])?;
    let mut all = set_of(&[])?;
    // SAFETY: the set is ours to write.
    retry(|| unsafe { libc::sigfillset(&mut all) })?;
    // SAFETY: both sets are initialised and outlive the call.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let started = start();
    // SAFETY: the set is the mask from before and outlives the call.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) } {
        0 => Ok(started),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// A descriptor that is readable while one of `signals` is pending: non-blocking and close-on-exec.
pub(crate) fn descriptor(signals: &[c_int]) -> io::Result<OwnedFd> {
    let set = set_of(signals)?;
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: the set is initialised and outlives the call; -1 asks for a new descriptor.
    let number = retry(|| unsafe { libc::signalfd(-1, &set, flags) })?;
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes one pending signal and returns its number; `WouldBlock` when none is pending.
pub(crate) fn take(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
    let (bytes, size) = ((&raw mut info).cast(), size_of_val(&info));
    // SAFETY: `bytes` are the `size` of `info`; a signalfd never reads half a structure.
    retry(|| unsafe { libc::read(fd.as_raw_fd(), bytes, size) })?;
    Ok(info.ssi_signo as c_int)
}

fn set_of(signals: &[c_int]) -> io::Result<libc::sigset_t> {
    // SAFETY: the set is plain numbers, for which zero is a value; the next call says it is empty.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the set is ours to write.
    retry(|| unsafe { libc::sigemptyset(&mut set) })?;
    for &signal in signals {
        // SAFETY: the set was initialised just above.
        retry(|| unsafe { libc::sigaddset(&mut set, signal) })?;
    }
    Ok(set)
}

/// Sends a signal to the calling thread alone, so that parallel tests do not affect each other.
#[cfg(test)]
pub(crate) fn raise(signal: c_int) -> io::Result<()> {
    // SAFETY: the tests that call this have blocked the signal.
    retry(|| unsafe { libc::raise(signal) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_blocked_signal_is_read_once() -> io::Result<()> {
        block(&[USR1, HUP])?;
        let signals = descriptor(&[USR1, HUP])?;
        raise(USR1)?;
        assert_eq!(take(signals.as_fd())?, USR1);
        let none = take(signals.as_fd()).map_err(|error| error.kind());
        assert_eq!(none, Err(io::ErrorKind::WouldBlock));
        Ok(())
    }

    #[test]
    fn a_pending_signal_is_seen_and_a_release_takes_it() -> io::Result<()> {
        block(&[USR1, HUP])?;
        assert!(!is_pending(&[USR1, HUP])?);
        raise(USR1)?;
        assert!(is_pending(&[USR1, HUP])?);
        assert!(!is_pending(&[HUP])?);
        // If the signal were still pending, it would end the test now.
        release(&[USR1, HUP])?;
        assert!(!is_pending(&[USR1, HUP])?);
        Ok(())
    }

    #[test]
    fn a_thread_can_be_started_without_signals() -> io::Result<()> {
        let thread = without_signals(|| {
            std::thread::spawn(|| {
                raise(HUP)?;
                is_pending(&[HUP])
            })
        })?;
        let pending = thread.join().expect("it ends by itself");
        assert!(pending?);
        assert!(!is_pending(&[HUP])?);
        Ok(())
    }

    #[test]
    fn a_number_that_is_no_signal_is_refused() {
        assert!(block(&[4_000]).is_err());
    }

    #[test]
    fn a_write_to_a_pipe_without_a_reader_is_an_error_and_not_the_end() -> io::Result<()> {
        ignore_write_signals()?;
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        drop(reader);
        // A file, because the standard library's sockets suppress SIGPIPE themselves.
        let mut writer = std::fs::File::from(OwnedFd::from(writer));
        let broken = io::Write::write(&mut writer, b"x").map_err(|error| error.kind());
        assert_eq!(broken, Err(io::ErrorKind::BrokenPipe));
        Ok(())
    }
}
