//! The framings as bytes in and bytes out: every row of their tables, every cut, every bound.
//!
//! The same streams go through [`Framing::decode`] alone and through a connection with each
//! service, so that both agree where a message ends. No kernel, no clock.

mod bounds;
mod cuts;
mod netty;
mod outcomes;
mod replies;

use mynah::protocol::framing::{Decoded, FrameError, Framing};

use crate::talk::{framing, hex};

const LIMIT: usize = 1 << 20;

/// Every short name with the header of a payload of 12 bytes.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("u8", "0C"),
    ("u16be", "000C"),
    ("u16le", "0C00"),
    ("u24be", "00000C"),
    ("u24le", "0C0000"),
    ("u32be", "0000000C"),
    ("u32le", "0C000000"),
    ("u64be", "000000000000000C"),
    ("u64le", "0C00000000000000"),
    ("i32be", "0000000C"),
    ("i32le", "0C000000"),
];

/// Length fields in all their variants: the bytes that arrive around "hello, world", and how many
/// of them are stripped.
const KEYS: &[(&str, &str, &str, usize)] = &[
    ("len:offset=0,size=2,adjust=0,strip=0", "000C", "", 0),
    ("len:offset=0,size=2,adjust=0,strip=2", "000C", "", 2),
    ("len:offset=0,size=2,adjust=-2,strip=0", "000E", "", 0),
    ("len:offset=2,size=3,adjust=0,strip=0", "CAFE 00000C", "", 0),
    ("len:offset=0,size=3,adjust=2,strip=0", "00000C", "CAFE", 0),
    ("len:offset=1,size=2,adjust=1,strip=3", "CA 000C", "FE", 3),
    ("len:offset=1,size=2,adjust=-3,strip=3", "CA 0010", "FE", 3),
    (
        "len:offset=1,size=2,order=le,adjust=-3,strip=3",
        "CA 1000",
        "FE",
        3,
    ),
    (
        "len:offset=1,size=8,adjust=-9,strip=9",
        "CA 0000000000000015",
        "",
        9,
    ),
    ("len:size=4,strip=6,adjust=2", "0000000C", "CAFE", 6),
];

const PAYLOAD: &[u8] = b"hello, world";

/// Every framing in the tables, with one frame.
fn table() -> impl Iterator<Item = (Framing, Vec<u8>)> {
    let short = SHORT_NAMES
        .iter()
        .map(|(spec, header)| (*spec, *header, ""));
    let keys = KEYS
        .iter()
        .map(|(spec, header, more, _)| (*spec, *header, *more));
    short.chain(keys).map(|(spec, header, more)| {
        let frame = [&hex(header), &hex(more), PAYLOAD].concat();
        (framing(spec, LIMIT), frame)
    })
}

/// Decodes `bytes`, which are one frame, into (header, payload).
fn decode(framing: &Framing, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), FrameError> {
    match framing.decode(bytes, 0) {
        Decoded::Frame(bounds) => {
            assert_eq!(
                (bounds.frame, bounds.payload_end),
                (bytes.len(), bytes.len())
            );
            let (header, payload) = bytes.split_at(bounds.payload);
            Ok((header.to_vec(), payload.to_vec()))
        }
        Decoded::Wrong(error) => Err(error),
        Decoded::Incomplete { .. } => panic!("{framing} wants more than {bytes:02x?}"),
    }
}

/// A frame of `payload` with the header of `request`.
fn sealed(framing: &Framing, request: &[u8], payload: &[u8]) -> Vec<u8> {
    let front = framing.overhead().front;
    let mut space = [&vec![0; front], payload].concat();
    let size = framing.encode(request, &mut space, payload.len());
    assert_eq!(size, Ok(space.len()), "{framing}");
    space
}

/// The kind of error that decoding `bytes` gives at once.
fn refused(framing: &Framing, bytes: &[u8]) -> &'static str {
    match framing.decode(bytes, 0) {
        Decoded::Wrong(error) => error.kind(),
        other => panic!("{framing} takes {bytes:02x?} for {other:?}"),
    }
}

#[test]
fn every_short_name_reads_its_own_header_and_hands_on_the_payload_alone() {
    for (spec, header) in SHORT_NAMES {
        let frame = [&hex(header), PAYLOAD].concat();
        let decoded = decode(&framing(spec, LIMIT), &frame);
        assert_eq!(decoded, Ok((hex(header), PAYLOAD.to_vec())), "{spec}");
    }
}

#[test]
fn every_row_of_the_length_field_table_shows_what_is_not_stripped() {
    for (spec, header, more, strip) in KEYS {
        let frame = [&hex(header), &hex(more), PAYLOAD].concat();
        let framing = framing(spec, LIMIT);
        let Framing::LengthField(field) = framing else {
            panic!("{spec} is a length field")
        };
        assert_eq!(field.strip(), *strip, "{spec}");
        let (kept, handed) = decode(&framing, &frame).expect(spec);
        // A service never sees the length field, whether or not it is stripped.
        let header_size = hex(header).len().max(*strip);
        assert_eq!(
            [kept.len(), handed.len()],
            [header_size, frame.len() - header_size]
        );
        assert!(handed.ends_with(PAYLOAD), "{spec}");
    }
}

#[test]
fn a_name_prints_as_it_is_written() {
    for (spec, _) in SHORT_NAMES {
        assert_eq!(framing(spec, LIMIT).to_string(), *spec);
    }
    for (spec, ..) in KEYS {
        let again = framing(&framing(spec, LIMIT).to_string(), LIMIT);
        assert_eq!(again, framing(spec, LIMIT), "{spec}");
    }
}

#[test]
fn signed_fields_read_their_sign() {
    let i32le = framing("i32le", 1 << 30);
    let ten_thousand = [&hex("10270000")[..], &[b'.'; 10_000]].concat();
    assert!(decode(&i32le, &ten_thousand).is_ok());
    assert_eq!(refused(&i32le, &hex("00752b7d")), "too_long");
    for negative in ["ffffffff", "00000080", "000000ff"] {
        assert_eq!(refused(&i32le, &hex(negative)), "corrupted", "{negative}");
    }
    let i32be = framing("i32be", LIMIT);
    assert_eq!(refused(&i32be, &hex("80000000")), "corrupted");
    assert_eq!(refused(&i32be, &hex("7fffffff")), "too_long");
    let read = |spec: &str, bytes: &str| match framing(spec, LIMIT) {
        Framing::LengthField(field) => field.value(&hex(bytes)),
        _ => panic!("{spec} has no field"),
    };
    assert_eq!(read("i32be", "fffffffe"), -2);
    assert_eq!(read("u32be", "fffffffe"), 0xffff_fffe);
    assert_eq!(read("u64be", "fffffffffffffffe"), -2);
    // Without a sign, the same bits are a valid length.
    assert_eq!(
        refused(&framing("u32be", LIMIT), &hex("80000000")),
        "too_long"
    );
}
