//! The data connection of one session: how it is opened, and how a session waits for it.
//!
//! A passive one is a listener at the address of the control connection; an active one is connected
//! from there. In both cases the peer has the address of the control connection's peer: a server
//! that sends elsewhere can be made to attack others, and one that takes any connection gives files
//! to a stranger that guesses a port (RFC 2577). Every wait also watches the control connection,
//! for `ABOR` and `STAT`, and the orders of the server. Neighbours: `control`, `transfer`.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::control::{Control, Served};
use crate::kernel::channels::{self, Ask, wait};
use crate::limits::{FTP_DATA_TIMEOUT, FTP_PORT_TRIES_MAX, FTP_STRANGERS_MAX};
use crate::protocol::connection::CloseReason;
use crate::protocol::service::ftp::lines;

/// How the next data connection is opened.
#[derive(Debug, Default)]
pub(super) enum Channel {
    /// The client has not said.
    #[default]
    None,
    /// The client connects.
    Passive(TcpListener),
    /// The server connects.
    Active(SocketAddr),
}

/// What a session waits for on a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
}

/// How a wait for a data connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Ready,
    Late,
    /// By `ABOR`.
    Aborted,
}

/// How a data connection was opened.
pub(super) enum Opened {
    Yes(TcpStream),
    No(&'static str),
    Aborted,
}

/// Opens a listener at the address `own`. `start` chooses where in `ports` to begin.
pub(super) fn listen(
    mut own: SocketAddr,
    ports: Option<std::ops::RangeInclusive<u16>>,
    start: u16,
) -> io::Result<TcpListener> {
    let (first, last) = ports.map_or((0, 0), |ports| (*ports.start(), *ports.end()));
    let count = u32::from(last - first) + 1;
    let mut refused = io::Error::from(ErrorKind::AddrInUse);
    for try_ in 0..count.min(FTP_PORT_TRIES_MAX) {
        let at = (u32::from(start) + try_) % count;
        own.set_port(first + at as u16);
        match TcpListener::bind(own) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// What a transfer has done so far, for `STAT`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) moved: u64,
}

impl Control<'_> {
    /// Waits until `data` is ready, or for `span`. `ABOR` ends the wait, `STAT` is answered, and
    /// other commands stay where they are until the transfer is over. The end of the control
    /// connection ends the session.
    pub(super) fn wait_for(
        &mut self,
        data: BorrowedFd<'_>,
        want: Want,
        span: Option<Duration>,
        progress: Progress,
    ) -> Served<Waited> {
        let until = span.map(|span| Instant::now() + span);
        loop {
            if self.lines.begins_with(b"ABOR") {
                self.take_line();
                return Ok(Waited::Aborted);
            }
            // One answer for each look at the data: a flood of questions holds up no transfer and
            // no deadline.
            let is_asked = self.lines.begins_with(b"STAT");
            if is_asked {
                self.take_line();
                let state = format!("Bytes so far: {}", progress.moved);
                self.say(&lines(211, "A transfer is under way.", [state], "End"))?;
            }
            if self.has_ended {
                return Err(CloseReason::EndOfStream);
            }
            let ask = match want {
                Want::Read => Ask::read(&data),
                Want::Write => Ask::write(&data),
            };
            let commands = match self.lines.room() {
                0 => Ask::nothing(),
                _ => Ask::read(&self.stream),
            };
            let asked = &mut [ask, commands, Ask::read(&self.site.cut)];
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let span = match is_asked {
                true => Some(Duration::ZERO),
                false => left,
            };
            wait(self.site.wake_ups, asked, span).map_err(|_| CloseReason::Failed)?;
            let [data, commands, cut] = asked;
            let (is_ready, has_commands) = (data.is_ready, commands.is_ready);
            if cut.is_ready {
                return Err(CloseReason::Cut);
            }
            if has_commands {
                self.fill()?;
                // An ABOR and the end of the session come before what is ready.
                if self.has_ended || self.lines.begins_with(b"ABOR") {
                    continue;
                }
            }
            if is_ready {
                return Ok(Waited::Ready);
            }
            if left == Some(Duration::ZERO) {
                return Ok(Waited::Late);
            }
        }
    }

    /// Looks after the control connection and the orders during long work on files. Returns whether
    /// the work was aborted.
    pub(super) fn look_up(&mut self, progress: Progress) -> Served<bool> {
        // The data is none, and the wait has no length.
        let cut = self.site.cut.as_fd();
        let waited = self.wait_for(cut, Want::Read, Some(Duration::ZERO), progress)?;
        Ok(waited == Waited::Aborted)
    }

    /// Opens the data connection.
    pub(super) fn open(
        &mut self,
        channel: Channel,
        peer: IpAddr,
        own: SocketAddr,
    ) -> Served<Opened> {
        self.window = None;
        let opened = match channel {
            Channel::None => Opened::No("Use EPSV or PASV first."),
            Channel::Passive(listener) => self.accept(&listener, peer)?,
            Channel::Active(to) => self.connect(to, own)?,
        };
        if let Opened::Yes(stream) = &opened {
            if stream.set_nonblocking(true).is_err() {
                return Err(CloseReason::Failed);
            }
        }
        Ok(opened)
    }

    fn accept(&mut self, listener: &TcpListener, peer: IpAddr) -> Served<Opened> {
        let until = Instant::now() + FTP_DATA_TIMEOUT;
        let mut strangers = 0;
        loop {
            match listener.accept() {
                Ok((stream, from)) if from.ip().to_canonical() == peer => {
                    return Ok(Opened::Yes(stream));
                }
                Ok((_, from)) => {
                    log::debug!("{peer}: a data connection from {from} was closed");
                    strangers += 1;
                    if strangers > FTP_STRANGERS_MAX {
                        return Ok(Opened::No("Too many other addresses have connected."));
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(_) => return Ok(Opened::No("The data connection cannot be taken.")),
            }
            let span = Some(until.saturating_duration_since(Instant::now()));
            match self.wait_for(listener.as_fd(), Want::Read, span, Progress::default())? {
                Waited::Ready => {}
                Waited::Late => return Ok(Opened::No("No data connection came.")),
                Waited::Aborted => return Ok(Opened::Aborted),
            }
        }
    }

    fn connect(&mut self, to: SocketAddr, mut own: SocketAddr) -> Served<Opened> {
        own.set_port(0);
        let Ok(stream) = channels::connect(own, to) else {
            return Ok(Opened::No("The data connection cannot be opened."));
        };
        let (span, progress) = (Some(FTP_DATA_TIMEOUT), Progress::default());
        match self.wait_for(stream.as_fd(), Want::Write, span, progress)? {
            Waited::Late => return Ok(Opened::No("The data connection was not accepted.")),
            Waited::Aborted => return Ok(Opened::Aborted),
            Waited::Ready => {}
        }
        match stream.take_error() {
            Ok(None) => Ok(Opened::Yes(stream)),
            _ => Ok(Opened::No("The data connection was refused.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::site::tests::site;
    use super::*;

    const HERE: &str = "127.0.0.1:0";
    const ELSEWHERE: &str = "127.0.0.2:0";

    /// A listener at an address of this machine.
    fn listener() -> (TcpListener, SocketAddr) {
        let listener = listen(HERE.parse().expect("an address"), None, 0).expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    fn connected(from: &str, to: SocketAddr) -> TcpStream {
        channels::connect(from.parse().expect("an address"), to).expect("it listens")
    }

    /// Both ends of a connection.
    fn pair() -> (TcpStream, TcpStream) {
        let (listener, address) = listener();
        let peer = connected(HERE, address);
        let (own, _) = listener.accept().expect("a connection");
        own.set_nonblocking(true).expect("a socket");
        (own, peer)
    }

    #[test]
    fn questions_hold_up_neither_the_data_nor_its_deadline() {
        let (site, (own, mut peer)) = (site(), pair());
        let mut control = Control::new(&site, own);
        peer.write_all(&b"STAT\r\n".repeat(1000)).expect("room");
        let (data, _other) = pair();
        for (want, expected) in [(Want::Read, Waited::Late), (Want::Write, Waited::Ready)] {
            for _ in 0..10 {
                let span = Some(Duration::ZERO);
                let waited = control.wait_for(data.as_fd(), want, span, Progress::default());
                assert_eq!(waited, Ok(expected));
            }
        }
        let mut counted = Default::default();
        site.add_counters(&mut counted);
        assert!((10..=20).contains(&counted.frames), "{}", counted.frames);
    }

    #[test]
    fn strangers_are_closed_until_they_are_too_many() {
        let site = site();
        for (count, is_taken) in [
            (FTP_STRANGERS_MAX - 1, true),
            (FTP_STRANGERS_MAX, true),
            (FTP_STRANGERS_MAX + 1, false),
        ] {
            let (own, _peer) = pair();
            let mut control = Control::new(&site, own);
            let (listener, address) = listener();
            let _strangers: Vec<_> = (0..count).map(|_| connected(ELSEWHERE, address)).collect();
            let _data = connected(HERE, address);
            let opened = control.accept(&listener, address.ip());
            assert_eq!(matches!(opened, Ok(Opened::Yes(_))), is_taken, "{count}");
        }
    }
}
