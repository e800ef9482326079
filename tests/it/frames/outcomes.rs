//! An outcome comes with the first byte that makes it certain, in every framing.
//!
//! The proof is by trial over every text of a small alphabet. While a framing asks for more, some
//! continuation is a frame or a different error. After an outcome, every continuation gets the same
//! outcome. A binary length field is one number, so it is judged when it is complete.

use mynah::protocol::connection::CloseReason;
use mynah::protocol::framing::OnTooLong;
use mynah::protocol::service::Echo;

use super::*;
use crate::talk::Talk;

/// The outcome of a framing on the first bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    More,
    Frame,
    Invalid(&'static str),
}

fn outcome(framing: &Framing, bytes: &[u8]) -> Outcome {
    match framing.decode(bytes, 0) {
        Decoded::Frame(_) => Outcome::Frame,
        Decoded::Incomplete { .. } => Outcome::More,
        Decoded::Wrong(error) => Outcome::Invalid(error.kind()),
    }
}

/// A framing, its limit, the alphabet of its texts, and the length of the texts.
const TEXTS: &[(&str, usize, &[u8], usize)] = &[
    ("netstring", 12, b"0123:,", 4),
    ("netstring", 1, b"01:,x", 5),
    ("netstring", 0, b"01:,", 4),
    ("ascii:1", 5, b"0569x", 3),
    ("ascii:2", 12, b"0123x", 3),
    ("ascii:3", 12, b"012x", 4),
    ("line", 3, b"\r\nx", 6),
    ("line", 0, b"\r\nx", 4),
    ("delim:2e", 3, b".x", 5),
    ("delim:2e2e21", 3, b".!x", 6),
    ("delim:2e2e2e21", 2, b".!x", 6),
    ("delim:2e212e2e", 2, b".!x", 6),
    ("delim:2e2e2e2e2e2e2e2e21", 1, b".!", 10),
    ("delim:2e212e212e2e212e2e", 1, b".!", 10),
    ("fixed:3", 3, b"x", 4),
];

/// Every text of up to `most` bytes of `alphabet`, shorter ones first.
fn texts(alphabet: &[u8], most: usize) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..most {
        let until = texts.len();
        for at in from..until {
            for byte in alphabet {
                texts.push([&texts[at][..], &[*byte]].concat());
            }
        }
        from = until;
    }
    texts
}

/// Continuations of a text: more of its alphabet, then a body, then an end.
fn continuations(framing: &Framing, limit: usize, alphabet: &[u8]) -> Vec<Vec<u8>> {
    let printed = framing.to_string();
    let end = printed.strip_prefix("delim:").map_or_else(Vec::new, hex);
    let mut ends = vec![Vec::new(), b",".to_vec(), b"\n".to_vec(), b"\r\n".to_vec()];
    // A part of the delimiter may already have arrived.
    ends.extend((0..end.len()).map(|from| end[from..].to_vec()));
    // Up to two digits of a length may be missing.
    let front_max = if printed.starts_with("ascii") { 2 } else { 1 };
    let mut all = Vec::new();
    for front in texts(alphabet, front_max) {
        for body in 0..=limit {
            for end in &ends {
                all.push([&front[..], &vec![b'x'; body], end].concat());
            }
        }
    }
    all
}

#[test]
fn a_text_is_judged_with_the_byte_that_makes_it_certain_and_alike_whatever_follows() {
    for (spec, limit, alphabet, most) in TEXTS {
        let framing = framing(spec, *limit);
        let continuations = continuations(&framing, *limit, alphabet);
        let mut judged = 0;
        for text in texts(alphabet, *most).iter().skip(1) {
            let mut whole = continuations.iter().map(|more| {
                let whole = [&text[..], more].concat();
                outcome(&framing, &whole)
            });
            match outcome(&framing, text) {
                Outcome::More => {
                    let open = whole.any(|outcome| outcome == Outcome::Frame);
                    assert!(open, "{spec} waits at {text:?}, which can be no frame");
                }
                now => {
                    judged += 1;
                    let same = whole.all(|outcome| outcome == now);
                    assert!(same, "{spec} judges {text:?} {now:?} too early");
                }
            }
        }
        assert!(judged > 0, "{spec}");
    }
}

#[test]
fn a_binary_length_is_judged_with_its_last_byte_and_needs_none_of_the_body() {
    for (spec, header, kind) in [
        ("u8", "65", "too_long"),
        ("u16be", "7000", "too_long"),
        ("u16le", "0070", "too_long"),
        ("u24be", "700000", "too_long"),
        ("u32be", "47455420", "too_long"),
        ("u32le", "ffffffff", "too_long"),
        ("i32be", "ffffffff", "corrupted"),
        ("i32le", "ffffffff", "corrupted"),
        ("u64be", "7fffffffffffffff", "too_long"),
        ("u64be", "ffffffffffffffff", "corrupted"),
        ("u64le", "ffffffffffffffff", "corrupted"),
        ("len:offset=2,size=2,strip=7", "caca 7000", "too_long"),
        ("len:offset=2,size=2,strip=7", "caca 0000", "corrupted"),
    ] {
        let (framing, header) = (framing(spec, 100), hex(header));
        for end in 1..header.len() {
            assert_eq!(outcome(&framing, &header[..end]), Outcome::More, "{spec}");
        }
        assert_eq!(outcome(&framing, &header), Outcome::Invalid(kind), "{spec}");
    }
}

/// Texts that exceed the limit with their last byte, and not before.
const TOO_LONG: &[(&str, usize, &str)] = &[
    ("netstring", 100, "1000"),
    ("netstring", 100, "101"),
    ("netstring", 99, "100"),
    ("netstring", 9, "10"),
    ("netstring", 0, "1"),
    ("ascii:8", 100, "1"),
    ("ascii:8", 100, "000002"),
    ("ascii:8", 100, "0000011"),
    ("ascii:8", 100, "00000101"),
    ("line", 4, "abcde"),
    ("line", 4, "abcd\rx"),
    ("delim:2e2e", 4, "abcde"),
    ("delim:2e2e", 4, "abcd.x"),
    ("delim:2e2e2e2e2e2e2e2e2e2e21", 4, "abcd..........x"),
];

#[test]
fn a_text_over_the_limit_is_refused_at_its_last_byte_and_not_before() {
    for (spec, limit, text) in TOO_LONG {
        let framing = framing(spec, *limit);
        for end in 1..text.len() {
            let before = outcome(&framing, &text.as_bytes()[..end]);
            assert_eq!(before, Outcome::More, "{spec} {limit} {text:?} {end}");
        }
        let now = outcome(&framing, text.as_bytes());
        assert_eq!(now, Outcome::Invalid("too_long"), "{spec} {limit} {text:?}");
    }
}

#[test]
fn a_frame_judged_inside_its_length_is_discarded_by_its_whole_length() {
    for (spec, frame, last) in [
        ("netstring", "1000:", ","),
        ("netstring", "123456:", ","),
        ("ascii:8", "00012345", ""),
        ("ascii:8", "01000000", ""),
    ] {
        let size: usize = frame.trim_end_matches(':').parse().expect("a size");
        let body = vec![b'x'; size];
        let good = sealed_text(spec);
        let stream = [frame.as_bytes(), &body, last.as_bytes(), &good].concat();
        for piece in [1, 2, 3, 7, stream.len()] {
            let mut talk = Talk::new(framing(spec, 100), Echo, 160, 0);
            talk.protocol.on_too_long = OnTooLong::Discard;
            let pieces: Vec<&[u8]> = stream.chunks(piece).collect();
            talk.play(&pieces, usize::MAX);
            assert_eq!(talk.answer, good, "{spec} {frame} in pieces of {piece}");
            assert_eq!(talk.discarded.len(), 1, "{spec} {frame}");
            let reason = talk.connection.reason();
            assert_eq!(reason, CloseReason::EndOfStream, "{spec} {frame}");
        }
    }
}

fn sealed_text(spec: &str) -> Vec<u8> {
    match spec {
        "netstring" => b"2:ok,".to_vec(),
        _ => b"00000002ok".to_vec(),
    }
}

#[test]
fn a_length_that_goes_on_wrongly_behind_an_error_is_corrupted_where_frames_are_discarded() {
    for (spec, bytes) in [("netstring", "1000x"), ("ascii:8", "0100x")] {
        for piece in [1, bytes.len()] {
            let mut talk = Talk::new(framing(spec, 100), Echo, 160, 0);
            talk.protocol.on_too_long = OnTooLong::Discard;
            let pieces: Vec<&[u8]> = bytes.as_bytes().chunks(piece).collect();
            talk.play(&pieces, usize::MAX);
            assert_eq!(talk.discarded.len(), 1, "{spec}");
            assert_eq!(talk.connection.reason(), CloseReason::Corrupted, "{spec}");
        }
    }
}
