//! Processes that are copies of this one: fork(2), a signal for one of them, and how each ended.
//!
//! A forked process goes on in the same program with a copy of all memory, so nothing is loaded
//! again. Only the calling thread exists in it. It leads a process group of its own, so that a
//! signal of the terminal (Ctrl-C) reaches only its parent, and it is killed when its parent ends.
//! How many there are, and when one is started again, is not known here.
//!
//! Neighbour: `child`, whose processes execute another program. Man pages: fork(2), waitid(2),
//! kill(2), setpgid(2), PR_SET_PDEATHSIG(2const), signal(7).

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::RawFd;

use super::child;
use crate::sys::fd::range;
use crate::sys::{check, retry};

/// On which side of a fork the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    /// In the parent, with the number of the new process.
    Parent(u32),
    /// In the new process.
    Child,
}

/// Makes a copy of this process. Threads of this process do not exist in the copy.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the call takes nothing and cannot fail.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the caller has one thread, or beside it the one that writes a standard stream
    // (`kernel::outlet`), which holds no lock that the copy could miss; the C library makes its
    // allocator usable in the copy.
    let id = check(unsafe { libc::fork() })?;
    if id > 0 {
        return Ok(Forked::Parent(id as u32));
    }
    // A sandbox may refuse both. The end of the link to the parent tells of its death too, and a
    // signal of the terminal that comes twice does no more than end the process at once.
    let _ = child::die_with(parent);
    // SAFETY: the call takes numbers and no pointer.
    let _ = check(unsafe { libc::setpgid(0, 0) });
    Ok(Forked::Child)
}

/// What is sent to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// SIGHUP.
    HangUp,
    /// SIGUSR2.
    User,
    /// SIGKILL.
    Kill,
}

/// Sends a signal to the process `id`, which must not be reaped yet: later the number may belong to
/// another process.
pub(crate) fn send(id: u32, signal: Sent) -> io::Result<()> {
    let Some(id) = i32::try_from(id).ok().filter(|&id| id > 1) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let signal = match signal {
        Sent::HangUp => libc::SIGHUP,
        Sent::User => libc::SIGUSR2,
        Sent::Kill => libc::SIGKILL,
    };
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::kill(id, signal) })?;
    Ok(())
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// The signals that end a process by default, by name.
const NAMES: [(i32, &str); 18] = [
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGPIPE, "SIGPIPE"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGXFSZ, "SIGXFSZ"),
    (libc::SIGSYS, "SIGSYS"),
];

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Code(code) => write!(f, "ended with exit code {code}"),
            Exit::Signal(number) => match NAMES.iter().find(|(it, _)| *it == number) {
                Some((_, name)) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {number}"),
            },
        }
    }
}

/// Reaps a child that has ended, whichever it is; `None` if there is none.
pub(crate) fn take_ended() -> io::Result<Option<(u32, Exit)>> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG;
    // SAFETY: the structure is ours to write and outlives the call.
    match retry(|| unsafe { libc::waitid(libc::P_ALL, 0, &mut info, flags) }) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
        answer => answer?,
    };
    // SAFETY: waitid(2) has filled in this field, or has left the zero.
    let id = unsafe { info.si_pid() };
    // SAFETY: the same holds for this one.
    let status = unsafe { info.si_status() };
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        _ => Exit::Signal(status),
    };
    Ok(u32::try_from(id)
        .ok()
        .filter(|&id| id > 0)
        .map(|id| (id, exit)))
}

/// Keeps ended children until they are reaped, also if the program that executed this one had
/// SIGCHLD ignored.
pub(crate) fn keep_ended_children() -> io::Result<()> {
    // SAFETY: SIG_DFL installs no code of ours that could run at a bad time.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends this process without anything that its parent would do at its end.
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from 3 on but those of `kept`. No value of this process may use a closed
/// one afterwards, not even to close it: this is for a process that ends by [`exit_at_once`].
pub(crate) fn close_all_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut first = 3_u32;
    for &mut number in kept {
        let number = number as u32;
        if number > first {
            range::close(first, number - 1);
        }
        first = first.max(number + 1);
    }
    range::close(first, u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    // A fork of the test runner, whose other threads may hold any lock, would be unsafe: the tests
    // of the binary fork.

    #[test]
    fn the_number_of_no_single_process_is_refused() {
        for id in [0, 1, u32::MAX] {
            assert!(send(id, Sent::HangUp).is_err(), "{id}");
        }
    }

    #[test]
    fn a_cause_is_an_exit_code_or_a_signal_by_name() {
        for (exit, text) in [
            (Exit::Code(0), "ended with exit code 0"),
            (Exit::Code(10), "ended with exit code 10"),
            (Exit::Signal(libc::SIGKILL), "was killed by SIGKILL"),
            (Exit::Signal(libc::SIGSEGV), "was killed by SIGSEGV"),
            (Exit::Signal(63), "was killed by signal 63"),
        ] {
            assert_eq!(exit.to_string(), text);
        }
    }
}
