//! Every width of a length field, every kind of value and adjustment, against a small model of
//! Netty's `LengthFieldBasedFrameDecoder`.
//!
//! The model follows `getUnadjustedFrameLength` and `decode`: 1 to 4 bytes have no sign, 8 bytes
//! are read with `getLong`. The model is exact where Netty's `long` would wrap.

use mynah::protocol::connection::CloseReason;
use mynah::protocol::framing::OnTooLong;
use mynah::protocol::service::Echo;

use super::*;
use crate::talk::Talk;

const FRAME_MAX: i128 = 300;

/// A length field as both sides see it.
#[derive(Clone, Copy, Debug)]
struct Field {
    offset: usize,
    size: usize,
    is_little: bool,
    /// The top bit of four bytes is a sign. Only `i32be` and `i32le` have it; Netty does not.
    signed: bool,
    adjust: i128,
    strip: usize,
}

impl Field {
    /// The size of the frame that the field announces, or the name of the error, by Netty's rules.
    fn by_netty(&self, bits: u64) -> Result<i128, &'static str> {
        let bits = bits & (u64::MAX >> (64 - 8 * self.size));
        let field = match self.size {
            8 => i128::from(bits as i64),
            4 if self.signed => i128::from(bits as u32 as i32),
            _ => i128::from(bits),
        };
        let field_end = (self.offset + self.size) as i128;
        let frame = field + self.adjust + field_end;
        match () {
            () if field < 0 => Err("corrupted"),
            () if frame < field_end => Err("corrupted"),
            () if frame > FRAME_MAX => Err("too_long"),
            () if self.strip as i128 > frame => Err("corrupted"),
            () => Ok(frame),
        }
    }

    /// The same by mynah, for a complete header without a body.
    fn by_mynah(&self, framing: &Framing, bits: u64) -> Result<i128, &'static str> {
        let header = self.header(bits);
        match framing.decode(&header, 0) {
            Decoded::Wrong(error) => Err(error.kind()),
            Decoded::Frame(bounds) => Ok(bounds.frame as i128),
            Decoded::Incomplete { .. } => {
                // The frame ends exactly where the model says.
                let bytes = vec![0; FRAME_MAX as usize];
                let bytes = [&header[..], &bytes].concat();
                match framing.decode(&bytes, 0) {
                    Decoded::Frame(bounds) => Ok(bounds.frame as i128),
                    other => panic!("{framing}: {other:?}"),
                }
            }
        }
    }

    fn header(&self, bits: u64) -> Vec<u8> {
        let mut header = vec![0xca; self.offset];
        match self.is_little {
            true => header.extend(&bits.to_le_bytes()[..self.size]),
            false => header.extend(&bits.to_be_bytes()[8 - self.size..]),
        }
        header
    }

    /// The value of `--frame` for this field.
    fn spec(&self) -> String {
        let order = ["be", "le"][usize::from(self.is_little)];
        if self.signed {
            return format!("i32{order}");
        }
        let Field {
            offset,
            size,
            adjust,
            strip,
            ..
        } = self;
        format!("len:offset={offset},size={size},order={order},adjust={adjust},strip={strip}")
    }
}

/// Every width, byte order, offset, adjustment and strip that has a frame under the limit.
fn fields() -> impl Iterator<Item = (Field, Framing)> {
    let mut fields = Vec::new();
    for is_little in [false, true] {
        for size in [1, 2, 3, 4, 8] {
            for offset in [0, 1, 5] {
                for adjust in [0, 1, 7, 255, -1, -8, -9, -100, 1 << 30, -(1 << 30)] {
                    for strip in [0, 3, 20] {
                        fields.push(Field {
                            offset,
                            size,
                            is_little,
                            signed: false,
                            adjust,
                            strip,
                        });
                    }
                }
            }
        }
        fields.push(Field {
            offset: 0,
            size: 4,
            is_little,
            signed: true,
            adjust: 0,
            strip: 4,
        });
    }
    fields.into_iter().filter_map(|field| {
        let framing = Framing::parse(&field.spec()).ok()?;
        Some((field, framing.limited(FRAME_MAX as usize).ok()?))
    })
}

/// Values around every bound: of each width, each sign, the limit, and each adjustment.
fn values() -> Vec<u64> {
    let mut values = Vec::new();
    for middle in [
        0_i128,
        255,
        300,
        1 << 16,
        1 << 24,
        1 << 30,
        1 << 31,
        1 << 32,
        1 << 63,
    ] {
        for apart in -16..=16 {
            values.push((middle + apart) as u64);
            values.push((-middle + apart) as u64);
        }
    }
    values
}

#[test]
fn every_width_value_and_adjustment_is_judged_as_by_netty() {
    let (mut frames, mut errors) = (0, [0, 0]);
    for (field, framing) in fields() {
        for bits in values() {
            let expected = field.by_netty(bits);
            assert_eq!(
                field.by_mynah(&framing, bits),
                expected,
                "{framing} {bits:#x}"
            );
            match expected {
                Ok(_) => frames += 1,
                Err(kind) => errors[usize::from(kind == "corrupted")] += 1,
            }
        }
    }
    assert!(frames > 1000 && errors.iter().all(|count| *count > 1000));
}

#[test]
fn eight_bytes_with_the_top_bit_set_are_corrupted_under_every_name() {
    for (spec, is_little) in [
        ("u64be", false),
        ("u64le", true),
        ("len:size=8", false),
        ("len:size=8,order=le,strip=8", true),
        ("len:size=8,adjust=-8", false),
    ] {
        let field = framing(spec, LIMIT);
        for (bits, kind) in [
            (u64::MAX, "corrupted"),
            (1 << 63, "corrupted"),
            ((1 << 63) - 1, "too_long"),
            (1 << 62, "too_long"),
        ] {
            let header = match is_little {
                true => bits.to_le_bytes(),
                false => bits.to_be_bytes(),
            };
            assert_eq!(refused(&field, &header), kind, "{spec} {bits:#x}");
        }
    }
}

#[test]
fn a_negative_length_ends_the_connection_also_where_long_frames_are_discarded() {
    for (spec, header) in [
        ("u64be", "8000000000000000"),
        ("u64le", "ffffffffffffffff"),
        ("len:size=8", "ffffffffffffffff"),
        ("i32be", "80000000"),
        ("i32le", "00000080"),
    ] {
        let mut talk = Talk::new(framing(spec, 64), Echo, 64, 0);
        talk.protocol.on_too_long = OnTooLong::Discard;
        talk.play(&[&hex(header), b"what follows is no frame"], usize::MAX);
        assert_eq!(talk.discarded, [], "{spec}");
        assert_eq!(talk.connection.reason(), CloseReason::Corrupted, "{spec}");
    }
}
