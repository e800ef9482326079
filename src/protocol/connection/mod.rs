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
//! With a key in front of the service, a connection is first Pending, see `challenge`.
//! Behind a load balancer a connection begins in the state Header, see `header`.
//!
//! The driver of a connection asks [`Connection::wants`], does that, and reports what happened.
//! Small servers miss five rules. Four of them are kept here; the fourth, that an error and a
//! hang-up are reported without interest, is kept by `server::reactor::slow_path`:
//!
//! 1. A complete write resumes decoding, because frames that have already arrived raise no event.
//! 2. A reply without room stops the reading, so back-pressure reaches the peer.
//! 3. After its end of stream a peer is not read again.
//! 5. A connection is never closed while the peer may still be sending, because the reset would
//!    destroy the last reply (RFC 1122, 4.2.2.13). Everything owed is sent before.
//!
//! Every frame costs time, however short it is. After a bounded number of frames the connection
//! yields, in a state of its own, and continues after the others had their turn.
//!
//! A request whose answer comes from an effect has a state of its own too, see `effect`. The
//! buffers are lent while bytes lie in them, and come in as a [`Workspace`].

mod answer;
mod budget;
mod challenge;
mod close_reason;
mod discard;
mod effect;
mod header;
mod replies;
mod workspace;

use crate::protocol::framing::{FrameError, Framing, Hint, OnTooLong};
use crate::protocol::front::auth::Expected;
use crate::protocol::service::{Reply, Service};

pub use answer::{Run, Stop};
pub use budget::Budget;
pub use close_reason::{Cause, CloseReason, Idle};
pub use header::{Expects, Heading};
pub use workspace::{Cursors, Workspace};

/// What all connections of a server share.
#[derive(Clone, Debug)]
pub struct Protocol<S> {
    /// Where a message ends.
    pub framing: Framing,
    /// What happens to a frame over the limit.
    pub on_too_long: OnTooLong,
    /// What to answer.
    pub service: S,
}

impl<S: Service> Protocol<S> {
    /// Outbound bytes that the answer to a payload of `payload` bytes may take, header and trailer
    /// included. 0 when answers are given in place.
    #[inline]
    pub fn reply_max(&self, payload: usize) -> usize {
        reply_max(&self.service, &self.framing, payload)
    }

    /// Whether a frame can hold the greeting of the service.
    pub fn check_greeting(&self) -> Result<(), FrameError> {
        let greeting = self.service.greeting();
        greeting.map_or(Ok(()), |greeting| self.framing.check_size(greeting.size()))
    }
}

/// See [`Protocol::reply_max`].
#[inline]
fn reply_max<S: Service>(service: &S, framing: &Framing, payload: usize) -> usize {
    match service.reply_max(payload) {
        0 => 0,
        reply => {
            let overhead = framing.overhead();
            reply.saturating_add(overhead.front + overhead.back)
        }
    }
}

/// The state of a connection, with the data of that state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The header of a load balancer has to come before anything else.
    Header {
        /// Whether there must be one.
        expects: Expects,
        /// The peer's end of stream was read.
        is_over: bool,
    },
    /// The service sends a greeting, and has not sent it yet.
    Greeting,
    /// The peer has been sent a challenge, and has to answer it with this digest.
    Pending(Expected),
    /// The connection reads, answers and writes.
    Open,
    /// Open, with frames that are answered after other connections have had their turn.
    Yielding,
    /// Open, but the next bytes belong to a discarded frame.
    Discarding {
        /// Bytes of the frame that have arrived.
        came: u64,
        /// Bytes of the frame still to come; `u64::MAX` if only a delimiter will tell.
        left: u64,
    },
    /// The answer to the request at the front comes from an effect. Nothing is read meanwhile.
    Awaiting,
    /// The peer's end of stream was read, and every complete frame is answered. Owed bytes are
    /// still written.
    HalfClosed(Cause),
    /// The server ends the connection: nothing more is decoded, owed bytes are still written.
    Draining(Cause),
    /// Our FIN is sent. Bytes of the peer are discarded until its stream ends too.
    Lingering(Cause),
    /// The socket is to be closed.
    Closed(Cause),
}

/// What one call has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Progress {
    /// Frames that were answered.
    pub frames: u64,
    /// The frame that is discarded from here on. At most one per call, because a discarded frame
    /// uses up the budget of the turn: a peer that sends only such frames does not slow others.
    pub discarded: Option<Discarded>,
}

/// A discarded frame, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// Why the frame cannot be served.
    pub error: FrameError,
    /// What the peer seems to speak instead.
    pub hint: Option<Hint>,
}

/// What a connection wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Read into the inbound spare space, then [`Connection::received`] or [`Connection::ended`].
    Read,
    /// Read, then [`Connection::header_received`] or [`Connection::ended`], then
    /// [`Connection::take_header`].
    Header,
    /// Perform [`Connection::effect`], then [`Connection::take_event`]; nothing else is wanted
    /// before.
    Await,
    /// Write what [`Workspace::owed`] says, then [`Connection::sent`].
    Write,
    /// Continue to answer with [`Connection::resume`], after other connections had their turn: no
    /// event will report the frames that have already arrived.
    Resume,
    /// Send our FIN, then [`Connection::finished`].
    Shutdown,
    /// Read and discard until the peer's stream ends, then [`Connection::ended`].
    Discard,
    /// Close the socket.
    Close,
}

/// One connection, without its socket and its buffers.
#[derive(Debug)]
pub struct Connection<S: Service> {
    state: State,
    /// A frame has ended since the last [`Connection::take_end_of_frame`].
    ended: bool,
    service: S::State,
}

impl<S: Service> Connection<S> {
    /// A new connection, served by `service`.
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

    /// A connection that another process has served up to the end of a message. `memory` is that of
    /// [`Connection::memory`].
    #[cold]
    pub fn recalled(service: &S, memory: u8) -> Connection<S> {
        Connection {
            state: State::Open,
            ended: false,
            service: service.recall(memory),
        }
    }

    /// What another process has to know to go on, if a byte tells everything: the connection is
    /// open and between two messages.
    #[cold]
    pub fn memory(&self) -> Option<u8> {
        match self.is_open() {
            true => S::memory(&self.service),
            false => None,
        }
    }

    /// Whether the bytes that arrive at an open connection need no space but their own: they are
    /// answered in place, see [`Service::in_place`], or not at all, see [`Service::is_silent`].
    #[inline(always)]
    pub fn is_in_place(&self, protocol: &Protocol<S>) -> bool {
        debug_assert!(self.is_open(), "{:?}", self.state);
        protocol.service.in_place(&self.service) || protocol.service.is_silent()
    }

    /// Whether a frame has ended, answered or discarded, since the last call: bytes that are held
    /// now belong to a later frame. The fast path does not record its frames here.
    #[inline]
    pub fn take_end_of_frame(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// What to do next. `owes` tells whether the workspace, if there is one, owes bytes.
    #[inline]
    pub fn wants(&self, owes: bool) -> Want {
        // By far the most frequent state.
        if self.is_open() {
            return if owes { Want::Write } else { Want::Read };
        }
        match (self.state, owes) {
            (State::Lingering(_), _) => Want::Discard,
            (State::Header { .. }, _) => Want::Header,
            (State::Closed(_) | State::Greeting, _) => Want::Close,
            // Owed bytes leave first, because an answer in place has no gap before it.
            (_, true) => Want::Write,
            (State::Open | State::Discarding { .. } | State::Pending(_), false) => Want::Read,
            (State::Awaiting, false) => Want::Await,
            (State::Yielding, false) => Want::Resume,
            (State::Draining(_), false) => Want::Shutdown,
            (State::HalfClosed(_), false) => Want::Close,
        }
    }

    /// Why the connection ends: the cause that was first, or the end of the stream.
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

    /// The name of the state, for an observer, and its number.
    #[cold]
    pub fn stage(&self) -> (&'static str, u8) {
        match self.state {
            State::Header { .. } => ("header", 9),
            State::Pending(_) => ("challenged", 10),
            State::Greeting => ("greeting", 0),
            State::Open => ("open", 1),
            State::Yielding => ("yielding", 2),
            State::Discarding { .. } => ("discarding", 3),
            State::Awaiting => ("awaiting", 4),
            State::HalfClosed(_) => ("half-closed", 5),
            State::Draining(_) => ("draining", 6),
            State::Lingering(_) => ("lingering", 7),
            State::Closed(_) => ("closed", 8),
        }
    }

    /// Whether the connection reads and answers, and is not about to end.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether a frame is unfinished of which no byte is kept: the frame is discarded, or the
    /// service remembers what it needs.
    #[inline]
    pub fn is_mid_message(&self) -> bool {
        match self.state {
            State::Discarding { .. } | State::Header { .. } | State::Pending(_) => true,
            State::Open | State::Yielding => S::is_mid_message(&self.service),
            _ => false,
        }
    }

    /// Whether a request is unfinished: its first byte has arrived and its last has not. A
    /// discarded frame is not a request, because it gets no answer.
    pub fn is_mid_request(&self, workspace: &mut Workspace<'_>) -> bool {
        match self.state {
            State::Open => {
                S::is_mid_message(&self.service) || !workspace.inbound.undecoded().is_empty()
            }
            State::Header { .. } => !workspace.inbound.undecoded().is_empty(),
            _ => false,
        }
    }

    /// Whether frames wait until other connections had their turn.
    pub fn yields(&self) -> bool {
        matches!(self.state, State::Yielding)
    }

    /// Whether our FIN is sent and only the peer's FIN is missing.
    pub fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering(_))
    }

    /// Whether [`Connection::begin`] was not called yet.
    #[inline]
    pub fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting)
    }

    /// The service writes its greeting, if it has one. Nothing is owed.
    #[cold]
    pub fn begin(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) {
        debug_assert!(matches!(self.state, State::Greeting | State::Open) && !workspace.owes());
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
            Err(error) => self.state.fail(&error, None, workspace),
        }
    }

    /// A read has put `count` bytes into the spare space.
    pub fn received(
        &mut self,
        count: usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        workspace.inbound.advance(count);
        if let State::Pending(expected) = self.state {
            return self.take_digest(expected, workspace, protocol, budget);
        }
        self.screen(count, workspace, protocol);
        self.resume(workspace, protocol, budget)
    }

    /// A write has taken `count` of the owed bytes.
    pub fn sent(
        &mut self,
        count: usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        workspace.sent(count);
        if workspace.owes() {
            return Progress::default();
        }
        if self.is_open() && workspace.inbound.undecoded().is_empty() {
            // Nearly every write ends so.
            self.compact(workspace);
            return Progress::default();
        }
        // Complete frames that waited for room raise no readable event, so they are answered now.
        self.resume(workspace, protocol, budget)
    }

    /// The peer's stream has ended. A connection reads only after every complete frame is answered,
    /// so no frame is answered here.
    pub fn ended(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) {
        match self.state {
            State::Open => self.state = State::HalfClosed(CloseReason::EndOfStream.into()),
            State::Discarding { .. } => self.end_inside_a_frame(workspace, protocol),
            State::Lingering(cause) => self.state = State::Closed(cause),
            // A peer that has ended its stream sends nothing more: there is nothing to linger for.
            State::Pending(_) => {
                self.state = State::Closed(CloseReason::Unauthorised.into());
                workspace.inbound.drop_undecoded();
            }
            State::Header { expects, .. } => {
                self.state = State::Header {
                    expects,
                    is_over: true,
                }
            }
            State::Greeting
            | State::Awaiting
            | State::Yielding
            | State::HalfClosed(_)
            | State::Draining(_)
            | State::Closed(_) => {}
        }
        let progress = self.resume(workspace, protocol, &mut Budget::new(u64::MAX));
        debug_assert_eq!(progress, Progress::default(), "it was read from too early");
    }

    /// The server ends the connection: owed bytes are still written, nothing more is answered.
    pub fn drain(&mut self, cause: impl Into<Cause>, workspace: &mut Workspace<'_>) {
        if matches!(
            self.state,
            State::Open | State::Discarding { .. } | State::Header { .. } | State::Pending(_)
        ) {
            self.state = State::Draining(self.in_place_of(cause.into()));
            workspace.inbound.drop_undecoded();
        }
    }

    /// Instead of being closed, a connection that owes nothing more sends its FIN and lingers.
    /// Returns whether it can.
    #[cold]
    pub fn outlive(&mut self) -> bool {
        let State::HalfClosed(cause) = self.state else {
            return false;
        };
        self.state = State::Draining(cause);
        true
    }

    /// Our FIN is sent.
    pub fn finished(&mut self) {
        debug_assert!(matches!(self.state, State::Draining(_)));
        self.state = State::Lingering(self.cause());
    }

    /// Ends the connection at once, whatever is owed. An earlier cause of the end stays.
    pub fn close(&mut self, cause: impl Into<Cause>) {
        let cause = match self.state {
            State::HalfClosed(first) if first.reason == CloseReason::EndOfStream => cause.into(),
            State::HalfClosed(first)
            | State::Draining(first)
            | State::Lingering(first)
            | State::Closed(first) => first,
            _ => self.in_place_of(cause.into()),
        };
        self.state = State::Closed(cause);
    }
}
