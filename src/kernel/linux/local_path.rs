//! The path of a local socket: bind, takeover from a dead server, removal.
//!
//! The path outlives its socket. bind(2) refuses a path that exists, so the next server must remove
//! the path of a killed one, but not the path of a server that answers. A connect distinguishes the
//! two. A path is removed only if it is a socket that refuses the connect: never a file, a link or
//! a server with a full queue.
//!
//! A socket that is bound and does not listen yet refuses connects too. Between its bind and its
//! listen a server could therefore lose its path to another one that starts at the same time, and
//! both would run. Every decision about a path is therefore made under the lock of its directory,
//! flock(2):
//!
//! ```text
//!   lock, bind, (in use and refuses: unlink, bind), listen, unlock
//!   lock, (still the same file: unlink), unlock, close
//! ```
//!
//! The lock leaves no file behind and ends with its process, even a killed one. If a directory
//! cannot be read or locked, the path is used without a lock. Other programs that start on the same
//! path at the same moment do not respect the lock. Binding another name and using link(2) would be
//! atomic too, but getsockname(2) and every client would see that other name. Neighbour: `opener`.
//! Man pages: unix(7), bind(2), connect(2), flock(2).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::Address;
use crate::limits::{PATH_LOCK_PAUSE, PATH_LOCK_TIMEOUT, PATH_LOCK_TIMEOUT_AT_END};
use crate::sys::fd::file;
use crate::sys::net::address::RawAddress;
use crate::sys::net::socket::{self, Kind};

/// A path that this process has bound, with the identity of the file that bind(2) created.
#[derive(Debug)]
pub(in crate::kernel) struct BoundPath {
    path: PathBuf,
    file: FileId,
}

/// The device and the inode of a file. While a socket is bound to this file, no other file has
/// both.
type FileId = (u64, u64);

/// The lock of a directory, until it is dropped. Empty if the directory cannot be locked.
#[derive(Debug)]
pub(in crate::kernel) struct PathLock {
    _directory: Option<File>,
}

/// Locks the directory of `address`, if it is a path. The caller holds the lock until the socket
/// listens.
pub(in crate::kernel) fn lock(address: &Address) -> PathLock {
    match address.path() {
        Some(path) => lock_directory(path, PATH_LOCK_TIMEOUT),
        None => PathLock { _directory: None },
    }
}

fn lock_directory(path: &Path, timeout: Duration) -> PathLock {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let unlocked = PathLock { _directory: None };
    let Ok(opened) = file::open_directory(directory) else {
        return unlocked;
    };
    let begin = Instant::now();
    loop {
        match file::try_lock(&opened) {
            Ok(true) => {
                return PathLock {
                    _directory: Some(opened),
                };
            }
            // Some file systems have no locks.
            Err(_) => return unlocked,
            Ok(false) if begin.elapsed() < timeout => thread::sleep(PATH_LOCK_PAUSE),
            // Any user with the right to read the directory can hold its lock, and must not keep
            // this server from starting or from removing its path.
            Ok(false) => {
                log::warn!(
                    "{}: another process holds the lock, flock(2): going on without it",
                    directory.display()
                );
                return unlocked;
            }
        }
    }
}

/// bind(2), under the lock of [`lock`]; takes over a path that a dead server left behind. Returns
/// the path to remove when the listener is closed, if there is one.
pub(in crate::kernel) fn bind(
    fd: BorrowedFd<'_>,
    address: &Address,
    raw: &RawAddress,
) -> io::Result<Option<BoundPath>> {
    let Some(path) = address.path() else {
        return socket::bind(fd, raw).map(|()| None);
    };
    match socket::bind(fd, raw) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path, raw) => {
            fs::remove_file(path)?;
            socket::bind(fd, raw)?;
        }
        result => result?,
    }
    Ok(file_id(path).map(|file| BoundPath {
        path: path.to_owned(),
        file,
    }))
}

impl BoundPath {
    /// The path of a listener that another process has bound, as it is now.
    pub(in crate::kernel) fn found(path: &Path) -> Option<BoundPath> {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
        file_id(path).filter(|_| is_socket).map(|file| BoundPath {
            path: path.to_owned(),
            file,
        })
    }

    /// Gives the file the permissions `mode`, unless the path names another file by now. The bits
    /// that the umask has taken at bind(2) are added here.
    pub(in crate::kernel) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let found = fs::symlink_metadata(&self.path)?;
        let is_ours = (found.dev(), found.ino()) == self.file;
        if is_ours && found.permissions().mode() & 0o777 != mode {
            fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// Removes the path, unless it names another file by now. Must be called while the socket is
    /// open: after its close the socket of another server may get the same inode.
    pub(in crate::kernel) fn remove(self) {
        let _lock = lock_directory(&self.path, PATH_LOCK_TIMEOUT_AT_END);
        if file_id(&self.path) == Some(self.file) {
            // The next start takes over a path that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Whether `path` is a socket that refuses connections. A full queue, or any other error, means
/// that it does not: a datagram socket that is open answers a stream with EPROTOTYPE.
fn is_abandoned(path: &Path, raw: &RawAddress) -> bool {
    // Any file refuses a connect, so the type is checked first. A link to a socket is not a socket.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let answer =
        || socket::open(raw, Kind::Stream).and_then(|probe| socket::connect(probe.as_fd(), raw));
    is_socket && answer().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::sync::mpsc;

    use super::*;
    use crate::kernel::UnixName;

    /// A path that no other test uses, removed on drop.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Scratch {
            let name = format!("mynah-{}-{name}", std::process::id());
            Scratch(std::env::temp_dir().join(name))
        }

        pub(crate) fn address(&self) -> Address {
            Address::Unix(UnixName::Path(self.0.clone()))
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // Most tests leave a file there; the others leave nothing to remove.
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

    /// A directory of its own, so that no other test waits for its lock.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let name = format!("mynah-{}-{name}", std::process::id());
            let directory = Directory(std::env::temp_dir().join(name));
            fs::create_dir(&directory.0).expect("a directory of our own");
            directory
        }

        fn address(&self) -> Address {
            Address::Unix(UnixName::Path(self.0.join("socket")))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
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
    fn a_path_whose_server_answers_is_left_alone() -> io::Result<()> {
        let path = Scratch::new("alive");
        let listener = UnixListener::bind(&path.0)?;
        assert!(is_in_use(&path));
        // The connect of the check is in the queue, ahead of the next connection.
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

    #[test]
    fn a_path_whose_server_does_not_listen_yet_is_left_alone() -> io::Result<()> {
        let directory = Directory::new("starting");
        let address = directory.address();
        let raw = address.to_raw()?;
        let first = socket::open(&raw, Kind::Stream)?;
        let held = lock(&address);
        bind(first.as_fd(), &address, &raw)?;
        let (sender, result) = mpsc::channel();
        let second = thread::spawn(move || {
            let socket = socket::open(&raw, Kind::Stream)?;
            let _held = lock(&address);
            let bound = bind(socket.as_fd(), &address, &raw).map(drop);
            let _ = sender.send(());
            bound
        });
        // That the second thread waits can only be seen over a time.
        let waits = result.recv_timeout(Duration::from_millis(100));
        assert_eq!(waits, Err(mpsc::RecvTimeoutError::Timeout));
        socket::listen(first.as_fd(), 1)?;
        drop(held);
        let refused = second.join().expect("no panic").expect_err("it is in use");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        Ok(())
    }

    #[test]
    fn a_directory_that_another_process_keeps_locked_stops_no_start() {
        let directory = Directory::new("locked");
        let path = directory.0.join("socket");
        let is_held = |timeout| lock_directory(&path, timeout)._directory.is_some();
        let held = lock_directory(&path, Duration::ZERO);
        assert!(held._directory.is_some());
        assert!(!is_held(Duration::from_millis(5)));
        drop(held);
        assert!(is_held(Duration::ZERO));
        // There is nothing to lock, and bind(2) has the reason.
        let nowhere = lock_directory(&path.join("nowhere").join("socket"), Duration::ZERO);
        assert!(nowhere._directory.is_none());
    }

    #[test]
    fn a_bound_path_is_removed_and_one_that_was_taken_over_is_not() -> io::Result<()> {
        let directory = Directory::new("removed");
        let address = directory.address();
        let raw = address.to_raw()?;
        let path = directory.0.join("socket");
        let ours = socket::open(&raw, Kind::Stream)?;
        let bound = bind(ours.as_fd(), &address, &raw)?;
        bound.expect("a path").remove();
        assert!(!path.exists());

        let ours = socket::open(&raw, Kind::Stream)?;
        let bound = bind(ours.as_fd(), &address, &raw)?;
        fs::remove_file(&path)?;
        let _theirs = UnixListener::bind(&path)?;
        bound.expect("a path").remove();
        UnixStream::connect(&path)?;
        Ok(())
    }

    #[test]
    fn a_name_that_is_no_path_leaves_nothing_to_remove() -> io::Result<()> {
        let name = format!("unix:@mynah-{}-nothing", std::process::id());
        for address in [name.as_str(), "127.0.0.1:0"] {
            let address: Address = address.parse().expect("an address");
            let raw = address.to_raw()?;
            let socket = socket::open(&raw, Kind::Stream)?;
            assert!(bind(socket.as_fd(), &address, &raw)?.is_none());
        }
        Ok(())
    }
}
