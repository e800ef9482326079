//! `mynah connect`: one connection, with a person or a pipe at this end of it.
//!
//! The server's loop in small: one wait for the socket, for both standard streams and for signals,
//! and nothing that blocks beside it. A turn is: what is wanted is registered, the kernel waits,
//! what was reported is done. First the stage is `dial`, which knows tries and pauses, then
//! `talk`, which knows bytes. What is typed becomes frames in `input`, frames become lines in
//! `screen`.
//!
//! **Not wanted is not registered.** Errors and hang-ups cannot be masked, so a socket that is not
//! read because nobody takes what it said would be reported again and again. Back-pressure
//! therefore goes all the way: whoever reads our output slowly slows the server, and a server that
//! reads slowly slows whoever writes our input, in bounded memory. Man pages: epoll(7),
//! connect(2).

mod backoff;
mod dial;
mod input;
mod screen;
mod talk;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::kernel::{Address, Event, OpenError, Opener, Poller, Signal, Streams, Time, Token};
use crate::limits::SIGNALS_PER_TURN;
use crate::protocol::framing::{FrameError, Framing};
pub use backoff::Backoff;
use dial::Dial;
use talk::Talk;

/// Sockets, streams and signals: never more at once.
const EVENTS: usize = 8;
/// SIGHUP, by number: the terminal is gone. A client has no file to read again.
const HANG_UP: i32 = 1;

/// What a client is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses of the server, in the order in which they are tried; not empty.
    pub addresses: Vec<Address>,
    /// Where a message ends; limited.
    pub framing: Framing,
    /// The longest message in bytes.
    pub frame_size_max: usize,
    /// Where messages come from.
    pub source: Source,
    /// Whether standard output is a terminal, on which control characters have effects.
    pub terminal: bool,
    /// How often and when to try to connect.
    pub backoff: Backoff,
    /// The server speaks first: its first message is not the reply to the only one.
    pub greeted: bool,
    /// How long a connect to one address may take.
    pub connect_timeout: Option<Duration>,
    /// How long unsent bytes and an awaited reply may make no progress.
    pub timeout: Option<Duration>,
}

/// Where messages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A person, line by line.
    Terminal,
    /// Whatever is at standard input; byte by byte when messages have no boundaries.
    Pipe,
    /// This is the only one.
    Message(Vec<u8>),
}

/// How a client ends when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All was said, and read.
    Done,
    /// This signal asked for it.
    Signal(i32),
}

/// Why a client ends before its time.
#[derive(Debug)]
pub enum Failure {
    /// No address could be reached; all of the last try.
    Open(Vec<Attempt>),
    /// A call failed, or took too long.
    Io(String),
    /// The server sent what is no frame.
    Protocol(FrameError),
    /// A message cannot be sent in this framing.
    Message(String),
}

/// An address that could not be reached.
#[derive(Debug)]
pub struct Attempt {
    /// The address.
    pub address: Address,
    /// The call that failed, and its reason.
    pub refused: OpenError,
}

/// One reason alone, or each behind its address.
fn reasons(attempts: &[Attempt]) -> String {
    if let [Attempt { refused, .. }] = attempts {
        return refused.to_string();
    }
    let each = attempts.iter().map(|attempt| {
        let Attempt { address, refused } = attempt;
        format!("{address}: {refused}")
    });
    each.collect::<Vec<_>>().join("; ")
}

impl Failure {
    fn io(what: &str) -> impl Fn(io::Error) -> Failure {
        move |error| Failure::Io(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Open(attempts) => f.write_str(&reasons(attempts)),
            Failure::Io(line) | Failure::Message(line) => f.write_str(line),
            Failure::Protocol(error) => write!(f, "{}: {error}", error.kind()),
        }
    }
}

/// A connection, or the attempt at one.
pub struct Client<K: Poller> {
    kernel: K,
    settings: Settings,
    stage: Stage<K::Socket>,
    /// What the clock read after the last wait.
    now: Time,
}

enum Stage<S> {
    Dialling(Dial<S>),
    Talking(Box<Talk<S>>),
}

impl<K: Streams + Opener> Client<K> {
    /// A client that has not done anything yet.
    ///
    /// # Errors
    ///
    /// The message is none in this framing.
    pub fn new(mut kernel: K, mut settings: Settings) -> Result<Client<K>, Failure> {
        if let Source::Message(payload) = &mut settings.source {
            let mut frame = VecDeque::new();
            input::encode(&settings.framing, payload, &mut frame).map_err(Failure::Message)?;
            *payload = frame.into();
        }
        let now = kernel.now();
        let dial = Dial::new(settings.backoff.clone(), now);
        Ok(Client {
            kernel,
            settings,
            stage: Stage::Dialling(dial),
            now,
        })
    }

    /// The kernel it runs on.
    pub fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Turns until it ends.
    ///
    /// # Errors
    ///
    /// What ended it before its time.
    pub fn run(mut self) -> Result<Ending, Failure> {
        loop {
            if let Some(ending) = self.turn()? {
                return Ok(ending);
            }
        }
    }

    /// One wait and what follows from it; an answer when that was the last.
    ///
    /// # Errors
    ///
    /// What ended it before its time.
    pub fn turn(&mut self) -> Result<Option<Ending>, Failure> {
        let Client {
            kernel,
            settings,
            stage,
            now,
        } = self;
        let deadline = match stage {
            Stage::Dialling(dial) => dial.prepare(kernel, settings, *now)?,
            Stage::Talking(talk) => talk.settle(kernel)?,
        };
        let mut events = [Event::default(); EVENTS];
        let count = kernel
            .wait(&mut events, deadline)
            .map_err(Failure::io("epoll_wait"))?;
        *now = kernel.now();
        let (events, now) = (&events[..count], *now);
        if let Some(ending) = interrupted(kernel, events)? {
            return Ok(Some(ending));
        }
        match stage {
            Stage::Dialling(dial) => {
                if let Some((socket, token)) = dial.look(kernel, settings, events, now)? {
                    let mut talk = Box::new(Talk::new(socket, token, settings, now));
                    talk.pump(kernel, now)?;
                    *stage = Stage::Talking(talk);
                }
                Ok(None)
            }
            Stage::Talking(talk) => talk.turn(kernel, events, now),
        }
    }
}

/// Takes the signals, if that is what was reported.
fn interrupted<K: Poller>(kernel: &mut K, events: &[Event]) -> Result<Option<Ending>, Failure> {
    let signalled = |event: &Event| event.token() == Token::SIGNALS;
    if !events.iter().any(signalled) {
        return Ok(None);
    }
    for _ in 0..SIGNALS_PER_TURN {
        match kernel.take_signal().map_err(Failure::io("signals"))? {
            Some(Signal::Terminate(number)) => return Ok(Some(Ending::Signal(number))),
            Some(Signal::Reload) => return Ok(Some(Ending::Signal(HANG_UP))),
            Some(Signal::Statistics) => {}
            None => break,
        }
    }
    Ok(None)
}
