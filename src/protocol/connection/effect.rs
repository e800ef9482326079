//! A request whose answer comes from an effect: the connection reads nothing more until the effect
//! has reported its end.
//!
//! ```text
//!   Open --- a request that awaits ---> Awaiting --- the last event --> Open
//! ```
//!
//! The request stays undecoded at the front, so that the answer can be framed after it. Nothing
//! behind the request is decoded. In a framing without a header, the output of the effect is owed
//! at once, and the trailer follows at the end. In a framing with a length field the answer is
//! *drafted*: it lies in outbound behind the space of its header, and is not owed before its length
//! is known. Outbound is empty when the waiting begins, so there is room for the whole answer.

use super::{Budget, Connection, Progress, Protocol, State, Workspace};
use crate::protocol::framing::Decoded;
use crate::protocol::service::{Effect, EffectEvent, Reply, Service};

impl<S: Service> Protocol<S> {
    /// Outbound bytes that an awaited answer may take in all, header and trailer included.
    pub fn awaited_max(&self) -> usize {
        self.service.effects().map_or(0, |effects| {
            let overhead = self.framing.overhead();
            let awaited = effects.awaited_max();
            awaited.saturating_add(overhead.front + overhead.back)
        })
    }

    /// How many of `most` bytes of output fit into every answer, in a framing that allows only
    /// short frames: a length field of two bytes, or a low limit. 0 if some answers fit no frame.
    pub fn output_size_max(&self, most: usize) -> usize {
        let Some(effects) = self.service.effects() else {
            return most;
        };
        // Output without a length before it is not one frame.
        if self.framing.overhead().front == 0 {
            return most;
        }
        let sizes = self.framing.payload_sizes();
        // The shortest output has one byte.
        if *sizes.start() > 1 {
            return 0;
        }
        effects.output_size_max(most, *sizes.end())
    }
}

impl<S: Service> Connection<S> {
    /// Whether the connection waits for an effect.
    #[inline]
    pub fn awaits(&self) -> bool {
        matches!(self.state, State::Awaiting)
    }

    /// The effect that the service wants.
    pub fn effect(&self, protocol: &Protocol<S>) -> Option<Effect> {
        let effects = protocol.service.effects().filter(|_| self.awaits())?;
        Some(effects.effect(&self.service))
    }

    /// Takes one event of the effect, for `peer`. `drafted` counts the bytes of the answer that are
    /// not owed yet: 0 at first; the caller keeps the value from one call to the next.
    pub fn take_event(
        &mut self,
        event: EffectEvent<'_>,
        peer: &str,
        drafted: &mut usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
        budget: &mut Budget,
    ) -> Progress {
        debug_assert!(self.awaits());
        let Workspace {
            inbound, outbound, ..
        } = workspace;
        let overhead = protocol.framing.overhead();
        let room = outbound.room();
        let space = outbound.space(room);
        let mut reply = Reply::resume(&mut space[overhead.front..room - overhead.back], *drafted);
        if let Some(effects) = protocol.service.effects() {
            effects.take_event(&mut self.service, peer, event, &mut reply);
        }
        // Without a length field the output is owed at once; at the end only the trailer is
        // missing.
        let mut draft = reply.filled();
        if overhead.front == 0 {
            outbound.advance(std::mem::take(&mut draft));
        }
        if !event.is_last() {
            *drafted = draft;
            return Progress::default();
        }
        let request = inbound.undecoded();
        let frame = match protocol.framing.decode(request, 0) {
            Decoded::Frame(bounds) => bounds.frame,
            // The request was a complete frame when it was served, and nothing was read since.
            _ => request.len(),
        };
        let room = outbound.room();
        let space = outbound.space(room);
        let encoded = protocol.framing.encode(&request[..frame], space, draft);
        inbound.consume(frame);
        self.ended = true;
        self.state = State::Open;
        match encoded {
            Ok(encoded) => outbound.advance(encoded),
            Err(error) => self.state.fail(&error, None, workspace),
        }
        let behind = self.resume(workspace, protocol, budget);
        Progress {
            frames: 1 + behind.frames,
            ..behind
        }
    }
}
