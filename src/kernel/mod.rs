//! The seam: everything the house asks of the operating system, as five traits.
//!
//! [`Sockets`] moves bytes, [`Poller`] waits, [`Opener`] brings sockets into being, [`Spawner`]
//! processes, and [`Streams`] is for a program that is talked to through its own ends. [`Linux`] is
//! the real one; the simulated kernel of the tests is another, and the loop is compiled for each of
//! them: `Kernel` is a type, never a `dyn`. Every call answers with `io::Result` and none decides
//! anything: what an error means for a connection is sorted by whoever called. A socket is an owned
//! value: `close` consumes it, so it is closed once, and a `K::Socket` that is not registered
//! cannot be reported.
//!
//! On the way of a byte this is the step before and after `server`. Man pages: epoll(7), socket(7),
//! tcp(7).

mod address;
mod address_text;
mod endpoint;
mod journal;
mod lines;
mod linux;
mod outlet;
mod standard;
mod token;

use std::fmt;
use std::io;
use std::time::Duration;

pub use crate::base::time::Time;
pub use crate::sys::epoll::Event;
pub use crate::sys::fd::file;
pub(crate) use crate::sys::fd::stream::columns as terminal_columns;
pub use crate::sys::memory::{Mapping, give_large_blocks_back};
pub use crate::sys::process::child;
pub use crate::sys::{errno, process};
pub use address::{Address, UnixName, ip_text, is_itself, lacks_interface};
pub use address_text::source;
pub use endpoint::{Endpoint, HostName};
pub use journal::Traced;
pub use lines::{ERROR_LINES, Lines, OUTPUT_LINES, finish_lines, lines_dropped};
pub(crate) use lines::{retry_lines, retry_lines_by};
pub use linux::signals::{block_signals, hold_signals_back, let_hang_ups_act, let_signals_act};
pub use linux::spawner::{Command, find_program, words};
pub use linux::streams::{ignore_write_signals, release_signals};
pub use linux::{Linux, Socket, Waker};
pub use outlet::outlet_descriptors;
pub use standard::{StandardInput, StandardOutput};
pub use token::{ChildEnd, Interest, Readiness, Source, Token, Trigger};

/// What can be done with a socket that exists.
pub trait Sockets {
    /// An owned socket. Dropping one instead of closing it through [`Sockets::close`] leaks it in
    /// a simulation.
    type Socket;

    /// Takes one connection from the queue of `listener`: accept4(2), non-blocking and
    /// close-on-exec.
    fn accept(&mut self, listener: &Self::Socket) -> io::Result<Self::Socket>;

    /// Reads at most `space.len()` bytes: recv(2). 0 is the end of the stream; `space` must not be
    /// empty.
    fn read(&mut self, socket: &Self::Socket, space: &mut [u8]) -> io::Result<usize>;

    /// Writes as much of `bytes` as is taken now: send(2) with `MSG_NOSIGNAL`.
    fn write(&mut self, socket: &Self::Socket, bytes: &[u8]) -> io::Result<usize>;

    /// Ends our direction with a FIN: shutdown(2) with `SHUT_WR`.
    fn shutdown(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Bytes written that the peer's kernel has not acknowledged, which a close may destroy:
    /// `SIOCOUTQ` of tcp(7). There are none of a local socket: what it takes is with its reader.
    fn unacknowledged(&mut self, socket: &Self::Socket) -> io::Result<usize>;

    /// The error that is pending, taken: `SO_ERROR` of socket(7). This is how a connect in
    /// progress ends.
    fn take_error(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// The address of the other end: getpeername(2).
    fn peer(&mut self, socket: &Self::Socket) -> io::Result<Address>;

    /// Closes it, and with it its registration. Never tried again: on Linux the number is free
    /// even after EINTR.
    fn close(&mut self, socket: Self::Socket);
}

/// How the loop waits, for sockets, for time, for signals.
pub trait Poller: Sockets {
    /// Starts reporting `socket` under `token`: `EPOLL_CTL_ADD`.
    fn register(
        &mut self,
        socket: &Self::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()>;

    /// Changes what is asked: `EPOLL_CTL_MOD`. In edge mode this also re-arms and reports what is
    /// true now.
    fn reregister(
        &mut self,
        socket: &Self::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()>;

    /// Stops reporting `socket`: `EPOLL_CTL_DEL`.
    fn deregister(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Sleeps until something is ready or the clock reads `until` ([`Time::NEVER`]: for ever), and
    /// fills `events` from the front. A wait that a signal interrupts ends early with what is
    /// ready, and a far deadline may end it early. The clock is taken to read what the last
    /// [`Poller::now`] gave, so a loop reads it once a turn.
    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize>;

    /// The monotonic clock.
    fn now(&mut self) -> Time;

    /// The time of day, as the span since 1970-01-01 00:00 UTC; it may be set back at any time.
    fn time_of_day(&mut self) -> Duration;

    /// The next signal that has arrived, after [`Source::Signals`] was reported: first those that
    /// end the program, so that no flood of others hides them.
    fn take_signal(&mut self) -> io::Result<Option<Signal>>;

    /// Takes the wake-up back, after [`Source::WakeUp`] was reported.
    fn take_wake_up(&mut self) -> io::Result<()>;
}

/// How sockets come into being.
pub trait Opener: Sockets {
    /// socket(2), its options, bind(2), listen(2); the error says which of them refused.
    fn listen(
        &mut self,
        address: &Address,
        options: &ListenOptions,
    ) -> Result<Self::Socket, OpenError>;

    /// Closes a listener. A path that it has bound is removed before, unless the path has become
    /// another process's; so every end of a listener comes here and not to [`Sockets::close`].
    fn close_listener(&mut self, listener: Self::Socket) {
        self.close(listener);
    }

    /// The address a socket is bound to, with the port the kernel chose: getsockname(2).
    fn local(&mut self, socket: &Self::Socket) -> io::Result<Address>;

    /// Connections that wait at a listener to be accepted; an error where the kernel does not tell.
    /// `TCP_INFO` of tcp(7).
    fn queue_length(&mut self, listener: &Self::Socket) -> io::Result<usize>;

    /// Has nobody else queued at a listener of unix(7); whoever waits there waits on: shutdown(2)
    /// with `SHUT_RD`. One of tcp(7) would lose them.
    fn stop_queueing(&mut self, listener: &Self::Socket) -> io::Result<()>;

    /// Starts a non-blocking connect(2). `Ok` means that it is under way: wait until the socket is
    /// writable, then ask [`Sockets::take_error`]; writable alone is not connected.
    fn connect(
        &mut self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Self::Socket, OpenError>;

    /// A descriptor kept in reserve, to be given up when there are no others (`/dev/null`).
    fn reserve(&mut self) -> io::Result<Self::Socket>;
}

/// How programs are started, and what can be asked of them until they are reaped.
///
/// Both descriptors of a [`Child`] are sockets like others: registered, reported, closed. Nothing
/// here waits for a program. A command is the process that was started and its process group; an
/// *orphan* is a child that this process did not start but got when another one ended.
pub trait Spawner: Poller {
    /// A line that can be run, prepared.
    type Command: Send;

    /// Finds out whether programs can be watched here, before any is started. The poller that hears
    /// signals also becomes the parent of orphans and reports under [`CHILD_ENDED`] that a child
    /// has ended: PR_SET_CHILD_SUBREAPER of prctl(2), SIGCHLD.
    ///
    /// # Errors
    ///
    /// The call that is refused, and why.
    fn supervise(&mut self) -> io::Result<()>;

    /// Cuts `line` into words at its blanks and finds the program: an absolute path, or a name in
    /// the usual folders.
    fn prepare(&mut self, line: &str) -> io::Result<Self::Command>;

    /// Starts it as the leader of a session of its own, with no environment, no descriptor
    /// but `/dev/null` and the pipe, and no signal ignored or blocked: clone(2) with CLONE_PIDFD,
    /// execve(2). It is killed when the calling thread ends. After an error nothing of it has run.
    fn spawn(&mut self, command: &Self::Command) -> io::Result<Child<Self::Socket>>;

    /// Reads at most `space.len()` bytes of what it says: read(2). 0 is the end, when nobody holds
    /// the other end of the pipe any more.
    fn take_output(&mut self, pipe: &Self::Socket, space: &mut [u8]) -> io::Result<usize>;

    /// Kills all processes of the group that [`Child::id`] leads: kill(2) with SIGKILL. Not to be
    /// called once it is reaped, for then the number may be another's.
    fn kill(&mut self, id: u32) -> io::Result<()>;

    /// Takes note that it has ended, after which it is no more: waitid(2) with `WNOHANG`. Tells
    /// whether it had.
    fn reap(&mut self, exit: &Self::Socket) -> io::Result<bool>;

    /// Whether it has ended; it stays to be reaped: waitid(2) with `WNOWAIT`.
    fn has_ended(&mut self, exit: &Self::Socket) -> io::Result<bool>;

    /// Takes the report back, after [`Token::fixed`] of [`CHILD_ENDED`] was reported.
    fn take_child_report(&mut self) -> io::Result<()>;

    /// The number of a child that has ended and stays to be reaped, started here or an orphan: the
    /// one that is a child for longest. None where [`Spawner::supervise`] was not called. waitid(2)
    /// with `P_ALL` and `WNOWAIT`.
    fn ended_child(&mut self) -> io::Result<Option<u32>>;

    /// Reaps the orphan with this number, which has ended: waitid(2) with `P_PID`.
    fn reap_orphan(&mut self, id: u32) -> io::Result<()>;
}

/// A program that was started.
#[derive(Debug)]
pub struct Child<Socket> {
    /// What it says on both of its outputs.
    pub output: Socket,
    /// Readable once it has ended.
    pub exit: Socket,
    /// The number of its process, and of the group that it leads.
    pub id: u32,
}

/// The program's own ends, for a command that a person or a pipe talks to.
///
/// They are shared with whoever started the program, who would not want them made non-blocking;
/// both calls answer `WouldBlock` all the same.
pub trait Streams: Poller {
    /// Starts to report `stream` while it is ready, or stops; only to be called for a change. The
    /// answer is whether there is anything to wait for: a regular file is always ready, and epoll
    /// does not take it.
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool>;

    /// Reads at most `space.len()` bytes of standard input: read(2). 0 is its end.
    fn input(&mut self, space: &mut [u8]) -> io::Result<usize>;

    /// Writes as much of `bytes` to standard output as is taken now: write(2).
    fn output(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// One of the program's own ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
}

impl Stream {
    /// The token under which the stream is reported.
    pub const fn token(self) -> Token {
        match self {
            Stream::Input => Token::INPUT,
            Stream::Output => Token::OUTPUT,
        }
    }
}

/// A signal, as what it asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT, by number: finish what is owed and end.
    Terminate(i32),
    /// SIGUSR1: print the statistics.
    Statistics,
    /// SIGHUP: read the files again.
    Reload,
}

/// `SO_REUSEPORT`: each worker has its own listener and the kernel spreads connections over them.
/// It admits any other program of the same user, which is not meant: so the first has the address
/// alone before it shares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    Alone,
    /// Nobody yet.
    First,
    /// The first and others like it.
    Next,
}

/// What a listener is opened with. Options of accepted sockets are set here too: on Linux they
/// inherit them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
    pub backlog: u32,
    /// Who else listens there.
    pub sharing: Sharing,
    /// `TCP_NODELAY`: send small writes at once.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` with this idle time before the first of three probes, and a third of it
    /// between them: a peer that died is noticed after twice the span. In whole seconds, at most
    /// 32,767.
    pub keepalive: Option<Duration>,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// `SO_RCVBUF` in bytes, when not the kernel's own.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` in bytes, when not the kernel's own.
    pub send_buffer: Option<u32>,
    /// `TCP_DEFER_ACCEPT`: report a connection only when its first data is there, or this span is
    /// over.
    pub defer_accept: Option<Duration>,
}

/// What a connection is opened with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `TCP_NODELAY`.
    pub nodelay: bool,
    /// The local address to connect from, its port 0 to let the kernel choose.
    pub source: Option<Address>,
}

/// The step of opening a socket that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenStep {
    /// socket(2) or one of its options.
    Socket,
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// connect(2).
    Connect,
}

/// A socket could not be opened: at which step, and why.
#[derive(Debug)]
pub struct OpenError {
    /// The call that refused.
    pub step: OpenStep,
    /// Its reason.
    pub error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            OpenStep::Socket => "socket",
            OpenStep::Bind => "bind",
            OpenStep::Listen => "listen",
            OpenStep::Connect => "connect",
        };
        write!(f, "{step}: {}", self.error)
    }
}

impl std::error::Error for OpenError {}
