//! Other processes: starting one so that it can be measured and ended, and moving threads to a
//! processor.
//!
//! A program that is started inherits which signals are blocked and which are ignored. mynah blocks
//! those that would end it and ignores those of a failed write; both are undone between fork(2) and
//! execve(2), where only async-signal-safe calls are allowed. The new process leads a group of its
//! own, so that all that it starts is ended with it, and dies with the thread that started it.
//! Man pages: sched_setaffinity(2), kill(2), signal-safety(7), PR_SET_PDEATHSIG(2const).

use std::io;
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

use super::process::pin_task;
use super::{check, signal};

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: in its own time.
    Asked,
    /// SIGKILL: at once.
    Forced,
}

/// Starts `command` as the leader of its own process group, with no signal held back; on processor
/// `cpu` alone, if one is given.
pub fn start(command: &mut Command, cpu: Option<usize>) -> io::Result<Child> {
    command.process_group(0);
    let prepare = move || {
        clear_signal_mask()?;
        signal::heed_failed_writes()?;
        die_with_parent()?;
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
    // SAFETY: the set is initialised and outlives the call; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: with this operation the call takes a number and no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    Ok(())
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
        signal::ignore_failed_writes()?;
        let mut grep = Command::new("grep");
        grep.args(["SigIgn", "/proc/self/status"]);
        grep.stdout(std::process::Stdio::piped());
        let output = start(&mut grep, None)?.wait_with_output()?;
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        let ignored = line.split_whitespace().nth(1).expect("a set of signals");
        let ignored = u64::from_str_radix(ignored, 16).expect("hex");
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            assert_eq!(ignored >> (signal - 1) & 1, 0, "{line}");
        }
        Ok(())
    }

    #[test]
    fn nobody_signals_everybody() {
        for group in [0, 1, u32::MAX] {
            assert!(end_group(group, Ending::Asked).is_err());
        }
    }
}
