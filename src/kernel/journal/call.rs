//! One system call and its result, named as in strace(1).
//!
//! [`Name`] has one variant for each call of the kernel traits that is a system call. Its text
//! tells calls of one function apart: `epoll_ctl ADD`, `epoll_ctl MOD`. The
//! [`Display`](fmt::Display) form of a [`Call`] is a line of strace: `recv(5, 65536) = 64`,
//! `accept4(3) = EAGAIN`. What a call does is not known here. Man pages: strace(1), errno(3).

use std::fmt;

use crate::kernel::{Address, Event, Interest, Signal, Time, Token, errno};

macro_rules! calls {
    ($($name:ident $text:literal $first:literal $last:literal)*) => {
        /// The calls of the kernel traits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is named as the method that makes it")]
        pub enum Name {
            $($name,)*
        }

        /// The text of each call, and its first and its last argument if they are constants.
        const TABLE: &[(&str, &str, &str)] = &[$(($text, $first, $last),)*];
    };
}

calls! {
    Accept "accept4" "" ""
    Read "recv" "" ""
    Write "send" "" ""
    Enter "io_uring_enter" "" ""
    ReceiveDatagrams "recvmmsg" "" ""
    SendDatagrams "sendmmsg" "" ""
    SendDatagram "sendto" "" ""
    StopArrivals "setsockopt datagrams" "" "SO_ATTACH_FILTER"
    Shutdown "shutdown" "" "SHUT_WR"
    Unacknowledged "ioctl" "" "SIOCOUTQ"
    TakeError "getsockopt" "" "SO_ERROR"
    Peer "getpeername" "" ""
    Close "close" "" ""
    Register "epoll_ctl ADD" "ADD" ""
    Reregister "epoll_ctl MOD" "MOD" ""
    Deregister "epoll_ctl DEL" "DEL" ""
    Wait "epoll_wait" "" ""
    Poll "ppoll" "" ""
    TakeSignal "read signalfd" "signalfd" ""
    TakeWakeUp "read eventfd" "eventfd" ""
    Socket "socket" "" ""
    Bind "bind" "" ""
    Listen "listen" "" ""
    Connect "connect" "" ""
    Local "getsockname" "" ""
    QueueLength "getsockopt TCP_INFO" "" "TCP_INFO"
    StopHandshakes "setsockopt" "" "SO_ATTACH_FILTER"
    StopQueueing "shutdown SHUT_RD" "" "SHUT_RD"
    Share "fcntl" "" "F_DUPFD_CLOEXEC"
    Reserve "open" "/dev/null" ""
    Supervise "prctl" "PR_SET_CHILD_SUBREAPER" ""
    Spawn "clone" "CLONE_PIDFD" ""
    TakeOutput "read pipe" "" ""
    Kill "kill" "" "SIGKILL"
    Reap "waitid P_PIDFD" "P_PIDFD" "WEXITED|WNOHANG"
    HasEnded "waitid WNOWAIT" "P_PIDFD" "WEXITED|WNOHANG|WNOWAIT"
    TakeChildReport "read SIGCHLD" "SIGCHLD" ""
    EndedChild "waitid P_ALL" "P_ALL" "WEXITED|WNOHANG|WNOWAIT"
    ReapOrphan "waitid P_PID" "P_PID" "WEXITED"
    Input "read stdin" "" ""
    Output "write" "" ""
}

impl Name {
    /// How many calls there are.
    pub const COUNT: usize = TABLE.len();

    /// The call and, where several calls are one function, which of them: `epoll_ctl ADD`.
    pub const fn text(self) -> &'static str {
        TABLE[self as usize].0
    }

    /// The texts of all calls, each at the place `name as usize`.
    pub fn texts() -> impl ExactSizeIterator<Item = &'static str> {
        TABLE.iter().map(|(text, _, _)| *text)
    }

    /// Whether the number that it returns is one of bytes that have moved.
    pub const fn moves_bytes(self) -> bool {
        matches!(
            self,
            Name::Read | Name::Write | Name::TakeOutput | Name::Input | Name::Output
        )
    }

    /// The function of the C library: `epoll_ctl`.
    pub fn function(self) -> &'static str {
        let text = self.text();
        text.split_once(' ').map_or(text, |(function, _)| function)
    }
}

/// One call and its result.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// When it was made.
    pub began: Time,
    /// When it returned.
    pub at: Time,
    /// What was called.
    pub name: Name,
    /// The descriptor that it was called on. The token that a descriptor is registered under is in
    /// the argument of [`Name::Register`].
    pub descriptor: Option<u32>,
    /// What it was called with, beside the descriptor.
    pub argument: Argument<'a>,
    /// The number that it returned, or the errno. 0 as errno: this program refused, not the kernel.
    pub result: Result<usize, i32>,
    /// What it returned beside the number.
    pub returned: Returned<'a>,
    /// The bytes that it moved.
    pub bytes: &'a [u8],
}

/// What a call was made with, beside the descriptor.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// Nothing.
    None,
    /// Space to read into, or bytes to write.
    Size(usize),
    /// So many calls of a kind, as one batch. Each is recorded behind it, with its result.
    Batch(usize, Name),
    /// What epoll is asked for. The token is missing where only the descriptor is known.
    Interest(Option<Token>, Interest),
    /// Room for events, and when the wait ends at the latest.
    Wait {
        /// Events at most.
        room: usize,
        /// Its end; [`Time::NEVER`] for a wait without limit.
        until: Time,
    },
    /// An address to listen at, and the backlog.
    Listen(&'a Address, u32),
    /// An address to connect to.
    Address(&'a Address),
    /// A process.
    Process(u32),
    /// A process group.
    Group(u32),
    /// A command, as text.
    Text(&'a str),
}

/// What a call returned beside a number.
#[derive(Clone, Copy, Debug)]
pub enum Returned<'a> {
    /// Nothing.
    Number,
    /// An address.
    Address(&'a Address),
    /// Events.
    Events(&'a [Event]),
    /// An address as text.
    Text(&'a str),
    /// A signal, or none.
    Signal(Option<Signal>),
    /// Whether a process has ended.
    Ended(bool),
}

impl Argument<'_> {
    /// The same argument, or none if it borrows something.
    pub(super) fn detached(self) -> Argument<'static> {
        match self {
            Argument::Size(size) => Argument::Size(size),
            Argument::Batch(count, name) => Argument::Batch(count, name),
            Argument::Interest(token, interest) => Argument::Interest(token, interest),
            Argument::Wait { room, until } => Argument::Wait { room, until },
            Argument::Process(id) => Argument::Process(id),
            Argument::Group(id) => Argument::Group(id),
            _ => Argument::None,
        }
    }
}

impl Call<'_> {
    /// The same call without what it borrows: to be kept.
    #[must_use]
    pub fn detached(&self) -> Call<'static> {
        Call {
            began: self.began,
            at: self.at,
            name: self.name,
            descriptor: self.descriptor,
            argument: self.argument.detached(),
            result: self.result,
            returned: match self.returned {
                Returned::Signal(signal) => Returned::Signal(signal),
                Returned::Ended(ended) => Returned::Ended(ended),
                _ => Returned::Number,
            },
            bytes: &[],
        }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, first, last) = TABLE[self.name as usize];
        write!(f, "{}(", self.name.function())?;
        let mut list = List(f, false);
        if !first.is_empty() {
            list.next()?.write_str(first)?;
        }
        if let Some(descriptor) = self.descriptor {
            write!(list.next()?, "{descriptor}")?;
        }
        match self.argument {
            Argument::None => {}
            Argument::Size(size) => write!(list.next()?, "{size}")?,
            Argument::Batch(count, name) => {
                write!(list.next()?, "{count} {}", name.function())?;
            }
            Argument::Interest(None, interest) => write!(list.next()?, "{interest:?}")?,
            Argument::Interest(Some(token), interest) => {
                write!(list.next()?, "{token:?}, {interest:?}")?;
            }
            Argument::Wait {
                room,
                until: Time::NEVER,
                ..
            } => write!(list.next()?, "{room}, forever")?,
            Argument::Wait { room, until } => {
                write!(list.next()?, "{room}, {:?}", until.since(self.began))?;
            }
            Argument::Listen(address, backlog) => write!(list.next()?, "{address}, {backlog}")?,
            Argument::Address(address) => write!(list.next()?, "{address}")?,
            Argument::Process(id) => write!(list.next()?, "{id}")?,
            Argument::Group(id) => write!(list.next()?, "-{id}")?,
            Argument::Text(text) => list.next()?.write_str(text)?,
        }
        if !last.is_empty() {
            list.next()?.write_str(last)?;
        }
        f.write_str(") = ")?;
        match (self.result, self.returned) {
            (Err(0), _) => f.write_str("refused"),
            (Err(number), _) => match errno::name(number) {
                Some(name) => f.write_str(name),
                None => write!(f, "errno {number}"),
            },
            (Ok(number), Returned::Number) => write!(f, "{number}"),
            (Ok(_), Returned::Address(address)) => write!(f, "{address}"),
            (Ok(_), Returned::Text(text)) => f.write_str(text),
            (Ok(number), Returned::Events(events)) => write!(f, "{number} {events:?}"),
            (Ok(_), Returned::Signal(None)) => f.write_str("EAGAIN"),
            (Ok(_), Returned::Signal(Some(signal))) => write!(f, "{signal}"),
            (Ok(_), Returned::Ended(true)) => f.write_str("ended"),
            (Ok(_), Returned::Ended(false)) => f.write_str("runs"),
        }
    }
}

/// Arguments, with a comma between two. The second field: whether there is one already.
struct List<'f, 'b>(&'f mut fmt::Formatter<'b>, bool);

impl<'b> List<'_, 'b> {
    /// Where the next argument is written.
    fn next(&mut self) -> Result<&mut fmt::Formatter<'b>, fmt::Error> {
        if self.1 {
            self.0.write_str(", ")?;
        }
        self.1 = true;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'static> = Call {
        began: Time::from_nanos(1_000),
        at: Time::from_nanos(1_007),
        name: Name::Read,
        descriptor: Some(5),
        argument: Argument::Size(65536),
        result: Ok(3),
        returned: Returned::Number,
        bytes: b"abc",
    };

    #[test]
    fn a_call_reads_like_a_line_of_strace() {
        let address: Address = "tcp://127.0.0.1:7".parse().expect("an address");
        let events = [Event::new(Token::new(0, 1), crate::kernel::Readiness::IN)];
        let interest = Argument::Interest(Some(Token::new(0, 1)), Interest::READ);
        let wait = |until| Argument::Wait { room: 512, until };
        let shut = Call {
            name: Name::Shutdown,
            argument: Argument::None,
            ..CALL
        };
        let own = Call {
            descriptor: None,
            ..shut
        };
        for (call, line) in [
            (CALL, "recv(5, 65536) = 3"),
            (
                Call {
                    result: Err(errno::EAGAIN),
                    ..CALL
                },
                "recv(5, 65536) = EAGAIN",
            ),
            (
                Call {
                    result: Err(999),
                    ..CALL
                },
                "recv(5, 65536) = errno 999",
            ),
            (
                Call {
                    result: Err(0),
                    ..CALL
                },
                "recv(5, 65536) = refused",
            ),
            (shut, "shutdown(5, SHUT_WR) = 3"),
            (
                Call {
                    returned: Returned::Signal(Some(Signal::Reload)),
                    ..CALL
                },
                "recv(5, 65536) = SIGHUP",
            ),
            (
                Call {
                    returned: Returned::Signal(None),
                    ..CALL
                },
                "recv(5, 65536) = EAGAIN",
            ),
            (
                Call {
                    name: Name::Register,
                    argument: interest,
                    result: Ok(0),
                    ..CALL
                },
                "epoll_ctl(ADD, 5, 0.1, READ) = 0",
            ),
            (
                Call {
                    name: Name::Reap,
                    returned: Returned::Ended(false),
                    ..shut
                },
                "waitid(P_PIDFD, 5, WEXITED|WNOHANG) = runs",
            ),
            (
                Call {
                    name: Name::Peer,
                    returned: Returned::Address(&address),
                    ..shut
                },
                "getpeername(5) = tcp://127.0.0.1:7",
            ),
            (
                Call {
                    name: Name::Kill,
                    argument: Argument::Group(8),
                    result: Ok(0),
                    ..own
                },
                "kill(-8, SIGKILL) = 0",
            ),
            (
                Call {
                    name: Name::Wait,
                    argument: wait(Time::NEVER),
                    result: Ok(1),
                    returned: Returned::Events(&events),
                    ..own
                },
                "epoll_wait(512, forever) = 1 [0.1 IN]",
            ),
            (
                Call {
                    name: Name::Wait,
                    argument: wait(Time::from_nanos(3_000)),
                    result: Ok(0),
                    ..own
                },
                "epoll_wait(512, 2µs) = 0",
            ),
            (
                Call {
                    name: Name::Reserve,
                    result: Ok(4),
                    ..own
                },
                "open(/dev/null) = 4",
            ),
            (
                Call {
                    name: Name::Enter,
                    argument: Argument::Batch(32, Name::Read),
                    result: Ok(32),
                    ..own
                },
                "io_uring_enter(32 recv) = 32",
            ),
        ] {
            assert_eq!(call.to_string(), line);
        }
    }

    #[test]
    fn each_text_begins_with_its_function_and_stands_for_one_call() {
        let texts: Vec<&str> = Name::texts().collect();
        assert_eq!(texts.len(), Name::COUNT);
        for (place, text) in texts.iter().enumerate() {
            assert!(!texts[..place].contains(text), "{text}");
        }
        assert_eq!(Name::Reregister.text(), "epoll_ctl MOD");
        assert_eq!(Name::Reregister.function(), "epoll_ctl");
        assert_eq!(Name::Output.text(), Name::Output.function());
    }

    #[test]
    fn a_kept_call_has_lost_only_what_it_borrowed() {
        let kept = CALL.detached();
        assert_eq!(kept.to_string(), CALL.to_string());
        assert_eq!((kept.at, kept.bytes), (CALL.at, &[][..]));
    }
}
