//! Reads that a signal has ended early.

use std::io::{self, ErrorKind};

/// Calls again after EINTR. With a time-out for receiving, the kernel restarts no call that a signal
/// has interrupted, not even one that stops and continues the process, see signal(7).
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
