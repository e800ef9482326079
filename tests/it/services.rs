//! Services on the state machine without a kernel, with little room: the demands that only services
//! make.

use mynah::protocol::connection::{CloseReason, Protocol, Want};
use mynah::protocol::framing::{FrameError, Framing, OnTooLong, Raw};
use mynah::protocol::service::{Discard, EffectEvent, Effects, Http, Robot, Run, Service};

use crate::talk::{Talk, framing, hex};

const RAW: Framing = Framing::Raw(Raw);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// An HTTP connection with room for the answers to `requests` requests at once.
fn http(requests: usize) -> Talk<Http> {
    let service = Http::default();
    let room = service.reply_max(requests * GET.len());
    Talk::new(RAW, service, 4096, room)
}

#[test]
fn requests_whose_replies_have_no_room_wait_and_are_all_answered_in_order() {
    for requests in [1, 2, 7, 100] {
        for most in [1, 100, usize::MAX] {
            let mut talk = http(requests);
            let end = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let over = talk.play(&[&GET.repeat(100), end], most);
            assert_eq!(over, Want::Discard);
            assert_eq!(talk.connection.reason(), CloseReason::Goodbye);
            let answer = String::from_utf8(std::mem::take(&mut talk.answer)).expect("text");
            assert_eq!(
                answer.matches("Hello, World").count(),
                101,
                "{requests} {most}"
            );
        }
    }
}

#[test]
fn all_replies_to_one_read_go_out_in_one_write() {
    let mut talk = http(16);
    talk.reads(&GET.repeat(16));
    let owed = String::from_utf8(talk.owed()).expect("text");
    assert_eq!(owed.matches("Hello, World").count(), 16);
    assert_eq!(talk.frames, 1, "one run of bytes");
}

#[test]
fn an_unfinished_head_is_kept_and_one_that_stays_so_is_truncated() {
    let mut talk = http(1);
    talk.reads(&GET[..20]);
    assert_eq!((talk.wants(), talk.holds_nothing()), (Want::Read, false));
    talk.ends();
    assert_eq!(talk.wants(), Want::Close);
    assert_eq!(talk.connection.reason(), CloseReason::Truncated);
}

#[test]
fn a_stream_that_ends_inside_a_request_is_truncated_wherever_that_is() {
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    let length = format!("{post}Content-Length: 3\r\n\r\nab");
    let chunks = format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n");
    for request in [&length, &chunks] {
        for end in 1..=request.len() {
            let mut talk = http(1);
            let pieces = [GET, &request.as_bytes()[..end]];
            assert_eq!(talk.play(&pieces, usize::MAX), Want::Close);
            let rest = &request[..end];
            assert_eq!(talk.connection.reason(), CloseReason::Truncated, "{rest:?}");
            let error = talk.connection.cause().error;
            let is_told = matches!(error, Some(FrameError::Truncated { .. }));
            assert!(is_told, "{rest:?}: {error:?}");
        }
    }
    // Between two requests the stream may end, also after an empty line.
    for between in ["", "\r\n"] {
        let mut talk = http(1);
        talk.play(&[GET, between.as_bytes()], usize::MAX);
        assert_eq!(talk.connection.reason(), CloseReason::EndOfStream);
    }
}

#[test]
fn a_refused_request_is_reported_with_its_reason_and_the_likely_protocol_of_its_peer() {
    const TLS: &str = "16 03 01 is a TLS record: the peer seems to speak TLS";
    const SSH: &str = "53 53 48 2d is \"SSH-\": the peer seems to speak SSH";
    for (bytes, reason, seems) in [
        (&b"\x16\x03\x01\x02\0"[..], "a control byte", TLS),
        (
            b"SSH-2.0-x\r\n",
            "a request line is METHOD TARGET VERSION",
            SSH,
        ),
        (
            b"GET / HTTP/2.0\r\n",
            "the version is neither HTTP/1.1 nor HTTP/1.0",
            "",
        ),
        (b"hello\r\n", "a request line is METHOD TARGET VERSION", ""),
        // A line of a head may begin with any bytes.
        (
            b"GET / HTTP/1.1\r\nSSH-x : y\r\n",
            "a field name has a byte that no name has",
            "",
        ),
    ] {
        // Alone, after a request in the same read, and after one in an earlier read.
        let behind = [GET, bytes].concat();
        for pieces in [&[bytes][..], &[&behind], &[GET, bytes]] {
            let mut talk = http(2);
            assert_eq!(talk.play(pieces, usize::MAX), Want::Discard);
            assert_eq!(talk.connection.reason(), CloseReason::Refused);
            let error = talk.connection.cause().error;
            assert_eq!(error, Some(FrameError::Refused(reason)));
            let guess = talk.connection.cause().hint.map(|guess| guess.to_string());
            assert_eq!(guess.unwrap_or_default(), seems, "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn a_body_that_is_dropped_leaves_nothing_behind() {
    let mut talk = http(1);
    talk.reads(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n");
    talk.reads(&[b'b'; 2000]);
    assert!(
        talk.holds_nothing(),
        "a connection inside a body needs no workspace"
    );
    talk.reads(&[b'b'; 1000]);
    assert_eq!(talk.wants(), Want::Write);
}

#[test]
fn a_close_without_text_sends_not_even_an_empty_frame() {
    let mut talk = Talk::new(framing("u16be", 64), Robot, 64, 64);
    talk.with(|connection, workspace, protocol| connection.begin(workspace, protocol));
    talk.writes(usize::MAX);
    talk.reads(&hex("0004 65786974 0001 30"));
    assert_eq!(talk.wants(), Want::Shutdown);
    assert_eq!(talk.answer[..2], hex("0032"));
    assert_eq!(talk.answer.len(), 52);
}

#[test]
fn an_asynchronous_answer_goes_out_in_order_however_little_each_write_takes() {
    let names_peer = [("line", true), ("u16be", false), ("netstring", false)];
    for ((spec, names_peer), most) in names_peer.into_iter().zip([1, 7, usize::MAX]) {
        let service = Run::new(vec!["a".to_owned()], names_peer);
        let framing = framing(spec, 1 << 20);
        let room = service.awaited_max() + 16;
        let mut talk = Talk::new(framing, service, 64, room);
        let requests: [&[u8]; 2] = match spec {
            "line" => [b"no\na\nno\n", b"a\n"],
            "u16be" => [b"\0\x02no\0\x01a\0\x02no", b"\0\x01a"],
            _ => [b"2:no,1:a,2:no,", b"1:a,"],
        };
        for request in requests {
            talk.reads(request);
            while talk.wants() == Want::Write {
                talk.writes(most);
            }
            let mut drafted = 0;
            for piece in [b"x".as_slice(), b"yz"] {
                talk.hears(EffectEvent::Output(piece), &mut drafted);
                if talk.wants() == Want::Write {
                    talk.writes(1);
                }
                while talk.wants() == Want::Write {
                    talk.writes(most);
                }
            }
            talk.hears(EffectEvent::Ended, &mut drafted);
            while talk.wants() == Want::Write {
                talk.writes(most);
            }
        }
        let answer = String::from_utf8(std::mem::take(&mut talk.answer)).expect("text");
        let expected = match spec {
            "line" => {
                "坏人!\n@xyz\n坏人!\n@xyz\n".replace('@', "[::1]:7 execute done, result is : \n")
            }
            "u16be" => "@坏人!\0\x03xyz@坏人!\0\x03xyz".replace('@', "\0\x07"),
            _ => "7:坏人!,3:xyz,7:坏人!,3:xyz,".to_owned(),
        };
        assert_eq!(answer, expected, "{spec}");
        assert_eq!((talk.frames, talk.holds_nothing()), (4, true));
    }
}

#[test]
fn discard_keeps_nothing_and_owes_nothing_whatever_the_framing() {
    for (framing, bytes) in [
        (RAW, b"hello".as_slice()),
        (framing("u16be", 64), b"\0\x02ab\0\0\0\x01c"),
        (framing("line", 64), b"ab\n\nc\r\n"),
    ] {
        let mut talk = Talk::new(framing, Discard, 64, 0);
        talk.reads(bytes);
        assert_eq!((talk.wants(), talk.holds_nothing()), (Want::Read, true));
    }
}

#[test]
fn an_asynchronous_answer_has_room_for_the_header_and_trailer_of_its_framing() {
    let service = || Run::new(vec!["a".to_owned()], false);
    let said = service().awaited_max();
    for spec in ["u32be", "netstring", "line", "raw"] {
        let framing = framing(spec, 1 << 20);
        let overhead = framing.overhead();
        let protocol = Protocol {
            framing,
            service: service(),
            on_too_long: OnTooLong::Close,
        };
        let room = said + overhead.front + overhead.back;
        assert_eq!(protocol.awaited_max(), room, "{spec}");
    }
}
