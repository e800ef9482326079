//! The signals that the program answers to, as descriptors of the loop.
//!
//! signalfd(2) gives the lowest number first, and SIGHUP is 1: whoever sends it faster than it is
//! taken would hide SIGTERM for ever. So there is a second descriptor for the signals that end the
//! program, and it is read first; only the other one, for all of them, is watched. The mask of
//! blocked signals belongs to a thread and is inherited, so blocking comes before the first thread
//! and before anything slow. Neighbours: `linux`, which reports the descriptor; `sys::signal`. Man
//! pages: signalfd(2), signal(7), pid_namespaces(7).

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::Signal;
use crate::sys::process::signal;

/// Those that end a program that is not told otherwise, and this one as well.
const ENDING: [i32; 2] = [signal::TERM, signal::INT];
/// Those that ask a server for something, and would end it before it could hear of them.
const ASKING: [i32; 2] = [signal::USR1, signal::HUP];
/// All that the loop answers to.
pub(in crate::kernel) const ANSWERED: [i32; 4] =
    [signal::TERM, signal::INT, signal::USR1, signal::HUP];

/// Keeps signals from ending the process: those that the loop answers to, and SIGCHLD, wait until
/// it reads them, and writing to a closed pipe is an error like others. To be called before the
/// first thread starts: a thread that does not block them may take them instead.
pub fn block_signals() -> io::Result<()> {
    signal::ignore_write_signals()?;
    signal::block(&[&ANSWERED[..], &[signal::CHLD]].concat())
}

/// Lets SIGUSR1 and SIGHUP wait from here on, for a loop that comes later. SIGTERM and SIGINT still
/// end the process at once: it owes nobody anything yet. But the first process of a namespace
/// ignores them as long as they are not blocked, so there they wait as well.
pub fn hold_signals_back() -> io::Result<()> {
    match std::process::id() {
        1 => signal::block(&ANSWERED),
        _ => signal::block(&ASKING),
    }
}

/// Lets all signals act again as they do on any program.
pub fn let_signals_act() -> io::Result<()> {
    signal::unblock(&ANSWERED)
}

/// Lets SIGHUP act again, for a program that has no file to read again.
pub fn let_hang_ups_act() -> io::Result<()> {
    signal::unblock(&[signal::HUP])
}

/// What has arrived and was blocked.
pub(in crate::kernel) struct Signals {
    ending: OwnedFd,
    all: OwnedFd,
}

impl Signals {
    /// Blocks the signals, if that was not done before, and waits for them.
    pub(in crate::kernel) fn new() -> io::Result<Signals> {
        block_signals()?;
        Ok(Signals {
            ending: signal::descriptor(&ENDING)?,
            all: signal::descriptor(&ANSWERED)?,
        })
    }

    /// Readable while one has arrived.
    pub(in crate::kernel) fn descriptor(&self) -> BorrowedFd<'_> {
        self.all.as_fd()
    }

    /// Takes one, if one has arrived: first those that end the program.
    pub(in crate::kernel) fn take(&self) -> io::Result<Option<Signal>> {
        for descriptor in [&self.ending, &self.all] {
            match signal::take(descriptor.as_fd()) {
                Ok(signal::USR1) => return Ok(Some(Signal::Statistics)),
                Ok(signal::HUP) => return Ok(Some(Signal::Reload)),
                Ok(number) => return Ok(Some(Signal::Terminate(number))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_ends_is_taken_before_all_that_came_earlier() -> io::Result<()> {
        let signals = Signals::new()?;
        for number in [signal::HUP, signal::USR1, signal::TERM, signal::INT] {
            signal::raise(number)?;
        }
        assert_eq!(signals.take()?, Some(Signal::Terminate(signal::INT)));
        // However often others are sent.
        signal::raise(signal::HUP)?;
        assert_eq!(signals.take()?, Some(Signal::Terminate(signal::TERM)));
        assert_eq!(signals.take()?, Some(Signal::Reload));
        assert_eq!(signals.take()?, Some(Signal::Statistics));
        assert_eq!(signals.take()?, None);
        Ok(())
    }
}
