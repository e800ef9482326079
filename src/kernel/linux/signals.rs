//! The signals that the program handles, as descriptors of the loop.
//!
//! signalfd(2) returns the lowest number first, and SIGHUP is 1: a process that sends SIGHUP faster
//! than it is read would hide SIGTERM forever. Therefore a second descriptor has only the signals
//! that end the program, and it is read first. Only the descriptor for all signals is registered
//! with epoll. The mask of blocked signals belongs to a thread and is inherited, so signals are
//! blocked before the first thread starts and before anything slow. Neighbours: `linux`, which
//! reports the descriptor; `sys::process::signal`. Man pages: signalfd(2), signal(7),
//! pid_namespaces(7).

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::kernel::Signal;
use crate::sys::process::signal;

/// Signals that end the program, by default and here.
const ENDING: [i32; 2] = [signal::TERM, signal::INT];
/// Signals that request something from a server. Unblocked, they would end it.
const ASKING: [i32; 2] = [signal::USR1, signal::HUP];
/// All signals that the loop handles.
pub(in crate::kernel) const ANSWERED: [i32; 4] =
    [signal::TERM, signal::INT, signal::USR1, signal::HUP];

/// Blocks the signals that the loop handles, and SIGCHLD, until the loop reads them, and makes a
/// write to a closed pipe an ordinary error. Must be called before the first thread starts: the
/// kernel may deliver a signal to any thread that does not block it.
pub fn block_signals() -> io::Result<()> {
    signal::ignore_write_signals()?;
    signal::block(&[&ANSWERED[..], &[signal::CHLD]].concat())
}

/// Blocks SIGUSR2 too, for a server with a trace. Without one, nothing reads that signal, and its
/// default ends the process. Must be called before the first thread starts.
pub fn block_trace_signal() -> io::Result<()> {
    signal::block(&[signal::USR2])
}

/// Blocks SIGUSR1 and SIGHUP from now on, for a loop that starts later. SIGTERM and SIGINT still
/// end the process at once, because no peer is owed a reply yet. In the first process of a
/// namespace they are blocked too: the kernel discards them there as long as they are not blocked.
pub fn hold_signals_back() -> io::Result<()> {
    match std::process::id() {
        1 => signal::block(&ANSWERED),
        _ => signal::block(&ASKING),
    }
}

/// Unblocks all of these signals.
pub fn let_signals_act() -> io::Result<()> {
    signal::unblock(&ANSWERED)
}

/// Unblocks SIGHUP, for a program without a file to reload.
pub fn let_hang_ups_act() -> io::Result<()> {
    signal::unblock(&[signal::HUP])
}

/// The blocked signals, readable through two descriptors.
pub(in crate::kernel) struct Signals {
    ending: OwnedFd,
    all: OwnedFd,
}

impl Signals {
    /// Blocks the signals, if this has not been done, and opens the descriptors.
    pub(in crate::kernel) fn new() -> io::Result<Signals> {
        block_signals()?;
        Ok(Signals {
            ending: signal::descriptor(&ENDING)?,
            all: signal::descriptor(&[&ANSWERED[..], &[signal::USR2]].concat())?,
        })
    }

    /// Readable while a signal is pending.
    pub(in crate::kernel) fn descriptor(&self) -> BorrowedFd<'_> {
        self.all.as_fd()
    }

    /// Takes one pending signal. Signals that end the program come first.
    pub(in crate::kernel) fn take(&self) -> io::Result<Option<Signal>> {
        for descriptor in [&self.ending, &self.all] {
            match signal::take(descriptor.as_fd()) {
                Ok(signal::USR1) => return Ok(Some(Signal::Statistics)),
                Ok(signal::USR2) => return Ok(Some(Signal::Trace)),
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
        // Another SIGHUP does not change the order.
        signal::raise(signal::HUP)?;
        assert_eq!(signals.take()?, Some(Signal::Terminate(signal::TERM)));
        assert_eq!(signals.take()?, Some(Signal::Reload));
        assert_eq!(signals.take()?, Some(Signal::Statistics));
        assert_eq!(signals.take()?, None);
        Ok(())
    }
}
