//! A record of every call made to the simulated kernel, and its text in the format of strace(1).
//!
//! It does not know what a call does. Calls are always counted. They are kept only while the
//! journal is on, so a benchmark allocates nothing here. Reading the clock is not a system call on
//! Linux (vdso(7)), so it is not one here.

use std::fmt::{self, Write as _};

use mynah::kernel::Interest;

/// The calls, named as in strace(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Accept,
    Recv,
    Send,
    Shutdown,
    Unsent,
    TakeError,
    Peer,
    Close,
    Add,
    Modify,
    Delete,
    Wait,
    TakeSignal,
    TakeWakeUp,
    Socket,
    Bind,
    Listen,
    Connect,
    Local,
    Queued,
    TurnAway,
    Open,
    Spawn,
    ReadPipe,
    Kill,
    Reap,
    HasEnded,
    TakeChildReport,
    EndedChild,
    ReapOrphan,
}

/// Texts in the order of [`Name`].
const TEXTS: [&str; 30] = [
    "accept4",
    "recv",
    "send",
    "shutdown",
    "ioctl",
    "getsockopt",
    "getpeername",
    "close",
    "epoll_ctl ADD",
    "epoll_ctl MOD",
    "epoll_ctl DEL",
    "epoll_wait",
    "read signalfd",
    "read eventfd",
    "socket",
    "bind",
    "listen",
    "connect",
    "getsockname",
    "getsockopt TCP_INFO",
    "shutdown SHUT_RD",
    "open",
    "clone",
    "read pipe",
    "kill",
    "waitid P_PIDFD",
    "waitid WNOWAIT",
    "read SIGCHLD",
    "waitid P_ALL",
    "waitid P_PID",
];

impl Name {
    pub(super) fn text(self) -> &'static str {
        TEXTS[self as usize]
    }
}

/// Whether `name` stands for `text`: the same call, or a name that covers all calls of `epoll_ctl`
/// or `read`.
pub(super) fn matches(name: &str, text: &str) -> bool {
    text == name || text.split_once(' ').is_some_and(|(call, _)| call == name)
}

/// Panics if `name` stands for no call, which is a typing error in a test.
pub(super) fn check(name: &str) {
    let known = TEXTS.iter().any(|text| matches(name, text));
    assert!(known, "there is no call `{name}`; there are {TEXTS:?}");
}

/// The arguments of a call, as far as a trace shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// No argument beside the socket.
    None,
    /// Bytes to be written.
    Bytes(usize),
    /// The interest passed to epoll.
    Interest(Interest),
}

/// One call and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// `recv`, `epoll_ctl ADD` and so on.
    pub name: &'static str,
    /// The number of its descriptor.
    pub socket: Option<u32>,
    /// Its other argument.
    pub argument: Argument,
    /// What it returned, or the errno.
    pub result: Result<usize, i32>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        if let Some(number) = self.socket {
            write!(f, "{number}")?;
        }
        match self.argument {
            Argument::None => {}
            Argument::Bytes(count) => write!(f, ", {count}")?,
            Argument::Interest(interest) => write!(f, ", {interest:?}")?,
        }
        match self.result {
            Ok(answer) => write!(f, ") = {answer}"),
            Err(errno) => write!(f, ") = -1 {}", Errno(errno)),
        }
    }
}

/// An errno that prints as its name.
struct Errno(i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            libc::EAGAIN => "EAGAIN",
            libc::EINTR => "EINTR",
            libc::EINPROGRESS => "EINPROGRESS",
            libc::ECONNRESET => "ECONNRESET",
            libc::ECONNREFUSED => "ECONNREFUSED",
            libc::ECONNABORTED => "ECONNABORTED",
            libc::EPIPE => "EPIPE",
            libc::ENOTCONN => "ENOTCONN",
            libc::EMFILE => "EMFILE",
            libc::ENFILE => "ENFILE",
            libc::ENOBUFS => "ENOBUFS",
            libc::ENOMEM => "ENOMEM",
            libc::ENOSPC => "ENOSPC",
            libc::EPERM => "EPERM",
            libc::ENOENT => "ENOENT",
            libc::ECHILD => "ECHILD",
            libc::EINVAL => "EINVAL",
            libc::EADDRINUSE => "EADDRINUSE",
            libc::ETIMEDOUT => "ETIMEDOUT",
            other => return write!(f, "errno {other}"),
        };
        f.write_str(name)
    }
}

/// The calls so far.
pub(super) struct Journal {
    pub(super) on: bool,
    pub(super) calls: Vec<Call>,
    counts: [u64; TEXTS.len()],
    /// The sum of all successful results, per call.
    sums: [u64; TEXTS.len()],
}

impl Journal {
    pub(super) fn new() -> Journal {
        Journal {
            on: true,
            calls: Vec::new(),
            counts: [0; TEXTS.len()],
            sums: [0; TEXTS.len()],
        }
    }

    pub(super) fn note(
        &mut self,
        name: Name,
        socket: Option<u32>,
        argument: Argument,
        result: Result<usize, i32>,
    ) {
        self.counts[name as usize] += 1;
        self.sums[name as usize] += result.unwrap_or(0) as u64;
        if self.on {
            self.calls.push(Call {
                name: name.text(),
                socket,
                argument,
                result,
            });
        }
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        Journal::add(name, &self.counts)
    }

    pub(super) fn sum(&self, name: &str) -> u64 {
        Journal::add(name, &self.sums)
    }

    fn add(name: &str, numbers: &[u64; TEXTS.len()]) -> u64 {
        check(name);
        TEXTS
            .iter()
            .zip(numbers)
            .filter(|(text, _)| matches(name, text))
            .map(|(_, number)| number)
            .sum()
    }

    pub(super) fn trace(&self) -> String {
        let mut text = String::new();
        for call in &self.calls {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{call}");
        }
        text
    }

    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.calls.iter().map(|call| call.name).collect();
        names.join(", ")
    }
}
