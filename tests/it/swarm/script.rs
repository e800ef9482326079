//! What a peer says, and what it must hear: an oracle that shares no code with the server.
//!
//! A talk is bytes with the places where messages end, and the answer to each. It refuses to know
//! how far a connection came; it is asked what the answer to a front part of the bytes is. Where
//! the stream has no boundary the answer is worked out from the bytes as a whole.

use mynah::framing::Framing;

use crate::sim::Dice;

use super::world::Answering;

/// A framing as the test understands it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// As the command line spells it.
    pub spec: &'static str,
    /// Where the length field is; a size of 0 means that there is none.
    pub offset: usize,
    pub size: usize,
    pub little: bool,
    pub signed: bool,
    /// What the field counts less than the bytes behind it.
    pub adjust: i64,
    /// Where the payload begins.
    pub header: usize,
}

const fn prefix(spec: &'static str, size: usize, little: bool, signed: bool) -> Shape {
    let (offset, adjust, header) = (0, 0, size);
    Shape {
        spec,
        offset,
        size,
        little,
        signed,
        adjust,
        header,
    }
}

const fn field(
    spec: &'static str,
    offset: usize,
    size: usize,
    adjust: i64,
    header: usize,
) -> Shape {
    let (little, signed) = (false, false);
    Shape {
        spec,
        offset,
        size,
        little,
        signed,
        adjust,
        header,
    }
}

/// What the worlds are drawn from.
pub const SHAPES: &[Shape] = &[
    prefix("raw", 0, false, false),
    prefix("u8", 1, false, false),
    prefix("u16be", 2, false, false),
    prefix("u16le", 2, true, false),
    prefix("u24be", 3, false, false),
    prefix("u32be", 4, false, false),
    prefix("u32le", 4, true, false),
    prefix("i32be", 4, false, true),
    prefix("u64be", 8, false, false),
    field("len:offset=2,size=2,adjust=-4,strip=4", 2, 2, -4, 4),
    field("len:offset=1,size=2,adjust=1,strip=4", 1, 2, 1, 4),
    field("len:offset=3,size=1,adjust=0,strip=0", 3, 1, 0, 4),
];

impl Shape {
    pub fn is_raw(&self) -> bool {
        self.size == 0
    }

    /// The largest number that the field can say.
    fn field_max(&self) -> i128 {
        (1i128 << (8 * self.size - usize::from(self.signed))) - 1
    }

    /// The field of a frame, when it can be said.
    fn field_of(&self, frame: usize) -> Option<i128> {
        let field = frame as i128 - (self.offset + self.size) as i128 - i128::from(self.adjust);
        (0..=self.field_max()).contains(&field).then_some(field)
    }

    fn put(&self, header: &mut [u8], field: i128) {
        let bytes = field.to_be_bytes();
        let place = &mut header[self.offset..self.offset + self.size];
        place.copy_from_slice(&bytes[16 - self.size..]);
        if self.little {
            place.reverse();
        }
    }

    /// The framing as the server has it.
    pub fn framing(&self, limit: usize) -> Framing {
        let framing = Framing::parse(self.spec).expect("a framing");
        framing.limited(limit).expect("a limit that admits a frame")
    }
}

/// A message's end, and the answers up to there.
#[derive(Clone, Copy, Debug)]
struct Mark {
    said: usize,
    answered: usize,
}

/// What one peer says and must hear.
#[derive(Clone, Debug)]
pub struct Talk {
    pub bytes: Vec<u8>,
    answers: Vec<u8>,
    marks: Vec<Mark>,
    /// Where the header of a frame ends that the server must refuse.
    wrong: Option<usize>,
    raw: Option<Answering>,
}

impl Talk {
    /// About `size` bytes in the manner of `shape`, frames being at most `limit` long; with a lie
    /// at the end when `lies`.
    pub fn draw(
        dice: &mut Dice,
        shape: &Shape,
        limit: usize,
        answering: Answering,
        size: usize,
        lies: bool,
    ) -> Talk {
        let raw = shape.is_raw().then_some(answering);
        let (bytes, answers, marks) = (Vec::new(), Vec::new(), Vec::new());
        let mut talk = Talk {
            bytes,
            answers,
            marks,
            wrong: None,
            raw,
        };
        if shape.is_raw() {
            talk.bytes = text(dice, size);
            return talk;
        }
        while talk.bytes.len() < size && talk.wrong.is_none() {
            let most = (limit - shape.header).min(size).max(1);
            let length = match dice.below(4) {
                0 => dice.below(4).min(limit - shape.header),
                1 if dice.chance(0.2) => limit - shape.header,
                _ => dice.below(most + 1).min(limit - shape.header),
            };
            talk.say(dice, shape, limit, answering, length);
        }
        if lies && talk.wrong.is_none() {
            let mut header: Vec<u8> = (0..shape.header).map(|_| dice.next() as u8).collect();
            let lie = match shape.signed {
                true => -1 - dice.below(1000) as i128,
                false => shape.field_max(),
            };
            shape.put(&mut header, lie);
            talk.bytes.extend(header);
            talk.wrong = Some(talk.bytes.len());
            talk.bytes.extend(text(dice, 50));
        }
        talk
    }

    /// One frame and its answer; too long an answer must end the conversation instead.
    fn say(
        &mut self,
        dice: &mut Dice,
        shape: &Shape,
        limit: usize,
        answering: Answering,
        length: usize,
    ) {
        let Some(said) = shape.field_of(shape.header + length) else {
            return;
        };
        let mut header: Vec<u8> = (0..shape.header).map(|_| dice.next() as u8).collect();
        shape.put(&mut header, said);
        let payload = text(dice, length);
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(&payload);
        let reply = answering.answer(&payload);
        let whole = header.len() + reply.len();
        match shape.field_of(whole).filter(|_| whole <= limit) {
            Some(field) => {
                shape.put(&mut header, field);
                self.answers.extend(header);
                self.answers.extend(reply);
                let (said, answered) = (self.bytes.len(), self.answers.len());
                self.marks.push(Mark { said, answered });
            }
            None => self.wrong = Some(self.bytes.len()),
        }
    }

    /// What must have been answered when the first `said` bytes and no more came.
    pub fn answer(&self, said: usize) -> Vec<u8> {
        if let Some(answering) = self.raw {
            return answering.answer(&self.bytes[..said]);
        }
        let whole = self.marks.partition_point(|mark| mark.said <= said);
        let end = whole
            .checked_sub(1)
            .map_or(0, |last| self.marks[last].answered);
        self.answers[..end].to_vec()
    }

    /// Bytes at the end of that answer which come only when the stream has ended, because they may
    /// be the beginning of a character.
    pub fn held_back(&self, said: usize) -> usize {
        if self.raw != Some(Answering::UpperUnicode) {
            return 0;
        }
        let last = self.bytes[..said].utf8_chunks().last();
        let tail = last.map_or(&[][..], |chunk| chunk.invalid());
        match std::str::from_utf8(tail) {
            Err(error) if error.error_len().is_none() => tail.len(),
            _ => 0,
        }
    }

    /// Whether the server must end the conversation when the first `said` bytes came.
    pub fn is_wrong(&self, said: usize) -> bool {
        self.wrong.is_some_and(|wrong| wrong <= said)
    }
}

/// Letters that grow, shrink or stay when they become upper case, and bytes that are no text.
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
