//! The place where an experiment makes its calls: each is kept with its result.
//!
//! Descriptors have names, so that a reader can follow: `recv(server, 1024) = EAGAIN`. A call that
//! an experiment only needs to get on returns an `io::Result` and ends the experiment when it is
//! refused. A call whose answer is the point of the experiment returns an [`Answer`]. Invariant:
//! every descriptor that a bench has opened is closed when the bench ends.
//!
//! No call here is inlined: hundreds of steps use them, and their time does not count.
//!
//! Neighbours: `experiments` uses this, `kernel::host::calls` makes the calls.

use std::fmt::{self, Display};
use std::io;

use crate::kernel::host::calls::{self, Queue, TcpInfo};
use crate::kernel::host::monotonic;
use crate::kernel::journal::Track;
use crate::kernel::{Readiness, Time, Token, errno};

/// Most steps that are kept of one experiment. A loop of more calls only counts them.
const STEPS_MAX: usize = 2_000;

/// Bytes of a message that a step shows.
const SHOWN_MAX: usize = 16;

/// A descriptor and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fd {
    pub(super) number: i32,
    name: &'static str,
}

impl Display for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The result of a call whose answer is asked for: a number, or an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer(pub(super) Result<usize, i32>);

impl Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(number) => number.fmt(f),
            Err(code) => match errno::name(code) {
                Some(name) => f.write_str(name),
                None => write!(f, "errno {code}"),
            },
        }
    }
}

impl Answer {
    fn of(result: io::Result<usize>) -> Answer {
        Answer(result.map_err(|error| error.raw_os_error().unwrap_or(0)))
    }

    /// The number; 0 for an error.
    pub(super) fn count(self) -> usize {
        self.0.unwrap_or(0)
    }

    pub(super) fn is_error(self) -> bool {
        self.0.is_err()
    }
}

/// What is ready, in the spelling of epoll_ctl(2): `IN|RDHUP`; `0` for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mask(pub(super) u32);

impl Mask {
    pub(super) fn has(self, readiness: Readiness) -> bool {
        self.0 & readiness.bits() != 0
    }
}

impl Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            bits => write!(f, "{:?}", Readiness::from_bits(bits)),
        }
    }
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Step {
    /// The start of a part.
    Heading(String),
    /// A call and its result, as strace(1) would write it.
    Call(String),
    /// An answer and what it was compared with.
    Check(Check),
    /// A value that differs between machines, to be looked at.
    Shown(String),
    /// A part that cannot be played here, and why.
    Skipped(String),
}

/// A comparison.
#[derive(Debug)]
pub(crate) struct Check {
    /// What was measured.
    pub(crate) what: String,
    /// The answer of the kernel.
    pub(crate) measured: String,
    /// What the answer has to be: a value, or a bound.
    pub(crate) expected: String,
    /// Whether it is.
    pub(crate) holds: bool,
}

/// Interest bits beside those of [`Readiness`].
pub(super) mod interest {
    use crate::kernel::Readiness;

    pub(in crate::lab) const IN: u32 = Readiness::IN.bits();
    pub(in crate::lab) const OUT: u32 = Readiness::OUT.bits();
    pub(in crate::lab) const RDHUP: u32 = Readiness::RDHUP.bits();
    pub(in crate::lab) const PRI: u32 = Readiness::PRI.bits();
    /// Report changes, not states.
    pub(in crate::lab) const EDGE: u32 = 1 << 31;
    /// Report once, then disarm.
    pub(in crate::lab) const ONESHOT: u32 = 1 << 30;
    /// Wake one of several waiters.
    pub(in crate::lab) const EXCLUSIVE: u32 = 1 << 28;
    /// Everything that can be asked for.
    pub(in crate::lab) const ALL: u32 = IN | OUT | RDHUP | PRI;
}

/// The names of `bits`, as epoll_ctl(2) has them without `EPOLL`.
fn interest_text(bits: u32) -> String {
    let mut text =
        Mask(bits & !(interest::EDGE | interest::ONESHOT | interest::EXCLUSIVE)).to_string();
    for (bit, name) in [
        (interest::EDGE, "|ET"),
        (interest::ONESHOT, "|ONESHOT"),
        (interest::EXCLUSIVE, "|EXCLUSIVE"),
    ] {
        if bits & bit != 0 {
            text.push_str(name);
        }
    }
    text
}

/// Keeps calls and checks, and the descriptors that are open.
#[derive(Debug)]
pub(crate) struct Bench {
    steps: Vec<Step>,
    dropped: usize,
    /// Calls are only counted.
    is_quiet: bool,
    open: Vec<Fd>,
    /// Keeps all calls, counted ones too.
    trace: Option<Track>,
    /// When the last call was over.
    clock: Time,
    /// The last descriptor of each name.
    named: Vec<Fd>,
    /// A packet over loopback has arrived when the call that sent it returns.
    is_synchronous: bool,
}

impl Bench {
    pub(super) fn new(trace: Option<Track>, is_synchronous: bool) -> Bench {
        Bench {
            steps: Vec::new(),
            dropped: 0,
            is_quiet: false,
            open: Vec::new(),
            trace,
            clock: monotonic(),
            named: Vec::new(),
            is_synchronous,
        }
    }

    /// Whether a packet over loopback has arrived when the call that sent it returns.
    pub(super) fn is_synchronous(&self) -> bool {
        self.is_synchronous
    }

    /// Closes what is still open and returns what was kept.
    #[inline(never)]
    pub(super) fn finish(mut self) -> (Vec<Step>, usize) {
        self.close_all();
        (std::mem::take(&mut self.steps), self.dropped)
    }

    #[inline(never)]
    pub(super) fn close_all(&mut self) {
        for fd in self.open.drain(..) {
            let _ = calls::close(fd.number);
        }
    }

    #[inline(never)]
    fn keep(&mut self, step: Step) {
        let is_call = matches!(step, Step::Call(_));
        if is_call && (self.is_quiet || self.steps.len() >= STEPS_MAX) {
            self.dropped += 1;
            return;
        }
        self.steps.push(step);
    }

    fn call(&mut self, text: impl FnOnce() -> String) {
        if self.trace.is_some() {
            let text = text();
            self.trace(&text);
            return self.keep(Step::Call(text));
        }
        match self.is_quiet {
            true => self.dropped += 1,
            false => self.keep(Step::Call(text())),
        }
    }

    /// Gives a call to the trace. It counts as begun when the one before it was over.
    #[cold]
    fn trace(&mut self, text: &str) {
        let at = monotonic();
        let began = std::mem::replace(&mut self.clock, at);
        let name = text.split_once('(').map_or("", |(_, rest)| rest);
        let name = name.split([',', ')']).next().unwrap_or("");
        let of_name = self.named.iter().find(|fd| fd.name == name);
        let token = of_name.map_or(Token::from_bits(0), |fd| Token::new(fd.number as u32, 1));
        if let Some(trace) = &self.trace {
            trace.line(token, (began, at), &payload_last(text));
        }
    }

    /// Begins a part.
    pub(super) fn part(&mut self, heading: impl Into<String>) {
        self.keep(Step::Heading(heading.into()));
    }

    /// Makes calls that are only counted: a loop.
    pub(super) fn quietly<T>(&mut self, calls: impl FnOnce(&mut Bench) -> T) -> T {
        let before = std::mem::replace(&mut self.is_quiet, true);
        let value = calls(self);
        self.is_quiet = before;
        value
    }

    /// The answer has to be this.
    pub(super) fn equal(
        &mut self,
        what: impl Into<String>,
        measured: impl Display,
        expected: impl Display,
    ) {
        self.compare(what.into(), &measured, &expected);
    }

    #[inline(never)]
    fn compare(&mut self, what: String, measured: &dyn Display, expected: &dyn Display) {
        let (measured, expected) = (measured.to_string(), expected.to_string());
        self.keep(Step::Check(Check {
            what,
            holds: measured == expected,
            measured,
            expected,
        }));
    }

    /// The answer has to be within a bound, which `bound` says in words.
    pub(super) fn holds(
        &mut self,
        what: impl Into<String>,
        measured: impl Display,
        bound: &str,
        holds: bool,
    ) {
        self.check(what.into(), &measured, bound, holds);
    }

    #[inline(never)]
    fn check(&mut self, what: String, measured: &dyn Display, bound: &str, holds: bool) {
        self.keep(Step::Check(Check {
            what,
            measured: measured.to_string(),
            expected: bound.to_owned(),
            holds,
        }));
    }

    /// A value that differs between machines.
    pub(super) fn show(&mut self, what: &str, value: impl Display) {
        self.tell(what, &value);
    }

    #[inline(never)]
    fn tell(&mut self, what: &str, value: &dyn Display) {
        self.keep(Step::Shown(format!("{what}: {value}")));
    }

    /// A part cannot be played here.
    pub(super) fn skip(&mut self, why: impl Into<String>) {
        self.keep(Step::Skipped(why.into()));
    }

    #[inline(never)]
    fn opened(&mut self, number: i32, name: &'static str) -> Fd {
        let fd = Fd { number, name };
        self.open.push(fd);
        if self.trace.is_some() {
            self.named.retain(|fd| fd.name != name);
            self.named.push(fd);
        }
        fd
    }

    /// A stream socket that blocks.
    #[inline(never)]
    pub(super) fn socket(&mut self, name: &'static str) -> io::Result<Fd> {
        self.socket_of(name, calls::SOCK_STREAM)
    }

    /// A datagram socket.
    #[inline(never)]
    pub(super) fn datagrams(&mut self, name: &'static str) -> io::Result<Fd> {
        self.socket_of(name, calls::SOCK_DGRAM)
    }

    #[inline(never)]
    fn socket_of(&mut self, name: &'static str, kind: i32) -> io::Result<Fd> {
        let number = calls::socket(calls::AF_INET, kind)?;
        let kind = if kind == calls::SOCK_STREAM {
            "SOCK_STREAM"
        } else {
            "SOCK_DGRAM"
        };
        self.call(|| format!("socket(AF_INET, {kind}) = {number} {name}"));
        calls::bound_waits(number)?;
        Ok(self.opened(number, name))
    }

    /// A listener on a port of 127.0.0.1 that the kernel chooses. It blocks.
    #[inline(never)]
    pub(super) fn listener(&mut self, backlog: i32) -> io::Result<(Fd, u16)> {
        let fd = self.socket("listener")?;
        self.set(fd, calls::SOL_SOCKET, calls::SO_REUSEADDR, 1)?;
        calls::bind(fd.number, 0)?;
        let port = calls::port(fd.number)?;
        self.call(|| format!("bind(listener, 127.0.0.1:0) = 0, port {port}"));
        self.listen(fd, backlog)?;
        Ok((fd, port))
    }

    #[inline(never)]
    pub(super) fn listen(&mut self, fd: Fd, backlog: i32) -> io::Result<()> {
        let answer = calls::listen(fd.number, backlog);
        self.told(&answer, || format!("listen({fd}, {backlog})"));
        answer
    }

    /// Keeps a call that returns nothing.
    fn told(&mut self, answer: &io::Result<()>, text: impl FnOnce() -> String) {
        let code = answer.as_ref().err().and_then(io::Error::raw_os_error);
        let answer = Answer(code.map_or(Ok(0), Err));
        self.call(|| format!("{} = {answer}", text()));
    }

    /// The same, with the answer for the experiment.
    fn asked(&mut self, answer: io::Result<usize>, text: impl FnOnce() -> String) -> Answer {
        let answer = Answer::of(answer);
        self.call(|| format!("{} = {answer}", text()));
        answer
    }

    #[inline(never)]
    pub(super) fn bind(&mut self, fd: Fd, port: u16) -> Answer {
        let answer = calls::bind(fd.number, port).map(|()| 0);
        self.asked(answer, || format!("bind({fd}, 127.0.0.1:{port})"))
    }

    /// A new socket that has connected to `port`.
    #[inline(never)]
    pub(super) fn client(&mut self, name: &'static str, port: u16) -> io::Result<Fd> {
        let fd = self.socket(name)?;
        let answer = calls::connect(fd.number, port);
        self.told(&answer, || format!("connect({fd}, 127.0.0.1:{port})"));
        answer?;
        Ok(fd)
    }

    #[inline(never)]
    pub(super) fn connect(&mut self, fd: Fd, port: u16) -> Answer {
        let answer = calls::connect(fd.number, port).map(|()| 0);
        self.asked(answer, || format!("connect({fd}, 127.0.0.1:{port})"))
    }

    /// Takes one connection, which has to be there.
    #[inline(never)]
    pub(super) fn accept(&mut self, listener: Fd, name: &'static str) -> io::Result<Fd> {
        let number = calls::accept(listener.number)?;
        self.call(|| format!("accept4({listener}) = {number} {name}"));
        calls::bound_waits(number)?;
        Ok(self.opened(number, name))
    }

    /// Takes one connection if there is one.
    #[inline(never)]
    pub(super) fn try_accept(&mut self, listener: Fd, name: &'static str) -> Result<Fd, Answer> {
        match calls::accept(listener.number) {
            Ok(number) => {
                self.call(|| format!("accept4({listener}) = {number} {name}"));
                Ok(self.opened(number, name))
            }
            Err(error) => Err(self.asked(Err(error), || format!("accept4({listener})"))),
        }
    }

    /// Two ends of a TCP connection over loopback, in one line.
    #[inline(never)]
    pub(super) fn pair(&mut self) -> io::Result<(Fd, Fd)> {
        let made = self.quietly(|bench| {
            let (listener, port) = bench.listener(16)?;
            let client = bench.client("client", port)?;
            let server = bench.accept(listener, "server")?;
            bench.close(listener);
            Ok((client, server))
        });
        if let Ok((client, server)) = &made {
            let (client, server) = (client.number, server.number);
            self.call(|| format!("a TCP connection: client {client}, server {server}"));
        }
        made
    }

    /// The state of a TCP socket, as `TCP_INFO` names it.
    #[inline(never)]
    pub(super) fn state(&mut self, fd: Fd) -> io::Result<&'static str> {
        let state = state_text(calls::tcp_info(fd.number)?.state);
        self.call(|| format!("getsockopt({fd}, TCP_INFO): {state}"));
        Ok(state)
    }

    /// A listener on `port`, with an option set before bind(2). The answer is that of bind or of
    /// listen, whichever was refused.
    #[inline(never)]
    pub(super) fn listener_on(
        &mut self,
        port: u16,
        option: Option<i32>,
    ) -> io::Result<(Fd, Answer)> {
        let fd = self.socket("listener")?;
        if let Some(option) = option {
            self.set(fd, calls::SOL_SOCKET, option, 1)?;
        }
        let bound = self.bind(fd, port);
        if bound.is_error() {
            return Ok((fd, bound));
        }
        let answer = calls::listen(fd.number, 1024).map(|()| 0);
        let answer = self.asked(answer, || format!("listen({fd}, 1024)"));
        Ok((fd, answer))
    }

    /// The port that a socket is bound to.
    #[inline(never)]
    pub(super) fn port(&mut self, fd: Fd) -> io::Result<u16> {
        let port = calls::port(fd.number)?;
        self.call(|| format!("getsockname({fd}): port {port}"));
        Ok(port)
    }

    /// Two connected local sockets.
    #[inline(never)]
    pub(super) fn local_pair(&mut self) -> io::Result<(Fd, Fd)> {
        let [one, other] = calls::socketpair(calls::SOCK_STREAM)?;
        self.call(|| format!("socketpair(AF_UNIX, SOCK_STREAM) = {one} near, {other} far"));
        Ok((self.opened(one, "near"), self.opened(other, "far")))
    }

    /// A pipe: its end to read from, and its end to write to.
    #[inline(never)]
    pub(super) fn pipe(&mut self) -> io::Result<(Fd, Fd)> {
        let [from, to] = calls::pipe()?;
        self.call(|| format!("pipe() = {from} reader, {to} writer"));
        Ok((self.opened(from, "reader"), self.opened(to, "writer")))
    }

    /// A file, to be read.
    #[inline(never)]
    pub(super) fn file(&mut self, path: &str) -> io::Result<Fd> {
        let number = calls::open(path)?;
        self.call(|| format!("open({path:?}) = {number} file"));
        Ok(self.opened(number, "file"))
    }

    /// A counter in the kernel.
    #[inline(never)]
    pub(super) fn eventfd(&mut self, semaphore: bool) -> io::Result<Fd> {
        let number = calls::eventfd(semaphore)?;
        self.call(|| format!("eventfd(0) = {number} counter"));
        Ok(self.opened(number, "counter"))
    }

    /// A timer.
    #[inline(never)]
    pub(super) fn timerfd(&mut self, milliseconds: i64, repeats: bool) -> io::Result<Fd> {
        let number = calls::timerfd(milliseconds * 1_000_000, repeats)?;
        let again = if repeats { ", again and again" } else { "" };
        self.call(|| format!("timerfd({milliseconds} ms{again}) = {number} timer"));
        Ok(self.opened(number, "timer"))
    }

    /// Calls on `fd` return at once.
    #[inline(never)]
    pub(super) fn nonblocking(&mut self, fd: Fd) -> io::Result<()> {
        let answer = calls::set_nonblocking(fd.number, true);
        self.told(&answer, || format!("ioctl({fd}, FIONBIO, 1)"));
        answer
    }

    #[inline(never)]
    pub(super) fn set(&mut self, fd: Fd, level: i32, name: i32, value: i32) -> io::Result<()> {
        let answer = calls::setsockopt(fd.number, level, name, value);
        self.told(&answer, || {
            format!("setsockopt({fd}, {}, {value})", option_text(level, name))
        });
        answer
    }

    /// Takes the pending error of a socket: its name, or `0`.
    #[inline(never)]
    pub(super) fn take_error(&mut self, fd: Fd) -> io::Result<Answer> {
        let code = calls::getsockopt(fd.number, calls::SOL_SOCKET, calls::SO_ERROR)?;
        let answer = Answer(if code == 0 { Ok(0) } else { Err(code) });
        self.call(|| format!("getsockopt({fd}, SO_ERROR): {answer}"));
        Ok(answer)
    }

    /// `close` will send RST.
    #[inline(never)]
    pub(super) fn reset_on_close(&mut self, fd: Fd) -> io::Result<()> {
        let answer = calls::reset_on_close(fd.number);
        self.told(&answer, || format!("setsockopt({fd}, SO_LINGER, 0 s)"));
        answer
    }

    /// Sends without SIGPIPE.
    #[inline(never)]
    pub(super) fn send(&mut self, fd: Fd, bytes: &[u8]) -> Answer {
        self.send_with(fd, bytes, 0)
    }

    #[inline(never)]
    pub(super) fn send_with(&mut self, fd: Fd, bytes: &[u8], flags: i32) -> Answer {
        let answer = calls::send(fd.number, bytes, flags | calls::MSG_NOSIGNAL);
        let flags = flags_text(flags);
        self.asked(answer, || format!("send({fd}, {}{flags})", shown(bytes)))
    }

    /// Receives at most `room` bytes, and throws them away.
    #[inline(never)]
    pub(super) fn recv(&mut self, fd: Fd, room: usize) -> Answer {
        let mut space = vec![0; room];
        self.recv_into(fd, &mut space, 0)
    }

    #[inline(never)]
    pub(super) fn recv_with(&mut self, fd: Fd, room: usize, flags: i32) -> Answer {
        let mut space = vec![0; room];
        self.recv_into(fd, &mut space, flags)
    }

    #[inline(never)]
    pub(super) fn recv_into(&mut self, fd: Fd, space: &mut [u8], flags: i32) -> Answer {
        let answer = Answer::of(calls::recv(fd.number, space, flags));
        let (room, flags) = (space.len(), flags_text(flags));
        let count = answer.count().min(room);
        self.call(|| {
            let bytes = match count {
                0 => String::new(),
                _ => format!(" {}", shown(&space[..count])),
            };
            format!("recv({fd}, {room}{flags}) = {answer}{bytes}")
        });
        answer
    }

    /// Receives one message; the second value says whether it was cut (MSG_TRUNC).
    #[inline(never)]
    pub(super) fn recvmsg(&mut self, fd: Fd, room: usize) -> (Answer, bool) {
        let mut space = vec![0; room];
        let answer = calls::recvmsg(fd.number, &mut space, 0);
        let cut = matches!(answer, Ok((_, flags)) if flags & calls::MSG_TRUNC != 0);
        let answer = Answer::of(answer.map(|(count, _)| count));
        let flag = if cut { ", MSG_TRUNC" } else { "" };
        self.call(|| format!("recvmsg({fd}, {room}) = {answer}{flag}"));
        (answer, cut)
    }

    #[inline(never)]
    pub(super) fn write(&mut self, fd: Fd, bytes: &[u8]) -> Answer {
        let answer = calls::write(fd.number, bytes);
        self.asked(answer, || format!("write({fd}, {})", shown(bytes)))
    }

    /// Adds to a counter.
    #[inline(never)]
    pub(super) fn write_number(&mut self, fd: Fd, number: u64) -> Answer {
        let answer = calls::write(fd.number, &number.to_ne_bytes());
        self.asked(answer, || format!("write({fd}, {number})"))
    }

    /// Reads a counter: its value, or the errno.
    #[inline(never)]
    pub(super) fn read_number(&mut self, fd: Fd) -> Answer {
        let mut space = [0; 8];
        let answer = calls::read(fd.number, &mut space);
        let answer = answer.map(|_| u64::from_ne_bytes(space) as usize);
        self.asked(answer, || format!("read({fd}, 8)"))
    }

    #[inline(never)]
    pub(super) fn shutdown(&mut self, fd: Fd, how: i32) -> Answer {
        let answer = calls::shutdown(fd.number, how).map(|()| 0);
        let how = match how {
            calls::SHUT_RD => "SHUT_RD",
            calls::SHUT_WR => "SHUT_WR",
            _ => "SHUT_RDWR",
        };
        self.asked(answer, || format!("shutdown({fd}, {how})"))
    }

    #[inline(never)]
    pub(super) fn close(&mut self, fd: Fd) {
        self.open.retain(|open| open.number != fd.number);
        let answer = calls::close(fd.number);
        self.told(&answer, || format!("close({fd})"));
    }

    /// A second number for the same open file.
    #[inline(never)]
    pub(super) fn dup(&mut self, fd: Fd, name: &'static str) -> io::Result<Fd> {
        let number = calls::dup(fd.number)?;
        self.call(|| format!("dup({fd}) = {number} {name}"));
        Ok(self.opened(number, name))
    }

    /// Gives the file of `fd` the number of `to` as well.
    #[inline(never)]
    pub(super) fn dup2(&mut self, fd: Fd, to: Fd) -> io::Result<()> {
        let answer = calls::dup2(fd.number, to.number);
        if let Ok(number) = &answer {
            self.call(|| format!("dup2({fd}, {number}) = {number} {to}"));
            self.open.push(to);
        }
        answer.map(|_| ())
    }

    /// Bytes in a queue of the socket.
    #[inline(never)]
    pub(super) fn queued(&mut self, fd: Fd, queue: Queue) -> io::Result<usize> {
        let count = calls::queued(fd.number, queue)?;
        let name = match queue {
            Queue::Unread => "SIOCINQ",
            Queue::Unacknowledged => "SIOCOUTQ",
            Queue::Unsent => "SIOCOUTQNSD",
        };
        self.call(|| format!("ioctl({fd}, {name}): {count}"));
        Ok(count)
    }

    #[inline(never)]
    pub(super) fn tcp_info(&mut self, fd: Fd) -> io::Result<TcpInfo> {
        let info = calls::tcp_info(fd.number)?;
        self.call(|| {
            let TcpInfo {
                unacknowledged,
                data_segments_sent,
                ..
            } = info;
            format!(
                "getsockopt({fd}, TCP_INFO): {}, unacked {unacknowledged}, data_segs_out \
                 {data_segments_sent}",
                state_text(info.state)
            )
        });
        Ok(info)
    }

    #[inline(never)]
    pub(super) fn epoll(&mut self) -> io::Result<Fd> {
        self.epoll_named("epoll")
    }

    #[inline(never)]
    pub(super) fn epoll_named(&mut self, name: &'static str) -> io::Result<Fd> {
        let number = calls::epoll_create()?;
        self.call(|| format!("epoll_create1() = {number} {name}"));
        Ok(self.opened(number, name))
    }

    /// Registers `fd`; its number is its data.
    #[inline(never)]
    pub(super) fn add(&mut self, epoll: Fd, fd: Fd, events: u32) -> io::Result<()> {
        match self.ctl(epoll, calls::EPOLL_CTL_ADD, fd, events).0 {
            Ok(_) => Ok(()),
            Err(code) => Err(io::Error::from_raw_os_error(code)),
        }
    }

    #[inline(never)]
    pub(super) fn ctl(&mut self, epoll: Fd, operation: i32, fd: Fd, events: u32) -> Answer {
        self.ctl_with(epoll, operation, fd, events, fd.number as u64)
    }

    #[inline(never)]
    pub(super) fn ctl_with(
        &mut self,
        epoll: Fd,
        operation: i32,
        fd: Fd,
        events: u32,
        data: u64,
    ) -> Answer {
        let answer = calls::epoll_ctl(epoll.number, operation, fd.number, events, data);
        let (name, events) = match operation {
            calls::EPOLL_CTL_ADD => ("ADD", format!(", {}", interest_text(events))),
            calls::EPOLL_CTL_MOD => ("MOD", format!(", {}", interest_text(events))),
            _ => ("DEL", String::new()),
        };
        self.asked(answer.map(|()| 0), || {
            format!("epoll_ctl({epoll}, {name}, {fd}{events})")
        })
    }

    /// Looks without waiting: the masks of the events, in order. Over loopback an event is there
    /// when the call that caused it has returned.
    #[inline(never)]
    pub(super) fn look(&mut self, epoll: Fd) -> io::Result<Vec<Mask>> {
        self.wait(epoll, 64, 0)
    }

    /// Waits at most `timeout` milliseconds.
    #[inline(never)]
    pub(super) fn wait(&mut self, epoll: Fd, room: usize, timeout: i32) -> io::Result<Vec<Mask>> {
        let events = self.wait_with_data(epoll, room, timeout)?;
        Ok(events.into_iter().map(|(mask, _)| mask).collect())
    }

    #[inline(never)]
    pub(super) fn wait_with_data(
        &mut self,
        epoll: Fd,
        room: usize,
        timeout: i32,
    ) -> io::Result<Vec<(Mask, u64)>> {
        let events = calls::epoll_wait(epoll.number, room, timeout)?;
        if self.is_quiet {
            self.dropped += 1;
        } else {
            let told = self.events_text(&events);
            self.call(|| format!("epoll_wait({epoll}, {room}, {timeout} ms) = {told}"));
        }
        Ok(events
            .into_iter()
            .map(|(bits, data)| (Mask(bits), data))
            .collect())
    }

    /// How many events there are, and each with the name of its descriptor.
    #[inline(never)]
    fn events_text(&self, events: &[(u32, u64)]) -> String {
        let mut text = events.len().to_string();
        for (place, &(bits, data)) in events.iter().enumerate() {
            let number = data & 0xffff_ffff;
            let known = self.open.iter().find(|fd| fd.number as u64 == number);
            let name = known.map_or_else(|| format!("data {data:#x}"), |fd| fd.name.to_owned());
            text += if place == 0 { ": " } else { ", " };
            text += &format!("{name} {}", Mask(bits));
        }
        text
    }

    /// The mask of one descriptor now, by a fresh epoll that asks for everything.
    #[inline(never)]
    pub(super) fn mask(&mut self, fd: Fd) -> io::Result<Mask> {
        self.mask_for(fd, interest::ALL)
    }

    #[inline(never)]
    pub(super) fn mask_for(&mut self, fd: Fd, events: u32) -> io::Result<Mask> {
        let mask = self.quietly(|bench| {
            let epoll = bench.epoll()?;
            bench.add(epoll, fd, events)?;
            let told = bench.wait(epoll, 1, 0)?;
            bench.close(epoll);
            Ok::<_, io::Error>(told.first().copied().unwrap_or(Mask(0)))
        })?;
        self.call(|| format!("a fresh epoll reports for {fd}: {mask}"));
        Ok(mask)
    }

    /// Sends until the kernel takes no more. Returns the bytes that it took.
    #[inline(never)]
    pub(super) fn fill(&mut self, fd: Fd, chunk: usize) -> usize {
        let bytes = vec![0; chunk];
        let total = self.quietly(|bench| {
            let mut total = 0;
            loop {
                let answer = bench.send_with(fd, &bytes, calls::MSG_DONTWAIT);
                if answer.is_error() {
                    break total;
                }
                total += answer.count();
            }
        });
        self.call(|| format!("send({fd}, {chunk} bytes) until EAGAIN: {total} bytes taken"));
        total
    }

    /// Plays `child` in a second process, and says how that process has ended. The child returns
    /// its exit code.
    pub(super) fn in_child(
        &mut self,
        child: impl FnOnce(&mut Bench) -> i32,
    ) -> io::Result<calls::ChildEnd> {
        let process = calls::fork()?;
        if process == 0 {
            let code = child(self);
            calls::exit_now(code);
        }
        self.call(|| "fork() = child".to_owned());
        let end = calls::waitpid(process)?;
        self.call(|| format!("waitpid(child): {end:?}"));
        Ok(end)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.close_all();
    }
}

/// A call as a trace shows it: what it sends stands behind the result, and its size among the
/// arguments.
fn payload_last(text: &str) -> String {
    let Some((front, rest)) = text.split_once(", \"") else {
        return text.to_owned();
    };
    let end = rest.find(") = ").and_then(|end| rest[..end].rfind('"'));
    let (Some(end), false) = (end, front.contains(") = ")) else {
        return text.to_owned();
    };
    let (payload, rest) = (&rest[..end], &rest[end + 1..]);
    // An escape stands for one byte: `\n`, or `\x00`.
    let (mut size, mut bytes) = (0, payload.bytes());
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && bytes.next() == Some(b'x') {
            bytes.nth(1);
        }
        size += 1;
    }
    format!("{front}, {size}{rest} \"{payload}\"")
}

/// The first bytes of a message as text in quotes; a long one of one repeated byte as a count.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() > SHOWN_MAX {
        return format!("{} bytes", bytes.len());
    }
    format!("\"{}\"", bytes.escape_ascii())
}

fn flags_text(flags: i32) -> String {
    let names = [
        (calls::MSG_DONTWAIT, "MSG_DONTWAIT"),
        (calls::MSG_MORE, "MSG_MORE"),
        (calls::MSG_OOB, "MSG_OOB"),
        (calls::MSG_PEEK, "MSG_PEEK"),
        (calls::MSG_TRUNC, "MSG_TRUNC"),
        (calls::MSG_WAITALL, "MSG_WAITALL"),
    ];
    let set = names.iter().filter(|(bit, _)| flags & bit != 0);
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    match set.is_empty() {
        true => String::new(),
        false => format!(", {}", set.join("|")),
    }
}

fn option_text(level: i32, name: i32) -> String {
    let known = [
        (calls::SOL_SOCKET, calls::SO_REUSEADDR, "SO_REUSEADDR"),
        (calls::SOL_SOCKET, calls::SO_REUSEPORT, "SO_REUSEPORT"),
        (calls::SOL_SOCKET, calls::SO_RCVBUF, "SO_RCVBUF"),
        (calls::SOL_SOCKET, calls::SO_SNDBUF, "SO_SNDBUF"),
        (calls::SOL_SOCKET, calls::SO_RCVLOWAT, "SO_RCVLOWAT"),
        (calls::TCP, calls::TCP_NODELAY, "TCP_NODELAY"),
        (calls::TCP, calls::TCP_CORK, "TCP_CORK"),
        (calls::TCP, calls::TCP_QUICKACK, "TCP_QUICKACK"),
        (calls::TCP, calls::TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT"),
        (calls::TCP, calls::TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT"),
    ];
    let found = known.iter().find(|row| (row.0, row.1) == (level, name));
    found.map_or_else(|| format!("{level}, {name}"), |row| row.2.to_owned())
}

/// The states of a TCP connection: include/net/tcp_states.h.
pub(super) fn state_text(state: u8) -> &'static str {
    const STATES: [&str; 13] = [
        "0",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    STATES.get(usize::from(state)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_moves_behind_the_result() {
        for (call, traced) in [
            ("send(a, \"x\\n\") = 2", "send(a, 2) = 2 \"x\\n\""),
            (
                "send(a, \"\\x00\\xff\", MSG_OOB) = EAGAIN",
                "send(a, 2, MSG_OOB) = EAGAIN \"\\x00\\xff\"",
            ),
            ("send(a, 100 bytes) = 100", "send(a, 100 bytes) = 100"),
            ("recv(a, 10) = 3 \"abc\"", "recv(a, 10) = 3 \"abc\""),
            ("close(a) = 0", "close(a) = 0"),
        ] {
            assert_eq!(payload_last(call), traced);
        }
    }
}
