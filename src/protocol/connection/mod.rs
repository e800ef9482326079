//! The state machine of one connection. Bytes only: no descriptor, no clock, no system call, no log
//! line.
//!
//! ```text
//!                 end of stream          all answered, nothing owed
//!  (Greeting)-> Open ---------------> HalfClosed -----------------------> Closed
//!            |                                                         ^
//!            |  refused, goodbye, shutdown     FIN sent, peer talks    |  end of stream, or time
//!            +-----------------> Draining -----------------------> Lingering
//! ```
//!
//! Whoever drives it asks [`Connection::wants`], does that, and reports what happened. Five rules
//! that small servers miss are kept here: a write that went through resumes decoding, for frames
//! already here raise no event; a reply without room stops the reading, so back-pressure reaches
//! the peer; after its end of stream a peer is not read again; an error is answered with everything
//! owed before it; and we never close while the peer may still be sending, for that would destroy
//! the last reply (RFC 1122 4.2.2.13).
//!
//! Frames cost time however short they are, so only so many are answered at a time: then it yields,
//! in a state of its own, and wants to go on when the others had their turn.
//!
//! A request whose answer comes from the world is waited for in a state of its own, see `awaiting`.
//! The buffers are on loan while there is something in them, and come in as a [`Workspace`].

mod answer;
mod close_reason;
mod discard;
mod effect;
mod workspace;

use crate::protocol::framing::{FrameError, Framing, Hint, OnTooLong};
use crate::protocol::service::{Reply, Service};

pub use close_reason::{Cause, CloseReason};
pub use workspace::{Cursors, Workspace};

/// What is the same for all connections of a server.
#[derive(Clone, Debug)]
pub struct Protocol<S> {
    /// Where a message ends.
    pub framing: Framing,
    /// What becomes of a frame over the limit.
    pub on_too_long: OnTooLong,
    /// What to answer.
    pub service: S,
}

impl<S: Service> Protocol<S> {
    /// Outbound bytes that the answer to a payload of `payload` bytes may take, header and trailer
    /// included. 0 when answers are given in place.
    #[inline]
    pub fn reply_max(&self, payload: usize) -> usize {
        match self.service.reply_max(payload) {
            0 => 0,
            reply => {
                let overhead = self.framing.overhead();
                reply.saturating_add(overhead.front + overhead.back)
            }
        }
    }

    /// Why the greeting of a service that speaks first fits no frame, if it does not. The answer is
    /// found by encoding the greeting, so this is for the start only.
    pub fn greets(&self) -> Result<(), FrameError> {
        let Some(greeting) = self.service.greeting() else {
            return Ok(());
        };
        let overhead = self.framing.overhead();
        let mut space = vec![0; self.reply_max(0)];
        let end = space.len() - overhead.back;
        let mut reply = Reply::new(&mut space[overhead.front..end]);
        greeting.greet(&mut self.service.open(), &mut reply);
        let filled = reply.filled();
        self.framing.encode(&[], &mut space, filled).map(|_| ())
    }
}

/// Where a connection is in its life, with what belongs to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The service speaks first, and has not spoken.
    Greeting,
    /// The connection reads, answers and writes.
    Open,
    /// Open, with frames that are answered after other connections have had their turn.
    Yielding,
    /// Open, but what arrives belongs to a frame that is thrown away.
    Discarding {
        /// Bytes of it that have arrived.
        came: u64,
        /// Bytes of it that are still to come, or `u64::MAX` when only its end will tell.
        left: u64,
    },
    /// The answer to the request at the front comes from an effect. Nothing is read meanwhile.
    Awaiting,
    /// The peer's end of stream was read, and every whole frame is answered. What is owed is still
    /// written.
    HalfClosed(Cause),
    /// The server ends the connection: nothing more is decoded, what is owed is still written.
    Draining(Cause),
    /// Our FIN is sent. What the peer still sends is thrown away until its stream ends too.
    Lingering(Cause),
    /// The socket is to be closed.
    Closed(Cause),
}

/// What a call has brought about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Progress {
    /// Frames that were answered.
    pub frames: u64,
    /// The frame that is thrown away from here on. There is at most one, because it uses up the
    /// budget of its turn: a peer that sends nothing else is no burden to the others.
    pub discarded: Option<Discarded>,
}

/// A frame that is thrown away, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// Why it cannot be served.
    pub error: FrameError,
    /// What the peer seems to speak instead.
    pub hint: Option<Hint>,
}

/// The one thing a connection wants done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Read into the inbound spare space, then [`Connection::received`] or [`Connection::ended`].
    Read,
    /// Perform [`Connection::effect`], then [`Connection::heard`]; nothing else is wanted before.
    Await,
    /// Write what [`Workspace::owed`] says, then [`Connection::sent`].
    Write,
    /// Answer on, with [`Connection::resume`], once others had their turn: frames are here that no
    /// event will tell of.
    Resume,
    /// Send our FIN, then [`Connection::finished`].
    Shutdown,
    /// Read and throw away until the peer's stream ends, then [`Connection::ended`].
    Discard,
    /// Close the socket.
    Close,
}

/// One connection, without its socket and its buffers.
#[derive(Debug)]
pub struct Connection<S: Service> {
    state: State,
    /// A frame has ended since this was last asked.
    ended: bool,
    service: S::State,
}

impl<S: Service> Connection<S> {
    /// A connection that was just accepted and is to be served by `service`.
    #[inline]
    pub fn new(service: &S) -> Connection<S> {
        Connection {
            state: match service.greeting() {
                Some(_) => State::Greeting,
                None => State::Open,
            },
            ended: false,
            service: service.open(),
        }
    }

    /// Whether all that arrives now is answered where it lies, see [`Service::in_place`].
    #[inline]
    pub fn is_in_place(&self, protocol: &Protocol<S>) -> bool {
        matches!(self.state, State::Open) && protocol.service.in_place(&self.service)
    }

    /// Whether a frame has ended, answered or thrown away, since this was last asked: what is held
    /// now belongs to a later one. Not told of those that are answered at once.
    #[inline]
    pub fn take_end_of_frame(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// What is to be done next; `owes` says whether its workspace, if it has one, owes bytes.
    #[inline]
    pub fn wants(&self, owes: bool) -> Want {
        match (self.state, owes) {
            (State::Lingering(_), _) => Want::Discard,
            (State::Closed(_) | State::Greeting, _) => Want::Close,
            // What was answered goes out first: an answer in place has no gap before it.
            (_, true) => Want::Write,
            (State::Open | State::Discarding { .. }, false) => Want::Read,
            (State::Awaiting, false) => Want::Await,
            (State::Yielding, false) => Want::Resume,
            (State::Draining(_), false) => Want::Shutdown,
            (State::HalfClosed(_), false) => Want::Close,
        }
    }

    /// Why the connection ends: that of its first state of ending, or the end of its stream.
    pub fn cause(&self) -> Cause {
        match self.state {
            State::HalfClosed(cause)
            | State::Draining(cause)
            | State::Lingering(cause)
            | State::Closed(cause) => cause,
            _ => CloseReason::EndOfStream.into(),
        }
    }

    /// The reason of [`Connection::cause`].
    pub fn reason(&self) -> CloseReason {
        self.cause().reason
    }

    /// Whether it reads and answers, as opposed to being on its way to the end.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether a frame is under way of which nothing is kept: it is thrown away, or its service
    /// remembers what it needs.
    #[inline]
    pub fn is_mid_message(&self) -> bool {
        match self.state {
            State::Discarding { .. } => true,
            State::Open | State::Yielding => S::is_mid_message(&self.service),
            _ => false,
        }
    }

    /// Whether the first bytes of a request have arrived and its last have not. A frame that is
    /// thrown away is no request: nothing answers it.
    pub fn is_mid_request(&self, workspace: &mut Workspace<'_>) -> bool {
        match self.state {
            State::Open => {
                S::is_mid_message(&self.service) || !workspace.inbound.undecoded().is_empty()
            }
            _ => false,
        }
    }

    /// Whether frames wait until the others had their turn.
    pub fn yields(&self) -> bool {
        matches!(self.state, State::Yielding)
    }

    /// Whether our FIN is sent and only the peer's is awaited.
    pub fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering(_))
    }

    /// Whether [`Connection::begin`] is still to come.
    #[inline]
    pub fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting)
    }

    /// The service says its first word, if it speaks first; `workspace` is pristine.
    #[cold]
    pub fn begin(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) {
        debug_assert!(self.is_greeting() && workspace.is_empty());
        self.state = State::Open;
        let need = protocol.reply_max(0);
        let overhead = protocol.framing.overhead();
        let space = workspace.outbound.space(need);
        let mut reply = Reply::new(&mut space[overhead.front..need - overhead.back]);
        if let Some(greeting) = protocol.service.greeting() {
            greeting.greet(&mut self.service, &mut reply);
        }
        let filled = reply.filled();
        match protocol.framing.encode(&[], space, filled) {
            Ok(encoded) => workspace.outbound.advance(encoded),
            Err(error) => self.fail(&error, None, workspace),
        }
    }

    /// A read has put `count` bytes into the spare space.
    pub fn received(
        &mut self,
        count: usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
    ) -> Progress {
        workspace.inbound.advance(count);
        self.screen(count, workspace, protocol);
        self.resume(workspace, protocol)
    }

    /// A write has taken `count` bytes of what is owed.
    pub fn sent(
        &mut self,
        count: usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
    ) -> Progress {
        workspace.sent(count);
        if workspace.owes() {
            return Progress::default();
        }
        // Whole frames that had to wait for room raise no readable event: they are answered now.
        self.resume(workspace, protocol)
    }

    /// The peer's stream has ended. It is read from only when every whole frame is answered, so
    /// none is answered now.
    pub fn ended(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) {
        match self.state {
            State::Open => self.state = State::HalfClosed(CloseReason::EndOfStream.into()),
            State::Discarding { .. } => self.end_inside_a_frame(workspace, protocol),
            State::Lingering(cause) => self.state = State::Closed(cause),
            State::Greeting
            | State::Awaiting
            | State::Yielding
            | State::HalfClosed(_)
            | State::Draining(_)
            | State::Closed(_) => {}
        }
        let progress = self.resume(workspace, protocol);
        debug_assert_eq!(progress, Progress::default(), "it was read from too early");
    }

    /// The server ends the conversation: what is owed is still written, nothing more is answered.
    pub fn drain(&mut self, cause: impl Into<Cause>, workspace: &mut Workspace<'_>) {
        if matches!(self.state, State::Open | State::Discarding { .. }) {
            self.state = State::Draining(cause.into());
            workspace.inbound.drop_undecoded();
        }
    }

    /// Our FIN is sent.
    pub fn finished(&mut self) {
        debug_assert!(matches!(self.state, State::Draining(_)));
        self.state = State::Lingering(self.cause());
    }

    /// The connection is over at once, whatever is owed. If it was ending already, its first cause
    /// stays.
    pub fn close(&mut self, cause: impl Into<Cause>) {
        let cause = match self.state {
            State::HalfClosed(first) if first.reason == CloseReason::EndOfStream => cause.into(),
            State::HalfClosed(first)
            | State::Draining(first)
            | State::Lingering(first)
            | State::Closed(first) => first,
            _ => cause.into(),
        };
        self.state = State::Closed(cause);
    }
}
