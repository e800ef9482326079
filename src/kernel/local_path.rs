//! Binding where a server may have died: a local socket's path outlives its socket.
//!
//! A path in use is asked first, by connecting to it; only a socket on which nobody answers is
//! removed, never a file, a link or somebody who is merely busy. Everything that is not a path goes
//! straight to bind(2). Who is allowed to have the path is for its directory to say. Neighbour:
//! `opener`. Man pages: unix(7), bind(2), connect(2).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::{Address, UnixName};
use crate::sys::address::RawAddress;
use crate::sys::socket::{self, Kind};

/// bind(2); a path that a dead server left behind is taken over.
///
/// Two starters that meet on one such path can still take it from each other in the moment between
/// the look and the unlink; the one that loses serves a path that nobody can find.
pub(super) fn bind(fd: BorrowedFd<'_>, address: &Address, raw: &RawAddress) -> io::Result<()> {
    match (socket::bind(fd, raw), address) {
        (Err(error), Address::Unix(UnixName::Path(path)))
            if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path, raw) =>
        {
            fs::remove_file(path)?;
            socket::bind(fd, raw)
        }
        (result, _) => result,
    }
}

/// Whether `path` is a socket on which nobody answers. A full queue or any doubt is an answer.
fn is_abandoned(path: &Path, raw: &RawAddress) -> bool {
    // A connect is refused by any file, so being a socket is asked first; a link to one is not
    // one.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let answer =
        || socket::open(raw, Kind::Stream).and_then(|probe| socket::connect(probe.as_fd(), raw));
    is_socket && answer().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::path::PathBuf;

    use super::*;

    /// A path that no other test has, removed with its holder.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Scratch {
            let name = format!("mynah-{}-{name}", std::process::id());
            Scratch(std::env::temp_dir().join(name))
        }

        pub(crate) fn address(&self) -> Address {
            Address::Unix(UnixName::Path(self.0.clone()))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // Most tests leave a file there, and the others nothing to remove.
            let _ = fs::remove_file(&self.0);
        }
    }

    fn try_to_bind(path: &Scratch) -> io::Result<OwnedFd> {
        let address = path.address();
        let raw = address.to_raw()?;
        let socket = socket::open(&raw, Kind::Stream)?;
        bind(socket.as_fd(), &address, &raw)?;
        Ok(socket)
    }

    fn is_in_use(path: &Scratch) -> bool {
        try_to_bind(path).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }

    #[test]
    fn a_path_that_a_dead_server_left_is_taken_over() -> io::Result<()> {
        let path = Scratch::new("stale");
        drop(UnixListener::bind(&path.0)?);
        let listener = try_to_bind(&path)?;
        socket::listen(listener.as_fd(), 1)?;
        UnixStream::connect(&path.0)?;
        Ok(())
    }

    #[test]
    fn a_path_on_which_somebody_answers_is_left_alone() -> io::Result<()> {
        let path = Scratch::new("alive");
        let listener = UnixListener::bind(&path.0)?;
        assert!(is_in_use(&path));
        // The question itself waits in the queue, ahead of the next connection.
        let (_question, _) = listener.accept()?;
        UnixStream::connect(&path.0)?;
        Ok(())
    }

    #[test]
    fn a_path_whose_queue_is_full_is_left_alone() -> io::Result<()> {
        let path = Scratch::new("full");
        let listener = try_to_bind(&path)?;
        socket::listen(listener.as_fd(), 0)?;
        let _waiting = UnixStream::connect(&path.0)?;
        assert!(is_in_use(&path));
        Ok(())
    }

    #[test]
    fn a_path_that_is_no_stream_socket_is_never_removed() -> io::Result<()> {
        let file = Scratch::new("file");
        fs::write(&file.0, "precious")?;
        assert!(is_in_use(&file));
        assert_eq!(fs::read(&file.0)?, b"precious");

        let (dead, link) = (Scratch::new("dead"), Scratch::new("link"));
        drop(UnixListener::bind(&dead.0)?);
        std::os::unix::fs::symlink(&dead.0, &link.0)?;
        assert!(is_in_use(&link));
        assert!(fs::symlink_metadata(&link.0)?.is_symlink() && dead.0.exists());

        let other = Scratch::new("datagram");
        let _receiver = UnixDatagram::bind(&other.0)?;
        assert!(is_in_use(&other));
        assert!(other.0.exists());
        Ok(())
    }
}
