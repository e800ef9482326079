//! An established connection: input is sent, replies are printed.
//!
//! ```text
//!   standard input --> Input --> unsent --> socket --> Screen --> owed --> standard output
//! ```
//!
//! Each step stops when the next buffer is full: nothing is read while more than [`READ_SIZE`]
//! bytes wait. At the end of the input this side shuts down its half of the connection, reads the
//! server's half to its end, prints what was read, and ends. If the input fails or holds an invalid
//! message, it counts as ended there, and the error is reported last. After a typed `quit` the
//! client waits only [`LINGER_TIMEOUT`] for the server. A failed write is not the end: the bytes
//! that the server sent before it broke the connection can still be read, and explain why. Man
//! pages: shutdown(2), recv(2), send(2), epoll_ctl(2).

use std::collections::VecDeque;
use std::io::ErrorKind::{BrokenPipe, WouldBlock};
use std::time::Duration;

use super::input::{Input, Said};
use super::screen::Screen;
use super::{ClientError, Ending, Settings, Source};
use crate::kernel::{Event, Interest, Stream, Streams, Time, Token, errno};
use crate::limits::{LINGER_TIMEOUT, READ_SIZE, VERDICT_TIMEOUT};
use crate::protocol::front::auth::{CHALLENGE_SIZE, Key};

pub(super) struct Talk<S> {
    socket: S,
    token: Token,
    /// The interest registered last; if empty, the socket is not registered.
    registered: Interest,
    watched: [Watched; 2],
    input: Input,
    unsent: VecDeque<u8>,
    screen: Screen,
    space: Box<[u8]>,
    ours: Ours,
    theirs: Theirs,
    proof: Proof,
    /// The key that answers a challenge.
    key: Option<Key>,
    /// The single message was sent, and no reply has arrived.
    unanswered: bool,
    /// Why the input failed. Reported after everything sent before is answered.
    refused: Option<ClientError>,
    /// The server has ended while the input continued. Reported when everything is printed.
    left: bool,
    /// When the client ends even if the server does not.
    leave_at: Time,
    timeout: Option<Duration>,
    moved_at: Time,
}

/// Our half of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    /// The input continues.
    Speaking,
    /// The message was sent without FIN, because the framing tells where the reply ends.
    Listening,
    /// The input has ended; FIN follows the unsent bytes.
    Ending,
    /// FIN was sent, or nothing can be sent any more.
    Ended,
    /// A write failed before the server took everything.
    Cut,
}

/// The digest that proves the key of `--auth`.
enum Proof {
    /// There is no key, or the server has answered behind the digest.
    Done,
    /// The challenge has not arrived whole. Nothing is sent before.
    Owed(Vec<u8>),
    /// The digest was sent, and nothing has come back. A server that refuses it ends its stream, so
    /// until this time ours is not ended: afterwards the two could not be told apart.
    Sent { until: Time },
}

/// The server's half of the connection.
enum Theirs {
    Speaking,
    /// The server has ended its half, with this error if any.
    Ended(Option<ClientError>),
}

/// Whether a standard stream is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    No,
    Yes,
    /// The stream is always ready, so there is nothing to watch.
    Never,
}

impl<S> Talk<S> {
    /// A conversation on `socket`, which is registered for writing under `token`.
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
            proof: match &settings.auth {
                None => Proof::Done,
                Some(_) => Proof::Owed(Vec::new()),
            },
            key: settings.auth.clone(),
            unanswered,
            refused: None,
            left: false,
            leave_at: Time::NEVER,
            timeout: settings.timeout,
            moved_at: now,
        }
    }

    fn hears(&self) -> bool {
        self.ours == Ours::Speaking && self.unsent.len() < READ_SIZE && !self.owes_proof()
    }

    fn owes_proof(&self) -> bool {
        matches!(self.proof, Proof::Owed(_))
    }

    /// Whether to read from the socket. After the expected reply nothing more is read.
    fn receives(&mut self) -> bool {
        matches!(self.theirs, Theirs::Speaking)
            && !self.screen.is_answered()
            && self.screen.owed().len() < READ_SIZE
    }

    /// Registers what is wanted, if that has changed, and returns the deadline of the next wait.
    pub(super) fn settle<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
    ) -> Result<Time, ClientError> {
        let mut wanted = Interest::NONE;
        if self.receives() {
            wanted |= Interest::READ;
        }
        if !self.unsent.is_empty() && !self.owes_proof() {
            wanted |= Interest::WRITE;
        }
        if wanted != self.registered {
            let settled = match (self.registered, wanted) {
                (Interest::NONE, _) => kernel.register(&self.socket, self.token, wanted),
                (_, Interest::NONE) => kernel.deregister(&self.socket),
                _ => kernel.reregister(&self.socket, self.token, wanted),
            };
            settled.map_err(ClientError::io("epoll_ctl"))?;
            self.registered = wanted;
        }
        let prints = !self.screen.owed().is_empty();
        let mut ready = false;
        for (stream, on) in [(Stream::Input, self.hears()), (Stream::Output, prints)] {
            let watched = &mut self.watched[stream as usize];
            if *watched != Watched::Never && on != (*watched == Watched::Yes) {
                let waits = kernel
                    .watch(stream, on)
                    .map_err(ClientError::io("epoll_ctl"))?;
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
            let verdict = match self.proof {
                Proof::Sent { until } if self.ours == Ours::Ending => until,
                _ => Time::NEVER,
            };
            self.leave_at.min(self.silent_until()).min(verdict)
        })
    }

    /// When the server has made no progress for too long. Never while our own reader does not take
    /// the output.
    fn silent_until(&mut self) -> Time {
        let waits = !self.unsent.is_empty() || self.ours != Ours::Speaking || self.owes_proof();
        match self.timeout {
            Some(span) if waits && self.screen.owed().is_empty() => self.moved_at.after(span),
            _ => Time::NEVER,
        }
    }

    /// Acts on the events. Returns an ending after the last turn.
    pub(super) fn turn<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
        events: &[Event],
        now: Time,
    ) -> Result<Option<Ending>, ClientError> {
        let file = self.watched[Stream::Input as usize] == Watched::Never;
        let reported = |token| events.iter().any(|event| event.token() == token);
        if self.hears() && (file || reported(Stream::Input.token())) {
            if let Err(refused) = self.hear(kernel, now) {
                // Messages before the error are still sent and answered.
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
        if ending.is_some() {
            self.leave_fresh_line(kernel, now);
        }
        if ending.is_some() {
            // A transport says that nothing more follows. What finds no room now is not waited for.
            kernel.is_finished(&self.socket);
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

    /// At a terminal, what comes next starts on a line of its own: a message or the shell's prompt.
    pub(super) fn leave_fresh_line<K: Streams<Socket = S>>(&mut self, kernel: &mut K, now: Time) {
        self.screen.close(false);
        self.screen.end_line();
        // A failed write is ignored here: the way in which the program ends matters more.
        let _ = self.print(kernel, now);
    }

    /// How the client ends, if nothing is left to do.
    fn ending(&mut self, now: Time) -> Option<Result<Ending, ClientError>> {
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
            return Some(Err(ClientError::Io(line)));
        }
        None
    }

    /// Sends and prints what is buffered. `false` if the reader of standard output is gone.
    pub(super) fn pump<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
        now: Time,
    ) -> Result<bool, ClientError> {
        self.send(kernel, now);
        self.print(kernel, now)
    }

    fn hear<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
        now: Time,
    ) -> Result<(), ClientError> {
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
                    // A terminal also passes on unfinished lines, and these start no new line.
                    Said::Something if bytes.ends_with(b"\n") => self.screen.typed(),
                    Said::Something => {}
                }
                said
            }
            Err(error) if error.kind() == WouldBlock => return Ok(()),
            Err(error) => return Err(ClientError::io("stdin")(error)),
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
            Ok(0) if self.refusal().is_some() => return self.end(self.refusal()),
            Ok(0) => {
                let whole = self.screen.end().map_err(ClientError::Protocol);
                return self.end(whole.and_then(|()| self.is_whole()).err());
            }
            Ok(count) => {
                self.moved_at = now;
                let taken = self.prove(count, now);
                if taken == count {
                    return;
                }
                self.proof = Proof::Done;
                self.unanswered = false;
                let taken = self.screen.take(&self.space[taken..count]);
                taken.map_err(ClientError::Protocol)
            }
            Err(error) if error.kind() == WouldBlock => Ok(()),
            Err(error) => match (ClientError::of_connection(error), self.refusal()) {
                // A server that is not the right one has refused no key.
                (failure @ ClientError::Insecure(_), _) | (failure, None) => Err(failure),
                (_, refusal) => return self.end(refusal),
            },
        };
        if let Err(failure) = answer {
            self.end(Some(failure));
        }
    }

    /// Answers the challenge, if the `count` bytes that have arrived complete it. Returns how many
    /// of them belong to it.
    fn prove(&mut self, count: usize, now: Time) -> usize {
        let (Proof::Owed(challenge), Some(key)) = (&mut self.proof, &self.key) else {
            return 0;
        };
        let taken = count.min(CHALLENGE_SIZE - challenge.len());
        challenge.extend_from_slice(&self.space[..taken]);
        if challenge.len() == CHALLENGE_SIZE {
            // A message may wait already; the digest goes in front of it.
            let (digest, size) = key.answer(challenge);
            (digest[..size].iter())
                .rev()
                .for_each(|byte| self.unsent.push_front(*byte));
            let until = now.after(VERDICT_TIMEOUT);
            self.proof = Proof::Sent { until };
        }
        taken
    }

    /// Why the end of the server's stream is a refusal, if it is one.
    fn refusal(&self) -> Option<ClientError> {
        let why = match self.proof {
            Proof::Owed(_) => "the server ended its stream before its challenge was whole",
            Proof::Sent { .. } if self.ours != Ours::Ended => {
                "the server refused the key: it ended its stream behind the digest"
            }
            _ => return None,
        };
        Some(ClientError::Refused(why))
    }

    /// The server sends no more, and nothing more is sent to it.
    fn end(&mut self, failure: Option<ClientError>) {
        self.left = self.ours == Ours::Speaking && failure.is_none();
        self.theirs = Theirs::Ended(failure);
        self.ours = Ours::Ended;
        self.unsent.clear();
        self.screen.close(false);
    }

    /// Fails if the server ended its stream between two frames but before it took or answered
    /// everything.
    fn is_whole(&self) -> Result<(), ClientError> {
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
        Err(ClientError::Io(line))
    }

    fn send<K: Streams<Socket = S>>(&mut self, kernel: &mut K, now: Time) {
        if self.owes_proof() {
            return;
        }
        while let (front @ [_, ..], _) = self.unsent.as_slices() {
            match kernel.write(&self.socket, front) {
                Ok(count) => {
                    self.unsent.drain(..count);
                    self.moved_at = now;
                }
                Err(error) if error.kind() == WouldBlock => break,
                // ENOBUFS: the kernel is short of memory, which is temporary (send(2)).
                Err(error) if error.raw_os_error() == Some(errno::ENOBUFS) => break,
                Err(_) => {
                    self.unsent.clear();
                    self.ours = Ours::Cut;
                }
            }
        }
        let is_open = matches!(self.proof, Proof::Sent { until } if now < until);
        if self.ours == Ours::Ending && self.unsent.is_empty() && !is_open {
            self.ours = Ours::Ended;
            // ENOTCONN: the server has broken the connection; the next read reports it.
            let _ = kernel.shutdown(&self.socket);
        }
    }

    fn print<K: Streams<Socket = S>>(
        &mut self,
        kernel: &mut K,
        now: Time,
    ) -> Result<bool, ClientError> {
        let owed = self.screen.owed();
        while let (front @ [_, ..], _) = owed.as_slices() {
            match kernel.output(front) {
                Ok(count) => {
                    owed.drain(..count);
                    self.moved_at = now;
                }
                Err(error) if error.kind() == WouldBlock => break,
                // The reader closed the pipe because it needs no more.
                Err(error) if error.kind() == BrokenPipe => return Ok(false),
                Err(error) => return Err(ClientError::io("stdout")(error)),
            }
        }
        Ok(true)
    }
}
