//! A request whose answer comes from the world: the machine stands still until the last of it is
//! heard.
//!
//! ```text
//!   Open --- a request that awaits ---> Awaiting --- the last news ---> Open
//! ```
//!
//! The request stays undecoded at the front, so that the answer can be framed after it, and nothing
//! behind it is looked at. Where a frame has no header, what is heard is owed at once, and its
//! trailer follows at the end. Where a length comes first the answer is *drafted*: it lies in
//! outbound, behind the space of its header, and nobody owes it before its length is known. There
//! is room for it all, because outbound is empty when the waiting begins.

use super::{Connection, Progress, Protocol, State, Workspace};
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

    /// How many of `most` bytes of output an answer has room for, where frames are short: a length
    /// field of two bytes, or a low limit; 0 if some answers have none. It is found out by trying,
    /// and so only at the start.
    pub fn output_max(&self, most: usize) -> usize {
        let Some(effects) = self.service.effects() else {
            return most;
        };
        let longest = effects.awaited_max();
        let mut space = vec![0; self.awaited_max()];
        let mut fits = |payload| self.framing.encode(&[], &mut space, payload).is_ok();
        if self.framing.overhead().front == 0 {
            return most;
        }
        // A length field may be unable to tell of short frames, too.
        match (fits(1), fits(longest)) {
            (false, _) => return 0,
            (true, true) => return most,
            (true, false) => {}
        }
        let (mut least, mut above) = (0, longest);
        while least + 1 < above {
            let middle = least + (above - least) / 2;
            match fits(middle) {
                true => least = middle,
                false => above = middle,
            }
        }
        // What is said beside the output needs its room too.
        least.saturating_sub(longest - most)
    }
}

impl<S: Service> Connection<S> {
    /// Whether it waits for news.
    #[inline]
    pub fn awaits(&self) -> bool {
        matches!(self.state, State::Awaiting)
    }

    /// What its service wants done.
    pub fn effect(&self, protocol: &Protocol<S>) -> Option<Effect> {
        let effects = protocol.service.effects().filter(|_| self.awaits())?;
        Some(effects.effect(&self.service))
    }

    /// Something is heard of what it waits for, on behalf of `peer`. `drafted` counts the bytes of
    /// the answer that is not owed yet: 0 at first, and kept from one call to the next.
    pub fn heard(
        &mut self,
        news: EffectEvent<'_>,
        peer: &str,
        drafted: &mut usize,
        workspace: &mut Workspace<'_>,
        protocol: &mut Protocol<S>,
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
            effects.heard(&mut self.service, peer, news, &mut reply);
        }
        // What is owed as it comes has no length, and at its end only the trailer is missing.
        let mut draft = reply.filled();
        if overhead.front == 0 {
            outbound.advance(std::mem::take(&mut draft));
        }
        if !news.is_last() {
            *drafted = draft;
            return Progress::default();
        }
        let request = inbound.undecoded();
        let frame = match protocol.framing.decode(request, 0) {
            Decoded::Frame(bounds) => bounds.frame,
            // It was a frame when it was served, and nothing was read since.
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
            Err(error) => self.fail(&error, None, workspace),
        }
        let behind = self.resume(workspace, protocol);
        Progress {
            frames: 1 + behind.frames,
            ..behind
        }
    }
}
