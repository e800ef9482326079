//! A kernel that tells what it is asked, in the manner of strace(1).
//!
//! Each call goes to the kernel inside and is logged afterwards with its answer, at trace level
//! under the target `mynah::calls`: `recv(5, 65536) = 64`, `accept4(3) = EAGAIN`. Nothing is
//! changed on the way, so whatever runs on a kernel runs on its traced twin; it is another type,
//! so that who does not ask for it does not pay for it. Reading the clock is no system call and is
//! not told.
//!
//! With `RUST_LOG=mynah::calls=trace` the way of one byte can be read off.

use std::fmt::{Arguments, Debug, Display};
use std::io;
use std::time::Duration;

use super::errno;
use super::{
    Address, Child, ConnectOptions, Event, Interest, ListenOptions, OpenError, Opener, Poller,
    Signal, Sockets, Spawner, Stream, Streams, Time, Token,
};

/// Another kernel, with every call logged.
#[derive(Debug)]
pub struct Traced<K>(pub K);

/// Logs `call` and what it gave: a value, or the error as its man page calls it.
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

/// The answer of a call that gives nothing but success, as the kernel says it.
fn done<E>(answer: &Result<(), E>) -> Result<u32, &E> {
    answer.as_ref().map(|()| 0)
}

/// An answer that is not a number, as it prints.
fn shown<T: Debug, E>(answer: &Result<T, E>) -> Result<String, &E> {
    answer.as_ref().map(|value| format!("{value:?}"))
}

impl<K: Sockets<Socket: Debug>> Sockets for Traced<K> {
    type Socket = K::Socket;

    fn accept(&mut self, listener: &K::Socket) -> io::Result<K::Socket> {
        let answer = self.0.accept(listener);
        tell(format_args!("accept4({listener:?})"), shown(&answer));
        answer
    }

    fn read(&mut self, socket: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        let answer = self.0.read(socket, space);
        tell(
            format_args!("recv({socket:?}, {})", space.len()),
            answer.as_ref(),
        );
        answer
    }

    fn write(&mut self, socket: &K::Socket, bytes: &[u8]) -> io::Result<usize> {
        let answer = self.0.write(socket, bytes);
        tell(
            format_args!("send({socket:?}, {})", bytes.len()),
            answer.as_ref(),
        );
        answer
    }

    fn shutdown(&mut self, socket: &K::Socket) -> io::Result<()> {
        let answer = self.0.shutdown(socket);
        tell(format_args!("shutdown({socket:?}, SHUT_WR)"), done(&answer));
        answer
    }

    fn unsent(&mut self, socket: &K::Socket) -> io::Result<usize> {
        let answer = self.0.unsent(socket);
        tell(format_args!("ioctl({socket:?}, SIOCOUTQ)"), answer.as_ref());
        answer
    }

    fn take_error(&mut self, socket: &K::Socket) -> io::Result<()> {
        let answer = self.0.take_error(socket);
        tell(
            format_args!("getsockopt({socket:?}, SO_ERROR)"),
            done(&answer),
        );
        answer
    }

    fn peer(&mut self, socket: &K::Socket) -> io::Result<Address> {
        let answer = self.0.peer(socket);
        tell(format_args!("getpeername({socket:?})"), answer.as_ref());
        answer
    }

    fn close(&mut self, socket: K::Socket) {
        // Before and not after, for then there is nothing left to name.
        tell(format_args!("close({socket:?})"), Ok(0));
        self.0.close(socket);
    }
}

impl<K: Poller<Socket: Debug>> Poller for Traced<K> {
    fn register(&mut self, socket: &K::Socket, token: Token, interest: Interest) -> io::Result<()> {
        let answer = self.0.register(socket, token, interest);
        tell(
            format_args!("epoll_ctl(ADD, {socket:?}, {token:?}, {interest:?})"),
            done(&answer),
        );
        answer
    }

    fn reregister(
        &mut self,
        socket: &K::Socket,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let answer = self.0.reregister(socket, token, interest);
        tell(
            format_args!("epoll_ctl(MOD, {socket:?}, {token:?}, {interest:?})"),
            done(&answer),
        );
        answer
    }

    fn deregister(&mut self, socket: &K::Socket) -> io::Result<()> {
        let answer = self.0.deregister(socket);
        tell(format_args!("epoll_ctl(DEL, {socket:?})"), done(&answer));
        answer
    }

    fn wait(&mut self, events: &mut [Event], until: Time) -> io::Result<usize> {
        let span = until.since(self.0.now());
        let answer = self.0.wait(events, until);
        let reported = &events[..*answer.as_ref().unwrap_or(&0)];
        let shown = answer.as_ref().map(|count| format!("{count} {reported:?}"));
        match until {
            Time::NEVER => tell(format_args!("epoll_wait({}, forever)", events.len()), shown),
            _ => tell(
                format_args!("epoll_wait({}, {span:?})", events.len()),
                shown,
            ),
        }
        answer
    }

    fn now(&mut self) -> Time {
        self.0.now()
    }

    fn time_of_day(&mut self) -> Duration {
        self.0.time_of_day()
    }

    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        let answer = self.0.take_signal();
        tell(format_args!("read(signalfd)"), shown(&answer));
        answer
    }

    fn take_wake_up(&mut self) -> io::Result<()> {
        let answer = self.0.take_wake_up();
        tell(format_args!("read(eventfd)"), done(&answer));
        answer
    }
}

impl<K: Opener<Socket: Debug>> Opener for Traced<K> {
    fn listen(&mut self, at: &Address, options: &ListenOptions) -> Result<K::Socket, OpenError> {
        let answer = self.0.listen(at, options);
        let shown = shown(&answer).map_err(|refused| &refused.error);
        tell(format_args!("listen({at}, {})", options.backlog), shown);
        answer
    }

    fn close_listener(&mut self, listener: K::Socket) {
        // Told before the call, after which there is no listener to name.
        tell(format_args!("close({listener:?})"), Ok(0));
        self.0.close_listener(listener);
    }

    fn local(&mut self, socket: &K::Socket) -> io::Result<Address> {
        let answer = self.0.local(socket);
        tell(format_args!("getsockname({socket:?})"), answer.as_ref());
        answer
    }

    fn queued(&mut self, listener: &K::Socket) -> io::Result<usize> {
        let answer = self.0.queued(listener);
        tell(
            format_args!("getsockopt({listener:?}, TCP_INFO)"),
            answer.as_ref(),
        );
        answer
    }

    fn turn_away(&mut self, listener: &K::Socket) -> io::Result<()> {
        let answer = self.0.turn_away(listener);
        tell(
            format_args!("shutdown({listener:?}, SHUT_RD)"),
            done(&answer),
        );
        answer
    }

    fn connect(&mut self, to: &Address, options: &ConnectOptions) -> Result<K::Socket, OpenError> {
        let answer = self.0.connect(to, options);
        let shown = shown(&answer).map_err(|refused| &refused.error);
        tell(format_args!("connect({to})"), shown);
        answer
    }

    fn reserve(&mut self) -> io::Result<K::Socket> {
        let answer = self.0.reserve();
        tell(format_args!("open(/dev/null)"), shown(&answer));
        answer
    }
}

impl<K: Spawner<Socket: Debug, Command: Debug>> Spawner for Traced<K> {
    type Command = K::Command;

    fn prepare(&mut self, line: &str) -> io::Result<K::Command> {
        self.0.prepare(line)
    }

    fn spawn(&mut self, command: &K::Command) -> io::Result<Child<K::Socket>> {
        let answer = self.0.spawn(command);
        tell(format_args!("posix_spawn({command:?})"), shown(&answer));
        answer
    }

    fn take_output(&mut self, pipe: &K::Socket, space: &mut [u8]) -> io::Result<usize> {
        let answer = self.0.take_output(pipe, space);
        tell(
            format_args!("read({pipe:?}, {})", space.len()),
            answer.as_ref(),
        );
        answer
    }

    fn kill(&mut self, id: u32) -> io::Result<()> {
        let answer = self.0.kill(id);
        tell(format_args!("kill(-{id}, SIGKILL)"), done(&answer));
        answer
    }

    fn reap(&mut self, exit: &K::Socket) -> io::Result<bool> {
        let answer = self.0.reap(exit);
        tell(
            format_args!("waitid(P_PIDFD, {exit:?}, WEXITED|WNOHANG)"),
            answer
                .as_ref()
                .map(|over| if *over { "ended" } else { "runs" }),
        );
        answer
    }
}

impl<K: Streams<Socket: Debug>> Streams for Traced<K> {
    fn watch(&mut self, stream: Stream, on: bool) -> io::Result<bool> {
        let answer = self.0.watch(stream, on);
        let operation = if on { "ADD" } else { "DEL" };
        tell(
            format_args!("epoll_ctl({operation}, {stream:?})"),
            answer.as_ref(),
        );
        answer
    }

    fn input(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let answer = self.0.input(space);
        tell(format_args!("read(0, {})", space.len()), answer.as_ref());
        answer
    }

    fn output(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let answer = self.0.output(bytes);
        tell(format_args!("write(1, {})", bytes.len()), answer.as_ref());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Linux, WAKE_UP};
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
        let mut traced = Traced(linux);
        let mut events = [Event::default(); 4];
        assert_eq!(traced.wait(&mut events, Time::NEVER)?, 1);
        assert_eq!(events[0].token(), Token::fixed(WAKE_UP));
        traced.take_wake_up()?;
        assert_eq!(traced.wait(&mut events, Time::default())?, 0);
        let refused = traced
            .wait(&mut [], Time::default())
            .map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::InvalidInput));
        Ok(())
    }
}
