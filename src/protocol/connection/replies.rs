//! Answers frames one by one, because their answers may have any length.
//!
//! An answer stays in place if the service answers in place and no older answer waits in outbound;
//! otherwise it goes to outbound. A frame is served only if there is room for its longest answer.
//!
//! This is the part of answering that asks the service about every frame. It is compiled for each
//! service, so that an enum of services is matched once per read and not once per question. The
//! framing is matched once per frame. Neighbours: `answer` calls this, `framing` decodes and
//! encodes, `service` answers.

use super::{Budget, CloseReason, State, Stop, Workspace, reply_max};
use crate::protocol::framing::{Bounds, Decoded, FrameError, Framing, Hint};
use crate::protocol::service::{Answer, Reply, Request, Service, Visit};

/// The bytes of a connection, on their way to its service.
pub(super) struct Answering<'a, 'b> {
    pub(super) workspace: &'a mut Workspace<'b>,
    pub(super) framing: &'a Framing,
    pub(super) state: &'a mut State,
    pub(super) budget: &'a mut Budget,
}

impl Visit for Answering<'_, '_> {
    /// How many frames were answered, and why no more.
    type Outcome = (u64, Stop);

    fn visit<S: Service>(mut self, service: &mut S, memory: &mut S::State) -> (u64, Stop) {
        let mut frames = 0;
        loop {
            let scanned = self.workspace.inbound.scanned();
            let bytes = self.workspace.inbound.undecoded();
            let held = bytes.len();
            if held == 0 {
                return (frames, Stop::Incomplete { scanned: 0 });
            }
            if self.budget.frames() == 0 {
                return (frames, Stop::BudgetSpent);
            }
            let stop = match self.framing.decode(bytes, scanned) {
                Decoded::Frame(bounds) => match self.serve(bounds, service, memory) {
                    Ok(answered) => {
                        frames += u64::from(answered);
                        let left = self.workspace.inbound.undecoded().len();
                        self.budget.spend_work(held - left);
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
}

impl Answering<'_, '_> {
    /// Passes one frame to the service and puts the answer where it goes out in order. Returns
    /// `true` if the frame was answered, and `false` if it was only a part of a request: a peer
    /// that sends the parts one by one is still at the same request.
    #[inline]
    fn serve<S: Service>(
        &mut self,
        mut bounds: Bounds,
        service: &mut S,
        memory: &mut S::State,
    ) -> Result<bool, Stop> {
        let Answering {
            workspace,
            framing,
            state,
            ..
        } = self;
        let Workspace { inbound, outbound } = &mut **workspace;
        let room = outbound.room();
        // Older answers in outbound leave first. An answer in place must not overtake them, so it
        // needs room behind them.
        let in_order = outbound.is_empty() && inbound.joins();
        let need_of = |frame: usize, payload: usize| match reply_max(service, framing, payload) {
            reply if in_order => reply,
            reply => reply.max(frame),
        };
        let mut need = need_of(bounds.frame, bounds.payload_end - bounds.payload);
        if need > room {
            if framing.has_boundaries() {
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
        let overhead = framing.overhead();
        let space = outbound.space(need);
        let mut reply = Reply::new(match need {
            0 => &mut [],
            _ => &mut space[overhead.front..need - overhead.back],
        });
        let frame = &mut inbound.undecoded()[..bounds.frame];
        let request = Request {
            payload: &mut frame[bounds.payload..bounds.payload_end],
            whole: framing.has_boundaries(),
        };
        let answer = service.serve(memory, request, &mut reply);
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
                debug_assert!(service.effects().is_some());
                return Err(Stop::Awaits);
            }
            Answer::Corrupted(why) => return Err(Stop::Wrong(FrameError::Corrupted(why))),
            Answer::Part(taken) => {
                debug_assert!(!framing.has_boundaries() && taken <= bounds.frame);
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
                    match framing.encode(frame, space, filled) {
                        Ok(encoded) => outbound.advance(encoded),
                        Err(error) => return Err(Stop::Unanswerable(error)),
                    }
                }
                // Only the first line of a request can show another protocol.
                let begins = matches!(answer, Answer::Refused(_)) && !S::is_mid_message(memory);
                let hint = match begins {
                    true => Hint::beside_http(frame),
                    false => None,
                };
                inbound.consume(bounds.frame);
                match answer {
                    Answer::Goodbye => state.leave(CloseReason::Goodbye.into(), workspace),
                    Answer::Refused(why) => state.fail(&FrameError::Refused(why), hint, workspace),
                    _ => {}
                }
            }
        }
        Ok(true)
    }
}
