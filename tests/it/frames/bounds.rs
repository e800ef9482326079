//! Lengths at their bounds: the limit, the sign, the range of 64 bits, the end of the stream.

use mynah::protocol::connection::{CloseReason, Want};
use mynah::protocol::service::{Echo, Upper};

use super::*;
use crate::talk::Talk;

/// The rest of the stream, the close reason and the want, after a connection has processed
/// `pieces`.
fn ending(framing: Framing, pieces: &[&[u8]]) -> (Vec<u8>, CloseReason, Want) {
    let mut talk = Talk::new(framing, Upper, 64, 0);
    let want = talk.play(pieces, usize::MAX);
    assert!(talk.holds_nothing());
    (talk.answer.clone(), talk.connection.reason(), want)
}

#[test]
fn the_limit_is_on_the_whole_frame_and_judged_at_its_header() {
    for (framing, frame) in table() {
        let header = framing.overhead().front;
        let at = |limit| {
            framing
                .limited(limit)
                .expect("the frame fits or is refused")
        };
        assert!(
            decode(&at(frame.len()), &frame).is_ok(),
            "exactly the limit"
        );
        assert!(decode(&at(frame.len() + 1), &frame).is_ok(), "one under it");
        // No byte of the body has arrived, and none is needed.
        let over = at(frame.len() - 1);
        assert_eq!(refused(&over, &frame[..header]), "too_long", "{framing}");
        let error = FrameError::TooLong {
            frame: frame.len() as u64,
            limit: frame.len() as u64 - 1,
        };
        assert_eq!(decode(&over, &frame), Err(error));
    }
}

#[test]
fn a_limit_that_admits_no_frame_is_refused_at_start() {
    let u32be = Framing::parse("u32be").expect("a name");
    assert!(u32be.limited(4).is_ok());
    assert!(u32be.limited(3).is_err());
    let counts_what_is_not_there = Framing::parse("len:size=1,adjust=-300");
    assert!(counts_what_is_not_there.is_err());
    // With a field of one byte, only the value 255 makes a frame, the empty one.
    assert!(Framing::parse("len:size=1,adjust=-255").is_ok());
    assert!(Framing::parse("len:size=1,adjust=-256").is_err());
}

#[test]
fn the_longest_frame_is_known_of_each_framing() {
    for (spec, longest) in [
        ("raw", 100),
        ("u32be", 100),
        ("fixed:7", 7),
        ("line", 100 + 2),
        ("delim:2e2e2e21", 100 + 4),
        ("ascii:3", 100 + 3),
        // 20 digits, a colon and a comma.
        ("netstring", 100 + 22),
    ] {
        let framing = Framing::parse(spec).and_then(|framing| framing.limited(100));
        let framing = framing.expect("a framing");
        assert_eq!(framing.frame_size_max(100), longest, "{spec}");
    }
}

#[test]
fn a_key_is_taken_up_to_its_bound_and_refused_beyond_it() {
    for (taken, beyond) in [
        ("size=8", "size=9"),
        ("offset=1024", "offset=1025"),
        ("strip=1024", "strip=1025"),
        ("size=8,adjust=-1073741824", "size=8,adjust=-1073741825"),
        ("size=8", "size=8,adjust=-9223372036854775808"),
    ] {
        assert!(Framing::parse(&format!("len:{taken}")).is_ok(), "{taken}");
        assert!(
            Framing::parse(&format!("len:{beyond}")).is_err(),
            "{beyond}"
        );
    }
    let sizes = Framing::parse("len:size=9").expect_err("there are no nine bytes");
    assert_eq!(sizes, "size '9' must be 1, 2, 3, 4 or 8");
    for twice in ["len:size=2,size=3", "len:size=2,order=le,size=2"] {
        let refused = Framing::parse(twice).expect_err("which of them is meant?");
        assert_eq!(refused, "'size' is given twice", "{twice}");
    }
}

#[test]
fn a_length_that_counts_its_header_may_not_be_less_than_it() {
    let counts_itself = framing("len:offset=0,size=2,adjust=-2,strip=0", LIMIT);
    assert_eq!(
        decode(&counts_itself, &hex("0002")),
        Ok((hex("0002"), vec![]))
    );
    assert_eq!(refused(&counts_itself, &hex("0001")), "corrupted");
    assert_eq!(refused(&counts_itself, &hex("0000")), "corrupted");
    let counts_all = framing("len:offset=1,size=2,adjust=-3,strip=3", LIMIT);
    assert_eq!(
        decode(&counts_all, &hex("CA0003")),
        Ok((hex("CA0003"), vec![]))
    );
    assert_eq!(refused(&counts_all, &hex("CA0002")), "corrupted");
}

#[test]
fn a_frame_shorter_than_what_is_stripped_of_it_is_corrupted() {
    let strips_more = framing("len:size=2,strip=5", LIMIT);
    for short in ["0000", "0001", "0002"] {
        assert_eq!(refused(&strips_more, &hex(short)), "corrupted", "{short}");
    }
    let just = hex("0003 AABBCC");
    assert_eq!(decode(&strips_more, &just), Ok((just, vec![])));
}

#[test]
fn a_framing_without_a_limit_of_its_own_does_not_wrap_either() {
    let field = Framing::parse("len:size=8,adjust=-100").expect("keys");
    assert_eq!(refused(&field, &[0; 8]), "corrupted");
    let most = i64::MAX.to_be_bytes();
    assert_eq!(refused(&field, &most), "too_long");
    let field = Framing::parse("u64be").expect("a name");
    assert_eq!(refused(&field, &most), "too_long");
}

#[test]
fn an_error_comes_after_every_answer_before_it() {
    let u16be = framing("u16be", 16);
    let good = hex("0003 616263");
    let answer = hex("0003 414243").repeat(2);
    let far = framing("len:size=2,adjust=-2,strip=2", 16);
    for (framing, wrong, reason) in [
        (u16be, hex("000F"), CloseReason::TooLong),
        (
            framing("i32be", 16),
            hex("FFFFFFFF"),
            CloseReason::Corrupted,
        ),
        (far, hex("0001"), CloseReason::Corrupted),
    ] {
        let good = match framing.overhead().front {
            4 => hex("00000003 616263"),
            _ if framing == far => hex("0005 616263"),
            _ => good.clone(),
        };
        let upper = good.to_ascii_uppercase();
        let stream = [&good[..], &good, &wrong, &good].concat();
        let (answer, ended, want) = ending(framing, &[&stream]);
        assert_eq!((answer, ended), (upper.repeat(2), reason));
        assert_eq!(want, Want::Discard, "the peer may still be sending");
    }
    let (heard, ended, want) = ending(u16be, &[&good, &good, &hex("0003 6162")]);
    assert_eq!((heard, ended), (answer, CloseReason::Truncated));
    assert_eq!(want, Want::Close, "the peer has ended");
}

#[test]
fn the_end_of_the_stream_anywhere_inside_a_frame_is_truncated() {
    for (framing, frame) in table() {
        for end in 1..frame.len() {
            let mut talk = Talk::new(framing, Echo, 64, 0);
            assert_eq!(talk.play(&[&frame, &frame[..end]], usize::MAX), Want::Close);
            assert_eq!(talk.answer, frame);
            let held = Some(FrameError::Truncated { held: end });
            assert_eq!(talk.connection.cause().error, held);
            assert_eq!(talk.connection.reason(), CloseReason::Truncated);
        }
    }
}

#[test]
fn a_refused_frame_costs_no_byte_of_its_body() {
    let mut talk = Talk::new(framing("u32be", 16), Echo, 64, 0);
    talk.reads(&hex("0000000D"));
    assert_eq!(talk.wants(), Want::Shutdown);
    assert!(talk.holds_nothing());
}

#[test]
fn a_length_that_makes_no_frame_is_refused_with_its_reason() {
    const EARLY: &str = "the frame ends before its length field does";
    const STRIPPED: &str = "the frame is shorter than what is stripped of it";
    for (spec, header, reason) in [
        ("len:offset=0,size=2,adjust=-8", "0003", EARLY),
        ("len:offset=0,size=2,adjust=-2", "0001", EARLY),
        ("len:offset=1,size=2,adjust=-3,strip=3", "000002", EARLY),
        ("len:offset=0,size=1,strip=3", "00", STRIPPED),
        ("len:offset=0,size=1,strip=3", "01", STRIPPED),
        ("i32be", "ffffffff", "the length field is negative"),
    ] {
        let refused = decode(&framing(spec, 64), &hex(header));
        assert_eq!(
            refused,
            Err(FrameError::Corrupted(reason)),
            "{spec} {header}"
        );
    }
    let least = framing("len:offset=0,size=1,strip=3", 64);
    assert!(decode(&least, &hex("02 aabb")).is_ok());
}

#[test]
fn k4_a_length_of_ten_thousand_stands_in_little_endian() {
    let framing = framing("i32le", 1 << 20);
    let mut frame = vec![b'x'; 4 + 10_000];
    assert_eq!(framing.encode(&[], &mut frame, 10_000), Ok(10_004));
    assert_eq!(frame[..4], hex("10 27 00 00"));
    assert!(decode(&framing, &frame).is_ok());
}
