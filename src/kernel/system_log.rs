//! The system's log: lines as datagrams to `/dev/log`, in the form of RFC 3164.
//!
//! ```text
//!   <30>Dec  1 04:09:14 mynah[4711]: INFO  drained; connections served: 1
//!    |  time in UTC
//!    facility daemon (3), times 8, plus the severity
//! ```
//!
//! The severity is that of the level with which a line begins. A line of statistics tells, and any
//! other one is an error. The
//! datagram goes to the path each time, so a log that is started again gets the lines that follow.
//! A line that cannot be sent, because there is no such log, is lost without a word. No call waits.
//! Neighbour: `outlet`, whose lines are sent here under `--inetd`. Man pages: syslog(3), unix(7).

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::id as process_id;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::text::utc::syslog_time;

/// Where the log listens.
pub(super) const PATH: &str = "/dev/log";

/// The facility of system daemons, as its part of the number in front.
const DAEMON: u8 = 3 << 3;

/// A socket for the system's log.
#[derive(Debug)]
pub(super) struct SystemLog {
    socket: UnixDatagram,
    path: PathBuf,
}

impl SystemLog {
    pub(super) fn new(path: impl Into<PathBuf>) -> io::Result<SystemLog> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(SystemLog {
            socket,
            path: path.into(),
        })
    }

    /// Sends a line, or several; `WouldBlock` if the log reads too little.
    pub(super) fn write(&self, lines: &[u8]) -> io::Result<usize> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since_1970.map_or(0, |span| span.as_secs());
        let text = String::from_utf8_lossy(lines);
        for line in text.lines() {
            let datagram = datagram(line, seconds, process_id());
            match self.socket.send_to(datagram.as_bytes(), &self.path) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                // There is no log, or it has just ended.
                _ => {}
            }
        }
        Ok(lines.len())
    }
}

impl AsFd for SystemLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn datagram(line: &str, seconds: u64, process: u32) -> String {
    const ERROR: u8 = 3;
    let severity = match line.split(' ').next() {
        Some("WARN") => 4,
        Some("INFO" | "stats") => 6,
        Some(_) if line.starts_with('{') => 6,
        Some("DEBUG" | "TRACE") => 7,
        _ => ERROR,
    };
    let (number, time) = (DAEMON + severity, syslog_time(seconds));
    format!("<{number}>{time} mynah[{process}]: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::linux::Scratch;

    #[test]
    fn a_line_has_the_severity_of_its_level() {
        for (line, number) in [
            ("ERROR accept4: it", 27),
            ("WARN  x", 28),
            ("INFO  x", 30),
            ("DEBUG mynah::x y", 31),
            ("TRACE mynah::calls z", 31),
            ("mynah: --inetd: no", 27),
            ("thread 'main' panicked", 27),
            ("stats connections_now=0", 30),
            ("{\"connections_now\":0}", 30),
            ("", 27),
        ] {
            let expected = format!("<{number}>Jan  1 00:00:05 mynah[7]: {line}");
            assert_eq!(datagram(line, 5, 7), expected);
        }
    }

    #[test]
    fn lines_are_datagrams_and_a_log_that_comes_later_gets_them() -> io::Result<()> {
        let path = Scratch::new("system-log");
        let log = SystemLog::new(path.path())?;
        assert_eq!(log.write(b"INFO  unread and alone!\n")?, 24);
        let reader = UnixDatagram::bind(path.path())?;
        assert_eq!(log.write(b"WARN  one\nINFO  two\n")?, 20);
        for expected in ["WARN  one", "INFO  two"] {
            let mut space = [0; 200];
            let count = reader.recv(&mut space)?;
            let text = String::from_utf8_lossy(&space[..count]).into_owned();
            assert!(
                text.starts_with('<') && text.ends_with(&format!("]: {expected}")),
                "{text}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_log_that_reads_nothing_is_not_waited_for() -> io::Result<()> {
        let path = Scratch::new("full-log");
        let log = SystemLog::new(path.path())?;
        let _reader = UnixDatagram::bind(path.path())?;
        let refused = loop {
            if let Err(error) = log.write(b"INFO  x\n") {
                break error;
            }
        };
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        Ok(())
    }
}
