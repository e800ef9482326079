//! Sockets that pass from one process to another, beside messages.
//!
//! ```text
//!   new process                 PATH                  running process
//!   Channel ------- connect ---> Doorway -- accept --> Passage
//!           <==== messages, with copies of sockets ====>
//! ```
//!
//! A message is whole or not there, sockets that come with it do not block, and no call waits,
//! apart from [`Channel::receive_within`] for a process that does not serve yet. Both ends check
//! that the other process belongs to the same user or to root. What the messages say is known to
//! `workers::takeover`. The two traits are the seam: the simulated kernel passes sockets too.
//!
//! Invariant: a path is removed only by the process that the doorway belongs to. Neighbours:
//! `sys::net::rights`, `linux::local_path`. Man page: unix(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::linux::local_path::{self, BoundPath};
use super::{Address, Event, Interest, Linux, Poller, Socket, Token, UnixName};
use crate::limits::TAKEOVER_BACKLOG;
use crate::sys::fd::{file, inherited};
use crate::sys::net::rights;
use crate::sys::net::socket::{self, Kind};
use crate::sys::process::user;

/// A connection with another process, over which sockets pass.
pub trait Passage<S>: Send {
    /// What a poller watches.
    fn descriptor(&self) -> &S;

    /// Sends a message with copies of `sockets`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room for it now: nothing was sent then. Any other error: the
    /// other process has ended.
    fn send(&self, message: &[u8], sockets: &[&S]) -> io::Result<()>;

    /// Takes the next message into `space`, and adds its sockets to `sockets`. Returns its size; 0
    /// if the other process has ended.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none has arrived.
    fn receive(&self, space: &mut [u8], sockets: &mut Vec<S>) -> io::Result<usize>;

    /// The other process can send nothing more: it is as if this one had ended. What has arrived
    /// can still be received.
    fn refuse_more(&self);

    /// The same connection, for another thread. Each message goes to one of them.
    ///
    /// # Errors
    ///
    /// The error of fcntl(2).
    fn share(&self) -> io::Result<Box<dyn Passage<S>>>;
}

/// Where another process asks for the sockets of this one.
pub trait Doorway<S>: Send {
    /// What a poller watches, and what passes to the other process in turn.
    fn descriptor(&self) -> &S;

    /// Takes in the next process that has come.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none has; `PermissionDenied` for one of another user, which is turned away.
    fn accept(&self) -> io::Result<Box<dyn Passage<S>>>;

    /// The path belongs to this process from now on.
    fn own(&mut self);

    /// Another process has taken the doorway over: the path stays.
    fn leave(self: Box<Self>);

    /// Closes it, and removes the path.
    fn close(self: Box<Self>);
}

/// One end of a connection between two processes.
#[derive(Debug)]
pub struct Channel(Socket);

impl From<Socket> for Channel {
    /// The end of a connection that another process of this server has checked.
    fn from(socket: Socket) -> Channel {
        Channel(socket)
    }
}

impl Channel {
    /// Connects to the process that listens at `path`.
    ///
    /// # Errors
    ///
    /// `NotFound` and `ConnectionRefused` mean that no process listens there; `PermissionDenied`
    /// that the one that does belongs to another user.
    pub fn connect(path: &Path) -> io::Result<Channel> {
        let raw = Address::Unix(UnixName::Path(path.to_owned())).to_raw()?;
        let socket = socket::open(&raw, Kind::Packets)?;
        socket::connect(socket.as_fd(), &raw)?;
        Channel::checked(socket)
    }

    /// The process at the other end may be told to end by this one, and so it may be trusted.
    fn checked(socket: OwnedFd) -> io::Result<Channel> {
        let peer = rights::peer_user(socket.as_fd())?;
        match peer == user::own_user() || peer == ROOT {
            true => Ok(Channel(socket.into())),
            false => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the process there belongs to user {peer}"),
            )),
        }
    }

    /// Takes the next message, like [`Passage::receive`], and waits for it up to `span`.
    ///
    /// # Errors
    ///
    /// `TimedOut` if none has come.
    pub fn receive_within(
        &self,
        span: Duration,
        space: &mut [u8],
        sockets: &mut Vec<Socket>,
    ) -> io::Result<usize> {
        let mut poller = Linux::new(false)?;
        poller.register(&self.0, Token::PASSAGE, Interest::READ)?;
        let until = poller.now().after(span);
        loop {
            match self.receive(space, sockets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if poller.now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            poller.wait(&mut [Event::default()], until)?;
        }
    }
}

const ROOT: u32 = 0;

impl Passage<Socket> for Channel {
    fn descriptor(&self) -> &Socket {
        &self.0
    }

    fn send(&self, message: &[u8], sockets: &[&Socket]) -> io::Result<()> {
        let numbers = sockets.iter().map(|socket| socket.as_fd().as_raw_fd());
        match rights::send(self.0.as_fd(), message, numbers) {
            // Sockets that other processes of this user have sent and that no process has received:
            // a bound of the kernel, see unix(7).
            Err(error) if error.raw_os_error() == Some(super::errno::ETOOMANYREFS) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            result => result,
        }
    }

    fn receive(&self, space: &mut [u8], sockets: &mut Vec<Socket>) -> io::Result<usize> {
        let mut passed = Vec::new();
        let size = match rights::receive(self.0.as_fd(), space, &mut passed) {
            // The other process has ended with messages unread. This is reported once, before the
            // messages that it has sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                rights::receive(self.0.as_fd(), space, &mut passed)
            }
            answer => answer,
        };
        for socket in passed {
            // The flag is one of the open file: the other process sees it too, and expects it of
            // its own sockets. A program between the two may have taken it away.
            inherited::set_non_blocking(&socket)?;
            sockets.push(socket.into());
        }
        size
    }

    fn refuse_more(&self) {
        // It fails only for a connection that has ended.
        let _ = socket::shutdown_read(self.0.as_fd());
    }

    fn share(&self) -> io::Result<Box<dyn Passage<Socket>>> {
        let copy = self.0.as_fd().try_clone_to_owned()?;
        Ok(Box::new(Channel(copy.into())))
    }
}

/// The doorway at a path.
#[derive(Debug)]
pub struct Door {
    listener: Socket,
    path: PathBuf,
    /// The path, if it belongs to this process.
    bound: Option<BoundPath>,
}

impl Door {
    /// Listens at `path`, which only this user may use. A path that a dead process left behind is
    /// taken over.
    ///
    /// # Errors
    ///
    /// The error of socket(2), bind(2) or listen(2).
    pub fn open(path: &Path) -> io::Result<Door> {
        let address = Address::Unix(UnixName::Path(path.to_owned()));
        let raw = address.to_raw()?;
        let listener = socket::open(&raw, Kind::Packets)?;
        file::set_mode(listener.as_fd(), DOOR_MODE)?;
        let _lock = local_path::lock(&address);
        let bound = local_path::bind(listener.as_fd(), &address, &raw)?;
        let opened = (bound.as_ref())
            .map_or(Ok(()), |path| path.set_mode(DOOR_MODE))
            .and_then(|()| socket::listen(listener.as_fd(), TAKEOVER_BACKLOG));
        match opened {
            Ok(()) => Ok(Door {
                listener: listener.into(),
                path: path.to_owned(),
                bound,
            }),
            Err(error) => {
                bound.into_iter().for_each(BoundPath::remove);
                Err(error)
            }
        }
    }

    /// A doorway at `path` that another process has passed. The path belongs to that process until
    /// [`Doorway::own`].
    pub fn passed(listener: Socket, path: &Path) -> Door {
        Door {
            listener,
            path: path.to_owned(),
            bound: None,
        }
    }
}

/// Reading and writing by the user alone: a process that gets these sockets is the server.
const DOOR_MODE: u32 = 0o600;

impl Doorway<Socket> for Door {
    fn descriptor(&self) -> &Socket {
        &self.listener
    }

    fn accept(&self) -> io::Result<Box<dyn Passage<Socket>>> {
        let channel = Channel::checked(socket::accept(self.listener.as_fd())?)?;
        Ok(Box::new(channel))
    }

    fn own(&mut self) {
        self.bound = BoundPath::found(&self.path);
    }

    fn leave(self: Box<Self>) {}

    fn close(self: Box<Self>) {
        self.bound.into_iter().for_each(BoundPath::remove);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::kernel::linux::Scratch;

    #[test]
    fn a_door_opens_for_its_user_alone_and_passes_sockets() -> io::Result<()> {
        let path = Scratch::new("door");
        let nothing = Channel::connect(path.path()).map_err(|error| error.kind());
        assert_eq!(nothing.map(drop), Err(io::ErrorKind::NotFound));
        let door = Door::open(path.path())?;
        let mode = std::fs::metadata(path.path())?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let none = door.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(none, Err(io::ErrorKind::WouldBlock));
        let near = Channel::connect(path.path())?;
        let far = door.accept()?;
        far.send(b"door", &[door.descriptor()])?;
        let (mut space, mut sockets) = ([0; 16], Vec::new());
        let patience = Duration::from_secs(5);
        assert_eq!(near.receive_within(patience, &mut space, &mut sockets)?, 4);
        let mut passed = Door::passed(sockets.remove(0), path.path());
        Box::new(door).leave();
        let _next = Channel::connect(path.path())?;
        passed.accept()?;
        passed.own();
        let late = near.receive_within(Duration::from_millis(1), &mut space, &mut sockets);
        assert!(late.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut));
        drop(far);
        assert_eq!(near.receive_within(patience, &mut space, &mut sockets)?, 0);
        Box::new(passed).close();
        assert!(!path.path().exists());
        Ok(())
    }

    #[test]
    fn a_door_that_a_dead_process_left_is_opened_again_and_a_file_is_left_alone() -> io::Result<()>
    {
        let path = Scratch::new("stale-door");
        Box::new(Door::open(path.path())?).leave();
        let refused = Channel::connect(path.path()).map_err(|error| error.kind());
        assert_eq!(refused.map(drop), Err(io::ErrorKind::ConnectionRefused));
        let door = Door::open(path.path())?;
        let in_use = Door::open(path.path()).map_err(|error| error.kind());
        assert_eq!(in_use.map(drop), Err(io::ErrorKind::AddrInUse));
        Box::new(door).close();
        std::fs::write(path.path(), "precious")?;
        assert!(Door::open(path.path()).is_err());
        assert_eq!(std::fs::read(path.path())?, b"precious");
        Ok(())
    }

    #[test]
    fn each_message_goes_to_one_of_the_threads_that_share_a_channel() -> io::Result<()> {
        let (one, other) = socket::pair()?;
        let (one, other) = (Channel(one.into()), Channel(other.into()));
        let share = other.share()?;
        one.send(b"a", &[])?;
        one.send(b"b", &[])?;
        let (mut space, mut none) = ([0; 4], Vec::new());
        assert_eq!((share.receive(&mut space, &mut none)?, space[0]), (1, b'a'));
        assert_eq!((other.receive(&mut space, &mut none)?, space[0]), (1, b'b'));
        let full = loop {
            if let Err(error) = one.send(&[7; 500], &[]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        Ok(())
    }
}
