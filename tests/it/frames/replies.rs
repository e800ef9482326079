//! Replies as frames: what is sealed can be decoded, and what cannot be said is not sent.

use mynah::connection::{CloseReason, Want};
use mynah::service::UpperUnicode;

use super::*;
use crate::talk::Talk;

#[test]
fn what_was_sealed_is_decoded_to_the_same_bytes() {
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
    // 255 bytes whose upper case has 256: no byte can say that.
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
    assert_eq!(talk.connection.take_error(), Some(error));
}

#[test]
fn a_reply_over_the_limit_of_frames_is_not_sent_either() {
    let u32be = framing("u32be", 8);
    let request = hex("00000004")
        .into_iter()
        .chain("\u{149}\u{149}".bytes())
        .collect::<Vec<u8>>();
    let mut talk = Talk::new(u32be, UpperUnicode, 64, 64);
    assert_eq!(talk.play(&[&request], usize::MAX), Want::Discard);
    assert_eq!(talk.answer, b"");
    assert_eq!(talk.connection.reason(), CloseReason::TooLong);
}
