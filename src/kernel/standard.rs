//! Standard input and standard output of a command that produces a result: calls wait for the other
//! side, and errors are reported.
//!
//! The standard library treats a closed or misused standard stream (`EBADF`) as an empty one, so a
//! result can be lost although the program ends with success. These two types report the error when
//! they are opened, before there is a result to lose. What is read or printed is not known here.
//! Man pages: read(2), write(2), stdin(3).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use crate::sys::fd::{standard, stream};

/// Standard input, open for reading.
#[derive(Debug)]
pub struct StandardInput(BorrowedFd<'static>);

/// Standard output, open for writing.
#[derive(Debug)]
pub struct StandardOutput(BorrowedFd<'static>);

impl StandardInput {
    /// # Errors
    ///
    /// The stream is closed, open for writing only, or a directory.
    pub fn open() -> io::Result<StandardInput> {
        let descriptor = open(standard::INPUT)?;
        let (readable, _) = stream::access(descriptor)?;
        if !readable {
            return Err(io::Error::other("it is open for writing only"));
        }
        if File::from(descriptor.try_clone_to_owned()?)
            .metadata()?
            .is_dir()
        {
            return Err(io::Error::other("it is a folder"));
        }
        Ok(StandardInput(descriptor))
    }
}

impl StandardOutput {
    /// # Errors
    ///
    /// The stream is closed, or open for reading only.
    pub fn open() -> io::Result<StandardOutput> {
        let descriptor = open(standard::OUTPUT)?;
        let (_, writable) = stream::access(descriptor)?;
        if !writable {
            return Err(io::Error::other("it is open for reading only"));
        }
        Ok(StandardOutput(descriptor))
    }
}

fn open(number: i32) -> io::Result<BorrowedFd<'static>> {
    if standard::was_closed(number) {
        return Err(io::Error::other("it is closed; /dev/null would do"));
    }
    Ok(standard::descriptor(number))
}

impl Read for StandardInput {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        stream::read_waiting(self.0, space)
    }
}

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stream::write_waiting(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
