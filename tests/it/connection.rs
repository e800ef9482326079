//! The rules of the connection state machine, tested without a kernel on workspaces so small that
//! every rule applies.
//!
//! Small servers often miss five of them: after a send, decoding resumes; without free space there
//! is no read; after the end of the stream there is no read; a connection with nothing left to do
//! closes instead of waiting; after an error, the connection answers everything before the error,
//! shuts down and lingers. See src/protocol/connection.

use mynah::protocol::connection::{CloseReason, Want};
use mynah::protocol::framing::{FrameError, Framing, OnTooLong, Raw};
use mynah::protocol::service::{
    Answer, Echo, PrefixedEcho, Reply, Request, Service, Upper, UpperUnicode,
};

use crate::talk::{Talk, framing, hex, pairs_of_cuts};

const RAW: Framing = Framing::Raw(Raw);

/// A connection that echoes frames with a length of one byte.
fn echo(inbound: usize) -> Talk<Echo> {
    Talk::new(framing("u8", inbound), Echo, inbound, 0)
}

/// A connection whose service changes the length of frames, so that its answers go through
/// outbound.
fn unicode(inbound: usize, outbound: usize) -> Talk<UpperUnicode> {
    Talk::new(framing("u8", inbound), UpperUnicode, inbound, outbound)
}

#[test]
fn a_new_connection_wants_to_read_and_owes_nothing() {
    let mut talk = echo(8);
    assert_eq!(talk.wants(), Want::Read);
    assert!(talk.holds_nothing() && !talk.connection.is_lingering());
}

#[test]
fn sent_resumes_decoding_of_what_had_to_wait_for_room() {
    // The largest answer to one letter has 13 bytes, so there is room for one answer at a time.
    let mut talk = unicode(8, 13);
    talk.reads(&hex("0161 0162 0163"));
    assert_eq!((talk.frames, talk.owed()), (1, hex("0141")));
    for (frames, owed) in [(2, "0142"), (3, "0143")] {
        talk.writes(usize::MAX);
        assert_eq!((talk.frames, talk.owed()), (frames, hex(owed)));
    }
    talk.writes(usize::MAX);
    assert!(talk.holds_nothing());
    assert_eq!(talk.wants(), Want::Read);
}

#[test]
fn a_part_that_was_sent_resumes_nothing_yet() {
    let mut talk = unicode(8, 13);
    talk.reads(&hex("0161 0162"));
    talk.writes(1);
    assert_eq!((talk.frames, talk.owed()), (1, hex("41")));
    assert_eq!(talk.wants(), Want::Write);
}

#[test]
fn a_connection_that_owes_bytes_is_not_read_from() {
    let mut talk = echo(8);
    talk.reads(&hex("0161 0162"));
    for _ in 0..4 {
        assert_eq!(talk.wants(), Want::Write);
        talk.writes(1);
    }
    assert_eq!(talk.wants(), Want::Read);
}

#[test]
fn a_full_inbound_is_never_asked_to_read_more() {
    let mut talk = unicode(6, 13);
    assert_eq!(talk.reads(&hex("0161 0162 0163 0164")), 6);
    for _ in 0..3 {
        assert_eq!(
            talk.wants(),
            Want::Write,
            "the rest waits in the peer's socket"
        );
        talk.writes(usize::MAX);
    }
    assert_eq!(talk.answer, hex("0141 0142 0143"));
    assert_eq!(talk.reads(&hex("0164")), 2);
}

#[test]
fn adjacent_answers_go_out_in_one_write() {
    let mut talk = Talk::new(framing("u8", 16), Upper, 16, 0);
    talk.reads(&hex("0161 0162 00 026364 05"));
    assert_eq!((talk.frames, talk.owed()), (4, hex("0141 0142 00 024344")));
    talk.writes(usize::MAX);
    assert!(!talk.holds_nothing(), "a frame has begun");
    assert_eq!(talk.wants(), Want::Read);
}

/// Answers questions with another text, and echoes everything else in place.
#[derive(Clone, Copy)]
struct Oracle;

impl Service for Oracle {
    type State = ();

    fn open(&self) {}

    fn reply_max(&self, _payload: usize) -> usize {
        3
    }

    fn serve(&mut self, _state: &mut (), request: Request<'_>, reply: &mut Reply<'_>) -> Answer {
        if request.payload != b"?" {
            return Answer::InPlace;
        }
        reply.push(b"yes");
        Answer::Written
    }
}

#[test]
fn an_answer_in_place_never_passes_an_older_one_that_was_written() {
    let stream = b"\x01?\x0ait is long\x01?\x01?\x01!\x0ait is long\x00\x01?\x01!";
    let answer = b"\x03yes\x0ait is long\x03yes\x03yes\x01!\x0ait is long\x00\x03yes\x01!";
    for outbound in [4, 11, 12, 20, 64] {
        for most in [1, 5, usize::MAX] {
            for pieces in pairs_of_cuts(stream) {
                let mut talk = Talk::new(framing("u8", 16), Oracle, 64, outbound);
                assert_eq!(talk.play(&pieces, most), Want::Close);
                assert_eq!(talk.answer, answer);
            }
        }
    }
}

#[test]
fn a_partial_frame_moves_to_the_front_so_that_the_longest_one_fits() {
    let mut talk = echo(8);
    talk.reads(&hex("03616263 07 6465"));
    talk.writes(usize::MAX);
    assert_eq!(talk.reads(b"fghijk"), 5);
    assert_eq!(talk.owed(), b"\x07defghij");
}

#[test]
fn after_the_end_of_the_stream_nothing_is_read_and_all_is_answered() {
    let mut talk = unicode(8, 13);
    talk.reads(&hex("0161 0162 0163"));
    talk.writes(usize::MAX);
    talk.writes(usize::MAX);
    talk.writes(usize::MAX);
    talk.ends();
    assert_eq!(talk.wants(), Want::Close);
    assert_eq!(talk.connection.reason(), CloseReason::EndOfStream);
}

#[test]
fn the_answer_to_an_incomplete_character_is_owed_at_the_end_of_the_stream() {
    let mut talk = Talk::new(RAW, UpperUnicode, 8, 16);
    talk.reads(b"a\xc3");
    assert_eq!(talk.owed(), b"A");
    talk.writes(usize::MAX);
    talk.ends();
    assert_eq!((talk.wants(), talk.owed()), (Want::Write, b"\xc3".to_vec()));
    talk.writes(usize::MAX);
    assert_eq!(talk.wants(), Want::Close);
}

#[test]
fn without_boundaries_a_large_read_is_answered_in_parts_that_fit() {
    let text = "straße ".repeat(9);
    let mut talk = Talk::new(RAW, UpperUnicode, 128, 16);
    assert_eq!(talk.play(&[text.as_bytes()], 5), Want::Close);
    assert_eq!(talk.answer, "STRASSE ".repeat(9).into_bytes());
}

#[test]
fn an_error_replies_to_everything_before_it_then_shuts_down_and_lingers() {
    let mut talk = Talk::new(framing("u8", 4), Echo, 16, 0);
    talk.reads(&hex("0161 0262 63 04 0164"));
    assert_eq!((talk.frames, talk.owed()), (2, hex("0161 026263")));
    talk.writes(1);
    assert_eq!(talk.wants(), Want::Write);
    talk.writes(usize::MAX);
    assert_eq!(talk.wants(), Want::Shutdown);
    talk.connection.finished();
    assert_eq!(talk.wants(), Want::Discard);
    assert!(talk.connection.is_lingering() && talk.holds_nothing());
    talk.ends();
    assert_eq!(talk.wants(), Want::Close);
    assert_eq!(talk.connection.reason(), CloseReason::TooLong);
    let error = talk.connection.cause().error;
    assert_eq!(error, Some(FrameError::TooLong { frame: 5, limit: 4 }));
}

#[test]
fn an_error_behind_answers_that_wait_for_room_waits_as_well() {
    let mut talk = unicode(8, 13);
    talk.reads(&hex("0161 0162 FF"));
    assert_eq!((talk.frames, talk.owed()), (1, hex("0141")));
    assert_eq!(
        talk.connection.cause().error,
        None,
        "it was not looked at yet"
    );
    assert_eq!(talk.play(&[], usize::MAX), Want::Discard);
    assert_eq!(talk.answer, hex("0141 0142"));
}

#[test]
fn an_error_found_at_the_end_of_the_stream_needs_no_lingering() {
    let mut talk = unicode(8, 13);
    talk.reads(&hex("0161 0162 09"));
    talk.writes(usize::MAX);
    talk.writes(usize::MAX);
    assert_eq!(
        talk.wants(),
        Want::Shutdown,
        "the peer may still be sending"
    );
    let mut talk = echo(8);
    talk.reads(&hex("0161 05"));
    talk.writes(usize::MAX);
    talk.ends();
    assert_eq!(talk.wants(), Want::Close);
    assert_eq!(talk.connection.reason(), CloseReason::Truncated);
}

#[test]
fn a_server_that_drains_answers_no_more_but_writes_what_is_owed() {
    let mut talk = echo(8);
    talk.reads(&hex("0161 05"));
    talk.with(|connection, workspace, _| connection.drain(CloseReason::Shutdown, workspace));
    assert_eq!(talk.wants(), Want::Write);
    talk.writes(usize::MAX);
    assert_eq!(talk.wants(), Want::Shutdown);
    assert!(talk.holds_nothing());
    talk.connection.finished();
    talk.ends();
    assert_eq!(talk.wants(), Want::Close);
    assert_eq!(talk.connection.reason(), CloseReason::Shutdown);
}

#[test]
fn the_first_reason_stays() {
    let mut talk = echo(8);
    talk.reads(&hex("FF"));
    talk.connection.close(CloseReason::Reset);
    assert_eq!(talk.wants(), Want::Close);
    assert_eq!(talk.connection.reason(), CloseReason::TooLong);
}

#[test]
fn a_closed_connection_wants_to_be_closed_whatever_it_owes() {
    let mut talk = echo(8);
    talk.reads(&hex("0161"));
    talk.connection.close(CloseReason::Stalled);
    assert_eq!(talk.wants(), Want::Close);
}

#[test]
fn bytes_behind_replies_that_wait_for_room_are_not_moved() {
    // There is room for one reply at a time.
    let service = PrefixedEcho::new("echo# ");
    let mut talk = Talk::new(framing("line", 64), service, 64, 12);
    let said = b"a\nb\nc\nd\ne\n";
    assert_eq!(talk.reads(said), said.len());
    let waiting = |talk: &mut Talk<PrefixedEcho>| {
        talk.with(|_, workspace, _| {
            let start = workspace.inbound.undecoded().as_ptr() as usize;
            (start, workspace.inbound.undecoded().len())
        })
    };
    let mut before = waiting(&mut talk);
    assert!(before.1 > 0, "all of it had room");
    while talk.wants() == Want::Write {
        talk.writes(1);
        let after = waiting(&mut talk);
        if after.1 > 0 {
            let consumed = before.1 - after.1;
            assert_eq!(after.0 - before.0, consumed, "it was moved");
        }
        before = after;
    }
    assert_eq!(
        talk.answer,
        b"echo# a\necho# b\necho# c\necho# d\necho# e\n"
    );
    assert!(talk.holds_nothing());
}

#[test]
fn bytes_without_the_end_of_a_frame_are_not_examined_again() {
    fn looks_once<S: Service>(service: S) {
        let mut talk = Talk::new(framing("line", 64), service, 128, 512);
        talk.reads(b"no end");
        talk.with(|_, workspace, _| workspace.inbound.undecoded().fill(b'\n'));
        talk.reads(b"\n");
        assert_eq!(talk.frames, 1, "it was taken for many lines");
    }
    looks_once(Echo);
    looks_once(UpperUnicode);
}

#[test]
fn the_hint_of_a_discarded_frame_is_not_used_for_the_next() {
    let mut talk = Talk::new(framing("u32be", 16), Echo, 32, 0);
    talk.protocol.on_too_long = OnTooLong::Discard;
    talk.reads(b"GET ");
    let hint = talk.discarded[0].hint;
    assert!(hint.is_some(), "its length is text");
    talk.ends();
    assert_eq!(talk.connection.cause().hint, None);
}
