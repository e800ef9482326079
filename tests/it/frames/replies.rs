//! Replies as frames: what was encoded decodes to the same bytes, and a reply that no frame can
//! hold is not sent.

use mynah::limits::COMMAND_OUTPUT_MAX;
use mynah::protocol::connection::{CloseReason, Want};
use mynah::protocol::service::{
    Echo, EffectEvent, Effects, PrefixedEcho, Robot, Run, UpperUnicode,
};

use super::*;
use crate::talk::Talk;

#[test]
fn an_encoded_reply_decodes_to_the_same_bytes() {
    for (framing, frame) in table() {
        let header = &frame[..framing.overhead().front];
        for size in [2, 3, 12, 200] {
            let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
            for request in [header, &[]] {
                let reply = sealed(&framing, request, &payload);
                let (kept, handed) = decode(&framing, &reply).expect("it was just sealed");
                assert_eq!(handed, payload, "{framing}");
                assert_eq!(kept.len(), header.len(), "{framing}");
            }
        }
    }
}

#[test]
fn a_reply_has_the_header_of_its_request_with_the_length_rewritten() {
    let framing = framing("len:offset=2,size=3,adjust=2,strip=7", LIMIT);
    let mut talk = Talk::new(framing, UpperUnicode, 64, 256);
    let requests = hex("CAFE 000003 BABE 61C589 CAFE 000000 FACE");
    assert_eq!(talk.play(&[&requests], usize::MAX), Want::Close);
    assert_eq!(
        talk.answer,
        hex("CAFE 000004 BABE 41CABC4E CAFE 000000 FACE")
    );
}

#[test]
fn a_reply_too_long_for_its_field_ends_with_a_reason_after_all_before_it() {
    let u8 = framing("u8", LIMIT);
    // 255 bytes whose upper case has 256, which a field of one byte cannot express.
    let grows = [&b"a".repeat(253)[..], "\u{149}".as_bytes()].concat();
    assert_eq!((grows.len(), "\u{2bc}N".len()), (255, 3));
    let fits = [&b"a".repeat(252)[..], "\u{149}".as_bytes()].concat();
    let stream = [fits.as_slice(), &grows, &fits].map(|payload| sealed(&u8, &[0], payload));
    let mut talk = Talk::new(u8, UpperUnicode, 1024, 1024);
    assert_eq!(talk.play(&[&stream.concat()], 7), Want::Discard);
    let upper = [&b"A".repeat(252)[..], "\u{2bc}N".as_bytes()].concat();
    assert_eq!(talk.answer, sealed(&u8, &[0], &upper));
    assert_eq!(talk.connection.reason(), CloseReason::TooLong);
    let error = FrameError::TooLong {
        frame: 257,
        limit: 256,
    };
    assert_eq!(talk.connection.cause().error, Some(error));
}

/// Framings whose frames have any length, each with the most bytes around a payload that count
/// against its limit.
const ANY_LENGTH: &[(&str, usize)] = &[
    ("line", 0),
    ("delim:7c7c", 0),
    ("ascii:4", 0),
    ("netstring", 0),
    ("u8", 1),
    ("u32be", 4),
    ("i32le", 4),
    ("len:offset=1,size=2,adjust=-3,strip=3", 3),
];

/// A frame of `payload`, header and trailer included.
fn frame(framing: &Framing, payload: &[u8]) -> Vec<u8> {
    let overhead = framing.overhead();
    let mut space = [&vec![0; overhead.front], payload, &vec![0; overhead.back]].concat();
    let size = framing.encode(&[], &mut space, payload.len());
    space.truncate(size.expect("it fits"));
    space
}

#[test]
fn a_reply_at_the_limit_is_sent_and_one_byte_over_it_ends_with_a_reason_in_every_framing() {
    for (spec, header) in ANY_LENGTH {
        let framing = framing(spec, header + 8);
        // The letter has two bytes; its upper case has three.
        let [under, at, over] = [4, 5, 6].map(|count| "a".repeat(count) + "\u{149}");
        let upper = |text: &str| frame(&framing, text.to_uppercase().as_bytes());
        let stream = [&under, &at, &over, &under].map(|text| frame(&framing, text.as_bytes()));
        let mut talk = Talk::new(framing, UpperUnicode, 64, 64);
        assert_eq!(talk.play(&[&stream.concat()], 3), Want::Discard, "{spec}");
        assert_eq!(talk.answer, [upper(&under), upper(&at)].concat(), "{spec}");
        assert_eq!(talk.connection.reason(), CloseReason::TooLong, "{spec}");
        let (frame, limit) = (*header as u64 + 9, *header as u64 + 8);
        let error = FrameError::TooLong { frame, limit };
        assert_eq!(talk.connection.cause().error, Some(error), "{spec}");
    }
}

#[test]
fn a_prefix_that_lifts_a_message_over_the_limit_ends_with_a_reason() {
    for (spec, header) in ANY_LENGTH {
        let framing = framing(spec, header + 8);
        let stream = [frame(&framing, b"ab"), frame(&framing, b"abc")].concat();
        let mut talk = Talk::new(framing, PrefixedEcho::new("echo# "), 64, 64);
        assert_eq!(talk.play(&[&stream], usize::MAX), Want::Discard, "{spec}");
        assert_eq!(talk.answer, frame(&framing, b"echo# ab"), "{spec}");
        assert_eq!(talk.connection.reason(), CloseReason::TooLong, "{spec}");
    }
}

#[test]
fn streamed_output_is_not_a_frame_and_has_no_limit() {
    for (spec, request, end) in [("line", "true\r\n", "\r\n"), ("delim:7c7c", "true||", "||")] {
        let run = Run::new(vec!["true".to_owned()], true);
        let mut talk = Talk::new(framing(spec, 8), run, 64, 1 << 17);
        talk.reads(request.as_bytes());
        let mut drafted = 0;
        talk.hears(EffectEvent::Output(b"more than eight bytes"), &mut drafted);
        talk.writes(usize::MAX);
        talk.hears(EffectEvent::Ended, &mut drafted);
        assert_eq!(talk.play(&[], usize::MAX), Want::Close);
        let begin = "[::1]:7 execute done, result is : \n";
        let expected = format!("{begin}more than eight bytes{end}");
        assert_eq!(String::from_utf8_lossy(&talk.answer), expected);
    }
}

/// Whether `encode` accepts a payload of `size` bytes.
fn encodes(framing: &Framing, size: usize) -> bool {
    let overhead = framing.overhead();
    let mut space = vec![0; overhead.front + size + overhead.back];
    framing.encode(&[], &mut space, size).is_ok()
}

#[test]
fn a_framing_states_the_sizes_of_payload_that_it_can_encode() {
    for (spec, limit, sizes) in [
        ("line", 8, 0..=8),
        ("delim:7c7c", 8, 0..=8),
        ("delim:7c7c7c7c7c7c7c7c7c", 8, 0..=8),
        ("fixed:7", 8, 7..=7),
        ("ascii:4", 8, 0..=8),
        ("ascii:1", 100, 0..=9),
        ("ascii:2", 98, 0..=98),
        ("ascii:2", 100, 0..=99),
        ("netstring", 8, 0..=8),
        ("u8", 8, 0..=7),
        ("u8", 256, 0..=255),
        ("u8", 1000, 0..=255),
        ("u16le", LIMIT, 0..=65_535),
        ("u32be", LIMIT, 0..=LIMIT - 4),
        ("i32le", LIMIT, 0..=LIMIT - 4),
        ("u64be", LIMIT, 0..=LIMIT - 8),
        // A negative field is refused, so the shortest frames cannot be expressed.
        ("len:size=1,adjust=3", 1000, 3..=258),
        ("len:size=1,adjust=3", 5, 3..=4),
        // The field counts what is stripped behind it.
        ("len:size=1,strip=3", 1000, 0..=253),
        ("len:size=1,strip=3,adjust=2", 1000, 0..=255),
        ("len:size=1,strip=3,adjust=5", 1000, 3..=258),
        // The field counts its header.
        ("len:offset=1,size=1,adjust=-2", 1000, 0..=253),
        ("len:offset=1,size=1,adjust=-2", 9, 0..=7),
        // No field beyond the limit is needed.
        ("len:size=2,adjust=-100", 1000, 0..=998),
    ] {
        let framing = framing(spec, limit);
        assert_eq!(framing.payload_sizes(), sizes, "{spec} {limit}");
        let (least, most) = sizes.into_inner();
        for (size, fits) in [(least, true), (most, true), (most + 1, false)] {
            assert_eq!(encodes(&framing, size), fits, "{spec} {limit} {size}");
            let checked = framing.check_size(size).is_ok();
            assert_eq!(checked, fits, "{spec} {limit} {size}");
        }
        if least > 0 {
            assert!(!encodes(&framing, least - 1), "{spec} {limit}");
            assert!(framing.check_size(least - 1).is_err(), "{spec} {limit}");
        }
    }
    assert_eq!(framing("raw", 1).payload_sizes(), 0..=usize::MAX);
}

#[test]
fn the_error_of_a_payload_size_names_the_frame_and_its_limit() {
    let too_long = |frame, limit| FrameError::TooLong { frame, limit };
    let short = FrameError::Corrupted("no length field says so short a frame");
    let other = FrameError::Corrupted("not the length that every frame has");
    for (spec, limit, size, error) in [
        ("line", 8, 9, too_long(9, 8)),
        ("netstring", 8, 9, too_long(9, 8)),
        ("ascii:1", 100, 10, too_long(10, 9)),
        ("u8", 1000, 256, too_long(257, 256)),
        ("u32be", 12, 9, too_long(13, 12)),
        ("u32be", 12, usize::MAX, too_long(u64::MAX, 12)),
        ("len:size=1,adjust=3", 1000, 2, short),
        ("len:size=1,adjust=3", 1000, 259, too_long(260, 259)),
        ("fixed:7", 8, 6, other),
        ("fixed:7", 8, 8, other),
    ] {
        let checked = framing(spec, limit).check_size(size);
        assert_eq!(checked, Err(error), "{spec} {limit} {size}");
    }
}

#[test]
fn the_output_of_a_command_is_cut_to_what_its_answer_can_hold() {
    // The most bytes beside the output, if the answer does not name its peer.
    let beside = Run::new(Vec::new(), false).awaited_max() - COMMAND_OUTPUT_MAX;
    let longest = COMMAND_OUTPUT_MAX + beside;
    for (spec, limit, output) in [
        // Without a length the output is streamed.
        ("raw", 1, COMMAND_OUTPUT_MAX),
        ("line", 1, COMMAND_OUTPUT_MAX),
        ("fixed:1", 1, COMMAND_OUTPUT_MAX),
        ("u32be", 4 + longest, COMMAND_OUTPUT_MAX),
        ("u32be", 4 + longest + 1, COMMAND_OUTPUT_MAX),
        ("u32be", 4 + longest - 1, COMMAND_OUTPUT_MAX - 1),
        ("u32be", 4 + beside + 1, 1),
        ("u32be", 4 + beside, 0),
        ("u32be", 4 + beside - 1, 0),
        ("u32be", 4, 0),
        ("u16be", LIMIT, COMMAND_OUTPUT_MAX.min(65_535 - beside)),
        ("u8", LIMIT, 255 - beside),
        ("ascii:1", LIMIT, 0),
        ("netstring", beside + 9, 9),
        ("len:adjust=1,strip=4", LIMIT, COMMAND_OUTPUT_MAX),
        ("len:adjust=2,strip=4", LIMIT, 0),
    ] {
        let run = Run::new(vec!["true".to_owned()], false);
        let protocol = Talk::new(framing(spec, limit), run, 0, 0).protocol;
        let most = protocol.output_size_max(COMMAND_OUTPUT_MAX);
        assert_eq!(most, output, "{spec} {limit}");
    }
    let echo = Talk::new(framing("u8", 8), Echo, 0, 0).protocol;
    assert_eq!(echo.output_size_max(COMMAND_OUTPUT_MAX), COMMAND_OUTPUT_MAX);
}

#[test]
fn a_greeting_that_fits_no_frame_is_known_at_the_start() {
    for (spec, limit, fits) in [
        ("line", 50, true),
        ("line", 49, false),
        ("u8", 51, true),
        ("u8", 50, false),
        ("ascii:1", 1 << 20, false),
        ("fixed:50", 50, true),
        ("fixed:49", 49, false),
        ("fixed:51", 51, false),
        ("len:size=1,adjust=50", 1000, true),
        ("len:size=1,adjust=51", 1000, false),
        ("raw", 1, true),
    ] {
        let protocol = Talk::new(framing(spec, limit), Robot, 0, 0).protocol;
        assert_eq!(protocol.check_greeting().is_ok(), fits, "{spec} {limit}");
    }
}
