//! Worker processes of one server, as their supervisor sees them: fork, link, signal, end.
//!
//! A [`Link`] connects the supervisor with one worker. It keeps the boundaries of messages, no call
//! on it waits, and its end tells that the other process has ended. What a message says is known to
//! `workers::processes`. These calls are outside the traits of the seam: the simulated kernel has
//! one process.
//!
//! Neighbours: `sys::process::fork` makes the calls; `lines`, whose kept rests a new process must
//! not write again. Man pages: fork(2), unix(7), waitid(2), signalfd(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::{Linux, Socket};
use crate::kernel::{Event, Interest, Poller, Sockets, Time, Token, lines};
use crate::sys::epoll;
use crate::sys::net::{rights, socket};
use crate::sys::process::fork::{self, Forked, Sent};
use crate::sys::process::{child, signal};

pub use crate::sys::process::fork::Exit;

/// One end of the connection between a supervisor and a worker.
#[derive(Debug)]
pub struct Link(Socket);

impl Link {
    /// Both ends.
    pub fn pair() -> io::Result<(Link, Link)> {
        let (one, other) = socket::pair()?;
        Ok((Link(one.into()), Link(other.into())))
    }

    /// Sends a message; `WouldBlock` if the other process reads too little.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        socket::send(self.0.as_fd(), message).map(drop)
    }

    /// Sends a message with copies of `sockets`.
    pub fn send_with(&self, message: &[u8], sockets: &[&Socket]) -> io::Result<()> {
        let numbers = sockets.iter().map(|socket| socket.as_fd().as_raw_fd());
        rights::send(self.0.as_fd(), message, numbers)
    }

    /// Takes the next message like [`Link::receive`], and adds the sockets that came with it to
    /// `sockets`.
    pub fn receive_with(&self, space: &mut [u8], sockets: &mut Vec<Socket>) -> io::Result<usize> {
        let mut passed = Vec::new();
        let size = match rights::receive(self.0.as_fd(), space, &mut passed) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                rights::receive(self.0.as_fd(), space, &mut passed)
            }
            answer => answer,
        };
        sockets.extend(passed.into_iter().map(Socket::from));
        size
    }

    /// Waits until there is a message or the other process has ended, or until `span` is over.
    pub fn wait(&self, span: Option<Duration>) -> io::Result<()> {
        let mut linux = Linux::new(false)?;
        linux.watch_link(self, Token::WAKE_UP)?;
        let until = span.map_or(Time::NEVER, |span| linux.now().after(span));
        linux.wait(&mut [Event::default()], until).map(drop)
    }

    /// Takes the next message and returns its size, which is not 0; 0 means that the other process
    /// has closed its end. What does not fit into `space` is cut off.
    pub fn receive(&self, space: &mut [u8]) -> io::Result<usize> {
        match socket::receive(self.0.as_fd(), space) {
            // The other process has ended with messages unread. This is reported once, before the
            // messages that it has sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                socket::receive(self.0.as_fd(), space)
            }
            answer => answer,
        }
    }
}

/// On which side of a fork the caller is.
#[derive(Debug)]
pub enum Process {
    /// In the supervisor, with the number of the worker.
    Supervisor(u32),
    /// In the new worker.
    Worker,
}

/// Starts a worker: a copy of this process, in a process group of its own, which is killed when
/// this one ends. This process must have no other threads.
pub fn start_worker() -> io::Result<Process> {
    match fork::fork()? {
        Forked::Parent(id) => Ok(Process::Supervisor(id)),
        Forked::Child => {
            lines::forget_rests();
            Ok(Process::Worker)
        }
    }
}

/// Kills a worker that is not reaped yet.
pub fn kill_worker(id: u32) -> io::Result<()> {
    fork::send(id, Sent::Kill)
}

/// Sends SIGHUP to a worker that is not reaped yet.
pub fn reload_worker(id: u32) -> io::Result<()> {
    fork::send(id, Sent::HangUp)
}

/// Sends SIGUSR2 to a worker that is not reaped yet: it writes its trace.
pub fn trace_worker(id: u32) -> io::Result<()> {
    fork::send(id, Sent::User)
}

/// Reaps a child that has ended, a worker or an orphan; `None` if there is none.
pub fn take_ended_child() -> io::Result<Option<(u32, Exit)>> {
    fork::take_ended()
}

impl Linux {
    /// Reports messages on `link` and its end under `token`.
    pub fn watch_link(&mut self, link: &Link, token: Token) -> io::Result<()> {
        self.register(&link.0, token, Interest::READ)
    }

    /// Ends the reports of `link`, and closes it.
    pub fn close_link(&mut self, link: Link) {
        // A process that was forked since has had a copy of the descriptor, which may be open
        // still.
        let _ = self.deregister(&link.0);
        self.close(link.0);
    }

    /// Reports messages on `link` and its end as a wake-up of this poller.
    pub fn wake_by(&mut self, link: &Link) -> io::Result<()> {
        self.watch_link(link, Token::WAKE_UP)
    }

    /// Reports under [`Token::CHILD_ENDED`] that a child has ended: a worker, or an orphan, whose
    /// parent this process becomes.
    pub fn watch_workers(&mut self) -> io::Result<()> {
        fork::keep_ended_children()?;
        self.watch_children()
    }

    /// Becomes the parent of orphans, and reports SIGCHLD.
    pub(in crate::kernel) fn watch_children(&mut self) -> io::Result<()> {
        child::adopt_orphans()?;
        let ended = signal::descriptor(&[signal::CHLD])?;
        let token = Token::CHILD_ENDED;
        self.epoll.add(ended.as_fd(), token.bits(), epoll::IN)?;
        self.ended_children = Some(ended);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_messages_apart_and_tells_its_end() -> io::Result<()> {
        let (one, other) = Link::pair()?;
        let mut space = [0; 16];
        let none = other.receive(&mut space).map_err(|error| error.kind());
        assert_eq!(none, Err(io::ErrorKind::WouldBlock));
        one.send(b"ab")?;
        one.send(b"cde")?;
        assert_eq!(other.receive(&mut space)?, 2);
        assert_eq!(other.receive(&mut space)?, 3);
        assert_eq!(&space[..3], b"cde");
        one.send(b"last")?;
        drop(one);
        assert_eq!(other.receive(&mut space)?, 4);
        assert_eq!(other.receive(&mut space)?, 0);
        Ok(())
    }

    #[test]
    fn the_last_messages_of_a_process_are_read_although_it_left_some_unread() -> io::Result<()> {
        let (one, other) = Link::pair()?;
        other.send(b"unread")?;
        one.send(b"last")?;
        drop(one);
        let mut space = [0; 16];
        assert_eq!(other.receive(&mut space)?, 4);
        assert_eq!(other.receive(&mut space)?, 0);
        Ok(())
    }

    #[test]
    fn a_socket_passes_over_a_link_and_a_message_ends_a_wait() -> io::Result<()> {
        let (one, other) = Link::pair()?;
        other.wait(Some(Duration::from_millis(1)))?;
        let (near, far) = Link::pair()?;
        one.send_with(b"with", &[&near.0])?;
        other.wait(None)?;
        let (mut space, mut sockets) = ([0; 16], Vec::new());
        assert_eq!(other.receive_with(&mut space, &mut sockets)?, 4);
        Link(sockets.remove(0)).send(b"there")?;
        assert_eq!(far.receive(&mut space)?, 5);
        drop(one);
        other.wait(None)?;
        assert_eq!(other.receive_with(&mut space, &mut sockets)?, 0);
        Ok(())
    }

    #[test]
    fn a_full_link_refuses_a_message_and_does_not_wait() -> io::Result<()> {
        let (one, _other) = Link::pair()?;
        let refused = loop {
            if let Err(error) = one.send(&[7; 500]) {
                break error;
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        Ok(())
    }

    #[test]
    fn a_message_wakes_a_poller() -> io::Result<()> {
        let (one, other) = Link::pair()?;
        let mut linux = Linux::new(false)?;
        linux.wake_by(&other)?;
        one.send(b"x")?;
        let mut events = [Event::default(); 2];
        assert_eq!(linux.wait(&mut events, Time::NEVER)?, 1);
        assert_eq!(events[0].token(), Token::WAKE_UP);
        linux.close_link(other);
        assert_eq!(linux.wait(&mut events, Time::default())?, 0);
        Ok(())
    }
}
