//! However the network cuts a stream, the messages and the answers are the same.

use mynah::base::bytes::{Inbound, InboundCursors};
use mynah::protocol::connection::{CloseReason, Connection, Protocol, Run, Want};
use mynah::protocol::framing::{OnTooLong, Raw};
use mynah::protocol::service::{Echo, Service, Upper, UpperUnicode};

use super::*;
use crate::talk::{Talk, pairs_of_cuts};

/// Three frames of `framing`: the one in the table, the shortest one, the one in the table again.
fn stream(framing: &Framing, frame: &[u8]) -> Vec<u8> {
    [frame, &shortest(framing, frame), frame].concat()
}

/// The shortest frame with the header of `like`.
fn shortest(framing: &Framing, like: &[u8]) -> Vec<u8> {
    let front = framing.overhead().front;
    (0..)
        .find_map(|payload| {
            let mut space = vec![b'x'; front + payload];
            let sealed = framing.encode(&like[..front], &mut space, payload);
            sealed.ok().map(|_| space)
        })
        .expect("some frame is short enough")
}

/// The frames decoded from `pieces`. Decoding is tried after each piece and resumes with the hint
/// of the previous try.
fn cut(framing: &Framing, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut memory, mut frames) = ([0; 256], Vec::new());
    let mut inbound = Inbound::new(&mut memory, InboundCursors::default());
    for piece in pieces {
        inbound.spare()[..piece.len()].copy_from_slice(piece);
        inbound.advance(piece.len());
        while !inbound.undecoded().is_empty() {
            let scanned = inbound.scanned();
            match framing.decode(inbound.undecoded(), scanned) {
                Decoded::Frame(bounds) => {
                    frames.push(inbound.undecoded()[..bounds.frame].to_vec());
                    inbound.consume(bounds.frame);
                }
                Decoded::Incomplete { scanned } => {
                    inbound.set_scanned(scanned);
                    break;
                }
                Decoded::Wrong(error) => panic!("{framing}: {error}"),
            }
        }
    }
    assert!(inbound.is_empty());
    frames
}

/// Checks the answers of a connection for every pair of cuts, with unlimited writes and with very
/// short ones.
fn answers_whatever_the_cuts<S: Service + Copy>(
    service: S,
    framing: Framing,
    stream: &[u8],
    answer: &[u8],
) {
    let outbound = Talk::new(framing, service, 0, 0).protocol.reply_max(48);
    for most in [usize::MAX, 1] {
        for pieces in pairs_of_cuts(stream) {
            let mut talk = Talk::new(framing, service, 48, outbound);
            assert_eq!(talk.play(&pieces, most), Want::Close);
            assert_eq!(talk.answer, answer, "{framing}: {pieces:02x?}");
            assert_eq!(talk.connection.reason(), CloseReason::EndOfStream);
            assert!(talk.holds_nothing());
        }
    }
}

#[test]
fn every_pair_of_cuts_gives_the_same_frames() {
    for (framing, frame) in table() {
        let stream = stream(&framing, &frame);
        let whole = cut(&framing, &[&stream]);
        assert_eq!(whole, [&frame[..], &shortest(&framing, &frame), &frame]);
        for pieces in pairs_of_cuts(&stream) {
            assert_eq!(cut(&framing, &pieces), whole, "{framing}: {pieces:02x?}");
        }
    }
}

#[test]
fn every_pair_of_cuts_gives_the_same_echo() {
    for (framing, frame) in table() {
        let stream = stream(&framing, &frame);
        answers_whatever_the_cuts(Echo, framing, &stream, &stream);
    }
}

#[test]
fn every_pair_of_cuts_gives_the_same_upper_case() {
    for (framing, frame) in table() {
        let stream = stream(&framing, &frame);
        let mut answer = stream.clone();
        // In a header only bytes that are letters could change, and no header of the table has any.
        answer.make_ascii_uppercase();
        answers_whatever_the_cuts(Upper, framing, &stream, &answer);
    }
}

#[test]
fn every_pair_of_cuts_gives_the_same_unicode_upper_case_in_another_length() {
    for (spec, header) in SHORT_NAMES {
        let framing = framing(spec, LIMIT);
        let request = sealed(&framing, &hex(header), "ß \u{149} \u{390}".as_bytes());
        let answer = sealed(
            &framing,
            &hex(header),
            "SS \u{2bc}N \u{399}\u{308}\u{301}".as_bytes(),
        );
        assert!(answer.len() > request.len());
        let (requests, answers) = (request.repeat(3), answer.repeat(3));
        answers_whatever_the_cuts(UpperUnicode, framing, &requests, &answers);
    }
}

#[test]
fn what_is_answered_at_once_is_every_whole_frame_and_no_byte_more() {
    for (framing, frame) in table() {
        let stream = stream(&framing, &frame);
        let middle = stream.len() - frame.len();
        for end in 1..=stream.len() {
            let (mut connection, service) = (Connection::new(&Upper), Upper);
            let mut protocol = Protocol {
                framing,
                on_too_long: OnTooLong::Close,
                service,
            };
            let mut bytes = stream[..end].to_vec();
            let run =
                connection.answer_at_once(&mut bytes, &mut protocol, |frames, bytes, stop| Run {
                    frames,
                    bytes,
                    stop: *stop,
                });
            let at_once = (run.frames, run.bytes);
            let ends = [frame.len(), middle, stream.len()];
            let frames = ends.iter().filter(|whole| **whole <= end).count();
            let answered = ends[..frames].last().copied().unwrap_or(0);
            assert_eq!(at_once, (frames as u64, answered), "{framing}: {end}");
            let upper = stream[..answered].to_ascii_uppercase();
            assert_eq!(bytes, [&upper, &stream[answered..end]].concat());
            assert!(connection.is_open());
        }
    }
}

#[test]
fn raw_answers_every_byte_whatever_the_cuts() {
    let text = "straße, €uro, \u{390}, 😀".as_bytes();
    let upper = "STRASSE, €URO, \u{399}\u{308}\u{301}, 😀".as_bytes();
    let raw = Framing::Raw(Raw);
    answers_whatever_the_cuts(Echo, raw, text, text);
    answers_whatever_the_cuts(UpperUnicode, raw, text, upper);
}

#[test]
fn frames_without_a_payload_are_answered_like_others() {
    for (spec, header) in SHORT_NAMES {
        let framing = framing(spec, LIMIT);
        let empty = vec![0; hex(header).len()];
        assert_eq!(decode(&framing, &empty), Ok((empty.clone(), Vec::new())));
        let stream = empty.repeat(3);
        answers_whatever_the_cuts(Echo, framing, &stream, &stream);
        answers_whatever_the_cuts(UpperUnicode, framing, &stream, &stream);
    }
}
