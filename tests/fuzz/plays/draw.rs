//! Draws parameters from the front of a fuzz input; the rest of the input is the stream.
//!
//! An input that is too short yields zeros. So every input is valid and none is rejected.

use mynah::protocol::framing::Framing;

/// The remaining input.
pub struct Draw<'a>(pub &'a [u8]);

impl<'a> Draw<'a> {
    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `end`, which must be in 1..=256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// The next `count` bytes, or all that are left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// Whether the input is used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Any framing with a small size limit, and that limit.
    pub fn framing(&mut self) -> (Framing, usize) {
        loop {
            let spec = self.spec();
            // Most limits are small, so that frames fall on both sides of them.
            let limit = match self.byte() {
                byte @ ..240 => 1 + usize::from(byte) % 70,
                byte => 70 << (byte - 240),
            };
            let framing = Framing::parse(&spec).and_then(|framing| framing.limited(limit));
            match framing {
                Ok(framing) => return (framing, limit),
                // No bytes are left to draw another framing.
                Err(_) if self.is_empty() => {
                    let raw = Framing::parse("raw").expect("it takes nothing");
                    return (raw, limit);
                }
                Err(line) => assert!(!line.is_empty() && !line.contains('\n'), "{spec}: {line:?}"),
            }
        }
    }

    fn spec(&mut self) -> String {
        const PLAIN: [&str; 14] = [
            "raw",
            "line",
            "netstring",
            "u8",
            "u16be",
            "u16le",
            "u24be",
            "u24le",
            "u32be",
            "u32le",
            "u64be",
            "u64le",
            "i32be",
            "i32le",
        ];
        match self.below(PLAIN.len() + 4) {
            0 => {
                let (offset, size) = (self.below(40), [1, 2, 3, 4, 8][self.below(5)]);
                let order = ["be", "le"][self.below(2)];
                let (adjust, strip) = (self.byte() as i8, self.below(60));
                format!(
                    "len:offset={offset},size={size},order={order},adjust={adjust},strip={strip}"
                )
            }
            1 => {
                // Repeats the remaining bytes to the drawn length. A long delimiter then contains
                // itself shifted, which is the hard case of the search.
                let byte = usize::from(self.byte());
                let (count, times) = (1 + byte % 8, 1 + byte / 8 % 8);
                let digits = self.bytes(count).iter().map(|byte| format!("{byte:02x}"));
                format!("delim:{}", digits.collect::<String>().repeat(times))
            }
            2 => format!("fixed:{}", 1 + self.below(70)),
            3 => format!("ascii:{}", 1 + self.below(12)),
            plain => PLAIN[plain - 4].to_owned(),
        }
    }
}

/// Cuts `bytes` into non-empty pieces, whose lengths repeat the lengths drawn from `cuts`.
pub fn pieces<'a>(mut bytes: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut lengths = cuts.iter().cycle();
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let length = lengths
            .next()
            .map_or(usize::MAX, |length| 1 + usize::from(*length));
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
