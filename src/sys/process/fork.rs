//! fork(2): a process for one connection.
//!
//! The new process is a copy of the calling thread alone. Locks of other threads would stay locked
//! in it for ever, so a process that forks has no other threads that lock. The new process is
//! killed when its parent ends. Man pages: fork(2), close_range(2), PR_SET_PDEATHSIG(2const).

use std::io;
use std::os::fd::RawFd;

use super::child;
use crate::sys::check;

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The parent, with the number of its child.
    Parent(u32),
    /// The child.
    Child,
}

/// Copies this process. The child is killed when the calling thread of the parent ends.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: the call takes nothing and cannot fail.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the process has no other thread whose locks the child would need.
    match check(unsafe { libc::fork() })? {
        0 => match child::die_with(parent) {
            Ok(()) => Ok(Side::Child),
            Err(_) => exit_at_once(1),
        },
        id => Ok(Side::Parent(id as u32)),
    }
}

/// Ends this process without anything that the parent would do at its end.
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Kills a child process, which must not be reaped yet.
pub(crate) fn kill(id: u32) -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::kill(id as libc::pid_t, libc::SIGKILL) })?;
    Ok(())
}

/// Closes every descriptor from 3 on but those of `kept`. No value of this process may use a closed
/// one afterwards, not even to close it: this is for a process that ends by [`exit_at_once`].
pub(crate) fn close_all_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut first = 3_u32;
    for &mut number in kept {
        let number = number as u32;
        if number > first {
            close_range(first, number - 1);
        }
        first = first.max(number + 1);
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: the call takes numbers, and the caller ensures that nothing uses these descriptors.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
    if answer != 0 {
        // Before Linux 5.9. The limit of this process bounds the numbers.
        let most = super::descriptor_limit().map_or(1 << 16, |(now, _)| now.min(1 << 20)) as u32;
        for number in first..=last.min(most) {
            // SAFETY: the caller ensures that nothing uses this descriptor.
            unsafe { libc::close(number as RawFd) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends_with_its_code_and_is_reaped() -> io::Result<()> {
        match fork()? {
            Side::Child => exit_at_once(0),
            Side::Parent(id) => {
                let ended = child::wait(libc::P_PID, id, 0)?;
                assert_eq!(ended, Some(id));
            }
        }
        Ok(())
    }
}
