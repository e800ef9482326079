//! `mynah connect`: one connection, with a person or a pipe on this side.
//!
//! A small form of the server's loop: one wait for the socket, both standard streams and signals,
//! and no other blocking call. A turn registers what is wanted, waits, and acts on the events. The
//! first stage is `dial`, which knows attempts and pauses. The second stage is `talk`, which knows
//! bytes. `input` turns typed lines into frames, `screen` turns received frames into lines.
//!
//! **A socket that is not wanted is not registered.** Errors and hang-ups cannot be masked: for a
//! socket that is not read, because standard output takes no more bytes, every wait would report
//! them again. Back-pressure works in both directions and memory is bounded: a slow reader of our
//! output slows the server, and a server that reads slowly slows the writer of our input. Man
//! pages: epoll(7), connect(2).

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
use crate::limits::{CLIENT_EVENTS_PER_TURN, SIGNALS_PER_TURN};
use crate::protocol::codec::Codec;
use crate::protocol::framing::{FrameError, Framing};
use crate::protocol::front::auth::Key;
use crate::protocol::front::proxy::{self, Version};
#[cfg(feature = "tls")]
use crate::transport::tls::Failure;
pub use backoff::Backoff;
use dial::Dial;
use talk::Talk;

/// Number of SIGHUP: the terminal is gone. A client has no file to reload.
const HANG_UP: i32 = 1;

/// What the client is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The header of a load balancer that is sent in front of everything.
    pub proxy: Option<Version>,
    /// The addresses of the server, in the order to try; not empty.
    pub addresses: Vec<Address>,
    /// Where a message ends; the limit is set.
    pub framing: Framing,
    /// How payloads are written.
    pub codec: Option<Codec>,
    /// The key to prove, if the server asks for one.
    pub auth: Option<Key>,
    /// The longest message in bytes.
    pub frame_size_max: usize,
    /// Where messages come from.
    pub source: Source,
    /// Whether standard output is a terminal, which interprets control characters.
    pub terminal: bool,
    /// How many times to try to connect, and the pauses between.
    pub backoff: Backoff,
    /// The server speaks first: its first message is not the reply to [`Source::Message`].
    pub greeted: bool,
    /// The longest time that a connect to one address may take.
    pub connect_timeout: Option<Duration>,
    /// How long unsent bytes or an awaited reply may make no progress.
    pub timeout: Option<Duration>,
}

/// Where messages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A person; each line is a message.
    Terminal,
    /// Standard input that is not a person; bytes pass unchanged if the framing has no boundaries.
    Pipe,
    /// This single message.
    Message(Vec<u8>),
}

/// How a client ends without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was sent, and all replies were read.
    Done,
    /// This signal ended the client.
    Signal(i32),
}

/// Why a client ends early.
#[derive(Debug)]
pub enum ClientError {
    /// No address could be reached: the attempts of the last try.
    Open(Vec<Attempt>),
    /// A call failed or timed out.
    Io(String),
    /// The server did not accept the digest, or sent no challenge.
    Refused(&'static str),
    /// The server sent bytes that are no frame.
    Protocol(FrameError),
    /// A message cannot be sent in this framing.
    Message(String),
    /// The connection could not be secured.
    Insecure(String),
}

/// An address that could not be reached.
#[derive(Debug)]
pub struct Attempt {
    /// The address.
    pub address: Address,
    /// The step that failed, and its error.
    pub refused: OpenError,
}

/// The only reason, or each reason after its address.
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

/// Sends the header of a load balancer, in front of everything else. A new socket has room for it.
fn announce<K: Opener>(
    kernel: &mut K,
    settings: &Settings,
    socket: &K::Socket,
) -> Result<(), ClientError> {
    let Some(version) = settings.proxy else {
        return Ok(());
    };
    let local = (kernel.local(socket)).map_err(ClientError::io("getsockname"))?;
    let peer = (kernel.peer(socket)).map_err(ClientError::io("getpeername"))?;
    let header = proxy::header(version, &local.octets(), &peer.octets());
    match kernel.write(socket, &header) {
        Ok(count) if count == header.len() => Ok(()),
        Ok(_) => Err(ClientError::Io(
            "the send buffer has no room for the PROXY header".to_owned(),
        )),
        Err(error) => Err(ClientError::io("the PROXY header")(error)),
    }
}

impl ClientError {
    /// A call on the connection has failed.
    fn of_connection(error: io::Error) -> ClientError {
        #[cfg(feature = "tls")]
        if Failure::of(&error).is_some_and(Failure::is_in_handshake) {
            return ClientError::Insecure(format!("TLS: {error}"));
        }
        ClientError::io("the connection")(error)
    }

    fn io(what: &str) -> impl Fn(io::Error) -> ClientError {
        move |error| ClientError::Io(format!("{what}: {error}"))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Open(attempts) => f.write_str(&reasons(attempts)),
            ClientError::Refused(why) => f.write_str(why),
            ClientError::Io(line) | ClientError::Message(line) | ClientError::Insecure(line) => {
                f.write_str(line)
            }
            ClientError::Protocol(error) => write!(f, "{}: {error}", error.kind()),
        }
    }
}

/// A connection, or the attempt to open one.
pub struct Client<K: Poller> {
    kernel: K,
    settings: Settings,
    stage: Stage<K::Socket>,
    /// The clock after the last wait.
    now: Time,
}

enum Stage<S> {
    Dialling(Dial<S>),
    Talking(Box<Talk<S>>),
}

impl<K: Streams + Opener> Client<K> {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// The framing cannot encode the message.
    pub fn new(mut kernel: K, mut settings: Settings) -> Result<Client<K>, ClientError> {
        if let Source::Message(payload) = &mut settings.source {
            let mut frame = VecDeque::new();
            input::encode(&settings.framing, settings.codec, payload, &mut frame)
                .map_err(ClientError::Message)?;
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

    /// The kernel that the client runs on.
    pub fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Runs turns until the client ends.
    ///
    /// # Errors
    ///
    /// Why the client ended early.
    pub fn run(mut self) -> Result<Ending, ClientError> {
        loop {
            if let Some(ending) = self.turn()? {
                return Ok(ending);
            }
        }
    }

    /// One wait and the actions that follow. Returns an ending after the last turn.
    ///
    /// # Errors
    ///
    /// Why the client ended early.
    pub fn turn(&mut self) -> Result<Option<Ending>, ClientError> {
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
        let mut events = [Event::default(); CLIENT_EVENTS_PER_TURN];
        let count = kernel
            .wait(&mut events, deadline)
            .map_err(ClientError::io("epoll_wait"))?;
        *now = kernel.now();
        let (events, now) = (&events[..count], *now);
        if let Some(ending) = interrupted(kernel, events)? {
            if let Stage::Talking(talk) = stage {
                talk.leave_fresh_line(kernel, now);
            }
            return Ok(Some(ending));
        }
        match stage {
            Stage::Dialling(dial) => {
                if let Some((socket, token)) = dial.look(kernel, settings, events, now)? {
                    announce(kernel, settings, &socket)?;
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

/// Takes the pending signals, if they were reported.
fn interrupted<K: Poller>(kernel: &mut K, events: &[Event]) -> Result<Option<Ending>, ClientError> {
    let signalled = |event: &Event| event.token() == Token::SIGNALS;
    if !events.iter().any(signalled) {
        return Ok(None);
    }
    for _ in 0..SIGNALS_PER_TURN {
        match kernel.take_signal().map_err(ClientError::io("signals"))? {
            Some(Signal::Terminate(number)) => return Ok(Some(Ending::Signal(number))),
            Some(Signal::Reload) => return Ok(Some(Ending::Signal(HANG_UP))),
            Some(Signal::Statistics | Signal::Trace) => {}
            None => break,
        }
    }
    Ok(None)
}
