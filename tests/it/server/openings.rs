//! Connections to `run` that open with bytes that a web page can make a browser send. No command
//! runs for them, however the bytes are cut into reads and frames.

use mynah::protocol::service::Run;

use super::commands::{hear, lines, only, roomy, run};
use super::*;

/// A request as a browser sends it, with an allowed line as its body in the encoding of each
/// framing.
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:7007\r\nContent-Length: 99\r\n\r\n\
    \necho a\n\x06echo a\0\x06echo a\x06\0\0\0echo a\x00\x00\x00\x06echo a";

/// Checks that a connection was closed: because of its opening, or because the framing refused its
/// first bytes before that.
fn check_closed(play: &mut Play<Run>, peer: Peer) {
    let heard = hear(play, peer);
    assert_eq!(heard.replace("坏人!", ""), "");
    assert_eq!(play.counters().connections_now, 1, "it lingers");
    assert_eq!(play.link(peer), Link::Finished);
    play.sim().finish(peer);
    play.quiet();
    let refused = [CloseReason::OtherProtocol, CloseReason::TooLong];
    let closed = refused.map(|reason| play.closed(reason));
    assert_eq!(closed.iter().sum::<u64>(), 1);
    assert_eq!(play.counters().commands, 0);
    assert_eq!(play.sim().programs_run(), 0);
}

#[test]
fn a_request_of_http_is_closed_before_anything_runs() {
    for framing in [
        "line",
        "raw",
        "u8",
        "u16be",
        "u16le",
        "i32le",
        "delim:0a",
        "delim:0d0a",
    ] {
        run(framing, roomy(), |play| {
            let peer = play.connect();
            play.send(peer, REQUEST);
            check_closed(play, peer);
        });
    }
}

#[test]
fn a_request_of_http_is_closed_wherever_it_is_cut() {
    for framing in ["line", "raw", "u8", "u16be", "i32le"] {
        for cut in 1..30 {
            run(framing, roomy(), |play| {
                let peer = play.connect();
                play.send(peer, &REQUEST[..cut]);
                play.send(peer, &REQUEST[cut..]);
                check_closed(play, peer);
            });
        }
    }
}

#[test]
fn a_request_of_http_is_closed_byte_by_byte() {
    // `u8` reads the P as a length, and `raw` reads each byte as a request.
    for framing in ["line", "raw", "u8", "u16be", "i32le"] {
        run(framing, roomy(), |play| {
            let peer = play.connect();
            for byte in REQUEST {
                play.sim().send(peer, &[*byte]);
                play.quiet();
            }
            check_closed(play, peer);
        });
    }
}

#[test]
fn other_openings_of_browsers_are_closed() {
    for opening in [
        &b"GET / HTTP/1.1\r\n\r\n\necho a\n"[..],
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n\necho a\n",
        b"OPTIONS * HTTP/1.1\r\n\necho a\n",
        b"FOO bar HTTP/1.0\r\n\necho a\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\necho a\n",
        b"\x16\x03\x01\x02\0\x01\0\necho a\n",
        b"\x16\x03\x03\necho a\n",
    ] {
        lines(roomy(), |play| {
            let peer = play.connect();
            play.send(peer, opening);
            check_closed(play, peer);
        });
    }
}

#[test]
fn a_target_that_holds_an_allowed_line_runs_nothing() {
    // Under `u8` the first byte of the method is the length of a first frame that ends inside the
    // target.
    let target = [
        b"POST /".as_slice(),
        &[b'x'; 75],
        b"\x06echo a HTTP/1.1\r\n",
    ]
    .concat();
    run("u8", roomy(), |play| {
        let peer = play.connect();
        play.send(peer, &target);
        check_closed(play, peer);
    });
}

#[test]
fn a_discarded_frame_does_not_hide_the_opening() {
    let settings = roomy();
    for cut in [1, 4, 6, 20] {
        let framing = crate::talk::framing("u32be", 1000);
        let allowed = vec!["echo a".to_owned()];
        let service = Run::new(allowed, false);
        let mut play = Play::discarding(settings.clone(), framing, service);
        let peer = play.connect();
        play.send(peer, &REQUEST[..cut]);
        play.send(peer, &REQUEST[cut..]);
        check_closed(&mut play, peer);
        play.end();
    }
}

#[test]
fn lines_behind_the_first_may_read_like_http() {
    lines(roomy(), |play| {
        let peer = play.connect();
        for _ in 0..2 {
            play.send(peer, b"echo a\nGET / HTTP/1.1\nheld\n");
            let id = only(play);
            assert_eq!(hear(play, peer), "RESULT:a\n\n坏人!\n");
            play.sim().ends(id, false);
            assert_eq!(hear(play, peer), "RESULT:\n");
            // After a command, and at the beginning of a read.
            play.send(peer, b"POST / HTTP/1.1\n");
            assert_eq!(hear(play, peer), "坏人!\n");
        }
        assert_eq!(play.counters().commands, 4);
        assert_eq!(play.closed(CloseReason::OtherProtocol), 0);
    });
}

#[test]
fn what_was_answered_before_the_opening_was_known_is_delivered() {
    run("raw", roomy(), |play| {
        let peer = play.connect();
        play.send(peer, b"GET");
        assert_eq!(hear(play, peer), "坏人!");
        play.send(peer, b" /");
        check_closed(play, peer);
    });
}
