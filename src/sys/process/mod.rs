//! Small queries about this process and the system: limits, processors, time.
//!
//! They are safe calls that the standard library does not offer. `kernel` re-exports them to the
//! layers above. How many descriptors are enough is not known here. Man pages: getrlimit(2),
//! sched_setaffinity(2), clock_gettime(2), clock_getcpuclockid(3), prctl(2), proc(5).

pub mod child;
pub(crate) mod fork;
pub(crate) mod signal;
pub(crate) mod spawn;
pub mod user;

use std::fmt;
use std::fs;
use std::io;
use std::mem;
use std::sync::OnceLock;

use super::check;

/// The descriptor limit that this process was started with, once it has been raised.
static INITIAL_DESCRIPTOR_LIMIT: OnceLock<libc::rlimit> = OnceLock::new();

/// The limit on open descriptors of this process: the soft limit and the hard limit.
pub fn descriptor_limit() -> io::Result<(u64, u64)> {
    let limit = read_descriptor_limit()?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

fn read_descriptor_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours to write and outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok(limit)
}

/// Raises the soft limit to the hard limit, which needs no privilege, and returns the new value.
/// The old limit is remembered, and `spawn` restores it in the programs that it starts.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = read_descriptor_limit()?;
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    if limit.rlim_cur < raised.rlim_cur {
        INITIAL_DESCRIPTOR_LIMIT.get_or_init(|| limit);
        // SAFETY: the structure is only read and outlives the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) })?;
    }
    Ok(raised.rlim_max)
}

/// The limit that this process was started with, if it has been raised since.
pub(super) fn initial_descriptor_limit() -> Option<libc::rlimit> {
    INITIAL_DESCRIPTOR_LIMIT.get().copied()
}

/// The processors that a thread may run on.
#[derive(Clone, Copy)]
pub struct Processors(libc::cpu_set_t);

impl Processors {
    fn none() -> Processors {
        // SAFETY: the set is an array of bits, for which zero is the empty one.
        Processors(unsafe { mem::zeroed() })
    }

    /// Their numbers, counted from 0.
    pub fn list(&self) -> Vec<usize> {
        // SAFETY: the bits asked for are those inside the set.
        let is_in = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &self.0) };
        (0..libc::CPU_SETSIZE as usize).filter(is_in).collect()
    }
}

impl fmt::Debug for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list().fmt(f)
    }
}

/// The processors on which thread `task` may run. Task 0 is the calling thread.
pub fn affinity(task: i32) -> io::Result<Processors> {
    let mut set = Processors::none();
    // SAFETY: the set is ours to write and its size is its own.
    check(unsafe { libc::sched_getaffinity(task, size_of_val(&set.0), &mut set.0) })?;
    Ok(set)
}

/// Restricts thread `task` to these processors. Task 0 is the calling thread.
pub fn set_affinity(task: i32, processors: &Processors) -> io::Result<()> {
    let set = &processors.0;
    // SAFETY: the set is only read and its size is its own.
    check(unsafe { libc::sched_setaffinity(task, size_of_val(set), set) })?;
    Ok(())
}

/// The number of open descriptors of this process, from proc(5); `None` without `/proc`.
pub fn open_descriptors() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // The descriptor of the listing itself is counted too.
    Some(listed.saturating_sub(1))
}

/// Keeps thread `task` on one processor, counted from 0. Task 0 is the calling thread.
pub fn pin_task(task: i32, cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut one = Processors::none();
    // SAFETY: the bit is inside the set, as was checked above.
    unsafe { libc::CPU_SET(cpu, &mut one.0) };
    set_affinity(task, &one)
}

/// Makes the kernel end the waits of the calling thread as punctually as possible, instead of up to
/// 50 microseconds late to save a wake-up (`PR_SET_TIMERSLACK` of prctl(2)).
pub fn wake_punctually() -> io::Result<()> {
    let nanosecond: libc::c_ulong = 1;
    // SAFETY: with this operation the call takes a number and no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanosecond) })?;
    Ok(())
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which cannot be set and stops while the system is suspended.
#[inline]
pub(crate) fn monotonic_nanoseconds() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is ours to write and outlives the call.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    // The call fails only for an unknown clock or a bad pointer.
    debug_assert_eq!(answer, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The upper bound of process numbers: proc(5), "pid_max".
const PID_MAX: u32 = 1 << 22;

/// Processor time of all threads of process `pid`, in nanoseconds, ended threads included. No
/// permission is needed: clock_getcpuclockid(3).
pub fn cpu_nanoseconds(pid: u32) -> io::Result<u64> {
    // A clock id has 29 bits for the process number: a larger number would select another clock.
    if pid > PID_MAX {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    let mut clock = 0;
    // SAFETY: the number is ours to write and outlives the call.
    match unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) } {
        0 => {}
        errno => return Err(io::Error::from_raw_os_error(errno)),
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is ours to write and outlives the call.
    check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn the_soft_limit_rises_to_the_hard_one() -> io::Result<()> {
        let (_, hard) = descriptor_limit()?;
        assert_eq!(raise_descriptor_limit()?, hard);
        assert_eq!(descriptor_limit()?, (hard, hard));
        Ok(())
    }

    #[test]
    fn a_descriptor_that_is_open_is_counted() -> io::Result<()> {
        // Other tests in this process open and close descriptors at the same time.
        let held: Vec<fs::File> = (0..200)
            .map(|_| fs::File::open("/dev/null"))
            .collect::<io::Result<_>>()?;
        let count = open_descriptors().expect("proc(5)");
        assert!(count >= held.len() as u64 + 3, "{count}");
        Ok(())
    }

    #[test]
    fn a_processor_that_cannot_be_is_refused() {
        assert!(pin_task(0, usize::MAX).is_err());
        assert!(pin_task(0, libc::CPU_SETSIZE as usize - 1).is_err());
    }

    #[test]
    fn a_pinned_thread_runs_where_it_was_put() -> io::Result<()> {
        // SAFETY: the call takes no pointer.
        let here = check(unsafe { libc::sched_getcpu() })?;
        let before = affinity(0)?;
        pin_task(0, here as usize)?;
        // SAFETY: as above.
        assert_eq!(check(unsafe { libc::sched_getcpu() })?, here);
        assert_eq!(affinity(0)?.list(), [here as usize]);
        set_affinity(0, &before)?;
        assert_eq!(affinity(0)?.list(), before.list());
        Ok(())
    }

    #[test]
    fn a_thread_may_ask_to_be_woken_punctually() -> io::Result<()> {
        wake_punctually()?;
        // SAFETY: with this operation the call takes no pointer.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }, 1);
        Ok(())
    }

    #[test]
    fn a_number_that_no_process_can_have_has_no_clock() {
        for pid in [PID_MAX + 1, 1 << 29, u32::MAX >> 1, u32::MAX] {
            let error = cpu_nanoseconds(pid).expect_err("there is no such process");
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{pid}: {error}");
        }
        assert!(cpu_nanoseconds(std::process::id()).is_ok_and(|time| time > 0));
    }

    #[test]
    fn the_clock_does_not_run_backwards() {
        let early = monotonic_nanoseconds();
        assert!(early > 0 && monotonic_nanoseconds() >= early);
    }
}
