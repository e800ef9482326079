//! Starts a program beside the loop: clone(2) and execve(2), one pipe for its output, and a pidfd
//! for its end.
//!
//! The program gets its words and nothing else from this process: no shell, an empty environment,
//! `/dev/null` as stdin, the pipe as stdout and stderr, every signal at its default and none
//! blocked, the initial descriptor limit of this process, and a session and process group of its
//! own, so no terminal. It is killed when the thread that started it ends, for whatever reason.
//!
//! The clone works like vfork(2): the calling thread is suspended until the program runs or the
//! attempt has failed, memory is shared and not copied, and the reason of a failure is returned.
//! posix_spawn(3) works the same way, but supports neither PR_SET_PDEATHSIG nor a limit. The pidfd
//! is created with the process (CLONE_PIDFD), so a running program can always be watched.
//! Descriptors that this process opens are close-on-exec; [`prepare`] makes the inherited ones
//! close-on-exec too. Which programs run, how many and for how long is not known here. Man pages:
//! clone(2), execve(2), waitid(2), setsid(2), close_range(2), PR_SET_PDEATHSIG(2const).

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_char, c_int, c_void};

use super::child;
use crate::limits::{COMMAND_WORDS_MAX, SPAWN_STACK_SIZE};
use crate::sys::fd::range;
use crate::sys::memory::Mapping;
use crate::sys::{check, process, retry};

const NULL_DEVICE: &CStr = c"/dev/null";
/// The number of signals of the kernel, and the bytes of a signal set.
const SIGNALS: c_int = 64;
const SIGNAL_SET_SIZE: usize = 8;

/// A running program.
#[derive(Debug)]
pub(crate) struct Started {
    /// The reading end of its output, non-blocking.
    pub(crate) output: OwnedFd,
    /// The pidfd, readable when the process has ended.
    pub(crate) exit: OwnedFd,
    /// The number of the process, and of the process group that it leads.
    pub(crate) id: u32,
}

/// Makes inherited descriptors close-on-exec, and sets SIGCHLD to its default so that ended
/// children stay until they are reaped. An ignored SIGCHLD survives execve(2), and with it the
/// number of an ended child can be reused at once.
pub(crate) fn prepare() -> io::Result<()> {
    // SAFETY: SIG_DFL installs no code of ours that could run at a bad time.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    range::close_on_exec(3);
    Ok(())
}

/// Starts a process that ends at once and watches its end. An error names the call that an old
/// kernel or a sandbox refuses; then no program can be watched.
pub(crate) fn try_out() -> io::Result<()> {
    let refused =
        |call| move |error: io::Error| io::Error::new(error.kind(), format!("{call}: {error}"));
    let (exit, _) = clone(&Order::new(None)).map_err(refused("clone(CLONE_PIDFD)"))?;
    let pidfd = exit.as_raw_fd() as u32;
    let ended = child::wait(libc::P_PIDFD, pidfd, 0).map_err(refused("waitid(P_PIDFD)"))?;
    match ended {
        Some(_) => Ok(()),
        None => Err(io::Error::other("waitid(P_PIDFD) does not tell the end")),
    }
}

/// Starts the program at `path` with `words`, at most [`COMMAND_WORDS_MAX`] of them. If an error is
/// returned, no byte of the program has run.
pub(crate) fn start(path: &CStr, words: &[CString]) -> io::Result<Started> {
    let mut pointers = [ptr::null::<c_char>(); COMMAND_WORDS_MAX + 1];
    if words.len() > COMMAND_WORDS_MAX {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    for (pointer, word) in pointers.iter_mut().zip(words) {
        *pointer = word.as_ptr();
    }
    let (output, told) = pipe()?;
    let order = Order::new(Some(Program {
        path,
        words: &pointers,
        output: told.as_raw_fd(),
        limit: process::initial_descriptor_limit(),
    }));
    let (exit, id) = clone(&order)?;
    match order.error.load(Ordering::Acquire) {
        0 => Ok(Started { output, exit, id }),
        error => {
            // The process has failed and is about to end, so this wait is short.
            child::wait(libc::P_PIDFD, exit.as_raw_fd() as u32, 0)?;
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// Reads output of a program; 0 when no process can write any more.
pub(crate) fn read(fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (space.as_mut_ptr().cast(), space.len());
    // SAFETY: `length` bytes from `start` are ours to write and outlive the call.
    let count = retry(|| unsafe { libc::read(fd.as_raw_fd(), start, length) })?;
    Ok(count as usize)
}

/// Reaps the process behind a pidfd if it has ended; returns whether it has.
pub(crate) fn reap(exit: BorrowedFd<'_>) -> io::Result<bool> {
    let reaped = child::wait(libc::P_PIDFD, exit.as_raw_fd() as u32, libc::WNOHANG)?;
    Ok(reaped.is_some())
}

/// Whether the process behind a pidfd has ended. The process is not reaped.
pub(crate) fn has_ended(exit: BorrowedFd<'_>) -> io::Result<bool> {
    let look = libc::WNOHANG | libc::WNOWAIT;
    let ended = child::wait(libc::P_PIDFD, exit.as_raw_fd() as u32, look)?;
    Ok(ended.is_some())
}

/// The instructions for a new process, in memory that it shares with the caller.
struct Order<'a> {
    /// The program to execute; without one the process ends at once.
    program: Option<Program<'a>>,
    parent: libc::pid_t,
    /// The pidfd of the process. The kernel writes it before the process runs; it stays -1 if an
    /// old kernel does not know the flag and ignores it.
    pidfd: AtomicI32,
    /// Why the program was not executed; 0 if it was.
    error: AtomicI32,
}

struct Program<'a> {
    path: &'a CStr,
    /// Pointers to the words, followed by a null pointer.
    words: &'a [*const c_char],
    output: c_int,
    limit: Option<libc::rlimit>,
}

impl<'a> Order<'a> {
    fn new(program: Option<Program<'a>>) -> Order<'a> {
        Order {
            program,
            // SAFETY: the call takes nothing and cannot fail.
            parent: unsafe { libc::getpid() },
            pidfd: AtomicI32::new(-1),
            error: AtomicI32::new(0),
        }
    }
}

/// Starts a process that executes `order`. Returns its pidfd and its number once the process runs
/// its program or has ended.
fn clone(order: &Order<'_>) -> io::Result<(OwnedFd, u32)> {
    // The stack has its own pages, because the frames of the new process never return: a
    // sanitizer's records of them must not concern a frame of this thread. Stacks grow downwards.
    let mut stack = Mapping::new(SPAWN_STACK_SIZE)?;
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let argument = ptr::from_ref(order).cast_mut().cast::<c_void>();
    let (pidfd, none) = (order.pidfd.as_ptr(), ptr::null_mut::<c_void>());
    // A signal handler of this process must not run in the new one, which shares its memory.
    let mask = set_signal_mask(u64::MAX)?;
    // SAFETY: because of CLONE_VFORK this thread is suspended until the process has left the shared
    // memory, so `stack` and `order` outlive its use of them. The process only makes system calls
    // there.
    let id = check(unsafe { libc::clone(carry_out, top, flags, argument, pidfd, none, none) });
    set_signal_mask(mask)?;
    let id = id? as u32;
    match order.pidfd.load(Ordering::Acquire) {
        -1 => {
            // The process has seen the -1 too and has ended.
            child::wait(libc::P_PID, id, 0)?;
            Err(io::Error::from_raw_os_error(libc::ENOSYS))
        }
        // SAFETY: the kernel has just made the number for us, close-on-exec.
        number => Ok((unsafe { OwnedFd::from_raw_fd(number) }, id)),
    }
}

/// The main function of the new process; its return value is the exit code. Only async-signal-safe
/// calls are made here, because other threads may hold any lock (signal-safety(7)).
extern "C" fn carry_out(argument: *mut c_void) -> c_int {
    const NOT_STARTED: c_int = 127;
    // SAFETY: the argument is the order that was passed to `clone`, which lives until this process
    // has left the shared memory.
    let order = unsafe { &*argument.cast::<Order<'_>>() };
    let Some(program) = &order.program else {
        return 0;
    };
    if order.pidfd.load(Ordering::Acquire) < 0 {
        return NOT_STARTED;
    }
    let Err(error) = become_program(program, order.parent);
    let error = error.raw_os_error().unwrap_or(libc::EINVAL);
    order.error.store(error, Ordering::Release);
    NOT_STARTED
}

fn become_program(program: &Program<'_>, parent: libc::pid_t) -> io::Result<Infallible> {
    child::die_with(parent)?;
    // SAFETY: the call takes nothing.
    check(unsafe { libc::setsid() })?;
    // SAFETY: the number is that of this process's stdin, and nothing here uses it. The table of
    // descriptors is a copy, so the parent's stays as it is.
    unsafe { libc::close(libc::STDIN_FILENO) };
    // SAFETY: the path ends with NUL and outlives the call.
    let null = check(unsafe { libc::open(NULL_DEVICE.as_ptr(), libc::O_RDONLY) })?;
    if null != libc::STDIN_FILENO {
        // SAFETY: the call takes numbers and no pointer.
        check(unsafe { libc::dup2(null, libc::STDIN_FILENO) })?;
        // SAFETY: the descriptor was opened above and is not used any more.
        unsafe { libc::close(null) };
    }
    for stream in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: the call takes numbers and no pointer.
        check(unsafe { libc::dup2(program.output, stream) })?;
    }
    if let Some(limit) = &program.limit {
        // SAFETY: the structure is only read and outlives the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) })?;
    }
    restore_signals()?;
    let nothing = [ptr::null::<c_char>()];
    let words = program.words.as_ptr();
    // SAFETY: all three outlive the call, and both arrays end with a null pointer.
    check(unsafe { libc::execve(program.path.as_ptr(), words, nothing.as_ptr()) })?;
    Err(io::Error::from_raw_os_error(libc::EINVAL))
}

/// Sets every signal to its default and blocks none.
fn restore_signals() -> io::Result<()> {
    // The kernel's own structure, at least as large as on any machine; zeros mean SIG_DFL without
    // flags. sigaction(3) is not used because it refuses two signals that the C library reserves.
    let default = [0_u64; 8];
    let (action, before) = (default.as_ptr(), ptr::null_mut::<c_void>());
    let changeable = |signal: &c_int| ![libc::SIGKILL, libc::SIGSTOP].contains(signal);
    for signal in (1..=SIGNALS).filter(changeable) {
        let number = libc::SYS_rt_sigaction;
        // SAFETY: the structure is only read and outlives the call; the old one is not requested.
        check(unsafe { libc::syscall(number, signal, action, before, SIGNAL_SET_SIZE) })?;
    }
    set_signal_mask(0)?;
    Ok(())
}

/// Blocks exactly the signals in `mask`, whose lowest bit is signal 1, and returns the previous
/// mask. pthread_sigmask(3) is not used because it leaves out the same two signals.
fn set_signal_mask(mask: u64) -> io::Result<u64> {
    let (number, mut before) = (libc::SYS_rt_sigprocmask, 0_u64);
    let (new, old) = (&raw const mask, &raw mut before);
    // SAFETY: one set is only read, the other is ours to write, and both outlive the call.
    check(unsafe { libc::syscall(number, libc::SIG_SETMASK, new, old, SIGNAL_SET_SIZE) })?;
    Ok(before)
}

/// Both ends of a pipe, close-on-exec. Only the reading end is non-blocking: programs expect a
/// blocking stdout.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the two numbers are ours to write and outlive the call.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the descriptor is new and has no other owner.
    let reading = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: the same holds for the other.
    let writing = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    // SAFETY: the call takes a number and no pointer.
    check(unsafe { libc::fcntl(reading.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok((reading, writing))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use super::*;

    fn words(line: &str) -> Vec<CString> {
        let word = |word| CString::new(word).expect("no NUL");
        line.split(' ').map(word).collect()
    }

    fn run(path: &CStr, line: &str) -> io::Result<Started> {
        start(path, &words(line))
    }

    /// Repeats `look` until it returns a value.
    fn until<T>(mut look: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
        let begin = Instant::now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "it never comes");
            std::thread::yield_now();
        }
    }

    /// The whole output of the program.
    fn output(started: &Started) -> io::Result<String> {
        let mut text = Vec::new();
        until(|| {
            let mut space = [0; 100];
            match read(started.output.as_fd(), &mut space) {
                Ok(0) => Ok(Some(())),
                Ok(count) => {
                    text.extend_from_slice(&space[..count]);
                    Ok(None)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn ended(started: &Started) -> io::Result<()> {
        until(|| Ok(reap(started.exit.as_fd())?.then_some(())))
    }

    #[test]
    fn a_program_gets_its_words_and_no_environment() -> io::Result<()> {
        let started = run(c"/bin/echo", "echo a b")?;
        assert_eq!(output(&started)?, "a b\n");
        ended(&started)?;
        let started = run(c"/usr/bin/env", "env")?;
        assert_eq!(output(&started)?, "");
        ended(&started)
    }

    #[test]
    fn stdin_is_empty_and_stderr_is_heard_too() -> io::Result<()> {
        let started = run(c"/bin/cat", "cat - /nowhere")?;
        let text = output(&started)?;
        assert!(text.contains("/nowhere"), "{text}");
        ended(&started)
    }

    #[test]
    fn a_file_that_is_no_program_is_refused_with_the_reason() {
        let missing = run(c"/nowhere", "x").map_err(|error| error.raw_os_error());
        assert_eq!(missing.err(), Some(Some(libc::ENOENT)));
        let folder = run(c"/", "x").map_err(|error| error.raw_os_error());
        assert_eq!(folder.err(), Some(Some(libc::EACCES)));
    }

    #[test]
    fn a_program_leads_a_group_that_can_be_ended_and_is_reaped_once() -> io::Result<()> {
        let started = run(c"/bin/sleep", "sleep 60")?;
        assert!(!reap(started.exit.as_fd())?, "it has not ended");
        child::end_group(started.id, child::Ending::Forced)?;
        ended(&started)?;
        let again = reap(started.exit.as_fd()).map_err(|error| error.raw_os_error());
        assert_eq!(again.err(), Some(Some(libc::ECHILD)));
        Ok(())
    }
}
