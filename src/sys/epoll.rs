//! epoll: the set of descriptors to watch, and the wait for any of them.
//!
//! The 64 bits that come back with an event are opaque here; `kernel` gives them their meaning.
//! Three properties of the interface shape this file:
//!
//! - `epoll_wait` counts milliseconds, so a timeout is rounded *up*. Rounded down, the last
//!   fraction before a deadline would become a busy loop.
//! - `epoll_pwait2` counts nanoseconds but is recent (Linux 5.11), so this file remembers when it
//!   is missing.
//! - A wait ends with EINTR even under SA_RESTART, and after SIGCONT even without a handler. This
//!   is a wait without events, not an error.
//!
//! Man pages: epoll(7), epoll_ctl(2), epoll_wait(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use libc::c_int;

use super::{check, retry};

pub(crate) const IN: u32 = libc::EPOLLIN as u32;
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
pub(crate) const PRI: u32 = libc::EPOLLPRI as u32;
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
pub(crate) const EDGE: u32 = libc::EPOLLET as u32;
/// Only with `EPOLL_CTL_ADD`, and of the other bits only with IN, OUT and EDGE (epoll_ctl(2)).
pub(crate) const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;

/// One event as the kernel writes it: the registered data, and what is ready.
///
/// A wait fills an array of these. The layout is the kernel's own, so nothing is copied.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Event(libc::epoll_event);

impl Event {
    pub(crate) const fn raw(data: u64, mask: u32) -> Event {
        Event(libc::epoll_event {
            events: mask,
            u64: data,
        })
    }

    /// The bits that were registered with the descriptor.
    #[inline]
    pub(crate) const fn data(&self) -> u64 {
        self.0.u64
    }

    #[inline]
    pub(crate) const fn mask(&self) -> u32 {
        self.0.events
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::raw(0, 0)
    }
}

/// An epoll instance, close-on-exec.
pub(crate) struct Epoll {
    descriptor: OwnedFd,
    /// Whether `epoll_pwait2` is used: true until the kernel has refused it.
    nanoseconds: bool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes no pointer.
        let number = retry(|| unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is new and has no other owner.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Epoll {
            descriptor,
            nanoseconds: true,
        })
    }

    /// The descriptor itself, which is readable while an event waits.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    #[inline]
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, data: u64, mask: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, Event::raw(data, mask))
    }

    #[inline]
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, data: u64, mask: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, Event::raw(data, mask))
    }

    #[inline]
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // Kernels before 2.6.9 require a non-null event here too (epoll_ctl(2), BUGS).
        self.control(libc::EPOLL_CTL_DEL, fd, Event::default())
    }

    #[inline]
    fn control(&self, operation: c_int, fd: BorrowedFd<'_>, mut event: Event) -> io::Result<()> {
        let (set, fd) = (self.descriptor.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: both descriptors are open and the event outlives the call, which only reads it.
        retry(|| unsafe { libc::epoll_ctl(set, operation, fd, &mut event.0) })?;
        Ok(())
    }

    /// Waits until something is ready or `timeout` is over, and fills `events` from the front.
    ///
    /// `None` waits without a limit. A timeout and an interrupting signal both return 0 events.
    /// After an interruption the wait is repeated without sleeping: a process that was stopped
    /// continues here, and must see what has arrived meanwhile before it applies any deadline.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        events: &mut [Event],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let answer = match timeout {
            None => self.wait_milliseconds(events, -1),
            Some(Duration::ZERO) => self.wait_milliseconds(events, 0),
            Some(span) => self.wait_span(events, span),
        };
        match answer {
            Err(error) if is_interrupted(&error) => match self.wait_milliseconds(events, 0) {
                Err(error) if is_interrupted(&error) => Ok(0),
                answer => answer,
            },
            answer => answer,
        }
    }

    fn wait_span(&mut self, events: &mut [Event], span: Duration) -> io::Result<usize> {
        if self.nanoseconds {
            match self.wait_nanoseconds(events, span) {
                Err(error) if is_refused(&error) => self.nanoseconds = false,
                answer => return answer,
            }
        }
        self.wait_milliseconds(events, milliseconds(span))
    }

    #[inline]
    fn wait_milliseconds(&self, events: &mut [Event], timeout: c_int) -> io::Result<usize> {
        let (set, count) = (self.descriptor.as_raw_fd(), capacity(events));
        let first = events.as_mut_ptr().cast::<libc::epoll_event>();
        // SAFETY: `first` has room for `count` events, whose layout `Event` shares.
        let filled = check(unsafe { libc::epoll_wait(set, first, count, timeout) })?;
        Ok(filled as usize)
    }

    fn wait_nanoseconds(&self, events: &mut [Event], span: Duration) -> io::Result<usize> {
        let (set, count) = (self.descriptor.as_raw_fd(), capacity(events));
        let first = events.as_mut_ptr().cast::<libc::epoll_event>();
        let timeout = kernel_timespec(span);
        let no_mask = ptr::null::<libc::sigset_t>();
        // Called by number: glibc has a wrapper only since 2.35, and linking would require it.
        // SAFETY: as in `wait_milliseconds`; the timeout outlives the call, and without a mask its
        // size is not looked at.
        let filled = check(unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                set,
                first,
                count,
                &timeout,
                no_mask,
                0_usize,
            )
        })?;
        Ok(filled as usize)
    }
}

/// Whether a wait here can count nanoseconds. The call names no descriptor, so it waits for
/// nothing.
pub fn waits_count_nanoseconds() -> bool {
    let (no_set, no_event) = (-1, ptr::null_mut::<libc::epoll_event>());
    let (no_mask, timeout) = (
        ptr::null::<libc::sigset_t>(),
        kernel_timespec(Duration::ZERO),
    );
    // SAFETY: the timeout outlives the call, which fails before it looks at any other pointer.
    let answer = check(unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            no_set,
            no_event,
            1,
            &timeout,
            no_mask,
            0_usize,
        )
    });
    !answer.is_err_and(|error| is_refused(&error))
}

/// Whether the kernel does not have the call. A seccomp filter that is older than the call refuses
/// it with EPERM.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

fn capacity(events: &[Event]) -> c_int {
    c_int::try_from(events.len()).unwrap_or(c_int::MAX)
}

/// Whole milliseconds that are not less than `span`, at most 24.8 days of them.
fn milliseconds(span: Duration) -> c_int {
    c_int::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

/// `struct __kernel_timespec`: two 64-bit fields on every machine, unlike the C library's type.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

fn kernel_timespec(span: Duration) -> KernelTimespec {
    KernelTimespec {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: i64::from(span.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Instant;

    use super::*;
    use crate::sys::eventfd;

    #[test]
    fn milliseconds_are_rounded_up_and_clamped() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_nanos(999_999)), 1);
        assert_eq!(milliseconds(Duration::from_millis(1)), 1);
        assert_eq!(milliseconds(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(
            milliseconds(Duration::from_millis(i32::MAX as u64)),
            i32::MAX
        );
        assert_eq!(
            milliseconds(Duration::from_millis(i32::MAX as u64 + 1)),
            i32::MAX
        );
        assert_eq!(milliseconds(Duration::MAX), i32::MAX);
    }

    #[test]
    fn a_span_past_the_kernels_range_is_its_longest() {
        let timeout = kernel_timespec(Duration::MAX);
        assert_eq!(
            (timeout.seconds, timeout.nanoseconds),
            (i64::MAX, 999_999_999)
        );
    }

    #[test]
    fn a_wait_never_ends_before_its_time_in_either_unit() -> io::Result<()> {
        let mut epoll = Epoll::new()?;
        let mut events = [Event::default(); 4];
        for nanoseconds in [true, false] {
            epoll.nanoseconds = nanoseconds;
            let (start, span) = (Instant::now(), Duration::from_micros(300));
            assert_eq!(epoll.wait(&mut events, Some(span))?, 0);
            assert!(start.elapsed() >= span);
        }
        Ok(())
    }

    #[test]
    fn a_wait_counts_nanoseconds_if_the_probe_says_so() -> io::Result<()> {
        let mut epoll = Epoll::new()?;
        epoll.wait(&mut [Event::default(); 4], Some(Duration::from_nanos(1)))?;
        assert_eq!(epoll.nanoseconds, waits_count_nanoseconds());
        Ok(())
    }

    #[test]
    fn an_event_brings_back_the_data_it_was_registered_with() -> io::Result<()> {
        let mut epoll = Epoll::new()?;
        let mut events = [Event::default(); 4];
        let ready = eventfd::create()?;
        eventfd::add(ready.as_fd(), 1)?;
        epoll.add(ready.as_fd(), u64::MAX - 5, IN)?;
        for timeout in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
            assert_eq!(epoll.wait(&mut events, timeout)?, 1);
            assert_eq!((events[0].data(), events[0].mask()), (u64::MAX - 5, IN));
        }
        epoll.modify(ready.as_fd(), 9, OUT)?;
        assert_eq!(epoll.wait(&mut events, None)?, 1);
        assert_eq!((events[0].data(), events[0].mask()), (9, OUT));
        epoll.delete(ready.as_fd())?;
        assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO))?, 0);
        Ok(())
    }

    #[test]
    fn closing_the_only_descriptor_ends_its_registration() -> io::Result<()> {
        let mut epoll = Epoll::new()?;
        let ready = eventfd::create()?;
        eventfd::add(ready.as_fd(), 1)?;
        epoll.add(ready.as_fd(), 1, IN)?;
        drop(ready);
        assert_eq!(
            epoll.wait(&mut [Event::default(); 4], Some(Duration::ZERO))?,
            0
        );
        Ok(())
    }

    #[test]
    fn a_wait_with_no_room_is_refused() -> io::Result<()> {
        let error = Epoll::new()?.wait(&mut [], Some(Duration::ZERO));
        assert_eq!(
            error.map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidInput)
        );
        Ok(())
    }
}
