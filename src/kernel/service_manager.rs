//! What a service manager hears from this program: datagrams to the socket in `NOTIFY_SOCKET`.
//!
//! A message is one or several lines `NAME=value`. The socket is a path, or an abstract name behind
//! `@`. No call waits: a manager that reads too little loses the message. What is said, and when,
//! is known to `workers::notices`. Man pages: sd_notify(3), unix(7).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::sys::process::monotonic_nanoseconds;

/// The socket of the service manager.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// The manager that listens at `name`, the value of `NOTIFY_SOCKET`.
    ///
    /// # Errors
    ///
    /// The name is none of a local socket, or no socket can be opened.
    pub fn at(name: &str) -> io::Result<ServiceManager> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
            None => {
                let line = "it must be /PATH or @NAME of a local socket";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, line));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(ServiceManager { socket, address })
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// Why it is lost; `WouldBlock` if the manager reads too little.
    pub fn tell(&self, message: &str) -> io::Result<()> {
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.address);
        sent.map(drop)
    }

    /// The time now as a manager counts it: microseconds of `CLOCK_MONOTONIC`.
    pub fn now_us() -> u64 {
        monotonic_nanoseconds() / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::linux::Scratch;

    #[test]
    fn a_manager_at_a_path_or_a_name_hears_what_is_said() -> io::Result<()> {
        let path = Scratch::new("notify");
        let at_path = path.path().to_str().expect("UTF-8").to_owned();
        let name = format!("mynah-notify-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        for (reader, at) in [
            (UnixDatagram::bind(path.path())?, at_path),
            (by_name, format!("@{name}")),
        ] {
            ServiceManager::at(&at)?.tell("READY=1\nSTATUS=x")?;
            let mut space = [0; 100];
            let count = reader.recv(&mut space)?;
            assert_eq!(&space[..count], b"READY=1\nSTATUS=x");
        }
        Ok(())
    }

    #[test]
    fn a_manager_that_cannot_hear_is_an_error_and_no_wait() -> io::Result<()> {
        for name in ["", "run/x", "vsock:2:1", &format!("/{}", "x".repeat(200))] {
            assert!(ServiceManager::at(name).is_err(), "{name}");
        }
        let path = Scratch::new("deaf");
        let manager = ServiceManager::at(path.path().to_str().expect("UTF-8"))?;
        let gone = manager.tell("READY=1").map_err(|error| error.kind());
        assert_eq!(gone, Err(io::ErrorKind::NotFound));
        let _reader = UnixDatagram::bind(path.path())?;
        let refused = loop {
            if let Err(error) = manager.tell("WATCHDOG=1") {
                break error;
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        Ok(())
    }
}
