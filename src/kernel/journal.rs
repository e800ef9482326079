//! A kernel that logs its calls in the format of strace(1).
//!
//! Each call goes to the wrapped kernel. While tracing is on, the call and its result are then
//! logged at trace level under the target `mynah::calls`: `recv(5, 65536) = 64`, `accept4(3) =
//! EAGAIN`. Tracing is a value and not a type, so the loop is compiled once; while tracing is off,
//! each call costs one well-predicted branch. Reading the clock is no system call and is not
//! logged. `RUST_LOG=mynah::calls=trace` shows the calls for a single byte. Neighbours: the traits
//! of `kernel`, which it implements for any kernel.

use std::fmt::{Arguments, Debug, Display};
use std::io;
use std::time::Duration;

use super::errno;
use super::{
    Address, Child, ConnectOptions, Event, Interest, ListenOptions, OpenError, Opener, Poller,
    Signal, Sockets, Spawner, Stream, Streams, Time, Token,
};

/// A wrapper that logs the calls of another kernel while tracing is on.
#[derive(Debug)]
pub struct Traced<K> {
    kernel: K,
    is_on: bool,
}

impl<K> Traced<K> {
    /// Wraps `kernel`; its calls are logged if `is_on`.
    pub fn new(kernel: K, is_on: bool) -> Traced<K> {
        Traced { kernel, is_on }
    }
}

/// Logs `call` and its result: a value, or the error by its name in the man page.
#[cold]
#[inline(never)]
fn tell(call: Arguments<'_>, answer: Result<impl Display, &io::Error>) {
    match answer {
        Ok(value) => log::trace!(target: "mynah::calls", "{call} = {value}"),
        Err(error) => log::trace!(target: "mynah::calls", "{call} = {}", name_of(error)),
    }
}

fn name_of(error: &io::Error) -> String {
    let name = error.raw_os_error().and_then(errno::name);
    name.map_or_else(|| error.to_string(), str::to_owned)
}

/// The result of a call without a return value: 0, as the system call returns it.
fn done<E>(answer: &Result<(), E>) -> Result<u32, &E> {
    answer.as_ref().map(|()| 0)
}

/// A result that is not a number, as text.
fn shown<T: Debug, E>(answer: &Result<T, E>) -> Result<String, &E> {
    answer.as_ref().map(|value| format!("{value:?}"))
}

impl<K: Sockets<Socket: Debug>> Sockets for Traced<K> {
    type Socket = K::Socket;

    #[inline]
    fn accept(&mut self, listener: &K::Socket) -> io::Result<K::Socket> {
        let answer = self.kernel.accept(listener);
        if self.is_on {
            tell(format_args!("accept4({listener:?})"), shown(&answer));
        }
        answer
    }

    #[inline]
    fn read(&mut self, socket: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        let answer = self.kernel.read(socket, space);
        if self.is_on {
            tell(
                format_args!("recv({socket:?}, {})", space.len()),
                answer.as_ref(),
            );
        }
        answer
    }

    #[inline]
    fn write(&mut self, socket: &K::Socket, bytes: &[u8]) -> io::Result<usize> {
        let answer = self.kernel.write(socket, bytes);
        if self.is_on {
            tell(
                format_args!("send({socket:?}, {})", bytes.len()),
                answer.as_ref(),
            );
        }
        answer
    }

    fn shutdown(&mut self, socket: &K::Socket) -> io::Result<()> {
        let answer = self.kernel.shutdown(socket);
        if self.is_on {
            tell(format_args!("shutdown({socket:?}, SHUT_WR)"), done(&answer));
        }
        answer
    }

    fn unacknowledged(&mut self, socket: &K::Socket) -> io::Result<usize> {
        let answer = self.kernel.unacknowledged(socket);
        if self.is_on {
            tell(format_args!("ioctl({socket:?}, SIOCOUTQ)"), answer.as_ref());
        }
        answer
    }

    fn take_error(&mut self, socket: &K::Socket) -> io::Result<()> {
        let answer = self.kernel.take_error(socket);
        if self.is_on {
            tell(
                format_args!("getsockopt({socket:?}, SO_ERROR)"),
                done(&answer),
            );
        }
        answer
    }

    fn peer(&mut self, socket: &K::Socket) -> io::Result<Address> {
        let answer = self.kernel.peer(socket);
        if self.is_on {
            tell(format_args!("getpeername({socket:?})"), answer.as_ref());
        }
        answer
    }

    #[inline]
    fn close(&mut self, socket: K::Socket) {
        if self.is_on {
            // Formatted before the call, because the call consumes the socket.
            tell(format_args!("close({socket:?})"), Ok(0));
        }
        self.kernel.close(socket);
    }
}

impl<K: Poller<Socket: Debug>> Traced<K> {
    #[cold]
    fn wait_traced(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        let span = until.since(self.kernel.now());
        let answer = self.kernel.wait(events, until);
        let reported = &events[..*answer.as_ref().unwrap_or(&0)];
        let shown = answer.as_ref().map(|count| format!("{count} {reported:?}"));
        let space = events.len();
        match until {
            Time::NEVER => tell(format_args!("epoll_wait({space}, forever)"), shown),
            _ => tell(format_args!("epoll_wait({space}, {span:?})"), shown),
        }
        answer
    }
}

impl<K: Poller<Socket: Debug>> Poller for Traced<K> {
    #[inline]
    fn register(&mut self, socket: &K::Socket, token: Token, interest: Interest) -> io::Result<()> {
        let answer = self.kernel.register(socket, token, interest);
        if self.is_on {
            tell(
                format_args!("epoll_ctl(ADD, {socket:?}, {token:?}, {interest:?})"),
                done(&answer),
            );
        }
        answer
    }

    #[inline]
    fn reregister(
        &mut self,
        socket: &K::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let answer = self.kernel.reregister(socket, token, interest);
        if self.is_on {
            tell(
                format_args!("epoll_ctl(MOD, {socket:?}, {token:?}, {interest:?})"),
                done(&answer),
            );
        }
        answer
    }

    fn deregister(&mut self, socket: &K::Socket) -> io::Result<()> {
        let answer = self.kernel.deregister(socket);
        if self.is_on {
            tell(format_args!("epoll_ctl(DEL, {socket:?})"), done(&answer));
        }
        answer
    }

    #[inline]
    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        if self.is_on {
            return self.wait_traced(events, until);
        }
        self.kernel.wait(events, until)
    }

    #[inline]
    fn now(&mut self) -> Time {
        self.kernel.now()
    }

    fn time_of_day(&mut self) -> Duration {
        self.kernel.time_of_day()
    }

    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        let answer = self.kernel.take_signal();
        if self.is_on {
            tell(format_args!("read(signalfd)"), shown(&answer));
        }
        answer
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        let answer = self.kernel.take_wake_up();
        if self.is_on {
            tell(format_args!("read(eventfd)"), done(&answer));
        }
        answer
    }
}

impl<K: Opener<Socket: Debug>> Opener for Traced<K> {
    fn listen(&mut self, at: &Address, options: &ListenOptions) -> Result<K::Socket, OpenError> {
        let answer = self.kernel.listen(at, options);
        if self.is_on {
            let shown = shown(&answer).map_err(|refused| &refused.error);
            tell(format_args!("listen({at}, {})", options.backlog), shown);
        }
        answer
    }

    fn close_listener(&mut self, listener: K::Socket) {
        if self.is_on {
            // Formatted before the call, because the call consumes the listener.
            tell(format_args!("close({listener:?})"), Ok(0));
        }
        self.kernel.close_listener(listener);
    }

    fn local(&mut self, socket: &K::Socket) -> io::Result<Address> {
        let answer = self.kernel.local(socket);
        if self.is_on {
            tell(format_args!("getsockname({socket:?})"), answer.as_ref());
        }
        answer
    }

    fn queue_length(&mut self, listener: &K::Socket) -> io::Result<usize> {
        let answer = self.kernel.queue_length(listener);
        if self.is_on {
            tell(
                format_args!("getsockopt({listener:?}, TCP_INFO)"),
                answer.as_ref(),
            );
        }
        answer
    }

    fn stop_queueing(&mut self, listener: &K::Socket) -> io::Result<()> {
        let answer = self.kernel.stop_queueing(listener);
        if self.is_on {
            tell(
                format_args!("shutdown({listener:?}, SHUT_RD)"),
                done(&answer),
            );
        }
        answer
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> Result<K::Socket, OpenError> {
        let answer = self.kernel.connect(to, options);
        if self.is_on {
            let shown = shown(&answer).map_err(|refused| &refused.error);
            tell(format_args!("connect({to})"), shown);
        }
        answer
    }

    fn reserve(&mut self) -> io::Result<K::Socket> {
        let answer = self.kernel.reserve();
        if self.is_on {
            tell(format_args!("open(/dev/null)"), shown(&answer));
        }
        answer
    }
}

impl<K: Spawner<Socket: Debug, Command: Debug>> Spawner for Traced<K> {
    type Command = K::Command;

    fn supervise(&mut self) -> io::Result<()> {
        let answer = self.kernel.supervise();
        if self.is_on {
            tell(
                format_args!("clone(CLONE_PIDFD) + waitid(P_PIDFD)"),
                done(&answer),
            );
        }
        answer
    }

    fn prepare(&mut self, line: &str) -> io::Result<K::Command> {
        self.kernel.prepare(line)
    }

    fn spawn(&mut self, command: &K::Command) -> io::Result<Child<K::Socket>> {
        let answer = self.kernel.spawn(command);
        if self.is_on {
            tell(
                format_args!("clone(CLONE_PIDFD) + execve({command:?})"),
                shown(&answer),
            );
        }
        answer
    }

    fn take_output(&mut self, pipe: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        let answer = self.kernel.take_output(pipe, space);
        if self.is_on {
            tell(
                format_args!("read({pipe:?}, {})", space.len()),
                answer.as_ref(),
            );
        }
        answer
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        let answer = self.kernel.kill(id);
        if self.is_on {
            tell(format_args!("kill(-{id}, SIGKILL)"), done(&answer));
        }
        answer
    }

    fn reap(&mut self, exit: &K::Socket) -> io::Result<bool> {
        let answer = self.kernel.reap(exit);
        if self.is_on {
            tell(
                format_args!("waitid(P_PIDFD, {exit:?}, WEXITED|WNOHANG)"),
                answer
                    .as_ref()
                    .map(|over| if *over { "ended" } else { "runs" }),
            );
        }
        answer
    }

    fn has_ended(&mut self, exit: &K::Socket) -> io::Result<bool> {
        let answer = self.kernel.has_ended(exit);
        if self.is_on {
            tell(
                format_args!("waitid(P_PIDFD, {exit:?}, WEXITED|WNOHANG|WNOWAIT)"),
                answer.as_ref(),
            );
        }
        answer
    }

    fn take_child_report(&mut self) -> io::Result<()> {
        let answer = self.kernel.take_child_report();
        if self.is_on {
            tell(format_args!("read(SIGCHLD)"), done(&answer));
        }
        answer
    }

    fn ended_child(&mut self) -> io::Result<Option<u32>> {
        let answer = self.kernel.ended_child();
        if self.is_on {
            let shown = answer.as_ref().map(|id| id.unwrap_or(0));
            tell(
                format_args!("waitid(P_ALL, WEXITED|WNOHANG|WNOWAIT)"),
                shown,
            );
        }
        answer
    }

    fn reap_orphan(&mut self, id: u32) -> io::Result<()> {
        let answer = self.kernel.reap_orphan(id);
        if self.is_on {
            tell(format_args!("waitid(P_PID, {id}, WEXITED)"), done(&answer));
        }
        answer
    }
}

impl<K: Streams<Socket: Debug>> Streams for Traced<K> {
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool> {
        let answer = self.kernel.watch(stream, on);
        if self.is_on {
            let operation = if on { "ADD" } else { "DEL" };
            tell(
                format_args!("epoll_ctl({operation}, {stream:?})"),
                answer.as_ref(),
            );
        }
        answer
    }

    fn input(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let answer = self.kernel.input(space);
        if self.is_on {
            tell(format_args!("read(0, {})", space.len()), answer.as_ref());
        }
        answer
    }

    fn output(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let answer = self.kernel.output(bytes);
        if self.is_on {
            tell(format_args!("write(1, {})", bytes.len()), answer.as_ref());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::Linux;
    use super::*;

    #[test]
    fn an_error_is_told_as_its_man_page_calls_it() {
        let error = io::Error::from_raw_os_error(errno::EAGAIN);
        assert_eq!(name_of(&error), "EAGAIN");
        assert_eq!(name_of(&io::Error::other("odd")), "odd");
    }

    #[test]
    fn every_answer_passes_through_unchanged() -> io::Result<()> {
        let linux = Linux::new(false)?;
        linux.waker().wake();
        let mut traced = Traced::new(linux, true);
        let mut events = [Event::default(); 4];
        assert_eq!(traced.wait(&mut events, Time::NEVER)?, 1);
        assert_eq!(events[0].token(), Token::WAKE_UP);
        traced.take_wake_up()?;
        assert_eq!(traced.wait(&mut events, Time::default())?, 0);
        let refused = traced
            .wait(&mut [], Time::default())
            .map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::InvalidInput));
        Ok(())
    }
}
