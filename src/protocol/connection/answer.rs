//! Decodes requests and answers them: from bytes that arrived to bytes that are owed.
//!
//! Complete frames are decoded and served. Answers leave in the order of their requests: an answer
//! stays in place if the service answers in place and no older answer waits in outbound; otherwise
//! it goes to outbound. Answering stops when the next frame is incomplete or wrong, when its answer
//! has no room, or when the budget of this turn is spent. Neighbours: `framing` decodes, `service`
//! answers.

use super::{Budget, CloseReason, Connection, Discarded, Progress, Protocol, State, Workspace};
use crate::limits::FRAMES_PER_EVENT;
use crate::protocol::framing::{
    Bounds, Decode, Decoded, FrameError, Framing, Hint, LengthField, each,
};
use crate::protocol::service::{Answer, Reply, Request, Service};

impl<S: Service> Connection<S> {
    /// Answers the bytes that a connection at rest has just read, without a workspace: usually all
    /// of them, and at most [`FRAMES_PER_EVENT`] frames. Returns what `then` makes of the number of
    /// frames, their bytes, and why no more were answered. Only for a service that answers
    /// everything in place.
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
        // Each framing has its own loop, so that the framing is matched once per read and not once
        // per frame.
        let progress = each!(protocol.framing, framing => {
            self.answer_by(&framing, workspace, protocol, budget)
        });
        self.compact(workspace);
        progress
    }

    /// Makes room for the next read.
    fn compact(&self, workspace: &mut Workspace<'_>) {
        // While replies wait to be written, or frames for their turn, nothing is read. To compact
        // now would move the same bytes again and again.
        if workspace.outbound.is_empty() && !self.yields() {
            workspace.inbound.compact();
        }
    }

    fn answer_by<D: Decode>(
        &mut self,
        decoder: &D,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        if matches!(self.state, State::Discarding { .. }) {
            self.skip(workspace, protocol);
        }
        let most = budget.frames();
        match self.state {
            State::Open | State::HalfClosed(_) => {}
            State::Yielding if most > 0 => self.state = State::Open,
            _ => return Progress::default(),
        }
        let (frames, stop) = if !protocol.service.in_place(&self.service) {
            self.answer_with_replies(decoder, workspace, protocol, budget)
        } else if most > 0 {
            let scanned = workspace.inbound.scanned();
            let bytes = workspace.inbound.undecoded();
            let run = self.answer_in_place(decoder, bytes, scanned, most, protocol);
            workspace.inbound.answer(run.bytes);
            budget.spend_frames(run.frames);
            (run.frames, run.stop)
        } else if workspace.inbound.undecoded().is_empty() {
            (0, Stop::Incomplete { scanned: 0 })
        } else {
            (0, Stop::BudgetSpent)
        };
        self.ended |= frames > 0;
        let discarded = match (stop, self.state) {
            (Stop::Incomplete { scanned }, State::Open) => {
                workspace.inbound.set_scanned(scanned);
                None
            }
            (stop, _) => self.stopped(stop, workspace, protocol, budget),
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
            Stop::Unanswerable(error) => self.fail(&error, None, workspace),
        }
        None
    }

    /// Answers in place. The answers are one run of bytes from the front, of at most `most` frames;
    /// `most` is not 0.
    #[inline(always)]
    fn answer_in_place<D: Decode>(
        &mut self,
        decoder: &D,
        bytes: &mut [u8],
        mut scanned: usize,
        most: u64,
        protocol: &mut Protocol<S>,
    ) -> Run {
        let whole = protocol.framing.has_boundaries();
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
                        whole,
                    };
                    let mut no_reply = Reply::new(&mut []);
                    let answer = protocol
                        .service
                        .serve(&mut self.service, request, &mut no_reply);
                    debug_assert_eq!(answer, Answer::InPlace, "there was no room for another");
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

    /// Answers frames one by one, because their answers may have any length.
    fn answer_with_replies<D: Decode>(
        &mut self,
        decoder: &D,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> (u64, Stop) {
        let mut frames = 0;
        loop {
            let scanned = workspace.inbound.scanned();
            let bytes = workspace.inbound.undecoded();
            let held = bytes.len();
            if held == 0 {
                return (frames, Stop::Incomplete { scanned: 0 });
            }
            if budget.frames() == 0 {
                return (frames, Stop::BudgetSpent);
            }
            let stop = match decoder.decode(bytes, scanned) {
                Decoded::Frame(bounds) => match self.serve(bounds, workspace, protocol) {
                    Ok(answered) => {
                        frames += u64::from(answered);
                        let left = workspace.inbound.undecoded().len();
                        budget.spend_work(held - left);
                        continue;
                    }
                    Err(stop) => stop,
                },
                Decoded::Incomplete { scanned } => Stop::Incomplete { scanned },
                Decoded::Wrong(error) => Stop::Wrong(error),
            };
            return (frames, stop);
        }
    }

    /// Passes one frame to the service and puts the answer where it goes out in order. Returns
    /// `true` if the frame was answered, and `false` if it was only a part of a request: a peer
    /// that sends the parts one by one is still at the same request.
    fn serve(
        &mut self,
        mut bounds: Bounds,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
    ) -> Result<bool, Stop> {
        let Workspace {
            inbound, outbound, ..
        } = workspace;
        let room = outbound.room();
        // Older answers in outbound leave first. An answer in place must not overtake them, so it
        // needs room behind them.
        let in_order = outbound.is_empty() && inbound.joins();
        let need_of = |frame: usize, payload: usize| match protocol.reply_max(payload) {
            reply if in_order => reply,
            reply => reply.max(frame),
        };
        let mut need = need_of(bounds.frame, bounds.payload_end - bounds.payload);
        if need > room {
            if protocol.framing.has_boundaries() {
                return Err(Stop::NoRoom);
            }
            // Without message boundaries, any leading part can be served as a message.
            while bounds.frame > 0 && need > room {
                bounds.frame /= 2;
                need = need_of(bounds.frame, bounds.frame);
            }
            if bounds.frame == 0 {
                return Err(Stop::NoRoom);
            }
            bounds.payload_end = bounds.frame;
        }
        let overhead = protocol.framing.overhead();
        let space = outbound.space(need);
        let mut reply = Reply::new(match need {
            0 => &mut [],
            _ => &mut space[overhead.front..need - overhead.back],
        });
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
            Answer::InPlace => {
                space[..bounds.frame].copy_from_slice(frame);
                outbound.advance(bounds.frame);
                inbound.consume(bounds.frame);
            }
            Answer::Nothing => inbound.consume(bounds.frame),
            Answer::Awaits => {
                debug_assert!(protocol.service.effects().is_some());
                return Err(Stop::Awaits);
            }
            Answer::Part(taken) => {
                debug_assert!(!protocol.framing.has_boundaries() && taken <= bounds.frame);
                outbound.advance(filled);
                if taken == 0 && bounds.frame < inbound.undecoded().len() {
                    // The service got only a part, for want of room.
                    return Err(Stop::NoRoom);
                } else if taken == 0 {
                    return Err(Stop::Incomplete { scanned: 0 });
                }
                inbound.consume(taken);
                return Ok(filled > 0);
            }
            Answer::Written | Answer::Goodbye | Answer::Refused(_) => {
                // A goodbye may be empty: then nothing is sent, not even an empty frame.
                if filled > 0 || answer == Answer::Written {
                    match protocol.framing.encode(frame, space, filled) {
                        Ok(encoded) => outbound.advance(encoded),
                        Err(error) => return Err(Stop::Unanswerable(error)),
                    }
                }
                // Only the first line of a request can show another protocol.
                let begins =
                    matches!(answer, Answer::Refused(_)) && !S::is_mid_message(&self.service);
                let hint = match begins {
                    true => Hint::beside_http(frame),
                    false => None,
                };
                inbound.consume(bounds.frame);
                match answer {
                    Answer::Goodbye => self.leave(CloseReason::Goodbye.into(), workspace),
                    Answer::Refused(why) => self.fail(&FrameError::Refused(why), hint, workspace),
                    _ => {}
                }
            }
        }
        Ok(true)
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
