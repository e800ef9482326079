//! The state machine of one connection. Bytes only: no descriptor, no clock, no system call, no log
//! line.
//!
//! ```text
//!                 end of stream          all answered, nothing owed
//!           Open ---------------> Finishing -----------------------> Closed
//!            |                                                         ^
//!            |  bad frame, shutdown            FIN sent, peer talks    |  end of stream, or time
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
//! The buffers are on loan while there is something in them, and come in as a [`Workspace`].

mod close_reason;
mod workspace;

use crate::framing::{Bounds, Decode, Decoded, FrameError, Framing};
use crate::service::{Answer, Reply, Request, Service};

pub use close_reason::CloseReason;
pub use workspace::Workspace;

/// What is the same for all connections of a server.
#[derive(Clone, Debug)]
pub struct Protocol<S> {
    /// Where a message ends.
    pub framing: Framing,
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
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Reading, answering, writing.
    Open,
    /// The peer's end of stream was read; what came before it is still being answered.
    Finishing,
    /// We end it: nothing more is decoded, what is owed is still written.
    Draining,
    /// Our FIN is sent; what the peer still says is thrown away until it ends too.
    Lingering,
    /// Over.
    Closed,
}

/// The one thing a connection wants done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Read into the inbound spare space, then [`Connection::received`] or [`Connection::ended`].
    Read,
    /// Write what [`Workspace::owed`] says, then [`Connection::sent`].
    Write,
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
    reason: Option<CloseReason>,
    wrong: Option<FrameError>,
    service: S::State,
}

impl<S: Service> Default for Connection<S> {
    fn default() -> Connection<S> {
        let service = S::State::default();
        Connection {
            state: State::Open,
            reason: None,
            wrong: None,
            service,
        }
    }
}

impl<S: Service> Connection<S> {
    /// What is to be done next; `owes` says whether its workspace, if it has one, owes bytes.
    #[inline]
    pub fn wants(&self, owes: bool) -> Want {
        match (self.state, owes) {
            (State::Open | State::Finishing | State::Draining, true) => Want::Write,
            (State::Open, false) => Want::Read,
            (State::Draining, false) => Want::Shutdown,
            (State::Lingering, _) => Want::Discard,
            (State::Finishing | State::Closed, _) => Want::Close,
        }
    }

    /// Why it ended, as far as it has.
    pub fn reason(&self) -> CloseReason {
        self.reason.unwrap_or(CloseReason::EndOfStream)
    }

    /// The frame error that ended it, once.
    pub fn take_error(&mut self) -> Option<FrameError> {
        self.wrong.take()
    }

    /// Whether our FIN is sent and only the peer's is awaited.
    pub fn is_lingering(&self) -> bool {
        self.state == State::Lingering
    }

    /// A read has put `count` bytes into the spare space. Returns how many frames were answered.
    #[inline]
    pub fn received(
        &mut self,
        count: usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
    ) -> u64 {
        workspace.inbound.advance(count);
        self.answer(workspace, protocol)
    }

    /// A write has taken `count` bytes of what is owed. Returns how many frames were answered
    /// thereupon.
    #[inline]
    pub fn sent(
        &mut self,
        count: usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
    ) -> u64 {
        workspace.sent(count);
        if workspace.owes() {
            return 0;
        }
        workspace.inbound.compact();
        if workspace.is_empty() && self.state == State::Open {
            return 0;
        }
        // Whole frames that had to wait for room raise no readable event: they are answered now.
        self.answer(workspace, protocol)
    }

    /// The peer's stream has ended.
    pub fn ended(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) -> u64 {
        match self.state {
            State::Open => self.state = State::Finishing,
            State::Lingering => self.state = State::Closed,
            State::Finishing | State::Draining | State::Closed => return 0,
        }
        self.answer(workspace, protocol)
    }

    /// The server ends the conversation: what is owed is still written, nothing more is answered.
    pub fn drain(&mut self, reason: CloseReason, workspace: &mut Workspace<'_>) {
        if self.state == State::Open {
            self.state = State::Draining;
            self.because(reason);
            workspace.inbound.drop_undecoded();
        }
    }

    /// Our FIN is sent.
    pub fn finished(&mut self) {
        debug_assert_eq!(self.state, State::Draining);
        self.state = State::Lingering;
    }

    /// It is over at once, whatever is owed.
    pub fn close(&mut self, reason: CloseReason) {
        self.because(reason);
        self.state = State::Closed;
    }

    fn because(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
    }

    #[inline]
    fn answer(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) -> u64 {
        // Each framing gets its own loop, so that the choice is made once a read and not once a
        // frame.
        let frames = match protocol.framing {
            Framing::Raw(raw) => self.answer_by(&raw, workspace, protocol),
            Framing::LengthField(field) => self.answer_by(&field, workspace, protocol),
        };
        workspace.inbound.compact();
        frames
    }

    /// Answers every whole frame that there is room for.
    #[inline]
    fn answer_by<D: Decode>(
        &mut self,
        decoder: &D,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
    ) -> u64 {
        let mut frames = 0;
        while matches!(self.state, State::Open | State::Finishing) {
            let looked = workspace.inbound.looked();
            let bytes = workspace.inbound.undecoded();
            let decoded = if bytes.is_empty() {
                Decoded::Incomplete { looked: 0 }
            } else {
                decoder.decode(bytes, looked)
            };
            match decoded {
                Decoded::Frame(bounds) => match self.serve(bounds, workspace, protocol) {
                    Served::Answered => frames += 1,
                    Served::NoRoom => break,
                    Served::Wrong(error) => self.fail(error, workspace),
                },
                Decoded::Incomplete { looked } => {
                    workspace.inbound.look(looked);
                    if self.state == State::Finishing {
                        self.finish(workspace, protocol);
                    }
                    break;
                }
                Decoded::Wrong(error) => self.fail(error, workspace),
            }
        }
        frames
    }

    /// Hands one frame to the service and puts its answer where it goes out in order.
    #[inline]
    fn serve(
        &mut self,
        mut bounds: Bounds,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
    ) -> Served {
        let Workspace { inbound, outbound } = workspace;
        let room = outbound.room();
        if protocol.reply_max(bounds.payload_end - bounds.payload) > room {
            if protocol.framing.has_boundaries() {
                return Served::NoRoom;
            }
            // Without boundaries any front part is as good a message as the whole.
            while protocol.reply_max(bounds.frame) > room {
                bounds.frame /= 2;
            }
            if bounds.frame == 0 {
                return Served::NoRoom;
            }
            bounds.payload_end = bounds.frame;
        }
        let need = protocol.reply_max(bounds.payload_end - bounds.payload);
        let outbound_is_empty = outbound.is_empty();
        let overhead = protocol.framing.overhead();
        let space = outbound.space(need);
        let reply_space = match need {
            0 => &mut [],
            _ => &mut space[overhead.front..need - overhead.back],
        };
        let mut reply = Reply::new(reply_space);
        let in_order = outbound_is_empty && inbound.joins();
        let frame = &mut inbound.undecoded()[..bounds.frame];
        let request = Request {
            payload: &mut frame[bounds.payload..bounds.payload_end],
            whole: protocol.framing.has_boundaries(),
        };
        let answer = protocol
            .service
            .serve(&mut self.service, request, &mut reply);
        let filled = reply.filled();
        match answer {
            Answer::InPlace if in_order => inbound.answer(bounds.frame),
            // Older answers lie in outbound: this one has to go behind them.
            Answer::InPlace => {
                outbound.space(need)[..bounds.frame].copy_from_slice(frame);
                outbound.advance(bounds.frame);
                inbound.consume(bounds.frame);
            }
            Answer::Written => {
                let space = outbound.space(need);
                match protocol
                    .framing
                    .seal(&frame[..bounds.payload], space, filled)
                {
                    Ok(sealed) => outbound.advance(sealed),
                    Err(error) => return Served::Wrong(error),
                }
                inbound.consume(bounds.frame);
            }
        }
        Served::Answered
    }

    /// The peer's stream has ended and every whole frame is answered.
    fn finish(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) {
        let held = workspace.inbound.undecoded().len();
        if held > 0 {
            self.because(CloseReason::Truncated);
            self.wrong = Some(FrameError::Truncated { held });
            workspace.inbound.drop_undecoded();
        }
        let need = protocol.service.reply_max(0);
        if protocol.framing.has_boundaries() || need == 0 || need > workspace.outbound.room() {
            return;
        }
        let mut reply = Reply::new(workspace.outbound.space(need));
        protocol.service.end(&mut self.service, &mut reply);
        let filled = reply.filled();
        workspace.outbound.advance(filled);
    }

    /// What was answered before the error is still owed; what came after it is not looked at.
    #[cold]
    fn fail(&mut self, error: FrameError, workspace: &mut Workspace<'_>) {
        self.because(match error {
            FrameError::TooLong { .. } => CloseReason::TooLong,
            FrameError::Corrupted(_) => CloseReason::Corrupted,
            FrameError::Truncated { .. } => CloseReason::Truncated,
        });
        self.wrong = Some(error);
        // A peer that has ended its stream has nothing more to say: no need to linger for it.
        if self.state == State::Open {
            self.state = State::Draining;
        } else {
            self.state = State::Finishing;
        }
        workspace.inbound.drop_undecoded();
    }
}

/// What became of one frame.
enum Served {
    Answered,
    NoRoom,
    Wrong(FrameError),
}
