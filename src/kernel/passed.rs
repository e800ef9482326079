//! Sockets that this program was started with, instead of opening them: from a service manager,
//! from inetd, from a shell.
//!
//! A socket is checked before it is used: what it is, what it carries, and whether it listens or
//! is connected. It is used as it is. Only three things are changed: it becomes non-blocking, a TCP
//! socket keeps urgent bytes in the stream (`SO_OOBINLINE`), because otherwise they would be lost,
//! and a UDP socket that is bound to all addresses tells which one was asked (`IP_PKTINFO`). Its
//! other options, and the file of a local socket, are left to the program that opened it.
//!
//! The sockets of a running server that is taken over are checked in the same way. Invariant: a
//! number is taken once, and before this program has opened a descriptor of its own.
//! Neighbours: `sys::fd::inherited` takes the numbers; `cli::run::serve` asks for them. Man pages:
//! sd_listen_fds(3), inetd(8), socket(7).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::{Address, Socket, datagrams, errno};
use crate::sys::fd::{inherited, standard};
use crate::sys::net::socket::{self, Kind, Setting};

/// The first number that is not that of a standard stream.
pub const PASSED_FIRST: u32 = 3;

/// A socket that was passed to this program, and its own address.
#[derive(Debug)]
pub struct Passed {
    /// The socket.
    pub socket: Socket,
    /// The address that it is bound to.
    pub address: Address,
    /// What can be done with it.
    pub state: PassedState,
}

/// What can be done with a socket that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedState {
    /// A stream listener.
    Listens,
    /// A stream that is connected.
    IsConnected,
    /// A datagram socket.
    Receives,
}

/// Takes the socket with this number, from [`PASSED_FIRST`] on.
///
/// # Errors
///
/// The reason, in words: it is not open, not a socket, or of no use.
pub fn take_passed(number: u32) -> Result<Passed, String> {
    let number = i32::try_from(number).unwrap_or(-1);
    check(inherited::take(number))
}

/// Takes the socket that is standard input. Nothing is written to a standard stream that is a
/// socket any more: `/dev/null` takes its place.
///
/// # Errors
///
/// The same as those of [`take_passed`].
pub fn take_standard_input() -> Result<Passed, String> {
    if standard::was_closed(standard::INPUT) {
        return Err(NOT_OPEN.to_owned());
    }
    let passed = check(inherited::copy_input())?;
    for number in [standard::INPUT, standard::OUTPUT, standard::ERRORS] {
        if socket::kind(standard::descriptor(number)).is_ok() {
            let replaced = inherited::replace_by_null(number);
            replaced.map_err(|error| format!("/dev/null cannot take its place: {error}"))?;
        }
    }
    Ok(passed)
}

const NOT_A_SOCKET: &str = "it is not a socket, and must be one";
const IDLE: &str = "it is neither listening nor connected; listen(2) comes first";
const NOT_OPEN: &str = "it is not open; the program that starts mynah has to pass it";

/// Checks a socket that came over a [`super::Channel`].
///
/// # Errors
///
/// The reason, in words: it is not a socket, or of no use.
pub fn check_passed(socket: Socket) -> Result<Passed, String> {
    check(Ok(socket.into()))
}

fn check(taken: io::Result<OwnedFd>) -> Result<Passed, String> {
    let taken = taken.map_err(|error| match error.raw_os_error() {
        Some(errno::EBADF) => NOT_OPEN.to_owned(),
        _ => error.to_string(),
    })?;
    let refused = |error: io::Error| match error.raw_os_error() {
        Some(errno::ENOTSOCK) => NOT_A_SOCKET.to_owned(),
        _ => error.to_string(),
    };
    let fd = taken.as_fd();
    let kind = socket::kind(fd).map_err(refused)?;
    let own = socket::local(fd).map_err(refused)?;
    let mut address = Address::from_raw(&own).map_err(refused)?;
    let state = match kind {
        Some(Kind::Datagrams) => PassedState::Receives,
        Some(Kind::Stream) if Setting::LISTENS.get(fd).map_err(refused)? != 0 => {
            PassedState::Listens
        }
        Some(Kind::Stream) if socket::peer(fd).is_ok() => PassedState::IsConnected,
        Some(Kind::Stream) => return Err(IDLE.to_owned()),
        Some(Kind::Packets) | None => {
            return Err("it is a socket, but not one for streams or datagrams".to_owned());
        }
    };
    match (&address, state) {
        (_, PassedState::Receives) => {
            address = address.of_datagrams();
            if let Address::Udp(own) = &address {
                datagrams::tell_asked_address(fd, own).map_err(refused)?;
            }
        }
        // Where it is refused, urgent bytes are lost, and no others.
        (Address::Tcp(_), _) => _ = Setting::URGENT_INLINE.set(fd, 1),
        _ => {}
    }
    Ok(Passed {
        socket: taken.into(),
        address,
        state,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn state(descriptor: impl Into<OwnedFd>) -> Result<PassedState, String> {
        check(Ok(descriptor.into())).map(|passed| passed.state)
    }

    #[test]
    fn a_socket_is_known_by_what_can_be_done_with_it() -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        assert_eq!(state(near), Ok(PassedState::IsConnected));
        let at = listener.local_addr()?;
        let passed = check(Ok(listener.into()))?;
        assert_eq!(passed.state, PassedState::Listens);
        assert_eq!(passed.address, Address::Tcp(at));
        assert_eq!(Setting::URGENT_INLINE.get(passed.socket.as_fd())?, 1);
        let datagrams = UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0"))?;
        let at = datagrams.local_addr()?;
        let passed = check(Ok(datagrams.into()))?;
        assert_eq!(passed.state, PassedState::Receives);
        assert_eq!(passed.address, Address::Udp(at));
        let name = format!("mynah-passed-{}", std::process::id());
        let name = SocketAddr::from_abstract_name(&name)?;
        assert_eq!(
            state(UnixListener::bind_addr(&name)?),
            Ok(PassedState::Listens)
        );
        let (near, _far) = UnixStream::pair()?;
        assert_eq!(state(near), Ok(PassedState::IsConnected));
        assert_eq!(state(UnixDatagram::pair()?.0), Ok(PassedState::Receives));
        Ok(())
    }

    #[test]
    fn a_descriptor_that_is_of_no_use_is_refused_with_the_reason() -> Outcome {
        assert_eq!(state(File::open("/dev/null")?), Err(NOT_A_SOCKET.into()));
        let (packets, _other) = socket::pair()?;
        assert!(state(packets).is_err_and(|why| why.contains("not one for streams")));
        let address = crate::sys::net::address::RawAddress::internet(([127, 0, 0, 1], 0).into());
        let fresh = socket::open(&address, Kind::Stream)?;
        assert!(state(fresh).is_err_and(|why| why == IDLE));
        assert_eq!(take_passed(i32::MAX as u32).map(drop), Err(NOT_OPEN.into()));
        Ok(())
    }
}
