//! poll(2) for a thread that waits for few descriptors, and the signal that ends its wait.
//!
//! A thread that sleeps in poll(2) is woken by a signal that it blocks at all other times: ppoll(2)
//! unblocks it only while it sleeps, so a wake-up that comes between a check and the sleep is not
//! lost. The signal is SIGURG: ignored by default, and sent by the kernel only to the owner of a
//! socket, which is never set here. A descriptor for each thread would do the same at the price of
//! twice the descriptors. Man pages: poll(2), signal(7), pthread_kill(3).

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::os::unix::thread::{JoinHandleExt, RawPthread};
use std::ptr;
use std::thread::JoinHandle;
use std::time::Duration;

use super::check;
use super::process::signal;

/// Wakes a thread or a process out of [`Waits::poll`].
const WAKE: libc::c_int = libc::SIGURG;

/// Bytes, an end, or a connection to accept.
#[cfg(feature = "auth")]
pub(crate) const READ: u32 = libc::POLLIN as u32;
/// Room to write, or the end of a connect.
#[cfg(feature = "auth")]
pub(crate) const WRITE: u32 = libc::POLLOUT as u32;

/// One descriptor: what is asked, and what poll(2) has found. The bits are those of epoll.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Watched(libc::pollfd);

impl Watched {
    /// `events` of `descriptor`; a negative descriptor is left out.
    pub(crate) fn new(descriptor: RawFd, events: u32) -> Watched {
        Watched(libc::pollfd {
            fd: descriptor,
            events: events as libc::c_short,
            revents: 0,
        })
    }

    /// What was found.
    #[inline]
    pub(crate) fn found(&self) -> u32 {
        u32::from(self.0.revents as u16)
    }
}

/// The signals that are blocked during a wait: those of the thread, without the wake-up.
#[derive(Clone, Copy)]
pub(crate) struct Waits(libc::sigset_t);

impl Waits {
    /// Blocks the wake-up in this thread, and in all threads and processes that it starts, and
    /// gives it a handler that does nothing.
    pub(crate) fn prepare() -> io::Result<Waits> {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: the structure is plain numbers, for which zero is a value: no flags, no mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        signal::block(&[WAKE])?;
        // SAFETY: the handler does nothing, so it may run at any time; the structure is only read.
        check(unsafe { libc::sigaction(WAKE, &action, ptr::null_mut()) })?;
        // SAFETY: the set is plain numbers, for which zero is a value.
        let mut mask: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: no new set is given; the old one is ours to write and outlives the call.
        match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), &mut mask) } {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        // SAFETY: the set was filled in just above.
        check(unsafe { libc::sigdelset(&mut mask, WAKE) })?;
        Ok(Waits(mask))
    }

    /// Sleeps until one of `watched` is ready, a wake-up, or `timeout`; `None` is no limit. Returns
    /// how many are ready. `Interrupted` is a wake-up.
    #[inline]
    pub(crate) fn poll(
        &self,
        watched: &mut [Watched],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let span = timeout.map(|span| libc::timespec {
            tv_sec: span.as_secs().min(i32::MAX as u64) as _,
            tv_nsec: span.subsec_nanos() as _,
        });
        let span = span.as_ref().map_or(ptr::null(), ptr::from_ref);
        let (start, count) = (watched.as_mut_ptr().cast(), watched.len());
        // SAFETY: `Watched` has the layout of pollfd; the `count` of them are ours to write, and
        // the span and the mask are only read and outlive the call.
        let ready = check(unsafe { libc::ppoll(start, count as libc::nfds_t, span, &self.0) })?;
        Ok(ready as usize)
    }
}

/// Ends the wait of `thread`, or its next one. The thread must not be joined yet.
pub(crate) fn wake_thread<T>(thread: &JoinHandle<T>) {
    let id: RawPthread = thread.as_pthread_t();
    // SAFETY: the thread is not joined, so its number is valid even if it has ended.
    let answer = unsafe { libc::pthread_kill(id as libc::pthread_t, WAKE) };
    debug_assert!(
        answer == 0 || answer == libc::ESRCH,
        "pthread_kill: {answer}"
    );
}

/// The same for a child process, which must not be reaped yet.
pub(crate) fn wake_process(id: u32) -> io::Result<()> {
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::kill(id as libc::pid_t, WAKE) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_ready_is_found_and_a_negative_descriptor_is_left_out() -> io::Result<()> {
        let waits = Waits::prepare()?;
        let (ours, theirs) = UnixStream::pair()?;
        let both = libc::POLLIN as u32;
        let mut watched = [Watched::new(ours.as_raw_fd(), both), Watched::new(-1, both)];
        assert_eq!(waits.poll(&mut watched, Some(Duration::ZERO))?, 0);
        io::Write::write_all(&mut &theirs, b"x")?;
        assert_eq!(waits.poll(&mut watched, None)?, 1);
        assert_eq!((watched[0].found(), watched[1].found()), (both, 0));
        Ok(())
    }

    #[test]
    fn a_wake_up_before_the_wait_is_not_lost() -> io::Result<()> {
        let waits = Waits::prepare()?;
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = wait.recv();
            waits.poll(&mut [], None).map_err(|error| error.kind())
        });
        wake_thread(&thread);
        drop(go);
        let woken = thread.join().expect("it ends");
        assert_eq!(woken, Err(io::ErrorKind::Interrupted));
        Ok(())
    }
}
