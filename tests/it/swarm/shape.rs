//! Framings as a peer understands them: how a request is framed, and how its reply must be framed.
//!
//! Written from the documentation of the options, without code of the server, except for the
//! spelling that makes the server's framing. The meaning of payloads is not known here. Invariant:
//! no payload contains bytes that would end its frame early.

use mynah::protocol::framing::Framing;

use crate::sim::Dice;

/// The position of a length field and what it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    offset: usize,
    size: usize,
    little: bool,
    signed: bool,
    /// By how much the field counts less than the bytes after it.
    adjust: i64,
    /// Where the payload begins.
    header: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Raw,
    Field(Field),
    /// Ends with LF or CR LF; a reply ends as its request did.
    Line,
    /// Ends with these bytes.
    Ended(&'static [u8]),
    Fixed(usize),
    /// A length of this many digits first.
    Digits(usize),
    Netstring,
}

/// A framing as the test understands it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The spelling on the command line.
    pub spec: &'static str,
    pub form: Form,
}

const fn plain(spec: &'static str, form: Form) -> Shape {
    Shape { spec, form }
}

const fn prefix(spec: &'static str, size: usize, little: bool, signed: bool) -> Shape {
    let (offset, adjust, header) = (0, 0, size);
    let field = Field {
        offset,
        size,
        little,
        signed,
        adjust,
        header,
    };
    plain(spec, Form::Field(field))
}

const fn field(
    spec: &'static str,
    offset: usize,
    size: usize,
    adjust: i64,
    header: usize,
) -> Shape {
    let (little, signed) = (false, false);
    let field = Field {
        offset,
        size,
        little,
        signed,
        adjust,
        header,
    };
    plain(spec, Form::Field(field))
}

/// The framings that worlds are drawn from.
pub const SHAPES: &[Shape] = &[
    plain("raw", Form::Raw),
    prefix("u8", 1, false, false),
    prefix("u16be", 2, false, false),
    prefix("u16le", 2, true, false),
    prefix("u24be", 3, false, false),
    prefix("u32be", 4, false, false),
    prefix("u32le", 4, true, false),
    prefix("i32be", 4, false, true),
    // Fields of eight bytes are signed.
    prefix("u64be", 8, false, true),
    field("len:offset=2,size=2,adjust=-4,strip=4", 2, 2, -4, 4),
    field("len:offset=1,size=2,adjust=1,strip=4", 1, 2, 1, 4),
    field("len:offset=3,size=1,adjust=0,strip=0", 3, 1, 0, 4),
    plain("line", Form::Line),
    plain("delim:2d2d3e", Form::Ended(b"-->")),
    plain("delim:2d2d2d2d2d2d2d2d2d3e", Form::Ended(b"--------->")),
    plain("fixed:7", Form::Fixed(7)),
    plain("ascii:1", Form::Digits(1)),
    plain("ascii:8", Form::Digits(8)),
    plain("netstring", Form::Netstring),
];

impl Field {
    /// The largest value of the field.
    fn most(&self) -> i128 {
        (1i128 << (8 * self.size - usize::from(self.signed))) - 1
    }

    /// The value of the field for a frame of this size, if it has one.
    fn of(&self, frame: usize) -> Option<i128> {
        let said = frame as i128 - (self.offset + self.size) as i128 - i128::from(self.adjust);
        (0..=self.most()).contains(&said).then_some(said)
    }

    fn put(&self, header: &mut [u8], said: i128) {
        let bytes = said.to_be_bytes();
        let place = &mut header[self.offset..self.offset + self.size];
        place.copy_from_slice(&bytes[16 - self.size..]);
        if self.little {
            place.reverse();
        }
    }

    fn frame(&self, header: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
        let mut frame = [&header[..self.header], payload].concat();
        let said = self.of(frame.len())?;
        self.put(&mut frame, said);
        Some(frame)
    }
}

impl Shape {
    pub fn is_raw(&self) -> bool {
        self.form == Form::Raw
    }

    /// A framing whose frames hold all that `run` answers in these worlds, if the limit allows it.
    pub fn draw_roomy(dice: &mut Dice) -> Shape {
        loop {
            let shape = SHAPES[dice.below(SHAPES.len())];
            let small = match shape.form {
                Form::Raw | Form::Fixed(_) => true,
                Form::Field(field) => field.size == 1,
                Form::Digits(digits) => digits == 1,
                Form::Line | Form::Ended(_) | Form::Netstring => false,
            };
            if !small {
                return shape;
            }
        }
    }

    /// Whether frames begin with a length.
    pub fn tells_lengths(&self) -> bool {
        matches!(
            self.form,
            Form::Field(_) | Form::Digits(_) | Form::Netstring
        )
    }

    /// The same framing in the server.
    pub fn framing(&self, limit: usize) -> Framing {
        let framing = Framing::parse(self.spec).expect("a framing");
        framing.limited(limit).expect("a limit that admits a frame")
    }

    /// The smallest limit that admits a frame.
    pub fn limit_min(&self) -> usize {
        match self.form {
            Form::Field(field) => field.header,
            Form::Fixed(size) => size,
            _ => 1,
        }
    }

    /// The longest payload, which may also be the shortest.
    pub fn payload_max(&self, limit: usize) -> usize {
        match self.form {
            Form::Field(field) => limit - field.header,
            Form::Fixed(size) => size,
            Form::Digits(digits) => limit.min(10_usize.pow(digits as u32) - 1),
            _ => limit,
        }
    }

    /// A request and its payload; `None` if the field cannot express the length.
    pub fn request(&self, dice: &mut Dice, mut payload: Vec<u8>) -> Option<(Vec<u8>, Vec<u8>)> {
        self.clean(&mut payload);
        let frame = match self.form {
            Form::Field(field) => {
                let header: Vec<u8> = (0..field.header).map(|_| dice.next() as u8).collect();
                field.frame(&header, &payload)?
            }
            Form::Line => {
                let end: &[u8] = [b"\n" as &[u8], b"\r\n"][dice.below(2)];
                [&payload, end].concat()
            }
            _ => self.reply(&[], &payload, usize::MAX)?,
        };
        Some((frame, payload))
    }

    /// The frame that answers `request`; `None` if there can be none, which ends the conversation.
    pub fn reply(&self, request: &[u8], payload: &[u8], limit: usize) -> Option<Vec<u8>> {
        let length = payload.len();
        let counts_payload = !matches!(self.form, Form::Raw | Form::Field(_) | Form::Fixed(_));
        if counts_payload && length > limit {
            return None;
        }
        Some(match self.form {
            Form::Raw => payload.to_vec(),
            Form::Field(field) => {
                let header = [request, &[0; 16]].concat();
                field
                    .frame(&header, payload)
                    .filter(|frame| frame.len() <= limit)?
            }
            Form::Line if request.ends_with(b"\r\n") => [payload, b"\r\n"].concat(),
            Form::Line => [payload, b"\n"].concat(),
            Form::Ended(end) => [payload, end].concat(),
            Form::Fixed(size) if length != size => return None,
            Form::Fixed(_) => payload.to_vec(),
            Form::Digits(digits) if length >= 10_usize.pow(digits as u32) => return None,
            Form::Digits(digits) => [format!("{length:0digits$}").as_bytes(), payload].concat(),
            Form::Netstring => [format!("{length}:").as_bytes(), payload, b","].concat(),
        })
    }

    /// A complete frame over the limit; `None` if there can be none.
    pub fn too_long(&self, dice: &mut Dice, limit: usize) -> Option<Vec<u8>> {
        let length = limit + 1 + dice.below(100);
        match self.form {
            Form::Raw | Form::Fixed(_) => None,
            _ => Some(self.request(dice, vec![b'y'; length])?.0),
        }
    }

    /// An invalid frame, and whether only its length makes it invalid; `None` if every byte is part
    /// of a valid frame.
    pub fn lie(&self, dice: &mut Dice, limit: usize) -> Option<(Vec<u8>, bool)> {
        match self.form {
            Form::Raw | Form::Fixed(_) => None,
            // The field is too small to express more than the limit.
            Form::Field(field) if !field.signed && field.of(limit + 1).is_none() => None,
            Form::Field(field) => {
                let mut header: Vec<u8> = (0..field.header).map(|_| dice.next() as u8).collect();
                let said = match field.signed {
                    true => -1 - dice.below(1000) as i128,
                    false => field.most(),
                };
                field.put(&mut header, said);
                Some((header, !field.signed))
            }
            Form::Line | Form::Ended(_) => Some((vec![b'y'; limit + 1], true)),
            Form::Digits(_) | Form::Netstring => Some((b"x".to_vec(), false)),
        }
    }

    /// Removes from a payload the bytes that would end its frame or change its length.
    fn clean(&self, payload: &mut Vec<u8>) {
        let replace = |payload: &mut Vec<u8>, wrong: &[u8]| {
            let wrong = payload.iter_mut().filter(|byte| wrong.contains(byte));
            wrong.for_each(|byte| *byte = b'x');
        };
        match self.form {
            Form::Line => replace(payload, b"\r\n"),
            Form::Ended(end) => replace(payload, &end[..1]),
            Form::Fixed(size) => payload.resize(size, b'x'),
            _ => {}
        }
    }
}
