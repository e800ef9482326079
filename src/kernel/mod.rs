//! The interface to the operating system, as six traits.
//!
//! [`Sockets`] moves bytes, [`Datagrams`] moves datagrams, [`Poller`] waits, [`Opener`] opens
//! sockets, [`Spawner`] starts programs, and [`Streams`] reads and writes the standard streams of
//! this process. [`Linux`] implements them with system calls; the simulated kernel of the tests is
//! another implementation. The loop is compiled for each of them: the kernel is a type parameter,
//! never a `dyn`.
//!
//! Every call returns an `io::Result` and decides nothing: the caller decides what an error means
//! for a connection. Invariants: a socket is an owned value and `close` consumes it, so it is
//! closed once; a `K::Socket` that is not registered is never reported. Neighbours: `sys` below;
//! `server`, `workers`, `client`, `load` and `cli` above. Man pages: epoll(7), socket(7), tcp(7).

mod address;
mod address_text;
pub mod batch;
pub mod blocking;
#[cfg(feature = "auth")]
pub mod channels;
mod datagrams;
mod endpoint;
pub mod host;
pub mod journal;
mod lines;
mod linux;
mod outlet;
mod passed;
mod passing;
mod service_manager;
mod standard;
mod system_log;
mod token;
#[cfg(feature = "auth")]
mod tree;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

pub use crate::base::time::Time;
pub use crate::sys::epoll::Event;
pub use crate::sys::errno;
pub use crate::sys::fd::file;
pub use crate::sys::memory::{Mapping, SharedWords};
use crate::sys::process::signal::INT;
pub use address::{Address, UnixName, ip_text, is_itself, lacks_interface};
pub use address_text::source;
pub use batch::Outcome;
pub use datagrams::{DatagramBatch, Sender};
pub use endpoint::{Endpoint, HostName};
pub use journal::Traced;
pub use lines::{ERROR_LINES, Lines, OUTPUT_LINES, finish_lines, lines_dropped};
pub(crate) use lines::{add_lines_dropped, retry_lines, retry_lines_by, take_lines_untold};
pub use linux::processes::{
    Exit, Link, Process, kill_worker, reload_worker, start_worker, take_ended_child, trace_worker,
};
pub use linux::signals::{
    block_signals, block_trace_signal, hold_signals_back, let_hang_ups_act, let_signals_act,
};
pub use linux::spawner::{Command, find_program, words};
pub use linux::streams::{ignore_write_signals, release_signals};
pub use linux::{Linux, Socket, Waker};
pub use outlet::{log_to_the_system, outlet_descriptors, tell_unless_peer};
pub use passed::{
    PASSED_FIRST, Passed, PassedState, check_passed, take_passed, take_standard_input,
};
pub use passing::{Channel, Door, Doorway, Passage};
pub use service_manager::ServiceManager;
pub use standard::{StandardInput, StandardOutput};
pub use token::{ChildEnd, Interest, Readiness, Source, Token, Trigger};
#[cfg(feature = "auth")]
pub use tree::{Tree, Writing, send_file};

/// Fills `bytes` with random bytes that no peer can guess: getrandom(2).
///
/// # Errors
///
/// The error of the kernel.
#[cfg(feature = "auth")]
pub fn random(bytes: &mut [u8; 32]) -> io::Result<()> {
    crate::sys::random::fill(bytes)
}

/// Operations on an open socket.
pub trait Sockets {
    /// An owned socket. In the simulated kernel a socket leaks if it is dropped instead of closed
    /// through [`Sockets::close`].
    type Socket;

    /// Takes one connection from the queue of `listener`: accept4(2), non-blocking and
    /// close-on-exec.
    fn accept(&mut self, listener: &Self::Socket) -> io::Result<Self::Socket>;

    /// Reads at most `space.len()` bytes: recv(2). 0 is the end of the stream, so `space` must not
    /// be empty.
    fn read(&mut self, socket: &Self::Socket, space: &mut [u8]) -> io::Result<usize>;

    /// Writes as many of `bytes` as the socket accepts now: send(2) with `MSG_NOSIGNAL`.
    fn write(&mut self, socket: &Self::Socket, bytes: &[u8]) -> io::Result<usize>;

    /// How many receives, or sends, one batch may have; 0 if the kernel makes each alone.
    fn batch_max(&self) -> usize {
        0
    }

    /// From how many on they are cheaper as one batch than one by one.
    fn batch_min(&self) -> usize {
        2
    }

    /// Receives once from each of `sockets`, which are at most [`Sockets::batch_max`]: from the
    /// first into the first `size` bytes of `space`, and so on. The results are left in `results`,
    /// in this order; each is that of [`Sockets::read`]. Returns how often io_uring_enter(2) was
    /// called; 0 if each receive was a call of its own.
    fn receive_batch<'a>(
        &mut self,
        sockets: impl Iterator<Item = &'a Self::Socket> + Clone,
        space: &mut [u8],
        size: usize,
        results: &mut Vec<Outcome>,
    ) -> usize
    where
        Self::Socket: 'a,
    {
        results.clear();
        let rooms = space.chunks_exact_mut(size);
        results.extend(
            sockets
                .zip(rooms)
                .map(|(socket, room)| Outcome::from(self.read(socket, room))),
        );
        0
    }

    /// The same for sends: each result is that of [`Sockets::write`]. No socket is in a batch
    /// twice.
    fn send_batch<'a>(
        &mut self,
        sends: impl Iterator<Item = (&'a Self::Socket, &'a [u8])> + Clone,
        results: &mut Vec<Outcome>,
    ) -> usize
    where
        Self::Socket: 'a,
    {
        results.clear();
        results.extend(sends.map(|(socket, bytes)| Outcome::from(self.write(socket, bytes))));
        0
    }

    /// Ends our sending direction with a FIN: shutdown(2) with `SHUT_WR`.
    fn shutdown(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Begins the transport of a connection behind a header that came before it. `received` came
    /// behind that header. Returns whether there is a transport, which has taken these bytes.
    #[inline(always)]
    fn secure(&mut self, _socket: &Self::Socket, _received: &[u8]) -> bool {
        false
    }

    /// Whether nothing that was written waits outside the kernel, so that the socket may be closed
    /// in order. A transport may have to say goodbye first.
    #[inline(always)]
    fn is_finished(&mut self, _socket: &Self::Socket) -> bool {
        true
    }

    /// Whether the kernel has everything of the connection, so that another process which gets the
    /// socket can go on with it. A transport keeps keys that it does not have.
    #[inline(always)]
    fn can_be_passed(&mut self, _socket: &Self::Socket) -> bool {
        true
    }

    /// Written bytes that the peer's kernel has not acknowledged and that a close may destroy:
    /// `SIOCOUTQ` of tcp(7). 0 for a local socket, whose written bytes are already in the reader's
    /// queue.
    fn unacknowledged(&mut self, socket: &Self::Socket) -> io::Result<usize>;

    /// Takes the pending error: `SO_ERROR` of socket(7). It tells how a connect in progress has
    /// ended.
    fn take_error(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// The address of the peer: getpeername(2).
    fn peer(&mut self, socket: &Self::Socket) -> io::Result<Address>;

    /// Fills `bytes` with random bytes that no peer can guess: getrandom(2).
    #[cfg(feature = "auth")]
    fn random(&mut self, bytes: &mut [u8; 32]) -> io::Result<()>;

    /// Closes the socket and ends its registration. The close is never repeated: on Linux the
    /// number is free even after EINTR.
    fn close(&mut self, socket: Self::Socket);
}

/// Operations on a bound datagram socket. No call waits.
pub trait Datagrams: Sockets {
    /// Whether the socket carries datagrams: `SO_TYPE` of socket(7).
    fn carries_datagrams(&mut self, socket: &Self::Socket) -> io::Result<bool>;

    /// Receives up to `count` datagrams that have arrived, in place of those that `batch` held.
    /// Returns how many: at least one. recvmmsg(2).
    fn receive_datagrams(
        &mut self,
        socket: &Self::Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize>;

    /// Sends up to `count` of the answers of `batch` that are not sent. Returns how many the kernel
    /// took: at least one, which the caller passes. An error is that of the first answer alone.
    /// sendmmsg(2).
    fn send_datagrams(
        &mut self,
        socket: &Self::Socket,
        batch: &mut DatagramBatch,
        count: usize,
    ) -> io::Result<usize>;

    /// Sends one datagram: sendto(2).
    fn send_datagram(
        &mut self,
        socket: &Self::Socket,
        bytes: &[u8],
        to: &Sender,
    ) -> io::Result<usize>;

    /// Makes the kernel put no more datagrams into the queue of the socket; those in it stay there.
    /// Everything that shares the socket is affected. `SO_ATTACH_FILTER` of socket(7).
    fn stop_arrivals(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Whether `ip` is an address of this machine.
    fn owns(&mut self, ip: IpAddr) -> bool;
}

/// Waiting for sockets, deadlines and signals.
pub trait Poller: Sockets {
    /// Starts reporting `socket` under `token`: `EPOLL_CTL_ADD`.
    fn register(
        &mut self,
        socket: &Self::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()>;

    /// Changes the interest: `EPOLL_CTL_MOD`. In edge-triggered mode this also re-arms the socket
    /// and reports its current readiness.
    fn reregister(
        &mut self,
        socket: &Self::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()>;

    /// Stops reporting `socket`: `EPOLL_CTL_DEL`.
    fn deregister(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Sleeps until something is ready or the clock reads `until` ([`Time::NEVER`]: no limit), and
    /// fills `events` from the front. An interrupting signal ends the wait early with what is
    /// ready; a far deadline may end early too. The wait counts from the last result of
    /// [`Poller::now`], so a loop reads the clock once a turn.
    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize>;

    /// The monotonic clock.
    fn now(&mut self) -> Time;

    /// The time of day, as the span since 1970-01-01 00:00 UTC. It may jump backwards.
    fn time_of_day(&mut self) -> Duration;

    /// The next pending signal, after [`Source::Signals`] was reported. Signals that end the
    /// program come first, so that a flood of others cannot hide them.
    fn take_signal(&mut self) -> io::Result<Option<Signal>>;

    /// Resets the wake-up, after [`Source::WakeUp`] was reported.
    fn take_wake_up(&mut self) -> io::Result<()>;
}

/// Opening of sockets.
pub trait Opener: Sockets {
    /// Opens a listener: socket(2), its options, bind(2), listen(2). The error names the step that
    /// was refused.
    fn listen(
        &mut self,
        address: &Address,
        options: &ListenOptions,
    ) -> Result<Self::Socket, OpenError>;

    /// Another descriptor of the same listener, for another poller: fcntl(2) with
    /// `F_DUPFD_CLOEXEC`. Both accept from one queue, which lives until both are closed. The kernel
    /// ends a registration only with the last descriptor, so a shared listener must be deregistered
    /// before it is closed.
    fn share(&mut self, listener: &Self::Socket) -> io::Result<Self::Socket>;

    /// Closes a listener. If it has bound a path, the path is removed first, unless the path
    /// already belongs to another process. Every listener must therefore be closed here and not
    /// through [`Sockets::close`].
    fn close_listener(&mut self, listener: Self::Socket) {
        self.close(listener);
    }

    /// A listener that another process has opened belongs to this one from now on: if it has bound
    /// a path, the path is removed when it is closed.
    fn own_path(&mut self, _listener: &Self::Socket) {}

    /// A listener belongs to another process from now on: its path stays when it is closed.
    fn leave_path(&mut self, _listener: &Self::Socket) {}

    /// The address that the socket is bound to, with the port that the kernel chose:
    /// getsockname(2).
    fn local(&mut self, socket: &Self::Socket) -> io::Result<Address>;

    /// The number of connections that wait at a listener to be accepted: `TCP_INFO` of tcp(7). An
    /// error if the kernel does not report it.
    fn queue_length(&mut self, listener: &Self::Socket) -> io::Result<usize>;

    /// Makes a TCP listener ignore new connections; those in its queue stay there, and handshakes
    /// under way go on: `SO_ATTACH_FILTER` of socket(7). Everything that shares the listener is
    /// affected. An error for a local listener.
    fn stop_handshakes(&mut self, listener: &Self::Socket) -> io::Result<()>;

    /// Makes a listener of unix(7) refuse new connections; connections already in its queue stay
    /// there: shutdown(2) with `SHUT_RD`. A TCP listener would drop its queue.
    fn stop_queueing(&mut self, listener: &Self::Socket) -> io::Result<()>;

    /// Starts a non-blocking connect(2). `Ok` means that the connect is in progress. The caller
    /// waits until the socket is writable and then calls [`Sockets::take_error`]: a writable socket
    /// may also have failed.
    fn connect(
        &mut self,
        address: &Address,
        options: &ConnectOptions,
    ) -> Result<Self::Socket, OpenError>;

    /// A reserve descriptor (`/dev/null`) that is closed when no other descriptor is left.
    fn reserve(&mut self) -> io::Result<Self::Socket>;
}

/// Starting programs, and operations on them until they are reaped.
///
/// Both descriptors of a [`Child`] are ordinary sockets: registered, reported, closed. No call here
/// waits for a program. A command is the started process and its process group. An *orphan* is a
/// child that this process did not start but inherited when another process ended.
pub trait Spawner: Poller {
    /// A prepared command line.
    type Command: Send;

    /// Checks whether programs can be watched here, before any is started. A poller that receives
    /// signals also becomes the parent of orphans, and reports under
    /// [`Source::ChildEnded`] that a child has ended: PR_SET_CHILD_SUBREAPER of
    /// prctl(2), SIGCHLD.
    ///
    /// # Errors
    ///
    /// The refused call and its reason.
    fn supervise(&mut self) -> io::Result<()>;

    /// Splits `line` into words at its blanks and finds the program: an absolute path, or a name in
    /// the usual directories.
    fn prepare(&mut self, line: &str) -> io::Result<Self::Command>;

    /// Starts the command as the leader of its own session, with an empty environment, no
    /// descriptors except `/dev/null` and the pipe, and no signal ignored or blocked: clone(2) with
    /// CLONE_PIDFD, execve(2). It is killed when the calling thread ends. If an error is returned,
    /// no part of the program has run.
    fn spawn(&mut self, command: &Self::Command) -> io::Result<Child<Self::Socket>>;

    /// Reads at most `space.len()` bytes of its output: read(2). 0 is the end: no process has the
    /// other end of the pipe open.
    fn take_output(&mut self, pipe: &Self::Socket, space: &mut [u8]) -> io::Result<usize>;

    /// Kills all processes of the group that [`Child::id`] leads: kill(2) with SIGKILL. Must not be
    /// called after the reap, because the number may then belong to another process.
    fn kill(&mut self, id: u32) -> io::Result<()>;

    /// Reaps the process if it has ended: waitid(2) with `WNOHANG`. Returns whether it has.
    fn reap(&mut self, exit: &Self::Socket) -> io::Result<bool>;

    /// Whether the process has ended, without reaping it: waitid(2) with `WNOWAIT`.
    fn has_ended(&mut self, exit: &Self::Socket) -> io::Result<bool>;

    /// Resets the report, after [`Source::ChildEnded`] was reported.
    fn take_child_report(&mut self) -> io::Result<()>;

    /// The number of a child that has ended and is not reaped, started here or an orphan: the
    /// oldest such child. `None` if [`Spawner::supervise`] was not called. waitid(2) with `P_ALL`
    /// and `WNOWAIT`.
    fn ended_child(&mut self) -> io::Result<Option<u32>>;

    /// Reaps the orphan with this number, which has ended: waitid(2) with `P_PID`.
    fn reap_orphan(&mut self, id: u32) -> io::Result<()>;
}

/// A started program.
#[derive(Debug)]
pub struct Child<Socket> {
    /// Its standard output and standard error, in one pipe.
    pub output: Socket,
    /// The pidfd, readable once the process has ended.
    pub exit: Socket,
    /// The number of the process, and of the process group that it leads.
    pub id: u32,
}

/// The standard streams of this process, for a command that talks to a person or a pipe.
///
/// Other processes share them, and must not find them non-blocking. Both calls return `WouldBlock`
/// all the same.
pub trait Streams: Poller {
    /// Starts to report `stream` while it is ready, or stops. To be called only for a change.
    /// Returns whether the stream can be waited for: a regular file is always ready, and epoll
    /// refuses it.
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool>;

    /// Reads at most `space.len()` bytes of standard input: read(2). 0 is its end.
    fn input(&mut self, space: &mut [u8]) -> io::Result<usize>;

    /// Writes as many of `bytes` to standard output as it accepts now: write(2).
    fn output(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// A standard stream of this process.
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

/// A signal, as the request that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT, by number: send the replies that are owed and end.
    Terminate(i32),
    /// SIGUSR1: print the statistics.
    Statistics,
    /// SIGUSR2: write the trace.
    Trace,
    /// SIGHUP: read the files again.
    Reload,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Terminate(INT) => "SIGINT",
            Signal::Terminate(_) => "SIGTERM",
            Signal::Statistics => "SIGUSR1",
            Signal::Trace => "SIGUSR2",
            Signal::Reload => "SIGHUP",
        })
    }
}

/// `SO_REUSEPORT`: each worker has its own listener, and the kernel spreads connections over them.
/// The option would also admit other programs of the same user. To prevent this, the first listener
/// binds the address exclusively before it shares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// No other listener.
    Alone,
    /// No other listener yet; the address is shared after listen(2).
    First,
    /// The first listener and further ones.
    Next,
}

/// Options of a listener. Options of accepted sockets are set here too, because accepted sockets
/// inherit them on Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted. The kernel reduces the number to
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Which other listeners the address has.
    pub sharing: Sharing,
    /// `TCP_NODELAY`: send small writes at once.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` with this idle time before the first of three probes, and a third of it
    /// between probes: a dead peer is detected after twice the span. Rounded up to whole seconds,
    /// at most 32,767.
    pub keepalive: Option<Duration>,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// `SO_RCVBUF` in bytes; `None` keeps the kernel's default.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` in bytes; `None` keeps the kernel's default.
    pub send_buffer: Option<u32>,
    /// `TCP_DEFER_ACCEPT`: accept a connection only after its first data has arrived, or after this
    /// span.
    pub defer_accept: Option<Duration>,
    /// The permissions of the file of a local socket, whatever the umask is; `None` leaves them to
    /// the umask. The file never has more, not even before listen(2).
    pub unix_mode: Option<u32>,
}

/// Options of an outgoing connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `TCP_NODELAY`.
    pub nodelay: bool,
    /// The local address to connect from; with port 0 the kernel chooses the port.
    pub source: Option<Address>,
}

/// The step of opening a socket that failed.
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

/// The failure to open a socket: the step and the reason.
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
