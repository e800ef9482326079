//! The standard streams of this process, as the trait [`Streams`].
//!
//! A terminal, a pipe or a socket is registered with the same epoll instance as all other
//! descriptors. epoll refuses a regular file and `/dev/null` with `EPERM`; they are always ready. A
//! stream that the loop does not want to use is deregistered: the hang-up of a pipe cannot be
//! masked, and a program that does not read the pipe would get it with every wait. The streams stay
//! open until the process ends, so only a deregistration ends their reports. Standard output is
//! written through its `outlet`, because a write to a terminal may sleep although the terminal
//! reports room. Man pages: epoll_ctl(2), stdin(3).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::Linux;
use super::signals::ANSWERED;
use crate::kernel::{Stream, Streams, errno, outlet};
use crate::sys::epoll;
use crate::sys::fd::{standard, stream};
use crate::sys::process::signal;

/// Makes a write to a closed pipe, or beyond the limit of a file's size, an error like others, and
/// lets a process in the background of a terminal write there. What is started later gets the
/// default actions back.
pub fn ignore_write_signals() -> io::Result<()> {
    signal::ignore_write_signals()
}

/// Reverts [`crate::kernel::block_signals`]: a signal then ends a program that has left its loop
/// and waits for the reader of its result. Signals that are already pending are discarded.
pub fn release_signals() -> io::Result<()> {
    signal::release(&ANSWERED)
}

impl Streams for Linux {
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool> {
        match stream {
            Stream::Input => watch(self, input(), stream, epoll::IN, on),
            Stream::Output => watch(self, outlet::output().as_fd(), stream, epoll::OUT, on),
        }
    }

    fn input(&mut self, space: &mut [u8]) -> io::Result<usize> {
        stream::read(input(), space)
    }

    fn output(&mut self, bytes: &[u8]) -> io::Result<usize> {
        outlet::output().write(bytes)
    }
}

fn input() -> BorrowedFd<'static> {
    standard::descriptor(standard::INPUT)
}

fn watch(
    linux: &Linux,
    fd: BorrowedFd<'_>,
    stream: Stream,
    mask: u32,
    on: bool,
) -> io::Result<bool> {
    let answer = match on {
        true => linux.epoll.add(fd, stream.token().bits(), mask),
        false => linux.epoll.delete(fd),
    };
    match answer {
        Err(error) if error.raw_os_error() == Some(errno::EPERM) => Ok(false),
        answer => answer.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::kernel::{Event, Poller, Time};

    const NOW: Time = Time::from_nanos(0);

    #[test]
    fn a_file_has_nothing_to_wait_for() -> io::Result<()> {
        let linux = Linux::new(false)?;
        let file = File::open("/dev/null")?;
        for on in [true, false] {
            let watched = watch(&linux, file.as_fd(), Stream::Input, epoll::IN, on)?;
            assert!(!watched);
        }
        Ok(())
    }

    #[test]
    fn a_stream_is_reported_only_while_it_is_watched() -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        let mut events = [Event::default(); 4];
        let (near, far) = UnixStream::pair()?;
        drop(far);
        assert!(watch(&linux, near.as_fd(), Stream::Input, epoll::IN, true)?);
        assert_eq!(linux.wait(&mut events, NOW)?, 1);
        assert_eq!(events[0].token(), Stream::Input.token());
        assert!(watch(
            &linux,
            near.as_fd(),
            Stream::Input,
            epoll::IN,
            false
        )?);
        assert_eq!(linux.wait(&mut events, NOW)?, 0);
        Ok(())
    }
}
