//! Decodes requests and answers them: from bytes that arrived to bytes that are owed.
//!
//! Complete frames are decoded and served. Answers leave in the order of their requests: an answer
//! stays in place if the service answers in place and no older answer waits in outbound; otherwise
//! it goes to outbound. Answering stops when the next frame is incomplete or wrong, when its answer
//! has no room, or when the budget of this turn is spent. Neighbours: `framing` decodes, `service`
//! answers.

use super::replies::Answering;
use super::{Budget, Connection, Discarded, Progress, Protocol, State, Workspace};
use crate::limits::FRAMES_PER_EVENT;
use crate::protocol::framing::{Bounds, Decode, Decoded, FrameError, Framing, LengthField, each};
use crate::protocol::service::{Answer, Reply, Request, Service, Visit};

impl<S: Service> Connection<S> {
    /// Answers the bytes that a connection at rest has just read, without a workspace: usually all
    /// of them, and at most [`FRAMES_PER_EVENT`] frames. Returns what `then` makes of the number of
    /// frames, their bytes, and why no more were answered. Only for a service that answers
    /// everything in place, or nothing: then the bytes are taken and none are owed.
    ///
    /// `then` is called in each arm, so that nothing of an unframed request passes through memory:
    /// this saves 8 instructions. Calls return two words and set the reason only if it is not the
    /// end of the bytes: to return a [`Run`] costs 6 instructions more.
    #[inline(always)]
    pub fn answer_at_once<T>(
        &mut self,
        bytes: &mut [u8],
        protocol: &mut Protocol<S>,
        then: impl FnOnce(u64, usize, &Stop) -> T,
    ) -> T {
        match protocol.framing {
            Framing::Raw(raw) => {
                let run = self.answer_in_place(&raw, bytes, 0, u64::MAX, protocol);
                then(run.frames, run.bytes, &run.stop)
            }
            // A frame has at least its length field, so the bytes bound the number of frames.
            Framing::LengthField(field)
                if bytes.len() <= FRAMES_PER_EVENT as usize * field.place().end =>
            {
                let mut stop = Stop::Incomplete { scanned: 0 };
                let (frames, bytes) = self.answer_lengths(&field, bytes, protocol, &mut stop);
                then(frames, bytes, &stop)
            }
            _ => {
                let mut stop = Stop::Incomplete { scanned: 0 };
                let (frames, bytes) = self.answer_other(bytes, protocol, &mut stop);
                then(frames, bytes, &stop)
            }
        }
    }

    /// Answers many short frames of one read. A loop of its own has all registers to itself: this
    /// saves 3 % of the whole cost of 1,024 frames of 4 bytes, for one call per read.
    #[inline(never)]
    fn answer_lengths(
        &mut self,
        field: &LengthField,
        bytes: &mut [u8],
        protocol: &mut Protocol<S>,
        stop: &mut Stop,
    ) -> (u64, usize) {
        let count = bytes.len();
        let run = self.answer_in_place(field, bytes, 0, u64::MAX, protocol);
        run.split(count, stop)
    }

    /// The same for framings whose decoding costs more, and for many frames. Cold, so that the
    /// functions above keep their registers.
    #[cold]
    fn answer_other(
        &mut self,
        bytes: &mut [u8],
        protocol: &mut Protocol<S>,
        stop: &mut Stop,
    ) -> (u64, usize) {
        let (count, most) = (bytes.len(), FRAMES_PER_EVENT);
        each!(protocol.framing, framing => {
            self.answer_in_place(&framing, bytes, 0, most, protocol)
                .split(count, stop)
        })
    }

    /// Answers every complete frame whose answer has room.
    pub fn resume(
        &mut self,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        let progress = self.answer_more(workspace, protocol, budget);
        self.compact(workspace);
        progress
    }

    /// Makes room for the next read.
    pub(super) fn compact(&self, workspace: &mut Workspace<'_>) {
        // While replies wait to be written, or frames for their turn, nothing is read. To compact
        // now would move the same bytes again and again.
        if workspace.outbound.is_empty() && !self.yields() {
            workspace.inbound.compact();
        }
    }

    #[inline(always)]
    fn answer_more(
        &mut self,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        if matches!(self.state, State::Discarding { .. }) {
            self.skip(workspace, protocol);
        }
        match self.state {
            State::Open | State::HalfClosed(_) => {}
            State::Yielding if budget.frames() > 0 => self.state = State::Open,
            _ => return Progress::default(),
        }
        let (frames, stop) = match protocol.service.in_place(&self.service) {
            true => self.answer_more_in_place(workspace, protocol, budget),
            false => {
                let answering = Answering {
                    workspace,
                    framing: &protocol.framing,
                    state: &mut self.state,
                    budget,
                };
                protocol.service.visit(&mut self.service, answering)
            }
        };
        self.ended |= frames > 0;
        let discarded = match stop {
            Stop::Incomplete { scanned } if self.is_open() => {
                workspace.inbound.set_scanned(scanned);
                None
            }
            stop => self.stopped(stop, workspace, protocol, budget),
        };
        Progress { frames, discarded }
    }

    /// Keeps the bytes that a connection at rest did not answer at once: they lie in `workspace`
    /// now, and `stop` is why they were not answered.
    #[cold]
    pub fn keep(
        &mut self,
        stop: Stop,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        let discarded = self.stopped(stop, workspace, protocol, budget);
        self.compact(workspace);
        Progress {
            frames: 0,
            discarded,
        }
    }

    /// No more frames are answered, for this reason.
    #[cold]
    fn stopped(
        &mut self,
        stop: Stop,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Option<Discarded> {
        match stop {
            Stop::Incomplete { scanned } => {
                workspace.inbound.set_scanned(scanned);
                if matches!(self.state, State::HalfClosed(_)) {
                    self.finish(workspace, protocol);
                }
            }
            Stop::NoRoom => {}
            Stop::Awaits => self.state = State::Awaiting,
            Stop::BudgetSpent => self.state = State::Yielding,
            Stop::Wrong(error) => return self.refuse(error, workspace, protocol, budget),
            Stop::Unanswerable(error) => self.state.fail(&error, None, workspace),
        }
        None
    }

    /// Answers in place what lies in a workspace.
    fn answer_more_in_place(
        &mut self,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> (u64, Stop) {
        let most = budget.frames();
        let scanned = workspace.inbound.scanned();
        let bytes = workspace.inbound.undecoded();
        if bytes.is_empty() {
            return (0, Stop::Incomplete { scanned: 0 });
        }
        if most == 0 {
            return (0, Stop::BudgetSpent);
        }
        // Each framing has its own loop, so that the framing is matched once per read and not once
        // per frame.
        let run = each!(protocol.framing, framing => {
            self.answer_in_place(&framing, bytes, scanned, most, protocol)
        });
        workspace.inbound.answer(run.bytes);
        budget.spend_frames(run.frames);
        (run.frames, run.stop)
    }

    /// Answers in place. The answers are one run of bytes from the front, of at most `most` frames;
    /// `most` is not 0.
    #[inline(always)]
    fn answer_in_place<D: Decode>(
        &mut self,
        decoder: &D,
        bytes: &mut [u8],
        scanned: usize,
        most: u64,
        protocol: &mut Protocol<S>,
    ) -> Run {
        let answering = InPlace {
            decoder,
            bytes,
            scanned,
            most,
        };
        let service = &mut protocol.service;
        service.visit_in_place(&mut self.service, answering)
    }

    /// The peer's stream has ended and every complete frame is answered. Nothing was owed when the
    /// end was read, so there is room for what the service holds back.
    fn finish(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) {
        if S::is_mid_message(&self.service) || !workspace.inbound.undecoded().is_empty() {
            self.end_inside_a_frame(workspace, protocol);
        }
        self.flush_held(workspace, protocol);
    }

    /// Answers what the service holds back of a message, because no more bytes arrive. Nothing may
    /// be owed.
    pub fn flush_held(&mut self, workspace: &mut Workspace<'_>, protocol: &mut Protocol<S>) {
        if protocol.framing.has_boundaries() {
            return;
        }
        let need = protocol.service.reply_max(0);
        let mut reply = Reply::new(workspace.outbound.space(need));
        protocol.service.end(&mut self.service, &mut reply);
        let filled = reply.filled();
        workspace.outbound.advance(filled);
    }
}

/// Bytes whose frames are answered in place.
struct InPlace<'a, D> {
    decoder: &'a D,
    bytes: &'a mut [u8],
    scanned: usize,
    most: u64,
}

impl<D: Decode> Visit for InPlace<'_, D> {
    type Outcome = Run;

    #[inline(always)]
    fn visit<S: Service>(self, service: &mut S, memory: &mut S::State) -> Run {
        let InPlace {
            decoder,
            bytes,
            mut scanned,
            most,
        } = self;
        let (mut frames, mut answered) = (0, 0);
        let stop = loop {
            let rest = &mut bytes[answered..];
            if rest.is_empty() {
                break Stop::Incomplete { scanned: 0 };
            }
            if most != u64::MAX && frames == most {
                break Stop::BudgetSpent;
            }
            match decoder.decode(rest, scanned) {
                Decoded::Frame(Bounds {
                    frame,
                    payload,
                    payload_end,
                }) => {
                    let request = Request {
                        payload: &mut rest[payload..payload_end],
                        whole: decoder.has_boundaries(),
                    };
                    let mut no_reply = Reply::new(&mut []);
                    let answer = service.serve(memory, request, &mut no_reply);
                    debug_assert!(
                        answer == Answer::InPlace
                            || answer == Answer::Nothing && service.is_silent(),
                        "there was no room for {answer:?}"
                    );
                    (answered, scanned) = (answered + frame, 0);
                    frames += 1;
                }
                Decoded::Incomplete { scanned } => break Stop::Incomplete { scanned },
                Decoded::Wrong(error) => break Stop::Wrong(error),
            }
        };
        Run {
            frames,
            bytes: answered,
            stop,
        }
    }
}

/// Frames that were answered in place, from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: usize,
    /// Why the run ended.
    pub stop: Stop,
}

impl Run {
    /// The numbers of frames and of bytes. Sets `stop` unless these are all `count` bytes.
    #[inline(always)]
    fn split(self, count: usize, stop: &mut Stop) -> (u64, usize) {
        if self.bytes < count {
            *stop = self.stop;
        }
        (self.frames, self.bytes)
    }
}

/// Why no more frames were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The next frame is incomplete; the decoder has scanned this many bytes of it.
    Incomplete {
        /// Bytes scanned so far.
        scanned: usize,
    },
    /// The answer has no room.
    NoRoom,
    /// The answer comes from an effect.
    Awaits,
    /// The budget is spent: other connections have their turn first.
    BudgetSpent,
    /// The bytes are not a frame.
    Wrong(FrameError),
    /// The answer fits no frame.
    Unanswerable(FrameError),
}
