//! Starting a program beside the loop: posix_spawn(3), one pipe for what it says, and a pidfd for
//! its end.
//!
//! The program gets its words and nothing else of us: no shell, an empty environment, `/dev/null`
//! to read, the pipe as stdout and stderr, every signal at its default and none held back, a
//! session and process group of its own, and so no terminal that it could speak to or be ended by.
//! posix_spawn(3) is vfork(2) with care: the calling thread stands still until the program runs or
//! was refused, its memory is not copied, and the reason of a refusal comes back.
//! What we open is close-on-exec; what we were ourselves started with is made so by [`prepare`].
//! Which programs, how many and for how long is not known here. Man pages: posix_spawn(3),
//! pidfd_open(2), waitid(2), close_range(2), execve(2), setsid(2).

use std::ffi::{CStr, CString};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_char, c_int};

use super::{check, child, retry};
use crate::limits::COMMAND_WORDS_MAX;

const NULL_DEVICE: &CStr = c"/dev/null";

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Started {
    /// The reading end of what it says, non-blocking.
    pub(crate) output: OwnedFd,
    /// Readable when it has ended.
    pub(crate) exit: OwnedFd,
    /// The number of the process, and of the group that it leads.
    pub(crate) id: u32,
}

/// Sees to it that programs inherit no descriptor that this process was started with, and that
/// those that have ended stay to be reaped, which whoever started us may have refused: an ignored
/// SIGCHLD outlives execve(2), and then a number is another's before it is asked for.
pub(crate) fn prepare() -> io::Result<()> {
    // SAFETY: SIG_DFL installs no code of ours that could run at a bad time.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_uint;
    // SAFETY: the call takes numbers and no pointer, and closes nothing before an execve.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, flags) })?;
    Ok(())
}

/// Starts the program at `path` with `words`, at most [`COMMAND_WORDS_MAX`] of them.
pub(crate) fn start(path: &CStr, words: &[CString]) -> io::Result<Started> {
    let mut pointers = [ptr::null_mut::<c_char>(); COMMAND_WORDS_MAX + 1];
    if words.len() > COMMAND_WORDS_MAX {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    for (pointer, word) in pointers.iter_mut().zip(words) {
        *pointer = word.as_ptr().cast_mut();
    }
    let (output, told) = pipe()?;
    let (mut actions, mut attributes) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let mut actions = Actions::new(&mut actions)?;
    actions.open_null()?;
    actions.duplicate(&told, libc::STDOUT_FILENO)?;
    actions.duplicate(&told, libc::STDERR_FILENO)?;
    let mut attributes = Attributes::new(&mut attributes)?;
    attributes.lead_a_session_with_plain_signals()?;
    let nothing = [ptr::null_mut::<c_char>()];
    let mut id = 0;
    // SAFETY: all are initialised and outlive the call; both arrays end with a null pointer, and
    // the words they point to are not written to.
    code(unsafe {
        libc::posix_spawn(
            &mut id,
            path.as_ptr(),
            actions.0,
            attributes.0,
            pointers.as_ptr(),
            nothing.as_ptr(),
        )
    })?;
    drop(told);
    let id = id as u32;
    match open_pidfd(id) {
        Ok(exit) => Ok(Started { output, exit, id }),
        Err(error) => {
            abort(id);
            Err(error)
        }
    }
}

/// Takes what a program has said; 0 when nobody is left who could say more.
pub(crate) fn read(fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (space.as_mut_ptr().cast(), space.len());
    // SAFETY: `length` bytes from `start` are ours to write and outlive the call.
    let count = retry(|| unsafe { libc::read(fd.as_raw_fd(), start, length) })?;
    Ok(count as usize)
}

/// Reaps the process behind a pidfd, if it has ended; tells whether it had.
pub(crate) fn reap(exit: BorrowedFd<'_>) -> io::Result<bool> {
    wait(libc::P_PIDFD, exit.as_raw_fd() as u32, libc::WNOHANG)
}

/// A process that nobody could watch is ended and waited for: it was started a moment ago, and does
/// not run on.
#[cold]
fn abort(id: u32) {
    // Neither can be refused: it is ours, and has not been reaped.
    let _ = child::end_group(id, child::Ending::Forced);
    let _ = wait(libc::P_PID, id, 0);
}

fn wait(kind: libc::idtype_t, id: u32, flags: c_int) -> io::Result<bool> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the structure is ours to write and outlives the call.
    retry(|| unsafe { libc::waitid(kind, id, &mut info, libc::WEXITED | flags) })?;
    // SAFETY: waitid(2) has filled in these fields, or has left the zeros.
    Ok(unsafe { info.si_pid() } != 0)
}

/// Both ends of a pipe, close-on-exec; only the reading one does not block, because the other is
/// for programs that expect it so.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the two numbers are ours to write and outlive the call.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the number was just made for us and nobody else has it.
    let reading = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: the same holds for the other.
    let writing = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    // SAFETY: the call takes a number and no pointer.
    check(unsafe { libc::fcntl(reading.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok((reading, writing))
}

fn open_pidfd(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers and no pointer.
    let number = check(unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0_u32) })?;
    // SAFETY: the number was just made for us, close-on-exec, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as c_int) })
}

/// These calls answer with the error itself.
fn code(answer: c_int) -> io::Result<()> {
    match answer {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// What a new process does with its descriptors. Borrowed, because it may not be moved.
struct Actions<'a>(&'a mut libc::posix_spawn_file_actions_t);

impl<'a> Actions<'a> {
    fn new(place: &'a mut MaybeUninit<libc::posix_spawn_file_actions_t>) -> io::Result<Self> {
        // SAFETY: the place is ours to write.
        code(unsafe { libc::posix_spawn_file_actions_init(place.as_mut_ptr()) })?;
        // SAFETY: it was initialised just above.
        Ok(Actions(unsafe { place.assume_init_mut() }))
    }

    fn open_null(&mut self) -> io::Result<()> {
        let (number, path) = (libc::STDIN_FILENO, NULL_DEVICE.as_ptr());
        // SAFETY: the structure was initialised, and the path is copied.
        code(unsafe {
            libc::posix_spawn_file_actions_addopen(self.0, number, path, libc::O_RDONLY, 0)
        })
    }

    fn duplicate(&mut self, from: &OwnedFd, to: c_int) -> io::Result<()> {
        let from = from.as_raw_fd();
        // SAFETY: the structure was initialised; the numbers are only noted.
        code(unsafe { libc::posix_spawn_file_actions_adddup2(self.0, from, to) })
    }
}

impl Drop for Actions<'_> {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0) };
    }
}

/// What else is different in a new process. Borrowed, because it may not be moved.
struct Attributes<'a>(&'a mut libc::posix_spawnattr_t);

impl<'a> Attributes<'a> {
    fn new(place: &'a mut MaybeUninit<libc::posix_spawnattr_t>) -> io::Result<Self> {
        // SAFETY: the place is ours to write.
        code(unsafe { libc::posix_spawnattr_init(place.as_mut_ptr()) })?;
        // SAFETY: it was initialised just above.
        Ok(Attributes(unsafe { place.assume_init_mut() }))
    }

    fn lead_a_session_with_plain_signals(&mut self) -> io::Result<()> {
        // SAFETY: the set is plain numbers, for which zero is a value: on Linux the empty set.
        let none: libc::sigset_t = unsafe { mem::zeroed() };
        let mut all = MaybeUninit::uninit();
        // Not sigfillset(3): it leaves out two that the C library keeps for itself, and would have
        // new programs ignore.
        // SAFETY: the set is ours to write, all of it.
        unsafe { ptr::write_bytes(all.as_mut_ptr(), 0xff, 1) };
        // SAFETY: the set is plain numbers, for which all ones is a value: every signal.
        let all: libc::sigset_t = unsafe { all.assume_init() };
        // SAFETY: the structure was initialised, and the set is copied.
        code(unsafe { libc::posix_spawnattr_setsigmask(self.0, &none) })?;
        // SAFETY: the structure was initialised, and the set is copied.
        code(unsafe { libc::posix_spawnattr_setsigdefault(self.0, &all) })?;
        let flags = libc::POSIX_SPAWN_SETSIGMASK
            | libc::POSIX_SPAWN_SETSIGDEF
            // Whoever leads a session leads a group.
            | c_int::from(libc::POSIX_SPAWN_SETSID);
        // SAFETY: the structure was initialised.
        code(unsafe { libc::posix_spawnattr_setflags(self.0, flags as libc::c_short) })
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is not used again.
        unsafe { libc::posix_spawnattr_destroy(self.0) };
    }
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

    /// Asks again and again until the answer is there.
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

    /// All that it says, to the end.
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
    fn a_program_that_is_none_is_refused_with_the_reason() {
        let missing = run(c"/nowhere", "x").map_err(|error| error.raw_os_error());
        assert_eq!(missing.err(), Some(Some(libc::ENOENT)));
        let folder = run(c"/", "x").map_err(|error| error.raw_os_error());
        assert_eq!(folder.err(), Some(Some(libc::EACCES)));
    }

    #[test]
    fn it_leads_a_group_that_can_be_ended_and_is_reaped_once() -> io::Result<()> {
        let started = run(c"/bin/sleep", "sleep 60")?;
        assert!(!reap(started.exit.as_fd())?, "it has not ended");
        child::end_group(started.id, child::Ending::Forced)?;
        ended(&started)?;
        let again = reap(started.exit.as_fd()).map_err(|error| error.raw_os_error());
        assert_eq!(again.err(), Some(Some(libc::ECHILD)));
        Ok(())
    }
}
