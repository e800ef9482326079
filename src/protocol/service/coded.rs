//! A service behind a codec: requests are decoded before it, and its answers are encoded.
//!
//! ```text
//!   framing --- aGVsbG8= ---> decode --- hello ---> service
//!           <-- SEVMTE8= ---  encode <-- HELLO ---
//! ```
//!
//! A request is decoded where it lies. An answer in place is encoded there again, and has the
//! length of its request. A request whose answer comes later is encoded again too, because the
//! connection still needs its bounds. The output of an effect comes in pieces: up to two bytes of
//! it are held back until the others of their group are there. Neighbours: `codec` has the
//! encoding, `any` the service behind it.

use super::{
    Answer, AnyService, AnyState, Clock, Effect, EffectEvent, Effects, Greeting, Reply, Request,
    Screen, Service,
};
use crate::protocol::codec::base64::{
    BYTES_PER_GROUP, decode, decoded_size_max, encode, encoded_size,
};

/// Any service behind base64.
#[derive(Clone, Debug)]
pub struct Coded {
    inner: Box<AnyService>,
}

/// The bytes of an answer whose group is not complete.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    bytes: [u8; BYTES_PER_GROUP - 1],
    count: u8,
}

impl Held {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.count)]
    }

    fn of(bytes: &[u8]) -> Held {
        let mut held = Held::default();
        held.bytes[..bytes.len()].copy_from_slice(bytes);
        held.count = bytes.len() as u8;
        held
    }
}

impl Coded {
    /// Puts base64 in front of `inner`, which must get whole messages.
    pub fn new(inner: AnyService) -> Coded {
        Coded {
            inner: Box::new(inner),
        }
    }
}

impl Reply<'_> {
    /// Encodes what was added behind the first `start` bytes, apart from the last `held`, which are
    /// taken back.
    fn encode_behind(&mut self, start: usize, held: usize) {
        let count = self.filled - start - held;
        self.filled = start + encode(&mut self.space[start..], count);
    }
}

impl Service for Coded {
    type State = AnyState;

    fn open(&self) -> AnyState {
        self.inner.open()
    }

    fn greeting(&self) -> Option<&dyn Greeting<AnyState>> {
        self.inner.greeting().map(|_| self as &dyn Greeting<_>)
    }

    fn clock(&mut self) -> Option<&mut dyn Clock> {
        self.inner.clock()
    }

    fn effects(&self) -> Option<&dyn Effects<AnyState>> {
        self.inner.effects().map(|_| self as &dyn Effects<_>)
    }

    fn screen(&self) -> Option<&dyn Screen<AnyState>> {
        Service::screen(&*self.inner)
    }

    fn reply_max(&self, payload: usize) -> usize {
        encoded_size(self.inner.reply_max(decoded_size_max(payload)))
    }

    fn memory_max(&self) -> usize {
        self.inner.memory_max()
    }

    fn memory(state: &AnyState) -> Option<u8> {
        AnyService::memory(state)
    }

    fn recall(&self, memory: u8) -> AnyState {
        self.inner.recall(memory)
    }

    fn serve(
        &mut self,
        state: &mut AnyState,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer {
        debug_assert!(request.whole, "a codec needs whole messages");
        let space = request.payload;
        let count = match decode(space) {
            Ok(count) => count,
            Err(why) => return Answer::Corrupted(why),
        };
        let request = Request {
            payload: &mut space[..count],
            whole: true,
        };
        let start = reply.filled();
        let answer = self.inner.serve(state, request, reply);
        match answer {
            Answer::InPlace | Answer::Awaits => _ = encode(space, count),
            _ => reply.encode_behind(start, 0),
        }
        answer
    }
}

impl Greeting<AnyState> for Coded {
    fn size(&self) -> usize {
        encoded_size(self.inner.greeting().map_or(0, |greeting| greeting.size()))
    }

    fn greet(&self, state: &mut AnyState, reply: &mut Reply<'_>) {
        let start = reply.filled();
        if let Some(greeting) = self.inner.greeting() {
            greeting.greet(state, reply);
        }
        reply.encode_behind(start, 0);
    }
}

impl Effects<AnyState> for Coded {
    fn commands(&self) -> &[String] {
        self.inner
            .effects()
            .map_or(&[], |effects| effects.commands())
    }

    fn effect(&self, state: &AnyState) -> Effect {
        Effects::effect(&*self.inner, state)
    }

    fn awaited_max(&self) -> usize {
        encoded_size(Effects::awaited_max(&*self.inner))
    }

    fn output_size_max(&self, most: usize, payload_max: usize) -> usize {
        Effects::output_size_max(&*self.inner, most, decoded_size_max(payload_max))
    }

    fn take_event(
        &self,
        state: &mut AnyState,
        peer: &str,
        event: EffectEvent<'_>,
        reply: &mut Reply<'_>,
    ) {
        let start = reply.filled();
        if let AnyState::Running(running) = state {
            reply.push(running.held.bytes());
        }
        Effects::take_event(&*self.inner, state, peer, event, reply);
        let held = match event.is_last() {
            true => 0,
            false => (reply.filled - start) % BYTES_PER_GROUP,
        };
        if let AnyState::Running(running) = state {
            running.held = Held::of(&reply.space[reply.filled - held..reply.filled]);
        }
        reply.encode_behind(start, held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::service::{Discard, Echo, PrefixedEcho, Robot, Run, Upper};

    /// The answer to `payload`, and what lies in place of the request after it.
    fn ask(service: impl Into<AnyService>, payload: &[u8]) -> (Answer, Vec<u8>, Vec<u8>) {
        let mut coded = Coded::new(service.into());
        let (mut state, mut payload) = (coded.open(), payload.to_vec());
        let mut space = vec![0; coded.reply_max(payload.len())];
        let mut reply = Reply::new(&mut space);
        let request = Request {
            payload: &mut payload,
            whole: true,
        };
        let answer = coded.serve(&mut state, request, &mut reply);
        let filled = reply.filled();
        space.truncate(filled);
        (answer, space, payload)
    }

    #[test]
    fn an_answer_in_place_is_encoded_in_place_and_needs_no_room() {
        let nothing = Vec::new();
        let echo = (Answer::InPlace, nothing.clone(), b"Zm9vYg==".to_vec());
        assert_eq!(ask(Echo, b"Zm9vYg=="), echo);
        let upper = (Answer::InPlace, nothing, b"Rk9PQg==".to_vec());
        assert_eq!(ask(Upper, b"Zm9vYg=="), upper);
        assert_eq!(Coded::new(Upper.into()).reply_max(1 << 20), 0);
    }

    #[test]
    fn a_written_answer_is_encoded_in_the_room_that_was_promised() {
        let prefixed = PrefixedEcho::new("ab");
        for (size, text) in [(0, "YWI="), (1, "YWJ4"), (2, "YWJ4eA=="), (3, "YWJ4eHg=")] {
            let mut request = vec![b'x'; encoded_size(size)];
            encode(&mut request, size);
            let (answer, reply, _) = ask(prefixed.clone(), &request);
            assert_eq!((answer, reply), (Answer::Written, text.into()), "{size}");
        }
        assert_eq!(ask(Discard, b"Zm9v").0, Answer::Nothing);
        assert_eq!(ask(Robot, b"ZXhpdA==").0, Answer::Goodbye);
    }

    #[test]
    fn what_is_no_encoding_is_corrupted_and_stays_as_it_was() {
        for payload in ["Zh==", "GET / HT", "Zm9v\r"] {
            let (answer, reply, left) = ask(PrefixedEcho::new("ab"), payload.as_bytes());
            assert!(matches!(answer, Answer::Corrupted(_)), "{answer:?}");
            assert_eq!((reply, left), (Vec::new(), payload.into()));
        }
    }

    #[test]
    fn a_request_whose_answer_comes_later_stays_as_it_was() {
        let run = Run::new(vec!["a b".to_owned()], false);
        let (answer, _, left) = ask(run, b"YSBi");
        assert_eq!((answer, left), (Answer::Awaits, b"YSBi".to_vec()));
    }

    #[test]
    fn output_in_pieces_has_one_encoding() {
        let said = b"some output\nof a command";
        let whole = |count: usize| {
            let mut space = said[..count].to_vec();
            space.resize(encoded_size(count), 0);
            encode(&mut space, count);
            space
        };
        let coded = Coded::new(Run::new(Vec::new(), false).into());
        for (end, first) in (1..said.len()).flat_map(|end| (1..end).map(move |at| (end, at))) {
            for second in first + 1..end {
                let mut state = coded.open();
                // Exactly the room that this answer needs.
                let mut space = vec![0; encoded_size(end)];
                let mut filled = 0;
                let pieces = [&said[..first], &said[first..second], &said[second..end]];
                let outputs = pieces.map(EffectEvent::Output);
                for event in outputs.into_iter().chain([EffectEvent::Ended]) {
                    let mut reply = Reply::resume(&mut space, filled);
                    coded.take_event(&mut state, "", event, &mut reply);
                    filled = reply.filled();
                }
                assert_eq!(space[..filled], whole(end), "{first} {second} {end}");
            }
        }
    }

    #[test]
    fn the_output_that_fits_a_frame_is_counted_before_it_is_encoded() {
        let coded = Coded::new(Run::new(Vec::new(), false).into());
        let most = 64 << 10;
        let beside = Effects::awaited_max(&*coded.inner) - most;
        for (output, payload_max) in [
            (0, encoded_size(beside)),
            (1, encoded_size(beside + 1)),
            (most - 1, encoded_size(beside + most - 1)),
            (most, encoded_size(beside + most)),
            (most, usize::MAX),
        ] {
            let fits = coded.output_size_max(most, payload_max);
            assert!(fits <= most && fits >= output, "{output}: {fits}");
            assert!(encoded_size(beside + fits) <= payload_max || fits == 0);
        }
    }
}
