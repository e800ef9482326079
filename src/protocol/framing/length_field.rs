//! A binary length field, by the rules of Netty's `LengthFieldBasedFrameDecoder`.
//!
//! ```text
//!             offset    size
//!           +---------+--------+-----------------------------+
//!   frame   | CA      | 00 0C  | FE  "HELLO, WORLD"          |   1,2,1,3
//!           +---------+--------+-----------------------------+
//!           |<------ strip --->|<-- handed to the service -->|
//!
//!   frame = field + adjust + offset + size
//! ```
//!
//! `adjust` corrects a length that counts more or less than the bytes after the field. It is
//! negative if the length includes the header. The limit counts the whole frame after adjustment
//! and is checked as soon as the field is complete.
//!
//! Netty reads fields of 1 to 4 bytes as unsigned and a field of 8 bytes with `getLong`. So the top
//! bit of an 8-byte field is a sign, and a negative field is corrupted. The sum is exact where
//! Netty's `long` would wrap: a field that is not negative and leads to a frame over the limit is
//! too long.
//!
//! The field values that give a legal frame form one interval. The interval is computed once, so a
//! legal field costs one comparison.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use super::{Bounds, Decode, Decoded, FrameError, Overhead};
use crate::limits::{HEADER_MAX, LENGTH_ADJUST_MAX};

/// Byte order of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Most significant byte first (network order).
    Big,
    /// Least significant byte first.
    Little,
}

/// A length field: where it is, how it is read, what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthField {
    offset: usize,
    size: usize,
    order: Order,
    /// The name asks for a sign; see [`LengthField::has_sign`].
    signed: bool,
    adjust: i64,
    strip: usize,
    limit: u64,
    /// The smallest field value of a legal frame, and how many larger values are legal.
    field_min: u64,
    field_span: u64,
}

const SHORT_NAMES: &[(&str, usize, Order, bool)] = &[
    ("u8", 1, Order::Big, false),
    ("u16be", 2, Order::Big, false),
    ("u16le", 2, Order::Little, false),
    ("u24be", 3, Order::Big, false),
    ("u24le", 3, Order::Little, false),
    ("u32be", 4, Order::Big, false),
    ("u32le", 4, Order::Little, false),
    ("u64be", 8, Order::Big, false),
    ("u64le", 8, Order::Little, false),
    ("i32be", 4, Order::Big, true),
    ("i32le", 4, Order::Little, true),
];

impl LengthField {
    /// A field of `size` bytes (1, 2, 3, 4 or 8) before the payload that it counts. Only the
    /// payload is passed on.
    fn prefix(size: usize, order: Order, signed: bool) -> LengthField {
        LengthField {
            offset: 0,
            size,
            order,
            signed,
            adjust: 0,
            strip: size,
            limit: u64::MAX,
            field_min: 0,
            field_span: u64::MAX,
        }
    }

    /// Parses a short name, or the keys after `len:`.
    pub fn parse(name: &str, keys: &str) -> Result<LengthField, String> {
        match SHORT_NAMES.iter().find(|(short, ..)| *short == name) {
            Some((_, size, order, signed)) => Ok(LengthField::prefix(*size, *order, *signed)),
            None => LengthField::parse_keys(keys),
        }
    }

    fn parse_keys(keys: &str) -> Result<LengthField, String> {
        let mut field = LengthField {
            strip: 0,
            ..LengthField::prefix(4, Order::Big, false)
        };
        for pair in keys.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("'{pair}' is not key=value"))?;
            let same = |other: &&str| other.split('=').next() == Some(key);
            if keys.split(',').filter(same).count() > 1 {
                return Err(format!("'{key}' is given twice"));
            }
            let number = |most: usize| match value.parse::<usize>() {
                Ok(number) if number <= most => Ok(number),
                _ => Err(format!("{key} '{value}' must be 0 to {most}")),
            };
            match key {
                "offset" => field.offset = number(HEADER_MAX)?,
                "strip" => field.strip = number(HEADER_MAX)?,
                "size" => match number(8) {
                    Ok(size @ (1 | 2 | 3 | 4 | 8)) => field.size = size,
                    _ => return Err(format!("size '{value}' must be 1, 2, 3, 4 or 8")),
                },
                "order" => match value {
                    "be" => field.order = Order::Big,
                    "le" => field.order = Order::Little,
                    _ => return Err(format!("order '{value}' must be be or le")),
                },
                "adjust" => match value.parse::<i64>() {
                    Ok(adjust) if (-LENGTH_ADJUST_MAX..=LENGTH_ADJUST_MAX).contains(&adjust) => {
                        field.adjust = adjust;
                    }
                    _ => {
                        return Err(format!(
                            "adjust '{value}' must be within {LENGTH_ADJUST_MAX}"
                        ));
                    }
                },
                _ => {
                    let known = "offset, size, order, adjust, strip";
                    return Err(format!("'{key}' is not a key; the keys are {known}"));
                }
            }
        }
        Ok(field)
    }

    /// The same field with a limit of `frame_max` bytes for a whole frame.
    pub fn limited(self, frame_max: usize) -> Result<LengthField, String> {
        let least = i128::from(self.header() as u64);
        let base = self.base();
        let value_bits = 8 * self.size - usize::from(self.has_sign());
        let most_field = (1i128 << value_bits) - 1;
        let field_min = (least - base).max(0);
        let field_max = (frame_max as i128 - base).min(most_field);
        if field_max < field_min {
            return Err(format!(
                "no frame of '{self}' fits a limit of {frame_max} bytes"
            ));
        }
        Ok(LengthField {
            limit: frame_max as u64,
            field_min: field_min as u64,
            field_span: (field_max - field_min) as u64,
            ..self
        })
    }

    /// Bytes before the payload. They include the length field, which a service must not change.
    pub fn header(&self) -> usize {
        self.strip.max(self.offset + self.size)
    }

    /// Bytes that `decode` does not show, as Netty strips them.
    pub fn strip(&self) -> usize {
        self.strip
    }

    /// The range of the field in a frame.
    pub fn place(&self) -> Range<usize> {
        self.offset..self.offset + self.size
    }

    /// The value of the field in a frame whose header is complete.
    pub fn value(&self, frame: &[u8]) -> i128 {
        match self.read(frame) {
            field if self.has_sign() => i128::from(field as i64),
            field => i128::from(field),
        }
    }

    /// Whether the top bit of the field is a sign. An 8-byte field always has one.
    fn has_sign(&self) -> bool {
        self.signed || self.size == 8
    }

    /// The number to add to the field to get the length of the frame.
    fn base(&self) -> i128 {
        i128::from(self.adjust) + (self.offset + self.size) as i128
    }

    /// The value of the field, sign-extended if it is signed. `bytes` includes the whole field.
    #[inline]
    fn read(&self, bytes: &[u8]) -> u64 {
        let unused = 64 - 8 * self.size as u32;
        let from_field = &bytes[self.offset..];
        let eight = match from_field.first_chunk::<8>() {
            Some(eight) => *eight,
            // Fewer than eight bytes have arrived from the start of the field on.
            None => {
                let mut eight = [0; 8];
                eight[..from_field.len()].copy_from_slice(from_field);
                eight
            }
        };
        let top = match self.order {
            Order::Big => u64::from_be_bytes(eight) >> unused << unused,
            Order::Little => u64::from_le_bytes(eight) << unused,
        };
        if self.signed {
            (top as i64 >> unused) as u64
        } else {
            top >> unused
        }
    }

    /// Why `field` gives no legal frame.
    #[cold]
    fn field_error(&self, field: u64) -> FrameError {
        if self.has_sign() && (field as i64) < 0 {
            return FrameError::Corrupted("the length field is negative");
        }
        let frame = i128::from(field) + self.base();
        if frame < (self.offset + self.size) as i128 {
            FrameError::Corrupted("the frame ends before its length field does")
        } else if frame > i128::from(self.limit) {
            FrameError::TooLong {
                frame: u64::try_from(frame).unwrap_or(u64::MAX),
                limit: self.limit,
            }
        } else {
            FrameError::Corrupted("the frame is shorter than what is stripped of it")
        }
    }
}

impl Decode for LengthField {
    #[inline]
    fn decode(&self, bytes: &[u8], _scanned: usize) -> Decoded {
        let field_end = self.offset + self.size;
        if bytes.len() < field_end {
            return Decoded::Incomplete { scanned: 0 };
        }
        let field = self.read(bytes);
        if field.wrapping_sub(self.field_min) > self.field_span {
            return Decoded::Wrong(self.field_error(field));
        }
        // A legal frame is at most the limit, which is a usize: the cast loses nothing.
        let frame = field.wrapping_add_signed(self.adjust) as usize + field_end;
        if bytes.len() < frame {
            return Decoded::Incomplete { scanned: 0 };
        }
        Decoded::Frame(Bounds {
            frame,
            payload: self.header(),
            payload_end: frame,
        })
    }

    fn span(&self, bytes: &[u8]) -> u64 {
        let frame = i128::from(self.read(bytes)) + self.base();
        u64::try_from(frame).unwrap_or(u64::MAX)
    }

    fn overhead(&self) -> Overhead {
        Overhead {
            front: self.header(),
            back: 0,
        }
    }

    fn payload_sizes(&self) -> RangeInclusive<usize> {
        // Bytes of the header that the field counts too, as if they were payload.
        let behind_field = (self.header() - self.place().end) as u64;
        let payload = |field: u64| {
            let counted = field.saturating_add_signed(self.adjust);
            usize::try_from(counted.saturating_sub(behind_field)).unwrap_or(usize::MAX)
        };
        let field_max = self.field_min.saturating_add(self.field_span);
        payload(self.field_min)..=payload(field_max)
    }

    fn size_error(&self, size: usize) -> FrameError {
        let sizes = self.payload_sizes();
        if size < *sizes.start() {
            return FrameError::Corrupted("no length field says so short a frame");
        }
        let header = self.header() as u64;
        FrameError::TooLong {
            frame: header.saturating_add(size as u64),
            limit: header.saturating_add(*sizes.end() as u64),
        }
    }

    fn encode(
        &self,
        request: &[u8],
        space: &mut [u8],
        payload: usize,
    ) -> Result<usize, FrameError> {
        self.check_size(payload)?;
        let header = self.header();
        let frame = header + payload;
        let counted = (frame - self.offset - self.size) as u64;
        let field = counted.wrapping_sub(self.adjust as u64);
        match request.get(..header) {
            Some(template) => space[..header].copy_from_slice(template),
            None => space[..header].fill(0),
        }
        let place = &mut space[self.offset..self.offset + self.size];
        match self.order {
            Order::Big => place.copy_from_slice(&field.to_be_bytes()[8 - self.size..]),
            Order::Little => place.copy_from_slice(&field.to_le_bytes()[..self.size]),
        }
        Ok(frame)
    }
}

impl fmt::Display for LengthField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, size, order, signed) in SHORT_NAMES {
            let short = LengthField::prefix(*size, *order, *signed);
            let LengthField {
                offset,
                strip,
                adjust,
                ..
            } = *self;
            let same = (offset, strip, adjust) == (0, short.strip, 0)
                && (self.size, self.signed) == (*size, *signed)
                && (self.order == *order || self.size == 1);
            if same {
                return f.write_str(name);
            }
        }
        let order = if self.order == Order::Big { "be" } else { "le" };
        let LengthField {
            offset,
            size,
            adjust,
            strip,
            ..
        } = self;
        write!(
            f,
            "len:offset={offset},size={size},order={order},adjust={adjust},strip={strip}"
        )
    }
}
