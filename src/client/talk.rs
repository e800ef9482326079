//! A connection that stands: what is said goes out, what is answered is printed.
//!
//! ```text
//!   standard input --> Input --> unsent --> socket --> Screen --> owed --> standard output
//! ```
//!
//! Each arrow waits when what is behind it is full: nothing is read while there is more than
//! [`READ_SIZE`] to pass on. At the end of the input our half of the connection is closed and the
//! server's is read to its end, which is the end of everything; whatever was read is printed
//! first. Input that fails, or holds what is no message, has ended there, and the reason is told
//! last. Only a person who typed `quit` does not wait for a server that goes on. A write that fails
//! is not the end: what the server said before it broke the connection can still be read, and tells
//! why. Man pages: shutdown(2), recv(2), send(2), epoll_ctl(2).

use std::collections::VecDeque;
use std::io::ErrorKind::{BrokenPipe, WouldBlock};
use std::time::Duration;

use super::input::{Input, Said};
use super::screen::Screen;
use super::{Ending, Failure, Settings, Source};
use crate::kernel::{Event, Interest, Stream, Streams, Time, Token, errno};
use crate::limits::{LINGER_TIMEOUT, READ_SIZE};

pub(super) struct Talk<S> {
    socket: S,
    token: Token,
    /// What was asked of the kernel last; nothing means that the socket is not registered.
    registered: Interest,
    watched: [Watched; 2],
    input: Input,
    unsent: VecDeque<u8>,
    screen: Screen,
    space: Box<[u8]>,
    ours: Ours,
    theirs: Theirs,
    /// One message was said, and nothing has come back.
    unanswered: bool,
    /// Why the input ended before its end, to be told when all has been answered.
    refused: Option<Failure>,
    /// The server has ended while the input went on, to be told when all is printed.
    left: bool,
    /// When it ends whether the server does or not.
    leave_at: Time,
    timeout: Option<Duration>,
    moved_at: Time,
}

/// Our half of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    /// The input goes on.
    Speaking,
    /// Nothing more is said, but the end is not told: the reply has an end of its own.
    Listening,
    /// The input has ended; FIN follows what is unsent.
    Ending,
    /// It is over.
    Ended,
    /// The server broke it before it took everything.
    Cut,
}

/// The server's half.
enum Theirs {
    Speaking,
    /// It has ended, and this is what was wrong with it.
    Ended(Option<Failure>),
}

/// Whether a standard stream is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    No,
    Yes,
    /// It is always ready, and so there is nothing to watch.
    Never,
}

impl<S> Talk<S> {
    /// A talk on `socket`, which is registered for writing under `token`.
    pub(super) fn new(socket: S, token: Token, settings: &Settings, now: Time) -> Talk<S> {
        let (mut unsent, mut ours) = (VecDeque::new(), Ours::Speaking);
        let mut unanswered = false;
        if let Source::Message(frame) = &settings.source {
            unsent.extend(frame);
            unanswered = !frame.is_empty();
            ours = match settings.framing.has_boundaries() {
                true => Ours::Listening,
                false => Ours::Ending,
            };
        }
        Talk {
            socket,
            token,
            registered: Interest::WRITE,
            watched: [Watched::No; 2],
            input: Input::new(settings),
            unsent,
            screen: Screen::new(settings),
            space: vec![0; READ_SIZE].into(),
            ours,
            theirs: Theirs::Speaking,
            unanswered,
            refused: None,
            left: false,
            leave_at: Time::NEVER,
            timeout: settings.timeout,
            moved_at: now,
        }
    }

    fn hears(&self) -> bool {
        self.ours == Ours::Speaking && self.unsent.len() < READ_SIZE
    }

    /// Whoever has the reply asks for nothing more: what comes behind it is no part of it.
    fn receives(&mut self) -> bool {
        matches!(self.theirs, Theirs::Speaking)
            && !self.screen.is_answered()
            && self.screen.owed().len() < READ_SIZE
    }

    /// Registers what is wanted, where that has changed, and tells until when to wait.
    pub(super) fn settle<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
    ) -> Result<Time, Failure> {
        let mut wanted = Interest::NONE;
        if self.receives() {
            wanted |= Interest::READ;
        }
        if !self.unsent.is_empty() {
            wanted |= Interest::WRITE;
        }
        if wanted != self.registered {
            let settled = match (self.registered, wanted) {
                (Interest::NONE, _) => kernel.register(&self.socket, self.token, wanted),
                (_, Interest::NONE) => kernel.deregister(&self.socket),
                _ => kernel.reregister(&self.socket, self.token, wanted),
            };
            settled.map_err(Failure::io("epoll_ctl"))?;
            self.registered = wanted;
        }
        let prints = !self.screen.owed().is_empty();
        let mut ready = false;
        for (stream, on) in [(Stream::Input, self.hears()), (Stream::Output, prints)] {
            let watched = &mut self.watched[stream as usize];
            if *watched != Watched::Never && on != (*watched == Watched::Yes) {
                let waits = kernel.watch(stream, on).map_err(Failure::io("epoll_ctl"))?;
                *watched = match (waits, on) {
                    (false, _) => Watched::Never,
                    (true, true) => Watched::Yes,
                    (true, false) => Watched::No,
                };
            }
            ready |= on && *watched == Watched::Never;
        }
        Ok(if ready {
            Time::default()
        } else {
            self.leave_at.min(self.silent_until())
        })
    }

    /// When the server has kept us waiting for too long. Whoever does not take what is printed
    /// keeps himself waiting.
    fn silent_until(&mut self) -> Time {
        let waits = !self.unsent.is_empty() || self.ours != Ours::Speaking;
        match self.timeout {
            Some(span) if waits && self.screen.owed().is_empty() => self.moved_at.after(span),
            _ => Time::NEVER,
        }
    }

    /// Does what was reported, and tells whether that was the end.
    pub(super) fn turn<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
        events: &[Event],
        now: Time,
    ) -> Result<Option<Ending>, Failure> {
        let file = self.watched[Stream::Input as usize] == Watched::Never;
        let reported = |token| events.iter().any(|event| event.token() == token);
        if self.hears() && (file || reported(Stream::Input.token())) {
            if let Err(refused) = self.hear(kernel, now) {
                // What was said before it is still sent, and answered.
                self.refused = Some(refused);
                self.ours = Ours::Ending;
                self.screen.close(false);
                self.moved_at = now;
            }
        }
        if self.receives() && reported(self.token) {
            self.receive(kernel, now);
        }
        let ending = match self.pump(kernel, now)? {
            true => self.ending(now),
            false => Some(Ok(Ending::Done)),
        };
        if ending.as_ref().is_some_and(|it| self.tells(it)) {
            self.screen.end_line();
            // All but this one byte is printed, and the message matters more.
            let _ = self.print(kernel, now);
        }
        if ending.is_some() && self.left {
            log::info!("the server has ended the connection");
        }
        match (ending, self.refused.take()) {
            (Some(Ok(_)), Some(refused)) => Err(refused),
            (Some(Err(failure)), Some(refused)) => {
                log::warn!("{failure}");
                Err(refused)
            }
            (ending, refused) => {
                self.refused = refused;
                ending.transpose()
            }
        }
    }

    /// Whether a message follows on stderr.
    fn tells(&self, ending: &Result<Ending, Failure>) -> bool {
        self.left || self.refused.is_some() || ending.is_err()
    }

    /// How it ends, if there is nothing left to do.
    fn ending(&mut self, now: Time) -> Option<Result<Ending, Failure>> {
        let done = Some(Ok(Ending::Done));
        if self.screen.owed().is_empty() {
            if let Theirs::Ended(failure) = &mut self.theirs {
                return failure.take().map_or(done, |failure| Some(Err(failure)));
            }
            if self.screen.is_answered() {
                return done;
            }
        }
        if now >= self.leave_at {
            return done;
        }
        if now >= self.silent_until() {
            let span = self.timeout.unwrap_or_default();
            let line = format!("timed out: nothing from the server for {span:?}");
            return Some(Err(Failure::Io(line)));
        }
        None
    }

    /// Passes on what is held; `false` when nobody takes what is printed any more.
    pub(super) fn pump<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
        now: Time,
    ) -> Result<bool, Failure> {
        self.send(kernel, now);
        self.print(kernel, now)
    }

    fn hear<K: Streams<Socket = S>>(&mut self, kernel: &mut K, now: Time) -> Result<(), Failure> {
        let said = match kernel.input(&mut self.space) {
            Ok(0) => {
                self.ours = Ours::Ending;
                self.screen.close(false);
                self.input.end(&mut self.unsent)?
            }
            Ok(count) => {
                let bytes = &self.space[..count];
                let said = self.input.take(bytes, &mut self.unsent)?;
                match said {
                    Said::Quit => self.screen.close(true),
                    // A terminal also hands over lines that go on, and then there is no new one.
                    Said::Something if bytes.ends_with(b"\n") => self.screen.typed(),
                    Said::Something => {}
                }
                said
            }
            Err(error) if error.kind() == WouldBlock => return Ok(()),
            Err(error) => return Err(Failure::io("stdin")(error)),
        };
        self.moved_at = now;
        if said == Said::Quit {
            self.ours = Ours::Ending;
            self.leave_at = now.after(LINGER_TIMEOUT);
        }
        Ok(())
    }

    fn receive<K: Streams<Socket = S>>(&mut self, kernel: &mut K, now: Time) {
        let answer = match kernel.read(&self.socket, &mut self.space) {
            Ok(0) => {
                let whole = self.screen.end().map_err(Failure::Protocol);
                return self.end(whole.and_then(|()| self.is_whole()).err());
            }
            Ok(count) => {
                self.moved_at = now;
                self.unanswered = false;
                let taken = self.screen.take(&self.space[..count]);
                taken.map_err(Failure::Protocol)
            }
            Err(error) if error.kind() == WouldBlock => Ok(()),
            Err(error) => Err(Failure::io("the connection")(error)),
        };
        if let Err(failure) = answer {
            self.end(Some(failure));
        }
    }

    /// The server says no more, and so nothing more is said to it.
    fn end(&mut self, failure: Option<Failure>) {
        self.left = self.ours == Ours::Speaking && failure.is_none();
        self.theirs = Theirs::Ended(failure);
        self.ours = Ours::Ended;
        self.unsent.clear();
        self.screen.close(false);
    }

    /// Whether a server that ended its stream between two frames has done all that was asked.
    fn is_whole(&self) -> Result<(), Failure> {
        let missed = if self.ours == Ours::Cut || !self.unsent.is_empty() {
            "took all that was said"
        } else if self.ours == Ours::Listening {
            "replied"
        } else if self.unanswered {
            "replied; it may want a --frame, such as line"
        } else {
            return Ok(());
        };
        let line = format!("the server ended its stream before it {missed}");
        Err(Failure::Io(line))
    }

    fn send<K: Streams<Socket = S>>(&mut self, kernel: &mut K, now: Time) {
        while let (front @ [_, ..], _) = self.unsent.as_slices() {
            match kernel.write(&self.socket, front) {
                Ok(count) => {
                    self.unsent.drain(..count);
                    self.moved_at = now;
                }
                Err(error) if error.kind() == WouldBlock => break,
                // The kernel is short of memory, which passes: send(2).
                Err(error) if error.raw_os_error() == Some(errno::ENOBUFS) => break,
                Err(_) => {
                    self.unsent.clear();
                    self.ours = Ours::Cut;
                }
            }
        }
        if self.ours == Ours::Ending && self.unsent.is_empty() {
            self.ours = Ours::Ended;
            // ENOTCONN: the server has broken the connection, and a read will tell.
            let _ = kernel.shutdown(&self.socket);
        }
    }

    fn print<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
        now: Time,
    ) -> Result<bool, Failure> {
        let owed = self.screen.owed();
        while let (front @ [_, ..], _) = owed.as_slices() {
            match kernel.output(front) {
                Ok(count) => {
                    owed.drain(..count);
                    self.moved_at = now;
                }
                Err(error) if error.kind() == WouldBlock => break,
                // A reader that went away has read enough.
                Err(error) if error.kind() == BrokenPipe => return Ok(false),
                Err(error) => return Err(Failure::io("stdout")(error)),
            }
        }
        Ok(true)
    }
}
