//! Child processes: starting one that is measured and ended later, and reaping children that this
//! process did not start.
//!
//! A new program inherits which signals are blocked and which are ignored. mynah blocks the signals
//! that would end it and ignores those that a write raises. Both are undone between fork(2) and
//! execve(2), where only async-signal-safe calls are allowed. The new process leads a process
//! group, so that all processes that it starts are ended with it. It is killed when the thread that
//! started it ends.
//!
//! A process whose parent ends becomes a child of the nearest ancestor that is a subreaper, or of
//! process 1, and stays a zombie until the new parent reaps it. Man pages: sched_setaffinity(2),
//! kill(2), wait(2), signal-safety(7), PR_SET_PDEATHSIG(2const), PR_SET_CHILD_SUBREAPER(2const).

use std::io;
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

use super::pin_task;
use super::signal;
use crate::sys::{check, retry};

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: the process may finish its work.
    Asked,
    /// SIGKILL: at once.
    Forced,
}

/// Starts `command` as the leader of its own process group, with no signal blocked; on processor
/// `cpu` alone, if given.
pub fn start(command: &mut Command, cpu: Option<usize>) -> io::Result<Child> {
    command.process_group(0);
    // SAFETY: the call takes nothing and cannot fail.
    let parent = unsafe { libc::getpid() };
    let prepare = move || {
        clear_signal_mask()?;
        signal::restore_write_signals()?;
        die_with(parent)?;
        cpu.map_or(Ok(()), |cpu| pin_task(0, cpu))
    };
    // SAFETY: the closure makes a few system calls and neither allocates nor locks
    // (signal-safety(7)).
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

fn clear_signal_mask() -> io::Result<()> {
    // SAFETY: the set is plain numbers, for which zero is a value: on Linux the empty set.
    let none: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the set is initialised and outlives the call; the old mask is not requested.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Makes the kernel kill the calling process when the thread that started it ends; `parent` is the
/// process of this thread. Returns an error if `parent` has already ended. Async-signal-safe.
pub(in crate::sys) fn die_with(parent: libc::pid_t) -> io::Result<()> {
    // SAFETY: with this operation the call takes a number and no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    // SAFETY: the call takes nothing and cannot fail.
    match unsafe { libc::getppid() } == parent {
        true => Ok(()),
        // The parent ended before the call above, so no signal follows.
        false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Signals all processes of the group that `leader` leads.
pub fn end_group(leader: u32, ending: Ending) -> io::Result<()> {
    let Some(group) = i32::try_from(leader).ok().filter(|&group| group > 1) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let signal = match ending {
        Ending::Asked => libc::SIGTERM,
        Ending::Forced => libc::SIGKILL,
    };
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::kill(-group, signal) })?;
    Ok(())
}

/// Waits until one of the children selected by `kind` and `id` ends, as waitid(2) does, and returns
/// its number. Returns `None` if `flags` say not to wait and none has ended.
pub(in crate::sys) fn wait(
    kind: libc::idtype_t,
    id: u32,
    flags: libc::c_int,
) -> io::Result<Option<u32>> {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the structure is ours to write and outlives the call.
    retry(|| unsafe { libc::waitid(kind, id, &mut info, libc::WEXITED | flags) })?;
    // SAFETY: waitid(2) has filled in this field, or has left the zero.
    let number = unsafe { info.si_pid() };
    Ok(u32::try_from(number).ok().filter(|&number| number > 0))
}

/// Makes this process the new parent of descendants whose parent ends. Its children do not inherit
/// this setting.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    let yes: libc::c_ulong = 1;
    // SAFETY: with this operation the call takes a number and no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, yes) })?;
    Ok(())
}

/// The number of a child of the calling thread that has ended and is not reaped: the oldest such
/// child. Orphans are children of the first thread of a process.
pub(crate) fn ended() -> io::Result<Option<u32>> {
    let look = libc::WNOHANG | libc::WNOWAIT | libc::__WNOTHREAD;
    match wait(libc::P_ALL, 0, look) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        ended => ended,
    }
}

/// Reaps child `id`, which has ended.
pub(crate) fn reap(id: u32) -> io::Result<()> {
    wait(libc::P_PID, id, libc::WNOHANG).map(drop)
}

/// Lets the kernel reap all children of this process, if it may have any. This is for a program
/// that starts none but was executed in place of their parent, is a subreaper, or is process 1. In
/// all other cases SIGCHLD stays as it is.
pub fn leave_all_to_the_kernel() -> io::Result<()> {
    if !may_have_children() {
        return Ok(());
    }
    // SAFETY: SIG_IGN installs no code of ours that could run at a bad time.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    // Children that ended before this call are still zombies. If they cannot be reaped, only their
    // entries in the process table are lost.
    while let Ok(Some(id)) = ended() {
        if reap(id).is_err() {
            break;
        }
    }
    Ok(())
}

/// Whether a child of this process may exist or be adopted. A refused question counts as yes: a
/// sandbox may filter prctl(2), and the user-mode emulation of qemu refuses this operation.
fn may_have_children() -> bool {
    let mut is_subreaper: libc::c_int = 0;
    // SAFETY: with this operation the call writes one number, which outlives it.
    let asked = check(unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut is_subreaper) });
    // SAFETY: the call takes nothing and cannot fail.
    let is_first = unsafe { libc::getpid() } == 1;
    let look = wait(libc::P_ALL, 0, libc::WNOHANG | libc::WNOWAIT);
    let has_none = look.is_err_and(|error| error.raw_os_error() == Some(libc::ECHILD));
    is_first || asked.is_err() || is_subreaper != 0 || !has_none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_process_can_be_ended_although_we_hold_signals_back() -> io::Result<()> {
        signal::block(&[signal::TERM])?;
        let mut child = start(Command::new("sleep").arg("60"), None)?;
        end_group(child.id(), Ending::Asked)?;
        let status = child.wait()?;
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(signal::TERM)
        );
        Ok(())
    }

    #[test]
    fn a_started_process_ignores_no_signal_that_we_ignore() -> io::Result<()> {
        signal::ignore_write_signals()?;
        let mut grep = Command::new("grep");
        grep.args(["SigIgn", "/proc/self/status"]);
        grep.stdout(std::process::Stdio::piped());
        let output = start(&mut grep, None)?.wait_with_output()?;
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        let ignored = line.split_whitespace().nth(1).expect("a set of signals");
        let ignored = u64::from_str_radix(ignored, 16).expect("hex");
        for signal in signal::WRITE_SIGNALS {
            assert_eq!(ignored >> (signal - 1) & 1, 0, "{line}");
        }
        Ok(())
    }

    #[test]
    fn a_group_number_that_would_signal_other_processes_is_refused() {
        for group in [0, 1, u32::MAX] {
            assert!(end_group(group, Ending::Asked).is_err());
        }
    }
}
