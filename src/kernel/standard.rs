//! Standard input and standard output of a command that has a result to give: they wait for the
//! other side, and an error is an error.
//!
//! The standard library takes a closed or misused standard stream (`EBADF`) for an empty one, so
//! that a result can be lost and the program still end well. These two say so instead, when they
//! are opened: before there is a result that could be lost. What is read or printed is not known
//! here. Man pages: read(2), write(2), stdin(3).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use crate::sys::fd::{standard, stream};

/// Standard input, which can be read.
#[derive(Debug)]
pub struct StandardInput(BorrowedFd<'static>);

/// Standard output, which can be written to.
#[derive(Debug)]
pub struct StandardOutput(BorrowedFd<'static>);

impl StandardInput {
    /// # Errors
    ///
    /// It is closed, open for writing only, or a folder.
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
    /// It is closed, or open for reading only.
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
