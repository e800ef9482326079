//! The echo of a terminal, switched off while a line is redrawn in place.
//!
//! What is typed meanwhile stays in the terminal's queue, for the program that reads it next. The
//! terminal is changed only by the foreground of its session: in the background it is the shell's.
//! A process that is killed leaves the echo off; shells restore it. Man pages: termios(3),
//! tcgetpgrp(3).

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::sys::{check, retry};

/// A terminal without echo; dropped, it is as it was.
pub(crate) struct SilentTerminal {
    terminal: OwnedFd,
    before: libc::termios,
}

impl SilentTerminal {
    /// Switches the echo off; nothing if this process is in the background, or has no terminal of
    /// its own.
    pub(crate) fn new(terminal: BorrowedFd<'_>) -> io::Result<Option<SilentTerminal>> {
        if !is_in_foreground(terminal) {
            return Ok(None);
        }
        // SAFETY: the structure is plain numbers, for which zero is a value.
        let mut before: libc::termios = unsafe { mem::zeroed() };
        // SAFETY: the structure is ours to write and outlives the call.
        check(unsafe { libc::tcgetattr(terminal.as_raw_fd(), &mut before) })?;
        let silent = libc::termios {
            c_lflag: before.c_lflag & !libc::ECHO,
            ..before
        };
        set(terminal, &silent)?;
        let terminal = terminal.try_clone_to_owned()?;
        Ok(Some(SilentTerminal { terminal, before }))
    }
}

impl Drop for SilentTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        if is_in_foreground(self.terminal.as_fd()) {
            let _ = set(self.terminal.as_fd(), &self.before);
        }
    }
}

impl fmt::Debug for SilentTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SilentTerminal")
            .field(&self.terminal)
            .finish()
    }
}

fn set(terminal: BorrowedFd<'_>, mode: &libc::termios) -> io::Result<()> {
    let fd = terminal.as_raw_fd();
    // SAFETY: the structure is only read and outlives the call.
    retry(|| unsafe { libc::tcsetattr(fd, libc::TCSANOW, mode) } as isize).map(drop)
}

fn is_in_foreground(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: the call takes a number and no pointer.
    let foreground = unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) };
    // SAFETY: the call takes nothing and cannot fail.
    foreground == unsafe { libc::getpgrp() }
}
