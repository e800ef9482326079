//! Connecting: tries, each at all addresses in order, and the pauses between them.
//!
//! ```text
//!   Resting ---- due ----> Trying ---- writable, no error, a peer ----> a socket to talk on
//!    ^   ^                   |   \
//!    |   |                   |    `-- a local queue is full --> Queued -- due --> Trying
//!    |   `-- the next address, at once
//!    `------ the last address, if any error passes: a pause; if none does, or after the last try:
//!            the failure
//! ```
//!
//! A non-blocking connect ends when the socket is writable, whether it succeeded or failed:
//! `SO_ERROR` tells which (connect(2)). After a failed connect the state of the socket is
//! unspecified, so each attempt opens a new one. The number of the socket is the generation of its
//! token, so a late event of an earlier socket is recognised. The connect time-out is per address.
//! This file does not know what is sent later.

use std::io::{self, ErrorKind::NotConnected};
use std::time::Duration;

use super::backoff::{Backoff, passes};
use super::{Attempt, ClientError, Settings, reasons};
use crate::base::text::quantity::Quantity;
use crate::kernel::{
    Address, ConnectOptions, Event, Interest, OpenError, OpenStep, Opener, Poller, Readiness, Time,
    Token, errno,
};
use crate::limits::CONNECT_QUEUE_PAUSE;

pub(super) struct Dial<S> {
    backoff: Backoff,
    /// How many sockets were opened so far.
    sockets: u32,
    /// The addresses that this try could not reach.
    attempts: Vec<Attempt>,
    state: State<S>,
}

enum State<S> {
    /// Nothing happens until then; the next address follows.
    Resting(Time),
    /// A connect is in progress, and fails at `deadline`.
    Trying { socket: S, deadline: Time },
    /// The queue of a local listener was full. The next attempt is at `again`; the address fails at
    /// `deadline`.
    Queued { again: Time, deadline: Time },
}

impl<S> Dial<S> {
    pub(super) fn new(backoff: Backoff, now: Time) -> Dial<S> {
        Dial {
            backoff,
            sockets: 0,
            attempts: Vec::new(),
            state: State::Resting(now),
        }
    }

    /// The token of the socket that was opened last.
    fn token(&self) -> Token {
        Token::new(0, self.sockets)
    }

    /// Starts a connect if one is due. Returns the deadline of the next wait.
    pub(super) fn prepare<K: Poller + Opener<Socket = S>>(
        &mut self,
        kernel: &mut K,
        settings: &Settings,
        now: Time,
    ) -> Result<Time, ClientError> {
        let options = ConnectOptions {
            nodelay: true,
            source: None,
        };
        loop {
            let deadline = match self.state {
                State::Trying { deadline, .. } => return Ok(deadline),
                State::Resting(until) if now < until => return Ok(until),
                State::Resting(_) => {
                    let timeout = settings.connect_timeout;
                    timeout.map_or(Time::NEVER, |span| now.after(span))
                }
                State::Queued { again, .. } if now < again => return Ok(again),
                State::Queued { deadline, .. } => deadline,
            };
            let Some(address) = settings.addresses.get(self.attempts.len()) else {
                self.rest(now)?;
                continue;
            };
            match kernel.connect(address, &options) {
                Ok(socket) => {
                    self.sockets += 1;
                    if let Err(error) = kernel.register(&socket, self.token(), Interest::WRITE) {
                        kernel.close(socket);
                        return Err(ClientError::io("epoll_ctl")(error));
                    }
                    self.state = State::Trying { socket, deadline };
                }
                Err(refused) if is_queue_full(address, &refused) => {
                    let again = now.after(CONNECT_QUEUE_PAUSE).min(deadline);
                    self.state = State::Queued { again, deadline };
                    if now >= deadline {
                        let text = late("its queue was full for", settings.connect_timeout);
                        let error = io::Error::new(io::ErrorKind::WouldBlock, text);
                        self.fail(address, at_connect(error), now);
                    }
                }
                Err(refused) => self.fail(address, refused, now),
            }
        }
    }

    /// Checks whether the connect has ended. Returns the connected socket and its token, which is
    /// still registered for writing.
    pub(super) fn look<K: Poller + Opener<Socket = S>>(
        &mut self,
        kernel: &mut K,
        settings: &Settings,
        events: &[Event],
        now: Time,
    ) -> Result<Option<(S, Token)>, ClientError> {
        let token = self.token();
        let (socket, deadline) = match std::mem::replace(&mut self.state, State::Resting(now)) {
            State::Trying { socket, deadline } => (socket, deadline),
            other => {
                self.state = other;
                return Ok(None);
            }
        };
        let event = events.iter().find(|event| event.token() == token);
        let outcome = match event {
            Some(event) => outcome(kernel, &socket, event.readiness()),
            None => Ok(false),
        };
        let error = match outcome {
            Ok(true) => return Ok(Some((socket, token))),
            Ok(false) if now < deadline => {
                self.state = State::Trying { socket, deadline };
                return Ok(None);
            }
            Ok(false) => {
                let text = late("no answer within", settings.connect_timeout);
                io::Error::new(io::ErrorKind::TimedOut, text)
            }
            Err(error) => error,
        };
        kernel.close(socket);
        let address = &settings.addresses[self.attempts.len()];
        self.fail(address, at_connect(error), now);
        if self.attempts.len() == settings.addresses.len() {
            self.rest(now)?;
        }
        Ok(None)
    }

    /// Records that this address could not be reached; the next address is tried at once.
    fn fail(&mut self, address: &Address, refused: OpenError, now: Time) {
        let address = address.clone();
        self.attempts.push(Attempt { address, refused });
        self.state = State::Resting(now);
    }

    /// The try has failed at all addresses: pauses, or fails if there is no other try.
    fn rest(&mut self, now: Time) -> Result<(), ClientError> {
        let attempts = std::mem::take(&mut self.attempts);
        let is_worth_it = attempts.iter().any(|Attempt { refused, .. }| {
            refused.step == OpenStep::Connect && passes(&refused.error)
        });
        let pause = if is_worth_it {
            self.backoff.pause()
        } else {
            None
        };
        let Some(pause) = pause else {
            return Err(ClientError::Open(attempts));
        };
        let (made, all) = self.backoff.tries();
        let why = reasons(&attempts);
        log::info!("try {made} of {all}: {why}; the next in {pause:.1?}");
        self.state = State::Resting(now.after(pause));
        Ok(())
    }
}

fn at_connect(error: io::Error) -> OpenError {
    let step = OpenStep::Connect;
    OpenError { step, error }
}

/// The text of a time-out: `what` and its length. Used only if there is a time-out.
fn late(what: &str, timeout: Option<Duration>) -> String {
    let span = Quantity::Time.text(timeout.unwrap_or_default().as_nanos());
    format!("{what} {span}")
}

/// Local sockets retransmit no SYN: connect(2) reports a full queue at once as EAGAIN (unix(7)).
/// For TCP the same error means that no local port is free (connect(2)).
fn is_queue_full(address: &Address, refused: &OpenError) -> bool {
    let is_full = refused.error.raw_os_error() == Some(errno::EAGAIN);
    is_full && refused.step == OpenStep::Connect && matches!(address, Address::Unix(_))
}

/// Whether the connect has succeeded; `false` while it is in progress.
fn outcome<K: Opener>(kernel: &mut K, socket: &K::Socket, ready: Readiness) -> io::Result<bool> {
    kernel.take_error(socket)?;
    match kernel.peer(socket) {
        // If no server listens on a port of this machine, the kernel may choose that port for this
        // socket. TCP then connects the socket to itself.
        Ok(peer) if kernel.local(socket)? == peer => {
            Err(io::Error::from_raw_os_error(errno::ECONNREFUSED))
        }
        Ok(_) => Ok(true),
        // No peer and no error: the event did not end the connect.
        Err(error) if error.kind() == NotConnected && !ready.intersects(Readiness::HUP) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
