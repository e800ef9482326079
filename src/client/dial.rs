//! Getting connected: tries, each with a socket of its own, and the pauses between them.
//!
//! ```text
//!   Resting --- pause over ---> Trying --- writable, no error, a peer ---> a socket to talk on
//!      ^                          |
//!      +---- an error that passes-+---- any other, or the last try ---> the failure
//! ```
//!
//! A connect that does not wait ends by being writable, and so does one that failed: connect(2)
//! has the outcome in `SO_ERROR`. A socket whose connect failed is in no state that portable
//! programs may use again, so each try opens another; its number is the generation of its token,
//! so an event that is left over from an earlier one is recognised. What is said later is not
//! known here.

use std::io::{self, ErrorKind::NotConnected};

use super::backoff::{Backoff, passes};
use super::{Failure, Settings};
use crate::kernel::{
    ConnectOptions, Event, Interest, OpenError, OpenStep, Opener, Poller, Readiness, Time, Token,
    errno,
};

pub(super) struct Dial<S> {
    backoff: Backoff,
    state: State<S>,
}

enum State<S> {
    /// Nothing happens until then.
    Resting(Time),
    /// A connect is under way, and given up then.
    Trying(S, Time),
}

impl<S> Dial<S> {
    pub(super) fn new(backoff: Backoff, now: Time) -> Dial<S> {
        Dial {
            backoff,
            state: State::Resting(now),
        }
    }

    /// The name of the socket of this try.
    fn token(&self) -> Token {
        Token::new(0, self.backoff.tries().0 + 1)
    }

    /// Starts a try when one is due, and tells until when there is nothing to do.
    pub(super) fn prepare<K: Poller + Opener<Socket = S>>(
        &mut self,
        kernel: &mut K,
        settings: &Settings,
        now: Time,
    ) -> Result<Time, Failure> {
        match self.state {
            State::Trying(_, deadline) => return Ok(deadline),
            State::Resting(until) if now < until => return Ok(until),
            State::Resting(_) => {}
        }
        let options = ConnectOptions {
            nodelay: true,
            source: None,
        };
        let socket = match kernel.connect(&settings.address, &options) {
            Ok(socket) => socket,
            Err(refused) => return self.rest(refused, now),
        };
        if let Err(error) = kernel.register(&socket, self.token(), Interest::WRITE) {
            kernel.close(socket);
            return Err(Failure::io("epoll_ctl")(error));
        }
        let deadline = settings.timeout.map_or(Time::NEVER, |span| now.after(span));
        self.state = State::Trying(socket, deadline);
        Ok(deadline)
    }

    /// Looks how the try has ended, if it has: the connected socket and the token it is still
    /// registered under, for writing.
    pub(super) fn look<K: Poller + Opener<Socket = S>>(
        &mut self,
        kernel: &mut K,
        events: &[Event],
        now: Time,
    ) -> Result<Option<(S, Token)>, Failure> {
        let token = self.token();
        let (socket, deadline) = match std::mem::replace(&mut self.state, State::Resting(now)) {
            State::Trying(socket, deadline) => (socket, deadline),
            resting => {
                self.state = resting;
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
                self.state = State::Trying(socket, deadline);
                return Ok(None);
            }
            Ok(false) => io::Error::from_raw_os_error(errno::ETIMEDOUT),
            Err(error) => error,
        };
        kernel.close(socket);
        let step = OpenStep::Connect;
        self.rest(OpenError { step, error }, now).map(|_| None)
    }

    /// A try has failed: until when to rest, or the failure when there is no other try.
    fn rest(&mut self, refused: OpenError, now: Time) -> Result<Time, Failure> {
        let worth_it = refused.step == OpenStep::Connect && passes(&refused.error);
        let pause = if worth_it { self.backoff.pause() } else { None };
        let Some(pause) = pause else {
            return Err(Failure::Open(refused));
        };
        let (made, all) = self.backoff.tries();
        log::info!("try {made} of {all}: {refused}; the next in {pause:.1?}");
        let until = now.after(pause);
        self.state = State::Resting(until);
        Ok(until)
    }
}

/// Whether the connect has succeeded; `false` when it is still under way.
fn outcome<K: Opener>(kernel: &mut K, socket: &K::Socket, ready: Readiness) -> io::Result<bool> {
    kernel.take_error(socket)?;
    match kernel.peer(socket) {
        // A port that nobody listens on may be the one that the kernel chooses for this very
        // socket, and then TCP connects it to itself.
        Ok(peer) if kernel.local(socket)? == peer => {
            Err(io::Error::from_raw_os_error(errno::ECONNREFUSED))
        }
        Ok(_) => Ok(true),
        // Nobody at the other end and no error: what was reported is not the end of the connect.
        Err(error) if error.kind() == NotConnected && !ready.intersects(Readiness::HUP) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
