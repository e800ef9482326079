//! System calls as the kernel offers them, each returning an `io::Result`.
//!
//! This folder holds the only unsafe code of the crate, and nothing else. It knows no connection,
//! no token and no policy, and decides only what has a single right answer. A descriptor is passed
//! in as a [`BorrowedFd`](std::os::fd::BorrowedFd) and returned as an
//! [`OwnedFd`](std::os::fd::OwnedFd), so the compiler ensures that it is open during the call and
//! closed once.
//!
//! A call that a signal interrupts (EINTR) is repeated, with four exceptions: `epoll_wait` and
//! `ppoll`, whose timeouts would start again; `connect`, which continues by itself; and `close`,
//! after which the number may already belong to another descriptor. Neighbour: `kernel`, the only
//! layer that imports this one. Man pages: syscalls(2), errno(3), signal(7).
#![allow(unsafe_code)]

pub(crate) mod calls;
pub(crate) mod epoll;
pub mod errno;
pub(crate) mod eventfd;
pub(crate) mod memory;
pub(crate) mod poll;
pub(crate) mod process;
#[cfg(feature = "auth")]
pub(crate) mod random;
pub(crate) mod ring;
pub(crate) mod timerfd;

use std::io;

/// The result of a call; if it is negative, `errno` holds the reason.
#[inline]
fn check<T: Default + PartialOrd>(answer: T) -> io::Result<T> {
    if answer < T::default() {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

/// [`check`], with the call repeated as long as signals interrupt it.
#[inline]
fn retry<T: Default + PartialOrd>(mut call: impl FnMut() -> T) -> io::Result<T> {
    loop {
        match check(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(number: i32) -> isize {
        // SAFETY: errno belongs to this thread and always exists.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: the pointer is valid for writes and has no other holder.
        unsafe { errno.write(number) };
        -1
    }

    #[test]
    fn a_negative_answer_is_the_error_of_errno() {
        assert_eq!(check(0).ok(), Some(0));
        assert_eq!(check(7_isize).ok(), Some(7));
        let error = check(fail(libc::EPIPE)).expect_err("-1 is an error");
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut calls = 0;
        let answer = retry(|| {
            calls += 1;
            if calls < 3 { fail(libc::EINTR) } else { 5 }
        });
        assert_eq!((answer.ok(), calls), (Some(5), 3));
    }

    #[test]
    fn another_error_ends_the_retries() {
        let mut calls = 0;
        let answer = retry(|| {
            calls += 1;
            fail(libc::EAGAIN)
        });
        assert_eq!(
            answer.map_err(|error| error.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        assert_eq!(calls, 1);
    }
}
pub(crate) mod fd;
pub(crate) mod net;
