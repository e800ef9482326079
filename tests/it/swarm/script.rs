//! What a peer sends and what it must receive: an oracle that shares no code with the server.
//!
//! A talk is bytes, the positions where messages end, and the answer to each. How far a connection
//! has come is not known here: the oracle computes the answer to any prefix of the bytes. If the
//! stream has no boundaries, the answer is computed from the bytes as a whole.

use std::ops::Range;

use mynah::protocol::framing::OnTooLong;

use crate::sim::Dice;

use super::http;
use super::shape::Shape;
use super::world::{Answering, Manner};

/// The end of a message, and the length of the answers up to it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    said: usize,
    answered: usize,
}

/// What one peer sends and must receive.
#[derive(Clone, Debug)]
pub struct Talk {
    pub bytes: Vec<u8>,
    answers: Vec<u8>,
    marks: Vec<Mark>,
    /// The ends of frames, answered or not.
    ends: Vec<usize>,
    /// The position at which the server knows that it must end the conversation.
    wrong: Option<usize>,
    raw: Option<Answering>,
    /// Some bytes of the answers are not known.
    has_gaps: bool,
    /// Bytes in front of the first message, which nothing answers.
    header: usize,
    /// Those of them that answer a challenge, which must come first.
    digest: Range<usize>,
}

impl Talk {
    /// Draws about `size` bytes in this manner, with an invalid frame at the end if it `lies`.
    pub fn draw(dice: &mut Dice, manner: &Manner, size: usize, lies: bool) -> Talk {
        let Manner {
            shape,
            limit,
            answering,
            on_too_long,
        } = *manner;
        let raw = shape.is_raw().then_some(answering);
        let (bytes, answers, marks) = (Vec::new(), Vec::new(), Vec::new());
        let mut talk = Talk {
            bytes,
            answers,
            marks,
            ends: Vec::new(),
            wrong: None,
            raw,
            has_gaps: matches!(answering, Answering::Http | Answering::Run),
            header: 0,
            digest: 0..0,
        };
        if answering == Answering::Http {
            talk.raw = None;
            talk.ask(dice, size, lies);
            return talk;
        }
        if shape.is_raw() {
            talk.bytes = text(dice, size);
            return talk;
        }
        if let Some(greeting) = answering.greeting() {
            talk.hear(&shape, limit, &[], greeting.as_bytes());
        }
        let longest = shape.payload_max(limit);
        let discards = on_too_long == OnTooLong::Discard;
        while talk.bytes.len() < size && talk.wrong.is_none() {
            if discards && dice.chance(0.1) {
                talk.bytes
                    .extend(shape.too_long(dice, limit).unwrap_or_default());
                talk.ends.push(talk.bytes.len());
            }
            let length = match dice.below(4) {
                0 => dice.below(4).min(longest),
                1 if dice.chance(0.2) => longest,
                _ => dice.below(longest.min(size).max(1) + 1).min(longest),
            };
            talk.say(dice, manner, length);
        }
        if let (true, None, Some((lie, goes_on))) = (lies, talk.wrong, shape.lie(dice, limit)) {
            talk.bytes.extend(lie);
            if goes_on && discards {
                talk.bytes.extend([b'y'; 50]);
            } else {
                talk.wrong = Some(talk.bytes.len());
                talk.bytes.extend(text(dice, 50));
            }
        }
        talk
    }

    /// Puts the header of a load balancer in front. It is a frame that has no answer.
    pub fn announce(&mut self, header: &[u8]) {
        let size = header.len();
        self.header += size;
        if !self.digest.is_empty() {
            self.digest = self.digest.start + size..self.digest.end + size;
        }
        self.bytes.splice(..0, header.iter().copied());
        self.marks.iter_mut().for_each(|mark| mark.said += size);
        self.ends.iter_mut().for_each(|end| *end += size);
        self.ends.insert(0, size);
        self.wrong = self.wrong.map(|wrong| wrong + size);
    }

    /// Puts a header in front that ends the conversation, at one of its bytes.
    pub fn announce_wrongly(&mut self, lie: &[u8]) {
        self.announce(lie);
        self.marks.clear();
        self.ends.clear();
        self.wrong = Some(1);
        self.raw = None;
    }

    /// Puts room for a digest in front, which ends the conversation if it is wrong.
    pub fn demand(&mut self, size: usize, is_wrong: bool) {
        self.announce(&vec![0; size]);
        self.digest = 0..size;
        if is_wrong {
            self.marks.clear();
            self.wrong = Some(size);
            self.raw = None;
        }
    }

    /// Where the digest begins; behind the bytes if there is none.
    pub fn digest_start(&self) -> usize {
        match self.digest.is_empty() {
            true => self.bytes.len(),
            false => self.digest.start,
        }
    }

    /// The challenge has come, and this is the digest.
    pub fn fill_digest(&mut self, digest: &[u8]) {
        self.bytes[self.digest.clone()].copy_from_slice(digest);
    }

    /// Whether the peer has shown after `said` bytes that it knows the key.
    pub fn is_authorised(&self, said: usize) -> bool {
        said >= self.digest.end && !self.is_wrong(self.digest.end)
    }

    /// About `size` bytes of HTTP requests.
    fn ask(&mut self, dice: &mut Dice, size: usize, lies: bool) {
        while self.bytes.len() < size && self.wrong.is_none() {
            self.exchange(http::exchange(dice));
        }
        if lies && self.wrong.is_none() {
            self.exchange(http::lie(dice));
            self.bytes.extend(text(dice, 50));
        }
    }

    fn exchange(&mut self, exchange: http::Exchange) {
        self.bytes.extend(exchange.request);
        self.ends.push(self.bytes.len());
        self.answers.extend(exchange.reply);
        self.mark();
        if exchange.is_last {
            self.wrong = Some(self.bytes.len());
        }
    }

    /// One frame and its answer.
    fn say(&mut self, dice: &mut Dice, manner: &Manner, length: usize) {
        let Manner {
            shape,
            limit,
            answering,
            ..
        } = manner;
        let word = answering
            .word(dice)
            .filter(|word| word.len() <= shape.payload_max(*limit));
        let payload = word.map_or_else(|| text(dice, length), |word| word.as_bytes().to_vec());
        let Some((request, payload)) = shape.request(dice, payload) else {
            return;
        };
        self.bytes.extend_from_slice(&request);
        self.ends.push(self.bytes.len());
        if answering.is_goodbye(&payload) {
            self.wrong = Some(self.bytes.len());
        } else if answering.is_greeting() {
            self.mark();
        } else if *answering == Answering::Run {
            let (reply, limit) = self.output(shape, *limit, answering.answer(&payload), &payload);
            self.hear(shape, limit, &request, &reply);
        } else {
            self.hear(shape, *limit, &request, &answering.answer(&payload));
        }
    }

    /// What `run` answers to the output of a command, and the limit that applies.
    fn output(
        &self,
        shape: &Shape,
        limit: usize,
        output: Vec<u8>,
        payload: &[u8],
    ) -> (Vec<u8>, usize) {
        let runs = [&b"echo hello world"[..], b"true", b"held"].contains(&payload);
        let result = " execute done, result is : \n".as_bytes();
        match (shape.tells_lengths(), runs) {
            (true, true) if output.is_empty() => ("执行成功".into(), limit),
            (true, _) => (output, limit),
            (false, true) => {
                let begin = [b"127.0.0.", &[http::ANY][..], b":", &[http::ANY; 5], result].concat();
                ([begin, output].concat(), usize::MAX)
            }
            (false, false) => (output, limit),
        }
    }

    /// An answer. If it fits no frame, it must end the conversation instead.
    fn hear(&mut self, shape: &Shape, limit: usize, request: &[u8], reply: &[u8]) {
        match shape.reply(request, reply, limit) {
            Some(reply) => {
                self.answers.extend(reply);
                self.mark();
            }
            None => self.wrong = Some(self.bytes.len()),
        }
    }

    fn mark(&mut self) {
        let (said, answered) = (self.bytes.len(), self.answers.len());
        self.marks.push(Mark { said, answered });
    }

    /// The expected answer when exactly the first `said` bytes have arrived.
    pub fn answer(&self, said: usize) -> Vec<u8> {
        if let Some(answering) = self.raw {
            return answering.answer(&self.bytes[self.header.min(said)..said]);
        }
        let whole = self.marks.partition_point(|mark| mark.said <= said);
        let end = whole
            .checked_sub(1)
            .map_or(0, |last| self.marks[last].answered);
        self.answers[..end].to_vec()
    }

    /// The start of the frame that is incomplete after the first `said` bytes, if there is one. A
    /// header is waited for from the start.
    pub fn under_way(&self, said: usize) -> Option<usize> {
        let whole = self.ends.partition_point(|end| *end <= said);
        let start = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
        let is_in_header = said < self.header;
        let is_under_way = self.raw.is_none() && start < said;
        (is_in_header || is_under_way).then_some(start)
    }

    /// Whether `heard` is a prefix of `answer`.
    pub fn begins(&self, answer: &[u8], heard: &[u8]) -> bool {
        if !self.has_gaps {
            return answer.starts_with(heard);
        }
        let same = |(a, b): (&u8, &u8)| a == b || *a == http::ANY;
        heard.len() <= answer.len() && answer.iter().zip(heard).all(same)
    }

    /// Whether `heard` is a prefix of the answer to some prefix of the first `said` bytes. Without
    /// message boundaries a drain may stop between any two bytes. Inside a character, the server
    /// gives out the bytes that it holds back, although the peer may have sent the rest.
    pub fn is_cut_off(&self, said: usize, heard: &[u8]) -> bool {
        self.raw.is_some() && (0..=said).any(|read| self.answer(read).starts_with(heard))
    }

    /// Bytes at the end of that answer that are sent only after the end of the stream, because they
    /// may be the beginning of a character.
    pub fn held_back(&self, said: usize) -> usize {
        if self.raw != Some(Answering::UpperUnicode) {
            return 0;
        }
        let last = self.bytes[self.header.min(said)..said].utf8_chunks().last();
        let tail = last.map_or(&[][..], |chunk| chunk.invalid());
        match std::str::from_utf8(tail) {
            Err(error) if error.error_len().is_none() => tail.len(),
            _ => 0,
        }
    }

    /// Whether the server must end the conversation after the first `said` bytes.
    pub fn is_wrong(&self, said: usize) -> bool {
        self.wrong.is_some_and(|wrong| wrong <= said)
    }
}

/// Letters that grow, shrink or stay in upper case, and bytes that are not text.
fn text(dice: &mut Dice, size: usize) -> Vec<u8> {
    const PIECES: [&[u8]; 8] = [
        b"a",
        b"Z",
        "ß".as_bytes(),
        "é".as_bytes(),
        "ΐ".as_bytes(),
        "€".as_bytes(),
        b"\xf0\x9f",
        b"\n",
    ];
    let mut bytes = Vec::with_capacity(size + 4);
    while bytes.len() < size {
        match dice.below(4) {
            0 => bytes.extend_from_slice(PIECES[dice.below(PIECES.len())]),
            _ => bytes.extend_from_slice(&dice.next().to_le_bytes()),
        }
    }
    bytes.truncate(size);
    bytes
}
