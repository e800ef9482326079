//! Where the log goes: to stderr, as long as somebody takes it.
//!
//! A pipe whose reader has stopped fills up, and the next line would wait for it with the whole
//! loop behind it; and a peer may cause lines. So what is not taken at once is dropped, as
//! statistics on stdout are. What a line says is not known here. Neighbour: `main` hands this to
//! the logger. Man page: pipe(7).

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use crate::kernel::write_now;

/// Standard error, which drops what it would have to wait for.
#[derive(Debug)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match write_now(io::stderr().as_fd(), line) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(line.len()),
            answer => answer,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
